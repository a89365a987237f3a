// SPDX-License-Identifier: Apache-2.0
// See private_list.h.
#include "lifecycle/private_list.h"

#include "base/clock.h"
#include "base/err.h"
#include "config/catalogue.h"
#include "control/change.h"
#include "lifecycle/connection_goal.h"
#include "lifecycle/connection_needs.h"

#include <stdlib.h>
#include <string.h>

struct listing {
    const struct topology *t;
    const struct ledger_look *l;
    const struct private_filter *f;
    int64_t now_ms;
    struct arena arena;
    struct connection *list;
    size_t n, cap;
};

// The name in a registry's key, in the arena.
static const char *registry_name(struct listing *x, const struct connection *c)
{
    return arena_strndup(&x->arena, c->registry, strcspn(c->registry, "@"));
}

static bool fits(const char *wanted, const char *is)
{
    return !wanted || !strcmp(wanted, is);
}

// ---- gathering ----

static int add(struct listing *x, const struct connection *c)
{
    const char *registry = registry_name(x, c);
    if (!registry)
        return ERR_NOMEM;
    if (!fits(x->f->registry, registry) || !fits(x->f->view, c->view) || !fits(x->f->name, c->name))
        return 0;
    if (x->n == x->cap) {
        size_t cap = x->cap ? 2 * x->cap : 64;
        struct connection *list = arena_array(&x->arena, cap, sizeof *list);
        if (!list)
            return ERR_NOMEM;
        if (x->n)
            memcpy(list, x->list, x->n * sizeof *list);
        x->list = list;
        x->cap = cap;
    }
    x->list[x->n++] = *c;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct connection *)a)->name, ((const struct connection *)b)->name);
}

// In a list by name.
static bool has_record(const struct connection *list, size_t n, const char *name)
{
    const struct connection wanted = {.name = name};
    return n && bsearch(&wanted, list, n, sizeof *list, by_name);
}

static int add_row(struct listing *x, const struct registry *r, const struct private_endpoint *pe)
{
    struct spec_private row;
    int rc = change_private_row(x->t, r->name, pe, &x->arena, &row);
    if (rc)
        return rc;
    struct connection c = {.name = pe->name,
                           .registry = r->key,
                           .view = row.view,
                           .pool = "",
                           .is_static = true,
                           .error = "",
                           .state = CONNECTION_PENDING,
                           .members = (struct spec_member *)row.members,
                           .n_members = row.n_members,
                           .answered_by = (enum answered_by)pe->answered_by};
    if (pe->stage == PRIVATE_IN_DNS)
        c.state = CONNECTION_APPROVED;
    members_sort(c.members, c.n_members);
    return add(x, &c);
}

static int add_rows(struct listing *x, const struct connection *known, size_t n_known)
{
    struct catalogue_iter it = {0};
    int rc = 0;
    for (const struct registry *r; !rc && (r = topology_next(x->t, &it));)
        for (size_t i = 0; !rc && i < r->n_private_endpoints; i++)
            if (!has_record(known, n_known, r->private_endpoints[i]->name))
                rc = add_row(x, r, r->private_endpoints[i]);
    return rc;
}

// Those that have a record, by name: all, or the one that is asked for.
static int records(struct listing *x, struct connection **out, size_t *out_n)
{
    if (!x->l)
        return 0;
    if (!x->f->name)
        return connections_of(x->l, NULL, &x->arena, out, out_n);
    *out = arena_alloc(&x->arena, sizeof **out);
    if (!*out)
        return ERR_NOMEM;
    int rc = connection_get(x->l, x->f->name, &x->arena, *out);
    *out_n = rc == 0;
    return rc == ERR_NOTFOUND ? 0 : rc;
}

static int gather(struct listing *x)
{
    struct connection *known = NULL;
    size_t n_known = 0;
    int rc = records(x, &known, &n_known);
    bool is_found = x->f->name && n_known;
    for (size_t i = 0; !rc && i < n_known; i++)
        rc = add(x, &known[i]);
    if (!rc && !is_found)
        rc = add_rows(x, known, n_known);
    if (!rc && x->n)
        qsort(x->list, x->n, sizeof *x->list, by_name);
    return rc;
}

