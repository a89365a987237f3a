// SPDX-License-Identifier: Apache-2.0
// See meta_seen.h. Any thread; the looks block.
#include "store/meta_seen.h"

#include "store/meta_priv.h"

// The number of a manifest's look has no blob.
static int repo_see(struct tx *tx, const char *registry, const char *repository,
                    struct meta_seen *out)
{
    int64_t repo;
    int rc = repo_find(tx, registry, repository, &repo);
    if (rc)
        return rc;
    out->repo_shard = out->blob_shard = shard_of_repo(repo);
    out->repo_number = out->blob_number = tx_changes(tx, out->repo_shard);
    return 0;
}

int meta_manifest_see(struct meta *m, const char *registry, const char *repository, const char *tag,
                      const struct digest *digest, struct arena *a, struct manifest_row *out,
                      struct meta_seen *seen)
{
    struct tx *tx;
    struct meta_seen s;
    if (!tag == !digest)
        return ERR_INVAL;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = repo_see(tx, registry, repository, &s);
    if (!rc)
        rc = manifest_get(tx, registry, repository, tag, digest, a, out);
    tx_end(tx);
    if (!rc)
        *seen = s;
    return rc;
}

int meta_blob_see(struct meta *m, const char *registry, const char *repository,
                  const struct digest *d, struct blob_here *out, struct meta_seen *seen)
{
    struct tx *tx;
    struct meta_seen s;
    int64_t since_ms;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = repo_see(tx, registry, repository, &s);
    if (!rc) {
        s.blob_shard = shard_of_blob(d);
        s.blob_number = tx_changes(tx, s.blob_shard);
        rc = hold_look(tx, registry, repository, d, out, &since_ms);
    }
    tx_end(tx);
    if (rc)
        return rc;
    if (!out->linked)
        out->age_ms = clock_mono_ms() - since_ms;
    *seen = s;
    return 0;
}

bool meta_seen_holds(struct meta *m, const struct meta_seen *seen)
{
    if (!seen->repo_number || !seen->blob_number)
        return false;
    if (backend_changes(m->b, seen->repo_shard) != seen->repo_number)
        return false;
    return backend_changes(m->b, seen->blob_shard) == seen->blob_number;
}
