// SPDX-License-Identifier: Apache-2.0
// See connection_needs.h.
#include "lifecycle/connection_needs.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/address_pool.h"
#include "lifecycle/record.h"

#include <stdio.h>
#include <string.h>

#define DATA_FORM "registry_data_"
#define REGIONAL_FORM "registry_"
#define NOTES_MAX 8 // in a plan

struct ledger_look deps_ledger(const struct lifecycle_deps *deps)
{
    return (struct ledger_look){deps->ctx, deps->record, deps->records};
}

// ---- shapes ----

const char *member_key_region(const char *key, enum name_kind *out_kind)
{
    *out_kind = NAME_GLOBAL;
    if (!strcmp(key, "registry"))
        return "";
    *out_kind = NAME_DATA;
    if (!strncmp(key, DATA_FORM, strlen(DATA_FORM)))
        return key + strlen(DATA_FORM);
    *out_kind = NAME_REGIONAL;
    if (!strncmp(key, REGIONAL_FORM, strlen(REGIONAL_FORM)))
        return key + strlen(REGIONAL_FORM);
    return NULL;
}

struct member_shape shape_of(const struct registry *r)
{
    return (struct member_shape){r->replica_set, r->regional_endpoints};
}

bool shape_has(const struct topology *t, const struct member_shape *s, const char *key)
{
    enum name_kind kind;
    const char *name = member_key_region(key, &kind);
    const struct region *region = name ? topology_region(t, name) : NULL;
    if (kind == NAME_GLOBAL)
        return name != NULL;
    if (!region || !(s->replicas >> region->index & 1))
        return false;
    return kind == NAME_DATA || s->regional;
}

int shape_keys(const struct topology *t, const struct member_shape *s, struct arena *arena,
               const char *const **out, size_t *out_n)
{
    struct spec_member *list = arena_array(arena, 1 + 2 * t->n_regions, sizeof *list);
    const char **keys = arena_array(arena, 1 + 2 * t->n_regions, sizeof *keys);
    size_t n = 0;
    if (!list || !keys)
        return ERR_NOMEM;
    list[n++] = (struct spec_member){.key = "registry"};
    for (size_t i = 0; i < t->n_regions; i++) {
        if (!(s->replicas >> i & 1))
            continue;
        list[n++] =
            (struct spec_member){.key = arena_printf(arena, DATA_FORM "%s", t->regions[i].name)};
        if (s->regional)
            list[n++] = (struct spec_member){
                .key = arena_printf(arena, REGIONAL_FORM "%s", t->regions[i].name)};
    }
    for (size_t i = 0; i < n; i++)
        if (!list[i].key)
            return ERR_NOMEM;
    members_sort(list, n);
    for (size_t i = 0; i < n; i++)
        keys[i] = list[i].key;
    *out = keys;
    *out_n = n;
    return 0;
}

// ---- the pools at hand ----

int allocation_begin(struct allocation *a, const struct plan_ctx *x, struct diag *diag)
{
    *a = (struct allocation){.x = x, .diag = diag};
    a->pools = arena_array(x->arena, ALLOCATION_POOLS_MAX, sizeof *a->pools);
    return a->pools ? 0 : ERR_NOMEM;
}

static int no_such_pool(struct allocation *a, const struct connection *c)
{
    refuse(a->diag, "private endpoint %s: view %s has no pool %s any more", c->name, c->view,
           c->pool);
    return ERR_INVAL;
}

static int pool_of(struct allocation *a, const struct connection *c, size_t *out)
{
    const struct topology *t = a->x->t;
    const struct view *v = NULL;
    const struct address_pool *p = topology_pool(t, c->pool, &v);
    const struct ledger_look l = deps_ledger(a->x->deps);
    if (!p || strcmp(v->name, c->view) != 0)
        return no_such_pool(a, c);
    for (*out = 0; *out < a->n_pools; ++*out)
        if (a->pools[*out].pool == p)
            return 0;
    if (a->n_pools == ALLOCATION_POOLS_MAX)
        return ERR_TOOBIG;
    struct allocation_pool *mine = &a->pools[a->n_pools];
    *mine = (struct allocation_pool){.pool = p, .view = v};
    int rc = addresses_held(&l, t, (uint32_t)(v - t->views), a->x->sure_ms, NULL, a->x->arena,
                            &mine->held);
    if (!rc)
        *out = a->n_pools++;
    return rc;
}

// ---- one connection ----

