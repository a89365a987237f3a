// SPDX-License-Identifier: Apache-2.0
// Runs the durable jobs: one for each entry that was read and is not applied yet. The dispatcher
// takes what is due, in turns by registry, applies what needs nothing from elsewhere itself (tags,
// manifests whose blobs are here), and hands the rest to fetch workers. So tags and small things
// never wait behind a region that cannot be reached.
//
// Invariants (design section 9)
//   5. No entry is lost with its job: it ends only in the transaction that applies it, else it is
//      retried with backoff. One whose content has no room is parked (room.c), and takes neither
//      worker nor place from those behind it.
//   6. Jobs are fair by registry: in one pass a registry whose job found no free worker waits, the
//      others go on. Jobs that nobody could give anything now take no worker, and make way for
//      those behind them.
#include "replication/replication_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define DUE_MAX 64
#define RETRY_FIRST_MS 250
#define RETRY_MAX_MS 30000
#define WAITING_MS 2000 // for another entry: that one's own end wakes it sooner
#define WAITING_TAG_MS 30000
#define LATER_FIRST_MS 500
#define LATER_MAX_MS 10000
#define IDLE_LOOK_MS 1000
#define ABSENCE_LOOK_MAX_MS 4000
#define ABSENCE_STALE_MS 120000

void jobs_kick(struct replicator *r)
{
    pthread_mutex_lock(&r->lock);
    r->jobs_kicked++;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static unsigned returns_get(struct replicator *r)
{
    pthread_mutex_lock(&r->lock);
    unsigned n = r->n_returns;
    pthread_mutex_unlock(&r->lock);
    return n;
}

// --- what both do when a try is over ---

// A store that does not take what is noted leaves the job due: do not spin on it.
static void noted(struct replicator *r, int rc)
{
    room_wrote(r->room, rc);
    if (rc && rc != ERR_NOTFOUND && !r->stopping)
        replicator_sleep(r, 500);
}

static void job_again(struct replicator *r, const struct job *job, int64_t delay_ms,
                      enum grade grade, const char *error)
{
    int rc = meta_job_failed(r->o.meta, job->id, clock_mono_ms() + delay_ms, grade, error);
    static struct log_limit limit = LOG_LIMIT(5000);
    if (error && !r->stopping)
        log_limited(&limit, LOG_WARN, "replication: %s/%s from %s: %s; it is tried again",
                    job->entry.registry, job->entry.repository, job->entry.origin, error);
    noted(r, rc);
}

static void job_parks(struct replicator *r, const struct job *job, uint64_t room, const char *why)
{
    static struct log_limit limit = LOG_LIMIT(5000);
    if (!job->room) // once, not at each look
        log_limited(&limit, LOG_WARN, "replication: %s", why);
    noted(r, meta_job_park(r->o.meta, job->id, room, GRADE_NO_SPACE, why));
}

// Quietly: nothing failed.
static void job_looks_again(struct replicator *r, const struct job *job, int64_t delay_ms)
{
    noted(r, meta_jobs_later(r->o.meta, &job->id, 1, clock_mono_ms() + delay_ms));
}

// Waits for another entry of its repository. A tag is woken by its manifest; what an index waits
// for nobody tells.
static void job_waits(struct replicator *r, const struct job *job)
{
    job_again(r, job, job->entry.kind == ENTRY_TAG ? WAITING_TAG_MS : WAITING_MS, GRADE_NONE, NULL);
}

// --- content that no region has got yet ---

static struct absence *absence_find(struct replicator *r, int64_t job)
{
    for (size_t i = 0; i < ABSENCES_MAX; i++)
        if (r->absences[i].job == job)
            return &r->absences[i];
    return NULL;
}

// A free place; those of jobs that ended elsewhere are not looked after any more.
static struct absence *absence_make(struct replicator *r, int64_t job, int64_t now)
{
    for (size_t i = 0; i < ABSENCES_MAX; i++) {
        struct absence *a = &r->absences[i];
        if (a->job && now - a->last_mono < ABSENCE_STALE_MS)
            continue;
        *a = (struct absence){.job = job, .since_mono = now};
        return a;
    }
    return NULL;
}

// How long to wait until the next look; -1: it was waited for long enough, and is a failure.
static int64_t absence_wait_ms(struct replicator *r, int64_t job)
{
    int64_t now = clock_mono_ms(), wait = -1;
    pthread_mutex_lock(&r->lock);
    struct absence *a = absence_find(r, job);
    if (!a)
        a = absence_make(r, job, now);
    if (a && now - a->since_mono < (int64_t)r->o.absent_ms)
        wait = wait_backoff_ms(a->n_looks++, RETRY_FIRST_MS, ABSENCE_LOOK_MAX_MS);
    if (a)
        a->last_mono = now;
    pthread_mutex_unlock(&r->lock);
    return wait;
}

static void absence_end(struct replicator *r, int64_t job)
{
    pthread_mutex_lock(&r->lock);
    struct absence *a = absence_find(r, job);
    if (a)
        *a = (struct absence){0};
    pthread_mutex_unlock(&r->lock);
}

// --- workers ---

static int entry_copy(struct arena *a, const struct feed_entry *from, struct feed_entry *to)
{
    *to = *from;
    to->origin = arena_strdup(a, from->origin);
    to->registry = arena_strdup(a, from->registry);
    to->repository = arena_strdup(a, from->repository);
    to->tag = arena_strdup(a, from->tag ? from->tag : "");
    to->media_type = arena_strdup(a, from->media_type ? from->media_type : "");
    to->key = arena_strdup(a, from->key ? from->key : "");
    if (from->content.n)
        to->content.p = arena_copy(a, from->content.p, from->content.n);
    else
        to->content.p = NULL;
    bool all = to->origin && to->registry && to->repository && to->tag && to->media_type && to->key;
    if (all && (to->content.p || !from->content.n))
        return 0;
    return ERR_NOMEM;
}

// Gives the job to a free worker. ERR_BUSY: none is free.
static int worker_give(struct replicator *r, const struct job *job)
{
    pthread_mutex_lock(&r->lock);
    struct worker *w = NULL;
    for (size_t i = 0; i < r->n_workers && !w; i++)
        if (!r->workers[i].busy)
            w = &r->workers[i];
    int rc = ERR_BUSY;
    if (w)
        rc = 0;
    if (w) {
        arena_init(&w->arena, 1 << 20);
        w->job = *job;
        w->job.last_error = NULL;
        w->bytes_left = 0;
        w->lacks = 0;
        w->own_fault = false;
        w->grade = GRADE_NONE;
        rc = entry_copy(&w->arena, &job->entry, &w->job.entry);
        if (rc) {
            arena_done(&w->arena);
        } else {
            w->busy = true;
            pthread_cond_broadcast(&r->changed);
        }
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}

static void worker_run(struct worker *w)
{
    struct replicator *r = w->r;
    char error[ERROR_TEXT_SIZE] = "";
    int64_t not_before = 0;
    unsigned n_returns = returns_get(r);
    enum apply_result result = apply_fetching(w, &not_before, error);
    space_return(&w->charge);
    if (result != APPLY_ABSENT && result != APPLY_BUSY)
        absence_end(r, w->job.id);
    if (result == APPLY_DONE) // the store wakes what waited for it
        return;
    if (r->stopping)
        return;               // as it was: the job is due again at the next start
    if (result == APPLY_BUSY) // it is due still, and is not given out while the other job fetches
        return;
    if (result == APPLY_WAITS) {
        job_waits(r, &w->job);
        return;
    }
    if (result == APPLY_NO_ROOM) {
        job_parks(r, &w->job, w->lacks, error);
        return;
    }
    int64_t absent_ms = -1;
    if (result == APPLY_ABSENT)
        absent_ms = absence_wait_ms(r, w->job.id);
    if (absent_ms >= 0) {
        job_looks_again(r, &w->job, absent_ms);
        return;
    }
    int64_t delay = wait_backoff_ms(w->job.attempts, RETRY_FIRST_MS, RETRY_MAX_MS);
    // every source that could be asked is known to be down until then
    int64_t source_ms = not_before - clock_mono_ms();
    if (not_before && source_ms < delay) {
        if (source_ms < RETRY_FIRST_MS)
            delay = RETRY_FIRST_MS;
        else
            delay = source_ms;
    }
    if (returns_get(r) != n_returns) // a region came back while this try was failing
        delay = RETRY_FIRST_MS;
    job_again(r, &w->job, delay, result == APPLY_ABSENT ? GRADE_ABSENT : w->grade, error);
}

void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct replicator *r = w->r;
    pthread_mutex_lock(&r->lock);
    while (!r->stopping) {
        if (!w->busy) {
            wait_cond(&r->changed, &r->lock, IDLE_LOOK_MS);
            continue;
        }
        pthread_mutex_unlock(&r->lock);
        worker_run(w);
        pthread_mutex_lock(&r->lock);
        w->busy = false;
        w->bytes_left = 0;
        arena_done(&w->arena);
        r->jobs_kicked++;
        pthread_cond_broadcast(&r->changed);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

// --- dispatcher ---

struct pass { // one look at what is due
    struct arena arena;
    struct job *jobs;
    size_t n;
    // mono
    int64_t next_ms;
    struct topology *topology;
    // registries that found no worker
    const char *full[DUE_MAX];
    size_t n_full;
    // jobs that nobody could give anything now
    int64_t later[DUE_MAX];
    size_t n_later;
    size_t n_done;
    // at its begin
    unsigned n_returns;
};

static bool job_running(struct replicator *r, int64_t id)
{
    bool running = false;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->n_workers; i++)
        running = running || (r->workers[i].busy && r->workers[i].job.id == id);
    pthread_mutex_unlock(&r->lock);
    return running;
}

static bool registry_full(const struct pass *pass, const char *registry)
{
    for (size_t i = 0; i < pass->n_full; i++)
        if (strcmp(pass->full[i], registry) == 0)
            return true;
    return false;
}

// The job needs content: to a worker with it, if there is one and somebody can be asked.
static void job_give(struct replicator *r, struct pass *pass, const struct job *job,
                     const struct digest *missing)
{
    const struct registry *reg = NULL;
    if (pass->topology)
        reg = topology_registry(pass->topology, job->entry.registry);
    if ((missing->n && blob_in_flight(r, missing)) ||
        (reg && !sources_free(r, pass->topology, reg))) {
        pass->later[pass->n_later++] = job->id;
        return;
    }
    int rc = ERR_BUSY;
    if (!registry_full(pass, job->entry.registry))
        rc = worker_give(r, job);
    if (!rc)
        pass->n_done++;
    else if (rc == ERR_BUSY && !registry_full(pass, job->entry.registry)) // 6
        pass->full[pass->n_full++] = job->entry.registry;
}

static void job_turn(struct replicator *r, struct pass *pass, const struct job *job)
{
    if (job_running(r, job->id))
        return;
    int rc = 0;
    struct digest missing;
    enum apply_result result = apply_local(r, job, &missing, &rc);
    if (result == APPLY_NEEDS) {
        job_give(r, pass, job, &missing);
        return;
    }
    if (result == APPLY_WAITS)
        job_waits(r, job);
    else if (result == APPLY_FAILED)
        job_again(r, job, wait_backoff_ms(job->attempts, RETRY_FIRST_MS, RETRY_MAX_MS),
                  grade_of(rc),
                  rc == ERR_NOSPACE ? "the disk of this region is full" : err_text(rc));
    pass->n_done++;
}

// What nobody can give now stays due, unless so much of it is due that it hides others from our
// sight. Often that is over in a moment (another job fetches the same blob, a source has enough to
// do), so the first make way for a moment only; the more there are, one pass after the other, the
// longer: else a long backlog would be moved all the time.
static void pass_make_way(struct replicator *r, struct pass *pass)
{
    if (pass->n < DUE_MAX)
        r->n_made_way = 0;
    if (pass->n < DUE_MAX || pass->n_later < DUE_MAX / 2 || r->stopping ||
        pass->n_returns != returns_get(r))
        return;
    int64_t due = clock_mono_ms() + wait_backoff_ms(r->n_made_way, LATER_FIRST_MS, LATER_MAX_MS);
    if (meta_jobs_later(r->o.meta, pass->later, pass->n_later, due) == 0) {
        pass->n_done += pass->n_later;
        r->n_made_way++;
    }
}

static void pass_run(struct replicator *r, struct pass *pass)
{
    pass->n_returns = returns_get(r);
    int rc = meta_jobs_due(r->o.meta, clock_mono_ms(), DUE_MAX, &pass->arena, &pass->jobs, &pass->n,
                           &pass->next_ms);
    if (rc) {
        static struct log_limit limit = LOG_LIMIT(5000);
        log_limited(&limit, LOG_ERROR, "replication: jobs cannot be read: %s", err_text(rc));
        pass->n = 0;
        pass->next_ms = clock_mono_ms() + IDLE_LOOK_MS;
    }
    assert(pass->n <= DUE_MAX);
    pass->topology = snapshot_get(r->o.topology);
    // on a full disk one is enough of a try
    for (size_t i = 0; i < pass->n && !r->stopping && !(i && room_is_full(r->room)); i++)
        job_turn(r, pass, &pass->jobs[i]);
    snapshot_unref(pass->topology);
    pass_make_way(r, pass);
}

void *dispatcher_main(void *arg)
{
    struct replicator *r = arg;
    while (!r->stopping) {
        pthread_mutex_lock(&r->lock);
        uint64_t kicked = r->jobs_kicked;
        pthread_mutex_unlock(&r->lock);
        int rc = room_look(r->room);
        if (rc && !r->stopping) {
            static struct log_limit limit = LOG_LIMIT(10000);
            log_limited(&limit, LOG_ERROR, "replication: parked jobs cannot be read: %s",
                        err_text(rc));
        }
        struct pass pass = {.next_ms = INT64_MAX};
        arena_init(&pass.arena, 0);
        pass_run(r, &pass);
        bool again = pass.n_done > 0;
        int64_t wait_ms = IDLE_LOOK_MS;
        if (pass.next_ms != INT64_MAX)
            wait_ms = pass.next_ms - clock_mono_ms();
        arena_done(&pass.arena);
        if (pass.n && !again) // all that is due runs or waits for a worker
            wait_ms = IDLE_LOOK_MS;
        if (wait_ms > IDLE_LOOK_MS)
            wait_ms = IDLE_LOOK_MS;
        pthread_mutex_lock(&r->lock);
        if (!again && !r->stopping && r->jobs_kicked == kicked)
            wait_cond(&r->changed, &r->lock, wait_ms < 10 ? 10 : wait_ms);
        pthread_mutex_unlock(&r->lock);
    }
    return NULL;
}
