// SPDX-License-Identifier: Apache-2.0
// The order of stamped registers (design section 9): the highest value wins in every region,
// whatever came first. All who compare two values ask here: the store's SQL has the same order as
// texts (REGISTER_VALUE in store/sqlite/sqlite_priv.h), and a test holds both against each other.
//
//   struct register_value here = {.stamp = row.stamp, .origin = row.origin,
//                                .epoch = row.epoch, .digest = row.digest};
//   if (register_order(&here, &wanted) >= 0) …it is here, or something newer is…
//
// The order, highest wins:
//   1. the rank: of a plain value its stamp, of a create-only value its generation
//   2. at the same rank create-only above plain
//   3. of plain values the higher stamp; of create-only values the lower one: who created first
//   4. origin by its bytes, epoch, gone above not gone, digest by algorithm and then bytes
// So a plain write that was acknowledged never loses to an earlier plain one; of two writers that
// both created, in different regions, the first keeps what it made; and who creates anew what was
// deleted wins over all that the deletion had won over.
#ifndef MERIDIAN_BASE_REGISTER_H
#define MERIDIAN_BASE_REGISTER_H

#include "base/digest.h"

#include <stdbool.h>

struct register_value {
    // hybrid logical, of the write. A tombstone that a rule wrote has stamp, origin and epoch of the
    // value that the rule judged: it ends no plain value but that one, and those below it. It is a
    // plain value itself, as entries have it (store/entry_value.c), so of create-only values it ends
    // all whose generation is below that stamp
    uint64_t stamp;
    // the region that wrote it
    const char *origin;
    // of that region's feed
    uint64_t epoch;
    // of a tag's tombstone: n is 0
    struct digest digest;
    // a tombstone
    bool gone;
    // The writer made sure that the register had no value.
    bool create_only;
    // Of a create-only value: the highest stamp of what had ended the register's values before, as
    // its writer knew it; 0 when the register never had one. Else 0.
    uint64_t generation;
};

static inline uint64_t register_rank(const struct register_value *v)
{
    return v->create_only ? v->generation : v->stamp;
}

// Below 0: a loses to b; 0: the same value; above 0: a wins. A total order.
int register_order(const struct register_value *a, const struct register_value *b);

#endif
