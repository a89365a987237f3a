// SPDX-License-Identifier: Apache-2.0
// How far a region is with another one's whole feed, for the writer, before that one is forgotten:
//
//   GET /replication/v1/origin?of=NAME            peer listener: the writer
//   {"region": "westus", "of": "eastus", "head": CURSOR, "entry": LINE, "heard": false}
//
//   head    its last entry that is held here, wherever the mark is
//   entry   that entry, as a line of its feed, without its content. The writer believes its signature
//           and no place by itself: a place that nobody signed would be a seal for good, as a seal is
//           never lowered. Left out when nothing is held.
//   heard   something came from that region lately
//
// Any thread; it reads the store, which blocks.
#ifndef MERIDIAN_REPLICATION_ORIGIN_WORD_H
#define MERIDIAN_REPLICATION_ORIGIN_WORD_H

#include "base/bytes.h"
#include "config/topology.h"

#define ORIGIN_WORD_PATH "/replication/v1/origin"
// So long ago is not lately: three beats and some.
#define ORIGIN_HEARD_MS 8000

struct replicator;

struct origin_word {
    // epoch 0: nothing of it is held
    struct feed_seal head;
    bool heard;
};

// This region's own word. ERR_CLOSED: stopping.
int origin_word_own(struct replicator *r, const char *of, struct origin_word *out);
// Another region's, of its answer. `of` is in the topology. ERR_PROTO: it is none, or another's, or
// has not the entry at its place. ERR_AUTH: nobody signed that entry whose signature counts.
// ERR_AHEAD: its stamp is of the future. ERR_CLOSED: stopping.
int origin_word_read(struct replicator *r, const struct topology *t, struct bytes body,
                     const char *region, const char *of, struct origin_word *out);

#endif
