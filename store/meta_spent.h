// SPDX-License-Identifier: Apache-2.0
// Own values that a region which begins with nothing must not get (design section 9, invariant 7). What
// outdid or ended them may be gone at the other members already, though it is still here
// (store/meta_drop.h): there the value would show for good. Part of store/meta.h, whose opening lines
// hold here too.
//
// An entry is spent when it says nothing beside what is applied here:
//   a tag's value        its register shows nothing, and a higher value is there: that one may be dropped
//                        by members whose floor is higher, while this one waits for ours
//   a manifest's value   it shows nothing, and its tombstone is at or below our floor: members drop
//                        tombstones at or below everybody's
//   a lock               a higher one is there, or what made it void is at or below our floor
// A tombstone is never spent. What is spent stays so: a register only grows.
#ifndef MERIDIAN_STORE_META_SPENT_H
#define MERIDIAN_STORE_META_SPENT_H

#include "store/entry.h"

#include <stdbool.h>
#include <stddef.h>

struct meta;
struct tx;

// For the files of store's metadata, inside a transaction.
int entry_spent(struct tx *tx, const struct feed_entry *e, bool *out);

// Marks those that are spent as ended, without their content: they stand for their place alone. One of
// version 1 has no such mark, and is left as it is.
int meta_spent_mark(struct meta *m, struct feed_entry *entries, size_t n);

// Is there an entry of the origin in these registries that is spent? Then its feed is not to be read
// from the beginning. It looks at all registers that show nothing, until it finds one.
int meta_spent_any(struct meta *m, const char *origin, const char *const *registries, size_t n,
                   bool *out);

#endif
