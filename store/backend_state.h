// SPDX-License-Identifier: Apache-2.0
// Operations of a backend on what clients see, but for tags (backend_tags.h) and blobs
// (backend_links.h): repositories, manifests and what they refer to. See backend.h for what all
// operations keep to.
//
//   rc = repo_make(tx, "contoso", "app", &repo);
//   rc = refs_check(tx, repo, refs, n_refs, &missing);     // ERR_NOTFOUND: one is not there
//   rc = manifest_add(tx, repo, &value, &content);
//
// The operations compare no registers: what wins is the rules' (meta_merge.c). A repository has an
// id in this database, which it keeps; rows of the other kinds name it.
#ifndef MERIDIAN_STORE_BACKEND_STATE_H
#define MERIDIAN_STORE_BACKEND_STATE_H

#include "base/arena.h"
#include "base/digest.h"
#include "base/register.h"
#include "config/hostname.h"
#include "store/backend_log.h"
#include "store/manifest.h"
#include "store/meta_manifests.h"
#include "store/meta_referrers.h"

struct register_name {
    const char *registry, *repository;
    // "": the presence of the manifest `digest`
    const char *tag;
    // not used with a tag
    struct digest digest;
};

static inline bool register_is_tag(const struct register_name *name)
{
    return *name->tag != '\0';
}

// A register's value, for as long as nobody copies the structure: value.origin is `origin`.
struct register_now {
    struct register_value value;
    char origin[HOSTNAME_REGION_SIZE];
};

// A manifest, as it is put in.
struct manifest_new {
    const char *media_type;
    struct bytes content;
};

// A manifest that is reached and that no own entry asserts.
struct unasserted_row {
    struct digest digest;
    const char *media_type;
    uint64_t size, stamp;
};

struct state_ops {
    int (*repo_find)(struct tx *tx, const char *registry, const char *repository, int64_t *out_id);
    int (*repo_make)(struct tx *tx, const char *registry, const char *repository, int64_t *out_id);
    int (*repos_list)(struct tx *tx, const char *registry, const char *after, size_t max,
                      struct arena *a, const char ***out, size_t *out_n);
    int (*manifest_visible)(struct tx *tx, int64_t repo, const struct digest *digest);
    int (*presence_get)(struct tx *tx, int64_t repo, const struct digest *digest,
                        struct register_now *out, char out_media_type[MEDIA_TYPE_SIZE]);
    int (*presence_set)(struct tx *tx, int64_t repo, const struct register_value *v,
                        const char *media_type);
    int (*manifest_add)(struct tx *tx, int64_t repo, const struct register_value *v,
                        const struct manifest_new *m);
    int (*manifest_get)(struct tx *tx, const char *registry, const char *repository,
                        const char *tag, const struct digest *d, struct arena *a,
                        struct manifest_row *out);
    int (*manifest_content)(struct tx *tx, const char *registry, const char *repository,
                            const struct digest *d, struct arena *a, struct bytes *out);
    int (*refs_add)(struct tx *tx, int64_t repo, const struct digest *parent,
                    const struct manifest_ref *refs, size_t n);
    int (*refs_check)(struct tx *tx, int64_t repo, const struct manifest_ref *refs, size_t n,
                      struct digest *out_missing);
    int (*unasserted_below)(struct tx *tx, int64_t repo, const struct digest *parent, int max_depth,
                            const struct log_assertion *by, struct arena *a,
                            struct unasserted_row **out, size_t *out_n);
    int (*manifest_reached)(struct tx *tx, int64_t repo, const struct digest *digest);
    int (*manifest_children)(struct tx *tx, int64_t repo, const struct digest *digest,
                             struct arena *a, struct digest **out, size_t *out_n);
    int (*manifest_remove)(struct tx *tx, int64_t repo, const struct digest *digest);
    int (*referrers)(struct tx *tx, const struct referrers_ask *ask, struct arena *a,
                     struct referrers_page *out);
    int (*manifest_size)(struct tx *tx, int64_t repo, const struct digest *digest,
                         uint64_t *out_size);
};

// ERR_NOTFOUND.
static inline int repo_find(struct tx *tx, const char *registry, const char *repository,
                            int64_t *out_id)
{
    return tx->ops->state->repo_find(tx, registry, repository, out_id);
}

// The id of the repository, which is made if need be. Repositories never go.
static inline int repo_make(struct tx *tx, const char *registry, const char *repository,
                            int64_t *out_id)
{
    return tx->ops->state->repo_make(tx, registry, repository, out_id);
}

