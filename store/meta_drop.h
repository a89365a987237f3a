// SPDX-License-Identifier: Apache-2.0
// Dropping what was deleted, so that nothing is kept for ever (design section 9, invariant 7). Part of
// store/meta.h, whose opening lines hold here too. Up to which stamp it may be done is the caller's to
// know (replication/horizon.h); it goes in two steps, for the reason that is given there:
//
//   1. rc = meta_floor_raise(m, registry, upto);                  // what comes is judged by it
//      rc = meta_drop(m, &(struct drop_ask){registry, upto, DROP_VALUES, …}, &d);   until d.at_end
//      rc = meta_floor_clear(m, registry, upto);                  // if nothing was `kept`
//   2. rc = meta_drop(m, &(struct drop_ask){registry, lowest floor_cleared of all members,
//                                           DROP_TOMBSTONES, …}, &d);
//
// Step 1 takes the values and void locks of registers that are gone out of the log, and their history;
// step 2 their tombstones, and with them their rows. A register goes only when all that the log has of
// it lies at or below the stamp, is applied, and nothing of it lives.
//
// What living registers had before goes by meta_trim.
//
// The last entry that was dropped of each (origin, registry) stays in the log, marked as ended: so what
// follows it has no gap before it, and the chain has its end. Before its place the log has holes: no
// feed begins there (meta_kept_from).
#ifndef MERIDIAN_STORE_META_DROP_H
#define MERIDIAN_STORE_META_DROP_H

#include "base/arena.h"
#include "base/digest.h"
#include "store/entry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct meta;

enum drop_step { DROP_VALUES, DROP_TOMBSTONES };

// Behind which register the next call goes on; {0} at first. Owned by the caller.
struct drop_at {
    bool begun, manifests;
    char repository[256], tag[129];
    struct digest digest;
};

struct drop_ask {
    const char *registry;
    uint64_t upto;
    enum drop_step step;
    // registers that one transaction looks at
    size_t max;
};

struct dropped {
    // entries that left the log or are ended
    size_t n_entries;
    // registers of which something went
    size_t n_registers;
    // of step 1: something that should go could not yet, so the floor may not be said to be reached
    bool kept;
    bool at_end;
};

// One transaction; *at moves on.
int meta_drop(struct meta *m, const struct drop_ask *ask, struct drop_at *at, struct dropped *out);

// --- what was outdone ---

// Behind which entry the next call goes on; {0} at first. Owned by the caller.
struct trim_at {
    bool begun;
    unsigned nth;
    char repository[256], tag[129];
    struct digest digest;
    int64_t id;
};

struct trim_ask {
    const char *registry, *origin;
    // entries above it stay
    uint64_t upto;
    // entries that one transaction looks at
    size_t max;
};

// Entries of living registers, too, leave the log when the same origin outdid them by others that are
// applied (store/meta_group.h): so history, anti-entropy and registers that are made anew have what they
// need. Of each feed key the highest entry of a register stays, for when another key is revoked. One transaction; *at moves on. out->n_registers and out->kept are not used.
int meta_trim(struct meta *m, const struct trim_ask *ask, struct trim_at *at, struct dropped *out);

// From where on the log has all entries of an origin, of these registries: the highest place of an
// entry that was dropped, or the zero mark. Its hash is not used.
int meta_kept_from(struct meta *m, const char *origin, const char *const *registries, size_t n,
                   struct feed_mark *out);

#endif
