// SPDX-License-Identifier: Apache-2.0
// Streamed bodies: the handle that a producer wakes, and the reading end at libmicrohttpd. A handle
// may be woken from any thread; reads are on the HTTP thread and never block.
#include "net/http_priv.h"

#include "base/err.h"
#include "base/mem.h"

#include <assert.h>

int http_response_stream(struct http_response *resp, int status, const char *content_type,
                         const struct http_stream_ops *ops, void *ctx, struct http_stream **out_ref)
{
    struct http_stream *s = mem_zalloc(sizeof *s);
    if (!s)
        return ERR_NOMEM;
    pthread_mutex_init(&s->lock, NULL);
    atomic_store(&s->refs, 1);
    s->ops = ops;
    s->ctx = ctx;
    resp->status = status;
    resp->kind = HTTP_STREAM;
    resp->content_type = content_type;
    resp->stream = ops;
    resp->stream_ctx = ctx;
    resp->stream_handle = s;
    if (out_ref)
        *out_ref = http_stream_ref(s);
    return 0;
}

struct http_stream *http_stream_ref(struct http_stream *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void http_stream_unref(struct http_stream *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void http_stream_wake(struct http_stream *s)
{
    pthread_mutex_lock(&s->lock);
    s->woken = true;
    if (s->exchange)
        http_exchange_wake(s->exchange);
    pthread_mutex_unlock(&s->lock);
}

void http_stream_closed(void *cls)
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

ssize_t http_stream_read(void *cls, uint64_t at, char *to, size_t cap)
{
    (void)at;
    struct http_stream *s = cls;
    for (;;) {
        pthread_mutex_lock(&s->lock);
        s->woken = false;
        struct http_exchange *ex = s->exchange;
        assert(ex); // from the answer's sending to its close
        pthread_mutex_unlock(&s->lock);
        if (atomic_load(&ex->server->draining))
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (http_client_gone(ex))
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
        http_suspend_locked(ex, WAIT_STREAM, s->ops->poll_ms ? s->ops->poll_ms : 1000);
        int64_t when = ex->deadline_ms;
        pthread_mutex_unlock(&ex->lock);
        pthread_mutex_unlock(&s->lock);
        http_server_arm(ex->server, when);
        return 0;
    }
}
