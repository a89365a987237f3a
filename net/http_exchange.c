// SPDX-License-Identifier: Apache-2.0
// One request's life between libmicrohttpd and the handlers; see http.h for its steps and
// http_priv.h for its locks. Runs on an HTTP thread (http_exchange_call, _completed, stream reads),
// on the pool (strand_job) and on the server's timer (http_exchange_tick).
//
// Invariants
//   1. At most one strand job per exchange is queued or running; sink, run and done are called by
//      it alone, in that order (done also inline, when nothing ever ran).
//   2. "full → suspended" and "space → resume" are decided under ex->lock, so no wake-up is lost.
//   3. A response is queued on the first call (which closes the connection: refusals of large
//      bodies only) or after the whole body.
//   4. Every suspension has a deadline, and every body a least rate: whoever sends a byte a minute
//      holds no connection for long. While we do not read, the time is not the sender's.
//   5. Once it is given up, a body is discarded, and the strand alone says so: after done, and only
//      once.
#include "net/http_priv.h"
#include "net/refusals.h"
#include "net/refuse.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <string.h>
#include <strings.h>
#include <sys/socket.h>

static void strand_job(void *arg);
static void strand_lost(void *arg);

// --- life ---

struct http_exchange *http_exchange_new(struct http_server *s, const char *target)
{
    struct http_exchange *ex = mem_zalloc(sizeof *ex);
    if (!ex)
        return NULL;
    if (http_request_init(&ex->req)) {
        arena_done(&ex->req.arena);
        free(ex);
        return NULL;
    }
    ex->server = s;
    ex->req.words = s->app.words;
    atomic_store(&ex->refs, 1);
    pthread_mutex_init(&ex->lock, NULL);
    buf_init(&ex->body, 0);
    if (strlen(target) > HTTP_TARGET_MAX)
        ex->refuse = 414;
    else if (http_request_target(&ex->req, target) || http_dot_segments(ex->req.path))
        ex->refuse = 400;
    atomic_fetch_add(&s->active, 1);
    pthread_mutex_lock(&s->lock);
    ex->next = s->exchanges;
    if (ex->next)
        ex->next->prev = ex;
    s->exchanges = ex;
    pthread_mutex_unlock(&s->lock);
    return ex;
}

static void chunks_free(struct http_exchange *ex)
{
    while (ex->head) {
        struct http_chunk *c = ex->head;
        ex->head = c->next;
        atomic_fetch_sub(&ex->server->uploads_bytes, c->n);
        free(c);
    }
}

void http_exchange_unref(struct http_exchange *ex)
{
    if (atomic_fetch_sub(&ex->refs, 1) != 1)
        return;
    struct http_server *s = ex->server;
    if (ex->answer)
        MHD_destroy_response(ex->answer);
    chunks_free(ex);
    atomic_fetch_sub(&s->uploads_bytes, ex->reserved_bytes);
    buf_done(&ex->body);
    arena_done(&ex->req.arena);
    pthread_mutex_lock(&s->lock);
    if (ex->prev)
        ex->prev->next = ex->next;
    else
        s->exchanges = ex->next;
    if (ex->next)
        ex->next->prev = ex->prev;
    pthread_mutex_destroy(&ex->lock);
    free(ex);
    pthread_cond_broadcast(&s->idle_cond); // under the lock: the server may be freed right after
    pthread_mutex_unlock(&s->lock);
}

// --- suspend and resume, under ex->lock ---

static void resume_locked(struct http_exchange *ex)
{
    if (!ex->suspended || !ex->conn)
        return;
    ex->suspended = false;
    MHD_resume_connection(ex->conn);
}

static void suspend_locked(struct http_exchange *ex, enum http_wait wait, int64_t for_ms)
{
    ex->suspended = true;
    ex->wait = wait;
    ex->suspended_us = clock_mono_us();
    ex->deadline_ms = ex->suspended_us / 1000 + for_ms;
    MHD_suspend_connection(ex->conn);
}

