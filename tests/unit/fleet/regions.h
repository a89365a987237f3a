// SPDX-License-Identifier: Apache-2.0
// A small fleet in one process, for tests: real HTTP over unix sockets; one socket per (server,
// client) pair says who the client is, in place of its certificate. Links between regions can be cut.
//
//   struct fleet_world w;
//   world_make(&w, 3);
//   world_topology(&w, 7);
//   for (size_t i = 0; i < 3; i++) region_up(&w.regions[i]);
//   w.cut[0][1] = true;                       // neither calls the other
//   world_done(&w);
#ifndef MERIDIAN_TESTS_FLEET_REGIONS_H
#define MERIDIAN_TESTS_FLEET_REGIONS_H

#include "fleet/fleet.h"
#include "net/fetch.h"
#include "net/http.h"

#include <jansson.h>
#include <stdatomic.h>

#define WORLD_MAX 5

struct fleet_world;
struct world_region;

struct world_server {
    struct world_region *at, *peer;
    struct http_server *server;
};

struct world_region {
    struct fleet_world *world;
    const char *name;
    struct snapshot topology, principals;
    struct pool *pool;
    struct fetcher *fetcher;
    struct fleet *fleet;
    struct world_server servers[WORLD_MAX];
    // what its report is, in place of the truth; NULL: that
    const char *_Atomic says;
};

struct fleet_world {
    char dir[64];
    size_t n;
    struct world_region regions[WORLD_MAX];
    _Atomic bool cut[WORLD_MAX][WORLD_MAX];
};

void world_make(struct fleet_world *w, size_t n);
// A topology of that version in every region.
void world_topology(struct fleet_world *w, unsigned version);
void region_topology(struct world_region *r, unsigned version);
void region_up(struct world_region *r);
void region_down(struct world_region *r);
void world_done(struct fleet_world *w);

#endif
