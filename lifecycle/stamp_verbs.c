// SPDX-License-Identifier: Apache-2.0
// `stamp drain`: every replica at a stamp takes no traffic of its global name any more, or takes it
// again. Regional names lead there as before. Many registries may have their home there: it goes by
// batches, each made of what is not drained yet.
#include "base/err.h"
#include "base/mem.h"
#include "config/topology_control.h"
#include "control/change.h"
#include "lifecycle/caches.h"
#include "lifecycle/record.h"
#include "lifecycle/registry_goal_priv.h"
#include "lifecycle/registry_verbs.h"
#include "lifecycle/verbs.h"

#include <string.h>

#define BATCH_MAX 500

struct stamp_place {
    const char *object;
    const struct region *at;
    const struct stamp *stamp;
};

static int place_of(const struct plan_ctx *x, const char *text, struct stamp_place *out,
                    struct diag *diag)
{
    const char *plain = plain_name(x, text);
    if (!plain)
        return ERR_NOMEM;
    const char *slash = strchr(plain, '/');
    if (!slash) {
        refuse(diag, "a stamp is named REGION/STAMP, such as eastus/eus-1");
        return ERR_INVAL;
    }
    const char *region = arena_strndup(x->arena, plain, (size_t)(slash - plain));
    *out = (struct stamp_place){.object = arena_printf(x->arena, "stamp/%s", plain)};
    if (!region || !out->object)
        return ERR_NOMEM;
    out->at = plan_region(x, region, diag);
    if (!out->at)
        return ERR_NOTFOUND;
    out->stamp = region_stamp(out->at, slash + 1);
    if (out->stamp)
        return 0;
    refuse(diag, "region %s has no stamp %.80s: meridian stamp list", region, slash + 1);
    return ERR_NOTFOUND;
}

static const struct replica *at_stamp(const struct stamp_place *p, const struct registry *r)
{
    const struct replica *rep = registry_replica(r, p->at->index);
    if (rep && rep->stamp == p->stamp->index)
        return rep;
    return NULL;
}

static int row_drained(const struct plan_ctx *x, const struct stamp_place *p,
                       const struct registry *r, bool drained, struct spec_registry *out)
{
    int rc = change_registry_row(x->t, r, x->arena, out);
    if (rc)
        return rc;
    change_replica(out, p->at->name)->drained = drained;
    return 0;
}

static int drain_step(const struct plan_ctx *x, const json_t *goal, struct phase *out,
                      struct diag *diag)
{
    struct stamp_place p;
    struct catalogue_iter it = {0};
    const struct registry *r;
    bool drained = goal_wants(goal, "drained") == WANTED;
    *out = (struct phase){0};
    int rc = place_of(x, record_text(goal, "stamp"), &p, diag);
    struct spec_registry *rows = arena_array(x->arena, BATCH_MAX, sizeof *rows);
    struct change c = {.registries = rows};
    if (!rc && !rows)
        rc = ERR_NOMEM;
    while (!rc && c.n_registries < BATCH_MAX && (r = topology_next(x->t, &it))) {
        const struct replica *rep = at_stamp(&p, r);
        if (rep && rep->drained != drained)
            rc = row_drained(x, &p, r, drained, &rows[c.n_registries++]);
    }
    if (rc || !c.n_registries)
        return rc;
    out->name = "document";
    return change_text(x, &c, &out->change);
}

static int plan_drain(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                      const char **out_code)
{
    static const char *const known[] = {"drained"};
    struct stamp_place p;
    struct phase first;
    bool given, drained = true;
    (void)out_code;
    int rc = arguments_known(x->arguments, known, ARRAY_LEN(known), diag);
    if (!rc)
        rc = argument_switch(x->arguments, "drained", &given, &drained, diag);
    if (!rc)
        rc = place_of(x, x->object, &p, diag);
    if (rc)
        return rc;
    const char *text = strchr(p.object, '/') + 1;
    out->goal = json_pack("{s:s, s:b}", "stamp", text, "drained", drained);
    out->before = json_pack("{s:s, s:b}", "stamp", text, "drained", !drained);
    if (!out->goal || !out->before)
        return ERR_NOMEM;
    out->object = p.object;
    out->locks[out->n_locks++] = p.object;
    if (drained)
        plan_note(x, out, "resolvers lead clients there for up to %u s more",
                  (unsigned)caches_hold_s(x));
    rc = drain_step(x, out->goal, &first, diag);
    if (!rc && !first.name)
        return ERR_EXISTS;
    return rc;
}

const struct verb verb_stamp_drain = {.noun = "stamp",
                                      .word = "drain",
                                      .right = CONTROL_RIGHT_REGISTRIES,
                                      .state = "Updating",
                                      .plan = plan_drain,
                                      .step = drain_step};
