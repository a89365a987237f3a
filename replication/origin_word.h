// SPDX-License-Identifier: Apache-2.0
// How far a region is with another one's whole feed, for the writer, before that one is forgotten:
//
//   GET /replication/v1/origin?of=NAME            peer listener: the writer
//   {"region": "westus", "of": "eastus", "head": CURSOR, "heard": false}
//
//   head    its last entry that is held here, wherever the mark is
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
// Another region's, of its answer. ERR_PROTO: it is none, or another's.
int origin_word_read(struct bytes body, const char *region, const char *of,
                     struct origin_word *out);

#endif
