// SPDX-License-Identifier: Apache-2.0
// How much is used, and whether a write would use too much; see meta_usage.h. Any thread.
#include "store/meta_usage.h"

#include "base/err.h"
#include "store/meta_priv.h"

int meta_usage_get(struct meta *m, const char *registry, const char *repository, struct usage *out)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = usage_get(tx, registry, repository, out);
    tx_end(tx);
    return rc;
}

int meta_usage_list(struct meta *m, const char *registry, const char *after, size_t max,
                    struct arena *a, struct usage_row **out, size_t *out_n)
{
    struct tx *tx;
    if (!after)
        after = "";
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = usage_list(tx, registry, after, max, a, out, out_n);
    tx_end(tx);
    return rc;
}

int meta_usage_registries(struct meta *m, struct arena *a, struct usage_row **out, size_t *out_n)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = usage_registries(tx, a, out, out_n);
    tx_end(tx);
    return rc;
}

// `counted`: so many of the bytes that are added stand in the rows already.
static int limit_judge(struct tx *tx, const char *registry, const char *repository, uint64_t limit,
                       uint64_t counted, uint64_t more, struct usage_over *out)
{
    struct usage u;
    if (!limit || !more)
        return 0;
    int rc = usage_get(tx, registry, repository, &u);
    if (rc)
        return rc;
    uint64_t use = 0;
    if (u.bytes > counted)
        use = u.bytes - counted;
    bool fits = more <= limit && use <= limit - more;
    if (fits)
        return 0;
    *out = (struct usage_over){
        .of_registry = !repository, .use_bytes = use, .limit_bytes = limit, .more_bytes = more};
    return ERR_QUOTA;
}

static uint64_t growth(int64_t bytes)
{
    if (bytes > 0)
        return (uint64_t)bytes;
    return 0;
}

int quota_judge(struct tx *tx, const char *registry, const char *repository,
                const struct usage_limits *limits, const struct usage_delta *added,
                struct usage_over *out)
{
    uint64_t more = growth(added->bytes), of_registry = growth(added->registry_bytes);
    if (!limits)
        return 0;
    int rc = limit_judge(tx, registry, repository, limits->repository_bytes, more, more, out);
    if (rc)
        return rc;
    return limit_judge(tx, registry, NULL, limits->registry_bytes, of_registry, of_registry, out);
}

int meta_quota_look(struct meta *m, const char *registry, const char *repository,
                    const struct usage_limits *limits, uint64_t more_bytes,
                    struct usage_over *out_over)
{
    struct tx *tx;
    bool none = !limits || (!limits->registry_bytes && !limits->repository_bytes);
    if (none)
        return 0;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = limit_judge(tx, registry, repository, limits->repository_bytes, 0, more_bytes, out_over);
    if (!rc)
        rc = limit_judge(tx, registry, NULL, limits->registry_bytes, 0, more_bytes, out_over);
    tx_end(tx);
    return rc;
}

int usage_tags(struct tx *tx, int64_t repo, int64_t more)
{
    return usage_add(tx, repo, &(struct usage_delta){.tags = more});
}
