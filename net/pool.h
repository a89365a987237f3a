// SPDX-License-Identifier: Apache-2.0
// A bounded pool of threads for work that blocks (SQLite, disk, digests, password hashes). No event loop waits on
// such work: it submits a job and is told when it is done.
//
//   struct pool *p = pool_new("store", 8, 256);
//   if (pool_submit(p, job, arg) == ERR_BUSY) …503 with Retry-After…
//   pool_free(p);                             // runs what was accepted, then joins
#ifndef MERIDIAN_NET_POOL_H
#define MERIDIAN_NET_POOL_H

#include <stddef.h>

struct pool;
struct pool *pool_new(const char *name, unsigned n_threads, size_t max_waiting); // NULL when out of memory or threads
void pool_free(struct pool *p);
int pool_submit(struct pool *p, void (*fn)(void *arg),
                void *arg); // any thread; ERR_BUSY when full, ERR_CLOSED after free began
size_t pool_waiting(struct pool *p);

#endif