static struct pool *pool_of(const struct http_exchange *ex)
{
    if (ex->plan.pool)
        return ex->plan.pool;
    return ex->server->options.pool;
}

// The daemon's own people come over the admin socket: no client's flood keeps them out.
static enum pool_lane lane_of(const struct http_request *req)
{
    if (req->listener == LISTENER_PEER || req->listener == LISTENER_ADMIN)
        return POOL_REGIONS;
    return POOL_CLIENTS;
}

// Gives the exchange a job on its pool unless it has one. Whoever calls it settles that pool once
// he holds no lock.
static int schedule_locked(struct http_exchange *ex)
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
    int rc = pool_submit(pool_of(ex), &ex->job);
    if (rc) {
        ex->job_active = false;
        atomic_fetch_sub(&ex->refs, 1); // never the last: the caller holds one
    }
    return rc;
}

// The pool is full but the work was begun: the timer asks again. Returns when.
static int64_t retry_locked(struct http_exchange *ex)
{
    if (!ex->retry_pending) {
        ex->retry_pending = true;
        atomic_fetch_add(&ex->refs, 1);
    }
    return clock_mono_ms() + HTTP_RETRY_MS;
}

// --- answers ---

static void stream_closed(void *cls)
{
    struct http_stream *s = cls;
    pthread_mutex_lock(&s->lock);
    struct http_exchange *ex = take_ptr(s->exchange);
    pthread_mutex_unlock(&s->lock);
    if (ex)
        http_exchange_unref(ex);
    if (s->ops->close)
        s->ops->close(s->ctx);
    http_stream_unref(s);
}

