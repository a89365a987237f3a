// SPDX-License-Identifier: Apache-2.0
// Operations of a backend on what clients see: repositories, manifests and what they refer to, tags
// and their history, links to blobs. See backend.h for what all operations keep to.
//
// A repository has an id in this database, which it keeps; rows of the other kinds name it.
#ifndef MERIDIAN_STORE_BACKEND_STATE_H
#define MERIDIAN_STORE_BACKEND_STATE_H

#include "base/arena.h"
#include "base/digest.h"
#include "base/register.h"
#include "config/hostname.h"
#include "store/backend.h"

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

struct state_ops {
    int (*repo_find)(struct tx *tx, const char *registry, const char *repository, int64_t *out_id);
    int (*repo_make)(struct tx *tx, const char *registry, const char *repository, int64_t *out_id);
    int (*manifest_visible)(struct tx *tx, int64_t repo, const struct digest *digest);
    int (*blob_linked)(struct tx *tx, int64_t repo, const struct digest *digest);
    int (*presence_get)(struct tx *tx, int64_t repo, const struct digest *digest,
                        struct register_now *out);
    int (*presence_set)(struct tx *tx, int64_t repo, const struct register_value *v,
                        const char *media_type);
    int (*manifest_reached)(struct tx *tx, int64_t repo, const struct digest *digest);
    int (*manifest_children)(struct tx *tx, int64_t repo, const struct digest *digest,
                             struct arena *a, struct digest **out, size_t *out_n);
    int (*manifest_remove)(struct tx *tx, int64_t repo, const struct digest *digest);
    int (*tag_get)(struct tx *tx, int64_t repo, const char *tag, struct register_now *out);
    int (*tag_set)(struct tx *tx, int64_t repo, const char *tag, const struct register_value *v);
    int (*tag_remove)(struct tx *tx, int64_t repo, const char *tag);
    int (*tag_history_add)(struct tx *tx, int64_t repo, const char *tag,
                           const struct register_value *v);
    int (*tag_history_clear)(struct tx *tx, int64_t repo, const char *tag);
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

// 0: the manifest is there; ERR_NOTFOUND.
static inline int manifest_visible(struct tx *tx, int64_t repo, const struct digest *digest)
{
    return tx->ops->state->manifest_visible(tx, repo, digest);
}

// 0: the repository has a link to the blob; ERR_NOTFOUND.
static inline int blob_linked(struct tx *tx, int64_t repo, const struct digest *digest)
{
    return tx->ops->state->blob_linked(tx, repo, digest);
}

// --- registers: the presence of a manifest, and tags ---

// A manifest that nobody asserts has the zero value, with origin "" and its digest. ERR_NOTFOUND:
// the manifest is not there.
static inline int presence_get(struct tx *tx, int64_t repo, const struct digest *digest,
                               struct register_now *out)
{
    return tx->ops->state->presence_get(tx, repo, digest, out);
}

// Of the manifest v->digest, if it is there. `media_type` NULL: it stays.
static inline int presence_set(struct tx *tx, int64_t repo, const struct register_value *v,
                               const char *media_type)
{
    return tx->ops->state->presence_set(tx, repo, v, media_type);
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

// ERR_NOTFOUND.
static inline int tag_get(struct tx *tx, int64_t repo, const char *tag, struct register_now *out)
{
    return tx->ops->state->tag_get(tx, repo, tag, out);
}

// Makes the tag, or changes its value. The history is not touched.
static inline int tag_set(struct tx *tx, int64_t repo, const char *tag,
                          const struct register_value *v)
{
    return tx->ops->state->tag_set(tx, repo, tag, v);
}

// The history is not touched.
static inline int tag_remove(struct tx *tx, int64_t repo, const char *tag)
{
    return tx->ops->state->tag_remove(tx, repo, tag);
}

// Adds a version to a tag's history. One with the same stamp, origin and digest takes the higher
// epoch.
static inline int tag_history_add(struct tx *tx, int64_t repo, const char *tag,
                                  const struct register_value *v)
{
    return tx->ops->state->tag_history_add(tx, repo, tag, v);
}

static inline int tag_history_clear(struct tx *tx, int64_t repo, const char *tag)
{
    return tx->ops->state->tag_history_clear(tx, repo, tag);
}

#endif
