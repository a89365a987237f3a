// SPDX-License-Identifier: Apache-2.0
// Parked jobs: what they would fetch does not fit on the disk. See meta.h.
//
// Invariants
//   1. A parked job is due for nobody but meta_jobs_unpark; its row is a job's like any other, so
//      whatever ends jobs (an entry that is applied or becomes void, a later one of its register)
//      ends it.
//   2. It holds back no applied mark, nor does an entry that waits in a repository which has parked
//      jobs: what is trimmed by the marks must not wait for somebody to buy a disk. (applied_read
//      in meta_ingest.c)
#include "store/meta_priv.h"

#include "base/err.h"
#include "config/topology.h"

#include <string.h>

#define FITTING_MAX 64 // made due in one call
#define LOOKS_MAX 4096 // parked jobs that are looked at for that
#define STALE_MAX 16

struct park {
    int64_t id;
    uint64_t room;
    int grade;
    const char *why;
};

static int park_run(struct tx *tx, void *arg)
{
    const struct park *p = arg;
    int rc = db_run(
        sqlite_tx_db(tx),
        "UPDATE jobs SET due_ms=?2,waiting=0,room=?3,error=?4,grade=?5,failed_ms=?6 WHERE id=?1",
        "iiusni", p->id, INT64_MAX, p->room, p->why, p->grade, clock_mono_ms());
    if (!rc && sqlite3_changes(sqlite_tx_db(tx)->h) == 0)
        return ERR_NOTFOUND;
    return rc;
}

int meta_job_park(struct meta *m, int64_t id, uint64_t room, int grade, const char *why)
{
    struct park p = {.id = id, .room = room ? room : 1, .grade = grade, .why = why};
    if (p.room > INT64_MAX)
        p.room = INT64_MAX;
    return meta_write(m, park_run, &p, false);
}

static int fits_run(struct tx *tx, void *arg)
{
    return db_run(sqlite_tx_db(tx), "UPDATE jobs SET room=0,error=NULL,grade=0 WHERE id=?1", "i",
                  *(const int64_t *)arg);
}

int meta_job_fits(struct meta *m, int64_t id)
{
    return meta_write(m, fits_run, &id, false);
}

// --- back among those that are due ---

struct unpark {
    uint64_t room;
    int64_t stale_ms;
    int64_t ids[FITTING_MAX + STALE_MAX];
    size_t n;
};

