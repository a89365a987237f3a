// SPDX-License-Identifier: Apache-2.0
// One fetch of a blob, and everybody who waits for it. The first who joins a digest's flight leads
// it: the leader has it run, on its own thread or on another one. All others wait, for the end or
// for the next bytes. Here is only who takes part and how far it came; content/content.h fetches.
//
//   struct flight *f;
//   bool leads;
//   rc = flight_join(flights, &digest, FLIGHT_DURABLE, &f, &leads);
//   if (leads)
//       content_run(content, &want, f, &outcome);            // here, or on a thread of the pool
//   struct flight_progress p = {0};
//   while (!p.ended)
//       flight_wait(f, &p, 1000);                            // p.bytes of it are on the disk now
//   flight_leave(f);
//
// A stream to a client while the blob is stored is a waiter that reads behind `bytes`. Bytes before
// the end are not verified: such a waiter breaks its own answer off when the flight fails, or when
// it starts over (n_restarts) behind bytes that were sent.
//
// Ownership: a joined flight is left once by each who joined. Threads: any; flight_wait blocks.
//
// Invariants
//   1. At most one flight of a digest runs.
//   2. A flight ends once; how it ended does not change.
//   3. A flight that is not durable, and that all have left, is stopped.
//   4. `bytes` grows until the flight starts over, which is counted.
#ifndef MERIDIAN_CONTENT_FLIGHT_H
#define MERIDIAN_CONTENT_FLIGHT_H

#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct flights;
struct flight;

// `max`: so many may run at once.
int flights_new(size_t max, struct flights **out);
// Ends all: running flights are stopped, waiters return, and nobody joins any more.
void flights_stop(struct flights *fs);
void flights_free(struct flights *fs); // after all were left; NULL is ignored
bool flights_have(struct flights *fs, const struct digest *d); // one of that digest runs

enum flight_kind {
    // it goes on for those who wait only
    FLIGHT_FOR_WAITERS,
    // it goes on when all have left
    FLIGHT_DURABLE,
};
// Joins the digest's flight, or starts one: then *out_leads, and the caller sees to it that it runs
// and ends (flight_end). A flight that one joins as FLIGHT_DURABLE becomes durable. ERR_FULL: too
// many run. ERR_CANCELED: flights_stop was called. ERR_NOMEM.
int flight_join(struct flights *fs, const struct digest *d, enum flight_kind kind,
                struct flight **out, bool *out_leads);
// The last one who leaves a flight that is not durable stops it.
void flight_leave(struct flight *f);

struct flight_progress {
    // of the blob, from its beginning, on the disk
    uint64_t bytes;
    // how often it began again at nothing
    unsigned n_restarts;
    bool ended;
    // how, once it ended: 0 when the blob is whole and published. One that was stopped ends with
    // ERR_CANCELED: join again.
    int rc;
};
// Waits until the flight's progress is another one than *p, or for `ms`; writes it to *p.
void flight_wait(struct flight *f, struct flight_progress *p, int64_t ms);
// Waits until it has ended, or for `ms`, and is not woken by bytes. true: it has ended.
bool flight_wait_end(struct flight *f, int64_t ms);

// Somebody waits for its bytes who goes before all: who runs it is held back no more.
void flight_hurry(struct flight *f);
void flights_hurry(struct flights *fs,
                   const struct digest *d); // the one of that digest, if it runs

// --- for the thread that runs it ---

// Turns true when it must end. Valid until flight_end.
const _Atomic bool *flight_stop(const struct flight *f);
const _Atomic bool *flight_urgent(const struct flight *f); // it was hurried; valid as long
// So many bytes are there. Fewer than before: it starts over.
void flight_arrived(struct flight *f, uint64_t bytes);
// Wakes all who wait. The caller no longer touches it, unless it joined and did not leave yet.
void flight_end(struct flight *f, int rc);

#endif
