// SPDX-License-Identifier: Apache-2.0
// The queue's workers, and what it is asked; see job_queue.h.
#include "replication/job_queue.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "replication/absence.h"
#include "replication/job_outcome.h"
#include "replication/replication_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_LOOK_MS 1000

struct worker {
    struct job_queue *q;
    pthread_t thread;
    bool started;
    // It has a job. Under the queue's lock; while it is set, the job's names are there to be read,
    // and `attempt` is the worker's.
    bool busy;
    // of the job
    struct arena arena;
    struct attempt attempt;
};

struct job_queue {
    struct replicator *r;
    struct absences *absences;
    pthread_t dispatcher;
    bool dispatcher_started;
    size_t n_workers;
    struct worker *workers;

    struct lock lock;
    uint64_t n_kicks;
    // of regions that may give content
    unsigned n_returns;
};

int job_queue_new(struct replicator *r, size_t n_workers, struct job_queue **out)
{
    struct job_queue *q = mem_zalloc(sizeof *q);
    if (!q)
        return ERR_NOMEM;
    q->r = r;
    lock_init(&q->lock, LOCK_JOBS);
    q->workers = mem_zalloc_array(n_workers, sizeof *q->workers);
    q->n_workers = n_workers;
    int rc = ERR_NOMEM;
    if (q->workers)
        rc = absences_new(r->o.absent_ms, &q->absences);
    if (rc) {
        job_queue_free(q);
        return rc;
    }
    for (size_t i = 0; i < n_workers; i++) {
        q->workers[i].q = q;
        q->workers[i].attempt.r = r;
    }
    *out = q;
    return 0;
}

void job_queue_free(struct job_queue *q)
{
    if (!q)
        return;
    absences_free(q->absences);
    free(q->workers);
    lock_done(&q->lock);
    free(q);
}

// --- what it is asked ---

void job_queue_kick(struct job_queue *q)
{
    lock_take(&q->lock);
    q->n_kicks++;
    lock_wake(&q->lock);
    lock_give(&q->lock);
}

uint64_t job_queue_kicks(struct job_queue *q)
{
    lock_take(&q->lock);
    uint64_t n = q->n_kicks;
    lock_give(&q->lock);
    return n;
}

void job_queue_rest(struct job_queue *q, uint64_t n_kicks, int64_t ms)
{
    lock_take(&q->lock);
    if (q->n_kicks == n_kicks && !life_stopping(q->r->life))
        lock_wait(&q->lock, ms);
    lock_give(&q->lock);
}

void job_queue_returned(struct job_queue *q)
{
    lock_take(&q->lock);
    q->n_returns++;
    lock_give(&q->lock);
}

unsigned job_queue_returns(struct job_queue *q)
{
    lock_take(&q->lock);
    unsigned n = q->n_returns;
    lock_give(&q->lock);
    return n;
}

size_t job_queue_workers(const struct job_queue *q)
{
    return q->n_workers;
}

struct absences *job_queue_absences(const struct job_queue *q)
{
    return q->absences;
}

// Under the lock.
static struct worker *idle_worker(struct job_queue *q)
{
    for (size_t i = 0; i < q->n_workers; i++)
        if (!q->workers[i].busy)
            return &q->workers[i];
    return NULL;
}

// Under the lock.
static struct worker *worker_of(struct job_queue *q, int64_t job)
{
    for (size_t i = 0; i < q->n_workers; i++)
        if (q->workers[i].busy && q->workers[i].attempt.job.id == job)
            return &q->workers[i];
    return NULL;
}

bool job_queue_has_idle(struct job_queue *q)
{
    lock_take(&q->lock);
    bool idle = idle_worker(q) != NULL;
    lock_give(&q->lock);
    return idle;
}

bool job_queue_runs(struct job_queue *q, int64_t id)
{
    lock_take(&q->lock);
    bool runs = worker_of(q, id) != NULL;
    lock_give(&q->lock);
    return runs;
}

void job_queue_progress(struct job_queue *q, const char *registry, const char *origin,
                        uint64_t *out_n, uint64_t *out_bytes)
{
    uint64_t n = 0, bytes = 0;
    lock_take(&q->lock);
    for (size_t i = 0; i < q->n_workers; i++) {
        const struct worker *w = &q->workers[i];
        const struct feed_entry *e = &w->attempt.job.entry;
        if (!w->busy || strcmp(e->registry, registry) != 0 || strcmp(e->origin, origin) != 0)
            continue;
        n++;
        bytes += w->attempt.bytes_left;
    }
    lock_give(&q->lock);
    *out_n = n;
    *out_bytes = bytes;
}

