// SPDX-License-Identifier: Apache-2.0
// Operations of a backend on what blobs a repository has, on the blobs themselves, on how much is
// used, and when. See backend.h for what all operations keep to.
//
//   rc = hold_get(tx, repo, &digest, &hold);              // ERR_NOTFOUND: the repository has it not
//   rc = lease_set(tx, repo, &digest, size, clock_mono_ms(), "");
//   rc = blob_row_set(tx, &row);                          // which generation serves, and its state
//   rc = usage_add(tx, repo, &delta);
//
// A repository has a blob by a *hold*: one row for (repository, digest). It counts the live
// manifests that refer to the blob; while there are any it is a link, else it is a lease, which has
// lasted since `since_ms`.
//
// Times are of the monotonic clock. A monotonic clock starts anew with the machine: in a backend
// that one process opens, what another process wrote counts from the opening.
//
// Usage is changed by deltas only, so that a backend with many writers may keep them as rows.
#ifndef MERIDIAN_STORE_BACKEND_LINKS_H
#define MERIDIAN_STORE_BACKEND_LINKS_H

#include "base/arena.h"
#include "base/digest.h"
#include "config/hostname.h"
#include "store/backend.h"
#include "store/blob.h"
#include "store/meta_links.h"
#include "store/meta_usage.h"

struct hold {
    uint64_t size;
    // live manifests of the repository that refer to the blob
    uint64_t n_links;
    // of a lease
    int64_t since_ms;
    // of a lease: the region from which its bytes came for a push; ""
    char peer[HOSTNAME_REGION_SIZE];
};

// Where a lease stands in the order in which they end. `era` is the backend's own.
struct lease_place {
    uint64_t era;
    int64_t since_ms, repo;
    struct digest digest;
};

// A hold in a list.
struct hold_row {
    int64_t repo;
    const char *registry, *repository;
    struct digest digest;
    struct hold hold;
    struct lease_place place;
};

// How much of a registry's blobs there is, and how much of it that no other registry has.
struct space_row {
    const char *registry;
    uint64_t bytes, own_bytes;
};

// Of all blobs; those that nobody holds; those that more than one registry holds.
struct space_sums {
    uint64_t bytes, blobs, free_bytes, shared_bytes;
};

enum blob_state {
    // somebody holds it
    BLOB_LIVE,
    // nobody holds it; it can be revived
    BLOB_CONDEMNED,
    // its bytes are being removed
    BLOB_DELETED,
};

struct blob_row {
    // the generation that serves
    struct blob_name name;
    uint64_t size;
    enum blob_state state;
    // of a state other than BLOB_LIVE
    int64_t since_ms;
};

// What a transaction changes. The registry's blobs count once for all of its repositories.
struct usage_delta {
    int64_t bytes, blobs, manifests, tags;
    int64_t registry_bytes, registry_blobs;
};