// Names of the registry's repositories that have a manifest, after `after` (""), in byte order.
static inline int repos_list(struct tx *tx, const char *registry, const char *after, size_t max,
                             struct arena *a, const char ***out, size_t *out_n)
{
    return tx->ops->state->repos_list(tx, registry, after, max, a, out, out_n);
}

// 0: the manifest is there; ERR_NOTFOUND.
static inline int manifest_visible(struct tx *tx, int64_t repo, const struct digest *digest)
{
    return tx->ops->state->manifest_visible(tx, repo, digest);
}

// --- manifests ---

// The register of a manifest's presence, and its media type (may be NULL).
// A manifest that nobody asserts has the zero value, with origin "" and its digest. ERR_NOTFOUND:
// the manifest is not there.
static inline int presence_get(struct tx *tx, int64_t repo, const struct digest *digest,
                               struct register_now *out, char out_media_type[MEDIA_TYPE_SIZE])
{
    return tx->ops->state->presence_get(tx, repo, digest, out, out_media_type);
}

// Of the manifest v->digest, if it is there. `media_type` NULL: it stays.
static inline int presence_set(struct tx *tx, int64_t repo, const struct register_value *v,
                               const char *media_type)
{
    return tx->ops->state->presence_set(tx, repo, v, media_type);
}

// Puts the manifest v->digest in, which is not there (ERR_CONFLICT).
static inline int manifest_add(struct tx *tx, int64_t repo, const struct register_value *v,
                               const struct manifest_new *m)
{
    return tx->ops->state->manifest_add(tx, repo, v, m);
}

// By tag or by digest, the other is NULL: the manifest with its content, and the register of the
// tag, or of its presence. Every GET of a manifest is this one operation. ERR_NOTFOUND.
static inline int manifest_get(struct tx *tx, const char *registry, const char *repository,
                               const char *tag, const struct digest *d, struct arena *a,
                               struct manifest_row *out)
{
    return tx->ops->state->manifest_get(tx, registry, repository, tag, d, a, out);
}

// The content alone. ERR_NOTFOUND.
static inline int manifest_content(struct tx *tx, const char *registry, const char *repository,
                                   const struct digest *d, struct arena *a, struct bytes *out)
{
    return tx->ops->state->manifest_content(tx, registry, repository, d, a, out);
}

// Notes what the manifest `parent` refers to. References that are noted already stay.
static inline int refs_add(struct tx *tx, int64_t repo, const struct digest *parent,
                           const struct manifest_ref *refs, size_t n)
{
    return tx->ops->state->refs_add(tx, repo, parent, refs, n);
}

// 0: the repository has every blob among `refs`, and every child manifest is visible.
// ERR_NOTFOUND with the first, in their order, that is not. Other kinds of references need not be
// there.
static inline int refs_check(struct tx *tx, int64_t repo, const struct manifest_ref *refs, size_t n,
                             struct digest *out_missing)
{
    return tx->ops->state->refs_check(tx, repo, refs, n, out_missing);
}

// The visible manifests below `parent`, which refer to each other by REF_MANIFEST, down to
// `max_depth`, the deepest first; not those that log_own_asserts finds, nor what lies only below
// such.
static inline int unasserted_below(struct tx *tx, int64_t repo, const struct digest *parent,
                                   int max_depth, const struct log_assertion *by, struct arena *a,
                                   struct unasserted_row **out, size_t *out_n)
{
    return tx->ops->state->unasserted_below(tx, repo, parent, max_depth, by, a, out, out_n);
}

// Does a tag, or a manifest that is there, lead to it? 0 or ERR_NOTFOUND.
static inline int manifest_reached(struct tx *tx, int64_t repo, const struct digest *digest)
{
    return tx->ops->state->manifest_reached(tx, repo, digest);
}

// The manifests that it refers to.
static inline int manifest_children(struct tx *tx, int64_t repo, const struct digest *digest,
                                    struct arena *a, struct digest **out, size_t *out_n)
{
    return tx->ops->state->manifest_children(tx, repo, digest, a, out, out_n);
}

// With its references.
static inline int manifest_remove(struct tx *tx, int64_t repo, const struct digest *digest)
{
    return tx->ops->state->manifest_remove(tx, repo, digest);
}

// The manifests that are there and have ask->subject as their subject, in the order of their
// digests. An unknown repository has none.
static inline int referrers(struct tx *tx, const struct referrers_ask *ask, struct arena *a,
                            struct referrers_page *out)
{
    return tx->ops->state->referrers(tx, ask, a, out);
}

// Of its content. ERR_NOTFOUND.
static inline int manifest_size(struct tx *tx, int64_t repo, const struct digest *digest,
                                uint64_t *out_size)
{
    return tx->ops->state->manifest_size(tx, repo, digest, out_size);
}

#endif
