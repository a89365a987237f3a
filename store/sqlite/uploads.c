// SPDX-License-Identifier: Apache-2.0
// Uploads in SQLite: the tables `uploads` and `ended`, and the time that this region ran in
// `state`. See store/backend_uploads.h.
#include "store/sqlite/sqlite_priv.h"

#include "base/err.h"

#include <assert.h>

static const char run_key[] = "uploads.run_ms";

// --- uploads under way ---

static int uploads_add(struct tx *tx, const struct upload_row *r)
{
    return db_run(
        sqlite_tx_db(tx),
        "INSERT INTO uploads(id,registry,repository,principal,size,received,started_ms,touched_ms)"
        " VALUES(?1,?2,?3,?4,?5,?5,?6,?7)",
        "ssssuii", r->id, r->registry, r->repository, r->principal, r->size, r->started_ms,
        r->touched_ms);
}

static int texts_read(sqlite3_stmt *st, struct arena *a, struct upload_row *r)
{
    int rc = db_text(st, 4, a, &r->id);
    if (rc)
        return rc;
    rc = db_text(st, 5, a, &r->registry);
    if (rc)
        return rc;
    rc = db_text(st, 6, a, &r->repository);
    if (rc)
        return rc;
    return db_text(st, 7, a, &r->principal);
}

static int uploads_get(struct tx *tx, const char *id, struct arena *a, struct upload_row *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT size,started_ms,touched_ms,received,id,registry,repository,principal"
                     " FROM uploads WHERE id=?1",
                     "s", id);
    if (rc)
        return rc;
    struct upload_row r = {.size = (uint64_t)sqlite3_column_int64(st, 0),
                           .started_ms = sqlite3_column_int64(st, 1),
                           .touched_ms = sqlite3_column_int64(st, 2),
                           .received = (uint64_t)sqlite3_column_int64(st, 3)};
    if (a)
        rc = texts_read(st, a, &r);
    db_end(st);
    if (!rc)
        *out = r;
    return rc;
}

// Of a statement that names one row.
static int changed_one(struct db *d, int rc)
{
    if (!rc && sqlite3_changes(d->h) == 0)
        return ERR_NOTFOUND;
    return rc;
}

static int uploads_move(struct tx *tx, const char *id, uint64_t size, uint64_t received,
                        int64_t touched_ms)
{
    struct db *d = sqlite_tx_db(tx);
    int rc = db_run(d, "UPDATE uploads SET size=?2,received=?3,touched_ms=?4,idle_ms=0 WHERE id=?1",
                    "suui", id, size, received, touched_ms);
    return changed_one(d, rc);
}

static int uploads_tell(struct tx *tx, const char *id, uint64_t size)
{
    struct db *d = sqlite_tx_db(tx);
    int rc = db_run(d, "UPDATE uploads SET size=?2 WHERE id=?1", "su", id, size);
    return changed_one(d, rc);
}

static int uploads_remove(struct tx *tx, const char *id)
{
    struct db *d = sqlite_tx_db(tx);
    int rc = db_run(d, "DELETE FROM uploads WHERE id=?1", "s", id);
    return changed_one(d, rc);
}

static int uploads_amount(struct tx *tx, const char *registry, const char *principal,
                          struct upload_amount *out)
{
    struct db *d = sqlite_tx_db(tx);
    sqlite3_stmt *st;
    int rc;
    if (principal)
        rc = db_find(d, &st,
                     "SELECT count(*),ifnull(sum(received),0) FROM uploads WHERE registry=?1 AND "
                     "principal=?2",
                     "ss", registry, principal);
    else
        rc = db_find(d, &st,
                     "SELECT count(*),ifnull(sum(received),0) FROM uploads WHERE registry=?1", "s",
                     registry);
    if (rc)
        return rc;
    *out = (struct upload_amount){(uint64_t)sqlite3_column_int64(st, 0),
                                  (uint64_t)sqlite3_column_int64(st, 1)};
    db_end(st);
    return 0;
}

static int uploads_oldest(struct tx *tx, const struct upload_owner *o, int64_t since_ms,
                          size_t skip, size_t max, struct arena *a, struct upload_rest *out,
                          size_t *out_n)
{
    struct db *d = sqlite_tx_db(tx);
    sqlite3_stmt *st;
    size_t n = 0;
    int rc = db_start(d, &st,
                      "SELECT id,received FROM uploads WHERE registry=?1 AND principal=?2 AND "
                      "touched_ms-idle_ms<=?3"
                      " ORDER BY touched_ms-idle_ms LIMIT ?4 OFFSET ?5",
                      "ssiii", o->registry, o->principal, since_ms, (int64_t)max, (int64_t)skip);
    if (rc)
        return rc;
    while ((rc = db_step(d, st)) == 1) {
        assert(n < max); // the statement has a LIMIT
        out[n].received = (uint64_t)sqlite3_column_int64(st, 1);
        rc = db_text(st, 0, a, &out[n].id);
        if (rc) {
            db_end(st);
            return rc;
        }
        n++;
    }
    if (!rc)
        *out_n = n;
    return rc;
}

static int uploads_newest(struct tx *tx, const struct upload_owner *o, int64_t *out_since_ms)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT touched_ms-idle_ms FROM uploads WHERE registry=?1 AND principal=?2"
                     " ORDER BY touched_ms-idle_ms DESC LIMIT 1",
                     "ss", o->registry, o->principal);
    if (rc)
        return rc;
    *out_since_ms = sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

static int owner_read(sqlite3_stmt *st, struct arena *a, struct upload_owner *out)
{
    int rc = db_text(st, 0, a, &out->registry);
    if (rc)
        return rc;
    return db_text(st, 1, a, &out->principal);
}

