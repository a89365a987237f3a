// SPDX-License-Identifier: Apache-2.0
// Views and private endpoints: who is in which private network, and which addresses answer there.
// See topology_priv.h.
#include "config/topology_priv.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/private_index.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

struct source { // a network that chooses a view, when no listener does
    struct cidr cidr;
    size_t view;
    int line;
};

static int source_order(const void *a, const void *b)
{
    const struct source *x = a, *y = b;
    int c = memcmp(x->cidr.ip.b, y->cidr.ip.b, 16);
    if (c)
        return c;
    return (x->cidr.bits > y->cidr.bits) - (x->cidr.bits < y->cidr.bits);
}

// Two networks overlap only if one holds the other; in this order the holder comes first, and what
// it holds follows it.
static void check_sources(struct topology_build *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->s->n_views; i++) {
        if (!b->s->views[i].n_listeners)
            n += b->s->views[i].n_sources;
    }
    struct source *all = arena_array(b->ctx->arena, n + 1, sizeof *all);
    if (!all) {
        b->ctx->nomem = true;
        return;
    }
    n = 0;
    for (size_t i = 0; i < b->s->n_views; i++)
        for (size_t k = 0; !b->s->views[i].n_listeners && k < b->s->views[i].n_sources; k++)
            all[n++] = (struct source){b->s->views[i].sources[k], i,
                                       doc_item_line(b->s->views[i].node, "sources", k)};
    qsort(all, n, sizeof *all, source_order);
    char x[CIDR_TEXT_SIZE], y[CIDR_TEXT_SIZE];
    for (size_t i = 1, holder = 0; i < n; i++) {
        if (!cidr_overlaps(&all[holder].cidr, &all[i].cidr)) {
            holder = i;
            continue;
        }
        if (all[holder].view == all[i].view)
            continue;
        const struct source *late;
        if (all[i].line > all[holder].line)
            late = &all[i];
        else
            late = &all[holder];
        const struct source *early;
        if (late == &all[i])
            early = &all[holder];
        else
            early = &all[i];
        options_error(
            b->ctx, late->line,
            "view %s: source %s overlaps %s of view %s; give one of them listeners of its own",
            b->t->views[late->view].name, cidr_format(&late->cidr, x), cidr_format(&early->cidr, y),
            b->t->views[early->view].name);
    }
}

static void check_listeners(struct topology_build *b, size_t i)
{
    const struct spec_view *v = &b->s->views[i];
    char text[ENDPOINT_TEXT_SIZE];
    for (size_t k = 0; k < v->n_listeners; k++)
        for (size_t j = 0; j <= i; j++)
            for (size_t m = 0; m < (j == i ? k : b->s->views[j].n_listeners); m++) {
                const struct endpoint *x = &v->listeners[k], *y = &b->s->views[j].listeners[m];
                if (x->port && x->port == y->port && ip_equal(&x->ip, &y->ip))
                    options_error(b->ctx, doc_item_line(v->node, "listeners", k),
                                  "view %s: listener %s belongs to view %s already",
                                  b->t->views[i].name, endpoint_format(x, text),
                                  b->t->views[j].name);
            }
}

void topology_build_views(struct topology_build *b)
{
    const struct spec_topology *s = b->s;
    struct view *views = build_array(b, s->n_views, sizeof *views);
    if (!views)
        return;
    b->t->views = views;
    b->t->n_views = s->n_views;
    for (size_t i = 0; i < s->n_views; i++) {
        const struct spec_view *in = &s->views[i];
        struct view *v = &views[i];
        v->name = build_string(b, in->name);
        v->listeners = build_copy(b, in->listeners, in->n_listeners, sizeof *in->listeners);
        struct cidr *sources = build_copy(b, in->sources, in->n_sources, sizeof *in->sources);
        v->sources = sources;
        v->n_listeners = in->n_listeners;
        if (sources)
            v->n_sources = cidr_set_make(sources, in->n_sources);
        else
            v->n_sources = 0;
        v->access = topology_build_access(b, &in->access);
        v->on_foreign = in->on_foreign;
        v->forward = topology_build_forward(b, in);
        v->networks = build_copy(b, in->networks, in->n_networks, sizeof *in->networks);
        v->n_networks = in->n_networks;
        topology_build_pools(b, in, v);
        const struct doc_node *given = doc_get(in->node, "sources");
        if (in->node->kind == DOC_MAP && !in->n_listeners && !in->n_sources &&
            !doc_get(in->node, "listeners") && (!given || !given->n))
            options_error(b->ctx, in->node->line,
                          "view %s: has neither sources nor listeners; no query could be in it",
                          v->name);
        for (size_t k = 0; in->name && k < i; k++)
            if (!strcmp(views[k].name, v->name)) {
                options_error(b->ctx, doc_key_line(in->node, "name"),
                              "view %s is given twice, first on line %d", v->name,
                              doc_key_line(s->views[k].node, "name"));
                break;
            }
        check_listeners(b, i);
    }
    check_sources(b);
    topology_check_pools(b);
    topology_build_view_index(b);
}

