// SPDX-License-Identifier: Apache-2.0
// Tags in SQLite: the tables `tags` and `tag_history`. See store/backend_tags.h.
#include "store/sqlite/sqlite_priv.h"

#include "base/err.h"

// Columns of a row's two registers, from column 0.
#define TAG_COLUMNS                                                                       \
    "stamp,origin,epoch,gone_stamp,gone_origin,gone_epoch,digest,create_only,generation," \
    "gone_create_only,gone_generation,by,live,ended"

static int tag_now_read(sqlite3_stmt *st, struct tag_now *out)
{
    int rc = register_row(st, 0, &out->value);
    if (!rc)
        rc = register_row(st, 3, &out->gone);
    if (!rc)
        rc = digest_maybe(st, 6, &out->value.value.digest);
    if (!rc)
        rc = text_copy(st, 11, out->by, sizeof out->by);
    if (rc)
        return rc;
    out->value.value.create_only = sqlite3_column_int(st, 7);
    out->value.value.generation = (uint64_t)sqlite3_column_int64(st, 8);
    out->gone.value.create_only = sqlite3_column_int(st, 9);
    out->gone.value.generation = (uint64_t)sqlite3_column_int64(st, 10);
    out->gone.value.gone = true;
    out->live = sqlite3_column_int(st, 12);
    out->ended = (uint64_t)sqlite3_column_int64(st, 13);
    return 0;
}

static int sqlite_tag_look(struct tx *tx, int64_t repo, const char *tag, struct tag_now *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT " TAG_COLUMNS " FROM tags WHERE repo=?1 AND tag=?2", "is", repo, tag);
    if (rc)
        return rc;
    out->tag = tag;
    rc = tag_now_read(st, out);
    db_end(st);
    return rc;
}

static int sqlite_tag_save(struct tx *tx, int64_t repo, const struct tag_now *t)
{
    const struct register_value *v = &t->value.value, *g = &t->gone.value;
    return db_run(
        sqlite_write_db(tx),
        "INSERT INTO tags(repo,tag," TAG_COLUMNS
        ") VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16) ON CONFLICT(repo,tag) DO"
        " UPDATE SET stamp=?3,origin=?4,epoch=?5,gone_stamp=?6,gone_origin=?7,gone_epoch=?8,"
        "digest=?9,create_only=?10,generation=?11,gone_create_only=?12,gone_generation=?13,by=?14,"
        "live=?15,ended=?16",
        "isusuusudnunusnu", repo, t->tag, v->stamp, v->origin, v->epoch, g->stamp, g->origin,
        g->epoch, &v->digest, (int)v->create_only, v->generation, (int)g->create_only,
        g->generation, t->by, (int)t->live, t->ended);
}

static int sqlite_tag_remove(struct tx *tx, int64_t repo, const char *tag)
{
    return db_run(sqlite_write_db(tx), "DELETE FROM tags WHERE repo=?1 AND tag=?2", "is", repo,
                  tag);
}

static int sqlite_tag_history_add(struct tx *tx, int64_t repo, const char *tag,
                                  const struct register_value *v, const char *by)
{
    return db_run(
        sqlite_write_db(tx),
        "INSERT INTO tag_history(repo,tag,stamp,origin,digest,epoch,gone,create_only,generation,by)"
        " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10) ON CONFLICT(repo,tag,stamp,origin,digest) DO"
        " UPDATE SET epoch=excluded.epoch,gone=excluded.gone,create_only=excluded.create_only,"
        "generation=excluded.generation,by=excluded.by"
        " WHERE " REGISTER_VALUE("excluded.") ">" REGISTER_VALUE("tag_history."),
        "isusdunnus", repo, tag, v->stamp, v->origin, &v->digest, v->epoch, (int)v->gone,
        (int)v->create_only, v->generation, by);
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
                      "") "<=(SELECT " REGISTER_COLUMNS("") " FROM tag_history WHERE repo=?1 AND "
                                                            "tag=?2 ORDER "
                                                            "BY " REGISTER_HIGHEST_FIRST(
                                                                "") " LIMIT 1 OFFSET ?3)",
                  "isi", repo, tag, (int64_t)keep);
}

static int sqlite_tags_list(struct tx *tx, int64_t repo, const char *after, size_t max,
                            struct arena *a, const char ***out, size_t *out_n)
{
    struct db *d = sqlite_tx_db(tx);
    sqlite3_stmt *st;
    int rc = db_start(d, &st,
                      "SELECT tag FROM tags WHERE repo=?1 AND tag>?2 AND live=1 ORDER BY tag"
                      " LIMIT ?3",
                      "isi", repo, after, limit_of(max));
    if (rc)
        return rc;
    return db_names(d, st, a, out, out_n);
}

