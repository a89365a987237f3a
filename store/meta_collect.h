// SPDX-License-Identifier: Apache-2.0
// The collection of what nobody needs, as far as the metadata is concerned: contents of manifests
// that died longer ago than a grace go, leases that are over go, a blob that no repository holds is condemned, later deleted; its file goes (store/
// collect.h), then its row. Part of store/meta.h, whose opening lines hold here too.
//
//   rc = meta_collect_manifests(m, 256, &counts);
//   rc = meta_collect_leases(m, 256, &counts);
//   rc = meta_collect_blobs(m, 256, &a, &names, &n, &counts);   // these may be removed
//   … blob_remove(bs, &names[i]) …
//   rc = meta_collect_removed(m, names, n);
//
// Each call is one transaction of bounded size; pushes go on in between. The steps need not follow
// each other, and may be repeated: what a step finds it judges anew. Grace is counted in monotonic
// time, anew after a start, so a jump of the wall clock ends none.
//
// Invariants
//   1. A blob is deleted only after it was condemned for META_CONDEMNED_PART of the grace, in which
//      nobody took it up.
//   2. A file is removed only if its generation is that of a deleted blob. Bytes that come
//      meanwhile are another generation, which takes the row over.
//   3. Nothing is taken from a repository that an unknown entry freezes.
#ifndef MERIDIAN_STORE_META_COLLECT_H
#define MERIDIAN_STORE_META_COLLECT_H

#include "base/arena.h"
#include "store/meta_links.h"

// How long a blob is condemned: this part of the grace of a lease, an hour of 24.
#define META_CONDEMNED_PART 24

// What was done; calls add to it.
struct collect_counts {
    // contents of dead manifests, leases that were over, blobs that nobody holds any more, blobs
    // whose files may go
    uint64_t n_manifests, n_leases, n_condemned, n_deleted;
    // files that are gone, and how many bytes that freed (store/collect.h)
    uint64_t n_removed, bytes_removed;
    // a backup holds files that would go
    bool held;
    // there was more than one call may do
    bool more;
};

// Contents of manifests that have been dead for a grace go, at most `max`; by the wall clock, since
// who wants one again fetches it.
int meta_collect_manifests(struct meta *m, size_t max, struct collect_counts *c);
// Leases whose time is over go, at most `max`.
int meta_collect_leases(struct meta *m, size_t max, struct collect_counts *c);
// Condemned blobs whose time is over become deleted, at most `max`; the names of deleted ones,
// those of earlier calls too.
int meta_collect_blobs(struct meta *m, size_t max, struct arena *a, struct blob_name **out,
                       size_t *out_n, struct collect_counts *c);
// The files of these names are gone: so do their rows, where they still name them.
int meta_collect_removed(struct meta *m, const struct blob_name *names, size_t n);
// Which of these names stand in a row? out[i] for names[i].
int meta_blobs_named(struct meta *m, const struct blob_name *names, size_t n, bool *out);
// All blobs by their digests, after one (NULL: from the start), at most `max`.
int meta_blobs_after(struct meta *m, const struct digest *after, size_t max, struct arena *a,
                     struct blob_name **out, size_t *out_n);

// --- what would go, and why ---

enum collect_kind {
    // the content of a manifest that is dead
    COLLECT_MANIFEST,
    COLLECT_LEASE,
    COLLECT_BLOB,
};

struct collect_item {
    enum collect_kind kind;
    // "" of a blob
    const char *registry, *repository;
    struct digest digest;
    uint64_t size;
    // a sentence, without a full stop
    const char *why;
    // until it goes; 0: it is due
    int64_t left_ms;
};

// The next items after a place: leases, the first to go first, and on the last page dead manifests
// and blobs (at most META_PLAN_BLOBS of each kind); changes nothing. `after` is what the call before gave ("" at first); *out_after
// is "" at the end. `registry` NULL: all, and the blobs that nobody holds. ERR_INVAL: `after` is no
// such place.
#define META_PLAN_BLOBS 1000
int meta_collect_plan(struct meta *m, const char *registry, const char *after, size_t max,
                      struct arena *a, struct collect_item **out, size_t *out_n,
                      const char **out_after);

struct space_registry {
    const char *registry;
    // of its blobs; of those that no other registry has
    uint64_t bytes, own_bytes;
};

struct space_report {
    // all that stand in rows
    uint64_t bytes, blobs;
    // held by more than one registry; held by nobody
    uint64_t shared_bytes, condemned_bytes;
    struct space_registry *registries;
    size_t n;
};

// What takes the room. Reads all blobs, at one moment.
int meta_space_report(struct meta *m, struct arena *a, struct space_report *out);

#endif
