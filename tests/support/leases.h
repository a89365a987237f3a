// SPDX-License-Identifier: Apache-2.0
// Blobs of a repository for tests that need no bytes: the metadata is told of a blob, and asked.
#ifndef MERIDIAN_TESTS_LEASES_H
#define MERIDIAN_TESTS_LEASES_H

#include "store/meta.h"

// As if bytes without a generation had been published. `end` may be NULL.
static inline int lease_give(struct meta *m, const char *registry, const char *repository,
                             const struct digest *d, uint64_t size, const struct upload_end *end)
{
    const struct blob_name name = {.digest = *d};
    const struct lease_add add = {.registry = registry,
                                  .repository = repository,
                                  .digest = *d,
                                  .published = &name,
                                  .size = size,
                                  .end = end};
    struct lease_result result;
    return meta_lease_add(m, &add, &result);
}

// Has the repository the blob? ERR_NOTFOUND.
static inline int lease_look(struct meta *m, const char *registry, const char *repository,
                             const struct digest *d, uint64_t *out_size)
{
    struct blob_here here;
    int rc = meta_blob_look(m, registry, repository, d, &here);
    if (!rc)
        *out_size = here.size;
    return rc;
}

static inline int lease_look_any(struct meta *m, const char *registry, const struct digest *d,
                                 bool (*may)(void *ctx, const char *repository), void *ctx,
                                 uint64_t *out_size)
{
    struct blob_here here;
    int rc = meta_blob_look_any(m, registry, d, may, ctx, &here);
    if (!rc)
        *out_size = here.size;
    return rc;
}

#endif