// A suspended connection says nothing of a client that left; one that sends nothing would be kept
// for ever.
static bool client_gone(const struct http_exchange *ex)
{
    char c;
    return recv(ex->conn_fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static ssize_t stream_read(void *cls, uint64_t at, char *to, size_t cap)
{
    (void)at;
    struct http_stream *s = cls;
    for (;;) {
        pthread_mutex_lock(&s->lock);
        s->woken = false;
        struct http_exchange *ex = s->exchange;
        pthread_mutex_unlock(&s->lock);
        if (atomic_load(&ex->server->draining))
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (client_gone(ex))
            return MHD_CONTENT_READER_END_WITH_ERROR;
        ssize_t n = s->ops->read(s->ctx, s, (uint8_t *)to, cap);
        if (n > 0)
            return n;
        if (n < 0) {
            if (n == HTTP_STREAM_END)
                return MHD_CONTENT_READER_END_OF_STREAM;
            return MHD_CONTENT_READER_END_WITH_ERROR;
        }
        pthread_mutex_lock(&s->lock);
        if (s->woken) { // between the read and here
            pthread_mutex_unlock(&s->lock);
            continue;
        }
        pthread_mutex_lock(&ex->lock);
        suspend_locked(ex, WAIT_STREAM, s->ops->poll_ms ? s->ops->poll_ms : 1000);
        int64_t when = ex->deadline_ms;
        pthread_mutex_unlock(&ex->lock);
        pthread_mutex_unlock(&s->lock);
        http_server_arm(ex->server, when);
        return 0;
    }
}

static bool header_is_ours(const char *name) // framing belongs to the library, Accel to the edge
{
    static const char *const ours[] = {"Content-Length", "Transfer-Encoding", "Connection", "Date",
                                       "Keep-Alive"};
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        if (!strcasecmp(name, ours[i]))
            return true;
    return !strncasecmp(name, "X-Accel-", 8);
}

static int answer_headers(struct MHD_Response *m, const struct http_request *req,
                          const struct http_response *resp)
{
    const char *type = http_response_get(resp, "Content-Type");
    bool ok = !type || MHD_add_response_header(m, "Content-Type", type) == MHD_YES;
    for (const struct http_header *h = resp->headers; h; h = h->next)
        if (strcasecmp(h->name, "Content-Type") && !header_is_ours(h->name))
            ok = ok && MHD_add_response_header(m, h->name, h->value) == MHD_YES;
    if (!http_response_get(resp, "X-Meridian-Request-Id"))
        ok = ok && MHD_add_response_header(m, "X-Meridian-Request-Id", req->request_id) == MHD_YES;
    if (resp->kind == HTTP_ACCEL)
        ok = ok && MHD_add_response_header(m, "X-Accel-Redirect", resp->accel) == MHD_YES;
    if (req->principal && *req->principal)
        ok = ok && MHD_add_response_header(m, HTTP_HEADER_PRINCIPAL, req->principal) == MHD_YES;
    if (resp->status >= 400 && req->refused_code && *req->refused_code)
        ok = ok && MHD_add_response_header(m, HTTP_HEADER_REASON, req->refused_code) == MHD_YES;
    if (ok)
        return 0;
    return ERR_NOMEM;
}

// Everything is copied, so that the request may end before its answer is sent.
static struct MHD_Response *answer_build(struct http_exchange *ex, struct http_response *resp)
{
    struct MHD_Response *m;
    if (resp->kind == HTTP_STREAM) {
        m = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 32 << 10, stream_read,
                                              resp->stream_handle, stream_closed);
        if (!m) {
            stream_closed(resp->stream_handle);
            return NULL;
        }
        ex->stream = resp->stream_handle;
    } else {
        struct bytes b;
        if (resp->kind == HTTP_BYTES)
            b = resp->body;
        else
            b = (struct bytes){0};
        m = MHD_create_response_from_buffer(
            b.n, b.n ? (void *)(uintptr_t)b.p : (void *)(uintptr_t) "", MHD_RESPMEM_MUST_COPY);
    }
    if (m && answer_headers(m, &ex->req, resp)) {
        ex->stream = NULL;
        MHD_destroy_response(m);
        return NULL;
    }
    return m;
}

// finish, then the library's response. By the owner of the request, without the lock.
static void answer_make(struct http_exchange *ex, struct http_response *resp)
{
    static struct log_limit lim = LOG_LIMIT(5000);
    struct http_app *app = &ex->server->app;
    if (resp->status < 200 || resp->status > 599) {
        log_limited(&lim, LOG_ERROR, "http: a handler gave status %d for %s %s", resp->status,
                    ex->req.method_text, ex->req.path);
        http_refuse_own(&ex->req, resp, 500);
    }
    if (app->finish)
        app->finish(app->ctx, &ex->req, resp);
    struct MHD_Response *m = answer_build(ex, resp);
    int status = resp->status;
    if (!m) {
        struct http_response plain = {0};
        const struct http_words *words = http_words_of(&ex->req);
        http_response_bytes(&plain, 500, words->content_type, bytes_str(words->bare));
        m = answer_build(ex, &plain);
        status = 500;
    }
    pthread_mutex_lock(&ex->lock);
    bool late = ex->timed_out; // it has been answered, and that was logged
    pthread_mutex_unlock(&ex->lock);
    if (!late)
        refusals_log(&ex->req, status);
    pthread_mutex_lock(&ex->lock);
    ex->answer = m; // still NULL: the connection is cut
    ex->answer_status = status;
    ex->cut = ex->cut || !m;
    pthread_mutex_unlock(&ex->lock);
}

static void call_done(struct http_exchange *ex)
{
    ex->done_called = true;
    if (ex->planned && ex->plan.done)
        ex->plan.done(&ex->req);
}

static enum MHD_Result answer_send(struct http_exchange *ex)
{
    if (ex->cut || !ex->answer)
        return MHD_NO;
    if (atomic_load(&ex->server->draining))
        MHD_add_response_header(ex->answer, "Connection", "close");
    if (ex->stream) { // from here on it may be woken; it holds the exchange until it is closed
        pthread_mutex_lock(&ex->stream->lock);
        atomic_fetch_add(&ex->refs, 1);
        ex->stream->exchange = ex;
        pthread_mutex_unlock(&ex->stream->lock);
    }
    enum MHD_Result rc = MHD_queue_response(ex->conn, (unsigned)ex->answer_status, ex->answer);
    pthread_mutex_lock(&ex->lock);
    ex->sent = !ex->stream;
    pthread_mutex_unlock(&ex->lock);
    MHD_destroy_response(take_ptr(ex->answer)); // the connection holds its own reference
    return rc;
}

// Its run takes too long, and goes on: the request is the job's, so only what never changes in it
// is looked at.
static enum MHD_Result answer_late(struct http_exchange *ex)
{
    const struct http_words *words = http_words_of(&ex->req);
    const char *code = words->code(REFUSED_FAILED);
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    if (words->form(&text, code, "the work took too long"))
        return MHD_NO;
    struct MHD_Response *m = MHD_create_response_from_buffer(text.n, text.p, MHD_RESPMEM_MUST_COPY);
    if (!m)
        return MHD_NO;
    enum MHD_Result rc = MHD_add_response_header(m, "Content-Type", words->content_type);
    if (rc == MHD_YES)
        rc = MHD_add_response_header(m, "X-Meridian-Request-Id", ex->req.request_id);
    if (rc == MHD_YES)
        rc = MHD_add_response_header(m, HTTP_HEADER_REASON, code);
    if (rc == MHD_YES)
        rc = MHD_queue_response(ex->conn, 504, m);
    MHD_destroy_response(m);
    refusals_log_late(&ex->req);
    return rc;
}

// An answer by this thread alone: nothing of the request ever went to a pool.
static void answer_inline(struct http_exchange *ex, struct http_response *resp)
{
    answer_make(ex, resp);
    call_done(ex);
}

// --- the strand: everything that may block, one job at a time ---

static int busy_status(const struct http_exchange *ex)
{
    if (ex->plan.busy_status)
        return ex->plan.busy_status;
    return 503;
}

static void strand_chunk(struct http_exchange *ex) // enters and leaves with the lock
{
    struct http_chunk *c = ex->head;
    ex->head = c->next;
    if (!ex->head)
        ex->tail = NULL;
    // not when the client has left: what came is the sink's
    bool skip = ex->sink_failed || ex->refuse;
    pthread_mutex_unlock(&ex->lock);
    int rc = 0;
    if (!skip)
        rc = ex->plan.sink->write(&ex->req, c->data, c->n);
    atomic_fetch_sub(&ex->server->uploads_bytes, c->n);
    pthread_mutex_lock(&ex->lock);
    ex->queued_bytes -= c->n;
    free(c);
    if (rc)
        ex->sink_failed = true;
    if (ex->wait == WAIT_SINK)
        resume_locked(ex);
}

static void strand_run(struct http_exchange *ex) // enters and leaves with the lock
{
    ex->ran = true;
    int refuse = ex->refuse;
    bool late = ex->run_late;
    bool nobody_waits = ex->plan.for_answer && (!ex->conn || client_gone(ex));
    if (nobody_waits)
        ex->cut = true;
    pthread_mutex_unlock(&ex->lock);
    if (nobody_waits) {
        call_done(ex);
        pthread_mutex_lock(&ex->lock);
        if (ex->wait == WAIT_RUN)
            resume_locked(ex);
        return;
    }
    struct http_response resp = {0};
    if (ex->plan.kind == HTTP_PLAN_COLLECT)
        ex->req.body = bytes_of(buf_cstr(&ex->body), ex->body.n);
    if (refuse)
        http_refuse_own(&ex->req, &resp, refuse);
    else if (late)
        ex->server->app.run_late(ex->server->app.ctx, &ex->req, &resp);
    else
        ex->plan.run(&ex->req, &resp);
    answer_make(ex, &resp);
    call_done(ex);
    pthread_mutex_lock(&ex->lock);
    if (ex->wait == WAIT_RUN)
        resume_locked(ex);
}

// The body is given up: what came is the sink's. If the rest came meanwhile, the library takes the
// answer after all.
static void strand_give_up(struct http_exchange *ex) // enters and leaves with the lock
{
    ex->ran = true;
    bool answered = ex->answer;
    pthread_mutex_unlock(&ex->lock);
    if (!ex->done_called)
        call_done(ex);
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
    answer_make(ex, &resp);
    pthread_mutex_lock(&ex->lock);
    if (ex->wait == WAIT_RUN)
        resume_locked(ex);
}

static void strand_job(void *arg)
{
    struct http_exchange *ex = arg;
    int64_t arm = 0;
    pthread_mutex_lock(&ex->lock);
    ex->started = true;
    for (;;) {
        if (ex->head)
            strand_chunk(ex);
        else if (ex->give_up && !ex->ran) {
            strand_give_up(ex);
            arm = ex->hang_up_ms;
        } else if (ex->body_complete && !ex->ran)
            strand_run(ex);
        else if (!ex->conn && !ex->done_called) { // the client left in mid-body
            pthread_mutex_unlock(&ex->lock);
            call_done(ex);
            pthread_mutex_lock(&ex->lock);
        } else
            break;
    }
    ex->job_active = false;
    pthread_mutex_unlock(&ex->lock);
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
    ex->job_active = false;
    if (ex->started || ex->give_up)
        arm = retry_locked(ex);
    else if (!ex->refuse)
        ex->refuse = busy_status(ex);
    bool alone = !ex->started && !ex->conn && !ex->done_called; // the client left while it waited
    if (!ex->started)
        resume_locked(ex);
    pthread_mutex_unlock(&ex->lock);
    if (alone)
        call_done(ex);
    if (arm)
        http_server_arm(ex->server, arm);
    http_exchange_unref(ex);
}

// --- the handler calls ---

// An answer before the body is in: the connection is closed behind it.
static enum MHD_Result answer_early(struct http_exchange *ex)
{
    http_server_linger(ex->server, ex->conn_fd);
    return answer_send(ex);
}

// A body follows.
static void read_begin(struct http_exchange *ex)
{
    struct pace_rule rule = http_slow_rule(ex->server, &ex->plan);
    pthread_mutex_lock(&ex->lock);
    ex->reading = true;
    ex->pace = pace_begin(&rule, clock_mono_us());
    int64_t when = ex->pace.until_us;
    pthread_mutex_unlock(&ex->lock);
    if (when != INT64_MAX)
        http_server_arm(ex->server, when / 1000 + 1);
}

// True unless it is given up already: from here on it will not be.
static bool read_end(struct http_exchange *ex)
{
    pthread_mutex_lock(&ex->lock);
    ex->reading = false;
    bool whole = !ex->give_up;
    pthread_mutex_unlock(&ex->lock);
    return whole;
}

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
    if (fd)
        ex->conn_fd = fd->connect_fd;
    else
        ex->conn_fd = -1;
    int status =
        http_request_ingest(&ex->req, conn, s->options.listener, method, version, &chunked);
    if (!ex->refuse)
        ex->refuse = status;
    // the framing is not to be trusted: answered at once, which closes the connection
    if (ex->refuse) {
        http_refuse_own(&ex->req, &resp, ex->refuse);
        answer_inline(ex, &resp);
        return answer_early(ex);
    }
    struct http_plan *plan = &ex->plan;
    if (admitted(ex)) {
        plan_make(ex);
        ex->req.ctx = plan->ctx;
    } else {
        plan->kind = HTTP_PLAN_REPLY;
        http_refuse_own(&ex->req, &plan->response, 429);
    }
    int64_t length = ex->req.content_length;
    bool limited =
        plan->kind == HTTP_PLAN_COLLECT || (plan->kind == HTTP_PLAN_STREAM && plan->body_max);
    if ((limited && length > 0 && (uint64_t)length > plan->body_max) ||
        (plan->kind == HTTP_PLAN_RUN && length > HTTP_DISCARD_MAX))
        ex->refuse = 413;
    if (ex->refuse)
        http_refuse_own(&ex->req, &resp, ex->refuse);
    else if (plan->kind == HTTP_PLAN_REPLY)
        resp = plan->response;
    else {
        if (length > 0 || chunked)
            read_begin(ex);
        return MHD_YES;
    }
    answer_inline(ex, &resp);
    // A small body is read and dropped, so that the connection lives on; a large or endless one is
    // not waited for.
    if (length > HTTP_DRAIN_MAX || chunked)
        return answer_early(ex);
    if (length > 0)
        read_begin(ex);
    return MHD_YES;
}

