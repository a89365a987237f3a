// SPDX-License-Identifier: Apache-2.0
// What an entry needs of a manifest: its content, and the blobs that it refers to, fetched and
// linked. Pieces of a job's course, for the kinds of entries that need one (kind_apply.h).
//
//   manifest_want_of(entry, &want);
//   rc = want_get(attempt, topology, registry, &want, &arena, &fetched, &content, &manifest,
//                 &not_before, error);
//   if (rc)
//       return want_lacks(attempt, rc, error);
//
// want_get is a worker's and blocks on sources; the others block on the store.
//
// Invariant (design section 9)
//   4. Bytes and digests are never changed: content is compared with its digest before anything
//      looks into it.
#ifndef MERIDIAN_REPLICATION_APPLY_CONTENT_H
#define MERIDIAN_REPLICATION_APPLY_CONTENT_H

#include "replication/apply.h"
#include "replication/replication_priv.h"
#include "store/manifest.h"

struct manifest_want { // borrowed
    const char *registry, *repository;
    struct digest digest;
    // NULL: as the content says
    const char *media_type;
    // what came with the entry; n 0: nothing
    struct bytes content;
    // its size is known
    bool sized;
    uint64_t size;
};

// What an entry with ENTRY_HAS_CONTENT is about.
void manifest_want_of(const struct feed_entry *e, struct manifest_want *out);
// The content that came with it, or that this region holds in the same repository. ERR_NOTFOUND.
int want_content_local(struct replicator *r, const struct manifest_want *m, struct arena *a,
                       struct bytes *out);
// ERR_DIGEST: that is not its content.
int want_parse(const struct manifest_want *m, struct bytes content, struct arena *a,
               struct manifest *out);
// Is nothing to be fetched for this reference? Its blob is linked here, or it is no blob.
bool want_ref_here(struct replicator *r, const struct manifest_want *m,
                   const struct manifest_ref *ref);
// Makes all be here: the content in *out_content (of the arena, of `fetched`, or what came with the
// entry), and its blobs, linked in the repository.
int want_get(struct attempt *w, const struct topology *t, const struct registry *reg,
             const struct manifest_want *want, struct arena *a, struct buf *fetched,
             struct bytes *out_content, struct manifest *out_manifest, int64_t *out_not_before_mono,
             char error[ERROR_TEXT_SIZE]);
// The result of a try that ended with this code of want_get.
enum apply_result want_lacks(struct attempt *w, int rc, char error[ERROR_TEXT_SIZE]);

#endif