// The oldest first, as many as fit together.
static int fitting_find(struct tx *tx, struct unpark *u)
{
    sqlite3_stmt *st;
    uint64_t left = INT64_MAX;
    if (u->room < INT64_MAX)
        left = u->room;
    int rc = db_start(
        sqlite_tx_db(tx), &st,
        "SELECT id,room FROM jobs WHERE room BETWEEN 1 AND ?1 AND due_ms=?2 ORDER BY id LIMIT ?3",
        "uin", left, INT64_MAX, LOOKS_MAX);
    while (!rc && u->n < FITTING_MAX && (rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        uint64_t room = (uint64_t)sqlite3_column_int64(st, 1);
        rc = 0;
        if (room > left)
            continue;
        left -= room;
        u->ids[u->n++] = sqlite3_column_int64(st, 0);
    }
    if (!rc)
        db_end(st);
    return rc;
}

// Those that nobody looked at for a while: what they lacked may have come another way, so that they
// need less.
static int stale_find(struct tx *tx, struct unpark *u)
{
    sqlite3_stmt *st;
    size_t most = u->n + STALE_MAX;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT id FROM jobs WHERE room>0 AND due_ms=?1 AND failed_ms<=?2 ORDER BY "
                      "failed_ms LIMIT ?3",
                      "iin", INT64_MAX, u->stale_ms, STALE_MAX);
    while (!rc && u->n < most && (rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        u->ids[u->n++] = sqlite3_column_int64(st, 0);
        rc = 0;
    }
    if (!rc)
        db_end(st);
    return rc;
}

static int unpark_run(struct tx *tx, void *arg)
{
    const struct unpark *u = arg;
    int rc = 0;
    for (size_t i = 0; !rc && i < u->n; i++)
        rc = db_run(sqlite_tx_db(tx), "UPDATE jobs SET due_ms=0 WHERE id=?1 AND room>0", "i",
                    u->ids[i]);
    return rc;
}

int meta_jobs_unpark(struct meta *m, uint64_t room, int64_t stale_mono_ms, size_t *out_n)
{
    struct unpark u = {.room = room, .stale_ms = stale_mono_ms};
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    if (room)
        rc = fitting_find(tx, &u);
    else
        rc = 0;
    if (!rc)
        rc = stale_find(tx, &u);
    tx_end(tx);
    if (!rc && u.n)
        rc = meta_write(m, unpark_run, &u, false);
    if (!rc)
        *out_n = u.n;
    return rc;
}

int parked_wake(struct tx *tx, const char *registry, const char *repository)
{
    return db_run(sqlite_tx_db(tx),
                  "UPDATE jobs SET due_ms=0 WHERE id IN (SELECT id FROM jobs WHERE registry=?1 AND "
                  "repository=?2 AND"
                  " room>0 AND due_ms=?3 ORDER BY failed_ms LIMIT ?4)",
                  "ssin", registry, repository, INT64_MAX, STALE_MAX);
}

int parked_tags_wake(struct tx *tx, const char *registry, const char *repository, const char *tag)
{
    return db_run(
        sqlite_tx_db(tx),
        "UPDATE jobs SET due_ms=0,waiting=0 WHERE registry=?1 AND repository=?2 AND waiting=1 AND"
        " EXISTS(SELECT 1 FROM jobs p WHERE p.registry=?1 AND p.repository=?2 AND p.room>0) AND"
        " EXISTS(SELECT 1 FROM feed f WHERE f.id=jobs.id AND f.kind=?3 AND f.tag=?4)",
        "ssns", registry, repository, (int)ENTRY_TAG, tag);
}

// --- who asks ---

int meta_parked(struct meta *m, struct arena *a, struct parked **out, size_t *out_n)
{
    struct tx *tx;
    sqlite3_stmt *st;
    size_t n = 0;
    struct parked *list = arena_array(a, TOPOLOGY_MAX_REGIONS, sizeof *list);
    int rc = ERR_NOMEM;
    if (list)
        rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = db_start(
        sqlite_tx_db(tx), &st,
        "SELECT origin,count(*),total(room),min(room) FROM jobs INDEXED BY jobs_parked_of WHERE"
        " room>0 GROUP BY origin",
        "");
    while (!rc && n < TOPOLOGY_MAX_REGIONS && (rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        list[n].n = (uint64_t)sqlite3_column_int64(st, 1);
        list[n].bytes = (uint64_t)sqlite3_column_double(st, 2);
        list[n].least = (uint64_t)sqlite3_column_int64(st, 3);
        rc = db_text(st, 0, a, &list[n].origin);
        n += !rc;
    }
    if (!rc)
        db_end(st);
    tx_end(tx);
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}

int meta_parked_for(struct meta *m, const char *registry, const char *repository,
                    const struct digest *d, uint64_t *out_room)
{
    struct tx *tx;
    sqlite3_stmt *st;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = db_find(
        sqlite_tx_db(tx), &st,
        "SELECT max(room) FROM jobs WHERE registry=?1 AND repository=?2 AND room>0 AND "
        "EXISTS(SELECT 1 FROM"
        " feed f JOIN jobs j ON j.id=f.id WHERE f.registry=?1 AND f.repository=?2 AND f.digest=?3)",
        "ssd", registry, repository, d);
    if (!rc) {
        bool none = sqlite3_column_type(st, 0) == SQLITE_NULL;
        *out_room = (uint64_t)sqlite3_column_int64(st, 0);
        if (none)
            rc = ERR_NOTFOUND;
        else
            rc = 0;
        db_end(st);
    }
    tx_end(tx);
    return rc;
}