// ---- showing ----

static json_t *time_json(int64_t ms)
{
    char text[CLOCK_TEXT_SIZE];
    if (!ms)
        return json_null();
    return json_string(clock_format(ms, text));
}

static json_t *addresses_json(const struct spec_member *m)
{
    json_t *list = json_array();
    char text[IP_TEXT_SIZE];
    for (size_t i = 0; list && i < m->n_ips; i++)
        json_array_append_new(list, json_string(ip_format(&m->ips[i], text)));
    return list;
}

// The public name that leads there, or is to; "" when the registry is gone.
static void member_name(const struct topology *t, const struct registry *r, const char *key,
                        char out[HOSTNAME_TEXT_SIZE])
{
    enum name_kind kind;
    const char *region = member_key_region(key, &kind);
    out[0] = 0;
    if (!r || !region)
        return;
    if (hostname_format(kind, t->domain, r->label, *region ? region : NULL, NULL, out))
        out[0] = 0;
}

static json_t *members_json(const struct listing *x, const struct registry *r,
                            const struct connection *c)
{
    json_t *list = json_array();
    char name[HOSTNAME_TEXT_SIZE];
    for (size_t i = 0; list && i < c->n_members; i++) {
        member_name(x->t, r, c->members[i].key, name);
        json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "memberName", c->members[i].key,
                                              "fqdn", name, "privateIpAddresses",
                                              addresses_json(&c->members[i])));
    }
    return list;
}

static json_t *moves_json(const struct connection *c)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < c->n_moves; i++) {
        const struct connection_move *m = &c->moves[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:s}", "status",
                                              connection_state_word(m->state), "by", m->by, "at",
                                              time_json(m->at_ms), "description", m->text));
    }
    return list;
}

static json_t *state_json(const struct connection *c)
{
    const char *text = c->n_moves ? c->moves[c->n_moves - 1].text : "";
    const char *actions = "None";
    if (c->state == CONNECTION_DISCONNECTED)
        actions = "Recreate";
    return json_pack("{s:s, s:s, s:s}", "status", connection_state_word(c->state), "description",
                     text, "actionsRequired", actions);
}

static json_t *one_json(struct listing *x, const struct connection *c)
{
    const struct registry *r = topology_registry_by_key(x->t, c->registry);
    const struct private_endpoint *row = connection_row(r, c->name);
    json_t *in_dns = json_null();
    if (row)
        in_dns = json_boolean(row->stage == PRIVATE_IN_DNS);
    bool is_over = c->state == CONNECTION_REJECTED || c->state == CONNECTION_DISCONNECTED;
    bool rests = is_over && c->rest_ms > x->now_ms;
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:s, s:[s], s:s, s:b, s:o, s:o, s:o, s:o}",
                     "name", c->name, "registry", registry_name(x, c), "view", c->view, "pool",
                     c->pool, "privateLinkServiceConnectionState", state_json(c),
                     "provisioningState", connection_provisioning_word(c->provisioning), "error",
                     c->error, "groupIds", "registry", "answeredBy",
                     answered_by_word(c->answered_by), "auto", (int)c->automatic, "inDns", in_dns,
                     "ipConfigurations", members_json(x, r, c), "restsUntil",
                     time_json(rests ? c->rest_ms : 0), "moves", moves_json(c));
}

json_t *private_endpoints_json(const struct topology *t, const struct ledger_look *l,
                               const struct private_filter *f, int64_t now_ms)
{
    struct listing x = {.t = t, .l = l, .f = f, .now_ms = now_ms};
    json_t *list = json_array();
    arena_init(&x.arena, 0);
    int rc = gather(&x);
    for (size_t i = 0; !rc && i < x.n; i++)
        if (json_array_append_new(list, one_json(&x, &x.list[i])))
            rc = ERR_NOMEM;
    arena_done(&x.arena);
    if (!rc)
        return json_pack("{s:o}", "privateEndpoints", list);
    json_decref(list);
    return NULL;
}
