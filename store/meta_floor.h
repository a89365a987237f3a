// SPDX-License-Identifier: Apache-2.0
// The floors of registries: the stamps up to which things may have been dropped here for good. Part of
// store/meta.h, whose opening lines hold here too. What a floor refuses is store/floor.h; up to which
// stamp it may be raised is replication/horizon.h.
//
//   rc = meta_floor_get(m, "contoso@42", &f);
//   rc = meta_floor_hear(m, "contoso@42", stamp);       // another member's
//
// Whatever comes at or below a floor and would bring back what is not here stays in the log, so that
// nothing that follows has a gap before it, counts for no register, and is listed (meta_floor_refused).
#ifndef MERIDIAN_STORE_META_FLOOR_H
#define MERIDIAN_STORE_META_FLOOR_H

#include "base/arena.h"
#include "store/entry.h"

#include <stddef.h>
#include <stdint.h>

struct meta;

struct meta_floor {
    // the own one: what comes is judged by it
    uint64_t floor;
    // At or below it there are no values here that a tombstone has ended (store/meta_drop.h): what the
    // other members are told. Never above `floor`.
    uint64_t cleared;
    // the highest that another member was heard to have
    uint64_t heard;
    // so many entries were refused, ever
    uint64_t n_refused;
};

// registry "": n_refused is of all, and nothing else is there.
int meta_floor_get(struct meta *m, const char *registry, struct meta_floor *out);
// `cleared` alone: asked for all registries, again and again.
int meta_floor_cleared(struct meta *m, const char *registry, uint64_t *out);
// Floors only go up; a lower one changes nothing. Durable.
int meta_floor_raise(struct meta *m, const char *registry, uint64_t floor);
int meta_floor_clear(struct meta *m, const char *registry, uint64_t floor);
int meta_floor_hear(struct meta *m, const char *registry, uint64_t floor);
// The latest that were refused, the latest first.
int meta_floor_refused(struct meta *m, const char *registry, size_t max, struct arena *a,
                       struct feed_entry **out, size_t *out_n);

#endif
