// SPDX-License-Identifier: Apache-2.0
// Where global names lead: the operator's order, overrides by client network, the files of
// measurements, and the regions' locations. See topology_priv.h.
#include "config/topology_priv.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

// "-79.82" to 1/10000 degree; digits beyond are read and left out. Returns where it ends, or NULL.
static const char *read_degrees(const char *p, int32_t most, int32_t *out)
{
    bool minus = *p == '-';
    int32_t v = 0, n = 0, unit = 10000;
    p += minus;
    for (; *p >= '0' && *p <= '9' && n < 4; p++, n++)
        v = v * 10 + (*p - '0');
    if (n == 0 || v > most)
        return NULL;
    v *= unit;
    if (*p == '.') {
        for (n = 0, p++; *p >= '0' && *p <= '9' && n < 16; p++, n++)
            v += (*p - '0') * (unit /= 10);
        if (n == 0)
            return NULL;
    }
    if (v > most * 10000)
        return NULL;
    if (minus)
        *out = -v;
    else
        *out = v;
    return p;
}

static bool location_parse(const char *text, int32_t *out_latitude, int32_t *out_longitude)
{
    const char *p = read_degrees(text, 90, out_latitude);
    if (!p || *p != ',')
        return false;
    p += 1 + strspn(p + 1, " ");
    p = read_degrees(p, 180, out_longitude);
    return p && !*p;
}

bool topology_location_ok(const char *text)
{
    int32_t a, b;
    return location_parse(text, &a, &b);
}

void topology_build_location(const struct spec_region *in, struct region *r)
{
    r->has_location = in->location && location_parse(in->location, &r->latitude, &r->longitude);
}

// One word of an order: a region, or several of one tier joined by "+".
static size_t build_tier(struct topology_build *b, int line, const char *what, const char *word,
                         region_set *seen, uint8_t *out)
{
    char name[256];
    size_t n_out = 0;
    for (const char *p = word;; p++) {
        size_t n = strcspn(p, "+");
        snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), p);
        int r = build_find_region(b, line, what, name);
        if (r >= 0 && *seen >> r & 1) {
            options_error(b->ctx, line, "%s: region %s is named twice", what, name);
        } else if (r >= 0) {
            *seen |= (region_set)1 << r;
            out[n_out++] = (uint8_t)r;
        }
        p += n;
        if (!*p)
            return n_out;
    }
}

// Words to region indexes, each at most once; returns how many.
static size_t build_order(struct topology_build *b, const struct doc_node *node, const char *what,
                          const char *const *words, size_t n, uint8_t out[TOPOLOGY_MAX_REGIONS],
                          uint64_t *out_tiers)
{
    region_set seen = 0;
    size_t n_out = 0;
    *out_tiers = 0;
    for (size_t i = 0; i < n; i++) {
        if (!words[i])
            continue; // said when it was read
        size_t more =
            build_tier(b, doc_item_line(node, "order", i), what, words[i], &seen, out + n_out);
        if (more)
            *out_tiers |= (uint64_t)1 << n_out;
        n_out += more;
    }
    return n_out;
}

static int override_order(const void *a, const void *b)
{
    const struct routing_override *x = a, *y = b;
    if (x->cidr.bits != y->cidr.bits) {
        if (x->cidr.bits > y->cidr.bits)
            return -1;
        return 1;
    }
    int c = memcmp(x->cidr.ip.b, y->cidr.ip.b, 16);
    if (c)
        return c;
    return (x->line > y->line) - (x->line < y->line);
}

