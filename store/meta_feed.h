// SPDX-License-Identifier: Apache-2.0
// The feed in a region's metadata: its own entries, and those of other regions that were read and
// are kept for relay and recovery. Part of store/meta.h, whose opening lines hold here too.
//
//   rc = meta_head(m, "eastus", &head);
//   rc = meta_feed_read(m, "eastus", &after, NULL, 0, 200, &arena, &entries, &n, &last);
#ifndef MERIDIAN_STORE_META_FEED_H
#define MERIDIAN_STORE_META_FEED_H

#include "base/arena.h"
#include "store/entry.h"

#include <stddef.h>
#include <stdint.h>

struct meta;

// The place of the last entry held of that origin; the zero mark if there is none.
int meta_head(struct meta *m, const char *origin, struct feed_mark *out);
// The stamp of the last entry held of that origin and epoch; 0 if there is none.
int meta_last_stamp(struct meta *m, const char *origin, uint64_t epoch, uint64_t *out);

// Entries of `origin` after a place, in order; those of `registries` only (n_registries 0: all).
// *out_last is the place of the last entry that was looked at, returned or not. A call looks at a
// bounded number of entries: it may return none though there are more.
int meta_feed_read(struct meta *m, const char *origin, const struct feed_mark *after,
                   const char *const *registries, size_t n_registries, size_t max, struct arena *a,
                   struct feed_entry **out, size_t *out_n, struct feed_mark *out_last);

// The latest entries of `origin` in one registry, newest first, before a place (epoch 0: from the
// end). *out_next: where to go on, exclusive; its epoch is 0 at the beginning of the feed.
int meta_feed_tail(struct meta *m, const char *origin, const char *registry,
                   const struct feed_mark *before, size_t max, struct arena *a,
                   struct feed_entry **out, size_t *out_n, struct feed_mark *out_next);

// --- chains: an origin's entries of version 2 in one registry ---

// The last one that is held at or before a place (NULL: of all): its number, and the hash of its
// body. 0 and zeros: none is held.
int meta_registry_head(struct meta *m, const char *origin, const char *registry,
                       const struct feed_mark *upto, uint64_t *out_seq,
                       uint8_t out_hash[ENTRY_HASH_BYTES]);
// 0: the one with this number and hash is held. ERR_NOTFOUND.
int meta_registry_has(struct meta *m, const char *origin, const char *registry,
                      uint64_t registry_seq, const uint8_t hash[ENTRY_HASH_BYTES]);

// 0: the mark is a place of the feed that is held here, or whose entry may have been dropped
// (store/meta_drop.h). ERR_CONFLICT: it is past the head, or its hash differs.
int meta_feed_check(struct meta *m, const char *origin, const struct feed_mark *mark);

// A repository that an entry came for, of this region or another one.
struct feed_touched {
    const char *registry, *repository;
};
// Those since a number that an earlier call gave, at most max; one may be listed more than once.
// `after` below 0: none; *out_upto says where to begin.
int meta_feed_touched(struct meta *m, int64_t after, size_t max, struct arena *a,
                      struct feed_touched **out, size_t *out_n, int64_t *out_upto);

#endif
