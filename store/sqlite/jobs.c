// SPDX-License-Identifier: Apache-2.0
// Jobs in SQLite: rows of the table `tasks` with kind 0 (TASK_APPLY), of which the id is that of the
// entry in `feed`. Other rows have NULL or 0 in the columns that are used here alone, and an id that
// no entry has. See store/backend_jobs.h.
#include "store/sqlite/sqlite_priv.h"

#include "base/err.h"

#include <assert.h>

#define NEVER INT64_MAX // due_ms of a parked job

// Runs a statement that changes one row. ERR_NOTFOUND: there is no such row.
#define db_change(d, ...)                               \
    ({                                                  \
        int change_rc = db_run(d, __VA_ARGS__);         \
        if (!change_rc && sqlite3_changes((d)->h) == 0) \
            change_rc = ERR_NOTFOUND;                   \
        change_rc;                                      \
    })

// --- one job ---

static int sqlite_job_add(struct tx *tx, int64_t id, const struct feed_entry *e)
{
    return db_run(
        sqlite_tx_db(tx),
        "INSERT INTO tasks(id,kind,origin,epoch,part,seq,stamp,registry,repository,due_ms)"
        " VALUES(?1,0,?2,?3,?4,?5,?6,?7,?8,0)",
        "isuiuuss", id, e->origin, e->epoch, (int64_t)e->partition, e->seq, e->stamp, e->registry,
        e->repository);
}

static int sqlite_job_remove(struct tx *tx, int64_t id)
{
    return db_run(sqlite_tx_db(tx), "DELETE FROM tasks WHERE id=?1", "i", id);
}

static int sqlite_job_exists(struct tx *tx, int64_t id)
{
    return db_exists(sqlite_tx_db(tx), "SELECT 1 FROM tasks WHERE id=?1", "i", id);
}

static int sqlite_job_get(struct tx *tx, int64_t id, struct arena *a, struct job *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT " FEED_COLUMNS
                     ",j.attempts,j.due_ms,j.reason,j.room FROM tasks j JOIN feed f ON f.id=j.id"
                     " WHERE j.id=?1",
                     "i", id);
    if (rc == ERR_NOTFOUND && sqlite_job_exists(tx, id) == 0)
        return ERR_CORRUPT;
    if (rc)
        return rc;
    struct job j = {.id = id,
                    .attempts = (uint32_t)sqlite3_column_int64(st, FEED_N_COLUMNS),
                    .due_ms = sqlite3_column_int64(st, FEED_N_COLUMNS + 1),
                    .room = (uint64_t)sqlite3_column_int64(st, FEED_N_COLUMNS + 3)};
    rc = feed_row(st, a, &j.entry);
    if (!rc)
        rc = db_text(st, FEED_N_COLUMNS + 2, a, &j.last_error);
    db_end(st);
    if (rc)
        return rc;
    *out = j;
    return 0;
}

// Column 0 of all rows.
int ids_read(struct db *d, sqlite3_stmt *st, size_t max, int64_t *out_ids, size_t *out_n)
{
    size_t n = 0;
    int rc;
    while ((rc = db_step(d, st)) == 1) {
        assert(n < max); // the statement has a LIMIT
        out_ids[n++] = sqlite3_column_int64(st, 0);
    }
    if (rc)
        return rc;
    *out_n = n;
    return 0;
}

// --- moving one ---

static int sqlite_job_postpone(struct tx *tx, int64_t id, int64_t due_ms)
{
    return db_run(sqlite_tx_db(tx), "UPDATE tasks SET due_ms=?2,room=0 WHERE id=?1", "ii", id,
                  due_ms);
}

static int sqlite_job_fail(struct tx *tx, int64_t id, const struct job_failure *f)
{
    return db_change(
        sqlite_tx_db(tx),
        "UPDATE tasks SET due_ms=?2,attempts=attempts+1,waiting=0,room=0,reason=?3,failed_ms=?4,"
        "grade=?5 WHERE id=?1",
        "iisin", id, f->due_ms, f->error, f->failed_ms, f->grade);
}

static int sqlite_job_wait(struct tx *tx, int64_t id, int64_t due_ms, bool waits)
{
    return db_change(sqlite_tx_db(tx), "UPDATE tasks SET due_ms=?2,waiting=?3,room=0 WHERE id=?1",
                     "iin", id, due_ms, (int)waits);
}

