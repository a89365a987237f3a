// SPDX-License-Identifier: Apache-2.0
// One reading of another region's feed: connects, verifies every line, stores what it says, until
// the connection ends. A bad line ends it.
//
//   rc = feed_session_run(peer, topology);
//   if (rc == FEED_READ_AGAIN)
//       … nothing is wrong: connect again …
//
// On the thread of that region's reader; blocks. The peer's state says how it goes (peer.h).
//
// Invariants
//   1. Only lines that feed_line_accept took reach the store.
//   2. The read mark moves in the transaction that makes the jobs (meta_ingest), and never back; and
//      only over what is proven to miss nothing (feed_line.h).
//   3. While a feed is read again from its start, the mark stays until the reading is past it.
#ifndef MERIDIAN_REPLICATION_FEED_SESSION_H
#define MERIDIAN_REPLICATION_FEED_SESSION_H

#include "config/topology.h"

#define FEED_READ_AGAIN 1      // the session ended well: connect again
#define FEED_FULL_LOOK_MS 1000 // at a disk that is full

struct peer;

// 0, FEED_READ_AGAIN, or why it ended. ERR_AHEAD: before an entry of the future. ERR_GAP: entries
// were left out; the next session reads them again.
int feed_session_run(struct peer *p, const struct topology *t);
// The same of a sealed region, from another one, `via`, which hands on what it holds of it up to the
// seal, and then ends the stream.
struct feed_relayed {
    // it said that this was all, and what it said is in the store
    bool all;
    // and that it has read up to the very place of the seal
    bool seal;
};
int feed_session_relayed(struct peer *p, const struct topology *t, const char *via,
                         struct feed_relayed *out_told);

#endif