bool view_holds(const struct view *v, const struct ip *ip)
{
    for (size_t i = 0; i < v->n_networks; i++)
        if (cidr_contains(&v->networks[i], ip))
            return true;
    return v->n_networks == 0;
}

struct member_at { // one key of `addresses`
    const struct private_endpoint *pe;
    // NULL: unknown, said already
    const struct registry *registry;
    // it, in the index
    const struct private_owner *owner;
    int line;
};

static void check_address(struct topology_build *b, const struct member_at *at,
                          const struct private_member *m)
{
    char text[IP_TEXT_SIZE];
    const struct view *view = NULL;
    if (at->pe->view < b->t->n_views)
        view = &b->t->views[at->pe->view];
    ip_format(&m->ip, text);
    if (!topology_ip_sensible(&m->ip)) {
        options_error(b->ctx, at->line, "private endpoint %s: %s cannot be a host's address",
                      at->pe->name, text);
        return;
    }
    if (!view)
        return;
    if (!view_holds(view, &m->ip))
        options_error(b->ctx, at->line,
                      "private endpoint %s: %s lies outside the networks of view %s", at->pe->name,
                      text, view->name);
    const struct private_owner *first = private_index_address(b->index, at->pe->view, &m->ip);
    if (!first && private_index_put_address(b->index, at->owner, at->pe->view, &m->ip))
        b->ctx->nomem = true;
    if (first && first != at->owner)
        options_error(b->ctx, at->line,
                      "private endpoint %s: %s is private endpoint %s's already in view %s",
                      at->pe->name, text, first->name, view->name);
}

// "registry", "registry_<region>" or "registry_data_<region>" of a registry that has them.
static bool member_of_key(struct topology_build *b, const struct member_at *at, const char *key,
                          struct private_member *m)
{
    const char *region;
    char what[128];
    *m = (struct private_member){.region = REGION_NONE};
    if (!strcmp(key, "registry")) {
        m->kind = NAME_GLOBAL;
        return true;
    }
    if (!strncmp(key, "registry_data_", 14)) {
        m->kind = NAME_DATA;
        region = key + 14;
    } else if (!strncmp(key, "registry_", 9)) {
        m->kind = NAME_REGIONAL;
        region = key + 9;
    } else {
        options_error(b->ctx, at->line,
                      "private endpoint %s: addresses: unknown key %.80s; expected registry, "
                      "registry_<region> or "
                      "registry_data_<region>",
                      at->pe->name, key);
        return false;
    }
    snprintf(what, sizeof what, "private endpoint %s", at->pe->name);
    int r = build_find_region(b, at->line, what, region);
    if (r < 0)
        return false;
    m->region = (uint8_t)r;
    if (at->registry && !(at->registry->replica_set >> r & 1)) {
        options_error(b->ctx, at->line, "private endpoint %s: %s: registry %s has no replica in %s",
                      at->pe->name, key, at->registry->name, region);
        return false;
    }
    if (at->registry && m->kind == NAME_REGIONAL && !at->registry->regional_endpoints) {
        options_error(b->ctx, at->line,
                      "private endpoint %s: %s: regional endpoints of registry %s are off",
                      at->pe->name, key, at->registry->name);
        return false;
    }
    return true;
}

