// SPDX-License-Identifier: Apache-2.0
// The strand of an exchange: everything of it that may block, one job of the pool at a time
// (invariant 1). A strand hands the body to the sink, runs the plan, and says when a body is given
// up.
#include "net/http_priv.h"
#include "net/refusals.h"

#include "base/clock.h"
#include "base/mem.h"

#include <assert.h>

static void strand_job(void *arg);
static void strand_lost(void *arg);

// The daemon's own people come over the admin socket: no client's flood keeps them out.
static enum pool_lane lane_of(const struct http_request *req)
{
    if (req->listener == LISTENER_PEER || req->listener == LISTENER_ADMIN)
        return POOL_REGIONS;
    return POOL_CLIENTS;
}

int http_schedule_locked(struct http_exchange *ex)
{
    if (ex->job_active)
        return 0;
    ex->job = (struct pool_job){.run = strand_job,
                                .lost = strand_lost,
                                .arg = ex,
                                .lane = lane_of(&ex->req),
                                .client = ex->req.client,
                                .name = ex->plan.name};
    ex->job_active = true;
    atomic_fetch_add(&ex->refs, 1);
    int rc = pool_submit(http_pool_of(ex), &ex->job);
    if (rc) {
        ex->job_active = false;
        atomic_fetch_sub(&ex->refs, 1); // never the last: the caller holds one
        return rc;
    }
    ex->flush_ms = 0;
    return 0;
}

int64_t http_retry_locked(struct http_exchange *ex)
{
    if (!ex->retry_pending) {
        ex->retry_pending = true;
        atomic_fetch_add(&ex->refs, 1);
    }
    return clock_mono_ms() + HTTP_RETRY_MS;
}

static void strand_chunk(struct http_exchange *ex) // enters and leaves with the lock
{
    struct http_chunk *c = http_chunks_take(ex);
    // not when the client has left: what came is the sink's
    bool skip = ex->sink_failed || ex->refuse;
    pthread_mutex_unlock(&ex->lock);
    int rc = 0;
    if (!skip)
        rc = ex->plan.sink->write(&ex->req, c->data, c->n);
    size_t n = c->n;
    http_chunk_give(ex->server, c);
    pthread_mutex_lock(&ex->lock);
    ex->queued_bytes -= n;
    if (rc)
        ex->sink_failed = true;
    http_resume_from_locked(ex, WAIT_SINK);
}

static bool nobody_waits(const struct http_exchange *ex)
{
    return !ex->conn || http_client_gone(ex);
}

static void strand_answer(struct http_exchange *ex, int refuse, bool late,
                          struct http_response *resp)
{
    const struct http_app *app = &ex->server->app;
    if (ex->plan.kind == HTTP_PLAN_COLLECT)
        ex->req.body = bytes_of(buf_cstr(&ex->body), ex->body.n);
    if (refuse)
        http_refuse_own(&ex->req, resp, refuse);
    else if (late)
        app->run_late(app->ctx, &ex->req, resp);
    else
        ex->plan.run(&ex->req, resp);
}

static void strand_run(struct http_exchange *ex) // enters and leaves with the lock
{
    http_park_end(ex);
    ex->ran = true;
    int refuse = ex->refuse;
    bool late = ex->run_late;
    bool unheard = ex->plan.for_answer && nobody_waits(ex);
    if (unheard)
        ex->cut = true;
    pthread_mutex_unlock(&ex->lock);
    if (!unheard) {
        struct http_response resp = {0};
        strand_answer(ex, refuse, late, &resp);
        if (resp.again) {
            assert(!ex->req.hurried);
            pthread_mutex_lock(&ex->lock);
            ex->moves_to = resp.again;
            return;
        }
        if (resp.parked) {
            http_park(ex, &resp);
            return;
        }
        http_answer_make(ex, &resp);
    }
    http_call_done(ex);
    pthread_mutex_lock(&ex->lock);
    http_resume_from_locked(ex, WAIT_RUN);
}

