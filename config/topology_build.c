// SPDX-License-Identifier: Apache-2.0
// Regions, registries, routing: from words to indexes, with every cross reference checked. See
// topology_priv.h.
#include "config/topology_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/registry_key.h"

#include <string.h>

void *build_array(struct topology_build *b, size_t n, size_t size)
{
    void *p = arena_array(&b->t->frame->arena, n ? n : 1, size);
    if (!p)
        b->ctx->nomem = true;
    return p;
}

void *build_temp(struct topology_build *b, size_t n, size_t size)
{
    void *p = arena_array(b->ctx->arena, n ? n : 1, size);
    if (!p)
        b->ctx->nomem = true;
    return p;
}

void *build_copy(struct topology_build *b, const void *p, size_t n, size_t size)
{
    void *q = build_array(b, n, size);
    if (q && n)
        memcpy(q, p, n * size);
    return q;
}

const char *build_string(struct topology_build *b, const char *s)
{
    if (!s || !*s)
        return "";
    const char *copy = arena_strdup(&b->t->frame->arena, s);
    if (!copy)
        b->ctx->nomem = true;
    if (copy)
        return copy;
    return "";
}

int build_find_region(struct topology_build *b, int line, const char *what, const char *name)
{
    const char *known[TOPOLOGY_MAX_REGIONS];
    if (!name || !b->t->n_regions)
        return -1;
    for (size_t i = 0; i < b->t->n_regions; i++) {
        known[i] = b->t->regions[i].name;
        if (!strcmp(known[i], name))
            return (int)i;
    }
    const char *near = diag_nearest(name, known, b->t->n_regions);
    options_error(b->ctx, line, "%s: unknown region \"%.80s\"%s%s%s", what, name,
                  near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    return -1;
}

int build_find_stamp(struct topology_build *b, int line, const char *what, uint8_t region,
                     const char *name)
{
    const struct region *r = &b->t->regions[region];
    for (size_t i = 0; i < r->n_stamps; i++)
        if (!strcmp(r->stamps[i].name, name))
            return (int)i;
    options_error(b->ctx, line, "%s: region %s has no stamp \"%.80s\"", what, r->name, name);
    return -1;
}

bool topology_ip_sensible(const struct ip *ip)
{
    if (ip_is_v4(ip))
        return ip->b[12] != 0 && ip->b[12] < 224; // 0/8, multicast, reserved, broadcast
    static const uint8_t zero[16] = {0};
    bool link_local = ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80; // needs a zone
    return ip->b[0] != 0xff && !link_local && memcmp(ip->b, zero, 16) != 0;
}

static const struct ip *copy_ips(struct topology_build *b, const struct spec_stamp *s,
                                 const char *key, const struct ip *ips, size_t n)
{
    char text[IP_TEXT_SIZE];
    for (size_t i = 0; i < n; i++) {
        int line = doc_item_line(s->node, key, i);
        if (!topology_ip_sensible(&ips[i]) && memcmp(&ips[i], &(struct ip){{0}}, sizeof ips[i]))
            options_error(b->ctx, line, "stamp %s: %s cannot be a host's address",
                          s->name ? s->name : "?", ip_format(&ips[i], text));
        for (size_t k = 0; k < i; k++)
            if (ip_equal(&ips[i], &ips[k])) {
                options_error(b->ctx, line, "stamp %s: %s is given twice", s->name ? s->name : "?",
                              ip_format(&ips[i], text));
                break;
            }
    }
    return build_copy(b, ips, n, sizeof *ips);
}

static void build_stamps(struct topology_build *b, const struct spec_region *s, struct region *r)
{
    struct stamp *stamps = build_array(b, s->n_stamps, sizeof *stamps);
    if (!stamps)
        return;
    for (size_t i = 0; i < s->n_stamps; i++) {
        const struct spec_stamp *in = &s->stamps[i];
        struct stamp *st = &stamps[i];
        st->name = build_string(b, in->name);
        st->region = r->index;
        st->index = (uint8_t)i;
        st->ipv4 = copy_ips(b, in, "ipv4", in->ipv4, in->n_ipv4);
        st->ipv6 = copy_ips(b, in, "ipv6", in->ipv6, in->n_ipv6);
        st->n_ipv4 = in->n_ipv4;
        st->n_ipv6 = in->n_ipv6;
        if (!doc_get(in->node, "ipv4") && !doc_get(in->node, "ipv6"))
            options_error(b->ctx, in->node->line,
                          "stamp %s: has no address; give ipv4, ipv6 or both", st->name);
        else if (doc_get(in->node, "ipv4") && !doc_get(in->node, "ipv4")->n && !in->n_ipv6)
            options_error(b->ctx, in->node->line,
                          "stamp %s: has no address; give ipv4, ipv6 or both", st->name);
        for (size_t k = 0; in->name && k < i; k++)
            if (!strcmp(stamps[k].name, st->name)) {
                options_error(b->ctx, doc_key_line(in->node, "name"),
                              "region %s: stamp %s is given twice, first on line %d", r->name,
                              st->name, doc_key_line(s->stamps[k].node, "name"));
                break;
            }
    }
    r->stamps = stamps;
    r->n_stamps = s->n_stamps;
}

static void build_name_servers(struct topology_build *b)
{
    const struct spec_topology *s = b->s;
    struct name_server *ns = build_array(b, s->n_name_servers, sizeof *ns);
    size_t n = 0;
    for (size_t i = 0; ns && i < s->n_name_servers; i++) {
        const char *text = s->name_servers[i], *dot = text ? strchr(text, '.') : NULL;
        int line = doc_item_line(s->node, "name_servers", i);
        if (!text)
            continue;
        if (!dot || dot == text || (size_t)(dot - text) > 63) {
            options_error(b->ctx, line, "name_servers: expected stamp.region, found \"%.80s\"",
                          text);
            continue;
        }
        char stamp[64];
        snprintf(stamp, sizeof stamp, "%.*s", (int)(dot - text), text);
        int region = build_find_region(b, line, "name_servers", dot + 1);
        int at = -1;
        if (region >= 0)
            at = build_find_stamp(b, line, "name_servers", (uint8_t)region, stamp);
        if (at < 0)
            continue;
        for (size_t k = 0; k < n; k++)
            if (ns[k].region == region && ns[k].stamp == at)
                options_error(b->ctx, line, "name_servers: %s is given twice", text);
        ns[n++] = (struct name_server){(uint8_t)region, (uint8_t)at};
    }
    b->t->name_servers = ns;
    b->t->n_name_servers = n;
}

void topology_build_regions(struct topology_build *b)
{
    const struct spec_topology *s = b->s;
    struct region *regions = build_array(b, s->n_regions, sizeof *regions);
    if (!regions)
        return;
    for (size_t i = 0; i < s->n_regions; i++) {
        const struct spec_region *in = &s->regions[i];
        struct region *r = &regions[i];
        r->name = build_string(b, in->name);
        r->index = (uint8_t)i;
        r->peer = in->peer;
        r->admin = in->admin;
        topology_build_location(in, r);
        r->probe = (enum probe_kind)in->probe;
        r->probe_port = (uint16_t)in->probe_port;
        build_stamps(b, in, r);
        if (s->n_regions > 1 && in->node->kind == DOC_MAP && !doc_get(in->node, "peer"))
            options_error(b->ctx, in->node->line,
                          "region %s: peer is missing; other regions need it", r->name);
        for (size_t k = 0; in->name && k < i; k++)
            if (!strcmp(regions[k].name, r->name)) {
                options_error(b->ctx, doc_key_line(in->node, "name"),
                              "region %s is given twice, first on line %d", r->name,
                              doc_key_line(s->regions[k].node, "name"));
                break;
            }
        if (*r->name && !htab_get(b->t->frame->by_region, r->name, strlen(r->name)) &&
            htab_put(b->t->frame->by_region, r->name, strlen(r->name), r))
            b->ctx->nomem = true;
    }
    b->t->regions = regions;
    b->t->n_regions = s->n_regions;
    build_name_servers(b);
}

void registry_spec_access(struct option_ctx *ctx, const char *registry, const struct doc_node *v,
                          struct spec_public *out)
{
    *out = (struct spec_public){.mode = ACCESS_ENABLED};
    if (!v)
        return;
    bool is_word = v->kind == DOC_SCALAR;
    if (is_word && !strcmp(v->text, "enabled"))
        return;
    if (is_word && !strcmp(v->text, "disabled")) {
        out->mode = ACCESS_DISABLED;
        return;
    }
    if (v->kind != DOC_LIST || v->n == 0 || v->n > 4096) {
        options_error(
            ctx, v->line,
            "registry %s: public_access: expected enabled, disabled or a list of networks",
            registry);
        return;
    }
    struct cidr *c = arena_array(ctx->arena, v->n, sizeof *c);
    if (!c) {
        ctx->nomem = true;
        return;
    }
    size_t n = 0;
    for (const struct doc_node *i = v->child; i; i = i->next, n++)
        if (i->kind != DOC_SCALAR || cidr_parse(i->text, &c[n]))
            options_error(ctx, i->line,
                          "registry %s: public_access: expected a network without host bits, as in "
                          "10.0.0.0/8, found \"%.80s\"",
                          registry, i->kind == DOC_SCALAR ? i->text : doc_kind_name(i));
    *out = (struct spec_public){ACCESS_CIDRS, c, n};
}

static void build_access(struct topology_build *b, const struct spec_registry *in,
                         struct registry *r)
{
    struct spec_public access;
    registry_spec_access(b->ctx, r->name, in->public_access, &access);
    r->public_access = (uint8_t)access.mode;
    r->public_cidrs = access.cidrs;
    r->n_public_cidrs = (uint16_t)access.n_cidrs;
}

static void build_weight(struct topology_build *b, struct registry *r, uint8_t region,
                         uint8_t weight)
{
    uint8_t *w;
    if (r->weights)
        w = (uint8_t *)r->weights;
    else
        w = build_temp(b, TOPOLOGY_MAX_REGIONS, 1);
    if (!w)
        return;
    if (!r->weights)
        memset(w, 100, TOPOLOGY_MAX_REGIONS);
    w[region] = weight;
    r->weights = w;
}

static bool is_given(const struct spec_replica *s, const char *key)
{
    return doc_get(s->node, key) != NULL;
}

#define CLOCKS_APART_S 60

// The stamp that a replica had before, as a number; -1 after saying so. It may be gone once no
// cache leads there.
static int find_stamp_was(struct topology_build *b, const char *what, const struct spec_replica *s,
                          uint8_t region, int64_t since_s)
{
    const struct region *r = &b->t->regions[region];
    const struct stamp *was = region_stamp(r, s->was);
    char until[CLOCK_TEXT_SIZE];
    if (was)
        return was->index;
    // Who edits may have a clock that is ahead of ours: a little too early is judged by what is in
    // force (control/moves.h), and looked at again.
    int64_t until_s = since_s + ttls_cached_s(&b->t->ttl);
    int64_t now_s = b->ctx->now_s;
    if (!now_s)
        now_s = clock_wall_ms() / 1000;
    if (now_s >= until_s - CLOCKS_APART_S)
        return STAMP_GONE;
    options_error(b->ctx, doc_key_line(s->node, "stamp_was"),
                  "%s: region %s has no stamp \"%.80s\", and names or caches lead to it until %s: "
                  "it must stay until "
                  "then",
                  what, r->name, s->was, clock_format_s(until_s, until));
    return -1;
}

static void build_move(struct topology_build *b, const char *what, const struct spec_replica *s,
                       uint8_t region, uint8_t stamp, struct registry *r)
{
    bool was = is_given(s, "stamp_was"), since = is_given(s, "stamp_since");
    if (was != since)
        options_error(b->ctx, doc_key_line(s->node, was ? "stamp_was" : "stamp_since"),
                      "%s: stamp_was and stamp_since go together: which stamp names lead to until "
                      "then, and from when "
                      "on they lead to stamp",
                      what);
    if (!s->was || !s->since)
        return;
    int64_t since_s = dnskey_time_parse(s->since);
    int at = find_stamp_was(b, what, s, region, since_s);
    if (at == stamp)
        options_error(b->ctx, doc_key_line(s->node, "stamp_was"),
                      "%s: stamp_was is the stamp that it has: %s", what, s->was);
    struct stamp_move *list;
    if (r->moves)
        list = (struct stamp_move *)r->moves;
    else
        list = build_temp(b, TOPOLOGY_MAX_REGIONS, sizeof *list);
    if (!list || at < 0 || at == stamp)
        return;
    size_t to = r->n_moves++; // in the order of the regions
    for (; to > 0 && list[to - 1].region > region; to--)
        list[to] = list[to - 1];
    list[to] = (struct stamp_move){region, (uint8_t)at, since_s};
    r->moves = list;
}

static void build_replicas(struct topology_build *b, const struct spec_registry *in,
                           struct registry *r)
{
    struct replica *reps = build_temp(b, in->n_replicas, sizeof *reps);
    bool any_global = false, all_known = in->n_replicas > 0;
    size_t n = 0;
    char what[96];
    snprintf(what, sizeof what, "registry %s: replicas", r->name);
    for (size_t i = 0; reps && i < in->n_replicas; i++) {
        const struct spec_replica *s = &in->replicas[i];
        int line = doc_key_line(s->node, "region");
        any_global |= s->global_routing && s->stage == STAGE_PUBLIC;
        int region = build_find_region(b, line, what, s->region);
        all_known &= region >= 0;
        if (region < 0)
            continue;
        if (r->replica_set >> region & 1) {
            options_error(b->ctx, line, "%s: region %s is given twice", what, s->region);
            continue;
        }
        int stamp = 0;
        if (s->stamp)
            stamp = build_find_stamp(b, doc_key_line(s->node, "stamp"), what, (uint8_t)region,
                                     s->stamp);
        r->replica_set |= (region_set)1 << region;
        size_t at = n++; // in the order of the regions
        for (; at > 0 && reps[at - 1].region > region; at--)
            reps[at] = reps[at - 1];
        reps[at] = (struct replica){(uint8_t)region, (uint8_t)(stamp < 0 ? 0 : stamp),
                                    s->global_routing, s->drained, (uint8_t)(s->stage & 3)};
        build_move(b, what, s, (uint8_t)region, reps[at].stamp, r);
        if (s->weight != 100)
            build_weight(b, r, (uint8_t)region, s->weight);
    }
    r->replicas = reps;
    r->n_replicas = (uint8_t)n;
    if (all_known && !any_global)
        options_error(b->ctx, doc_key_line(in->node, "replicas"),
                      "registry %s: global routing is off for every replica of stage public; its "
                      "global name would lead nowhere",
                      r->name);
}

static int label_order(const void *a, const void *b)
{
    const struct spec_registry *x = a, *y = b;
    int c = strcmp(x->label, y->label);
    if (c)
        return c;
    return (x->node->line > y->node->line) - (x->node->line < y->node->line);
}

// Labels first, since the frozen array is sorted by them.
bool topology_sort_registries(struct topology_build *b)
{
    struct spec_registry *s = b->s->registries;
    for (size_t i = 0; i < b->s->n_registries; i++) {
        bool hashed = s[i].name && s[i].hash;
        if (hashed)
            s[i].label = arena_printf(b->ctx->arena, "%s-%s", s[i].name, s[i].hash);
        else if (s[i].name)
            s[i].label = s[i].name;
        else
            s[i].label = "";
        if (!s[i].label) {
            b->ctx->nomem = true;
            return false;
        }
        if (hashed && strlen(s[i].name) > 46)
            options_error(
                b->ctx, doc_key_line(s[i].node, "name"),
                "registry %s: with a hash the name may have at most 46 letters and digits",
                s[i].name);
    }
    if (b->s->n_registries)
        qsort(s, b->s->n_registries, sizeof *s, label_order);
    return true;
}

// Names that are alike stand side by side: a label is the name, or the name, a hyphen and a hash,
// and a hyphen sorts before all that names are made of.
static void check_twice(struct topology_build *b, size_t i)
{
    const struct spec_registry *in = &b->s->registries[i], *before = in - 1;
    if (!i || !in->name || !before->name || strcmp(in->name, before->name) != 0)
        return;
    while (before > b->s->registries && before[-1].name && !strcmp(before[-1].name, in->name))
        before--;
    int x = doc_key_line(in->node, "name"), y = doc_key_line(before->node, "name");
    options_error(b->ctx, x > y ? x : y, "registry %s is given twice, first on line %d", in->name,
                  x > y ? y : x);
}

static void build_key(struct topology_build *b, const struct spec_registry *in, struct registry *r)
{
    r->key = r->name;
    r->incarnation = in->incarnation;
    if (!r->incarnation || !in->name)
        return;
    char *key = build_temp(b, REGISTRY_KEY_SIZE, 1);
    if (key)
        r->key = registry_key_format(r->name, r->incarnation, key);
}

void topology_build_registry(struct topology_build *b, const struct spec_registry *in,
                             struct registry *r)
{
    if (in->name)
        r->name = in->name;
    else
        r->name = "";
    if (in->hash)
        r->hash = in->hash;
    else
        r->hash = "";
    r->label = in->label;
    build_key(b, in, r);
    r->regional_endpoints = in->regional_endpoints;
    r->data_endpoints = in->data_endpoints;
    r->anonymous_pull = in->anonymous_pull;
    r->stage = (uint8_t)in->stage;
    r->regional_stage = (uint8_t)in->regional_stage;
    r->data_stage = (uint8_t)in->data_stage;
    r->dnl_scope = (uint8_t)in->dnl_scope;
    if (in->owner)
        r->owner = in->owner;
    else
        r->owner = "";
    build_access(b, in, r);
    build_replicas(b, in, r);
    topology_build_policy(b, in, r);
}

void topology_build_registries(struct topology_build *b)
{
    size_t n = b->s->n_registries;
    struct registry *all = NULL;
    if (topology_sort_registries(b))
        all = build_temp(b, n, sizeof *all);
    if (!all)
        return;
    for (size_t i = 0; i < n && !b->ctx->nomem; i++) {
        topology_build_registry(b, &b->s->registries[i], &all[i]);
        check_twice(b, i);
    }
    b->registries = all;
    b->n_registries = n;
}

void registry_specs_build(struct option_ctx *ctx, const struct topology *t,
                          struct spec_registry *specs, size_t n, struct registry **out,
                          size_t *out_n)
{
    const struct spec_topology s = {.registries = specs, .n_registries = n};
    // registries are built in the temporary arena: `t` is only read
    struct topology_build b = {.ctx = ctx, .t = (struct topology *)t, .s = &s};
    topology_build_registries(&b);
    if (!b.registries)
        return;
    *out = b.registries;
    *out_n = b.n_registries;
}
