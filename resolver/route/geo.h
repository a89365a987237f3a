// SPDX-License-Identifier: Apache-2.0
// Measured networks (design section 4.2): for a client's network, the regions in order of latency
// or distance, with those that are equally near in one tier. geo_build compiles them off the hot
// path, geo_watch keeps them up to date, and a frozen snapshot publishes them. Routing overrides of
// the topology come first.
//
//   struct geo_view v;
//   geo_view_set(&v, geo, topology);                        // when either changes
//   const struct geo_ranking *r = geo_lookup(v.geo, &ip);   // NULL: nothing is known of the
//                                                           // network
//
// A snapshot has its own numbers for regions, because it may be older than the topology by the time
// that compiling takes. The view translates them by name. A region that the snapshot does not know
// follows in the operator's order.
#ifndef MERIDIAN_RESOLVER_ROUTE_GEO_H
#define MERIDIAN_RESOLVER_ROUTE_GEO_H

#include "base/arena.h"
#include "base/prefix_map.h"
#include "base/snapshot.h"
#include "config/topology.h"

enum geo_source { GEO_LATENCY = 1, GEO_MAXMIND = 2 };

struct geo_ranking {
    // bit i: order[i] begins a tier
    uint64_t tiers;
    uint8_t n, source;
    // within a tier by number: there the weights decide
    uint8_t order[TOPOLOGY_MAX_REGIONS];
};

struct geo { // frozen
    struct snapshot_head head;
    struct arena arena;
    // to the ranking's place, plus one
    struct prefix_map map;
    const struct geo_ranking *rankings;
    size_t n_rankings;
    size_t n_regions;
    // their names
    const char *const *regions;
    // networks of each file, after equal neighbours were joined
    size_t n_latency, n_maxmind;
};

struct geo_view {
    // NULL: none
    const struct geo *geo;
    // its numbers are the topology's
    bool same;
    // else by its numbers; REGION_NONE: gone
    uint8_t region[TOPOLOGY_MAX_REGIONS];
};

void geo_view_set(struct geo_view *v, const struct geo *g, const struct topology *t);

static inline const struct geo_ranking *geo_lookup(const struct geo *g, const struct ip *ip)
{
    uint32_t at = prefix_map_get(&g->map, ip);
    return at ? &g->rankings[at - 1] : NULL;
}

#endif
