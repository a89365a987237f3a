// SPDX-License-Identifier: Apache-2.0
// The hold on reading while a repair moves marks and voids entries: sessions that read a peer's
// feed end, none begins, and streams that we serve end, since the place where they stand may be
// void afterwards.
//
//   if (reading_hold_begin(hold)) {            // a reader; waits while a repair runs
//       …
//       reading_hold_end(hold);
//   }
//
// Threads: any. The functions that wait say so.
//
// Invariants
//   1. No session runs between the return of reading_hold_pause and reading_hold_resume.
//   2. A stream that began before a repair sees another count of repairs after it.
#ifndef MERIDIAN_REPLICATION_READING_HOLD_H
#define MERIDIAN_REPLICATION_READING_HOLD_H

#include "replication/life.h"

struct reading_hold;

int reading_hold_new(struct life *life, struct reading_hold **out);
void reading_hold_free(struct reading_hold *h); // NULL is ignored
// The stop: all who wait return.
void reading_hold_wake(struct reading_hold *h);

// --- the readers ---
// Waits while a repair runs. A session may begin; false: the replicator stops.
bool reading_hold_begin(struct reading_hold *h);
void reading_hold_end(struct reading_hold *h);
// A repair runs, or is about to: the session is to end.
bool reading_hold_is_paused(const struct reading_hold *h);

// --- the streams that we serve ---
// How many repairs have been made.
unsigned reading_hold_repairs(const struct reading_hold *h);

// --- who repairs ---
// Returns when no session runs, or at the stop. `hang_up` is called until then, again and again:
// it makes sessions end that wait for a peer.
void reading_hold_pause(struct reading_hold *h, void (*hang_up)(void *ctx), void *ctx);
void reading_hold_resume(struct reading_hold *h);

#endif
