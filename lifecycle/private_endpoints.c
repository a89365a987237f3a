// SPDX-License-Identifier: Apache-2.0
// See private_endpoints.h.
#include "lifecycle/private_endpoints.h"

#include "base/clock.h"
#include "base/err.h"
#include "config/topology_control.h"
#include "control/change.h"
#include "lifecycle/connection_goal.h"
#include "lifecycle/connection_needs.h"
#include "lifecycle/connection_step.h"
#include "lifecycle/registry_verbs.h"

#include <string.h>

// ---- the connection ----

// One by hand, of before there were connections.
static int of_row(const struct plan_ctx *x, const struct registry *r,
                  const struct private_endpoint *row, struct connection *out)
{
    struct spec_private spec;
    int rc = change_private_row(x->t, r->name, row, x->arena, &spec);
    if (rc)
        return rc;
    *out = (struct connection){.name = row->name,
                               .registry = r->key,
                               .view = x->t->views[row->view].name,
                               .pool = "",
                               .is_static = true,
                               .state = CONNECTION_PENDING,
                               .error = "",
                               .members = (struct spec_member *)spec.members,
                               .n_members = spec.n_members,
                               .answered_by = (enum answered_by)row->answered_by};
    if (row->stage == PRIVATE_IN_DNS)
        out->state = CONNECTION_APPROVED;
    members_sort(out->members, out->n_members);
    return 0;
}

int plan_connection(const struct plan_ctx *x, struct planned_connection *out, struct diag *diag)
{
    const struct ledger_look l = deps_ledger(x->deps);
    *out = (struct planned_connection){.by_hand = false};
    int rc = connection_get(&l, x->object, x->arena, &out->c);
    if (!rc) {
        out->r = topology_registry_by_key(x->t, out->c.registry);
        out->row = connection_row(out->r, x->object);
        return 0;
    }
    if (rc != ERR_NOTFOUND)
        return rc;
    out->by_hand = true;
    out->row = topology_private_endpoint(x->t, x->object, &out->r);
    if (out->row)
        return of_row(x, out->r, out->row, &out->c);
    refuse(diag, "there is no private endpoint %.80s", x->object);
    return ERR_NOTFOUND;
}

int goal_by_hand(const struct plan_ctx *x, const struct planned_connection *p, json_t *goal)
{
    struct control_record r;
    if (!p->by_hand)
        return 0;
    int rc = connection_record(&p->c, x->arena, &r);
    if (rc)
        return rc;
    return json_object_set_new(goal, "create", json_loads(r.value, 0, NULL)) ? ERR_NOMEM : 0;
}

int plan_message(const struct plan_ctx *x, const char **out, struct diag *diag)
{
    int rc = argument_text(x->arguments, "message", out, diag);
    if (rc)
        return rc;
    if (!*out)
        *out = "";
    if (connection_text_ok(*out))
        return 0;
    refuse(diag, "message: at most %d characters, and none that controls a terminal",
           CONNECTION_TEXT_MAX);
    return ERR_INVAL;
}

// ---- who may ----

int plan_need_view(const struct plan_ctx *x, struct plan *out, const char *view)
{
    const struct view *v = topology_view(x->t, view);
    if (!v || !*v->owner)
        return 0;
    return plan_need_owner(x, out, v->owner,
                           arena_printf(x->arena, "view %s, which is %s's,", v->name, v->owner));
}

int plan_need_registry(const struct plan_ctx *x, struct plan *out, const struct registry *r)
{
    if (!r || !*r->owner)
        return 0;
    return plan_need_owner(
        x, out, r->owner, arena_printf(x->arena, "registry %s, which is %s's,", r->name, r->owner));
}

// ---- the plan ----

int plan_of_connection(const struct plan_ctx *x, const char *name, const char *registry,
                       struct plan *out)
{
    out->object = arena_printf(x->arena, "private-endpoint/%s", name);
    out->locks[0] = arena_printf(x->arena, "registry/%s", registry);
    out->locks[1] = out->object;
    out->n_locks = 2;
    return out->object && out->locks[0] ? 0 : ERR_NOMEM;
}

json_t *connection_goal_back(const struct connection *c, const struct registry *r)
{
    const char *state = connection_state_word(c->state);
    json_t *back = json_pack("{s:s, s:s, s:s}", "connection", c->name, "state", state, "text",
                             "as it was before");
    if (!back)
        return NULL;
    int rc = 0;
    if (c->state != CONNECTION_APPROVED)
        rc |= json_object_set_new(back, "back", json_true());
    if (c->state != CONNECTION_APPROVED && r && !r->data_endpoints && !r->n_private_endpoints)
        rc |= json_object_set_new(back, "data", json_false());
    if (!rc)
        return back;
    json_decref(back);
    return NULL;
}

int plan_approval(const struct plan_ctx *x, const struct connection *c, const struct registry *r,
                  struct plan *out, struct diag *diag)
{
    for (size_t i = 0; i < r->n_private_endpoints; i++) {
        const struct private_endpoint *pe = r->private_endpoints[i];
        if (strcmp(x->t->views[pe->view].name, c->view) != 0 || !strcmp(pe->name, c->name))
            continue;
        refuse(diag, "registry %s has private endpoint %s in view %s, and no second one there",
               r->name, pe->name, c->view);
        return ERR_CONFLICT;
    }
    if (connection_switches_data(r))
        plan_note(x, out,
                  "data endpoints of %s are off: its first approved private endpoint switches them "
                  "on, and they stay on when it goes",
                  r->name);
    return 0;
}

void note_takedown(const struct plan_ctx *x, const struct connection *c,
                   const struct private_endpoint *row, bool now, struct plan *out)
{
    char until[CLOCK_TEXT_SIZE];
    bool in_dns = row && row->stage == PRIVATE_IN_DNS;
    if (in_dns && now)
        plan_note(
            x, out,
            "DNS and edge give its addresses up at once: clients that have them in caches are "
            "refused for up to %u s",
            (unsigned)private_rest_s(x) - 60);
    else if (in_dns)
        plan_note(x, out,
                  "DNS leads nobody there any more; edges serve its addresses for %u s on, until "
                  "caches have forgotten them",
                  (unsigned)private_rest_s(x));
    if (in_dns)
        plan_note(x, out, "its addresses are given to nobody else until %s",
                  clock_format(x->now_ms + (int64_t)x->t->ttl.private_ * 1000 + CONNECTION_REST_MS,
                               until));
    else if (c->rest_ms > x->now_ms)
        plan_note(x, out, "its addresses are given to nobody else until %s",
                  clock_format(c->rest_ms, until));
}
