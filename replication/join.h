// SPDX-License-Identifier: Apache-2.0
// Takes snapshots of what another region wrote in registries that are new here, in place of reading
// its feed from the beginning. Reads and writes of this region go on meanwhile; what the snapshot
// lacks of content comes by jobs, as for the feed.
//
//   rc = join_snapshots(r, peer, topology, registries, n, &mark);
//   if (rc == ERR_UNSUPPORTED)
//       … read its feed from the beginning …
//
// On the thread of that region's reader, between two sessions; blocks. A kill at any point loses at
// most the page that was on its way (join_state.h).
//
// Invariants
//   1. Only lines that snapshot_line_accept took reach the store, and only of pages that came whole.
//   2. The read mark moves to the place of the snapshots when all of them are in the store.
#ifndef MERIDIAN_REPLICATION_JOIN_H
#define MERIDIAN_REPLICATION_JOIN_H

#include "config/topology.h"
#include "store/entry.h"

#include <stddef.h>

struct peer;
struct replicator;

// Shorter feeds are read from the beginning: a snapshot would save nothing.
#define JOIN_FEED_MIN 1000 // entries

// `mark`: how far its feed was read; the snapshots go up to there, or where that is nothing, up to
// the end of its feed. 0: all are in the store, and the mark stands at their place.
// ERR_UNSUPPORTED: this is not the way: it does not serve snapshots, a key of it is revoked, or its
// feed is short. ERR_CONFLICT: the place is none of its feed. ERR_CANCELED: this region stops, or
// its topology changed.
int join_snapshots(struct replicator *r, struct peer *p, const struct topology *t,
                   const char *const *registries, size_t n, const struct feed_mark *mark);

#endif
