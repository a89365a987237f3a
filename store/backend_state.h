// SPDX-License-Identifier: Apache-2.0
// Operations of a backend on what clients see: repositories, manifests and what they refer to, tags
// and their history, links to blobs. See backend.h for what all operations keep to.
//
// A repository has an id in this database, which it keeps; rows of the other kinds name it.
#ifndef MERIDIAN_STORE_BACKEND_STATE_H
#define MERIDIAN_STORE_BACKEND_STATE_H

#include "base/digest.h"
#include "store/backend.h"

struct state_ops {
    int (*repo_find)(struct tx *tx, const char *registry, const char *repository, int64_t *out_id);
    int (*repo_make)(struct tx *tx, const char *registry, const char *repository, int64_t *out_id);
    int (*manifest_visible)(struct tx *tx, int64_t repo, const struct digest *digest);
    int (*blob_linked)(struct tx *tx, int64_t repo, const struct digest *digest);
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

#endif
