// SPDX-License-Identifier: Apache-2.0
// A bounded pool of threads for work that blocks (SQLite, disk, digests, password hashes). An event
// loop submits a job, and the job notifies it at its end. Waiting jobs are served in turn, not in
// the order of arrival (net/fair.h): clients by network, then by name. Jobs of regions wait on a
// lane of their own, which no client can fill.
//
//   struct pool *p = pool_new(&(struct pool_options){.name = "work", .n_threads = 8,
//                                                       .max_waiting = 256});
//   job->run = …; job->lost = …; job->client = req->client; job->name = principal;
//   if (pool_submit(p, job) == ERR_BUSY) …503 with Retry-After…
//   pool_settle(p);                           // without locks: calls `lost` of displaced jobs
//   pool_free(p);                             // runs what was accepted, then joins
//
// Ownership: the caller allocates the job. The pool owns it from a pool_submit that returned 0
// until it calls `run` or `lost`, exactly one of them, once; then the job may be submitted again.
// Submitting allocates nothing: a full pool is an error, never growth.
//
// Invariants
//   1. At most n_threads - kept jobs of clients run at once, so a region never waits for all
//      threads.
//   2. A job that lost its place is told without any lock held, by a submitter or by the pool.
//   3. pool_free runs what was accepted; no thread ends while a job waits that it could run.
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
    // the job lost its place to another one: any thread, without locks; must not block
    void (*lost)(void *arg);
    void *arg;
    enum pool_lane lane;
    // the client and the name whose turn the job takes; NULL: no name. Only pool_submit reads them.
    struct ip client;
    const char *name;
};

struct pool_options {
    // of its threads
    const char *name;
    unsigned n_threads;
    // jobs on each lane
    size_t max_waiting;
    // jobs of one network on the clients' lane; 0: max_waiting
    size_t max_per_network;
    // threads that run no job of clients
    unsigned kept;
    // its threads run at the lowest priority (base/thread.h)
    bool steps_back;
};

struct pool;
// NULL when out of memory or threads, or sizes make no sense
struct pool *pool_new(const struct pool_options *o);
void pool_free(struct pool *p);
// any thread; ERR_BUSY: no room for it; ERR_CLOSED
int pool_submit(struct pool *p, struct pool_job *job);
void pool_settle(struct pool *p);    // any thread, without locks
size_t pool_waiting(struct pool *p); // of clients

#endif
