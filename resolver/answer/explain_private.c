// SPDX-License-Identifier: Apache-2.0
// Private views in explanations: which listener a client of a view asks, and which addresses the
// view's private endpoint gives a name. See explain.h; on an admin's thread.
#include "resolver/answer/explain_priv.h"

#include "base/err.h"
#include "config/catalogue.h"
#include "config/endpoints.h"

#include <stdio.h>
#include <string.h>

static const struct view *view_named(const struct topology *t, const char *name)
{
    for (size_t i = 0; i < t->n_views; i++)
        if (!strcmp(t->views[i].name, name))
            return &t->views[i];
    return NULL;
}

// A view with listeners of its own is asked there and nowhere else.
static const struct view *view_by_address(const struct topology *t, const struct ip *client)
{
    for (size_t i = 0; i < t->n_views; i++) {
        const struct view *v = &t->views[i];
        if (v->n_listeners && v->n_sources && cidr_set_contains(v->sources, v->n_sources, client))
            return v;
    }
    return NULL;
}

int explain_place(struct explain_query *q, const char *view, bool has_client)
{
    const struct view *v = NULL;
    if (view && strcmp(view, "public") != 0) {
        v = view_named(q->topology, view);
        if (!v)
            return ERR_NOTFOUND;
    }
    if (!has_client && v && v->n_sources)
        q->client = v->sources[0].ip;
    if (!view)
        v = view_by_address(q->topology, &q->client);
    q->listener_by_client = !view && v;
    if (v && v->n_listeners)
        q->listener = &v->listeners[0];
    return 0;
}

json_t *explain_also_in(const struct explain_query *q, const struct view *view)
{
    json_t *list = NULL;
    if (q->listener_by_client)
        list = json_array();
    for (size_t i = 0; list && i < q->topology->n_views; i++) {
        const struct view *v = &q->topology->views[i];
        if (v == view || !cidr_set_contains(v->sources, v->n_sources, &q->client))
            continue;
        if (json_array_append_new(list, json_string(v->name)))
            break; // a hint, no more
    }
    if (json_array_size(list))
        return list;
    json_decref(list);
    return NULL;
}

struct found { // what the registry's private endpoints have for a name in a view
    const struct private_endpoint *in_view, *covers;
    // it is in the view, and not in DNS
    const struct private_endpoint *at_edge;
    json_t *addresses;
};

static int look(const struct explain_query *q, const struct catalogue_registry *reg,
                enum name_kind kind, uint8_t region, const struct view *view, struct found *out)
{
    const struct private_endpoint *const *list;
    size_t n = catalogue_private_endpoints(q->topology->catalogue, reg, &list);
    char text[IP_TEXT_SIZE];
    *out = (struct found){.addresses = json_array()};
    for (size_t i = 0; i < n; i++) {
        const struct private_endpoint *pe = list[i];
        if (&q->topology->views[pe->view] != view)
            continue;
        if (pe->stage != PRIVATE_IN_DNS) {
            out->at_edge = pe;
            continue;
        }
        if (!out->in_view)
            out->in_view = pe;
        for (size_t k = 0; k < pe->n_members; k++) {
            if (!private_member_is(&pe->members[k], kind, region))
                continue;
            out->covers = pe;
            if (json_array_append_new(out->addresses,
                                      json_string(ip_format(&pe->members[k].ip, text))))
                return ERR_NOMEM;
        }
    }
    if (out->addresses)
        return 0;
    return ERR_NOMEM;
}

static void say(const struct found *f, const char *registry, const char *view, char *out,
                size_t cap)
{
    if (f->covers)
        snprintf(out, cap,
                 "private endpoint %s has this name in view %s: the answer ends in its addresses, "
                 "whatever "
                 "the health of regions",
                 f->covers->name, view);
    else if (f->in_view)
        snprintf(
            out, cap,
            "private endpoint %s in view %s has no address for this name: it goes on to the public "
            "frontend",
            f->in_view->name, view);
    else if (f->at_edge)
        snprintf(
            out, cap,
            "private endpoint %s in view %s is at the edge alone, not in DNS: the name goes on "
            "to the public frontend",
            f->at_edge->name, view);
    else
        snprintf(out, cap,
                 "%s has no private endpoint in view %s: it goes on to the public frontend",
                 registry, view);
}

json_t *explain_private(const struct explain_query *q, const struct hostname *h,
                        const struct view *view, bool *out_covers)
{
    const struct topology *t = q->topology;
    enum name_kind kind = hostname_public_of(h->kind);
    *out_covers = false;
    if (!view || (kind != NAME_GLOBAL && kind != NAME_REGIONAL && kind != NAME_DATA))
        return json_null();
    const struct catalogue_registry *reg = catalogue_find(t->catalogue, h->label, strlen(h->label));
    int region = REGION_NONE;
    if (kind != NAME_GLOBAL)
        region = catalogue_region_find(t->catalogue, h->region, strlen(h->region));
    if (!reg || region < 0)
        return json_null();
    struct found f;
    if (look(q, reg, kind, (uint8_t)region, view, &f)) {
        json_decref(f.addresses);
        return NULL;
    }
    char reason[512];
    say(&f, h->label, view->name, reason, sizeof reason);
    *out_covers = f.covers != NULL;
    return json_pack("{s:s?, s:o, s:s}", "endpoint", f.covers ? f.covers->name : NULL, "addresses",
                     f.addresses, "reason", reason);
}
