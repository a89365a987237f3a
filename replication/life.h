// SPDX-License-Identifier: Apache-2.0
// The life of the replicator: whether it stops, and who is inside. Its own threads look whether it
// stops; threads of others (the HTTP server's, the pool's, the daemon's) enter before they use the
// store or an object of it, and leave.
//
//   if (!life_enter(life))
//       return ERR_CLOSED;
//   …
//   life_leave(life);
//
// Threads: any.
//
// Invariants
//   1. Once life_wait_empty has returned nobody is inside, and nobody enters any more.
//   2. Each life_enter that said true is followed by one life_leave.
#ifndef MERIDIAN_REPLICATION_LIFE_H
#define MERIDIAN_REPLICATION_LIFE_H

#include <stdbool.h>
#include <stdint.h>

struct life;

int life_new(struct life **out);
void life_free(struct life *l);  // NULL is ignored
bool life_enter(struct life *l); // false: it stops
void life_leave(struct life *l);
bool life_stopping(const struct life *l);
// The same as a flag, for whoever waits in another room. Valid as long as the life.
const _Atomic bool *life_stop_flag(const struct life *l);
// Sleeps for so long, or until the stop.
void life_sleep(struct life *l, int64_t ms);
// The stop: life_sleep returns, life_enter says no.
void life_end(struct life *l);
// After life_end: returns when all have left.
void life_wait_empty(struct life *l);

#endif
