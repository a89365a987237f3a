// SPDX-License-Identifier: Apache-2.0
// A view's forwards: what its clients may ask of other resolvers through us. Judged so that no
// topology makes an open resolver or a loop that can be seen from here. See topology_priv.h.
#include "config/topology_priv.h"

#include <string.h>

// The widest networks that are anyone's own: 10.0.0.0/8, fc00::/7.
#define LEAST_BITS_V4 (96 + 8)
#define LEAST_BITS_V6 7

static struct forward_suffix suffix_of(const char *text)
{
    struct forward_suffix s = {.n = 0};
    while (*text && strcmp(text, ".")) {
        size_t n = strcspn(text, ".");
        s.wire[s.n] = (uint8_t)n;
        memcpy(s.wire + s.n + 1, text, n);
        s.n += 1 + n;
        text += n + (text[n] == '.');
    }
    s.n++; // the root, which is zero already
    return s;
}

static bool under(const char *name, const char *domain)
{
    size_t n = strlen(name), d = strlen(domain);
    return n >= d && !strcmp(name + n - d, domain) && (n == d || name[n - d - 1] == '.');
}

// What is forwarded is named, or with `on_foreign: forward` it is everything; not both.
static void check_how_many(struct topology_build *b, const struct spec_view *in)
{
    const struct spec_forward *f = &in->forward;
    bool all = in->on_foreign == ON_FOREIGN_FORWARD;
    if (!f->n_names && !all && !b->ctx->n_errors)
        options_error(b->ctx, f->node->key_line,
                      "view %s: forward: no names are given; \".\" is all", in->name);
    if (f->n_names && all)
        options_error(b->ctx, doc_key_line(f->node, "names"),
                      "view %s: forward: names are given, but on_foreign: forward is for every "
                      "name; leave one of them out",
                      in->name);
}

static void check_names(struct topology_build *b, const struct spec_view *in)
{
    const struct spec_forward *f = &in->forward;
    for (size_t i = 0; i < f->n_names; i++)
        if (f->names[i] && *b->t->domain && under(f->names[i], b->t->domain))
            options_error(b->ctx, doc_item_line(f->node, "names", i),
                          "view %s: forward: %s is of the service domain, which is answered here",
                          in->name, f->names[i]);
}

static bool is_ours(const struct topology *t, const struct endpoint *e)
{
    for (size_t i = 0; e->port == 53 && i < t->n_regions; i++)
        for (size_t k = 0; k < t->regions[i].n_stamps; k++) {
            const struct stamp *s = &t->regions[i].stamps[k];
            for (size_t m = 0; m < s->n_ipv4 + s->n_ipv6; m++)
                if (ip_equal(m < s->n_ipv4 ? &s->ipv4[m] : &s->ipv6[m - s->n_ipv4], &e->ip))
                    return true;
        }
    return false;
}

static bool is_listener(const struct topology_build *b, const struct endpoint *e)
{
    for (size_t i = 0; i < b->s->n_views; i++)
        for (size_t k = 0; k < b->s->views[i].n_listeners; k++) {
            const struct endpoint *l = &b->s->views[i].listeners[k];
            if (l->port == e->port && ip_equal(&l->ip, &e->ip))
                return true;
        }
    return false;
}

static void check_upstreams(struct topology_build *b, const struct spec_view *in)
{
    const struct spec_forward *f = &in->forward;
    char text[ENDPOINT_TEXT_SIZE];
    for (size_t i = 0; i < f->n_upstreams; i++) {
        const struct endpoint *e = &f->upstreams[i];
        int line = doc_item_line(f->node, "upstreams", i);
        endpoint_format(e, text);
        if (!e->port && ip_equal(&e->ip, &(struct ip){{0}}))
            continue; // no endpoint at all: said already
        if (!e->port || !topology_ip_sensible(&e->ip))
            options_error(b->ctx, line, "view %s: forward: upstream %s cannot be a host's address",
                          in->name, text);
        else if (is_ours(b->t, e) || is_listener(b, e))
            options_error(b->ctx, line,
                          "view %s: forward: upstream %s is one of our own name servers: a loop",
                          in->name, text);
        for (size_t k = 0; k < i; k++)
            if (f->upstreams[k].port == e->port && ip_equal(&f->upstreams[k].ip, &e->ip))
                options_error(b->ctx, line, "view %s: forward: upstream %s is given twice",
                              in->name, text);
    }
}

static void check_sources(struct topology_build *b, const struct spec_view *in)
{
    char text[CIDR_TEXT_SIZE];
    if (!in->n_sources)
        options_error(b->ctx, in->forward.node->key_line,
                      "view %s: forward needs sources in its view: whoever reaches a listener "
                      "would have an open resolver",
                      in->name);
    for (size_t i = 0; i < in->n_sources; i++) {
        const struct cidr *c = &in->sources[i];
        bool v4 = c->bits >= 96 && ip_is_v4(&c->ip);
        if (c->bits < (v4 ? LEAST_BITS_V4 : LEAST_BITS_V6))
            options_error(
                b->ctx, doc_item_line(in->node, "sources", i),
                "view %s: source %s is too wide to forward for: that would be an open resolver",
                in->name, cidr_format(c, text));
    }
}

const struct view_forward *topology_build_forward(struct topology_build *b,
                                                  const struct spec_view *in)
{
    const struct spec_forward *f = &in->forward;
    size_t before = b->ctx->n_errors;
    bool all = in->on_foreign == ON_FOREIGN_FORWARD;
    if (all && !doc_get(in->node, "forward"))
        options_error(b->ctx, doc_key_line(in->node, "on_foreign"),
                      "view %s: on_foreign: forward needs a forward section with upstreams",
                      in->name);
    if (!f->node || !f->node->key || f->node->kind != DOC_MAP)
        return NULL;
    if (!f->n_upstreams && !b->ctx->n_errors)
        options_error(b->ctx, f->node->key_line, "view %s: forward: no upstreams are given",
                      in->name);
    check_how_many(b, in);
    check_sources(b, in);
    check_names(b, in);
    check_upstreams(b, in);
    struct view_forward *out = build_array(b, 1, sizeof *out);
    size_t n_names = 1;
    if (!all)
        n_names = f->n_names;
    struct forward_suffix *names = build_array(b, n_names, sizeof *names);
    if (!out || !names || b->ctx->n_errors > before)
        return NULL;
    *out = (struct view_forward){.n_upstreams = f->n_upstreams,
                                 .names = names,
                                 .n_names = n_names,
                                 .timeout_ms = f->timeout_ms,
                                 .max_in_flight = f->max_in_flight,
                                 .max_per_client = f->max_per_client,
                                 .mix_case = f->mix_case};
    if (f->n_upstreams)
        memcpy(out->upstreams, f->upstreams, f->n_upstreams * sizeof *f->upstreams);
    for (size_t i = 0; i < n_names; i++)
        names[i] = suffix_of(!all && f->names[i] ? f->names[i] : ".");
    return out;
}