// Room for n more bytes of uploads? Every upload may hold a little whatever the others hold, so
// none waits for another.
static size_t budget_take(struct http_exchange *ex, size_t held, size_t n)
{
    static const size_t always = 16 << 10;
    struct http_server *s = ex->server;
    size_t used = atomic_load(&s->uploads_bytes), budget = s->options.uploads_budget_bytes;
    // a race overshoots by one chunk per thread at most
    size_t left = 0;
    if (used < budget)
        left = budget - used;
    if (n > left) {
        if (held < always && n > always - held && left < always - held)
            n = always - held;
        else if (n >= always || held)
            n = left;
    }
    atomic_fetch_add(&s->uploads_bytes, n);
    return n;
}

static void collect_locked(struct http_exchange *ex, const char *data, size_t n)
{
    if (ex->body.n + n > ex->plan.body_max) {
        ex->refuse = 413;
        return;
    }
    size_t got = budget_take(ex, ex->reserved_bytes, n);
    ex->reserved_bytes += got;
    if (got < n) {
        ex->refuse = busy_status(ex);
        return;
    }
    buf_add(&ex->body, data, n);
    if (ex->body.err)
        ex->refuse = 503;
}

// Takes what fits; returns how much was taken. Less than n: the caller suspends.
static size_t stream_locked(struct http_exchange *ex, const char *data, size_t n, int64_t *retry_ms)
{
    if (ex->plan.body_max && ex->received_bytes + n > ex->plan.body_max) {
        ex->refuse = 413;
        return n;
    }
    if (ex->sink_failed)
        return n;
    size_t window = ex->server->options.sink_window_bytes;
    size_t room = 0;
    if (ex->queued_bytes < window)
        room = window - ex->queued_bytes;
    size_t take = budget_take(ex, ex->queued_bytes, n < room ? n : room);
    if (!take)
        return 0;
    struct http_chunk *c = mem_alloc(sizeof *c + take);
    if (!c) {
        atomic_fetch_sub(&ex->server->uploads_bytes, take);
        ex->refuse = 503;
        return n;
    }
    *c = (struct http_chunk){.n = take};
    memcpy(c->data, data, take);
    *(ex->tail ? &ex->tail->next : &ex->head) = c;
    ex->tail = c;
    ex->queued_bytes += take;
    ex->received_bytes += take;
    if (schedule_locked(ex)) {
        if (ex->started)
            *retry_ms = retry_locked(ex);
        else {
            ex->refuse = busy_status(ex);
            return n;
        }
    }
    return take;
}

