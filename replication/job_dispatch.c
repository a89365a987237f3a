// SPDX-License-Identifier: Apache-2.0
// The dispatcher's passes over what is due; see job_queue.h.
//
// Invariants of job_queue.h: 6 lives here.
#include "replication/ahead.h"
#include "replication/apply.h"
#include "replication/job_outcome.h"
#include "replication/job_queue.h"
#include "replication/replication_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/wait.h"

#include <assert.h>
#include <string.h>

#define DUE_MAX 64
#define LATER_FIRST_MS 500
#define LATER_MAX_MS 10000
#define IDLE_LOOK_MS 1000
#define REST_MIN_MS 10

struct pass { // one look at what is due
    struct replicator *r;
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
    // of registries that are no more
    size_t n_dropped;
    // at its begin
    unsigned n_returns;
    // what is applied together
    struct apply_batch batch;
};

static bool registry_full(const struct pass *pass, const char *registry)
{
    for (size_t i = 0; i < pass->n_full; i++)
        if (strcmp(pass->full[i], registry) == 0)
            return true;
    return false;
}

// Could nobody give the job anything now?
static bool must_wait(const struct pass *pass, const struct job *job, const struct digest *missing)
{
    const struct registry *reg = NULL;
    if (missing->n && blob_in_flight(pass->r, missing))
        return true;
    if (pass->topology)
        reg = topology_registry_by_key(pass->topology, job->entry.registry);
    return reg && !sources_free(pass->r, pass->topology, reg);
}

// The job needs content: to a worker with it, if there is one and somebody can be asked.
static void job_give(struct pass *pass, const struct job *job, const struct digest *missing)
{
    if (must_wait(pass, job, missing)) {
        pass->later[pass->n_later++] = job->id;
        return;
    }
    if (registry_full(pass, job->entry.registry))
        return;
    int rc = job_queue_give(pass->r->jobs, job);
    if (!rc)
        pass->n_done++;
    else if (rc == ERR_BUSY) // 6
        pass->full[pass->n_full++] = job->entry.registry;
}

// `batch`: takes what can be applied now; NULL: it is applied at once.
static void job_turn(struct pass *pass, const struct job *job, struct apply_batch *batch)
{
    struct replicator *r = pass->r;
    struct digest missing;
    int rc = 0;
    if (job_queue_runs(r->jobs, job->id))
        return;
    if (pass->topology && topology_registry_replaced(pass->topology, job->entry.registry)) {
        (void)meta_job_drop(r->o.meta, job->id); // if it fails, the job comes up again
        pass->n_dropped++;
        pass->n_done++;
        return;
    }
    enum apply_result result = apply_local(r, job, batch, &missing, &rc);
    if (result == APPLY_LATER) {
        assert(batch); // else nothing takes it
        batch->jobs[batch->n - 1] = job;
        return;
    }
    if (result == APPLY_NEEDS) {
        job_give(pass, job, &missing);
        return;
    }
    if (result == APPLY_WAITS)
        job_waits(r, job);
    else if (result == APPLY_FAILED)
        job_failed(r, job, grade_of(rc),
                   rc == ERR_NOSPACE ? "the disk of this region is full" : err_text(rc));
    pass->n_done++;
}

// Applies the batch; what could not be applied in it has its turn by itself, and is told why.
static void batch_apply(struct pass *pass)
{
    struct apply_batch *b = &pass->batch;
    struct replicator *r = pass->r;
    if (b->n > 1)
        room_wrote(r->room, meta_apply_all(r->o.meta, b->items, b->n));
    for (size_t i = 0; i < b->n && !life_stopping(r->life); i++) {
        if (i && room_is_full(r->room))
            break;
        if (b->items[i].done)
            pass->n_done++;
        else
            job_turn(pass, b->jobs[i], NULL);
    }
    b->n = 0;
    b->bytes = 0;
}