struct link_ops {
    int (*look)(struct tx *tx, const char *registry, const char *repository, const struct digest *d,
                struct blob_here *out, int64_t *out_since_ms);
    int (*look_any)(struct tx *tx, const char *registry, const struct digest *d,
                    bool (*may)(void *ctx, const char *repository), void *ctx,
                    struct blob_here *out, int64_t *out_since_ms);
    int (*links_of)(struct tx *tx, const struct digest *d, size_t max, struct arena *a,
                    struct link_row **out, size_t *out_n);
    int (*hold_get)(struct tx *tx, int64_t repo, const struct digest *d, struct hold *out);
    int (*lease_set)(struct tx *tx, int64_t repo, const struct digest *d, uint64_t size,
                     int64_t since_ms, const char *peer);
    int (*hold_remove)(struct tx *tx, int64_t repo, const struct digest *d);
    int (*held_in_registry)(struct tx *tx, int64_t repo, const struct digest *d);
    int (*held)(struct tx *tx, const struct digest *d);
    int (*links_count)(struct tx *tx, int64_t repo, const struct digest *manifest,
                       struct digest *out_missing);
    int (*links_uncount)(struct tx *tx, int64_t repo, const struct digest *manifest,
                         int64_t now_ms);
    int (*leases_before)(struct tx *tx, int64_t before_ms, size_t max, struct arena *a,
                         struct hold_row **out, size_t *out_n);
    int (*leases_after)(struct tx *tx, const char *registry, const struct lease_place *after,
                        size_t max, struct arena *a, struct hold_row **out, size_t *out_n);
    int (*space)(struct tx *tx, struct arena *a, struct space_sums *out_sums,
                 struct space_row **out, size_t *out_n);
    int (*blob_get)(struct tx *tx, const struct digest *d, struct blob_row *out);
    int (*blob_set)(struct tx *tx, const struct blob_row *row);
    int (*blob_remove)(struct tx *tx, const struct digest *d);
    int (*blobs_in)(struct tx *tx, enum blob_state state, int64_t before_ms, size_t max,
                    struct arena *a, struct blob_row **out, size_t *out_n);
    int (*blobs_after)(struct tx *tx, const struct digest *after, size_t max, struct arena *a,
                       struct blob_row **out, size_t *out_n);
    int (*pulled_set)(struct tx *tx, int64_t repo, const struct digest *manifest, int64_t wall_ms);
    int (*pulled_get)(struct tx *tx, int64_t repo, const struct digest *manifest,
                      int64_t *out_wall_ms);
    int (*pulled_remove)(struct tx *tx, int64_t repo, const struct digest *manifest);
    int (*usage_add)(struct tx *tx, int64_t repo, const struct usage_delta *delta);
    int (*usage_get)(struct tx *tx, const char *registry, const char *repository,
                     struct usage *out);
    int (*usage_list)(struct tx *tx, const char *registry, const char *after, size_t max,
                      struct arena *a, struct usage_row **out, size_t *out_n);
    int (*usage_registries)(struct tx *tx, struct arena *a, struct usage_row **out, size_t *out_n);
};

// --- what a repository has ---

// A blob of a repository: one statement, since every GET of a blob is this operation. out->age_ms
// is left 0; *out_since_ms is of a lease. ERR_NOTFOUND.
static inline int hold_look(struct tx *tx, const char *registry, const char *repository,
                            const struct digest *d, struct blob_here *out, int64_t *out_since_ms)
{
    return tx->ops->links->look(tx, registry, repository, d, out, out_since_ms);
}

// The same of any repository of the registry for which `may` says yes; which must not call the
// store. ERR_NOTFOUND.
static inline int hold_look_any(struct tx *tx, const char *registry, const struct digest *d,
                                bool (*may)(void *ctx, const char *repository), void *ctx,
                                struct blob_here *out, int64_t *out_since_ms)
{
    return tx->ops->links->look_any(tx, registry, d, may, ctx, out, out_since_ms);
}

// Up to `max` repositories that hold the blob, of all registries, in any order.
static inline int links_of(struct tx *tx, const struct digest *d, size_t max, struct arena *a,
                           struct link_row **out, size_t *out_n)
{
    return tx->ops->links->links_of(tx, d, max, a, out, out_n);
}

// ERR_NOTFOUND.
static inline int hold_get(struct tx *tx, int64_t repo, const struct digest *d, struct hold *out)
{
    return tx->ops->links->hold_get(tx, repo, d, out);
}

// A lease that lasts from since_ms on; of a hold that is there, whose size and links stay.
static inline int lease_set(struct tx *tx, int64_t repo, const struct digest *d, uint64_t size,
                            int64_t since_ms, const char *peer)
{
    tx_touches(tx, repo);
    return tx->ops->links->lease_set(tx, repo, d, size, since_ms, peer);
}

// ERR_NOTFOUND.
static inline int hold_remove(struct tx *tx, int64_t repo, const struct digest *d)
{
    tx_touches(tx, repo);
    return tx->ops->links->hold_remove(tx, repo, d);
}

// 0: another repository of this one's registry holds the blob, too. ERR_NOTFOUND.
static inline int held_in_registry(struct tx *tx, int64_t repo, const struct digest *d)
{
    return tx->ops->links->held_in_registry(tx, repo, d);
}

// 0: some repository holds the blob. ERR_NOTFOUND.
static inline int blob_held(struct tx *tx, const struct digest *d)
{
    return tx->ops->links->held(tx, d);
}

// One link more to each blob that the manifest refers to (refs_add), once for each digest.
// ERR_NOTFOUND with one that the repository does not hold: nothing changed.
static inline int links_count(struct tx *tx, int64_t repo, const struct digest *manifest,
                              struct digest *out_missing)
{
    tx_touches(tx, repo);
    return tx->ops->links->links_count(tx, repo, manifest, out_missing);
}

