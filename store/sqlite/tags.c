// SPDX-License-Identifier: Apache-2.0
// Tags in SQLite: the tables `tags` and `tag_history`. See store/backend_tags.h.
#include "store/sqlite/sqlite_priv.h"

#include "base/err.h"

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
        sqlite_write_db(tx),
        "INSERT INTO tags(repo,tag,digest,stamp,origin,epoch) VALUES(?1,?2,?3,?4,?5,?6)"
        " ON CONFLICT(repo,tag) DO UPDATE SET digest=excluded.digest,stamp=excluded.stamp,"
        "origin=excluded.origin,epoch=excluded.epoch",
        "isdusu", repo, tag, &v->digest, v->stamp, v->origin, v->epoch);
}

static int sqlite_tag_remove(struct tx *tx, int64_t repo, const char *tag)
{
    return db_run(sqlite_write_db(tx), "DELETE FROM tags WHERE repo=?1 AND tag=?2", "is", repo,
                  tag);
}

static int sqlite_tag_history_add(struct tx *tx, int64_t repo, const char *tag,
                                  const struct register_value *v)
{
    return db_run(
        sqlite_write_db(tx),
        "INSERT INTO tag_history(repo,tag,stamp,origin,digest,epoch) VALUES(?1,?2,?3,?4,?5,?6)"
        " ON CONFLICT(repo,tag,stamp,origin,digest) DO UPDATE SET epoch=max(epoch,excluded.epoch)",
        "isusdu", repo, tag, v->stamp, v->origin, &v->digest, v->epoch);
}

static int sqlite_tag_history_clear(struct tx *tx, int64_t repo, const char *tag)
{
    return db_run(sqlite_write_db(tx), "DELETE FROM tag_history WHERE repo=?1 AND tag=?2", "is",
                  repo, tag);
}

static int sqlite_tag_history_trim(struct tx *tx, int64_t repo, const char *tag, size_t keep)
{
    return db_run(sqlite_write_db(tx),
                  "DELETE FROM tag_history WHERE repo=?1 AND tag=?2 AND " REGISTER_VALUE(
                      "") "<(SELECT stamp,origin,"
                          "epoch,digest FROM tag_history WHERE repo=?1 AND tag=?2 ORDER "
                          "BY " REGISTER_HIGHEST_FIRST("") " LIMIT 1 OFFSET ?3)",
                  "isi", repo, tag, (int64_t)keep - 1);
}

static int sqlite_tags_list(struct tx *tx, int64_t repo, const char *after, size_t max,
                            struct arena *a, const char ***out, size_t *out_n)
{
    struct db *d = sqlite_tx_db(tx);
    sqlite3_stmt *st;
    int rc = db_start(d, &st, "SELECT tag FROM tags WHERE repo=?1 AND tag>?2 ORDER BY tag LIMIT ?3",
                      "isi", repo, after, limit_of(max));
    if (rc)
        return rc;
    return db_names(d, st, a, out, out_n);
}

static int version_read(sqlite3_stmt *st, struct arena *a, struct tag_version *out)
{
    out->stamp = (uint64_t)sqlite3_column_int64(st, 1);
    out->epoch = (uint64_t)sqlite3_column_int64(st, 3);
    int rc = db_digest(st, 0, &out->digest);
    if (rc)
        return rc;
    return db_text(st, 2, a, &out->origin);
}

static int sqlite_tag_history_list(struct tx *tx, const char *registry, const char *repository,
                                   const char *tag, size_t max, struct arena *a,
                                   struct tag_version **out, size_t *out_n)
{
    struct db *d = sqlite_tx_db(tx);
    sqlite3_stmt *st;
    size_t n = 0;
    struct tag_version *list = arena_array(a, max ? max : 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    int rc = db_start(
        d, &st,
        "SELECT h.digest,h.stamp,h.origin,h.epoch FROM repositories r JOIN tags t ON t.repo=r.id"
        " JOIN tag_history h ON h.repo=r.id AND h.tag=t.tag WHERE r.registry=?1 AND r.name=?2 AND "
        "t.tag=?3"
        " ORDER BY " REGISTER_HIGHEST_FIRST("h.") " LIMIT ?4",
        "sssi", registry, repository, tag, limit_of(max));
    if (rc)
        return rc;
    while ((rc = db_step(d, st)) == 1) {
        rc = version_read(st, a, &list[n]);
        if (rc) {
            db_end(st);
            break;
        }
        n++;
    }
    if (rc)
        return rc;
    if (!n)
        return ERR_NOTFOUND;
    *out = list;
    *out_n = n;
    return 0;
}

const struct tag_ops sqlite_tag_ops = {
    .get = sqlite_tag_get,
    .set = sqlite_tag_set,
    .remove = sqlite_tag_remove,
    .list = sqlite_tags_list,
    .history_add = sqlite_tag_history_add,
    .history_trim = sqlite_tag_history_trim,
    .history_clear = sqlite_tag_history_clear,
    .history_list = sqlite_tag_history_list,
};
