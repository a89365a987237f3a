// SPDX-License-Identifier: Apache-2.0
// Jobs: entries that were read and are not applied yet. A job has the id of its entry's row. See
// meta.h.
//
// Invariants (design section 9)
//   5. A job ends only in the transaction that applies its entry (job_end); a failed try only moves
//      its time. Deadlines are of the monotonic clock and hold in this process only: what a wall
//      clock says wrongly for a moment delays nothing, and at the start all is due.
//   6. Fair by registry: registries take turns, and where there are more of them than places, the
//      first one changes from call to call.
#include "store/kind_rules.h"
#include "store/meta_priv.h"

#include "base/err.h"

#include <string.h>

#define REGISTRIES_MAX 4096 // that have due jobs, looked at in one call

int job_add(struct tx *tx, int64_t id, const struct feed_entry *e)
{
    return db_run(sqlite_tx_db(tx),
                  "INSERT INTO jobs(id,origin,epoch,part,seq,stamp,registry,repository,due_ms)"
                  " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,0)",
                  "isuiuuss", id, e->origin, e->epoch, (int64_t)e->partition, e->seq, e->stamp,
                  e->registry, e->repository);
}

int job_end(struct tx *tx, int64_t id)
{
    int rc = db_run(sqlite_tx_db(tx), "DELETE FROM jobs WHERE id=?1", "i", id);
    if (rc)
        return rc;
    return db_run(sqlite_tx_db(tx),
                  "UPDATE feed SET content=NULL WHERE id=?1 AND content IS NOT NULL", "i", id);
}

// Those that wait for one manifest are woken by that one alone (KIND_WAITS_FOR_DIGEST).
int jobs_wake_repository(struct tx *tx, const char *registry, const char *repository,
                         const struct digest *manifest)
{
    return db_run(
        sqlite_tx_db(tx),
        "UPDATE jobs SET due_ms=0,waiting=0 WHERE registry=?1 AND repository=?2 AND waiting=1"
        " AND EXISTS(SELECT 1 FROM feed f WHERE f.id=jobs.id AND"
        " (((?3>>f.kind)&1)=0 OR f.digest=?4))",
        "ssid", registry, repository, kinds_that_wait(KIND_WAITS_FOR_DIGEST), manifest);
}

static int wake_run(struct tx *tx, void *arg)
{
    (void)arg;
    return db_run(sqlite_tx_db(tx), "UPDATE jobs SET due_ms=0,waiting=0 WHERE waiting=1", "");
}

void meta_jobs_wake(struct meta *m)
{
    (void)meta_write(m, wake_run, NULL, false); // if it fails they come up at their own time
}

struct later {
    const int64_t *ids;
    const char *const *registries;
    size_t n;
    int64_t due_ms;
};

static int later_run(struct tx *tx, void *arg)
{
    const struct later *l = arg;
    int rc = 0;
    for (size_t i = 0; !rc && i < l->n; i++)
        rc = db_run(sqlite_tx_db(tx), "UPDATE jobs SET due_ms=?2,room=0 WHERE id=?1", "ii",
                    l->ids[i], l->due_ms);
    return rc;
}

int meta_jobs_later(struct meta *m, const int64_t *ids, size_t n, int64_t due_ms)
{
    struct later l = {.ids = ids, .n = n, .due_ms = due_ms};
    return meta_write(m, later_run, &l, false);
}

static int retry_now_run(struct tx *tx, void *arg)
{
    const struct later *l = arg;
    int rc = 0;
    for (size_t i = 0; !rc && i < l->n; i++)
        rc = db_run(
            sqlite_tx_db(tx),
            "UPDATE jobs SET due_ms=0 WHERE registry=?1 AND due_ms>?2 AND waiting=0 AND room=0",
            "si", l->registries[i], l->due_ms);
    return rc;
}

int meta_jobs_retry_now(struct meta *m, const char *const *registries, size_t n)
{
    struct later l = {.registries = registries, .n = n, .due_ms = clock_mono_ms()};
    return meta_write(m, retry_now_run, &l, false);
}

struct retry {
    int64_t id, due_ms;
    int grade;
    const char *error;
};