static enum MHD_Result exchange_body(struct http_exchange *ex, const char *data, size_t *n_data)
{
    int64_t arm = 0;
    pthread_mutex_lock(&ex->lock);
    size_t taken = *n_data;
    bool cut = ex->cut;
    if (ex->suspended_us) // what is left was not taken the last time
        pace_pause(&ex->pace, clock_mono_us() - ex->suspended_us);
    ex->suspended_us = 0;
    if (!ex->answer && !ex->refuse && !ex->give_up && !cut)
        switch (ex->plan.kind) {
        case HTTP_PLAN_REPLY:
            break;
        case HTTP_PLAN_RUN:
            ex->received_bytes += taken;
            if (ex->received_bytes > HTTP_DISCARD_MAX)
                ex->refuse = 413;
            break;
        case HTTP_PLAN_COLLECT:
            collect_locked(ex, data, taken);
            break;
        case HTTP_PLAN_STREAM:
            taken = stream_locked(ex, data, taken, &arm);
            break;
        }
    *n_data -= taken;
    ex->body_bytes += taken;
    pace_bytes(&ex->pace, taken, clock_mono_us());
    if (*n_data) {
        suspend_locked(ex, WAIT_SINK, HTTP_SINK_DEADLINE_MS);
        if (!arm)
            arm = ex->deadline_ms;
    }
    pthread_mutex_unlock(&ex->lock);
    pool_settle(pool_of(ex));
    if (arm)
        http_server_arm(ex->server, arm);
    if (cut)
        return MHD_NO;
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
    answer_inline(ex, &resp);
    return true;
}

