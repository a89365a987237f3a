// SPDX-License-Identifier: Apache-2.0
// The queue in SQLite: the table `tasks`. See store/backend_tasks.h, and jobs.c for the rows of the
// kind TASK_APPLY. The ids of those are above 0, because they are their entries' ids; the n-th task
// of all other kinds has the id -n.
#include "store/sqlite/sqlite_priv.h"

#include "base/err.h"

#include <assert.h>

#define COLUMNS "id,revision,kind,key,registry,payload,due_ms,attempts,reason"

static int number_take(struct db *d, uint64_t *out)
{
    uint64_t n = 0;
    int rc = state_get(d, "tasks", &n);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    rc = state_set(d, "tasks", n + 1);
    if (!rc)
        *out = n + 1;
    return rc;
}

static int sqlite_task_put(struct tx *tx, const struct task_new *t, bool only_earlier)
{
    struct db *d = sqlite_write_db(tx);
    uint64_t number;
    assert(t->kind != TASK_APPLY); // its rows are jobs
    int rc = number_take(d, &number);
    if (rc)
        return rc;
    return db_run(d,
                  "INSERT INTO tasks(id,revision,kind,key,registry,payload,due_ms)"
                  " VALUES(?1,?2,?3,?4,?5,coalesce(?6,''),?7)"
                  " ON CONFLICT(kind,key) WHERE id<0 DO UPDATE SET revision=excluded.revision,"
                  "payload=coalesce(?6,payload),"
                  "due_ms=CASE ?8 WHEN 1 THEN min(due_ms,excluded.due_ms) ELSE excluded.due_ms END",
                  "iunsssin", -(int64_t)number, number, (int)t->kind, t->key, t->registry,
                  t->payload, t->due_ms, (int)only_earlier);
}

static int task_row(sqlite3_stmt *st, struct arena *a, struct task *out)
{
    struct task t = {.id = sqlite3_column_int64(st, 0),
                     .revision = (uint64_t)sqlite3_column_int64(st, 1),
                     .kind = (enum task_kind)sqlite3_column_int(st, 2),
                     .due_ms = sqlite3_column_int64(st, 6),
                     .attempts = (uint32_t)sqlite3_column_int64(st, 7)};
    int rc = db_text(st, 3, a, &t.key);
    if (!rc)
        rc = db_text(st, 4, a, &t.registry);
    if (!rc)
        rc = db_text(st, 5, a, &t.payload);
    if (!rc)
        rc = db_text(st, 8, a, &t.reason);
    if (!rc)
        *out = t;
    return rc;
}

static int sqlite_task_get(struct tx *tx, int64_t id, struct arena *a, struct task *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st, "SELECT " COLUMNS " FROM tasks WHERE id=?1 AND id<0",
                     "i", id);
    if (rc)
        return rc;
    rc = task_row(st, a, out);
    db_end(st);
    return rc;
}

static int sqlite_task_find(struct tx *tx, enum task_kind kind, const char *key, struct arena *a,
                            struct task *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT " COLUMNS " FROM tasks WHERE kind=?1 AND key=?2 AND id<0", "ns",
                     (int)kind, key);
    if (rc)
        return rc;
    rc = task_row(st, a, out);
    db_end(st);
    return rc;
}

static int sqlite_task_set(struct tx *tx, int64_t id, const struct task_state *s)
{
    struct db *d = sqlite_write_db(tx);
    int rc = db_run(d,
                    "UPDATE tasks SET due_ms=?2,attempts=?3,reason=?4,payload=coalesce(?5,payload)"
                    " WHERE id=?1 AND id<0",
                    "iinss", id, s->due_ms, (int)s->attempts, s->reason, s->payload);
    if (!rc && sqlite3_changes(d->h) == 0)
        return ERR_NOTFOUND;
    return rc;
}

static int sqlite_task_remove(struct tx *tx, int64_t id)
{
    return db_run(sqlite_write_db(tx), "DELETE FROM tasks WHERE id=?1 AND id<0", "i", id);
}

static int sqlite_task_remove_key(struct tx *tx, enum task_kind kind, const char *key)
{
    return db_run(sqlite_write_db(tx), "DELETE FROM tasks WHERE kind=?1 AND key=?2 AND id<0", "ns",
                  (int)kind, key);
}

// --- which are due ---

