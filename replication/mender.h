// SPDX-License-Identifier: Apache-2.0
// Mends damaged and lost blobs and manifests of this region: looks at those that are suspected (by
// this region, or by another one that says so, replication/damage_notice.h), and fetches anew those
// that are damaged.
//
//   mender_new(&options, &m);
//   mender_start(m);
//   mender_suspect(m, "eastus", "contoso", "app", &digest);       // any thread, does not block
//   …
//   mender_stop(m); mender_free(m);
//
// A suspected file is read slowly, one at a time. If its bytes are wrong, or it is lost, the blob is
// absent from then on, so that pushes bring it again and other regions ask elsewhere; and the
// mender asks every region that holds a registry which links it, again and again until it is whole.
// What is to be mended is on the disk (store/blob.h), so it outlives restarts. The content of a
// manifest stands in the metadata; a damaged one is known in memory, and found again after a start.
//
// Threads: one of its own, which blocks on disk and sources; what others call takes a short lock.
//
// Invariants
//   1. A blob that is known to be damaged stays on the disk's list until it is whole, or no
//      repository links it any more.
#ifndef MERIDIAN_REPLICATION_MENDER_H
#define MERIDIAN_REPLICATION_MENDER_H

#include "base/snapshot.h"
#include "content/content.h"
#include "replication/room.h"
#include "replication/suspects.h"
#include "store/meta.h"

#include <jansson.h>

struct mender;
struct mender_options {
    // this region's name; outlives the mender
    const char *region;
    struct snapshot *topology;
    struct meta *meta;
    struct blob_store *blobs;
    struct content *content;
    struct room *room;
    // it ends soon after this is true
    const _Atomic bool *stop;
    // Whom to ask for content of a registry, in order, and how many requests may run to each.
    size_t (*sources)(void *ctx, const struct topology *t, const struct registry *reg,
                      struct source *out[TOPOLOGY_MAX_REGIONS], unsigned *out_max_running);
    // May it wait while a job fetches the same blob?
    bool (*may_wait)(void *ctx);
    void *ctx;
};
int mender_new(const struct mender_options *o, struct mender **out);
int mender_start(struct mender *m);
// After *stop is true: returns when the thread has ended. NULL is ignored.
void mender_stop(struct mender *m);
void mender_free(struct mender *m); // NULL is ignored

// The blob may be damaged or lost here. `by`: the region that says so; NULL: this one found it.
// ERR_FULL: too many wait, or that region is not listened to now.
int mender_suspect(struct mender *m, const char *by, const char *registry, const char *repository,
                   const struct digest *d);
// A source that may give what is damaged answers again: it is asked at once.
void mender_source_is_back(struct mender *m);

// How many blobs and manifests are known to be damaged or lost; if any, a sentence about them, without their
// names: other regions see it.
size_t mender_damaged(struct mender *m, char *out, size_t cap);
// Appends a sentence for each of them to a JSON array: of that registry, by its key, or of all
// (NULL).
void mender_faults(struct mender *m, const char *registry, json_t *list);
void mender_metrics(struct mender *m, struct buf *out);

#endif