// The plan's handlers are called with the whole body only, and another can be called in their
// place.
static bool runs_late(const struct http_exchange *ex)
{
    const struct http_plan *plan = &ex->plan;
    bool plain =
        plan->kind == HTTP_PLAN_COLLECT && !plan->collected && !plan->done && !plan->goes_on;
    return plain && ex->server->app.run_late;
}

// The body is in: run, and wait for the answer. Called again whenever the connection was resumed.
static enum MHD_Result exchange_end(struct http_exchange *ex)
{
    int64_t arm = 0;
    if (!ex->body_complete && read_end(ex) && answered_by_body(ex)) {
        ex->body_complete = true;
        return answer_send(ex);
    }
    pthread_mutex_lock(&ex->lock);
    bool first = !ex->body_complete;
    ex->body_complete = true;
    if (first && !ex->late && runs_late(ex) && atomic_load(&ex->server->yielded)) {
        ex->late = ex->run_late = true;
        ex->plan.pool = ex->server->late_pool; // such a plan has had no job yet
    }
    ex->cut = ex->cut || ex->told; // there is no second answer
    if (ex->answer || ex->cut) {
        pthread_mutex_unlock(&ex->lock);
        return answer_send(ex);
    }
    if (ex->timed_out) {
        pthread_mutex_unlock(&ex->lock);
        return answer_late(ex);
    }
    if (first && !ex->refuse && schedule_locked(ex)) {
        if (ex->started)
            arm = retry_locked(ex);
        else
            ex->refuse = busy_status(ex);
    } else if (first && ex->refuse && (ex->started || ex->job_active) && schedule_locked(ex))
        arm = retry_locked(ex); // the strand may be using the request: it makes the refusal
    if (ex->refuse && !ex->started && !ex->job_active) {
        ex->ran = true;
        pthread_mutex_unlock(&ex->lock);
        struct http_response resp = {0};
        http_refuse_own(&ex->req, &resp, ex->refuse);
        answer_inline(ex, &resp);
        return answer_send(ex);
    }
    suspend_locked(ex, WAIT_RUN, ex->server->options.run_deadline_ms);
    if (!arm)
        arm = ex->deadline_ms;
    pthread_mutex_unlock(&ex->lock);
    pool_settle(pool_of(ex));
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
        return exchange_body(ex, data, n_data);
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
    bool inline_done = !ex->done_called && !ex->started && !ex->job_active;
    if (!inline_done && !ex->done_called && schedule_locked(ex))
        arm = retry_locked(ex);
    pthread_mutex_unlock(&ex->lock);
    if (!inline_done)
        pool_settle(pool_of(ex));
    if (inline_done)
        call_done(ex);
    if (arm)
        http_server_arm(s, arm);
    pthread_mutex_lock(&s->lock);
    atomic_fetch_sub(&s->active, 1);
    pthread_cond_broadcast(&s->idle_cond);
    pthread_mutex_unlock(&s->lock);
    http_exchange_unref(ex);
}

