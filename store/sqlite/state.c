// SPDX-License-Identifier: Apache-2.0
// What clients see, in SQLite: the tables `repositories`, `manifests`, `manifest_refs`, `tags`,
// `tag_history` and `links`. See store/backend_state.h.
#include "store/sqlite/sqlite_priv.h"

#include "base/err.h"
#include "store/manifest.h"

#include <string.h>

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

// --- registers ---

// Of a row with stamp, origin, epoch.
static int register_row(sqlite3_stmt *st, struct register_now *out)
{
    const char *origin = (const char *)sqlite3_column_text(st, 1);
    if (!origin || strlen(origin) >= sizeof out->origin)
        return ERR_CORRUPT;
    memcpy(out->origin, origin, strlen(origin) + 1);
    out->value = (struct register_value){.stamp = (uint64_t)sqlite3_column_int64(st, 0),
                                         .origin = out->origin,
                                         .epoch = (uint64_t)sqlite3_column_int64(st, 2)};
    return 0;
}

static int sqlite_presence_get(struct tx *tx, int64_t repo, const struct digest *digest,
                               struct register_now *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT stamp,origin,epoch FROM manifests WHERE repo=?1 AND digest=?2", "id",
                     repo, digest);
    if (rc)
        return rc;
    rc = register_row(st, out);
    out->value.digest = *digest;
    db_end(st);
    return rc;
}

static int sqlite_presence_set(struct tx *tx, int64_t repo, const struct register_value *v,
                               const char *media_type)
{
    return db_run(sqlite_tx_db(tx),
                  "UPDATE manifests SET stamp=?3,origin=?4,epoch=?5,"
                  "media_type=coalesce(?6,media_type) WHERE repo=?1 AND digest=?2",
                  "idusus", repo, &v->digest, v->stamp, v->origin, v->epoch, media_type);
}

static int sqlite_manifest_reached(struct tx *tx, int64_t repo, const struct digest *digest)
{
    return db_exists(sqlite_tx_db(tx),
                     "SELECT 1 FROM tags WHERE repo=?1 AND digest=?2 UNION ALL"
                     " SELECT 1 FROM manifest_refs r JOIN manifests p ON p.repo=r.repo AND"
                     "  p.digest=r.parent WHERE r.repo=?1 AND r.child=?2 AND r.kind=?3",
                     "idn", repo, digest, (int)REF_MANIFEST);
}

static int sqlite_manifest_children(struct tx *tx, int64_t repo, const struct digest *digest,
                                    struct arena *a, struct digest **out, size_t *out_n)
{
    sqlite3_stmt *st;
    size_t n = 0, cap = 0;
    struct digest *list = NULL;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT child FROM manifest_refs WHERE repo=?1 AND parent=?2 AND kind=?3",
                      "idn", repo, digest, (int)REF_MANIFEST);
    if (rc)
        return rc;
    while ((rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        if (n == cap)
            list = db_grow(a, list, n, &cap, sizeof *list);
        rc = list ? db_digest(st, 0, &list[n]) : ERR_NOMEM;
        if (rc) {
            db_end(st);
            return rc;
        }
        n++;
    }
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}

static int sqlite_manifest_remove(struct tx *tx, int64_t repo, const struct digest *digest)
{
    int rc = db_run(sqlite_tx_db(tx), "DELETE FROM manifests WHERE repo=?1 AND digest=?2", "id",
                    repo, digest);
    if (rc)
        return rc;
    return db_run(sqlite_tx_db(tx), "DELETE FROM manifest_refs WHERE repo=?1 AND parent=?2", "id",
                  repo, digest);
}

static int sqlite_tag_get(struct tx *tx, int64_t repo, const char *tag, struct register_now *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT stamp,origin,epoch,digest FROM tags WHERE repo=?1 AND tag=?2", "is",
                     repo, tag);
    if (rc)
        return rc;
    rc = register_row(st, out);
    if (!rc)
        rc = db_digest(st, 3, &out->value.digest);
    db_end(st);
    return rc;
}

static int sqlite_tag_set(struct tx *tx, int64_t repo, const char *tag,
                          const struct register_value *v)
{
    return db_run(
        sqlite_tx_db(tx),
        "INSERT INTO tags(repo,tag,digest,stamp,origin,epoch) VALUES(?1,?2,?3,?4,?5,?6)"
        " ON CONFLICT(repo,tag) DO UPDATE SET digest=excluded.digest,stamp=excluded.stamp,"
        "origin=excluded.origin,epoch=excluded.epoch",
        "isdusu", repo, tag, &v->digest, v->stamp, v->origin, v->epoch);
}

static int sqlite_tag_remove(struct tx *tx, int64_t repo, const char *tag)
{
    return db_run(sqlite_tx_db(tx), "DELETE FROM tags WHERE repo=?1 AND tag=?2", "is", repo, tag);
}

static int sqlite_tag_history_add(struct tx *tx, int64_t repo, const char *tag,
                                  const struct register_value *v)
{
    return db_run(
        sqlite_tx_db(tx),
        "INSERT INTO tag_history(repo,tag,stamp,origin,digest,epoch) VALUES(?1,?2,?3,?4,?5,?6)"
        " ON CONFLICT(repo,tag,stamp,origin,digest) DO UPDATE SET epoch=max(epoch,excluded.epoch)",
        "isusdu", repo, tag, v->stamp, v->origin, &v->digest, v->epoch);
}

static int sqlite_tag_history_clear(struct tx *tx, int64_t repo, const char *tag)
{
    return db_run(sqlite_tx_db(tx), "DELETE FROM tag_history WHERE repo=?1 AND tag=?2", "is", repo,
                  tag);
}

const struct state_ops sqlite_state_ops = {
    .repo_find = sqlite_repo_find,
    .repo_make = sqlite_repo_make,
    .manifest_visible = sqlite_manifest_visible,
    .blob_linked = sqlite_blob_linked,
    .presence_get = sqlite_presence_get,
    .presence_set = sqlite_presence_set,
    .manifest_reached = sqlite_manifest_reached,
    .manifest_children = sqlite_manifest_children,
    .manifest_remove = sqlite_manifest_remove,
    .tag_get = sqlite_tag_get,
    .tag_set = sqlite_tag_set,
    .tag_remove = sqlite_tag_remove,
    .tag_history_add = sqlite_tag_history_add,
    .tag_history_clear = sqlite_tag_history_clear,
};
