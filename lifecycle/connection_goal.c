// SPDX-License-Identifier: Apache-2.0
// See connection_goal.h.
#include "lifecycle/connection_goal.h"

#include "base/err.h"
#include "base/mem.h"
#include "lifecycle/connection_needs.h"
#include "lifecycle/connection_step.h"
#include "lifecycle/lifecycle.h"
#include "lifecycle/record.h"
#include "lifecycle/registry_goal_priv.h"

#include <string.h>

struct going { // one step
    const struct plan_ctx *x;
    const json_t *goal;
    struct diag *diag;
    struct phase *out;
    const char *name;
    // in the ledger, then as it is to be
    struct connection c;
    // NULL: it is not there any more
    const struct registry *r;
    const struct private_endpoint *row;
};

const struct private_endpoint *connection_row(const struct registry *r, const char *name)
{
    for (size_t i = 0; r && i < r->n_private_endpoints; i++)
        if (!strcmp(r->private_endpoints[i]->name, name))
            return r->private_endpoints[i];
    return NULL;
}

bool connection_switches_data(const struct registry *r)
{
    return !r->data_endpoints || r->data_stage != STAGE_PUBLIC;
}

// ---- its record ----

static void moves(struct going *g, enum connection_state to)
{
    if (g->c.state != to)
        connection_move(&g->c, to, g->x->by, record_text(g->goal, "text"), g->x->now_ms);
}

static void settles(struct going *g)
{
    g->c.provisioning = PROVISIONING_SUCCEEDED;
    g->c.error = "";
}

static int put(struct going *g, const char *phase)
{
    g->out->name = phase;
    return phase_connection(g->x, g->out, &g->c);
}

static int forget(struct going *g, const char *phase)
{
    const struct control_record gone = {arena_printf(g->x->arena, CONNECTION_PREFIX "%s", g->name),
                                        NULL};
    g->out->name = phase;
    return gone.key ? phase_record(g->x, g->out, &gone) : ERR_NOMEM;
}

// ---- its row ----

static int change(struct going *g, struct change *c)
{
    return change_text(g->x, c, &g->out->change);
}

static int put_row(struct going *g, enum private_stage stage, bool data)
{
    struct spec_private row = {.members = g->c.members,
                               .n_members = g->c.n_members,
                               .name = g->name,
                               .registry = g->r->name,
                               .view = g->c.view,
                               .stage = stage,
                               .answered_by = g->c.answered_by};
    struct spec_registry registry;
    struct change c = {.private_endpoints = &row, .n_private_endpoints = 1};
    int rc = 0;
    if (g->row)
        rc = change_private_row(g->x->t, g->r->name, g->row, g->x->arena, &row);
    row.stage = stage;
    if (!rc && data) {
        rc = change_registry_row(g->x->t, g->r, g->x->arena, &registry);
        registry.data_endpoints = true;
        c.registries = &registry;
        c.n_registries = 1;
    }
    return rc ? rc : change(g, &c);
}

static int drop_row(struct going *g, bool data)
{
    struct spec_registry registry;
    struct change c = {.remove_private_endpoints = &g->name, .n_remove_private_endpoints = 1};
    int rc = 0;
    if (data) {
        rc = change_registry_row(g->x->t, g->r, g->x->arena, &registry);
        registry.data_endpoints = true;
        c.registries = &registry;
        c.n_registries = 1;
    }
    return rc ? rc : change(g, &c);
}

// A private endpoint by hand has data names without a word of its registry's: they stay when it goes.
static bool data_would_go(const struct going *g)
{
    return g->r && g->row && !g->r->data_endpoints;
}

// ---- approved ----

