// SPDX-License-Identifier: Apache-2.0
// `stamp drain`: every replica at a stamp takes no traffic of its global name any more, or takes it
// again. Regional names lead there as before. Many registries may have their home there: it goes by
// batches, each made of what is not drained yet. Each batch leaves the names that it changed
// (lifecycle/parts.h): the way back changes those and no others, which somebody else had drained.
// After the last batch of a drain its operation waits until caches have forgotten what led there: when
// it has ended, the stamp may be stopped.
#include "base/err.h"
#include "base/mem.h"
#include "config/topology_control.h"
#include "control/change.h"
#include "lifecycle/caches.h"
#include "lifecycle/parts.h"
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

struct batch {
    const struct plan_ctx *x;
    struct stamp_place place;
    bool drained;
    struct spec_registry *rows;
    size_t n;
    // more than BATCH_MAX are to change
    bool more;
};

static int batch_begin(const struct plan_ctx *x, const json_t *goal, struct batch *b,
                       struct diag *diag)
{
    *b = (struct batch){.x = x, .drained = goal_wants(goal, "drained") == WANTED};
    int rc = place_of(x, record_text(goal, "stamp"), &b->place, diag);
    if (rc)
        return rc;
    b->rows = arena_array(x->arena, BATCH_MAX, sizeof *b->rows);
    if (!b->rows)
        return ERR_NOMEM;
    return 0;
}

// One that is not at the stamp, or as it is to be, is left alone.
static int batch_add(struct batch *b, const struct registry *r)
{
    const struct replica *rep = at_stamp(&b->place, r);
    if (!rep || rep->drained == b->drained)
        return 0;
    b->more = b->n == BATCH_MAX;
    if (b->more)
        return 0;
    return row_drained(b->x, &b->place, r, b->drained, &b->rows[b->n++]);
}

static int batch_change(const struct batch *b, struct phase *out)
{
    const struct change c = {.registries = b->rows, .n_registries = b->n};
    if (!b->n)
        return 0;
    return change_text(b->x, &c, &out->change);
}

// By the version that the batch makes.
static int names_part(const struct batch *b, struct control_record *out)
{
    char what[24];
    json_t *names = json_array();
    for (size_t i = 0; names && i < b->n; i++)
        if (json_array_append_new(names, json_string(b->rows[i].name))) {
            json_decref(names);
            names = NULL;
        }
    snprintf(what, sizeof what, "%llu", (unsigned long long)b->x->t->version + 1);
    return part_record(b->x, what, names, out);
}

static int step_forth(struct batch *b, struct phase *out)
{
    struct catalogue_iter it = {0};
    const struct registry *r;
    int rc = 0;
    while (!rc && !b->more && (r = topology_next(b->x->t, &it)))
        rc = batch_add(b, r);
    if (rc || !b->n)
        return rc;
    struct control_record *record = arena_alloc(b->x->arena, sizeof *record);
    if (!record)
        return ERR_NOMEM;
    out->name = "document";
    out->records = record;
    out->n_records = 1;
    if (b->drained && !b->more) // caches hold what came before an earlier batch no longer than this
        out->rest_s = caches_rest_s(b->x);
    rc = names_part(b, record);
    if (rc)
        return rc;
    return batch_change(b, out);
}

// `of`: the operation whose batches go back, one after the other.
static int step_back(struct batch *b, const char *of, struct phase *out)
{
    json_t *names = NULL;
    struct control_record *record = arena_alloc(b->x->arena, sizeof *record);
    if (!record)
        return ERR_NOMEM;
    *record = (struct control_record){0};
    int rc = part_first(b->x, of, &record->key, &names);
    if (rc == ERR_NOTFOUND)
        return 0;
    for (size_t i = 0; !rc && i < json_array_size(names) && b->n < BATCH_MAX; i++) {
        const struct registry *r = topology_registry(b->x->t, record_text_at(names, i));
        if (r)
            rc = batch_add(b, r);
    }
    json_decref(names);
    if (rc)
        return rc;
    out->name = "document";
    out->records = record;
    out->n_records = 1;
    return batch_change(b, out);
}

static int drain_step(const struct plan_ctx *x, const json_t *goal, struct phase *out,
                      struct diag *diag)
{
    struct batch b;
    const char *of = record_text(goal, "of");
    *out = (struct phase){0};
    int rc = batch_begin(x, goal, &b, diag);
    if (rc)
        return rc;
    if (*of)
        return step_back(&b, of, out);
    return step_forth(&b, out);
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
    out->before =
        json_pack("{s:s, s:b, s:s}", "stamp", text, "drained", !drained, "of", x->operation);
    if (!out->goal || !out->before)
        return ERR_NOMEM;
    out->object = p.object;
    out->locks[out->n_locks++] = p.object;
    if (drained)
        plan_note(
            x, out,
            "caches lead clients there for up to %u s more; when the operation has ended it is "
            "safe to stop the stamp",
            (unsigned)caches_hold_s(x));
    rc = drain_step(x, out->goal, &first, diag);
    if (!rc && !first.name)
        return ERR_EXISTS;
    return rc;
}

const struct verb verb_stamp_drain = {.noun = "stamp",
                                      .word = "drain",
                                      .right = CONTROL_RIGHT_REGISTRIES,
                                      .takes_away = true,
                                      .state = "Updating",
                                      .plan = plan_drain,
                                      .step = drain_step};
