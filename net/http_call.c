// SPDX-License-Identifier: Apache-2.0
// libmicrohttpd's calls for an exchange: its head, its body, its end, and that its connection is
// done with it. On the HTTP thread.
#include "net/http_priv.h"
#include "net/refuse.h"

#include "base/clock.h"

#include <assert.h>

// One network's requests never take all the connections that there are for clients.
static bool admitted(struct http_exchange *ex)
{
    struct share *share = ex->server->share;
    ex->place = ex->req.client; // handlers may judge the request as another's
    ex->shares = share && share_take(share, &ex->place);
    return !share || ex->shares;
}

static void plan_make(struct http_exchange *ex)
{
    struct http_app *app = &ex->server->app;
    if (!ex->late)
        app->begin(app->ctx, &ex->req, &ex->plan);
    else if (app->begin_late)
        app->begin_late(app->ctx, &ex->req, &ex->plan);
    else {
        ex->plan.kind = HTTP_PLAN_REPLY;
        http_refuse_own(&ex->req, &ex->plan.response, 503);
    }
    pthread_mutex_lock(&ex->lock);
    ex->planned = true;
    pthread_mutex_unlock(&ex->lock);
}

// Is the body refused by its length alone?
static bool length_refused(const struct http_plan *plan, int64_t length)
{
    if (length <= 0)
        return false;
    switch (plan->kind) {
    case HTTP_PLAN_REPLY:
        return false;
    case HTTP_PLAN_RUN:
        return length > HTTP_DISCARD_MAX;
    case HTTP_PLAN_COLLECT:
        return (uint64_t)length > plan->body_max;
    case HTTP_PLAN_STREAM:
        return plan->body_max && (uint64_t)length > plan->body_max;
    }
    return false;
}

// Before the body. A small one is read and dropped, so that the connection lives on; a large or
// endless one is not waited for.
static enum MHD_Result answer_at_once(struct http_exchange *ex, struct http_response *resp,
                                      bool chunked)
{
    int64_t length = ex->req.content_length;
    http_answer_inline(ex, resp);
    if (length > HTTP_DRAIN_MAX || chunked)
        return http_answer_early(ex);
    if (length > 0)
        http_read_begin(ex);
    return MHD_YES;
}

static enum MHD_Result exchange_begin(struct http_exchange *ex, struct MHD_Connection *conn,
                                      const char *method, const char *version)
{
    struct http_server *s = ex->server;
    struct http_response resp = {0};
    bool chunked = false;
    pthread_mutex_lock(&ex->lock);
    ex->begun = true;
    ex->late = atomic_load(&s->yielded);
    ex->conn = conn;
    pthread_mutex_unlock(&ex->lock);
    const union MHD_ConnectionInfo *fd =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
    ex->conn_fd = -1;
    if (fd)
        ex->conn_fd = fd->connect_fd;
    int status =
        http_request_ingest(&ex->req, conn, s->options.listener, method, version, &chunked);
    if (!ex->refuse)
        ex->refuse = status;
    // the framing is not to be trusted: answered at once, which closes the connection
    if (ex->refuse) {
        http_refuse_own(&ex->req, &resp, ex->refuse);
        http_answer_inline(ex, &resp);
        return http_answer_early(ex);
    }
    struct http_plan *plan = &ex->plan;
    if (admitted(ex)) {
        plan_make(ex);
        ex->req.ctx = plan->ctx;
    } else {
        plan->kind = HTTP_PLAN_REPLY;
        http_refuse_own(&ex->req, &plan->response, 429);
    }
    if (length_refused(plan, ex->req.content_length))
        ex->refuse = 413;
    if (ex->refuse) {
        http_refuse_own(&ex->req, &resp, ex->refuse);
        return answer_at_once(ex, &resp, chunked);
    }
    if (plan->kind == HTTP_PLAN_REPLY) {
        resp = plan->response;
        return answer_at_once(ex, &resp, chunked);
    }
    if (ex->req.content_length > 0 || chunked)
        http_read_begin(ex);
    return MHD_YES;
}

// The body of a plan that looks at it before any pool does: no job is active yet, so the request is
// this thread's. True when that gave the answer.
static bool answered_by_body(struct http_exchange *ex)
{
    struct http_plan *plan = &ex->plan;
    if (plan->kind != HTTP_PLAN_COLLECT || !plan->collected || ex->refuse || ex->cut)
        return false;
    ex->req.body = bytes_of(buf_cstr(&ex->body), ex->body.n);
    plan->collected(&ex->req, plan);
    if (plan->kind != HTTP_PLAN_REPLY)
        return false;
    struct http_response resp = plan->response;
    ex->ran = true;
    http_answer_inline(ex, &resp);
    return true;
}

