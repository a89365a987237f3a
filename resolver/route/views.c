// SPDX-License-Identifier: Apache-2.0
// Choice of the view; see views.h.
#include "resolver/route/views.h"

#include "base/err.h"

#include <string.h>

// The view that a listener belongs to, or NULL.
static const struct view *by_listener(const struct topology *t, const struct endpoint *at)
{
    const struct view_index *x = &t->view_index;
    size_t low = 0, n = x->n_listeners;
    while (n) {
        size_t half = n / 2;
        const struct view_listener *l = &x->listeners[low + half];
        int c = memcmp(l->at.ip.b, at->ip.b, sizeof at->ip.b);
        if (!c)
            c = l->at.port - at->port;
        if (c == 0)
            return &t->views[l->view];
        if (c < 0) {
            low += half + 1;
            n = n - half - 1;
        } else {
            n = half;
        }
    }
    return NULL;
}

// The view without listeners that a source fits, or NULL.
static const struct view *by_source(const struct topology *t, const struct ip *source)
{
    const struct view_index *x = &t->view_index;
    size_t low = 0, n = x->n_sources; // low: the first network that begins after the source
    while (n) {
        size_t half = n / 2;
        bool after = memcmp(x->sources[low + half].cidr.ip.b, source->b, sizeof source->b) > 0;
        if (!after)
            low += half + 1;
        if (after)
            n = half;
        else
            n = n - half - 1;
    }
    const struct view_source *last = NULL;
    if (low)
        last = &x->sources[low - 1];
    if (last && cidr_contains(&last->cidr, source))
        return &t->views[last->view];
    return NULL;
}

static bool may_ask(const struct access_list *a, const struct ip *source)
{
    if (a->n_deny && cidr_set_contains(a->deny, a->n_deny, source))
        return false;
    return !a->n_allow || cidr_set_contains(a->allow, a->n_allow, source);
}

int view_choose(const struct topology *t, const struct endpoint *listener, const struct ip *source,
                const struct view **out_view)
{
    const struct view *v = NULL;
    if (listener && t->view_index.n_listeners)
        v = by_listener(t, listener);
    if (v && v->n_sources && !cidr_set_contains(v->sources, v->n_sources, source))
        return ERR_DENIED;
    if (!v && t->view_index.n_sources)
        v = by_source(t, source);
    if (!may_ask(v ? &v->access : &t->dns_access, source))
        return ERR_DENIED;
    *out_view = v;
    return 0;
}
