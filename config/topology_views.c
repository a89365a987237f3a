// SPDX-License-Identifier: Apache-2.0
// What the choice of a view is made from: the views' listeners and sources in the order of
// bisection, and who may ask at all. See topology_priv.h; built once, when the views are.
#include "config/topology_priv.h"

#include <stdlib.h>
#include <string.h>

static const struct cidr *copy_set(struct topology_build *b, const struct cidr *list, size_t n,
                                   size_t *out_n)
{
    struct cidr *set = build_copy(b, list, n, sizeof *list);
    if (set)
        *out_n = cidr_set_make(set, n);
    else
        *out_n = 0;
    return set;
}

struct access_list topology_build_access(struct topology_build *b, const struct spec_access *in)
{
    struct access_list out;
    out.allow = copy_set(b, in->allow, in->n_allow, &out.n_allow);
    out.deny = copy_set(b, in->deny, in->n_deny, &out.n_deny);
    return out;
}

static int listener_order(const void *a, const void *b)
{
    const struct view_listener *x = a, *y = b;
    int c = memcmp(x->at.ip.b, y->at.ip.b, sizeof x->at.ip.b);
    if (c)
        return c;
    return x->at.port - y->at.port;
}

static int source_order(const void *a, const void *b)
{
    const struct view_source *x = a, *y = b;
    return memcmp(x->cidr.ip.b, y->cidr.ip.b, sizeof x->cidr.ip.b);
}

void topology_build_view_index(struct topology_build *b)
{
    struct topology *t = b->t;
    size_t n_listeners = 0, n_sources = 0;
    for (size_t i = 0; i < t->n_views; i++) {
        n_listeners += t->views[i].n_listeners;
        if (!t->views[i].n_listeners)
            n_sources += t->views[i].n_sources;
    }
    struct view_listener *listeners = build_array(b, n_listeners, sizeof *listeners);
    struct view_source *sources = build_array(b, n_sources, sizeof *sources);
    t->dns_access = topology_build_access(b, &b->s->dns_access);
    if (!listeners || !sources)
        return;
    n_listeners = n_sources = 0;
    for (size_t i = 0; i < t->n_views; i++) {
        const struct view *v = &t->views[i];
        for (size_t k = 0; k < v->n_listeners; k++)
            listeners[n_listeners++] = (struct view_listener){v->listeners[k], (uint32_t)i};
        // A view with listeners of its own is reached there only: its network may overlap with
        // another's.
        for (size_t k = 0; !v->n_listeners && k < v->n_sources; k++)
            sources[n_sources++] = (struct view_source){v->sources[k], (uint32_t)i};
    }
    qsort(listeners, n_listeners, sizeof *listeners, listener_order);
    // disjoint: no two views overlap, nor a view's own
    qsort(sources, n_sources, sizeof *sources, source_order);
    t->view_index = (struct view_index){listeners, sources, n_listeners, n_sources};
}
