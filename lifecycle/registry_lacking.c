// SPDX-License-Identifier: Apache-2.0
// Which members a registry's private endpoints will be lacking when a goal is reached, and where
// their addresses come from: from the pool of each connection, or with the request. All are counted
// before anything is changed. See registry_goal.h.
#include "base/err.h"
#include "base/mem.h"
#include "lifecycle/connection_needs.h"
#include "lifecycle/record.h"
#include "lifecycle/registry_goal_priv.h"

#include <string.h>

struct lacking {
    struct work w;
    json_t *goal;
    struct plan *out;
    // members of names that come
    const char *keys[2 * TOPOLOGY_MAX_REGIONS];
    size_t n;
    // of the registry: Pending and Approved, and behind them the others
    struct connection *connections;
    size_t n_connections, n_all;
};

// ---- what comes ----

static void come(struct lacking *l, const char *form, const char *region)
{
    l->keys[l->n] = arena_printf(l->w.x->arena, "%s%s", form, region);
    if (l->keys[l->n])
        l->n++;
    else
        l->w.nomem = true;
}

static void coming_names(struct lacking *l)
{
    struct work *w = &l->w;
    bool regional_now = w->row.regional_endpoints;
    bool regional = regional_now;
    enum wanted wanted = goal_wants(w->goal, "regional");
    if (wanted != NOT_SAID)
        regional = wanted == WANTED;
    for (size_t i = 0; i < w->x->t->n_regions; i++) {
        const char *region = w->x->t->regions[i].name;
        bool is_there = work_replica(w, region) != NULL;
        bool comes = !is_there && goal_wants(goal_replica(w->goal, region), "present") == WANTED;
        bool goes_away = goal_wants(goal_replica(w->goal, region), "present") == NOT_WANTED;
        if (comes)
            come(l, "registry_data_", region);
        if (regional && (comes || (is_there && !goes_away && !regional_now)))
            come(l, "registry_", region);
    }
}

static bool is_coming(const struct lacking *l, const char *key)
{
    for (size_t i = 0; i < l->n; i++)
        if (!strcmp(l->keys[i], key))
            return true;
    return false;
}

static const json_t *given_to(const struct lacking *l, const char *name)
{
    return json_object_get(json_object_get(l->goal, "ip"), name);
}

// ---- who is there ----

static const struct connection *connection_named(const struct lacking *l, const char *name)
{
    for (size_t i = 0; i < l->n_connections; i++)
        if (!strcmp(l->connections[i].name, name))
            return &l->connections[i];
    return NULL;
}

static bool has_record(const struct lacking *l, const char *name)
{
    for (size_t i = 0; i < l->n_all; i++)
        if (!strcmp(l->connections[i].name, name))
            return true;
    return false;
}

static bool has_private(const struct lacking *l, const char *name)
{
    for (size_t i = 0; i < l->w.n_privates; i++)
        if (!strcmp(l->w.privates[i].row.name, name))
            return true;
    return connection_named(l, name) != NULL;
}

static int find_connections(struct lacking *l)
{
    const struct ledger_look look = deps_ledger(l->w.x->deps);
    size_t n = 0, all = 0;
    int rc = connections_of(&look, l->w.r ? l->w.r->key : l->w.name, l->w.x->arena, &l->connections,
                            &all);
    for (size_t i = 0; !rc && i < all; i++) {
        const struct connection c = l->connections[i];
        if (c.state != CONNECTION_PENDING && c.state != CONNECTION_APPROVED)
            continue;
        l->connections[i] = l->connections[n];
        l->connections[n++] = c;
    }
    l->n_connections = n;
    l->n_all = all;
    return rc;
}

// ---- what was given ----

static int unasked_one(const struct lacking *l, const char *name, const char *key,
                       const json_t *list)
{
    const struct connection *c = connection_named(l, name);
    if (!is_coming(l, key) || !json_array_size(list)) {
        refuse(l->w.diag, "private endpoint %s: this change brings no %.80s to give an address to",
               name, key);
        return ERR_INVAL;
    }
    if (!c || !*c->pool)
        return 0;
    refuse(l->w.diag, "private endpoint %s: its addresses come from pool %s: give none", name,
           c->pool);
    return ERR_INVAL;
}

static int unasked(const struct lacking *l)
{
    const char *name, *key;
    json_t *members, *list;
    int rc = 0;
    json_object_foreach(json_object_get(l->goal, "ip"), name, members)
    {
        if (!has_private(l, name)) {
            refuse(l->w.diag, "registry %s has no private endpoint %.80s", l->w.name, name);
            rc = ERR_INVAL;
            continue;
        }
        json_object_foreach(members, key, list)
        {
            if (unasked_one(l, name, key, list))
                rc = ERR_INVAL;
        }
    }
    return rc;
}

