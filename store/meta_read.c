// SPDX-License-Identifier: Apache-2.0
// What clients see: manifests, tags, repositories; see meta.h. Any thread.
#include "store/meta_priv.h"

#include "base/err.h"
#include "store/backend_tags.h"

#define HISTORY_READ_MAX 10000

int meta_manifest_get(struct meta *m, const char *registry, const char *repository, const char *tag,
                      const struct digest *digest, struct arena *a, struct manifest_row *out)
{
    struct tx *tx;
    if (!tag == !digest)
        return ERR_INVAL;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = manifest_get(tx, registry, repository, tag, digest, a, out);
    tx_end(tx);
    return rc;
}

// The first link or manifest makes a repository, which then stays.
bool meta_repository_exists(struct meta *m, const char *registry, const char *repository)
{
    struct tx *tx;
    int64_t id;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return false;
    rc = repo_find(tx, registry, repository, &id);
    tx_end(tx);
    return rc == 0;
}

int meta_tags_list(struct meta *m, const char *registry, const char *repository, const char *after,
                   size_t max, struct arena *a, const char ***out, size_t *out_n)
{
    struct tx *tx;
    int64_t repo;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = repo_find(tx, registry, repository, &repo);
    if (!rc)
        rc = tags_list(tx, repo, after ? after : "", max, a, out, out_n);
    tx_end(tx);
    return rc;
}

// A repository without a manifest is not shown: its copy has only begun to arrive.
int meta_repositories_list(struct meta *m, const char *registry, const char *after, size_t max,
                           struct arena *a, const char ***out, size_t *out_n)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = repos_list(tx, registry, after ? after : "", max, a, out, out_n);
    tx_end(tx);
    return rc;
}

// A version can be in the history before the tag has any value (its manifest still travels): then
// there is no such tag yet.
int meta_tag_history(struct meta *m, const char *registry, const char *repository, const char *tag,
                     size_t max, struct arena *a, struct tag_version **out, size_t *out_n)
{
    struct tx *tx;
    if (max > HISTORY_READ_MAX)
        max = HISTORY_READ_MAX;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = tag_history_list(tx, registry, repository, tag, max, a, out, out_n);
    tx_end(tx);
    return rc;
}
