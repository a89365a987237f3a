// SPDX-License-Identifier: Apache-2.0
// A world at random, for property tests: a topology (regions with and without a place on earth,
// stamps, replicas with weights from 0, off and drained ones, orders and overrides with tiers, a
// view with private addresses), networks that were measured (a latency file and a MaxMind database,
// compiled, now and then of an older topology with other regions), verdicts (down, forced,
// headroom, drained and impaired), and clients. All of it follows from one number.
//
// Addresses lie around a few hot ones, so that networks nest, touch and are hit. Region i's stamps
// have the addresses 10.<i>.0.x; its names' private ones 10.<100 + i>.0.x, the global name's
// 10.99.0.1.
#ifndef MERIDIAN_TESTS_UNIT_RESOLVER_WORLD_H
#define MERIDIAN_TESTS_UNIT_RESOLVER_WORLD_H

#include "config/topology.h"
#include "health/health.h"
#include "resolver/route/geo.h"

#define WORLD_EXCEPTIONS 12

struct world {
    struct topology *t;
    // NULL: nothing measured
    struct geo *geo;
    // of a topology in which some region has another name
    bool lost;
    struct geo_view view;
    // NULL: none yet
    struct health_verdicts *verdicts;
    struct health_exception exceptions[WORLD_EXCEPTIONS];
    struct health_map map;
    // of its files
    char *dir;
};

void world_seed(uint32_t seed);
uint32_t world_rnd(uint32_t n); // below n

void world_make(struct world *w);
void world_done(struct world *w);
void world_verdicts(struct world *w); // other ones, at random
void world_map(struct world *w);      // after a change of verdicts by hand

struct ip world_ip(void);    // global unicast, near a hot address
struct cidr world_net(void); // the same; of any length
struct ip world_ip_in(const struct cidr *net);
// the network of that length (mapped) around it
struct cidr world_cut(const struct ip *ip, uint8_t bits);

#endif
