// SPDX-License-Identifier: Apache-2.0
// A bounded pool of threads for work that blocks (SQLite, disk, digests, password hashes). No event
// loop waits on such work: it submits a job and is told when it is done. What waits is served in
// turn, not as it came (net/fair.h): clients by network, then by name; regions on a lane of their
// own, which no client can fill.
//
//   struct pool *p = pool_new(&(struct pool_options){.name = "work", .n_threads = 8,
//                                                       .max_waiting = 256});
//   job->run = …; job->lost = …; job->client = req->client; job->name = principal;
//   if (pool_submit(p, job) == ERR_BUSY) …503 with Retry-After…
//   pool_settle(p);                           // once no lock is held: tells those that lost their
//                                             // place to this one
//   pool_free(p);                             // runs what was accepted, then joins
//
// A job is its owner's memory and belongs to the pool from a submit that gave 0 until exactly one
// of `run` and `lost` is called; it may be submitted anew from then on. Submitting allocates
// nothing; a full pool is an answer, never growth.
#ifndef MERIDIAN_NET_POOL_H
#define MERIDIAN_NET_POOL_H

#include "net/fair.h"

#include <stdbool.h>
#include <stddef.h>

enum pool_lane {
    POOL_CLIENTS,
    POOL_REGIONS, // other regions, and what the node does for itself
    POOL_N_LANES
};

struct pool_job {
    struct fair_item item;
    // on a thread of the pool; may block
    void (*run)(void *arg);
    // others were to come first and there is no room: any thread, without locks; must not block
    void (*lost)(void *arg);
    void *arg;
    enum pool_lane lane;
    // whose turn it takes
    struct ip client;
    // and under which name; NULL: none. Read by pool_submit only
    const char *name;
};

struct pool_options {
    // of its threads
    const char *name;
    unsigned n_threads;
    // on each lane
    size_t max_waiting;
    // of these; 0: as many
    size_t max_per_network;
    // threads that run no job of clients: a region never waits for all of them
    unsigned kept;
    // its threads let all others go first (base/thread.h)
    bool steps_back;
};

struct pool;
// NULL when out of memory or threads, or sizes make no sense
struct pool *pool_new(const struct pool_options *o);
void pool_free(struct pool *p);
// any thread; ERR_BUSY: no room for it; ERR_CLOSED
int pool_submit(struct pool *p, struct pool_job *job);
void pool_settle(struct pool *p);    // the pool's threads do it too, between two jobs
size_t pool_waiting(struct pool *p); // of clients

#endif
