// SPDX-License-Identifier: Apache-2.0
// Content that no region has got yet; see absence.h.
#include "replication/absence.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wait.h"
#include "replication/lock.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define ABSENCES_MAX 512
#define LOOK_FIRST_MS 250
#define LOOK_MAX_MS 4000
#define STALE_MS 120000 // of a job that ended elsewhere

struct absence {
    // 0: free
    int64_t job;
    int64_t since_mono, last_mono;
    unsigned n_looks;
    // 0: for no certain blob
    uint64_t mark;
};

struct absences {
    int64_t patience_ms;
    struct lock lock;
    struct absence list[ABSENCES_MAX];
};

int absences_new(int64_t patience_ms, struct absences **out)
{
    struct absences *l = mem_zalloc(sizeof *l);
    if (!l)
        return ERR_NOMEM;
    l->patience_ms = patience_ms;
    lock_init(&l->lock, LOCK_ABSENCES);
    *out = l;
    return 0;
}

void absences_free(struct absences *l)
{
    if (!l)
        return;
    lock_done(&l->lock);
    free(l);
}

static struct absence *find(struct absences *l, int64_t job)
{
    for (size_t i = 0; i < ABSENCES_MAX; i++)
        if (l->list[i].job == job)
            return &l->list[i];
    return NULL;
}

// A free place; those of jobs that ended elsewhere are not looked after any more.
static struct absence *make(struct absences *l, int64_t job, int64_t now)
{
    for (size_t i = 0; i < ABSENCES_MAX; i++) {
        struct absence *a = &l->list[i];
        if (a->job && now - a->last_mono < STALE_MS)
            continue;
        *a = (struct absence){.job = job, .since_mono = now};
        return a;
    }
    return NULL;
}

int64_t absence_wait_ms(struct absences *l, int64_t job)
{
    assert(job); // 0 is a free place
    int64_t now = clock_mono_ms(), wait_ms = -1;
    lock_take(&l->lock);
    struct absence *a = find(l, job);
    if (!a)
        a = make(l, job, now);
    if (a) {
        a->last_mono = now;
        if (now - a->since_mono < l->patience_ms)
            wait_ms = wait_backoff_ms(a->n_looks++, LOOK_FIRST_MS, LOOK_MAX_MS);
    }
    lock_give(&l->lock);
    return wait_ms;
}

int64_t absence_age_ms(struct absences *l, int64_t job)
{
    assert(job);
    int64_t now = clock_mono_ms(), age_ms = INT64_MAX;
    lock_take(&l->lock);
    struct absence *a = find(l, job);
    if (!a)
        a = make(l, job, now);
    if (a) {
        a->last_mono = now;
        age_ms = now - a->since_mono;
    }
    lock_give(&l->lock);
    return age_ms;
}

uint64_t absence_mark(const struct digest *d)
{
    uint64_t mark;
    memcpy(&mark, d->b, sizeof mark);
    return mark | 1;
}

void absence_waits_for(struct absences *l, int64_t job, uint64_t mark)
{
    lock_take(&l->lock);
    struct absence *a = find(l, job);
    if (a)
        a->mark = mark;
    lock_give(&l->lock);
}

size_t absences_of(struct absences *l, uint64_t mark, int64_t *out_jobs, size_t max)
{
    size_t n = 0;
    lock_take(&l->lock);
    for (size_t i = 0; i < ABSENCES_MAX && n < max; i++) {
        struct absence *a = &l->list[i];
        if (!a->job || a->mark != mark)
            continue;
        out_jobs[n++] = a->job;
        a->mark = 0;
    }
    lock_give(&l->lock);
    return n;
}

void absence_end(struct absences *l, int64_t job)
{
    assert(job);
    lock_take(&l->lock);
    struct absence *a = find(l, job);
    if (a)
        *a = (struct absence){0};
    lock_give(&l->lock);
}