// --- workers ---

// NULL becomes "".
static int text_copy(struct arena *a, const char **text)
{
    const char *copy = arena_strdup(a, *text ? *text : "");
    if (!copy)
        return ERR_NOMEM;
    *text = copy;
    return 0;
}

static int bytes_copy(struct arena *a, struct bytes *b)
{
    if (!b->n) {
        b->p = NULL;
        return 0;
    }
    b->p = arena_copy(a, b->p, b->n);
    if (!b->p)
        return ERR_NOMEM;
    return 0;
}

// The dispatcher's arena ends before the worker does.
static int entry_copy(struct arena *a, const struct feed_entry *from, struct feed_entry *to)
{
    *to = *from;
    const char **texts[] = {&to->origin, &to->registry,   &to->repository, &to->attribute,
                            &to->tag,    &to->media_type, &to->rule,       &to->judged_origin,
                            &to->by,     &to->key};
    struct bytes *bytes[] = {&to->absent, &to->value, &to->body, &to->content};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (text_copy(a, texts[i]))
            return ERR_NOMEM;
    for (size_t i = 0; i < ARRAY_LEN(bytes); i++)
        if (bytes_copy(a, bytes[i]))
            return ERR_NOMEM;
    return 0;
}

// Under the lock.
static int worker_take(struct worker *w, const struct job *job)
{
    struct attempt *a = &w->attempt;
    arena_init(&w->arena, 1 << 20);
    a->job = *job;
    a->job.last_error = NULL;
    a->bytes_left = 0;
    a->lacks = 0;
    a->own_fault = false;
    a->grade = GRADE_NONE;
    int rc = entry_copy(&w->arena, &job->entry, &a->job.entry);
    if (rc) {
        arena_done(&w->arena);
        return rc;
    }
    w->busy = true;
    return 0;
}

int job_queue_give(struct job_queue *q, const struct job *job)
{
    int rc = ERR_BUSY;
    lock_take(&q->lock);
    assert(!worker_of(q, job->id)); // invariant 1
    struct worker *w = idle_worker(q);
    if (w)
        rc = worker_take(w, job);
    if (!rc)
        lock_wake(&q->lock);
    lock_give(&q->lock);
    return rc;
}

static void worker_done(struct worker *w)
{
    struct job_queue *q = w->q;
    lock_take(&q->lock);
    assert(w->busy);
    w->busy = false;
    w->attempt.bytes_left = 0;
    arena_done(&w->arena);
    q->n_kicks++;
    lock_wake(&q->lock);
    lock_give(&q->lock);
}

// Waits for a job. false: the replicator stops.
static bool worker_wait(struct worker *w)
{
    struct job_queue *q = w->q;
    lock_take(&q->lock);
    while (!w->busy && !life_stopping(q->r->life))
        lock_wait(&q->lock, IDLE_LOOK_MS);
    lock_give(&q->lock);
    return !life_stopping(q->r->life);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    while (worker_wait(w)) {
        job_run(w->q, &w->attempt);
        worker_done(w);
    }
    return NULL;
}

int job_queue_start_workers(struct job_queue *q)
{
    for (size_t i = 0; i < q->n_workers; i++) {
        struct worker *w = &q->workers[i];
        w->started = pthread_create(&w->thread, NULL, worker_main, w) == 0;
        if (!w->started)
            return ERR_NOMEM;
    }
    return 0;
}

int job_queue_start_dispatcher(struct job_queue *q)
{
    q->dispatcher_started = pthread_create(&q->dispatcher, NULL, job_dispatch_main, q->r) == 0;
    if (!q->dispatcher_started)
        return ERR_NOMEM;
    return 0;
}

void job_queue_stop(struct job_queue *q)
{
    if (!q)
        return;
    assert(life_stopping(q->r->life));
    job_queue_kick(q);
    if (q->dispatcher_started)
        pthread_join(q->dispatcher, NULL);
    q->dispatcher_started = false;
    for (size_t i = 0; i < q->n_workers; i++) {
        struct worker *w = &q->workers[i];
        if (w->started)
            pthread_join(w->thread, NULL);
        w->started = false;
        if (w->busy) // given, and not begun when the stop came
            arena_done(&w->arena);
        w->busy = false;
    }
}
