// SPDX-License-Identifier: Apache-2.0
// The routing decision (design section 4): which region a client of a global name is sent to, and
// why. A pure function of topology, registry, verdicts and the client's network: the answer and its
// explanation both come from here.
//
//   struct route_context c = {.topology = t, .health = verdicts, .map = map};
//   struct route r;
//   route_decide(&c, registry, &client, &r);
//   const struct route_step *s = &r.steps[r.chosen];      // unless r.mode is ROUTE_NOWHERE, which
//                                                         // validation rules out
//
// route_pick gives the chosen region alone, without the reasons: what a worker does for every
// query.
//
// Allocates nothing. Any thread.
#ifndef MERIDIAN_RESOLVER_ROUTE_ROUTE_H
#define MERIDIAN_RESOLVER_ROUTE_ROUTE_H

#include "base/addr.h"
#include "config/catalogue.h"
#include "config/topology.h"
#include "health/health.h"
#include "resolver/packet/client.h"
#include "resolver/route/geo.h"
#include "resolver/zone/zone.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum route_state {
    ROUTE_OPEN,       // would take the client
    ROUTE_UNHEALTHY,  // its home stamp is down, or the registry is impaired there
    ROUTE_DRILLED,    // healthy, but a fault drill has taken it out for now
    ROUTE_SHORT,      // healthy, but its home stamp takes no new content for want of space
    ROUTE_DRAINED,    // the operator drained it
    ROUTE_OFF,        // global routing is off for this replica
    ROUTE_STAGED,     // the replica is not STAGE_PUBLIC: it comes, or it goes
    ROUTE_NO_REPLICA, // the registry is not there
};

enum route_placed { // by what a region has its place in the order
    ROUTE_BY_OVERRIDE,
    ROUTE_BY_LATENCY,
    ROUTE_BY_DISTANCE,
    ROUTE_BY_ORDER, // the operator's
};

struct route_step {
    // stamp: where the replica's names lead now, by route_stamp (0 without one)
    uint8_t region, stamp;
    // from 0; those of a tier are equally near
    uint8_t tier;
    // enum route_placed
    uint8_t placed;
    // of the replica, 0 to 100
    uint8_t weight;
    // of that stamp, 0 to HEALTH_HEADROOM_FULL
    uint8_t headroom;
    // rendezvous (resolver/route/rendezvous.h): within a tier by cost / (weight * headroom)
    uint64_t cost;
    // health of that stamp and of the registry there, also where something else rules it out
    bool up;
    // likewise
    bool is_short;
    enum route_state state;
};

enum route_mode {
    ROUTE_HEALTHY, // the first that is on, not drained, healthy and not short
    // all that are on, not drained and healthy are short: the first of them, as if none was
    ROUTE_ALL_SHORT,
    // all others that are on and not drained are down: one that a drill has taken out, for it is up.
    // A drill takes nothing away that nobody else can give
    ROUTE_ALL_DRILLED,
    ROUTE_FAIL_OPEN, // none is healthy: the first that is on and not drained
    ROUTE_LAST,      // all that are on are drained: a drained one, healthy first
    ROUTE_NOWHERE,   // no replica takes global traffic; validation refuses such topologies
};

struct route {
    // the order, blind to health
    struct route_step steps[TOPOLOGY_MAX_REGIONS];
    size_t n_steps;
    // index into steps; means nothing when mode is ROUTE_NOWHERE
    size_t chosen;
    enum route_mode mode;
    // sent to a region that is believed down
    bool fail_open;
    // weights decide: several replicas in a tier that was looked at
    bool by_weight;
    // the rule that matched, or NULL
    const struct routing_override *override_;
    // of what was measured, or NULL
    const struct geo_ranking *ranking;
};

struct route_context {
    const struct topology *topology;
    // may be NULL: all count as up
    const struct health_verdicts *health;
    // the same for speed; may be NULL
    const struct health_map *map;
    // of topology; may be NULL: nothing measured
    const struct geo_view *geo;
    // wall clock: for replicas that move to another stamp
    int64_t now_s;
    // fe.D as this node serves it; NULL: as the topology has it
    const struct zone *frontend;
};

uint8_t route_stamp_moving(const struct route_context *c, const struct catalogue_registry *r,
                           uint8_t region);

// The stamp that the names of a replica lead to: its home stamp, or the one before while that is
// not to be used yet (publish before use: control/moves.h). Few move, so that this is a look at
// flags that are in hand.
static inline uint8_t route_stamp(const struct route_context *c, const struct catalogue_registry *r,
                                  uint8_t region)
{
    if (__builtin_expect(r->flags & CATALOGUE_MOVES, 0))
        return route_stamp_moving(c, r, region);
    return catalogue_stamp(r, region);
}

void route_decide(const struct route_context *c, const struct catalogue_registry *r,
                  const struct route_client *client, struct route *out);

struct route_choice {
    uint8_t region, stamp;
    enum route_mode mode;
    bool by_weight;
};

// Always what route_decide chooses. False: nowhere; only the mode is set then.
bool route_pick(const struct route_context *c, const struct catalogue_registry *r,
                const struct route_client *client, struct route_choice *out);

// SCOPE PREFIX-LENGTH of an answer by that choice, in bits of the client's family (RFC 7871 section
// 7.2.1): of the widest prefix around the client for which all that is decided blind to health is
// the same. 0: for every client.
uint8_t route_scope(const struct route_context *c, const struct route_client *client,
                    bool by_weight);

// Is the stamp up, is it short? By the map if there is one, else by the verdicts.
static inline bool route_is_up(const struct route_context *c, uint8_t region, uint8_t stamp)
{
    if (!c->map)
        return health_is_up(c->health, c->topology, region, stamp);
    uint32_t at = c->topology->catalogue->regions[region].first_stamp + stamp;
    return !(c->map->down[at / 8] >> at % 8 & 1);
}
static inline bool route_is_short(const struct route_context *c, uint8_t region, uint8_t stamp)
{
    if (!c->map)
        return health_is_short(c->health, c->topology, region, stamp);
    uint32_t at = c->topology->catalogue->regions[region].first_stamp + stamp;
    return c->map->shorts[at / 8] >> at % 8 & 1;
}

// "open", "unhealthy", "drilled", "short", "drained", "off", "staged",
// "no_replica"
const char *route_state_name(enum route_state s);
const char *route_state_text(enum route_state s);   // a clause for people
const char *route_placed_name(enum route_placed p); // "override", "latency", "distance", "order"
// "healthy", "all_short", "all_drilled", "fail_open", "all_drained", "nowhere"
const char *route_mode_name(enum route_mode m);

#endif