static int sqlite_job_park(struct tx *tx, int64_t id, uint64_t needed_bytes,
                           const struct job_failure *f)
{
    return db_change(
        sqlite_tx_db(tx),
        "UPDATE tasks SET due_ms=?2,waiting=0,room=?3,reason=?4,grade=?5,failed_ms=?6 WHERE id=?1",
        "iiusni", id, NEVER, needed_bytes, f->error, f->grade, f->failed_ms);
}

static int sqlite_job_unpark(struct tx *tx, int64_t id)
{
    return db_run(sqlite_tx_db(tx), "UPDATE tasks SET room=0,reason=NULL,grade=0 WHERE id=?1", "i",
                  id);
}

static int sqlite_job_try_parked(struct tx *tx, int64_t id)
{
    return db_run(sqlite_tx_db(tx), "UPDATE tasks SET due_ms=0 WHERE id=?1 AND room>0", "i", id);
}

// --- making several due ---

static int sqlite_jobs_wake_all(struct tx *tx)
{
    return db_run(sqlite_tx_db(tx), "UPDATE tasks SET due_ms=0,waiting=0 WHERE waiting=1", "");
}

static int sqlite_jobs_wake_registry(struct tx *tx, const char *registry, int64_t after_ms)
{
    return db_run(sqlite_tx_db(tx),
                  "UPDATE tasks SET due_ms=0 WHERE kind=0 AND registry=?1 AND due_ms>?2 AND "
                  "waiting=0 AND room=0",
                  "si", registry, after_ms);
}

static int sqlite_jobs_wake_for(struct tx *tx, const char *registry, const char *repository,
                                const struct digest *manifest, int64_t digest_kinds)
{
    return db_run(
        sqlite_tx_db(tx),
        "UPDATE tasks SET due_ms=0,waiting=0 WHERE registry=?1 AND repository=?2 AND waiting=1"
        " AND EXISTS(SELECT 1 FROM feed f WHERE f.id=tasks.id AND"
        " (((?3>>f.kind)&1)=0 OR f.digest=?4))",
        "ssid", registry, repository, digest_kinds, manifest);
}

static int sqlite_jobs_wake_parked(struct tx *tx, const char *registry, const char *repository,
                                   size_t max)
{
    return db_run(
        sqlite_tx_db(tx),
        "UPDATE tasks SET due_ms=0 WHERE id IN (SELECT id FROM tasks WHERE registry=?1 AND"
        " repository=?2 AND room>0 AND due_ms=?3 ORDER BY failed_ms LIMIT ?4)",
        "ssii", registry, repository, NEVER, (int64_t)max);
}

static int sqlite_jobs_try_manifest(struct tx *tx, const char *registry, const char *repository,
                                    const struct digest *manifest)
{
    return db_run(sqlite_tx_db(tx),
                  "UPDATE tasks SET due_ms=0 WHERE room>0 AND id IN (SELECT id FROM feed WHERE"
                  " registry=?1 AND repository=?2 AND kind=?3 AND tag='' AND digest=?4)",
                  "ssnd", registry, repository, (int)ENTRY_MANIFEST, manifest);
}

static int sqlite_jobs_wake_tag(struct tx *tx, const char *registry, const char *repository,
                                const char *tag)
{
    return db_run(
        sqlite_tx_db(tx),
        "UPDATE tasks SET due_ms=0,waiting=0 WHERE registry=?1 AND repository=?2 AND waiting=1 AND"
        " EXISTS(SELECT 1 FROM tasks p WHERE p.registry=?1 AND p.repository=?2 AND p.room>0) AND"
        " EXISTS(SELECT 1 FROM feed f WHERE f.id=tasks.id AND f.kind=?3 AND f.tag=?4)",
        "ssns", registry, repository, (int)ENTRY_TAG, tag);
}

// --- parked jobs ---