// The body is given up: what came is the sink's. If the rest came meanwhile, the library takes the
// answer after all.
static void strand_give_up(struct http_exchange *ex) // enters and leaves with the lock
{
    ex->ran = true;
    bool answered = ex->made;
    pthread_mutex_unlock(&ex->lock);
    if (!ex->done_called)
        http_call_done(ex);
    const struct http_app *app = &ex->server->app;
    struct http_response resp = {0};
    http_slow_response(ex, &resp);
    struct http_response told = resp;
    if (app->finish)
        app->finish(app->ctx, &ex->req, &told);
    pthread_mutex_lock(&ex->lock);
    if (!ex->body_complete && ex->conn) {
        http_slow_tell(ex, &told);
        pthread_mutex_unlock(&ex->lock);
        refusals_log(&ex->req, told.status);
        pthread_mutex_lock(&ex->lock);
        return;
    }
    if (answered)
        return;
    pthread_mutex_unlock(&ex->lock);
    http_answer_make(ex, &resp);
    pthread_mutex_lock(&ex->lock);
    http_resume_from_locked(ex, WAIT_RUN);
}

// One step of the strand; false: there is nothing to do now. Enters and leaves with the lock.
static bool strand_step(struct http_exchange *ex, int64_t *arm)
{
    if (ex->head) {
        strand_chunk(ex);
        return true;
    }
    if (ex->give_up && !ex->ran) {
        strand_give_up(ex);
        *arm = ex->hang_up_ms;
        return true;
    }
    if (ex->body_complete && !ex->ran) {
        strand_run(ex);
        return true;
    }
    if (ex->conn || ex->done_called)
        return false;
    http_park_end(ex);
    pthread_mutex_unlock(&ex->lock); // the client left in mid-body
    http_call_done(ex);
    pthread_mutex_lock(&ex->lock);
    return true;
}

// The run goes on in a job of another pool, which may begin as soon as the lock is left. NULL: there
// is no room there, and this job goes on. Enters and leaves with the lock.
static struct pool *strand_move(struct http_exchange *ex)
{
    struct pool *here = atomic_load(&ex->moved_to), *to = ex->moves_to;
    ex->moves_to = NULL;
    ex->ran = false;
    ex->job_active = false;
    atomic_store(&ex->moved_to, to);
    if (!http_schedule_locked(ex))
        return to;
    ex->job_active = true;
    atomic_store(&ex->moved_to, here);
    ex->req.hurried = true;
    return NULL;
}

// All that there is to do now. Returns the pool where the strand goes on, or NULL: then it is over.
static struct pool *strand_steps(struct http_exchange *ex, int64_t *arm)
{
    for (;;) {
        while (!ex->moves_to && strand_step(ex, arm))
            ;
        assert(!ex->queued_bytes); // invariant 3
        if (!ex->moves_to)
            return NULL;
        struct pool *to = strand_move(ex);
        if (to)
            return to;
    }
}

static void strand_job(void *arg)
{
    struct http_exchange *ex = arg;
    int64_t arm = 0;
    pthread_mutex_lock(&ex->lock);
    assert(ex->job_active); // invariant 1
    ex->started = true;
    http_park_end(ex);
    struct pool *moved_to = strand_steps(ex, &arm);
    if (!moved_to)
        ex->job_active = false;
    if (ex->is_parked && (!arm || ex->park_until < arm))
        arm = ex->park_until;
    pthread_mutex_unlock(&ex->lock);
    if (moved_to)
        pool_settle(moved_to);
    if (arm)
        http_server_arm(ex->server, arm);
    http_exchange_unref(ex);
}

// Others came first and there was no room left: an answer if nothing was begun, else it asks again.
static void strand_lost(void *arg)
{
    struct http_exchange *ex = arg;
    int64_t arm = 0;
    pthread_mutex_lock(&ex->lock);
    assert(ex->job_active); // invariant 1
    ex->job_active = false;
    if (ex->started || ex->give_up)
        arm = http_retry_locked(ex);
    else if (!ex->refuse)
        ex->refuse = http_busy_status(ex);
    // the client left while it waited, and no strand will come
    bool alone = !ex->started && !ex->give_up && !ex->conn && !ex->done_called;
    if (!ex->started)
        http_resume_locked(ex);
    pthread_mutex_unlock(&ex->lock);
    if (alone)
        http_call_done(ex);
    if (arm)
        http_server_arm(ex->server, arm);
    http_exchange_unref(ex);
}