// One link less to each of them; a lease from now_ms on where none is left.
static inline int links_uncount(struct tx *tx, int64_t repo, const struct digest *manifest,
                                int64_t now_ms)
{
    tx_touches(tx, repo);
    return tx->ops->links->links_uncount(tx, repo, manifest, now_ms);
}

// Leases that have lasted since before that, at most max, in any order.
static inline int leases_before(struct tx *tx, int64_t before_ms, size_t max, struct arena *a,
                                struct hold_row **out, size_t *out_n)
{
    return tx->ops->links->leases_before(tx, before_ms, max, a, out, out_n);
}

// Leases in the order in which they end, after a place (NULL: from the start), at most max, of a
// registry (NULL: of all).
static inline int leases_after(struct tx *tx, const char *registry, const struct lease_place *after,
                               size_t max, struct arena *a, struct hold_row **out, size_t *out_n)
{
    return tx->ops->links->leases_after(tx, registry, after, max, a, out, out_n);
}

// Reads all holds.
static inline int space_read(struct tx *tx, struct arena *a, struct space_sums *out_sums,
                             struct space_row **out, size_t *out_n)
{
    return tx->ops->links->space(tx, a, out_sums, out, out_n);
}

// --- blobs ---

// ERR_NOTFOUND.
static inline int blob_row_get(struct tx *tx, const struct digest *d, struct blob_row *out)
{
    return tx->ops->links->blob_get(tx, d, out);
}

// Adds it, or replaces the row of its digest.
static inline int blob_row_set(struct tx *tx, const struct blob_row *row)
{
    tx_touches_blob(tx, &row->name.digest);
    return tx->ops->links->blob_set(tx, row);
}

// ERR_NOTFOUND.
static inline int blob_row_remove(struct tx *tx, const struct digest *d)
{
    tx_touches_blob(tx, d);
    return tx->ops->links->blob_remove(tx, d);
}

// Blobs that have been in that state, which is not BLOB_LIVE, since before that; at most max, in
// any order.
static inline int blobs_in(struct tx *tx, enum blob_state state, int64_t before_ms, size_t max,
                           struct arena *a, struct blob_row **out, size_t *out_n)
{
    return tx->ops->links->blobs_in(tx, state, before_ms, max, a, out, out_n);
}

// All blobs in the order of digests, after one (NULL: from the start), at most max.
static inline int blobs_after(struct tx *tx, const struct digest *after, size_t max,
                              struct arena *a, struct blob_row **out, size_t *out_n)
{
    return tx->ops->links->blobs_after(tx, after, max, a, out, out_n);
}

// --- pulls ---

// The manifest was pulled last at that time, or later. ERR_NOTFOUND: there is no such manifest.
static inline int pulled_set(struct tx *tx, int64_t repo, const struct digest *manifest,
                             int64_t wall_ms)
{
    return tx->ops->links->pulled_set(tx, repo, manifest, wall_ms);
}

// ERR_NOTFOUND.
static inline int pulled_get(struct tx *tx, int64_t repo, const struct digest *manifest,
                             int64_t *out_wall_ms)
{
    return tx->ops->links->pulled_get(tx, repo, manifest, out_wall_ms);
}

// Fine if there is none.
static inline int pulled_remove(struct tx *tx, int64_t repo, const struct digest *manifest)
{
    return tx->ops->links->pulled_remove(tx, repo, manifest);
}

// --- usage ---

// Of the repository and of its registry.
static inline int usage_add(struct tx *tx, int64_t repo, const struct usage_delta *delta)
{
    return tx->ops->links->usage_add(tx, repo, delta);
}

// `repository` NULL: of the registry. Zero when there is none.
static inline int usage_get(struct tx *tx, const char *registry, const char *repository,
                            struct usage *out)
{
    return tx->ops->links->usage_get(tx, registry, repository, out);
}

// Of the repositories after a name (""), in byte order, at most max.
static inline int usage_list(struct tx *tx, const char *registry, const char *after, size_t max,
                             struct arena *a, struct usage_row **out, size_t *out_n)
{
    return tx->ops->links->usage_list(tx, registry, after, max, a, out, out_n);
}

// Of all registries, in byte order.
static inline int usage_registries(struct tx *tx, struct arena *a, struct usage_row **out,
                                   size_t *out_n)
{
    return tx->ops->links->usage_registries(tx, a, out, out_n);
}

#endif
