// SPDX-License-Identifier: Apache-2.0
// Repositories in memory; see store/backend_state.h.
#include "tests/support/memory_tables.h"

#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// --- repositories ---

static int repo_find_row(struct tx *tx, const char *registry, const char *repository,
                         int64_t *out_id)
{
    int64_t id = repo_id(tx, registry, repository);
    if (!id)
        return ERR_NOTFOUND;
    *out_id = id;
    return 0;
}

static int repo_make_row(struct tx *tx, const char *registry, const char *repository,
                         int64_t *out_id)
{
    int rc = repo_find_row(tx, registry, repository, out_id);
    if (rc != ERR_NOTFOUND)
        return rc;
    struct m_own own = own_row(tx);
    struct m_repo r = {registry, repository, ++own.repo_id};
    rc = row_put(tx, T_OWN, &own);
    if (!rc)
        rc = row_put(tx, T_REPOS, &r);
    if (!rc)
        *out_id = r.id;
    return rc;
}

static int repos_list_rows(struct tx *tx, const char *registry, const char *after, size_t max,
                           struct arena *a, const char ***out, size_t *out_n)
{
    size_t n = 0;
    const char **list = arena_array(a, row_count(tx, T_REPOS) + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_REPOS, struct m_repo, r)
    {
        if (n == max || strcmp(r->registry, registry) != 0 || strcmp(r->name, after) <= 0)
            continue;
        const struct m_usage *u =
            row_find(tx, T_USAGE, &(struct m_usage){.registry = registry, .repo = r->id});
        if (!u || !u->usage.manifests)
            continue;
        int rc = text_out(a, r->name, &list[n]);
        if (rc)
            return rc;
        n++;
    }
    *out = list;
    *out_n = n;
    return 0;
}

const struct state_ops memory_state_ops = {
    .repo_find = repo_find_row,
    .repo_make = repo_make_row,
    .repos_list = repos_list_rows,
    .referrers = memory_referrers,
};
