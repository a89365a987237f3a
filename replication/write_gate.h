// SPDX-License-Identifier: Apache-2.0
// The gate of recovery (META_GATE_RECOVERY of the store): a sequence is never used twice (design
// section 9, invariant 8). Its thread opens the store for writes only after the peers that can be
// reached said how far they have read us. When one of them read entries that we do not hold (a
// restored backup), writes stay closed while our own entries are taken back from it (recovery.h),
// and go on in a new epoch. A peer that could not be asked in time costs a new epoch too: then
// nothing that it may have read can be given another meaning, and what it turns out to hold later
// is announced again under new sequences.
//
// An empty store is that of a new region, or of one whose disk was lost. Where it shares registries
// with others and none of them can be asked, writes stay closed: what it wrote before is not known.
// One that answers is enough, since all that the others turn out to hold later is announced again;
// or an operator who says that there is nobody to wait for.
//
// Later on a claim alone proves nothing (mark_claim.h): only an entry that we signed and do not
// hold closes writes. A new epoch is numbered by the wall clock's seconds, so that it lies past
// those that were lost without a trace, too.
//
//   write_gate_new(r, &gate); write_gate_start(gate);
//   …
//   write_gate_kick(gate);                 // a peer's claim changed
//
// Threads: write_gate_kick and write_gate_alone on any; write_gate_lost and write_gate_reason on the gate's own.
//
// Invariants
//   1. The gate opens only when no new epoch is due.
//   2. The gate is open at the start only when the process before handed over a store that was.
#ifndef MERIDIAN_REPLICATION_WRITE_GATE_H
#define MERIDIAN_REPLICATION_WRITE_GATE_H

#include <stdbool.h>
#include <stdint.h>

struct replicator;
struct write_gate;

int write_gate_new(struct replicator *r, struct write_gate **out);
// Closes the gate until the peers were asked, and starts the thread.
int write_gate_start(struct write_gate *g);
// A peer's claim changed, or a region came: looks now.
void write_gate_kick(struct write_gate *g);
// Nobody is to be waited for. ERR_NOTFOUND: it does not wait.
int write_gate_alone(struct write_gate *g);
// After life_end: joins the thread. NULL is ignored.
void write_gate_stop(struct write_gate *g);
void write_gate_free(struct write_gate *g);

// --- for recovery.c ---
// A peer holds an entry of ours of this epoch that we lost. `first`: of this look.
void write_gate_lost(struct write_gate *g, uint64_t epoch, bool first);
// Why writes are closed, if they are.
void write_gate_reason(struct write_gate *g, const char *why);

#endif
