// SPDX-License-Identifier: Apache-2.0
// Links: which blobs a repository has; see meta.h. Any thread.
#include "store/meta_priv.h"
#include "store/meta_uploads.h"

struct link {
    struct meta *m;
    const char *registry, *repository;
    const struct digest *digest;
    uint64_t size;
    const struct upload_end *end;
};

static int link_run(struct tx *tx, void *arg)
{
    const struct link *l = arg;
    int64_t repo;
    int rc = repo_make(tx, l->registry, l->repository, &repo);
    if (rc)
        return rc;
    rc = link_set(tx, repo, l->digest, l->size, clock_wall_ms());
    if (rc || !l->end)
        return rc;
    return upload_end_as(l->m, tx, l->registry, l->repository, l->end, l->digest);
}

int meta_link_add(struct meta *m, const char *registry, const char *repository,
                  const struct digest *d, uint64_t size, const struct upload_end *end)
{
    struct link l = {m, registry, repository, d, size, end};
    return meta_write(m, link_run, &l, false);
}

int meta_link_get(struct meta *m, const char *registry, const char *repository,
                  const struct digest *d, uint64_t *out_size)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = link_get(tx, registry, repository, d, out_size);
    tx_end(tx);
    return rc;
}

int meta_link_find(struct meta *m, const char *registry, const struct digest *d,
                   bool (*may)(void *ctx, const char *repository), void *ctx, uint64_t *out_size)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = link_find(tx, registry, d, may, ctx, out_size);
    tx_end(tx);
    return rc;
}

int meta_links_of(struct meta *m, const struct digest *d, size_t max, struct arena *a,
                  struct link_row **out, size_t *out_n)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = links_of(tx, d, max, a, out, out_n);
    tx_end(tx);
    return rc;
}
