// SPDX-License-Identifier: Apache-2.0
// Own writes that are void because of their stamps, and still hold: they are announced again, in
// the transaction that makes them void. For meta_repair.c.
//
//   rc = again_announce(tx, m, &own_ids, &all_ids, limit, &n);   // a new epoch has begun
#ifndef MERIDIAN_STORE_META_AGAIN_H
#define MERIDIAN_STORE_META_AGAIN_H

#include "store/backend_survey.h"

// `own`: own entries that become void; `all`: these and those of other regions. A stamp above
// `limit` is of the future. Adds to *n_again what is announced.
int again_announce(struct tx *tx, struct meta *m, const struct id_set *own,
                   const struct id_set *all, uint64_t limit, size_t *n_again);

#endif
