// SPDX-License-Identifier: Apache-2.0
// What other regions have had copied to here ahead of its manifest, and what came of it: a copy is
// used once a manifest of its repository refers to the blob, and wasted when its lease ends before.
// Until then its bytes count against a bound; beyond it nothing more is copied ahead, and the blob
// is fetched when its manifest comes.
//
//   const struct ahead_key key = {"contoso", "team/app", digest, "eastus"};
//   rc = ahead_note(a, &key, size);            // ERR_FULL, ERR_EXISTS, ERR_NOMEM
//   …copy…
//   ahead_end(a, &key, rc);                   // it waits for a manifest now, or is forgotten
//   ahead_look(a, meta);                        // the dispatcher, again and again
//
// Kept in memory: after a restart the bound begins at nothing, and the leases of then end unseen.
//
// Threads: any, with a lock of its own that is held for no call of the store; ahead_look is the
// dispatcher's alone.
//
// Invariants
//   1. A copy is noted once, from its begin until it is used, wasted, or has failed. Several may make
//      it at once: it has failed when the last of them has ended, and none has made it.
//   2. The bytes of all that is noted or taken are at most the bound. A size is another region's
//      word, and no more comes than it says.
#ifndef MERIDIAN_REPLICATION_AHEAD_H
#define MERIDIAN_REPLICATION_AHEAD_H

#include "base/bytes.h"
#include "base/digest.h"

#include <stdint.h>

struct ahead;
struct meta;

// Copies that may be noted at once.
#define AHEAD_MAX 65536
#define AHEAD_BYTES (16ull << 30)

struct ahead_key { // borrowed
    const char *registry, *repository;
    struct digest digest;
    // the region that told of it
    const char *origin;
};

// `max_bytes`: the bound; 0: AHEAD_BYTES.
int ahead_new(uint64_t max_bytes, struct ahead **out);
void ahead_free(struct ahead *a); // NULL is ignored

// A copy begins, or another thread takes part in it; each 0 has its ahead_end. ERR_EXISTS: it is here
// already. ERR_CONFLICT: it is noted with a smaller size. ERR_FULL: the bound, which is counted.
int ahead_note(struct ahead *a, const struct ahead_key *key, uint64_t size);
// Of an upload for which `taken` bytes were taken (ahead_take): on 0 they are given back, for they
// are part of the size. ERR_EXISTS: as above, and nothing was given back.
int ahead_note_taken(struct ahead *a, const struct ahead_key *key, uint64_t size, uint64_t taken);
// It is here (0), or the caller has not made it.
void ahead_end(struct ahead *a, const struct ahead_key *key, int rc);

// Bytes of an upload that still runs, which are copied before anybody knows how many they will be:
// so many more may come. ERR_FULL: the bound.
int ahead_take(struct ahead *a, const char *registry, const char *origin, uint64_t n);
// They are counted no more: they are noted by now, or were let go.
void ahead_give(struct ahead *a, const char *registry, const char *origin, uint64_t n);
// So many of them came for nothing.
void ahead_lost(struct ahead *a, const char *registry, const char *origin, uint64_t n);

// Asks the store what became of some of those that are here, at most once a second. Blocks.
void ahead_look(struct ahead *a, struct meta *m);

struct ahead_view {
    // being copied, or here and waiting for a manifest
    uint64_t waiting, waiting_bytes;
    // since the start
    uint64_t copied_bytes, used_bytes, wasted_bytes;
    // that were not begun
    uint64_t n_refused;
};
// Of what that region told of in that registry.
void ahead_view(struct ahead *a, const char *registry, const char *origin, struct ahead_view *out);
void ahead_metrics(struct ahead *a, struct buf *out);

#endif
