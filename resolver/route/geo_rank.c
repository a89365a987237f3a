// SPDX-License-Identifier: Apache-2.0
// Rankings and distances; see geo_rank.h.
#include "resolver/route/geo_rank.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

#define RADIUS_KM 6371
#define PI_Q60 3622009729038561421 // pi in 2^-60

int geo_ranks_init(struct geo_ranks *r)
{
    *r = (struct geo_ranks){.index = htab_new()};
    if (r->index)
        return 0;
    return ERR_NOMEM;
}

void geo_ranks_done(struct geo_ranks *r)
{
    free(r->list);
    htab_free(r->index);
    *r = (struct geo_ranks){0};
}

static int by_value(const void *a, const void *b)
{
    const struct geo_measure *x = a, *y = b;
    if (x->value != y->value) {
        if (x->value < y->value)
            return -1;
        return 1;
    }
    return (int)x->region - (int)y->region;
}

static int by_region(const void *a, const void *b)
{
    return (int)((const struct geo_measure *)a)->region -
           (int)((const struct geo_measure *)b)->region;
}

static void ranking_fill(struct geo_ranking *out, enum geo_source source, struct geo_measure *m,
                         size_t n, uint32_t margin)
{
    memset(out, 0, sizeof *out); // padding too: it is hashed
    out->n = (uint8_t)n;
    out->source = (uint8_t)source;
    qsort(m, n, sizeof *m, by_value);
    for (size_t begin = 0, end; begin < n; begin = end) {
        for (end = begin + 1; end < n && m[end].value - m[begin].value <= margin; end++)
            ;
        struct geo_measure tier[TOPOLOGY_MAX_REGIONS];
        memcpy(tier, m + begin, (end - begin) * sizeof *m);
        qsort(tier, end - begin, sizeof *tier, by_region);
        out->tiers |= (uint64_t)1 << begin;
        for (size_t i = begin; i < end; i++)
            out->order[i] = tier[i - begin].region;
    }
}

uint32_t geo_rank(struct geo_ranks *r, enum geo_source source, struct geo_measure *m, size_t n,
                  uint32_t margin)
{
    struct geo_ranking x;
    ranking_fill(&x, source, m, n, margin);
    void *known = htab_get(r->index, &x, sizeof x);
    if (known)
        return (uint32_t)(uintptr_t)known;
    if (r->n == r->room) {
        size_t room = 64;
        if (r->room)
            room = 2 * r->room;
        struct geo_ranking *list = mem_realloc(r->list, room * sizeof *list);
        if (!list)
            return 0;
        r->list = list;
        r->room = room;
    }
    if (htab_put(r->index, &x, sizeof x, (void *)(uintptr_t)(r->n + 1)))
        return 0;
    r->list[r->n++] = x;
    return (uint32_t)r->n;
}

// sin(x) for x from 0 to pi/2 in 2^-60; the result in 2^-60, right to a few units in 2^-50.
static int64_t sin_q60(int64_t x)
{
    __int128 square = (__int128)x * x >> 60, term = x, sum = x;
    for (int k = 2; k < 24; k += 2) {
        term = -(term * square >> 60) / (k * (k + 1));
        sum += term;
    }
    return (int64_t)sum;
}

// sin of an angle in 1/10000 degree, from -180 to 180 degrees.
static int64_t sin_of(int32_t angle)
{
    bool minus = angle < 0;
    int32_t a = angle;
    if (minus)
        a = -angle;
    if (a > 900000)
        a = 1800000 - a;
    int64_t s = sin_q60((int64_t)((__int128)a * PI_Q60 / 1800000));
    if (minus)
        return -s;
    return s;
}

static int64_t cos_of(int32_t angle)
{
    int32_t a = 900000 - (angle < 0 ? -angle : angle); // from -90 to 90 degrees
    return sin_of(a);
}

static int32_t product(int64_t a, int64_t b)
{
    return (int32_t)((__int128)a * b >> 90);
}

struct geo_point geo_point_at(int32_t latitude, int32_t longitude)
{
    int64_t across = cos_of(latitude);
    return (struct geo_point){product(across, cos_of(longitude)),
                              product(across, sin_of(longitude)),
                              (int32_t)(sin_of(latitude) >> 30)};
}

void geo_globe_init(struct geo_globe *g)
{
    for (uint32_t k = 0; k <= GEO_KM_MAX;
         k++) { // of half the arc: (k + 1/2) / (2 * radius), the chord is twice its sine
        int64_t arc = (int64_t)(((__int128)(2 * k + 1) << 60) / (4 * RADIUS_KM));
        int64_t half;
        if (arc < PI_Q60 / 2)
            half = sin_q60(arc);
        else
            half = (int64_t)1 << 60;
        g->chord2[k] = (uint64_t)((__int128)half * half >> 58);
    }
}

uint32_t geo_km(const struct geo_globe *g, const struct geo_point *a, const struct geo_point *b)
{
    int64_t x = (int64_t)a->x - b->x, y = (int64_t)a->y - b->y, z = (int64_t)a->z - b->z;
    uint64_t square = (uint64_t)(x * x) + (uint64_t)(y * y) + (uint64_t)(z * z);
    uint32_t low = 0, n = GEO_KM_MAX;
    while (n) { // how many halfway marks lie below
        uint32_t half = n / 2;
        if (g->chord2[low + half] <= square) {
            low += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return low;
}
