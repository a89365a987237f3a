// SPDX-License-Identifier: Apache-2.0
// What was read lately, in memory: manifests by (repository, tag) and (repository, digest), and
// small blobs of a repository. So a thread that must not block can answer what many clients ask for.
// Larger blobs are not remembered: each answer for one looks whether its file is whole.
//
//   struct hot_key key = {.registry = "contoso", .repository = "app", .tag = "latest"};
//   if (hot_manifest(h, &key, &arena, &row))                  // ERR_NOTFOUND: not known here
//       … on the pool: rc = hot_manifest_read(h, &key, &arena, &row);
//
// A hit shows what the metadata holds at that moment: an entry carries the change numbers that were
// read before its look (store/meta_seen.h), and counts only while they stand. So no kind of change
// has to tell this cache anything: pushes, moved tags, deletions, what other regions wrote,
// retention, collection, repairs and revoked keys all commit. Registries go by their keys, which an
// incarnation changes. Who may read what is not judged here: callers have done that before.
//
// A blob's entry says that its file was whole when it was looked at, and after that nothing in this
// process removed a file or set it aside. Its content was held against the digest, so it stays right
// whatever others do to the disk; that the file is damaged or gone is seen HOT_STAT_MS later at the
// latest.
//
// Memory is bounded in bytes, and entries that were not used lately go first. Absence is not
// remembered. Threads: any. hot_manifest and hot_blob take a short lock and never block on a disk;
// the others do.
#ifndef MERIDIAN_STORE_HOT_H
#define MERIDIAN_STORE_HOT_H

#include "store/blob.h"
#include "store/meta_seen.h"

#define HOT_BYTES_DEFAULT (8u << 20)
#define HOT_STAT_MS 10000
// blobs up to this size are kept whole, once their digest was verified
#define HOT_BLOB_MAX 16384

struct hot;
// Meta and blobs outlive it. max_bytes 0: HOT_BYTES_DEFAULT.
int hot_new(struct meta *m, struct blob_store *bs, size_t max_bytes, struct hot **out);
void hot_free(struct hot *h); // NULL is accepted

struct hot_key {
    const char *registry, *repository;
    // of a manifest by tag; else NULL
    const char *tag;
    // of a manifest by digest, and of a blob; else NULL
    const struct digest *digest;
};

// ERR_NOTFOUND: it may be there, but is not known here. The result hangs off the arena.
int hot_manifest(struct hot *h, const struct hot_key *key, struct arena *a,
                 struct manifest_row *out);
// As meta_manifest_get, and remembers it. ERR_DIGEST: its content is not what its digest says.
int hot_manifest_read(struct hot *h, const struct hot_key *key, struct arena *a,
                      struct manifest_row *out);

struct hot_blob {
    struct blob_here here;
    // a BLOB_SERVE_PATH
    struct blob_serve serve;
    // all of it, if it is small; p NULL: it is not in memory
    struct bytes content;
};
// ERR_NOTFOUND as above. The age in out->here is not set. The content hangs off the arena; NULL: it
// is not wanted.
int hot_blob(struct hot *h, const struct hot_key *key, struct arena *a, struct hot_blob *out);

// A look at a blob that may be remembered.
//
//   rc = hot_blob_look(h, &key, &look, &here);              // as meta_blob_look
//   rc = blob_serve(blobs, &want, &serve);
//   hot_blob_end(h, &key, &look, &here, &serve);            // when both said 0
struct hot_look {
    uint64_t removals;
    struct meta_seen seen;
};
int hot_blob_look(struct hot *h, const struct hot_key *key, struct hot_look *look,
                  struct blob_here *out);
void hot_blob_end(struct hot *h, const struct hot_key *key, const struct hot_look *look,
                  const struct blob_here *here, const struct blob_serve *serve);

struct hot_stats {
    uint64_t hits, misses;
    // of entries that are held now
    size_t n, bytes;
};
void hot_stats_get(struct hot *h, struct hot_stats *out);

#endif
