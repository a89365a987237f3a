// SPDX-License-Identifier: Apache-2.0
// Taking back own entries from a peer that has read them, after a restored backup or a failed-over
// database lost them (design section 9, invariant 8). The peer's copy of our feed is read; entries
// that we signed and do not hold are put back, and announced again where nobody would look for them
// (meta_recover).
//
//   rc = recovery_run(r, peer, &mark, &proof);
//
// On the write gate's thread; blocks. The gate learns what was proven by its functions
// (write_gate.h) as it is found, before anything is put back.
//
// Invariants
//   1. Only entries that this region signed are taken, and with the signature that they had.
//   2. The gate is closed before the first of them is put back.
//   3. What a peer gives is all that it has only where it says so: a stream that just ends was cut.
#ifndef MERIDIAN_REPLICATION_RECOVERY_H
#define MERIDIAN_REPLICATION_RECOVERY_H

#include "store/entry.h"

#include <stdbool.h>

struct peer;
struct replicator;

// Reads what the peer has of us, from behind our head when its mark lies past it in the same epoch,
// else from the start. *out_proof is set also on failure: it gave an entry of ours that we did not
// hold.
int recovery_run(struct replicator *r, struct peer *p, const struct feed_mark *mark,
                 bool *out_proof);

#endif