static void build_overrides(struct topology_build *b)
{
    const struct spec_routing *s = &b->s->routing;
    size_t n = 0, at = 0;
    for (size_t i = 0; i < s->n_overrides; i++)
        n += s->overrides[i].n_clients;
    struct routing_override *out = build_array(b, n, sizeof *out);
    for (size_t i = 0; out && i < s->n_overrides; i++) {
        const struct spec_override *in = &s->overrides[i];
        uint8_t order[TOPOLOGY_MAX_REGIONS];
        uint64_t tiers;
        size_t n_order =
            build_order(b, in->node, "routing.overrides", in->order, in->n_order, order, &tiers);
        const uint8_t *kept = build_copy(b, order, n_order, 1);
        for (size_t k = 0; k < in->n_clients; k++)
            out[at++] = (struct routing_override){in->clients[k], kept, n_order, tiers,
                                                  doc_item_line(in->node, "clients", k)};
    }
    if (!out)
        return;
    qsort(out, n, sizeof *out, override_order);
    char text[CIDR_TEXT_SIZE];
    for (size_t i = 1; i < n; i++)
        if ((out[i].cidr.bits || !b->ctx->n_errors) &&
            !memcmp(&out[i].cidr, &out[i - 1].cidr, sizeof out[i].cidr))
            options_error(b->ctx, out[i].line,
                          "routing.overrides: %s has a rule already, on line %d",
                          cidr_format(&out[i].cidr, text), out[i - 1].line);
    for (size_t i = 0; i < n; i++) {
        uint8_t special =
            ip_special_bits(&out[i].cidr.ip, out[i].cidr.bits >= 96 && ip_is_v4(&out[i].cidr.ip));
        b->t->routing.overrides_special |= special && out[i].cidr.bits >= special;
    }
    b->t->overrides = out;
    b->t->n_overrides = n;
}

// A path of the document: relative to it. Returns false when memory ended.
static bool place(struct topology *t, const char *given, const char **out)
{
    const char *slash = strrchr(t->source, '/');
    *out = given;
    if (given && *given != '/' && slash)
        *out =
            arena_printf(&t->frame->arena, "%.*s/%s", (int)(slash - t->source), t->source, given);
    return *out || !given;
}

static bool place_all(struct topology *t)
{
    struct routing_settings *r = &t->routing;
    return place(t, r->latency_given, &r->latency_file) &&
           place(t, r->maxmind_given, &r->maxmind_file);
}

int topology_set_source(struct topology *t, const char *source)
{
    const char *copy = arena_strdup(&t->frame->arena, source);
    if (!copy)
        return ERR_NOMEM;
    t->source = copy;
    if (place_all(t))
        return 0;
    return ERR_NOMEM;
}

static void build_settings(struct topology_build *b)
{
    const struct spec_routing *s = &b->s->routing;
    struct routing_settings *r = &b->t->routing;
    if (s->latency_file)
        r->latency_given = build_string(b, s->latency_file);
    else
        r->latency_given = NULL;
    if (s->maxmind_file)
        r->maxmind_given = build_string(b, s->maxmind_file);
    else
        r->maxmind_given = NULL;
    if (!place_all(b->t))
        b->ctx->nomem = true;
    r->latency_margin_ms = s->latency_margin_ms;
    r->distance_margin_km = s->distance_margin_km;
    bool any = false;
    for (size_t i = 0; i < b->t->n_regions; i++)
        any |= b->t->regions[i].has_location;
    if (s->maxmind_file && !any)
        options_error(b->ctx, doc_key_line(s->node, "maxmind_file"),
                      "routing: maxmind_file without a location of any region: there is no "
                      "distance to measure");
}

void topology_build_routing(struct topology_build *b)
{
    const struct spec_routing *s = &b->s->routing;
    uint8_t order[TOPOLOGY_MAX_REGIONS];
    uint64_t tiers;
    size_t n = build_order(b, s->node, "routing.order", s->order, s->n_order, order, &tiers);
    region_set named = 0;
    for (size_t i = 0; i < n; i++)
        named |= (region_set)1 << order[i];
    for (size_t i = 0; i < b->t->n_regions; i++)
        if (!(named >> i & 1)) {
            tiers |= (uint64_t)1 << n;
            order[n++] = (uint8_t)i;
        }
    b->t->routing_order = build_copy(b, order, n, 1);
    b->t->routing_tiers = tiers;
    build_overrides(b);
    build_settings(b);
}
