// SPDX-License-Identifier: Apache-2.0
#include "replication/damaged_manifests.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static bool is(const struct damaged_manifest *x, const char *registry, const char *repository,
               const struct digest *d)
{
    return digest_equal(&x->digest, d) && strcmp(x->repository, repository) == 0 &&
           strcmp(x->registry, registry) == 0;
}

bool damaged_manifests_add(struct damaged_manifests *l, const char *registry,
                           const char *repository, const struct digest *d)
{
    for (size_t i = 0; i < l->n; i++)
        if (is(&l->list[i], registry, repository, d))
            return false;
    if (l->n == DAMAGED_MANIFESTS_MAX)
        return false;
    struct damaged_manifest *x = &l->list[l->n];
    size_t n = (size_t)snprintf(x->registry, sizeof x->registry, "%s", registry);
    if (n >= sizeof x->registry)
        return false;
    n = (size_t)snprintf(x->repository, sizeof x->repository, "%s", repository);
    if (n >= sizeof x->repository)
        return false;
    x->digest = *d;
    l->n++;
    return true;
}

void damaged_manifests_drop(struct damaged_manifests *l, size_t i)
{
    assert(i < l->n);
    l->list[i] = l->list[--l->n];
}
