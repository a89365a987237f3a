// SPDX-License-Identifier: Apache-2.0
// Takes snapshots of what another region wrote in registries whose past is not here, in place of
// reading its feed from the beginning. Reads and writes of this region go on meanwhile; what the
// snapshot lacks of content comes by jobs, as for the feed.
//
//   struct join_ask ask = {.registries = names, .n = n, .mark = &stored};
//   struct join_result done;
//   rc = join_snapshots(r, peer, topology, &ask, &done);
//   if (rc == ERR_UNSUPPORTED)
//       … read its feed from the beginning …
//   if (!mark_is_zero(&done.at))
//       rc = join_arrive(r, peer, &done.at);
//
// On the thread of that region's reader, between two sessions; blocks. A kill at any point loses at
// most the page that was on its way (join_state.h).
//
// A registry has a place of its own, up to which its snapshot goes. Where the mark has moved on when
// the snapshot is complete, the feed is read again from that place. What fails with one registry
// (a page that is refused, an answer other than 200) is noted in its row, is tried again with
// backoff, and stops no other.
//
// Invariants
//   1. Only lines that snapshot_line_accept took reach the store, and only of pages that came whole.
//   2. The read mark moves to the place of snapshots when they are in the store.
//   3. The place of a snapshot is on the disk before its first page.
#ifndef MERIDIAN_REPLICATION_JOIN_H
#define MERIDIAN_REPLICATION_JOIN_H

#include "config/topology.h"
#include "store/entry.h"

#include <stddef.h>

struct join_row;
struct peer;
struct replicator;

// Shorter feeds are read from the beginning: a snapshot would save nothing.
#define JOIN_FEED_MIN 1000 // entries

struct join_ask {
    const char *const *registries;
    size_t n;
    // How far its feed was read. A snapshot goes up to there, or where that is nothing, up to the
    // end of its feed.
    const struct feed_mark *mark;
    // The feed behind the mark is not to be had: up to a place beyond the mark.
    bool anew;
    // The feed is not to be had from its beginning either. Then it is the origin's own certificate
    // that vouches for what a key signed before it was revoked.
    bool trimmed;
    // Ends after so long, that other registries of the feed have their turn; 0: when all are done.
    int64_t slice_ms;
};

struct join_result {
    // whose snapshots are complete; whose failed
    size_t n_complete, n_failed;
    // The mark moves there now: it is nothing, or the snapshots go beyond it. Zero: it stays.
    struct feed_mark at;
};

// 0: all were tried. ERR_UNSUPPORTED: this is not the way: it does not serve snapshots, a key of it
// is revoked, or its feed is short. ERR_CANCELED: the slice is over, this region stops, or its
// topology changed. Else the connection failed, or the own store or disk. *out is set in any case.
int join_snapshots(struct replicator *r, struct peer *p, const struct topology *t,
                   const struct join_ask *ask, struct join_result *out);
int join_arrive(struct replicator *r, struct peer *p, const struct feed_mark *at);

// May the row be gone on with, for a reader that stands at `mark`?
bool join_row_holds(const struct join_row *row, const struct feed_mark *mark, bool anew);

#endif
