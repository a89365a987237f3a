// SPDX-License-Identifier: Apache-2.0
// The answer of an exchange: handed to libmicrohttpd once, with everything copied out of the
// request. On the thread that owns the request, without the exchange's lock.
#include "net/http_priv.h"
#include "net/refusals.h"
#include "net/refuse.h"

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

static bool header_is_ours(const char *name) // framing belongs to the library, Accel to the edge
{
    static const char *const ours[] = {"Content-Length", "Transfer-Encoding", "Connection", "Date",
                                       "Keep-Alive"};
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        if (!strcasecmp(name, ours[i]))
            return true;
    return !strncasecmp(name, "X-Accel-", 8);
}

// NULL: no such header.
static int header_put(struct MHD_Response *m, const char *name, const char *value)
{
    if (value && MHD_add_response_header(m, name, value) != MHD_YES)
        return ERR_NOMEM;
    return 0;
}

static int answer_headers(struct MHD_Response *m, const struct http_request *req,
                          const struct http_response *resp)
{
    const char *accel = NULL, *id = req->request_id, *reason = NULL;
    if (resp->kind == HTTP_ACCEL)
        accel = resp->accel;
    if (http_response_get(resp, "X-Meridian-Request-Id"))
        id = NULL;
    if (resp->status >= 400)
        reason = req->refused_code;
    int rc = header_put(m, "Content-Type", http_response_get(resp, "Content-Type"));
    for (const struct http_header *h = resp->headers; h && !rc; h = h->next)
        if (strcasecmp(h->name, "Content-Type") && !header_is_ours(h->name))
            rc = header_put(m, h->name, h->value);
    if (!rc)
        rc = header_put(m, "X-Meridian-Request-Id", id);
    if (!rc)
        rc = header_put(m, "X-Accel-Redirect", accel);
    if (!rc && req->principal && *req->principal)
        rc = header_put(m, HTTP_HEADER_PRINCIPAL, req->principal);
    if (!rc && reason && *reason)
        rc = header_put(m, HTTP_HEADER_REASON, reason);
    return rc;
}

// Everything is copied, so that the request may end before its answer is sent.
static struct MHD_Response *answer_build(struct http_exchange *ex, struct http_response *resp)
{
    struct MHD_Response *m;
    if (resp->kind == HTTP_STREAM) {
        m = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 32 << 10, http_stream_read,
                                              resp->stream_handle, http_stream_closed);
        if (!m) {
            http_stream_closed(resp->stream_handle);
            return NULL;
        }
        ex->stream = resp->stream_handle;
    } else {
        struct bytes b = bytes_str("");
        if (resp->kind == HTTP_BYTES && resp->body.n)
            b = resp->body;
        m = MHD_create_response_from_buffer(b.n, (void *)(uintptr_t)b.p, MHD_RESPMEM_MUST_COPY);
    }
    if (m && answer_headers(m, &ex->req, resp)) {
        ex->stream = NULL;
        MHD_destroy_response(m);
        return NULL;
    }
    return m;
}

// finish, then the library's response. By the owner of the request, without the lock.
void http_answer_make(struct http_exchange *ex, struct http_response *resp)
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
    assert(!ex->made && !ex->told); // invariant 4
    ex->made = true;
    ex->answer = m; // still NULL: the connection is cut
    ex->answer_status = status;
    ex->cut = ex->cut || !m;
    pthread_mutex_unlock(&ex->lock);
}

void http_call_done(struct http_exchange *ex)
{
    assert(!ex->done_called); // invariant 5
    ex->done_called = true;
    if (ex->planned && ex->plan.done)
        ex->plan.done(&ex->req);
}

enum MHD_Result http_answer_send(struct http_exchange *ex)
{
    if (ex->cut || !ex->answer)
        return MHD_NO;
    assert(!ex->told); // invariant 4: it would have been cut
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

// An answer before the body is in: the connection is closed behind it.
enum MHD_Result http_answer_early(struct http_exchange *ex)
{
    http_server_linger(ex->server, ex->conn_fd);
    return http_answer_send(ex);
}

// Its run takes too long, and goes on: the request is the job's, so only what never changes in it
// is looked at.
enum MHD_Result http_answer_late(struct http_exchange *ex)
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
    enum MHD_Result rc = MHD_NO;
    int failed = header_put(m, "Content-Type", words->content_type);
    if (!failed)
        failed = header_put(m, "X-Meridian-Request-Id", ex->req.request_id);
    if (!failed)
        failed = header_put(m, HTTP_HEADER_REASON, code);
    if (!failed)
        rc = MHD_queue_response(ex->conn, 504, m);
    MHD_destroy_response(m);
    refusals_log_late(&ex->req);
    return rc;
}

// An answer by this thread alone: nothing of the request ever went to a pool.
void http_answer_inline(struct http_exchange *ex, struct http_response *resp)
{
    http_answer_make(ex, resp);
    http_call_done(ex);
}
