// SPDX-License-Identifier: Apache-2.0
// The compiler of measured networks; see geo_build.h.
#include "resolver/route/geo_build.h"

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "resolver/route/geo_latency.h"
#include "resolver/route/geo_maxmind.h"
#include "resolver/route/geo_rank.h"

#include <string.h>

enum layer { LAYER_MAXMIND, LAYER_LATENCY };

struct build {
    const struct topology *t;
    struct diag *diag;
    struct geo *g;
    struct geo_ranks ranks;
    struct prefix_entry *entries;
    size_t n, room;
    // For distances:
    struct geo_globe *globe;
    struct geo_point points[TOPOLOGY_MAX_REGIONS];
    // by location: the ranking's place, plus one
    struct htab *places;
};

static int keep(struct build *b, const struct cidr *net, enum layer layer, uint32_t value)
{
    if (b->n == b->room) {
        size_t room = 1024;
        if (b->room)
            room = 2 * b->room;
        struct prefix_entry *e = mem_realloc(b->entries, room * sizeof *e);
        if (!e)
            return ERR_NOMEM;
        b->entries = e;
        b->room = room;
    }
    b->entries[b->n++] = (struct prefix_entry){*net, (uint8_t)layer, value};
    return 0;
}

static int add_latencies(struct build *b)
{
    const struct routing_settings *s = &b->t->routing;
    struct geo_latencies l = {0};
    int rc = geo_latency_load(s->latency_file, b->t, b->diag, &l);
    for (size_t i = 0, end; i < l.n && !rc; i = end) {
        struct geo_measure m[TOPOLOGY_MAX_REGIONS];
        for (end = i; end < l.n && !memcmp(&l.rows[end].net, &l.rows[i].net, sizeof l.rows[i].net);
             end++)
            // a region stands once
            m[end - i] = (struct geo_measure){l.rows[end].region, l.rows[end].us};
        uint32_t at = geo_rank(&b->ranks, GEO_LATENCY, m, end - i, s->latency_margin_ms * 1000);
        if (at)
            rc = keep(b, &l.rows[i].net, LAYER_LATENCY, at);
        else
            rc = ERR_NOMEM;
        b->g->n_latency++;
    }
    if (!rc && l.n_unknown)
        log_warn("geo: %s: %zu rows of regions that are not in the topology are left out, the "
                 "first on line %u",
                 s->latency_file, l.n_unknown, l.unknown_line);
    geo_latencies_done(&l);
    return rc;
}

static uint32_t rank_place(void *ctx, int32_t latitude, int32_t longitude)
{
    struct build *b = ctx;
    int32_t key[2] = {latitude, longitude};
    void *known = htab_get(b->places, key, sizeof key);
    if (known)
        return (uint32_t)(uintptr_t)known;
    struct geo_measure m[TOPOLOGY_MAX_REGIONS];
    struct geo_point here = geo_point_at(latitude, longitude);
    size_t n = 0;
    for (size_t i = 0; i < b->t->n_regions; i++)
        if (b->t->regions[i].has_location)
            m[n++] = (struct geo_measure){(uint8_t)i, geo_km(b->globe, &here, &b->points[i])};
    uint32_t at = geo_rank(&b->ranks, GEO_MAXMIND, m, n, b->t->routing.distance_margin_km);
    if (at && !htab_put(b->places, key, sizeof key, (void *)(uintptr_t)at))
        return at;
    return 0;
}

static int add_network(void *ctx, const struct cidr *net, uint32_t value)
{
    struct build *b = ctx;
    b->g->n_maxmind++;
    return keep(b, net, LAYER_MAXMIND, value);
}

static int add_maxmind(struct build *b)
{
    struct geo_maxmind *m = NULL;
    const struct geo_maxmind_user user = {b, rank_place, add_network};
    int rc = geo_maxmind_open(b->t->routing.maxmind_file, b->diag, &m);
    if (rc)
        return rc;
    b->globe = mem_alloc(sizeof *b->globe);
    b->places = htab_new();
    if (b->globe && b->places) {
        geo_globe_init(b->globe);
        for (size_t i = 0; i < b->t->n_regions; i++)
            b->points[i] = geo_point_at(b->t->regions[i].latitude, b->t->regions[i].longitude);
        rc = geo_maxmind_walk(m, &user, b->diag);
    } else {
        rc = ERR_NOMEM;
    }
    geo_maxmind_close(m);
    return rc;
}

static void geo_free(void *self)
{
    struct geo *g = self;
    arena_done(&g->arena);
    free(g);
}

static int freeze(struct build *b)
{
    struct geo *g = b->g;
    const char **names = arena_array(&g->arena, b->t->n_regions, sizeof *names);
    if (!names)
        return ERR_NOMEM;
    for (size_t i = 0; i < b->t->n_regions; i++) {
        names[i] = arena_strdup(&g->arena, b->t->regions[i].name);
        if (!names[i])
            return ERR_NOMEM;
    }
    g->regions = names;
    g->n_regions = b->t->n_regions;
    g->n_rankings = b->ranks.n;
    struct geo_ranking *rankings = arena_array(&g->arena, b->ranks.n + 1, sizeof *rankings);
    g->rankings = rankings;
    if (!rankings)
        return ERR_NOMEM;
    if (b->ranks.n)
        memcpy(rankings, b->ranks.list, b->ranks.n * sizeof *rankings);
    return prefix_map_build(&g->arena, b->entries, b->n, &g->map);
}

int geo_build_parts(const struct topology *t, unsigned parts, struct diag *diag, struct geo **out)
{
    struct build b = {.t = t, .diag = diag, .g = mem_zalloc(sizeof *b.g)};
    if (!b.g)
        return ERR_NOMEM;
    snapshot_head_init(&b.g->head, geo_free);
    arena_init(&b.g->arena, 0);
    int rc = geo_ranks_init(&b.ranks);
    if (!rc && t->routing.latency_file && parts & GEO_LATENCY)
        rc = add_latencies(&b);
    if (!rc && t->routing.maxmind_file && parts & GEO_MAXMIND)
        rc = add_maxmind(&b);
    if (!rc)
        rc = freeze(&b);
    free(b.entries);
    free(b.globe);
    htab_free(b.places);
    geo_ranks_done(&b.ranks);
    if (rc)
        snapshot_unref(b.g);
    else
        *out = b.g;
    return rc;
}

int geo_build(const struct topology *t, struct diag *diag, struct geo **out)
{
    return geo_build_parts(t, GEO_LATENCY | GEO_MAXMIND, diag, out);
}

static bool text_differs(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") != 0;
}

static bool place_differs(const struct region *p, const struct region *q)
{
    if (strcmp(p->name, q->name) != 0 || p->has_location != q->has_location)
        return true;
    return p->latitude != q->latitude || p->longitude != q->longitude;
}

bool geo_settings_differ(const struct topology *a, const struct topology *b)
{
    const struct routing_settings *x = &a->routing, *y = &b->routing;
    if (a->frame == b->frame)
        return false; // versions that differ in registries only
    if (text_differs(x->latency_file, y->latency_file))
        return true;
    if (text_differs(x->maxmind_file, y->maxmind_file))
        return true;
    if (x->latency_margin_ms != y->latency_margin_ms)
        return true;
    if (x->distance_margin_km != y->distance_margin_km)
        return true;
    if (a->n_regions != b->n_regions)
        return true;
    for (size_t i = 0; i < a->n_regions; i++)
        if (place_differs(&a->regions[i], &b->regions[i]))
            return true;
    return false;
}
