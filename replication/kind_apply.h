// SPDX-License-Identifier: Apache-2.0
// How this region brings about each kind of entry that it has read: what it can do with what is
// here, what it fetches, how long a job waits for another entry. One row per kind
// of ENTRY_KINDS (store/entry.h); what an entry does to the state is the store's
// (store/kind_rules.h).
//
//   const struct kind_apply *k = kind_apply(e->kind);
//   result = k->local(r, e, NULL, &missing, &rc);
//
// `local` runs on the dispatcher's thread and on a worker's, `fetching` on a worker's. The table is
// constant.
//
// Invariant
//   1. A kind without `fetching` never says APPLY_NEEDS.
#ifndef MERIDIAN_REPLICATION_KIND_APPLY_H
#define MERIDIAN_REPLICATION_KIND_APPLY_H

#include "config/topology.h"
#include "replication/apply.h"
#include "store/entry_kind.h"

struct kind_apply {
    // Applies the entry without the network. Results as those of apply_local.
    enum apply_result (*local)(struct replicator *r, const struct feed_entry *e,
                               struct apply_batch *batch, struct digest *out_missing, int *out_rc);
    // Fetches what `local` lacked and applies. Results as those of apply_fetching; on APPLY_WAITS
    // *out_missing is what it waits for. NULL: the kind has no content of its own.
    enum apply_result (*fetching)(struct attempt *a, const struct topology *t,
                                  const struct registry *reg, struct digest *out_missing,
                                  int64_t *out_not_before_mono, char error[ERROR_TEXT_SIZE]);
    // A job that waits for another entry is tried again after so long, unless the store wakes it
    // before.
    int64_t waits_ms;
};

// NULL: no such kind.
const struct kind_apply *kind_apply(enum entry_kind kind);

#endif