static int wish(struct allocation *a, struct connection *c, size_t member, size_t pool)
{
    if (a->n_wishes == a->cap_wishes) {
        size_t cap = a->cap_wishes ? 2 * a->cap_wishes : 64;
        struct allocation_wish *list = arena_array(a->x->arena, cap, sizeof *list);
        if (!list)
            return ERR_NOMEM;
        if (a->n_wishes)
            memcpy(list, a->wishes, a->n_wishes * sizeof *list);
        a->wishes = list;
        a->cap_wishes = cap;
    }
    a->wishes[a->n_wishes++] = (struct allocation_wish){c, member, pool};
    return 0;
}

static int given_addresses(struct allocation *a, const struct connection *c, const char *key,
                           const json_t *list, struct spec_member *out)
{
    size_t n = json_array_size(list);
    struct ip *ips = arena_array(a->x->arena, n + 1, sizeof *ips);
    if (!ips)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        if (ip_parse(record_text_at(list, i), &ips[i])) {
            refuse(a->diag, "private endpoint %s: %s: \"%.80s\" is no IP address", c->name, key,
                   record_text_at(list, i));
            return ERR_INVAL;
        }
    *out = (struct spec_member){key, ips, n};
    return 0;
}

// Are the addresses of a member that the connection had still its own?
static int still_ours(struct allocation *a, const struct connection *c, const struct spec_member *m,
                      bool *out)
{
    const struct topology *t = a->x->t;
    const struct ledger_look l = deps_ledger(a->x->deps);
    const struct view *v = topology_view(t, c->view);
    struct address_set held = {0};
    *out = true;
    if (!v || connection_holds(c, a->x->sure_ms))
        return 0;
    int rc =
        addresses_held(&l, t, (uint32_t)(v - t->views), a->x->sure_ms, c->name, a->x->arena, &held);
    for (size_t i = 0; !rc && i < m->n_ips; i++)
        *out &= !ip_set_contains(held.list, held.n, &m->ips[i]);
    return rc;
}

struct adding {
    struct allocation *a;
    struct connection *c;
    const json_t *given;
    // NO_POOL: a static one
    size_t pool;
    struct spec_member *members;
    size_t n, n_lacking;
    int rc;
};
#define NO_POOL SIZE_MAX

