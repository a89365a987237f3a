// SPDX-License-Identifier: Apache-2.0
// Pools of private addresses in views: their rows, and what may not be. See topology_priv.h; what
// they give is config/address_pool.h's.
//
// Two networks overlap only if one holds the other. Sorted by address, the wider first, whatever
// holds a network stands before it, and nothing stands between them that lies outside of it.
#include "config/topology_priv.h"

#include "base/mem.h"
#include "config/address_pool.h"

#include <string.h>

#define POOLS_TOTAL_MAX 4096
#define RESERVED_MAX 65536
#define POOL_NAME_WORDS "a name: at most 63 lower-case letters, digits, hyphens and underscores"

static const struct option pool_rows[] = {
    {"name", OPT_STRING, OPT_AT(struct spec_pool, name), .required = true,
     .check = topology_name_ok, .expect = POOL_NAME_WORDS, .example = "corp-pool",
     .help = "the pool's name, which no other view's pool has"},
    {"subnet", OPT_CIDRS, OPT_ARRAY_AT(struct spec_pool, subnet, n_subnet), .required = true,
     .min = 1, .max = 1, .one_ok = true, .example = "10.0.0.0/27",
     .help = "the network that private endpoints get addresses from, the lowest that is free"},
    {"reserved_first", OPT_INT, OPT_AT(struct spec_pool, reserved_first), .def = "4",
     .max = RESERVED_MAX,
     .help = "so many of its first addresses are given to nobody; the network's own is one of "
             "them"},
    {"reserved_last", OPT_INT, OPT_AT(struct spec_pool, reserved_last), .def = "1",
     .max = RESERVED_MAX, .help = "so many of its last ones, with the broadcast address"},
    {"exclude", OPT_CIDRS, OPT_ARRAY_AT(struct spec_pool, exclude, n_exclude), .max = 1024,
     .one_ok = true, .help = "addresses and networks in it that others have"},
    {"answered_by", OPT_ENUM, OPT_AT(struct spec_pool, answered_by), .def = "edge",
     .words = &spec_answered_by_words[ANSWERED_BY_EDGE], .n_words = 2,
     .help = "who answers at its addresses. edge: the region's own edge, which binds those that "
             "its machine has. balancer: the operator's, with the PROXY protocol"},
};
const struct option_set spec_pool_set = {pool_rows, ARRAY_LEN(pool_rows), sizeof(struct spec_pool),
                                         offsetof(struct spec_pool, node)};

// ---- one pool ----

static bool within(const struct cidr *in, const struct cidr *c)
{
    return in->bits <= c->bits && cidr_contains(in, &c->ip);
}

static bool view_holds_all(const struct view *v, const struct cidr *c)
{
    for (size_t i = 0; i < v->n_networks; i++)
        if (within(&v->networks[i], c))
            return true;
    return v->n_networks == 0;
}

static void check_pool(struct topology_build *b, const struct spec_pool *in,
                       const struct address_pool *p, const struct view *v)
{
    char subnet[CIDR_TEXT_SIZE], text[CIDR_TEXT_SIZE];
    int line = doc_key_line(in->node, "subnet");
    cidr_format(&p->subnet, subnet);
    if (!view_holds_all(v, &p->subnet))
        options_error(b->ctx, line, "pool %s: %s lies outside the networks of view %s", p->name,
                      subnet, v->name);
    for (size_t i = 0; i < in->n_exclude; i++)
        if (!within(&p->subnet, &in->exclude[i]))
            options_error(b->ctx, doc_item_line(in->node, "exclude", i),
                          "pool %s: exclude: %s lies outside of %s", p->name,
                          cidr_format(&in->exclude[i], text), subnet);
    if (!address_pool_usable(p))
        options_error(b->ctx, line,
                      "pool %s: %s has no address to give: %u first and %u last ones are reserved, "
                      "and some may be excluded",
                      p->name, subnet, (unsigned)p->reserved_first, (unsigned)p->reserved_last);
}

void topology_build_pools(struct topology_build *b, const struct spec_view *in, struct view *v)
{
    struct address_pool *pools = build_array(b, in->n_pools, sizeof *pools);
    v->owner = build_string(b, in->owner);
    if (!pools)
        return;
    v->pools = pools;
    v->n_pools = in->n_pools;
    for (size_t i = 0; i < in->n_pools; i++) {
        const struct spec_pool *from = &in->pools[i];
        struct cidr *exclude = build_copy(b, from->exclude, from->n_exclude, sizeof *exclude);
        struct address_pool *p = &pools[i];
        *p = (struct address_pool){.name = build_string(b, from->name),
                                   .reserved_first = from->reserved_first,
                                   .reserved_last = from->reserved_last,
                                   .answered_by = (uint8_t)from->answered_by};
        if (exclude) {
            p->exclude = exclude;
            p->n_exclude = cidr_set_make(exclude, from->n_exclude);
        }
        if (!from->n_subnet)
            continue;
        p->subnet = from->subnet[0];
        check_pool(b, from, p, v);
    }
}