int connection_members(const struct plan_ctx *x, const struct registry *r, struct connection *c,
                       const json_t *given, struct plan *out, struct diag *diag)
{
    const struct member_shape shape = shape_of(r);
    const char *const *keys;
    struct allocation a;
    size_t n;
    int rc = shape_keys(x->t, &shape, x->arena, &keys, &n);
    if (!rc)
        rc = allocation_begin(&a, x, diag);
    if (!rc)
        rc = allocation_add(&a, c, keys, n, given);
    if (!rc)
        rc = allocation_end(&a);
    if (!rc && out)
        allocation_notes(&a, out);
    return rc;
}

static int switch_data(struct going *g)
{
    json_t *goal = json_pack("{s:s, s:b}", "registry", g->r->name, "data", 1);
    if (!goal)
        return ERR_NOMEM;
    int rc = registry_step(g->x, goal, g->out, g->diag);
    json_decref(goal);
    if (rc || !g->out->name)
        return rc;
    g->c.provisioning = PROVISIONING_UPDATING;
    return phase_connection(g->x, g->out, &g->c);
}

static int to_edge(struct going *g)
{
    const char **names = arena_array(g->x->arena, 1, sizeof *names);
    int rc = connection_members(g->x, g->r, &g->c, NULL, NULL, g->diag);
    if (rc == ERR_CONFLICT) // an operation that goes on would try again for ever
        rc = ERR_INVAL;
    if (rc || !names)
        return rc ? rc : ERR_NOMEM;
    names[0] = g->name;
    if (g->c.answered_by != ANSWERED_BY_NONE) {
        g->out->waits = WAIT_MEMBERS;
        g->out->members = names;
        g->out->n_members = 1;
    }
    g->c.provisioning = PROVISIONING_UPDATING;
    rc = put_row(g, PRIVATE_AT_EDGE, false);
    return rc ? rc : put(g, "members");
}

static int to_dns(struct going *g)
{
    moves(g, CONNECTION_APPROVED);
    settles(g);
    int rc = put_row(g, PRIVATE_IN_DNS, false);
    return rc ? rc : put(g, "private-dns");
}

static int step_approved(struct going *g)
{
    if (!g->r) {
        refuse(g->diag, "private endpoint connection %s: its registry %s was deleted", g->name,
               g->c.registry);
        return ERR_NOTFOUND;
    }
    int rc = 0;
    if (connection_switches_data(g->r))
        rc = switch_data(g);
    if (rc || g->out->name)
        return rc;
    if (!g->row)
        return to_edge(g);
    if (g->row->stage == PRIVATE_AT_EDGE)
        return to_dns(g);
    if (g->c.state == CONNECTION_APPROVED && g->c.provisioning == PROVISIONING_SUCCEEDED)
        return 0;
    moves(g, CONNECTION_APPROVED);
    settles(g);
    return put(g, "record");
}

// ---- rejected, disconnected, gone ----

static int out_of_dns(struct going *g)
{
    g->c.provisioning = PROVISIONING_UPDATING;
    g->out->rest_s = private_rest_s(g->x);
    int rc = put_row(g, PRIVATE_AT_EDGE, data_would_go(g));
    return rc ? rc : put(g, "private-dns");
}

static int step_down(struct going *g, enum connection_state to, bool gone)
{
    bool in_dns = g->row && g->row->stage == PRIVATE_IN_DNS;
    bool changed = g->c.state != to || g->c.provisioning == PROVISIONING_UPDATING;
    moves(g, to);
    if (in_dns && goal_wants(g->goal, "now") != WANTED)
        return out_of_dns(g);
    settles(g);
    int rc = 0;
    if (g->row)
        rc = drop_row(g, data_would_go(g));
    if (rc)
        return rc;
    if (gone)
        return forget(g, g->row ? "members" : "record");
    if (g->row)
        return put(g, "members");
    return changed ? put(g, "record") : 0;
}

// ---- back to where it was, after an approval that came to nothing ----