static int sqlite_jobs_parked_fitting(struct tx *tx, uint64_t needed_bytes, size_t max,
                                      struct arena *a, struct parked_job **out, size_t *out_n)
{
    sqlite3_stmt *st;
    size_t n = 0;
    struct parked_job *list = arena_array(a, max, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT id,room FROM tasks WHERE kind=0 AND due_ms=?2 AND room BETWEEN 1 AND "
                      "?1 ORDER BY id LIMIT ?3",
                      "uii", needed_bytes, NEVER, (int64_t)max);
    if (rc)
        return rc;
    while ((rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        list[n].id = sqlite3_column_int64(st, 0);
        list[n++].needed_bytes = (uint64_t)sqlite3_column_int64(st, 1);
    }
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}

static int sqlite_jobs_parked_stale(struct tx *tx, int64_t failed_ms, size_t max, int64_t *out_ids,
                                    size_t *out_n)
{
    sqlite3_stmt *st;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT id FROM tasks WHERE kind=0 AND room>0 AND due_ms=?1 AND failed_ms<=?2"
                      " ORDER BY failed_ms LIMIT ?3",
                      "iii", NEVER, failed_ms, (int64_t)max);
    if (rc)
        return rc;
    return ids_read(sqlite_tx_db(tx), st, max, out_ids, out_n);
}

