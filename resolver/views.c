// SPDX-License-Identifier: Apache-2.0
// Choice of the view; see views.h.
#include "resolver/views.h"

#include "base/err.h"

static bool has_listener(const struct view *v, const struct endpoint *listener)
{
    for (size_t i = 0; i < v->n_listeners; i++)
        if (v->listeners[i].port == listener->port && ip_equal(&v->listeners[i].ip, &listener->ip))
            return true;
    return false;
}

static bool has_source(const struct view *v, const struct ip *source)
{
    for (size_t i = 0; i < v->n_sources; i++)
        if (cidr_contains(&v->sources[i], source))
            return true;
    return false;
}

int view_choose(const struct topology *t, const struct endpoint *listener, const struct ip *source,
                const struct view **out_view)
{
    bool private_listener = false;
    for (size_t i = 0; listener && i < t->n_views; i++) {
        const struct view *v = &t->views[i];
        if (!has_listener(v, listener))
            continue;
        private_listener = true;
        if (v->n_sources == 0 || has_source(v, source)) {
            *out_view = v;
            return 0;
        }
    }
    if (private_listener)
        return ERR_DENIED;
    // A view with listeners of its own is reached there only: its network may overlap with another's.
    for (size_t i = 0; i < t->n_views; i++)
        if (t->views[i].n_listeners == 0 && has_source(&t->views[i], source)) {
            *out_view = &t->views[i];
            return 0;
        }
    *out_view = NULL;
    return 0;
}
