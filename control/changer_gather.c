// SPDX-License-Identifier: Apache-2.0
// The registries that a change touches, as they would be; see changer_priv.h.
//
// Invariants
// 1. Each registry that the change touches stands once in touched.all, which never moves: names
//    points into it.
#include "control/changer_priv.h"

#include "config/registry_key.h"

#include <assert.h>
#include <string.h>

static bool holds(const struct htab *h, const char *name)
{
    return htab_get(h, name, strlen(name)) != NULL;
}

// What is there under the name stays.
static void put(struct touched *x, struct htab *h, const char *name, void *value)
{
    if (!holds(h, name) && htab_put(h, name, strlen(name), value))
        x->ctx->nomem = true;
}

static void remember(struct touched *x, const struct registry *r)
{
    assert(x->n < x->cap); // invariant 1
    x->all[x->n] = *r;
    put(x, x->names, r->name, &x->all[x->n]);
    x->n++;
}

// A registry that stays, whose private endpoints change: as it is, unless a row gives it anew.
static void touch(struct touched *x, const char *name)
{
    if (holds(x->removed, name) || holds(x->names, name))
        return;
    const struct catalogue_registry *rec = catalogue_find_name(x->t->catalogue, name);
    if (!rec)
        return; // unknown: private_specs_build says so
    struct registry_room *room = arena_alloc(x->ctx->arena, sizeof *room);
    struct registry r;
    if (!room) {
        x->ctx->nomem = true;
        return;
    }
    catalogue_expand(rec, room, &r);
    remember(x, &r);
}

static int registry_row_line(const struct change *c, const char *name, const char *key)
{
    for (size_t i = 0; i < c->n_registries; i++)
        if (c->registries[i].name && !strcmp(c->registries[i].name, name))
            return doc_key_line(c->registries[i].node, key);
    return 0;
}

// A registry that is there keeps its incarnation; one that the change creates has the change's.
static void gather_incarnation(struct touched *x, const struct catalogue_registry *old,
                               struct registry *r)
{
    uint64_t given = r->incarnation, right = x->change->incarnation;
    const char *what = "the version that creates it";
    if (old) {
        right = catalogue_incarnation(old);
        what = "as long as it lives it keeps the one that it has";
    }
    r->incarnation = right;
    r->key = r->name;
    if (given && given != right)
        options_error(x->ctx, registry_row_line(x->change, r->name, "incarnation"),
                      "registry %s: its incarnation is %llu, not %llu: %s", r->name,
                      (unsigned long long)right, (unsigned long long)given, what);
    if (!right)
        return;
    char *key = arena_alloc(x->ctx->arena, REGISTRY_KEY_SIZE);
    if (key)
        r->key = registry_key_format(r->name, right, key);
    else
        x->ctx->nomem = true;
}

// The rows; what is there under their names keeps its private endpoints.
static void gather_rows(struct touched *x)
{
    struct registry *rows = NULL;
    size_t n_rows = 0;
    registry_specs_build(x->ctx, x->t, x->change->registries, x->change->n_registries, &rows,
                         &n_rows);
    for (size_t i = 0; i < n_rows && !x->ctx->nomem; i++) {
        struct registry *r = &rows[i];
        const struct catalogue_registry *old = catalogue_find_name(x->t->catalogue, r->name);
        if (old)
            r->n_private_endpoints =
                catalogue_private_endpoints(x->t->catalogue, old, &r->private_endpoints);
        if (*r->name)
            gather_incarnation(x, old, r);
        remember(x, r);
    }
}

static void gather_removed_one(struct touched *x, const char *name, int line)
{
    if (!catalogue_find_name(x->t->catalogue, name)) {
        options_error(x->ctx, line, "remove: there is no registry %.80s", name);
        return;
    }
    if (holds(x->names, name)) {
        options_error(x->ctx, line, "remove: registry %s is given under registries too", name);
        return;
    }
    if (holds(x->removed, name)) {
        options_error(x->ctx, line, "remove: registry %s is given twice", name);
        return;
    }
    put(x, x->removed, name, (void *)name);
}

static void gather_removed(struct touched *x)
{
    const struct change *c = x->change;
    for (size_t i = 0; i < c->n_remove && !x->ctx->nomem; i++)
        if (c->remove[i])
            gather_removed_one(x, c->remove[i], doc_item_line(c->node, "remove", i));
}

