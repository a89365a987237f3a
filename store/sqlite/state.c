// SPDX-License-Identifier: Apache-2.0
// Repositories in SQLite: the table `repositories`. See store/backend_state.h.
#include "store/sqlite/sqlite_priv.h"

#include "base/err.h"

static int sqlite_repo_find(struct tx *tx, const char *registry, const char *repository,
                            int64_t *out_id)
{
    sqlite3_stmt *st;
    int rc =
        db_find(sqlite_tx_db(tx), &st, "SELECT id FROM repositories WHERE registry=?1 AND name=?2",
                "ss", registry, repository);
    if (rc)
        return rc;
    *out_id = sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

static int sqlite_repo_make(struct tx *tx, const char *registry, const char *repository,
                            int64_t *out_id)
{
    struct db *d = sqlite_write_db(tx);
    int rc = sqlite_repo_find(tx, registry, repository, out_id);
    if (rc != ERR_NOTFOUND)
        return rc;
    rc =
        db_run(d,
               "INSERT INTO repositories(registry,name,reg) VALUES(?1,?2,coalesce((SELECT reg FROM "
               "repositories WHERE registry=?1 LIMIT 1),0))",
               "ss", registry, repository);
    if (rc)
        return rc;
    *out_id = sqlite3_last_insert_rowid(d->h);
    // the first one of a registry stands for it
    return db_run(d, "UPDATE repositories SET reg=id WHERE id=?1 AND reg=0", "i", *out_id);
}

int64_t limit_of(size_t max)
{
    return max > INT64_MAX ? INT64_MAX : (int64_t)max;
}

static int sqlite_repos_list(struct tx *tx, const char *registry, const char *after, size_t max,
                             struct arena *a, const char ***out, size_t *out_n)
{
    struct db *d = sqlite_tx_db(tx);
    sqlite3_stmt *st;
    int rc = db_start(d, &st,
                      "SELECT r.name FROM repositories r JOIN repository_usage u ON u.repo=r.id"
                      " WHERE r.registry=?1 AND r.name>?2 AND u.manifests>0 ORDER BY r.name"
                      " LIMIT ?3",
                      "ssi", registry, after, limit_of(max));
    if (rc)
        return rc;
    return db_names(d, st, a, out, out_n);
}

const struct state_ops sqlite_state_ops = {
    .repo_find = sqlite_repo_find,
    .repo_make = sqlite_repo_make,
    .repos_list = sqlite_repos_list,
    .referrers = sqlite_referrers,
};