// What the connection keeps though nothing holds it for it any more is nobody else's either.
static int keep(struct adding *d, const struct spec_member *m)
{
    struct allocation *a = d->a;
    if (d->pool == NO_POOL || connection_holds(d->c, a->x->sure_ms))
        return 0;
    struct address_set *held = &a->pools[d->pool].held;
    struct ip *list = arena_array(a->x->arena, held->n + m->n_ips, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    if (held->n)
        memcpy(list, held->list, held->n * sizeof *list);
    memcpy(list + held->n, m->ips, m->n_ips * sizeof *list);
    *held = (struct address_set){list, ip_set_make(list, held->n + m->n_ips)};
    return 0;
}

static void add_missing(struct adding *d, const char *key)
{
    const json_t *given = json_object_get(d->given, key);
    struct allocation *a = d->a;
    struct spec_member *to = &d->members[d->n];
    if (given && d->pool == NO_POOL) {
        d->rc = given_addresses(a, d->c, key, given, to);
        d->n++;
        return;
    }
    if (d->pool == NO_POOL) {
        refuse(a->diag,
               "private endpoint %s (view %s) needs an address for %s: give --ip %s/%s=ADDRESS",
               d->c->name, d->c->view, key, d->c->name, key);
        a->incomplete = true;
        return;
    }
    *to = (struct spec_member){.key = key};
    d->rc = wish(a, d->c, d->n++, d->pool);
    d->n_lacking++;
}

static void add_key(struct adding *d, const char *key)
{
    const struct spec_member *had = members_find(d->c->members, d->c->n_members, key);
    bool ours = had != NULL;
    if (had)
        d->rc = still_ours(d->a, d->c, had, &ours);
    if (d->rc)
        return;
    if (!ours) {
        add_missing(d, key);
        return;
    }
    d->members[d->n++] = *had;
    d->rc = keep(d, had);
}

static int note(struct allocation *a, const char *text)
{
    if (!text)
        return ERR_NOMEM;
    if (a->n_notes == a->cap_notes) {
        size_t cap = a->cap_notes ? 2 * a->cap_notes : 16;
        const char **list = arena_array(a->x->arena, cap, sizeof *list);
        if (!list)
            return ERR_NOMEM;
        if (a->n_notes)
            memcpy(list, a->notes, a->n_notes * sizeof *list);
        a->notes = list;
        a->cap_notes = cap;
    }
    a->notes[a->n_notes++] = text;
    return 0;
}

static unsigned prefix_of(const struct cidr *c)
{
    return ip_is_v4(&c->ip) ? c->bits - 96u : c->bits;
}

static int note_connection(struct adding *d, size_t n_keys)
{
    struct allocation *a = d->a;
    const struct allocation_pool *p;
    if (d->pool == NO_POOL || !d->n_lacking)
        return 0;
    p = &a->pools[d->pool];
    return note(
        a,
        arena_printf(a->x->arena, "members %s/%s: %zu -> %zu of /%u: %llu usable, %llu free ok",
                     d->c->view, d->c->name, n_keys - d->n_lacking, n_keys,
                     prefix_of(&p->pool->subnet), (unsigned long long)address_pool_usable(p->pool),
                     (unsigned long long)address_pool_free(p->pool, p->held.list, p->held.n)));
}

int allocation_add(struct allocation *a, struct connection *c, const char *const *keys,
                   size_t n_keys, const json_t *given)
{
    struct adding d = {.a = a, .c = c, .given = given, .pool = NO_POOL};
    d.members = arena_array(a->x->arena, n_keys + 1, sizeof *d.members);
    if (!d.members)
        return ERR_NOMEM;
    if (*c->pool)
        d.rc = pool_of(a, c, &d.pool);
    for (size_t i = 0; i < n_keys && !d.rc; i++)
        add_key(&d, keys[i]);
    if (d.rc)
        return d.rc;
    c->members = d.members;
    c->n_members = d.n;
    if (d.pool == NO_POOL)
        return 0;
    struct allocation_pool *p = &a->pools[d.pool];
    p->needs += n_keys;
    p->has += n_keys - d.n_lacking;
    p->lacks += d.n_lacking;
    return note_connection(&d, n_keys);
}

// ---- all of them ----

static void refuse_pool(struct allocation *a, const struct allocation_pool *p, uint64_t n_free)
{
    char subnet[CIDR_TEXT_SIZE], would[64] = "no prefix would do";
    int bits = address_pool_prefix_for(p->pool, p->held.list, p->held.n, p->lacks);
    if (bits >= 0)
        snprintf(would, sizeof would, "a /%d would do", bits);
    refuse(a->diag, "pool %s (view %s): needs %zu, has %zu and %llu free in %s; %s", p->pool->name,
           p->view->name, p->needs, p->has, (unsigned long long)n_free,
           cidr_format(&p->pool->subnet, subnet), would);
}

static int give(struct allocation *a, size_t pool)
{
    const struct allocation_pool *p = &a->pools[pool];
    struct ip *ips = arena_array(a->x->arena, p->lacks + 1, sizeof *ips);
    size_t at = 0;
    if (!ips)
        return ERR_NOMEM;
    address_pool_take(p->pool, p->held.list, p->held.n, ips, p->lacks);
    for (size_t i = 0; i < a->n_wishes; i++) {
        struct allocation_wish *w = &a->wishes[i];
        if (w->pool != pool)
            continue;
        w->of->members[w->member].ips = &ips[at++];
        w->of->members[w->member].n_ips = 1;
    }
    return 0;
}

int allocation_end(struct allocation *a)
{
    int rc = 0;
    if (a->incomplete)
        rc = ERR_INVAL;
    for (size_t i = 0; i < a->n_pools; i++) {
        const struct allocation_pool *p = &a->pools[i];
        uint64_t n_free = address_pool_free(p->pool, p->held.list, p->held.n);
        if (n_free >= p->lacks)
            continue;
        refuse_pool(a, p, n_free);
        rc = ERR_CONFLICT;
    }
    for (size_t i = 0; i < a->n_pools && !rc; i++)
        rc = give(a, i);
    return rc;
}

void allocation_notes(const struct allocation *a, struct plan *out)
{
    for (size_t i = 0; i < a->n_notes && i < NOTES_MAX && out->n_notes < PLAN_NOTES_MAX; i++)
        out->notes[out->n_notes++] = a->notes[i];
    if (a->n_notes <= NOTES_MAX || out->n_notes == PLAN_NOTES_MAX)
        return;
    const char *more = arena_printf(a->x->arena, "members of %zu more private endpoints, likewise",
                                    a->n_notes - NOTES_MAX);
    if (more)
        out->notes[out->n_notes++] = more;
}