// The manifest that this job waits for may have come between its try and now; then nobody would wake it.
static int waits_still(struct tx *tx, int64_t id, bool *out)
{
    sqlite3_stmt *st;
    int rc = db_find(
        sqlite_tx_db(tx), &st,
        "SELECT 1 FROM feed f JOIN repositories r ON r.registry=f.registry AND r.name=f.repository"
        " JOIN manifests n ON n.repo=r.id AND n.digest=f.digest WHERE f.id=?1 AND (?2>>f.kind)&1",
        "ii", id, kinds_that_wait(KIND_WAITS_FOR_DIGEST));
    *out = rc == ERR_NOTFOUND;
    if (!rc)
        db_end(st);
    if (rc == ERR_NOTFOUND)
        return 0;
    return rc;
}

static int retry_run(struct tx *tx, void *arg)
{
    const struct retry *r = arg;
    int rc;
    if (r->error) {
        rc = db_run(sqlite_tx_db(tx),
                    "UPDATE jobs SET "
                    "due_ms=?2,attempts=attempts+1,waiting=0,room=0,error=?3,failed_ms=?4,grade=?5"
                    " WHERE id=?1",
                    "iisin", r->id, r->due_ms, r->error, clock_mono_ms(), r->grade);
    } else {
        bool still;
        rc = waits_still(tx, r->id, &still);
        if (!rc)
            rc = db_run(sqlite_tx_db(tx), "UPDATE jobs SET due_ms=?2,waiting=?3,room=0 WHERE id=?1",
                        "iin", r->id, still ? r->due_ms : (int64_t)0, (int)still);
    }
    if (!rc && sqlite3_changes(sqlite_tx_db(tx)->h) == 0)
        return ERR_NOTFOUND;
    return rc;
}

int meta_job_failed(struct meta *m, int64_t id, int64_t due_ms, int grade, const char *error)
{
    struct retry r = {id, due_ms, grade, error};
    return meta_write(m, retry_run, &r, false);
}

int meta_job_retry(struct meta *m, int64_t id, int64_t due_ms, const char *error)
{
    return meta_job_failed(m, id, due_ms, 0, error);
}

// --- what is due ---

struct turn { // one registry and its due jobs, oldest first
    const char *registry;
    int64_t *ids;
    size_t n;
};

struct due {
    struct tx *tx;
    struct arena *a;
    int64_t now_ms;
    size_t max;
    struct turn *turns;
    size_t n_turns;
    int64_t *picked;
    size_t n_picked;
    // due ones are left
    bool more;
};

static int turns_find(struct due *u)
{
    size_t cap = 16;
    sqlite3_stmt *st;
    u->turns = arena_array(u->a, cap, sizeof *u->turns);
    if (!u->turns)
        return ERR_NOMEM;
    // Hops from registry to registry in the index; a plain DISTINCT would walk all jobs.
    int rc = db_start(
        sqlite_tx_db(u->tx), &st,
        "WITH RECURSIVE r(x) AS (SELECT min(registry) FROM jobs UNION ALL"
        " SELECT (SELECT min(registry) FROM jobs WHERE registry>x) FROM r WHERE x IS NOT NULL)"
        " SELECT x FROM r WHERE x IS NOT NULL AND EXISTS(SELECT 1 FROM jobs WHERE registry=x AND"
        " due_ms<=?1) LIMIT ?2",
        "in", u->now_ms, REGISTRIES_MAX);
    while (!rc && (rc = db_step(sqlite_tx_db(u->tx), st)) == 1) {
        rc = 0;
        if (u->n_turns == cap) {
            struct turn *more = arena_array(u->a, cap * 2, sizeof *more);
            if (more)
                memcpy(more, u->turns, cap * sizeof *more);
            if (more) {
                rc = 0;
                u->turns = more;
            } else {
                rc = ERR_NOMEM;
            }
            cap *= 2;
        }
        if (!rc)
            rc = db_text(st, 0, u->a, &u->turns[u->n_turns].registry);
        if (rc)
            db_end(st);
        u->n_turns += !rc;
    }
    return rc;
}

