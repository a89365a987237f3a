// SPDX-License-Identifier: Apache-2.0
// Applying one entry of another region: a manifest after everything it refers to is here and
// linked, a tag after its manifest. No policy is checked: locks, quotas and permissions were the
// origin's to check. What each kind needs stands in kind_apply.h.
//
//   result = apply_local(r, job, &missing, &rc);
//   if (result == APPLY_NEEDS)
//       … a worker calls apply_fetching …
//
// apply_local is the dispatcher's, apply_fetching a worker's; both block on the store, the latter
// on sources as well.
//
// Invariants (design section 9)
//   2. A manifest becomes visible only after what it refers to; meta_apply asserts it in its
//      transaction.
//   4. Bytes and digests are never changed: content goes in as it came, after its digest was
//      compared.
#ifndef MERIDIAN_REPLICATION_APPLY_H
#define MERIDIAN_REPLICATION_APPLY_H

#include "replication/attempt.h"
#include "replication/dial.h"

enum apply_result {
    APPLY_DONE,
    APPLY_WAITS,   // for another entry of its repository
    APPLY_NEEDS,   // content from elsewhere
    APPLY_ABSENT,  // no region that could be asked has got it yet
    APPLY_BUSY,    // another job fetches what it needs, and every worker has something to do
    APPLY_NO_ROOM, // what it needs does not fit on the disk: attempt.lacks
    APPLY_FAILED,
    APPLY_LATER, // with the rest of the batch
};

// What the dispatcher applies together (meta_apply_all).
#define APPLY_BATCH_BYTES (1u << 20)
struct apply_batch {
    // what the items point to; the caller's
    struct arena *arena;
    size_t bytes;
    size_t n;
    struct apply_item items[APPLY_ITEMS_MAX];
    // whose items they are; borrowed
    const struct job *jobs[APPLY_ITEMS_MAX];
};

// What can be done without the network. On APPLY_FAILED *out_rc says why. On APPLY_NEEDS
// *out_missing is the first blob that is missing (n 0: it is the manifest), on APPLY_WAITS what the
// entry waits for. `batch` (NULL: none): takes what can be applied now, if there is room in it:
// APPLY_LATER.
enum apply_result apply_local(struct replicator *r, const struct job *job,
                              struct apply_batch *batch, struct digest *out_missing, int *out_rc);
// Fetches what is missing and applies. `error` is for status and log.
enum apply_result apply_fetching(struct attempt *a, int64_t *out_not_before_mono,
                                 char error[ERROR_TEXT_SIZE]);

#endif
