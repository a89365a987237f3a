// SPDX-License-Identifier: Apache-2.0
// Uniqueness of private endpoints; see private_index.h. One table; keys begin with a letter for
// what they are.
#include "config/private_index.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/catalogue.h"

#include <string.h>

struct private_index {
    // of owners; what was removed stays until the end
    struct arena arena;
    struct htab *keys;
};

struct key {
    char b[160];
    size_t n;
};

static struct key key_of(char kind, const char *text, const void *more, size_t n_more)
{
    struct key k;
    size_t n = strnlen(text, 100);
    k.b[0] = kind;
    memcpy(k.b + 1, text, n);
    k.b[1 + n] = 0; // no text has it: what follows is told apart
    memcpy(k.b + 2 + n, more, n_more);
    k.n = 2 + n + n_more;
    return k;
}

static struct key view_key(const char *registry, uint32_t view)
{
    return key_of('v', registry, &view, sizeof view);
}

static struct key address_key(uint32_t view, const struct ip *ip)
{
    uint8_t b[sizeof view + sizeof ip->b];
    memcpy(b, &view, sizeof view);
    memcpy(b + sizeof view, ip->b, sizeof ip->b);
    return key_of('a', "", b, sizeof b);
}

struct private_index *private_index_new(void)
{
    struct private_index *x = mem_zalloc(sizeof *x);
    if (!x)
        return NULL;
    arena_init(&x->arena, 0);
    x->keys = htab_new();
    if (x->keys)
        return x;
    free(x);
    return NULL;
}

void private_index_free(struct private_index *x)
{
    if (!x)
        return;
    htab_free(x->keys);
    arena_done(&x->arena);
    free(x);
}

static const struct private_owner *get(const struct private_index *x, struct key k)
{
    return htab_get(x->keys, k.b, k.n);
}

static int put(struct private_index *x, struct key k, const struct private_owner *o)
{
    return htab_put(x->keys, k.b, k.n, (void *)o);
}

const struct private_owner *private_index_name(const struct private_index *x, const char *name)
{
    return get(x, key_of('n', name, "", 0));
}

const struct private_owner *private_index_view(const struct private_index *x, const char *registry,
                                               uint32_t view)
{
    return get(x, view_key(registry, view));
}

const struct private_owner *private_index_address(const struct private_index *x, uint32_t view,
                                                  const struct ip *ip)
{
    return get(x, address_key(view, ip));
}

int private_index_owner(struct private_index *x, const struct private_owner *o,
                        const struct private_owner **out)
{
    struct private_owner *mine = arena_copy(&x->arena, o, sizeof *o);
    const char *name = arena_strdup(&x->arena, o->name),
               *registry = arena_strdup(&x->arena, o->registry);
    if (!mine || !name || !registry)
        return ERR_NOMEM;
    mine->name = name;
    mine->registry = registry;
    *out = mine;
    return 0;
}

int private_index_put_name(struct private_index *x, const struct private_owner *o)
{
    return put(x, key_of('n', o->name, "", 0), o);
}

int private_index_put_view(struct private_index *x, const struct private_owner *o, uint32_t view)
{
    return put(x, view_key(o->registry, view), o);
}

int private_index_put_address(struct private_index *x, const struct private_owner *o, uint32_t view,
                              const struct ip *ip)
{
    return put(x, address_key(view, ip), o);
}

static int add_endpoint(struct private_index *x, const char *registry,
                        const struct private_endpoint *pe)
{
    const struct private_owner *o;
    int rc = private_index_owner(x, &(struct private_owner){pe->name, registry, 0}, &o);
    if (!rc)
        rc = private_index_put_name(x, o);
    if (!rc)
        rc = private_index_put_view(x, o, pe->view);
    for (size_t i = 0; !rc && i < pe->n_members; i++)
        // members of one endpoint may share an address
        if (!private_index_address(x, pe->view, &pe->members[i].ip))
            rc = private_index_put_address(x, o, pe->view, &pe->members[i].ip);
    return rc;
}

int private_index_add_all(struct private_index *x, const struct topology *t)
{
    struct catalogue_iter it = {0};
    int rc = 0;
    for (const struct catalogue_registry *r;
         !rc && (r = catalogue_next_private(t->catalogue, &it));) {
        struct registry_room room;
        struct registry reg;
        catalogue_expand(r, &room, &reg);
        for (size_t i = 0; !rc && i < reg.n_private_endpoints; i++)
            rc = add_endpoint(x, reg.name, reg.private_endpoints[i]);
    }
    return rc;
}

static void drop(struct private_index *x, struct key k)
{
    htab_del(x->keys, k.b, k.n);
}

void private_index_remove(struct private_index *x, const char *registry,
                          const struct private_endpoint *pe)
{
    drop(x, key_of('n', pe->name, "", 0));
    drop(x, view_key(registry, pe->view));
    for (size_t i = 0; i < pe->n_members; i++)
        drop(x, address_key(pe->view, &pe->members[i].ip));
}