// What the operation failed by, for whoever looks at the connection.
static void says_why(struct going *g)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    AUTO_FREE char *key = mem_printf("operation/%s", g->x->operation);
    if (!key || g->x->deps->record(g->x->deps->ctx, key, &text))
        return;
    json_t *record = json_loadb(buf_cstr(&text), text.n, 0, NULL);
    const char *why = record_text(json_object_get(record, "error"), "message");
    const char *copy = NULL;
    if (*why)
        copy = arena_printf(g->x->arena, "%.400s", why);
    json_decref(record);
    if (!copy)
        return;
    g->c.provisioning = PROVISIONING_FAILED;
    g->c.error = copy;
}

// Data endpoints that the approval had switched on.
static int data_back(struct going *g)
{
    if (!g->r || goal_wants(g->goal, "data") != NOT_WANTED)
        return 0;
    json_t *goal = json_pack("{s:s, s:b}", "registry", g->r->name, "data", 0);
    if (!goal)
        return ERR_NOMEM;
    int rc = registry_step(g->x, goal, g->out, g->diag);
    json_decref(goal);
    return rc;
}

static int step_back(struct going *g, enum connection_state to)
{
    bool in_dns = g->row && g->row->stage == PRIVATE_IN_DNS;
    bool changed = g->c.state != to || g->c.provisioning == PROVISIONING_UPDATING;
    moves(g, to);
    if (in_dns)
        return out_of_dns(g);
    settles(g);
    says_why(g);
    int rc = 0;
    if (g->row)
        rc = drop_row(g, data_would_go(g));
    if (rc)
        return rc;
    if (g->row)
        return put(g, "members");
    if (changed)
        return put(g, "record");
    return data_back(g);
}

// ---- the whole ----

static int take_given(struct going *g)
{
    const json_t *record = json_object_get(g->goal, "create");
    AUTO_FREE char *text = record ? json_dumps(record, JSON_COMPACT) : NULL;
    if (!record) {
        refuse(g->diag, "there is no private endpoint connection %s any more", g->name);
        return ERR_NOTFOUND;
    }
    if (!text)
        return ERR_NOMEM;
    return connection_parse(g->name, text, g->x->arena, &g->c);
}

static int step_to(struct going *g, const char *state)
{
    bool back = goal_wants(g->goal, "back") == WANTED;
    if (!strcmp(state, "Approved"))
        return step_approved(g);
    if (!*state)
        return step_down(g, CONNECTION_DISCONNECTED, true);
    enum connection_state to = CONNECTION_PENDING;
    if (!strcmp(state, "Rejected"))
        to = CONNECTION_REJECTED;
    if (!strcmp(state, "Disconnected"))
        to = CONNECTION_DISCONNECTED;
    return back ? step_back(g, to) : step_down(g, to, false);
}

static void find_row(struct going *g)
{
    g->r = topology_registry_by_key(g->x->t, g->c.registry);
    g->row = connection_row(g->r, g->name);
}

// The ledger has nothing of it: it is new, or its row was made by hand, or it has gone.
static int step_without_record(struct going *g)
{
    const char *state = record_text(g->goal, "state");
    if (!*state && !json_object_get(g->goal, "create"))
        return 0;
    int rc = take_given(g);
    if (rc)
        return rc;
    find_row(g);
    if (g->row)
        return step_to(g, state);
    return *state ? put(g, "record") : 0;
}

int connection_step(const struct plan_ctx *x, const json_t *goal, struct phase *out,
                    struct diag *diag)
{
    struct going g = {
        .x = x, .goal = goal, .diag = diag, .out = out, .name = record_text(goal, "connection")};
    const struct ledger_look l = deps_ledger(x->deps);
    *out = (struct phase){0};
    if (!goal) // its one document is in force
        return 0;
    int rc = connection_get(&l, g.name, x->arena, &g.c);
    if (rc == ERR_NOTFOUND)
        return step_without_record(&g);
    if (rc)
        return rc;
    find_row(&g);
    return step_to(&g, record_text(goal, "state"));
}