static int turn_fill(struct due *u, struct turn *t)
{
    sqlite3_stmt *st;
    t->ids = arena_array(u->a, u->max, sizeof *t->ids);
    if (!t->ids)
        return ERR_NOMEM;
    int rc = db_start(sqlite_tx_db(u->tx), &st,
                      "SELECT id FROM jobs WHERE registry=?1 AND due_ms<=?2 ORDER BY id LIMIT ?3",
                      "sii", t->registry, u->now_ms, (int64_t)u->max);
    while (!rc && (rc = db_step(sqlite_tx_db(u->tx), st)) == 1) {
        t->ids[t->n++] = sqlite3_column_int64(st, 0);
        rc = 0;
    }
    return rc;
}

static int pick(struct due *u, size_t first)
{
    u->picked = arena_array(u->a, u->max, sizeof *u->picked);
    if (!u->picked)
        return ERR_NOMEM;
    // Those whose turn cannot come in this call are not read.
    size_t n = u->n_turns < u->max ? u->n_turns : u->max, total = 0;
    u->more = n < u->n_turns;
    for (size_t i = 0; i < n; i++) {
        struct turn *t = &u->turns[(first + i) % u->n_turns];
        int rc = turn_fill(u, t);
        if (rc)
            return rc;
        total += t->n;
        u->more = u->more || t->n == u->max;
    }
    for (size_t round = 0; u->n_picked < u->max && u->n_picked < total; round++)
        for (size_t i = 0; i < n && u->n_picked < u->max; i++) {
            const struct turn *t = &u->turns[(first + i) % u->n_turns];
            if (round < t->n)
                u->picked[u->n_picked++] = t->ids[round];
        }
    u->more = u->more || u->n_picked < total;
    return 0;
}

static int job_read(struct due *u, int64_t id, struct job *out)
{
    sqlite3_stmt *st;
    struct job j = {.id = id};
    int rc = db_find(sqlite_tx_db(u->tx), &st,
                     "SELECT " FEED_COLUMNS
                     ",j.attempts,j.due_ms,j.error,j.room FROM jobs j JOIN feed f ON f.id=j.id"
                     " WHERE j.id=?1",
                     "i", id);
    if (rc) {
        if (rc == ERR_NOTFOUND) // a job without its entry
            return ERR_CORRUPT;
        return rc;
    }
    j.attempts = (uint32_t)sqlite3_column_int64(st, FEED_N_COLUMNS);
    j.due_ms = sqlite3_column_int64(st, FEED_N_COLUMNS + 1);
    j.room = (uint64_t)sqlite3_column_int64(st, FEED_N_COLUMNS + 3);
    rc = feed_row(st, u->a, &j.entry);
    if (!rc)
        rc = db_text(st, FEED_N_COLUMNS + 2, u->a, &j.last_error);
    db_end(st);
    if (!rc)
        *out = j;
    return rc;
}

static int next_read(struct due *u, int64_t *out)
{
    sqlite3_stmt *st;
    // parked ones: never
    int rc = db_find(sqlite_tx_db(u->tx), &st, "SELECT min(due_ms) FROM jobs WHERE due_ms>?1", "i",
                     u->now_ms);
    if (rc)
        return rc;
    if (sqlite3_column_type(st, 0) == SQLITE_NULL)
        *out = INT64_MAX;
    else
        *out = sqlite3_column_int64(st, 0);
    if (u->more)
        *out = u->now_ms;
    db_end(st);
    return 0;
}

int meta_jobs_due(struct meta *m, int64_t now_ms, size_t max, struct arena *a, struct job **out,
                  size_t *out_n, int64_t *out_next_ms)
{
    struct due u = {.a = a, .now_ms = now_ms, .max = max ? max : 1};
    struct job *jobs = arena_array(a, u.max, sizeof *jobs);
    if (!jobs)
        return ERR_NOMEM;
    int rc = backend_read_moment(m->b, &u.tx);
    if (rc)
        return rc;
    int64_t next = INT64_MAX;
    rc = turns_find(&u);
    if (!rc && u.n_turns)
        rc = pick(&u, m->turn++ % u.n_turns);
    for (size_t i = 0; !rc && i < u.n_picked; i++)
        rc = job_read(&u, u.picked[i], &jobs[i]);
    if (!rc)
        rc = next_read(&u, &next);
    tx_end(u.tx);
    if (rc)
        return rc;
    *out = jobs;
    *out_n = u.n_picked;
    *out_next_ms = next;
    return 0;
}