// ---- all of them ----

struct network { // a pool's, or one of a view's networks
    struct cidr cidr;
    const struct view *view;
    // NULL: one of the view's networks
    const struct address_pool *pool;
    int line;
};

static int network_order(const void *a, const void *b)
{
    const struct network *x = a, *y = b;
    int c = memcmp(x->cidr.ip.b, y->cidr.ip.b, sizeof x->cidr.ip.b);
    if (c)
        return c;
    return (int)x->cidr.bits - (int)y->cidr.bits;
}

// Where both views have listeners of their own, their networks are two that have nothing to do with
// each other.
static bool may_overlap(const struct network *x, const struct network *y)
{
    if (!x->pool && !y->pool)
        return true;
    if (x->view == y->view)
        return !x->pool || !y->pool;
    return x->view->n_listeners && y->view->n_listeners;
}

static void say_overlap(struct topology_build *b, const struct network *x, const struct network *y)
{
    char mine[CIDR_TEXT_SIZE], theirs[CIDR_TEXT_SIZE];
    const char *cure = "; give both views listeners of their own, or other networks";
    if (!x->pool || (y->pool && y->line > x->line)) { // a pool, the later one, is told of
        const struct network *other = x;
        x = y;
        y = other;
    }
    cidr_format(&x->cidr, mine);
    cidr_format(&y->cidr, theirs);
    if (x->view == y->view)
        cure = "";
    if (y->pool)
        options_error(b->ctx, x->line, "pool %s (view %s): %s overlaps %s of pool %s (view %s)%s",
                      x->pool->name, x->view->name, mine, theirs, y->pool->name, y->view->name,
                      cure);
    else
        options_error(b->ctx, x->line, "pool %s (view %s): %s overlaps %s, a network of view %s%s",
                      x->pool->name, x->view->name, mine, theirs, y->view->name, cure);
}

// `holders`: room for one of each prefix length.
static void check_overlaps(struct topology_build *b, struct network *all, size_t n,
                           const struct network **holders)
{
    size_t depth = 0;
    for (size_t i = 0; i < n; i++) {
        while (depth && !cidr_contains(&holders[depth - 1]->cidr, &all[i].cidr.ip))
            depth--;
        for (size_t k = 0; k < depth; k++)
            if (!may_overlap(holders[k], &all[i]))
                say_overlap(b, holders[k], &all[i]);
        holders[depth++] = &all[i];
    }
}

static void check_names(struct topology_build *b, const struct network *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; all[i].pool && *all[i].pool->name && k < i; k++)
            if (all[k].pool && !strcmp(all[i].pool->name, all[k].pool->name)) {
                options_error(b->ctx, all[i].line,
                              "pool %s (view %s) is given twice, first in view %s on line %d",
                              all[i].pool->name, all[i].view->name, all[k].view->name, all[k].line);
                break;
            }
}

// Pools first, in the document's order.
static size_t gather(struct topology_build *b, struct network *out, size_t *out_pools)
{
    size_t n = 0;
    for (size_t i = 0; i < b->t->n_views; i++) {
        const struct view *v = &b->t->views[i];
        const struct spec_view *in = &b->s->views[i];
        for (size_t k = 0; k < v->n_pools; k++)
            if (in->pools[k].n_subnet)
                out[n++] = (struct network){v->pools[k].subnet, v, &v->pools[k],
                                            doc_key_line(in->pools[k].node, "subnet")};
    }
    *out_pools = n;
    for (size_t i = 0; i < b->t->n_views; i++) {
        const struct view *v = &b->t->views[i];
        for (size_t k = 0; k < v->n_networks; k++)
            out[n++] = (struct network){v->networks[k], v, NULL,
                                        doc_item_line(b->s->views[i].node, "networks", k)};
    }
    return n;
}

void topology_check_pools(struct topology_build *b)
{
    size_t room = 0, n_pools = 0, n_given = 0;
    for (size_t i = 0; i < b->t->n_views; i++) {
        n_given += b->t->views[i].n_pools;
        room += b->t->views[i].n_pools + b->t->views[i].n_networks;
    }
    if (!n_given)
        return;
    if (n_given > POOLS_TOTAL_MAX) {
        options_error(b->ctx, 0, "views: %zu pools; there may be %d", n_given, POOLS_TOTAL_MAX);
        return;
    }
    struct network *all = build_temp(b, room, sizeof *all);
    // equal ones hold each other: as many as there are
    const struct network **holders = build_temp(b, room, sizeof *holders);
    if (!all || !holders)
        return;
    size_t n = gather(b, all, &n_pools);
    check_names(b, all, n_pools);
    if (n)
        qsort(all, n, sizeof *all, network_order);
    check_overlaps(b, all, n, holders);
}
