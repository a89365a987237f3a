// SPDX-License-Identifier: Apache-2.0
// Parked jobs: the content of their entry does not fit on the disk. See meta_jobs.h.
//
// Invariants
//   1. A parked job becomes due only by meta_jobs_unpark, parked_wake, and its manifest's tombstone; its row is a job's like
//      any other, so it ends as any job ends (its entry is applied or becomes void).
//   2. It holds back no applied mark, nor does an entry that waits in a repository which has parked
//      jobs: what is trimmed by the marks must not wait until somebody buys a disk
//      (jobs_first_holding in backend_jobs.h).
#include "store/meta_jobs.h"

#include "base/err.h"
#include "config/topology.h"
#include "store/meta_priv.h"

#include <assert.h>
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
    struct job_failure f = {.failed_ms = clock_mono_ms(), .grade = p->grade, .error = p->why};
    assert(p->room > 0); // else it would not be parked
    return job_park(tx, p->id, p->room, &f);
}

int meta_job_park(struct meta *m, int64_t id, uint64_t room, int grade, const char *why)
{
    struct park p = {.id = id, .room = room, .grade = grade, .why = why};
    if (p.room == 0)
        p.room = 1;
    if (p.room > INT64_MAX)
        p.room = INT64_MAX;
    return meta_write(m, park_run, &p, false);
}

static int fits_run(struct tx *tx, void *arg)
{
    return job_unpark(tx, *(const int64_t *)arg);
}

int meta_job_fits(struct meta *m, int64_t id)
{
    return meta_write(m, fits_run, &id, false);
}

// --- parked jobs become due again ---

struct unpark {
    uint64_t room;
    int64_t stale_ms;
    int64_t ids[FITTING_MAX + STALE_MAX];
    size_t n;
};

// The oldest first, as many as fit together.
static int fitting_find(struct tx *tx, struct unpark *u)
{
    struct arena a;
    struct parked_job *list;
    size_t n = 0;
    uint64_t left = u->room < INT64_MAX ? u->room : INT64_MAX;
    arena_init(&a, 0);
    int rc = jobs_parked_fitting(tx, left, LOOKS_MAX, &a, &list, &n);
    if (rc)
        n = 0;
    for (size_t i = 0; i < n && u->n < FITTING_MAX; i++) {
        if (list[i].needed_bytes > left)
            continue;
        left -= list[i].needed_bytes;
        u->ids[u->n++] = list[i].id;
    }
    arena_done(&a);
    return rc;
}

// What a job lacked may have come another way, so that it needs less: a few jobs that were not
// looked at for a while are tried.
static int stale_find(struct tx *tx, struct unpark *u)
{
    size_t n;
    assert(u->n <= FITTING_MAX);
    int rc = jobs_parked_stale(tx, u->stale_ms, STALE_MAX, u->ids + u->n, &n);
    if (!rc)
        u->n += n;
    return rc;
}

static int unpark_run(struct tx *tx, void *arg)
{
    const struct unpark *u = arg;
    for (size_t i = 0; i < u->n; i++) {
        int rc = job_try_parked(tx, u->ids[i]);
        if (rc)
            return rc;
    }
    return 0;
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
    return jobs_wake_parked(tx, registry, repository, STALE_MAX);
}

// --- what callers read ---

int meta_parked(struct meta *m, struct arena *a, struct parked **out, size_t *out_n)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = jobs_parked_by_origin(tx, TOPOLOGY_MAX_REGIONS, a, out, out_n);
    tx_end(tx);
    return rc;
}

int meta_parked_for(struct meta *m, const char *registry, const char *repository,
                    const struct digest *d, uint64_t *out_room)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = jobs_parked_for(tx, registry, repository, d, out_room);
    tx_end(tx);
    return rc;
}