// The statement hops from registry to registry in the index; a plain DISTINCT would walk all tasks.
static int sqlite_tasks_registries_due(struct tx *tx, enum task_kind kind, int64_t now_ms,
                                       size_t max, struct arena *a, const char ***out,
                                       size_t *out_n)
{
    sqlite3_stmt *st;
    int rc = db_start(
        sqlite_tx_db(tx), &st,
        "WITH RECURSIVE r(x) AS (SELECT min(registry) FROM tasks WHERE kind=?1 UNION ALL"
        " SELECT (SELECT min(registry) FROM tasks WHERE kind=?1 AND registry>x) FROM r"
        " WHERE x IS NOT NULL)"
        " SELECT x FROM r WHERE x IS NOT NULL AND EXISTS(SELECT 1 FROM tasks WHERE kind=?1 AND"
        " registry=x AND due_ms<=?2) LIMIT ?3",
        "nii", (int)kind, now_ms, (int64_t)max);
    if (rc)
        return rc;
    return db_names(sqlite_tx_db(tx), st, a, out, out_n);
}

// Jobs by their age, so that a manifest comes before its tag; other tasks by how long they are due.
#define JOBS_DUE \
    "SELECT id FROM tasks WHERE kind=0 AND registry=?2 AND due_ms<=?3 ORDER BY id LIMIT ?4"
#define TASKS_DUE                                                        \
    "SELECT id FROM tasks WHERE kind=?1 AND registry=?2 AND due_ms<=?3 " \
    "ORDER BY due_ms,id DESC LIMIT ?4"

static int sqlite_tasks_due(struct tx *tx, enum task_kind kind, const char *registry,
                            int64_t now_ms, size_t max, int64_t *out_ids, size_t *out_n)
{
    sqlite3_stmt *st;
    int rc = db_start(sqlite_tx_db(tx), &st, kind == TASK_APPLY ? JOBS_DUE : TASKS_DUE, "nsii",
                      (int)kind, registry, now_ms, (int64_t)max);
    if (rc)
        return rc;
    return ids_read(sqlite_tx_db(tx), st, max, out_ids, out_n);
}

static int sqlite_tasks_next_due(struct tx *tx, enum task_kind kind, int64_t now_ms,
                                 int64_t *out_due_ms)
{
    sqlite3_stmt *st;
    int rc =
        db_find(sqlite_tx_db(tx), &st, "SELECT min(due_ms) FROM tasks WHERE kind=?1 AND due_ms>?2",
                "ni", (int)kind, now_ms);
    if (rc)
        return rc;
    bool none = sqlite3_column_type(st, 0) == SQLITE_NULL;
    *out_due_ms = none ? INT64_MAX : sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

// --- status ---

static int sqlite_tasks_count(struct tx *tx, enum task_kind kind, int64_t now_ms, size_t max,
                              struct arena *a, struct task_count **out, size_t *out_n)
{
    sqlite3_stmt *st;
    size_t n = 0;
    struct task_count *list = arena_array(a, max, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT registry,count(*),total(due_ms<=?2),total(attempts>0) FROM tasks"
                      " WHERE kind=?1 GROUP BY registry ORDER BY registry LIMIT ?3",
                      "nii", (int)kind, now_ms, (int64_t)max);
    if (rc)
        return rc;
    while ((rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        list[n].n_all = (uint64_t)sqlite3_column_int64(st, 1);
        list[n].n_due = (uint64_t)sqlite3_column_double(st, 2);
        list[n].n_failing = (uint64_t)sqlite3_column_double(st, 3);
        rc = db_text(st, 0, a, &list[n].registry);
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

static int sqlite_tasks_list(struct tx *tx, enum task_kind kind, const char *after, size_t max,
                             struct arena *a, struct task **out, size_t *out_n)
{
    sqlite3_stmt *st;
    size_t n = 0;
    struct task *list = arena_array(a, max, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT " COLUMNS " FROM tasks WHERE kind=?1 AND key>coalesce(?2,'') AND id<0"
                      " ORDER BY key LIMIT ?3",
                      "nsi", (int)kind, after, (int64_t)max);
    if (rc)
        return rc;
    while ((rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        rc = task_row(st, a, &list[n]);
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

const struct task_ops sqlite_task_ops = {
    .put = sqlite_task_put,
    .get = sqlite_task_get,
    .find = sqlite_task_find,
    .set = sqlite_task_set,
    .remove = sqlite_task_remove,
    .remove_key = sqlite_task_remove_key,
    .registries_due = sqlite_tasks_registries_due,
    .due = sqlite_tasks_due,
    .next_due = sqlite_tasks_next_due,
    .counts = sqlite_tasks_count,
    .list = sqlite_tasks_list,
};
