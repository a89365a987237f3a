// SPDX-License-Identifier: Apache-2.0
// What a backend of blobs implements: a table of operations, and structs that begin with the ones
// below. store/blob.c holds the rules above it (names, ids, verification, what is abandoned) and is
// the only caller.
//
//   struct mine { struct blob_store base; … };
//   static const struct blob_backend ops = {.name = "mine", .stat = mine_stat, …};
//   m->base.backend = &ops;
//
// What store/blob.h says of a function holds for the operation of the same name. Digests and names
// that come in were checked. Any thread, except that one thread at a time uses an upload or a
// reader.
//
// For an object store (S3): a growing blob is a multipart upload; `resume_at` is the end of its last
// part, and a tail below the least size of a part is an object of its own. Bytes of parts cannot be
// read back, so such a backend stores the state of the running hash at each resume point, beside
// the list of parts. Files read their bytes back instead. An object's key carries the generation.
// `serve` signs a URL.
#ifndef MERIDIAN_STORE_BLOB_BACKEND_H
#define MERIDIAN_STORE_BLOB_BACKEND_H

#include "store/blob.h"

#include <pthread.h>

struct blob_backend;

// Generations that are removed soon, in the order of their times.
#define BLOB_RETIRED_MAX 256
struct blob_retired {
    pthread_mutex_t lock;
    struct {
        struct blob_name name;
        int64_t due_ms;
    } list[BLOB_RETIRED_MAX];
    size_t first, n;
};

struct blob_store {
    const struct blob_backend *backend;
    // store/blob.c's
    struct blob_retired retired;
    // files that went, or were set aside
    _Atomic uint64_t n_removals;
};

// A backend's open function calls it first.
void blob_store_init(struct blob_store *bs, const struct blob_backend *backend);

struct blob_upload {
    const struct blob_backend *backend;
    // The backend keeps both; resume_at <= size.
    uint64_t size, resume_at;
    // Of the digest that the commit will verify; store/blob.c sets it, and may change it at any
    // time. A backend that runs a hash of another algorithm gives that up, and digests the bytes
    // again when it needs to.
    enum digest_alg alg;
};

struct blob_reader {
    const struct blob_backend *backend;
    uint64_t size;
};

// Growing blobs live in one of two areas; a name is unique in its area.
enum blob_area {
    // named by the id of the upload
    BLOB_AREA_UPLOADS,
    // named by the digest, "sha256-abcd…"
    BLOB_AREA_PARTIALS,
};

// an id, or "sha512-" and hex digits; and NUL
#define BLOB_NAME_SIZE 160

struct blob_backend {
    const char *name;
    void (*close)(struct blob_store *bs);
    bool (*writable)(struct blob_store *bs, uint64_t *out_free_bytes);

    int (*stat)(struct blob_store *bs, const struct blob_name *name, uint64_t *out_size);
    // `unnamed`: whoever holds what is there has no need of it
    int (*remove)(struct blob_store *bs, const struct blob_name *name, bool unnamed);
    int (*walk)(struct blob_store *bs, struct blob_walk *at, struct blob_name *out, size_t max,
                size_t *out_n);
    int (*serve)(struct blob_store *bs, const struct blob_serve_want *want, struct blob_serve *out);

    int (*reader_open)(struct blob_store *bs, const struct blob_name *name,
                       struct blob_reader **out);
    int (*reader_read)(struct blob_reader *r, uint64_t at, void *p, size_t cap, size_t *out_n);
    void (*reader_close)(struct blob_reader *r);
    // blob_follow_open and blob_follow_look. A backend that cannot read back what was not published
    // has neither.
    int (*follow_open)(struct blob_store *bs, const char *id, struct blob_reader **out);
    int (*follow_look)(struct blob_reader *r, enum blob_growth *out);

    // An absent one is made, empty.
    int (*upload_open)(struct blob_store *bs, enum blob_area area, const char *name,
                       struct blob_upload **out);
    int (*upload_write)(struct blob_upload *u, const void *p, size_t n);
    int (*upload_sync)(struct blob_upload *u);
    int (*upload_trim)(struct blob_upload *u, uint64_t size);
    // Of partial fetches alone. NULL, all of them: bytes come in order only.
    int (*upload_spread)(struct blob_upload *u, uint64_t whole);
    int (*upload_put)(struct blob_upload *u, uint64_t at, const void *p, size_t n);
    void (*upload_chunk_done)(struct blob_upload *u, size_t chunk);
    bool (*upload_chunk_there)(struct blob_upload *u, size_t chunk);
    int (*upload_digest)(struct blob_upload *u, uint64_t max);
    int (*upload_read)(struct blob_upload *u, uint64_t at, void *p, size_t n);
    // Publishes under a name that nothing has yet. Also notes the outcome of one of
    // BLOB_AREA_UPLOADS of which something was durable before, ahead of the blob's becoming visible.
    int (*upload_commit)(struct blob_upload *u, const struct blob_name *as);
    // With `drop` its bytes are removed, unless it was committed.
    void (*upload_close)(struct blob_upload *u, bool drop);
    int (*upload_outcome)(struct blob_store *bs, const char *id, struct blob_name *out);
    bool (*upload_elsewhere)(struct blob_store *bs, const char *id);
    int (*upload_discard)(struct blob_store *bs, const char *id);
    // 0: none
    uint64_t (*partial_size)(struct blob_store *bs, const char *name);
    int (*partials_drop)(struct blob_store *bs, size_t *out_n, uint64_t *out_bytes);
    // NULL: it has no such bound
    int (*partials_bound)(struct blob_store *bs, uint64_t max_bytes, size_t *out_n,
                          uint64_t *out_bytes, uint64_t *out_held);
    // Removes what is not open, was written last before that moment of the wall clock, and is not
    // known to `known` (NULL: knows none). Adds to *n_removed, also when it fails half way.
    int (*expire)(struct blob_store *bs, enum blob_area area, int64_t older_than_wall_ms,
                  bool (*known)(void *ctx, const char *id), void *ctx, size_t *n_removed);

    // The bytes of this name are not what its digest says: they go out of sight, and the digest on
    // the list of damaged blobs, in one step. ERR_NOTFOUND: they are gone.
    int (*set_aside)(struct blob_store *bs, const struct blob_name *name);
    int (*damaged_note)(struct blob_store *bs, const struct digest *d);
    int (*damaged_list)(struct blob_store *bs, struct digest *out, size_t max, size_t *out_n);
    int (*damaged_release)(struct blob_store *bs, const struct digest *d);
    int (*damaged_forget)(struct blob_store *bs, const struct digest *d);
};

#endif
