// SPDX-License-Identifier: Apache-2.0
// Operations of a backend on repositories, and the names of registers. See backend.h for what all
// operations keep to, backend_manifests.h for manifests, backend_tags.h for tags, backend_links.h
// for blobs.
//
//   rc = repo_make(tx, "contoso", "app", &repo);
//   rc = repos_list(tx, "contoso", "", 100, &arena, &names, &n);
//
// A repository has an id in this database, which it keeps; rows of the other kinds name it.
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
    // It is not the subject's value or presence, but its lock. Without tag and digest: the lock of
    // the repository.
    bool lock;
};

static inline bool register_is_tag(const struct register_name *name)
{
    return *name->tag != '\0' && !name->lock;
}

// A register's value, for as long as nobody copies the structure: value.origin is `origin`.
struct register_now {
    struct register_value value;
    char origin[HOSTNAME_REGION_SIZE];
};

struct state_ops {
    int (*repo_find)(struct tx *tx, const char *registry, const char *repository, int64_t *out_id);
    int (*repo_make)(struct tx *tx, const char *registry, const char *repository, int64_t *out_id);
    int (*repos_list)(struct tx *tx, const char *registry, const char *after, size_t max,
                      struct arena *a, const char ***out, size_t *out_n);
    int (*referrers)(struct tx *tx, const struct referrers_ask *ask, struct arena *a,
                     struct referrers_page *out);
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

// Names of the registry's repositories that have a manifest, as usage_add counted them, after
// `after` (""), in byte order.
static inline int repos_list(struct tx *tx, const char *registry, const char *after, size_t max,
                             struct arena *a, const char ***out, size_t *out_n)
{
    return tx->ops->state->repos_list(tx, registry, after, max, a, out, out_n);
}

// The live manifests that have ask->subject as their subject, in the order of their digests. An
// unknown repository has none.
static inline int referrers(struct tx *tx, const struct referrers_ask *ask, struct arena *a,
                            struct referrers_page *out)
{
    return tx->ops->state->referrers(tx, ask, a, out);
}

#endif
