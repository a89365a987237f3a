// SPDX-License-Identifier: Apache-2.0
// What the kinds of entries share when they are applied.
#ifndef MERIDIAN_REPLICATION_APPLY_PRIV_H
#define MERIDIAN_REPLICATION_APPLY_PRIV_H

#include "base/bytes.h"
#include "replication/apply.h"
#include "store/manifest.h"

// Gives the entry to the store. `m`: what it refers to; NULL: nothing. APPLY_DONE, APPLY_WAITS with
// *out_missing, or APPLY_FAILED with *out_rc.
enum apply_result apply_finish(struct replicator *r, const struct feed_entry *e,
                               struct bytes content, const struct manifest *m,
                               struct digest *out_missing, int *out_rc);
// Puts it into the batch, or does the same as above.
enum apply_result apply_add(struct replicator *r, const struct feed_entry *e, struct bytes content,
                            const struct manifest *m, struct apply_batch *batch,
                            struct digest *out_missing, int *out_rc);

#endif
