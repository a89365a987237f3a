// SPDX-License-Identifier: Apache-2.0
// A small fleet in one process, for tests: real HTTP over unix sockets; one socket per (server,
// client) pair says who the client is, in place of its certificate. Links between regions can be cut.
//
//   struct fleet_world w;
//   world_make(&w, 3);
//   world_topology(&w, 7);                    // or world_feed(&w): over the control feed, first writes
//   world_up(&w);
//   w.cut[0][1] = true;                       // the first cannot call the second
//   world_done(&w);
#ifndef MERIDIAN_TESTS_FLEET_REGIONS_H
#define MERIDIAN_TESTS_FLEET_REGIONS_H

#include "certs/keys.h"
#include "certs/signing_key.h"
#include "control/feed.h"
#include "fleet/call.h"
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
    // its data; stays when it is down
    char dir[80];
    struct region_keys *keys;
    struct control_feed *feed;
    struct topology_source *source;
    struct snapshot topology, principals;
    struct pool *pool;
    struct fetcher *fetcher;
    struct fleet *fleet;
    struct world_server servers[WORLD_MAX];
    // all that it answers, in place of the truth; NULL: that
    const char *_Atomic says;
    // the first of these answers is held back while it holds; one is
    _Atomic bool holds, held;
    // the status of its answers to polls of the feed then; 0: 200
    _Atomic int says_status;
    // how often a request was handed on to it
    _Atomic unsigned n_requests;
    // how often the others called it; polled the feed; asked for a base
    _Atomic unsigned n_calls, n_polls, n_bases;
    // of its log; 0: as usual
    size_t keep_entries;
};

struct fleet_world {
    char dir[64];
    size_t n;
    struct world_region regions[WORLD_MAX];
    // by who calls, and who is called
    _Atomic bool cut[WORLD_MAX][WORLD_MAX];
    // regions follow the control feed; the fleet's root key
    bool feeds;
    struct signing_key *root;
};

void world_make(struct fleet_world *w, size_t n);
// A topology of that version in every region.
void world_topology(struct fleet_world *w, unsigned version);
void region_topology(struct world_region *r, unsigned version);
// The regions follow the control feed, beginning with a topology of version 7. The first one writes.
void world_feed(struct fleet_world *w);
void world_up(struct fleet_world *w);
void region_up(struct world_region *r);
void region_down(struct world_region *r);
void world_done(struct fleet_world *w);

// How that region calls the others.
struct fleet_caller region_caller(struct world_region *r);

// ---- with the feed ----

// At the writer: a registry of that name, in eastus. As control_feed_append.
int region_change(struct world_region *r, const char *name, struct control_place *out);
bool region_has(struct world_region *r, const char *name); // in force there
struct control_place region_place(struct world_region *r);
bool region_writes(struct world_region *r); // is the writer, and confirmed
// That region, whatever it is, asks another one. The status of the answer; 0: none. `out` NULL: is of
// no use.
int region_asks(struct world_region *r, size_t to, const char *target, struct buf *out);
// Tells it that it stands there. Likewise.
int region_claims(struct world_region *r, size_t to, const struct control_place *p);
// Its data as it is now, and back to that: a disk that is restored. Only while it is down.
void region_copy(struct world_region *r);
void region_restore(struct world_region *r);
// Waits until it is so, for up to 20 s.
#define until(condition)                                     \
    do {                                                     \
        int64_t until_end_ = clock_mono_ms() + 20000;        \
        while (!(condition)) {                               \
            if (clock_mono_ms() > until_end_)                \
                ck_abort_msg("not in time: %s", #condition); \
            clock_sleep_ms(2);                               \
        }                                                    \
    } while (0)

#endif