void http_exchange_wake(struct http_exchange *ex)
{
    pthread_mutex_lock(&ex->lock);
    if (ex->wait == WAIT_STREAM)
        resume_locked(ex);
    pthread_mutex_unlock(&ex->lock);
}

void http_exchange_resume(struct http_exchange *ex, bool cut)
{
    pthread_mutex_lock(&ex->lock);
    if (cut || (ex->suspended && ex->wait == WAIT_STREAM))
        resume_locked(ex);
    pthread_mutex_unlock(&ex->lock);
}

static int64_t earlier(int64_t a, int64_t b)
{
    if (a < b)
        return a;
    return b;
}

static void give_up_locked(struct http_exchange *ex, int status, int64_t *next)
{
    ex->give_up = status;
    ex->reading = false;
    if (schedule_locked(ex))
        *next = earlier(*next, retry_locked(ex));
}

void http_exchange_give_up(struct http_exchange *ex, int status)
{
    struct http_server *s = ex->server;
    int64_t next = INT64_MAX;
    pthread_mutex_lock(&ex->lock);
    if (ex->reading && !ex->give_up)
        give_up_locked(ex, status, &next);
    pthread_mutex_unlock(&ex->lock);
    if (next < s->timer_ms) {
        s->timer_ms = next;
        pthread_cond_signal(&s->timer_cond);
    }
}

