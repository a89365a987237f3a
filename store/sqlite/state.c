// SPDX-License-Identifier: Apache-2.0
// What clients see, in SQLite: the tables `repositories`, `manifests`, `manifest_refs`, `tags`,
// `tag_history` and `links`. See store/backend_state.h.
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
    struct db *d = sqlite_tx_db(tx);
    int rc = sqlite_repo_find(tx, registry, repository, out_id);
    if (rc != ERR_NOTFOUND)
        return rc;
    rc = db_run(d, "INSERT INTO repositories(registry,name) VALUES(?1,?2)", "ss", registry,
                repository);
    if (rc)
        return rc;
    *out_id = sqlite3_last_insert_rowid(d->h);
    return 0;
}

static int sqlite_manifest_visible(struct tx *tx, int64_t repo, const struct digest *digest)
{
    return db_exists(sqlite_tx_db(tx), "SELECT 1 FROM manifests WHERE repo=?1 AND digest=?2", "id",
                     repo, digest);
}

static int sqlite_blob_linked(struct tx *tx, int64_t repo, const struct digest *digest)
{
    return db_exists(sqlite_tx_db(tx), "SELECT 1 FROM links WHERE repo=?1 AND digest=?2", "id",
                     repo, digest);
}

const struct state_ops sqlite_state_ops = {
    .repo_find = sqlite_repo_find,
    .repo_make = sqlite_repo_make,
    .manifest_visible = sqlite_manifest_visible,
    .blob_linked = sqlite_blob_linked,
};
