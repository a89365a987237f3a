// SPDX-License-Identifier: Apache-2.0
// Content of a repository for callers who wait for it, or will soon (content/elsewhere.h): fetched
// from other members of the registry on threads of its own.
//
//   gather_new(r, &g);
//   rc = gather_fetch(g, &want, true, error);
//   gather_drain(g);                        // callers who wait are let go
//
// Threads: any that may wait; those of the gather fetch. What a caller no longer waits for is
// fetched to its end, so that the next one who asks finds it.
//
// Invariants
//   1. A batch of one caller has at most so many fetches running, and all batches together as many
//      as there are threads: no push keeps the others from theirs (net/pool.h takes turns). What
//      is copied ahead and may be later has threads of its own; other copies ahead have half of the
//      threads at most: nobody who waits stands behind them.
//   2. After the first failure a batch begins nothing more.
//   3. A batch outlives its caller while one of its fetches runs.
#ifndef MERIDIAN_REPLICATION_GATHER_H
#define MERIDIAN_REPLICATION_GATHER_H

#include "content/elsewhere.h"

#include <stdatomic.h>

struct gather;
struct replicator;

// Fetches at once, of all callers.
#define GATHER_THREADS 8
// copies ahead at once, besides
#define AHEAD_THREADS 4

int gather_new(struct replicator *r, struct gather **out);
// From here on all calls return ERR_CANCELED soon.
void gather_drain(struct gather *g);
void gather_stop(struct gather *g); // after life_end: joins the threads. NULL is ignored
void gather_free(struct gather *g);
// Turns true with gather_drain.
const _Atomic bool *gather_drains(const struct gather *g);

// `judged`: the registry's quotas bound what comes, as they bound the pushes of clients.
int gather_fetch(struct gather *g, struct elsewhere_want *w, bool judged,
                 char error[CONTENT_TEXT_SIZE]);
// Copies the want's only item ahead: nobody waits, no quota is judged, and no more comes than its
// size says. `noted`: ahead_note took note of it; ahead_end follows. `hands_on`: when it is here, others are
// told (relays_hand_on). 0: it is on its way; ERR_BUSY, ERR_NOMEM.
int gather_begin(struct gather *g, const struct elsewhere_want *w, bool noted, bool hands_on);

// Is a blob being fetched for that repository, or about to be? Does not block.
bool gather_coming(struct gather *g, const char *registry, const char *repository,
                   const struct digest *d);
// Waits until it is not any more, or until that time.
void gather_wait(struct gather *g, const char *registry, const char *repository,
                 const struct digest *d, int64_t until_mono);

#endif