bool http_exchange_is_over(struct http_exchange *ex)
{
    pthread_mutex_lock(&ex->lock);
    bool over = !ex->begun || ex->late || ex->sent || ex->told;
    if (ex->planned && !over)
        over = ex->plan.goes_on || (ex->reading && runs_late(ex));
    pthread_mutex_unlock(&ex->lock);
    return over;
}

// Once the server has yielded, what a body brought since then decides.
static int64_t tick_yield_locked(struct http_exchange *ex, int64_t now_ms)
{
    const struct http_server *s = ex->server;
    int64_t next = INT64_MAX;
    if (!s->yield_ms || !ex->reading || ex->yield_judged || ex->req.arrived_ms > s->yield_ms)
        return next;
    if (now_ms < s->yield_ms + HTTP_YIELD_JUDGE_MS)
        return s->yield_ms + HTTP_YIELD_JUDGE_MS;
    ex->yield_judged = true;
    uint64_t least = (uint64_t)s->options.body_bytes_s * HTTP_YIELD_JUDGE_MS / 1000;
    if (!ex->suspended && ex->body_bytes - ex->yield_bytes < (least ? least : 1))
        give_up_locked(ex, 408, &next);
    return next;
}

// Is the body too slow; has the other side had its time to hang up?
static int64_t tick_body_locked(struct http_exchange *ex, int64_t now_ms)
{
    int64_t next = tick_yield_locked(ex, now_ms);
    if (ex->reading && !ex->suspended && ex->pace.until_us != INT64_MAX) {
        if (pace_over(&ex->pace, now_ms * 1000))
            give_up_locked(ex, 408, &next);
        else
            next = earlier(next, ex->pace.until_us / 1000 + 1);
    }
    if (ex->told && ex->conn) {
        if (ex->hang_up_ms <= now_ms)
            shutdown(ex->conn_fd, SHUT_RDWR);
        else
            next = earlier(next, ex->hang_up_ms);
    }
    return next;
}

int64_t http_exchange_tick(struct http_exchange *ex, int64_t now_ms, bool *out_release)
{
    pthread_mutex_lock(&ex->lock);
    int64_t next = tick_body_locked(ex, now_ms);
    if (ex->retry_pending) {
        bool over = ex->done_called && (ex->ran || !ex->give_up);
        int rc = 0;
        if (!over)
            rc = schedule_locked(ex);
        if (!rc) {
            ex->retry_pending = false;
            *out_release = true;
        } else
            next = earlier(next, now_ms + HTTP_RETRY_MS);
    }
    if (ex->suspended) {
        if (ex->deadline_ms <= now_ms) {
            ex->timed_out = ex->timed_out || ex->wait == WAIT_RUN;
            ex->cut = ex->cut || ex->wait == WAIT_SINK;
            resume_locked(ex);
        } else
            next = earlier(next, ex->deadline_ms);
    }
    pthread_mutex_unlock(&ex->lock);
    return next;
}
