// SPDX-License-Identifier: Apache-2.0
// The connections of registries on their way to a goal: their records have the addresses of members
// that come from the first document on, so that nobody else gets them, and lose those of names that
// have gone. See registry_goal_priv.h.
#include "base/err.h"
#include "base/mem.h"
#include "lifecycle/connection_needs.h"
#include "lifecycle/connection_step.h"
#include "lifecycle/record.h"
#include "lifecycle/registry_goal_priv.h"

#include <string.h>

// ---- names, after this step and in the end ----

static struct member_shape shape_now(const struct work *w)
{
    struct member_shape s = {.regional = w->row.regional_endpoints};
    for (size_t i = 0; i < w->row.n_replicas; i++) {
        const struct region *r = topology_region(w->x->t, w->row.replicas[i].region);
        if (r)
            s.replicas |= (region_set)1 << r->index;
    }
    return s;
}

static struct member_shape shape_in_the_end(const struct work *w)
{
    struct member_shape s = shape_now(w);
    enum wanted regional = goal_wants(w->goal, "regional");
    if (regional != NOT_SAID)
        s.regional = regional == WANTED;
    for (size_t i = 0; i < w->x->t->n_regions; i++) {
        enum wanted wanted = goal_wants(goal_replica(w->goal, w->x->t->regions[i].name), "present");
        if (wanted == WANTED)
            s.replicas |= (region_set)1 << i;
        if (wanted == NOT_WANTED)
            s.replicas &= ~((region_set)1 << i);
    }
    return s;
}

// Are all names of the registry where they are to stay?
static bool all_public(const struct work *w)
{
    const struct spec_registry *r = &w->row;
    bool is = !r->stage && (!r->regional_endpoints || !r->regional_stage) && !r->data_stage;
    for (size_t i = 0; i < r->n_replicas; i++)
        is &= !r->replicas[i].stage;
    return is;
}

// ---- one connection ----

static int given_member(const struct work *w, const char *key, const json_t *list,
                        struct spec_member *out)
{
    size_t n = json_array_size(list);
    struct ip *ips = arena_array(w->x->arena, n + 1, sizeof *ips);
    if (!ips)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        if (ip_parse(record_text_at(list, i), &ips[i]))
            return ERR_INVAL;
    *out = (struct spec_member){arena_strdup(w->x->arena, key), ips, n};
    return out->key ? 0 : ERR_NOMEM;
}

static int members_after(const struct work *w, struct connection *c)
{
    const struct member_shape now = shape_now(w), end = shape_in_the_end(w);
    const struct topology *t = w->x->t;
    const json_t *given = json_object_get(json_object_get(w->goal, "ip"), c->name);
    struct spec_member *list =
        arena_array(w->x->arena, c->n_members + json_object_size(given) + 1, sizeof *list);
    const char *key;
    json_t *addresses;
    size_t n = 0;
    if (!list)
        return ERR_NOMEM;
    for (size_t i = 0; i < c->n_members; i++)
        if (shape_has(t, &now, c->members[i].key) || shape_has(t, &end, c->members[i].key))
            list[n++] = c->members[i];
    json_object_foreach((json_t *)given, key, addresses)
    {
        if (!shape_has(t, &end, key) || members_find(list, n, key))
            continue;
        int rc = given_member(w, key, addresses, &list[n++]);
        if (rc)
            return rc;
    }
    members_sort(list, n);
    c->members = list;
    c->n_members = n;
    return 0;
}

// A row of the step's document that lacks a member which the connection has.
static bool row_lacks(const struct work *w, const struct connection *c)
{
    for (size_t i = 0; i < w->n_privates; i++) {
        const struct spec_private *row = &w->privates[i].row;
        if (strcmp(row->name, c->name) != 0)
            continue;
        for (size_t k = 0; k < c->n_members; k++)
            if (!members_find(row->members, row->n_members, c->members[k].key))
                return true;
    }
    return false;
}

static int connection_after(const struct work *w, const struct connection *before,
                            struct phase *out)
{
    struct connection c = *before;
    struct control_record was, is;
    int rc = members_after(w, &c);
    if (rc)
        return rc;
    bool moves = !all_public(w) || row_lacks(w, &c);
    if (moves || c.provisioning == PROVISIONING_UPDATING) {
        c.provisioning = moves ? PROVISIONING_UPDATING : PROVISIONING_SUCCEEDED;
        c.error = "";
    }
    rc = connection_record(before, w->x->arena, &was);
    if (!rc)
        rc = connection_record(&c, w->x->arena, &is);
    if (rc || !strcmp(was.value, is.value))
        return rc;
    return phase_record(w->x, out, &is);
}

// ---- all of them ----

static int all_connections(const struct work *w, size_t n, struct connection **out, size_t *out_n)
{
    const struct ledger_look l = deps_ledger(w->x->deps);
    const char *key = NULL;
    *out_n = 0;
    if (n == 1 && !w->r) // one that is being made has none
        return 0;
    if (n == 1)
        key = w->r->key;
    return connections_of(&l, key, w->x->arena, out, out_n);
}

int works_connections(struct work *w, size_t n, struct phase *out)
{
    struct connection *list;
    size_t n_list;
    int rc = all_connections(w, n, &list, &n_list);
    for (size_t i = 0; !rc && n_list && i < n; i++)
        for (size_t k = 0; !rc && w[i].r && k < n_list; k++) {
            bool counts =
                list[k].state == CONNECTION_PENDING || list[k].state == CONNECTION_APPROVED;
            if (counts && !strcmp(list[k].registry, w[i].r->key))
                rc = connection_after(&w[i], &list[k], out);
        }
    return rc;
}

// Members of rows that change, which somebody has to hear before a name leads there.
int works_members_wait(struct work *w, size_t n, struct phase *out)
{
    size_t n_rows = 0;
    for (size_t i = 0; i < n; i++)
        n_rows += w[i].n_privates;
    const char **names = arena_array(w->x->arena, n_rows + 1, sizeof *names);
    if (!names)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < w[i].n_privates; k++) {
            const struct work_private *p = &w[i].privates[k];
            if (p->changed && p->row.answered_by != ANSWERED_BY_NONE)
                names[out->n_members++] = p->row.name;
        }
    out->members = names;
    if (out->n_members)
        out->waits |= WAIT_MEMBERS;
    return 0;
}