static int sqlite_tags_of(struct tx *tx, int64_t repo, const struct digest *digest,
                          const char *after, size_t max, struct arena *a, const char ***out,
                          size_t *out_n)
{
    struct db *d = sqlite_tx_db(tx);
    sqlite3_stmt *st;
    int rc = db_start(d, &st,
                      "SELECT tag FROM tags WHERE repo=?1 AND digest=?2 AND tag>?3 ORDER BY tag"
                      " LIMIT ?4",
                      "idsi", repo, digest, after, limit_of(max));
    if (rc)
        return rc;
    return db_names(d, st, a, out, out_n);
}

static int sqlite_live_tags_of(struct tx *tx, int64_t repo, const struct digest *digest, size_t max,
                               struct arena *a, const char ***out, size_t *out_n)
{
    struct db *d = sqlite_tx_db(tx);
    sqlite3_stmt *st;
    int rc = db_start(d, &st,
                      "SELECT tag FROM tags WHERE repo=?1 AND digest=?2 AND live=1 ORDER BY tag"
                      " LIMIT ?3",
                      "idi", repo, digest, limit_of(max));
    if (rc)
        return rc;
    return db_names(d, st, a, out, out_n);
}

#define DETAILS                                                                             \
    "SELECT t.tag,t.digest,m.media_type,m.size,t.stamp,t.origin,t.epoch,t.by,t.create_only" \
    " FROM tags t JOIN manifests m ON m.repo=t.repo AND m.digest=t.digest WHERE t.repo=?1"  \
    " AND t.live=1"

static int detail_read(sqlite3_stmt *st, struct arena *a, struct tag_detail *out)
{
    struct tag_detail d = {.size = (uint64_t)sqlite3_column_int64(st, 3),
                           .stamp = (uint64_t)sqlite3_column_int64(st, 4),
                           .epoch = (uint64_t)sqlite3_column_int64(st, 6),
                           .create_only = sqlite3_column_int(st, 8)};
    int rc = db_text(st, 0, a, &d.tag);
    if (!rc)
        rc = db_digest(st, 1, &d.digest);
    if (!rc)
        rc = db_text(st, 2, a, &d.media_type);
    if (!rc)
        rc = db_text(st, 5, a, &d.origin);
    if (!rc)
        rc = db_text(st, 7, a, &d.by);
    if (!rc)
        *out = d;
    return rc;
}

static int sqlite_tag_details(struct tx *tx, int64_t repo, const char *after, size_t max,
                              struct arena *a, struct tag_detail **out, size_t *out_n)
{
    sqlite3_stmt *st;
    size_t n = 0;
    struct tag_detail *list = arena_array(a, max ? max : 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    int rc = db_start(sqlite_tx_db(tx), &st, DETAILS " AND t.tag>?2 ORDER BY t.tag LIMIT ?3", "isi",
                      repo, after, limit_of(max));
    if (rc)
        return rc;
    while ((rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        rc = detail_read(st, a, &list[n]);
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

static int sqlite_tag_detail(struct tx *tx, int64_t repo, const char *tag, struct arena *a,
                             struct tag_detail *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st, DETAILS " AND t.tag=?2", "is", repo, tag);
    if (rc)
        return rc;
    rc = detail_read(st, a, out);
    db_end(st);
    return rc;
}

static int version_read(sqlite3_stmt *st, struct arena *a, struct tag_version *out)
{
    *out = (struct tag_version){.stamp = (uint64_t)sqlite3_column_int64(st, 1),
                                .epoch = (uint64_t)sqlite3_column_int64(st, 3),
                                .gone = sqlite3_column_int(st, 4),
                                .create_only = sqlite3_column_int(st, 5),
                                .generation = (uint64_t)sqlite3_column_int64(st, 6),
                                .here = sqlite3_column_int(st, 8)};
    int rc = digest_maybe(st, 0, &out->digest);
    if (!rc)
        rc = db_text(st, 2, a, &out->origin);
    if (!rc)
        rc = db_text(st, 7, a, &out->by);
    return rc;
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
        "SELECT h.digest,h.stamp,h.origin,h.epoch,h.gone,h.create_only,h.generation,h.by,m.live"
        " FROM repositories r JOIN tags t ON t.repo=r.id JOIN tag_history h ON h.repo=r.id AND"
        " h.tag=t.tag LEFT JOIN manifests m ON m.repo=r.id AND m.digest=h.digest"
        " WHERE r.registry=?1 AND r.name=?2 AND t.tag=?3"
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
    .look = sqlite_tag_look,
    .save = sqlite_tag_save,
    .remove = sqlite_tag_remove,
    .list = sqlite_tags_list,
    .of = sqlite_tags_of,
    .live_of = sqlite_live_tags_of,
    .detail = sqlite_tag_detail,
    .details = sqlite_tag_details,
    .history_add = sqlite_tag_history_add,
    .history_trim = sqlite_tag_history_trim,
    .history_clear = sqlite_tag_history_clear,
    .history_list = sqlite_tag_history_list,
};
