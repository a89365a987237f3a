// SPDX-License-Identifier: Apache-2.0
// Measures to rankings, for resolver/geo_build: regions sorted and cut into tiers, equal rankings
// kept once; and the distance over the globe. Integers throughout: two resolvers with the same
// files give the same answers. One thread.
#ifndef MERIDIAN_RESOLVER_ROUTE_GEO_RANK_H
#define MERIDIAN_RESOLVER_ROUTE_GEO_RANK_H

#include "base/htab.h"
#include "resolver/route/geo.h"

struct geo_measure { // of one region from a network
    uint8_t region;
    // microseconds, or kilometres
    uint32_t value;
};

struct geo_ranks {
    struct geo_ranking *list;
    size_t n, room;
    // to the place, plus one
    struct htab *index;
};

int geo_ranks_init(struct geo_ranks *r);
void geo_ranks_done(struct geo_ranks *r);
// A tier begins with the nearest that is left and holds all that are at most `margin` further.
// Sorts m. The ranking's place, plus one; 0: out of memory.
uint32_t geo_rank(struct geo_ranks *r, enum geo_source source, struct geo_measure *m, size_t n,
                  uint32_t margin);

struct geo_point { // on the unit sphere, in 2^-30
    int32_t x, y, z;
};
struct geo_point geo_point_at(int32_t latitude, int32_t longitude); // in 1/10000 degree
#define GEO_KM_MAX 20015 // half of a great circle, by a radius of 6371 km
struct geo_globe {
    // squared chord between k and k + 1 km (at k and a half), in 2^-60
    uint64_t chord2[GEO_KM_MAX + 1];
};
void geo_globe_init(struct geo_globe *g);
// to the nearest
uint32_t geo_km(const struct geo_globe *g, const struct geo_point *a, const struct geo_point *b);

#endif
