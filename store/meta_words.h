// SPDX-License-Identifier: Apache-2.0
// What this region can say of itself to the other members of its registries: what it promises as an
// origin, and what it has read and not applied. Part of store/meta.h, whose opening lines hold here
// too. What members make of it is replication/horizon.h.
//
//   rc = meta_promise(m, &mine);          // nothing at or below mine.stamp comes behind mine.head
//   rc = meta_reading(m, origins, n, &arena, &list);
#ifndef MERIDIAN_STORE_META_WORDS_H
#define MERIDIAN_STORE_META_WORDS_H

#include "base/arena.h"
#include "store/entry.h"

#include <stddef.h>
#include <stdint.h>

struct meta;

#define META_HELD_MAX 4096 // registries of one origin

struct promise {
    struct feed_mark head;
    uint64_t stamp;
};
// All own entries that were or will be minted with a stamp at or below `stamp` stand at or before
// `head`. It is the stamp of the last own entry, or the wall clock less the skew, to which the own
// clock moves then, durably: so only for a region that has not written for so long a call is a
// write. Not while the wall clock is in doubt. ERR_BUSY: writes are closed. ERR_CLOSED: another
// process mints.
int meta_promise(struct meta *m, struct promise *out);

// What of one origin is not applied in a registry, and holds back (jobs_first_holding in
// backend_jobs.h): the lowest stamp.
struct reading_held {
    const char *registry;
    uint64_t stamp;
};
struct reading {
    const char *origin;
    // how far its feed was read; of this region itself: its head
    struct feed_mark read;
    struct reading_held *held;
    size_t n_held;
};
// Of these origins, which may be this region too, in one moment and in this order. ERR_TOOBIG: more
// than META_HELD_MAX registries hold back.
int meta_reading(struct meta *m, const char *const *origins, size_t n, struct arena *a,
                 struct reading **out);

#endif
