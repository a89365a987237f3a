// SPDX-License-Identifier: Apache-2.0
// The blobs that one manifest lacks here, fetched together: by the worker whose job it is, and by
// helpers, threads that all workers share, as many as are idle and at most BLOB_GROUP_HELPERS for
// one job. Small blobs come before large ones.
//
//   helpers_new(&h);
//   const struct blob_group_want want = {.w = attempt, .topology = t, .registry = reg,
//                                        .manifest = &manifest_want, .refs = refs, .n = n};
//   rc = blob_group_get(h, &want, &not_before, error);     // all are here, or the first error
//
// Ownership: what is borrowed is given back when the call returns: a helper that comes later finds
// the group closed. Threads: blob_group_get is a worker's, and blocks on sources.
//
// Invariants
//   1. A helper's requests have no part in the bound of what runs to one source, and a helper waits
//      for nobody: a blob that it cannot get at once is left to the worker. None is asked for help
//      before the worker itself has got something. So a source that does not answer has no more
//      workers than it had without helpers (blob_fetch.c).
//   2. After the first error nothing more is begun, and helpers end.
//   3. A worker that has no turn at a source, or nothing left to begin, waits for its helpers only
//      while bytes come.
#ifndef MERIDIAN_REPLICATION_BLOB_GROUP_H
#define MERIDIAN_REPLICATION_BLOB_GROUP_H

#include "replication/apply_content.h"

// of all jobs; of one
#define HELPER_THREADS 6
#define BLOB_GROUP_HELPERS 3

struct helpers;
int helpers_new(struct helpers **out);
void helpers_free(struct helpers *h); // after the workers have ended; NULL is ignored

struct blob_group_want {
    // its charge is for all of them; lacks, own_fault, relayed and bytes_left become the group's
    struct attempt *w;
    const struct topology *topology;
    const struct registry *registry;
    const struct manifest_want *manifest;
    // blobs that are to be here; one that is there twice is fetched once
    const struct manifest_ref *const *refs;
    size_t n;
};
// 0: all are here, and the manifest's repository has leases. Errors are blob_fetch's.
int blob_group_get(struct helpers *h, const struct blob_group_want *want,
                   int64_t *out_not_before_mono, char error[ERROR_TEXT_SIZE]);

#endif