// An address, or a list of them (IPv4 and IPv6). Returns how many were written.
static size_t member_addresses(struct topology_build *b, struct member_at *at,
                               const struct doc_node *v, struct private_member proto,
                               struct private_member *out)
{
    size_t n = 0;
    const struct doc_node *items = v;
    if (v->kind == DOC_LIST)
        items = v->child;
    if (v->kind == DOC_MAP || (v->kind == DOC_LIST && !v->n)) {
        options_error(b->ctx, at->line,
                      "private endpoint %s: %s: expected an IP address or a list of them",
                      at->pe->name, v->key);
        return 0;
    }
    if (v->kind == DOC_LIST && v->n > PRIVATE_ADDRESSES_MAX) {
        options_error(b->ctx, at->line, "private endpoint %s: %s: %zu addresses; it may have %d",
                      at->pe->name, v->key, (size_t)v->n, PRIVATE_ADDRESSES_MAX);
        return 0;
    }
    for (const struct doc_node *i = items; i; i = v->kind == DOC_LIST ? i->next : NULL) {
        at->line = i->line;
        if (i->kind != DOC_SCALAR || ip_parse(i->text, &proto.ip)) {
            options_error(b->ctx, i->line,
                          "private endpoint %s: %s: expected an IP address, found \"%.80s\"",
                          at->pe->name, v->key, i->kind == DOC_SCALAR ? i->text : doc_kind_name(i));
            continue;
        }
        bool twice = false;
        for (size_t k = 0; k < n; k++)
            twice |= ip_equal(&out[k].ip, &proto.ip);
        if (twice)
            options_error(b->ctx, i->line, "private endpoint %s: %s: %s is given twice",
                          at->pe->name, v->key, i->text);
        check_address(b, at, &proto);
        out[n++] = proto;
    }
    return n;
}

static void build_members(struct topology_build *b, const struct spec_private *in,
                          struct private_endpoint *pe, const struct registry *registry,
                          const struct private_owner *owner)
{
    struct member_at at = {.pe = pe, .registry = registry, .owner = owner};
    const struct doc_node *a = in->addresses;
    size_t room = 0;
    if (!a)
        return;
    if (a->kind != DOC_MAP || !a->n) {
        options_error(
            b->ctx, a->key_line,
            "private endpoint %s: addresses: expected a mapping from member to IP address",
            pe->name);
        return;
    }
    for (const struct doc_node *v = a->child; v; v = v->next) {
        if (v->kind == DOC_LIST)
            room += v->n;
        else
            room++;
    }
    if (room > PRIVATE_MEMBERS_MAX) {
        options_error(b->ctx, a->key_line, "private endpoint %s: %zu addresses; it may have %d",
                      pe->name, room, PRIVATE_MEMBERS_MAX);
        return;
    }
    struct private_member *out = build_temp(b, room, sizeof *out);
    size_t n = 0;
    for (const struct doc_node *v = a->child; out && v; v = v->next) {
        struct private_member proto;
        at.line = v->key_line;
        if (member_of_key(b, &at, v->key, &proto))
            n += member_addresses(b, &at, v, proto, out + n);
    }
    pe->members = out;
    pe->n_members = n;
}

