// SPDX-License-Identifier: Apache-2.0
// Reading what a sealed region wrote: it never comes back, so the others that hold a registry of it
// hand on to each other what they hold of its feed, up to the seal (design section 9, `forget`).
//
//   struct sealed_reader s = {0};
//   while (…)
//       rest_ms = sealed_reader_turn(&s, p, t);     // in place of the session with the region itself
//
// The mark moves over entries that follow each other by the running hash. Where that does not show
// that nothing is missing (registries are not the same everywhere, a log has holes from a snapshot),
// nobody signs heads any more: then it moves to the seal once all other regions that hold a registry of
// both have told all that they hold, and somebody has the place of the seal: that may be one that shares
// no registry with this region. If nobody that holds anything of it has, nothing more can come.
//
// The region is whole here when the mark is at the seal, and every registry was read that another
// region holds. Till then it holds back what may be dropped (words_tell.c).
//
// The thread of that region's reader.
#ifndef MERIDIAN_REPLICATION_SEALED_READER_H
#define MERIDIAN_REPLICATION_SEALED_READER_H

#include "config/topology.h"

struct peer;

struct sealed_reader {
    // of the topology that `told` counts for
    uint64_t version;
    // who has told all that it holds, by bits of its index
    region_set told;
    // one of them, or the own log, has the place of the seal
    bool reached;
    // who is asked next
    unsigned turn;
};

// One try. How long to rest then, in ms.
int64_t sealed_reader_turn(struct sealed_reader *s, struct peer *p, const struct topology *t);

#endif