// ---- what is lacking ----

// A row that has no connection yet: of before there were any.
static int lacking_row(const struct lacking *l, const struct spec_private *row)
{
    const json_t *given = given_to(l, row->name);
    int rc = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (json_object_get(given, l->keys[i]) ||
            members_find(row->members, row->n_members, l->keys[i]))
            continue;
        refuse(l->w.diag,
               "private endpoint %s (view %s) needs an address for %s: give --ip %s/%s=ADDRESS",
               row->name, row->view, l->keys[i], row->name, l->keys[i]);
        rc = ERR_INVAL;
    }
    return rc;
}

static int lacking_rows(const struct lacking *l)
{
    int rc = 0;
    for (size_t i = 0; i < l->w.n_privates; i++) {
        const struct spec_private *row = &l->w.privates[i].row;
        if (!has_record(l, row->name) && lacking_row(l, row))
            rc = ERR_INVAL;
    }
    return rc;
}

// What it has, and what comes.
static int keys_of(const struct lacking *l, const struct connection *c, const char ***out,
                   size_t *out_n)
{
    const char **keys = arena_array(l->w.x->arena, c->n_members + l->n + 1, sizeof *keys);
    struct spec_member *all = arena_array(l->w.x->arena, c->n_members + l->n + 1, sizeof *all);
    size_t n = 0;
    if (!keys || !all)
        return ERR_NOMEM;
    for (size_t i = 0; i < c->n_members; i++)
        all[n++] = c->members[i];
    for (size_t i = 0; i < l->n; i++)
        if (!members_find(c->members, c->n_members, l->keys[i]))
            all[n++] = (struct spec_member){.key = l->keys[i]};
    members_sort(all, n);
    for (size_t i = 0; i < n; i++)
        keys[i] = all[i].key;
    *out = keys;
    *out_n = n;
    return 0;
}

static int put_address(json_t *ip, const char *name, const struct spec_member *m)
{
    json_t *of = json_object_get(ip, name), *list = json_array();
    char text[IP_TEXT_SIZE];
    if (!of) {
        of = json_object();
        if (json_object_set_new(ip, name, of))
            return ERR_NOMEM;
    }
    for (size_t i = 0; list && i < m->n_ips; i++)
        json_array_append_new(list, json_string(ip_format(&m->ips[i], text)));
    return json_object_set_new(of, m->key, list) ? ERR_NOMEM : 0;
}

// The addresses that pools gave go into the goal, beside those that came with the request.
static int put_addresses(struct lacking *l)
{
    json_t *ip = json_object_get(l->goal, "ip");
    if (!ip) {
        ip = json_object();
        if (json_object_set_new(l->goal, "ip", ip))
            return ERR_NOMEM;
    }
    for (size_t i = 0; i < l->n_connections; i++) {
        const struct connection *c = &l->connections[i];
        for (size_t k = 0; *c->pool && k < c->n_members; k++) {
            int rc = 0;
            if (is_coming(l, c->members[k].key))
                rc = put_address(ip, c->name, &c->members[k]);
            if (rc)
                return rc;
        }
    }
    return 0;
}

static int lacking_connections(struct lacking *l)
{
    struct allocation a;
    int rc = allocation_begin(&a, l->w.x, l->w.diag);
    for (size_t i = 0; !rc && i < l->n_connections; i++) {
        struct connection *c = &l->connections[i];
        const char **keys;
        size_t n;
        rc = keys_of(l, c, &keys, &n);
        if (!rc)
            rc = allocation_add(&a, c, keys, n, given_to(l, c->name));
    }
    if (!rc)
        rc = allocation_end(&a);
    if (!rc)
        allocation_notes(&a, l->out);
    if (!rc)
        rc = put_addresses(l);
    return rc;
}

int registry_goal_members(const struct plan_ctx *x, json_t *goal, struct plan *out,
                          struct diag *diag)
{
    struct lacking l = {.goal = goal, .out = out};
    int rc = work_begin(&l.w, x, goal, diag);
    if (!rc)
        rc = find_connections(&l);
    if (rc)
        return rc;
    coming_names(&l);
    if (l.w.nomem)
        return ERR_NOMEM;
    rc = unasked(&l);
    int rows = lacking_rows(&l);
    if (rc || rows)
        return ERR_INVAL;
    if (!l.n || !l.n_connections)
        return 0;
    return lacking_connections(&l);
}