// The body is in. After a yield another may run in the plan's place, which has had no job yet.
static void body_ends_locked(struct http_exchange *ex)
{
    ex->body_complete = true;
    if (ex->late || !http_runs_late(ex) || !atomic_load(&ex->server->yielded))
        return;
    ex->late = ex->run_late = true;
    ex->plan.pool = ex->server->late_pool;
}

// The strand's turn, once the body is in. Returns when the timer must look, or 0.
static int64_t run_locked(struct http_exchange *ex)
{
    bool begun = ex->started || ex->job_active;
    // the strand may be using the request: then it makes the refusal
    if (ex->refuse && !begun)
        return 0;
    if (!http_schedule_locked(ex))
        return 0;
    if (ex->refuse || ex->started)
        return http_retry_locked(ex);
    ex->refuse = http_busy_status(ex);
    return 0;
}

// Run, and wait for the answer. Called again whenever the connection was resumed.
static enum MHD_Result exchange_end(struct http_exchange *ex)
{
    int64_t arm = 0;
    if (!ex->body_complete && http_read_end(ex) && answered_by_body(ex)) {
        ex->body_complete = true;
        return http_answer_send(ex);
    }
    pthread_mutex_lock(&ex->lock);
    bool first = !ex->body_complete;
    if (first)
        body_ends_locked(ex);
    ex->cut = ex->cut || ex->told; // there is no second answer
    if (ex->answer || ex->cut) {
        pthread_mutex_unlock(&ex->lock);
        return http_answer_send(ex);
    }
    if (ex->timed_out) {
        pthread_mutex_unlock(&ex->lock);
        return http_answer_late(ex);
    }
    if (first)
        arm = run_locked(ex);
    if (ex->refuse && !ex->started && !ex->job_active) {
        ex->ran = true;
        pthread_mutex_unlock(&ex->lock);
        struct http_response resp = {0};
        http_refuse_own(&ex->req, &resp, ex->refuse);
        http_answer_inline(ex, &resp);
        return http_answer_send(ex);
    }
    http_suspend_locked(ex, WAIT_RUN, ex->server->options.run_deadline_ms);
    if (!arm)
        arm = ex->deadline_ms;
    pthread_mutex_unlock(&ex->lock);
    pool_settle(http_pool_of(ex));
    http_server_arm(ex->server, arm);
    return MHD_YES;
}

enum MHD_Result http_exchange_call(struct http_exchange *ex, struct MHD_Connection *conn,
                                   const char *method, const char *version, const char *data,
                                   size_t *n_data)
{
    if (atomic_load(&ex->server->closing))
        return MHD_NO;
    if (!ex->begun)
        return exchange_begin(ex, conn, method, version);
    if (*n_data)
        return http_body_take(ex, data, n_data);
    return exchange_end(ex);
}

void http_exchange_completed(struct http_exchange *ex)
{
    struct http_server *s = ex->server;
    int64_t arm = 0;
    if (ex->shares)
        share_give(s->share, &ex->place);
    pthread_mutex_lock(&ex->lock);
    ex->conn = NULL;
    ex->suspended = false;
    // The timer begins no strand from here on, for it holds no reference: nobody is left whose body
    // could be given up, and what is queued has its strand here, or is refused.
    ex->reading = false;
    ex->flush_ms = 0;
    ex->is_parked = false; // its next job calls done
    // a strand, also one that is still to come, calls done itself (invariant 1)
    bool strand = ex->started || ex->job_active || ex->retry_pending;
    // bytes that no strand was called for yet
    if (ex->head && !ex->refuse)
        strand = true;
    bool inline_done = !ex->done_called && !strand;
    if (!inline_done && !ex->done_called && http_schedule_locked(ex))
        arm = http_retry_locked(ex);
    pthread_mutex_unlock(&ex->lock);
    if (!inline_done)
        pool_settle(http_pool_of(ex));
    if (inline_done)
        http_call_done(ex);
    if (arm)
        http_server_arm(s, arm);
    pthread_mutex_lock(&s->lock);
    atomic_fetch_sub(&s->active, 1);
    pthread_cond_broadcast(&s->idle_cond);
    pthread_mutex_unlock(&s->lock);
    http_exchange_unref(ex);
}
