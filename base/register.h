// SPDX-License-Identifier: Apache-2.0
// The order of stamped registers (design section 9): the highest (stamp, region, epoch, digest)
// wins in every region, whatever came first. All who compare two values ask here: the store's SQL
// has the same order as one text (REGISTER_ORDER in store/meta_priv.h), and a test holds both
// against each other.
//
//   struct register_value here = {.stamp = row.stamp, .origin = row.origin,
//                                .epoch = row.epoch, .digest = row.digest};
//   if (register_order(&here, &wanted) >= 0) …it is here, or something newer is…
#ifndef MERIDIAN_BASE_REGISTER_H
#define MERIDIAN_BASE_REGISTER_H

#include "base/digest.h"

struct register_value {
    // hybrid logical, of the write
    uint64_t stamp;
    // the region that wrote it
    const char *origin;
    // of that region's feed
    uint64_t epoch;
    struct digest digest;
};

// Below 0: a loses to b; 0: the same value; above 0: a wins. Regions by their bytes, digests by
// algorithm, then bytes.
int register_order(const struct register_value *a, const struct register_value *b);

#endif
