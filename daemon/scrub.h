// SPDX-License-Identifier: Apache-2.0
// Reads all blobs and manifests of this node, slowly, and compares them with their digests. A damaged one is set
// aside at once, so that it is never served, and stands on the list of what is to be fetched anew
// (store/blob.h), as does one that is lost; the mender fetches it from another region.
// A damaged manifest is told to `on_damaged`, and is no more served by who reads it.
//
//   scrub_start(&(struct scrub_options){.blobs = b, .meta = m, .bytes_per_s = 4 << 20,
//                                       .every_ms = SCRUB_EVERY_MS}, &s);
//   scrub_stop(s); scrub_free(s);
//
// It begins at a random digest, so that a node which starts often reads all of them in time. After a
// pass it rests until every_ms have gone since its beginning.
//
// Threads: one of its own.
#ifndef MERIDIAN_DAEMON_SCRUB_H
#define MERIDIAN_DAEMON_SCRUB_H

#include "base/bytes.h"
#include "base/snapshot.h"
#include "store/blob.h"
#include "store/meta.h"

#define SCRUB_EVERY_MS (24 * 3600 * 1000ll)

struct scrub_options {
    struct blob_store *blobs;
    struct meta *meta;
    // 0: nothing is read
    uint64_t bytes_per_s;
    int64_t every_ms;
    // whose registries' manifests are read, after the blobs; NULL: none
    struct snapshot *topology;
    // A manifest is not what its digest says. On the scrub's thread; must not block.
    void (*on_damaged)(void *ctx, const char *registry, const char *repository,
                       const struct digest *d);
    void *ctx;
};

struct scrub;
int scrub_start(const struct scrub_options *o, struct scrub **out);
// Returns when the thread has ended; NULL, and a second call, are accepted.
void scrub_stop(struct scrub *s);
void scrub_free(struct scrub *s); // NULL is accepted

struct scrub_stats {
    // `bytes`: of blobs; n_damaged: of blobs and manifests
    uint64_t n_blobs, n_manifests, bytes, n_damaged, n_lost, n_passes;
};
void scrub_stats_get(struct scrub *s, struct scrub_stats *out);
// Any thread; `s` NULL writes nothing.
void scrub_metrics(struct scrub *s, struct buf *out);

#endif