static void gather_gone_one(struct touched *x, const char *name, int line)
{
    const struct private_owner *o = private_index_name(x->index, name);
    if (!o) {
        options_error(x->ctx, line, "remove_private_endpoints: there is no private endpoint %.80s",
                      name);
        return;
    }
    if (holds(x->gone, name)) {
        options_error(x->ctx, line, "remove_private_endpoints: private endpoint %s is given twice",
                      name);
        return;
    }
    put(x, x->gone, name, (void *)name);
    touch(x, o->registry);
}

// A row replaces the private endpoint of its name, which may have led to another registry.
static void gather_replaced(struct touched *x, const struct spec_private *p)
{
    const struct private_owner *o = NULL;
    if (p->name)
        o = private_index_name(x->index, p->name);
    if (o) {
        put(x, x->gone, p->name, (void *)p->name);
        touch(x, o->registry);
    }
    if (p->registry)
        touch(x, p->registry);
}

// The private endpoints that go: those that the change names, and those that a row replaces.
static void gather_gone(struct touched *x)
{
    const struct change *c = x->change;
    for (size_t i = 0; i < c->n_remove_private_endpoints && !x->ctx->nomem; i++) {
        const char *name = c->remove_private_endpoints[i];
        if (name)
            gather_gone_one(x, name, doc_item_line(c->node, "remove_private_endpoints", i));
    }
    for (size_t i = 0; i < c->n_private_endpoints && !x->ctx->nomem; i++)
        gather_replaced(x, &c->private_endpoints[i]);
}

// Takes what goes out of a registry's list and out of the index. `out` has room for all n. Returns
// how many stay.
static size_t drop_gone(struct touched *x, const char *registry,
                        const struct private_endpoint *const *list, size_t n,
                        const struct private_endpoint **out)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (!holds(x->gone, list[i]->name))
            out[kept++] = list[i];
        else if (x->index)
            private_index_remove(x->index, registry, list[i]);
    }
    return kept;
}

static const struct private_endpoint **room_for(struct touched *x, size_t n)
{
    const struct private_endpoint **list = arena_array(x->ctx->arena, n + 1, sizeof *list);
    if (!list)
        x->ctx->nomem = true;
    return list;
}

static void take_from_touched(struct touched *x, struct registry *r)
{
    size_t n = r->n_private_endpoints;
    const struct private_endpoint **kept = NULL;
    if (n)
        kept = room_for(x, n);
    if (!kept)
        return;
    r->n_private_endpoints = drop_gone(x, r->name, r->private_endpoints, n, kept);
    r->private_endpoints = kept;
}

// A registry goes only with all of its private endpoints.
static void take_from_removed(struct touched *x, const char *name, int line)
{
    const struct catalogue_registry *r = catalogue_find_name(x->t->catalogue, name);
    const struct private_endpoint *const *list;
    size_t n = 0;
    if (r)
        n = catalogue_private_endpoints(x->t->catalogue, r, &list);
    const struct private_endpoint **kept = NULL;
    if (n)
        kept = room_for(x, n);
    if (kept && drop_gone(x, name, list, n, kept))
        options_error(x->ctx, line,
                      "remove: private endpoint %s leads to registry %s; remove it too",
                      kept[0]->name, name);
}

static void take_away(struct touched *x)
{
    const struct change *c = x->change;
    for (size_t i = 0; i < x->n; i++)
        take_from_touched(x, &x->all[i]);
    for (size_t i = 0; i < c->n_remove; i++)
        if (c->remove[i])
            take_from_removed(x, c->remove[i], doc_item_line(c->node, "remove", i));
}

void touched_gather(struct touched *x)
{
    const struct change *c = x->change;
    // a row names one registry; a private endpoint its own and that of the one it replaces
    x->cap = c->n_registries + 2 * c->n_private_endpoints + c->n_remove_private_endpoints;
    x->all = arena_array(x->ctx->arena, x->cap + 1, sizeof *x->all);
    x->names = htab_new();
    x->removed = htab_new();
    x->gone = htab_new();
    if (!x->all || !x->names || !x->removed || !x->gone) {
        x->ctx->nomem = true;
        return;
    }
    gather_rows(x);
    gather_removed(x);
    if (x->index)
        gather_gone(x);
    take_away(x);
}

void touched_done(struct touched *x)
{
    htab_free(x->names);
    htab_free(x->removed);
    htab_free(x->gone);
}