static struct registry *find_registry(struct topology_build *b, const struct spec_private *in,
                                      const char *name)
{
    size_t low = 0, left = in->registry ? b->n_registries : 0; // sorted by label, and so by name
    while (left) {
        size_t half = left / 2;
        int c = strcmp(b->registries[low + half].name, in->registry);
        if (c == 0)
            return &b->registries[low + half];
        if (c < 0) {
            low += half + 1;
            left = left - half - 1;
        } else {
            left = half;
        }
    }
    if (!in->registry)
        return NULL;
    const char *known[256];
    size_t n = 0;
    for (; n < b->n_registries && n < ARRAY_LEN(known); n++)
        known[n] = b->registries[n].name;
    const char *near = diag_nearest(in->registry, known, n);
    options_error(b->ctx, doc_key_line(in->node, "registry"),
                  "private endpoint %s: unknown registry \"%.80s\"%s%s%s", name, in->registry,
                  near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    return NULL;
}

static uint32_t find_view(struct topology_build *b, const struct spec_private *in, const char *name)
{
    if (!in->view)
        return UINT32_MAX;
    for (size_t i = 0; i < b->t->n_views; i++)
        if (!strcmp(b->t->views[i].name, in->view))
            return (uint32_t)i;
    options_error(b->ctx, doc_key_line(in->node, "view"),
                  "private endpoint %s: unknown view \"%.80s\"", name, in->view);
    return UINT32_MAX;
}

static void say_twice(struct topology_build *b, int line, int first, const char *fmt, ...)
{
    char text[512], where[32] = "";
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (first)
        snprintf(where, sizeof where, " on line %d", first);
    options_error(b->ctx, line, "%s%s", text, where);
}

// Names are unique, and a registry has at most one private endpoint in a view. Returns it as the
// index knows it; NULL: out of memory.
static const struct private_owner *check_unique(struct topology_build *b,
                                                const struct spec_private *in,
                                                const struct private_endpoint *pe,
                                                const struct registry *r)
{
    const struct private_owner o = {pe->name, r ? r->name : "", doc_key_line(in->node, "name")},
                               *mine, *first;
    if (private_index_owner(b->index, &o, &mine)) {
        b->ctx->nomem = true;
        return NULL;
    }
    if (in->name && (first = private_index_name(b->index, pe->name)))
        say_twice(b, o.line, first->line, "private endpoint %s is given twice, first", pe->name);
    else if (in->name && private_index_put_name(b->index, mine))
        b->ctx->nomem = true;
    if (!r || pe->view == UINT32_MAX)
        return mine;
    first = private_index_view(b->index, r->name, pe->view);
    if (first)
        say_twice(b, doc_key_line(in->node, "view"), first->line,
                  "private endpoint %s: registry %s has one in view %s already%s", pe->name,
                  in->registry, in->view, first->line ? "," : "");
    else if (private_index_put_view(b->index, mine, pe->view))
        b->ctx->nomem = true;
    return mine;
}

// At the end of each registry's list. `owner`: registries of the new ones.
static void link_to_registries(struct topology_build *b, const struct private_endpoint *all,
                               struct registry *const *owner, size_t n)
{
    size_t *more = build_temp(b, b->n_registries, sizeof *more);
    for (size_t i = 0; more && i < n; i++) {
        assert(owner && owner[i]); // every reference holds, or this is not called
        more[owner[i] - b->registries]++;
    }
    for (size_t i = 0; more && i < n; i++) {
        struct registry *r = owner[i];
        size_t *m = &more[r - b->registries];
        if (*m) { // its first
            const void **list = build_temp(b, r->n_private_endpoints + *m, sizeof *list);
            if (!list)
                return;
            if (r->n_private_endpoints)
                memcpy(list, r->private_endpoints, r->n_private_endpoints * sizeof *list);
            r->private_endpoints = (const struct private_endpoint *const *)list;
            *m = 0;
        }
        ((const struct private_endpoint **)r->private_endpoints)[r->n_private_endpoints++] =
            &all[i];
    }
}

void topology_build_private(struct topology_build *b)
{
    size_t n = b->s->n_private_endpoints;
    struct private_endpoint *all = build_temp(b, n, sizeof *all);
    struct registry **owner = build_temp(b, n, sizeof *owner);
    for (size_t i = 0; all && owner && i < n && !b->ctx->nomem; i++) {
        const struct spec_private *in = &b->s->private_endpoints[i];
        struct private_endpoint *pe = &all[i];
        if (in->name)
            pe->name = in->name;
        else
            pe->name = "";
        pe->stage = (uint8_t)in->stage;
        pe->answered_by = (uint8_t)in->answered_by;
        owner[i] = find_registry(b, in, pe->name);
        pe->view = find_view(b, in, pe->name);
        const struct private_owner *mine = check_unique(b, in, pe, owner[i]);
        if (mine)
            build_members(b, in, pe, owner[i], mine);
    }
    if (!option_ctx_result(b->ctx)) // every reference holds now
        link_to_registries(b, all, owner, n);
}

void private_specs_build(struct option_ctx *ctx, const struct topology *t,
                         const struct spec_private *specs, size_t n, struct registry *registries,
                         size_t n_registries, struct private_index *index)
{
    const struct spec_topology s = {.private_endpoints = specs, .n_private_endpoints = n};
    // private endpoints are built in the temporary arena: `t` is only read
    struct topology_build b = {.ctx = ctx,
                               .t = (struct topology *)t,
                               .s = &s,
                               .registries = registries,
                               .n_registries = n_registries,
                               .index = index};
    topology_build_private(&b);
}