static int sqlite_jobs_parked_by_origin(struct tx *tx, size_t max, struct arena *a,
                                        struct parked **out, size_t *out_n)
{
    sqlite3_stmt *st;
    size_t n = 0;
    struct parked *list = arena_array(a, max, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT origin,count(*),total(room),min(room) FROM tasks INDEXED BY"
                      " tasks_parked_of WHERE room>0 GROUP BY origin LIMIT ?1",
                      "i", (int64_t)max);
    if (rc)
        return rc;
    while ((rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        list[n].n = (uint64_t)sqlite3_column_int64(st, 1);
        list[n].bytes = (uint64_t)sqlite3_column_double(st, 2);
        list[n].least = (uint64_t)sqlite3_column_int64(st, 3);
        rc = db_text(st, 0, a, &list[n].origin);
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

static int sqlite_jobs_parked_for(struct tx *tx, const char *registry, const char *repository,
                                  const struct digest *d, uint64_t *out_bytes)
{
    sqlite3_stmt *st;
    int rc =
        db_find(sqlite_tx_db(tx), &st,
                "SELECT max(room) FROM tasks WHERE registry=?1 AND repository=?2 AND room>0 AND"
                " EXISTS(SELECT 1 FROM feed f JOIN tasks j ON j.id=f.id WHERE f.registry=?1 AND"
                " f.repository=?2 AND f.digest=?3)",
                "ssd", registry, repository, d);
    if (rc)
        return rc;
    bool none = sqlite3_column_type(st, 0) == SQLITE_NULL;
    if (!none)
        *out_bytes = (uint64_t)sqlite3_column_int64(st, 0);
    db_end(st);
    return none ? ERR_NOTFOUND : 0;
}

// --- of one origin ---

static int sqlite_jobs_any_of(struct tx *tx, const char *origin)
{
    return db_exists(sqlite_tx_db(tx), "SELECT 1 FROM tasks WHERE origin=?1 LIMIT 1", "s", origin);
}

static int sqlite_jobs_first_holding(struct tx *tx, const char *origin, uint32_t partition,
                                     struct feed_mark *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT epoch,seq FROM tasks j WHERE origin=?1 AND part=?2 AND room=0 AND NOT "
                     "(waiting=1 AND"
                     " EXISTS(SELECT 1 FROM tasks p WHERE p.registry=j.registry AND "
                     "p.repository=j.repository AND"
                     " p.room>0)) ORDER BY epoch,seq LIMIT 1",
                     "si", origin, (int64_t)partition);
    if (rc)
        return rc;
    *out = (struct feed_mark){.epoch = (uint64_t)sqlite3_column_int64(st, 0),
                              .partition = partition,
                              .seq = (uint64_t)sqlite3_column_int64(st, 1)};
    db_end(st);
    return 0;
}

static int held_rows(struct db *d, sqlite3_stmt *st, struct held_row *list, size_t max,
                     struct arena *a, size_t *out_n)
{
    size_t n = 0;
    int rc;
    while ((rc = db_step(d, st)) == 1) {
        int bad = ERR_TOOBIG;
        if (n < max)
            bad = db_text(st, 0, a, &list[n].registry);
        if (bad) {
            db_end(st);
            return bad;
        }
        list[n++].stamp = (uint64_t)sqlite3_column_int64(st, 1);
    }
    if (!rc)
        *out_n = n;
    return rc;
}

static int sqlite_jobs_held(struct tx *tx, const char *origin, size_t max, struct arena *a,
                            struct held_row **out, size_t *out_n)
{
    sqlite3_stmt *st;
    struct held_row *list = arena_array(a, max + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT registry,min(stamp) FROM tasks j WHERE origin=?1 AND room=0 AND NOT "
                      "(waiting=1 AND"
                      " EXISTS(SELECT 1 FROM tasks p WHERE p.registry=j.registry AND "
                      "p.repository=j.repository AND"
                      " p.room>0)) GROUP BY registry",
                      "s", origin);
    if (!rc)
        rc = held_rows(sqlite_tx_db(tx), st, list, max, a, out_n);
    if (!rc)
        *out = list;
    return rc;
}

static int sqlite_jobs_count(struct tx *tx, const char *origin, const char *registry,
                             struct job_counts *out)
{
    sqlite3_stmt *st;
    int rc =
        db_find(sqlite_tx_db(tx), &st,
                "SELECT count(*),total(attempts>0 AND room=0),coalesce(min(stamp),0),total(room>0),"
                "total(waiting=1 AND attempts=0),total(room) FROM tasks WHERE origin=?1 AND"
                " (?2 IS NULL OR registry=?2)",
                "ss", origin, registry);
    if (rc)
        return rc;
    *out = (struct job_counts){.n_all = (uint64_t)sqlite3_column_int64(st, 0),
                               .n_retrying = (uint64_t)sqlite3_column_int64(st, 1),
                               .lowest_stamp = (uint64_t)sqlite3_column_int64(st, 2),
                               .n_parked = (uint64_t)sqlite3_column_int64(st, 3),
                               .n_waiting = (uint64_t)sqlite3_column_int64(st, 4),
                               .parked_bytes = (uint64_t)sqlite3_column_double(st, 5)};
    db_end(st);
    return 0;
}

static int sqlite_jobs_worst_error(struct tx *tx, const char *origin, const char *registry,
                                   struct arena *a, const char **out_error, int *out_grade)
{
    sqlite3_stmt *st;
    int rc =
        db_find(sqlite_tx_db(tx), &st,
                "SELECT reason,grade FROM tasks WHERE origin=?1 AND (?2 IS NULL OR registry=?2)"
                " AND reason IS NOT NULL ORDER BY grade DESC,failed_ms DESC,id DESC LIMIT 1",
                "ss", origin, registry);
    if (rc)
        return rc;
    int grade = sqlite3_column_int(st, 1);
    rc = db_text(st, 0, a, out_error);
    db_end(st);
    if (!rc)
        *out_grade = grade;
    return rc;
}

const struct job_ops sqlite_job_ops = {
    .add = sqlite_job_add,
    .remove = sqlite_job_remove,
    .exists = sqlite_job_exists,
    .get = sqlite_job_get,
    .postpone = sqlite_job_postpone,
    .fail = sqlite_job_fail,
    .wait = sqlite_job_wait,
    .park = sqlite_job_park,
    .unpark = sqlite_job_unpark,
    .try_parked = sqlite_job_try_parked,
    .wake_all = sqlite_jobs_wake_all,
    .wake_registry = sqlite_jobs_wake_registry,
    .wake_for = sqlite_jobs_wake_for,
    .wake_tag = sqlite_jobs_wake_tag,
    .wake_parked = sqlite_jobs_wake_parked,
    .try_manifest = sqlite_jobs_try_manifest,
    .parked_fitting = sqlite_jobs_parked_fitting,
    .parked_stale = sqlite_jobs_parked_stale,
    .parked_by_origin = sqlite_jobs_parked_by_origin,
    .parked_for = sqlite_jobs_parked_for,
    .any_of = sqlite_jobs_any_of,
    .first_holding = sqlite_jobs_first_holding,
    .held = sqlite_jobs_held,
    .counts = sqlite_jobs_count,
    .worst_error = sqlite_jobs_worst_error,
};