// What nobody can give now stays due, unless so much of it is due that it hides others from our
// sight. Often that is over in a moment (another job fetches the same blob, a source has enough to
// do), so the first make way for a moment only; the more passes in a row need that, the longer:
// else a long backlog would be moved all the time.
static void pass_make_way(struct pass *pass, unsigned *n_made_way)
{
    struct replicator *r = pass->r;
    if (pass->n < DUE_MAX) {
        *n_made_way = 0;
        return;
    }
    if (pass->n_later < DUE_MAX / 2 || life_stopping(r->life))
        return;
    if (pass->n_returns != job_queue_returns(r->jobs))
        return;
    int64_t due = clock_mono_ms() + wait_backoff_ms(*n_made_way, LATER_FIRST_MS, LATER_MAX_MS);
    if (meta_jobs_later(r->o.meta, pass->later, pass->n_later, due))
        return;
    pass->n_done += pass->n_later;
    (*n_made_way)++;
}

static void pass_read(struct pass *pass)
{
    static struct log_limit limit = LOG_LIMIT(5000);
    int rc = meta_jobs_due(pass->r->o.meta, clock_mono_ms(), DUE_MAX, &pass->arena, &pass->jobs,
                           &pass->n, &pass->next_ms);
    if (rc) {
        log_limited(&limit, LOG_ERROR, "replication: jobs cannot be read: %s", err_text(rc));
        pass->n = 0;
        pass->next_ms = clock_mono_ms() + IDLE_LOOK_MS;
    }
    assert(pass->n <= DUE_MAX);
}

static void pass_run(struct pass *pass, unsigned *n_made_way)
{
    struct replicator *r = pass->r;
    pass->n_returns = job_queue_returns(r->jobs);
    pass->batch = (struct apply_batch){.arena = &pass->arena};
    pass_read(pass);
    pass->topology = snapshot_get(r->o.topology);
    for (size_t i = 0; i < pass->n && !life_stopping(r->life); i++) {
        if (i && room_is_full(r->room)) // one is enough of a try
            break;
        job_turn(pass, &pass->jobs[i], &pass->batch);
        if (pass->batch.n == APPLY_ITEMS_MAX)
            batch_apply(pass);
    }
    batch_apply(pass);
    snapshot_unref(pass->topology);
    if (pass->n_dropped) // what waits for them goes the same way
        meta_jobs_wake(r->o.meta);
    assert(pass->n_later <= pass->n && pass->n_full <= pass->n);
    pass_make_way(pass, n_made_way);
}

// How long until the next look; 0: there may be more at once.
static int64_t pass_rest_ms(const struct pass *pass)
{
    if (pass->n_done)
        return 0;
    if (pass->n) // all that is due runs or waits for a worker
        return IDLE_LOOK_MS;
    int64_t ms = IDLE_LOOK_MS;
    if (pass->next_ms != INT64_MAX)
        ms = pass->next_ms - clock_mono_ms();
    if (ms > IDLE_LOOK_MS)
        return IDLE_LOOK_MS;
    if (ms < REST_MIN_MS)
        return REST_MIN_MS;
    return ms;
}

static void parked_look(struct replicator *r)
{
    static struct log_limit limit = LOG_LIMIT(10000);
    int rc = room_look(r->room);
    if (rc && !life_stopping(r->life))
        log_limited(&limit, LOG_ERROR, "replication: parked jobs cannot be read: %s", err_text(rc));
}

void *job_dispatch_main(void *arg)
{
    struct replicator *r = arg;
    // passes that made way, one after the other
    unsigned n_made_way = 0;
    while (!life_stopping(r->life)) {
        uint64_t n_kicks = job_queue_kicks(r->jobs);
        parked_look(r);
        ahead_look(r->ahead, r->o.meta);
        struct pass pass = {.r = r, .next_ms = INT64_MAX};
        arena_init(&pass.arena, 0);
        pass_run(&pass, &n_made_way);
        int64_t rest_ms = pass_rest_ms(&pass);
        arena_done(&pass.arena);
        if (rest_ms)
            job_queue_rest(r->jobs, n_kicks, rest_ms);
    }
    return NULL;
}