// Walks the uploads, which are bounded: not among the statements that are kept.
static int uploads_owners_over(struct tx *tx, uint64_t bytes, size_t max, struct arena *a,
                               struct upload_owner *out, size_t *out_n)
{
    struct db *d = sqlite_tx_db(tx);
    sqlite3_stmt *st = NULL;
    size_t n = 0;
    int rc = db_error(
        d, sqlite3_prepare_v2(d->h,
                              "SELECT registry,principal FROM uploads GROUP BY registry,principal"
                              " HAVING sum(received)>?1 LIMIT ?2",
                              -1, &st, NULL));
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, (int64_t)bytes);
    sqlite3_bind_int64(st, 2, (int64_t)max);
    int step;
    while (!rc && (step = sqlite3_step(st)) == SQLITE_ROW) {
        rc = owner_read(st, a, &out[n]);
        n += !rc;
    }
    if (!rc)
        rc = db_error(d, step);
    sqlite3_finalize(st);
    if (!rc)
        *out_n = n;
    return rc;
}

static int uploads_age(struct tx *tx, int64_t now_ms)
{
    return db_run(
        sqlite_tx_db(tx),
        "UPDATE uploads SET idle_ms=idle_ms+(?1-touched_ms),touched_ms=?1 WHERE touched_ms<?1", "i",
        now_ms);
}

static int uploads_idle(struct tx *tx, const char *id, int64_t *out_idle_ms)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st, "SELECT idle_ms FROM uploads WHERE id=?1", "s", id);
    if (rc)
        return rc;
    *out_idle_ms = sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

static int uploads_count(struct tx *tx, uint64_t *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st, "SELECT count(*) FROM uploads", "");
    if (rc)
        return rc;
    *out = (uint64_t)sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

static int uploads_idle_list(struct tx *tx, int64_t idle_ms, size_t skip, size_t max,
                             struct arena *a, const char **out, size_t *out_n)
{
    struct db *d = sqlite_tx_db(tx);
    sqlite3_stmt *st;
    size_t n = 0;
    int rc = db_start(
        d, &st, "SELECT id FROM uploads WHERE idle_ms>?1 ORDER BY idle_ms DESC LIMIT ?2 OFFSET ?3",
        "iii", idle_ms, (int64_t)max, (int64_t)skip);
    if (rc)
        return rc;
    while ((rc = db_step(d, st)) == 1) {
        assert(n < max); // the statement has a LIMIT
        rc = db_text(st, 0, a, &out[n]);
        if (rc) {
            db_end(st);
            return rc;
        }
        n++;
    }
    if (!rc)
        *out_n = n;
    return rc;
}

// --- uploads that ended ---

static int uploads_ended_add(struct tx *tx, const struct ended_row *r, uint64_t *out_n)
{
    struct db *d = sqlite_tx_db(tx);
    int rc =
        db_run(d,
               "INSERT OR REPLACE INTO ended(id,registry,repository,principal,digest,run_ms)"
               " VALUES(?1,?2,?3,?4,?5,?6)",
               "ssssdi", r->id, r->registry, r->repository, r->principal, &r->digest, r->run_ms);
    if (rc)
        return rc;
    *out_n = (uint64_t)sqlite3_last_insert_rowid(d->h);
    return 0;
}

static int uploads_ended_trim(struct tx *tx, const struct upload_owner *o, size_t keep)
{
    return db_run(sqlite_tx_db(tx),
                  "DELETE FROM ended WHERE registry=?1 AND principal=?2 AND n<=(SELECT n FROM "
                  "ended WHERE registry=?1"
                  " AND principal=?2 ORDER BY n DESC LIMIT 1 OFFSET ?3)",
                  "ssi", o->registry, o->principal, (int64_t)keep);
}

static int uploads_ended_find(struct tx *tx, const struct ended_row *r)
{
    return db_exists(sqlite_tx_db(tx),
                     "SELECT 1 FROM ended WHERE id=?1 AND registry=?2 AND repository=?3 AND "
                     "principal=?4 AND digest=?5",
                     "ssssd", r->id, r->registry, r->repository, r->principal, &r->digest);
}

static int uploads_ended_forget(struct tx *tx, int64_t before_run_ms, size_t max, size_t *out_n)
{
    struct db *d = sqlite_tx_db(tx);
    int rc = db_run(d,
                    "DELETE FROM ended WHERE n IN (SELECT n FROM ended WHERE run_ms<?1 ORDER BY "
                    "run_ms LIMIT ?2)",
                    "ii", before_run_ms, (int64_t)max);
    if (rc)
        return rc;
    *out_n = (size_t)sqlite3_changes(d->h);
    return 0;
}

static int uploads_run_get(struct tx *tx, int64_t *out_run_ms)
{
    uint64_t v = 0;
    int rc = state_get(sqlite_tx_db(tx), run_key, &v);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    *out_run_ms = (int64_t)v;
    return 0;
}

static int uploads_run_set(struct tx *tx, int64_t run_ms)
{
    return state_set(sqlite_tx_db(tx), run_key, (uint64_t)run_ms);
}

const struct upload_ops sqlite_upload_ops = {
    .add = uploads_add,
    .get = uploads_get,
    .move = uploads_move,
    .tell = uploads_tell,
    .remove = uploads_remove,
    .amount = uploads_amount,
    .oldest = uploads_oldest,
    .newest = uploads_newest,
    .owners_over = uploads_owners_over,
    .age = uploads_age,
    .idle = uploads_idle,
    .count = uploads_count,
    .idle_list = uploads_idle_list,
    .ended_add = uploads_ended_add,
    .ended_trim = uploads_ended_trim,
    .ended_find = uploads_ended_find,
    .ended_forget = uploads_ended_forget,
    .run_get = uploads_run_get,
    .run_set = uploads_run_set,
};
