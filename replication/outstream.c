// SPDX-License-Identifier: Apache-2.0
// Response bodies produced on the pool; see outstream.h. read and close run on HTTP threads, produce on the pool, wake
// on any.
#include "replication/outstream.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <string.h>

struct outstream {
    struct replicator *r;
    const struct outstream_ops *ops;
    void *ctx;
    struct http_stream_ops http; // poll_ms is the stream's own
    pthread_mutex_t lock;
    struct http_stream *handle;
    struct buf ready;
    bool producing, ended, closed, dirty;
    int64_t next_tick_ms;
    _Atomic unsigned refs;
    struct outstream *next, **link; // of r->streams, under r->streams_lock
};

void outstreams_init(struct replicator *r)
{
    pthread_mutex_init(&r->streams_lock, NULL);
}

static void outstream_unref(struct outstream *s)
{
    if (--s->refs)
        return;
    if (s->handle)
        http_stream_unref(s->handle);
    s->ops->free_ctx(s->ctx);
    buf_done(&s->ready);
    pthread_mutex_destroy(&s->lock);
    struct replicator *r = s->r;
    free(s);
    replicator_unref(r);
}

static void produce_job(void *arg)
{
    struct outstream *s = arg;
    struct buf out;
    buf_init(&out, s->ops->buffer_bytes);
    bool end = true, more = false;
    if (replicator_enter(s->r)) { // after stop began the store is not ours to read
        end = false;
        more = s->ops->produce(s->ctx, &out, &end);
        replicator_leave(s->r);
    }
    pthread_mutex_lock(&s->lock);
    if (!s->ready.n) { // always so: produce is asked for only when all was read
        struct buf t = s->ready;
        s->ready = out;
        out = t;
    }
    s->producing = false;
    s->ended = s->ended || end || s->ready.err;
    s->dirty = s->dirty || more;
    struct http_stream *h = s->closed ? NULL : http_stream_ref(s->handle);
    pthread_mutex_unlock(&s->lock);
    buf_done(&out);
    if (h) {
        http_stream_wake(h);
        http_stream_unref(h);
    }
    outstream_unref(s);
}

// Under s->lock: asks the pool for more when it is time.
static void produce_ask(struct outstream *s)
{
    int64_t now = clock_mono_ms();
    if (s->producing || s->closed || (!s->dirty && now < s->next_tick_ms))
        return;
    s->producing = true;
    s->refs++;
    bool dirty = s->dirty;
    s->dirty = false;
    if (pool_submit(s->r->o.pool, produce_job, s)) { // full: the server's poll comes back to it
        s->producing = false;
        s->dirty = dirty;
        s->refs--; // the HTTP stream still holds one
        return;
    }
    s->next_tick_ms = now + s->ops->tick_ms;
}

static ssize_t stream_read(void *ctx, struct http_stream *hs, uint8_t *to, size_t cap)
{
    (void)hs;
    struct outstream *s = ctx;
    ssize_t got = 0;
    pthread_mutex_lock(&s->lock);
    if (s->ready.n) {
        size_t n = s->ready.n < cap ? s->ready.n : cap;
        memcpy(to, s->ready.p, n);
        buf_consume(&s->ready, n);
        got = (ssize_t)n;
    } else if (s->ended || s->r->stopping || s->r->draining) {
        got = HTTP_STREAM_END;
    }
    if (!s->ready.n && got != HTTP_STREAM_END && !s->ended && !s->r->stopping)
        produce_ask(s);
    pthread_mutex_unlock(&s->lock);
    return got;
}

static void stream_close(void *ctx)
{
    struct outstream *s = ctx;
    pthread_mutex_lock(&s->r->streams_lock);
    if (s->link) {
        *s->link = s->next;
        if (s->next)
            s->next->link = s->link;
        s->link = NULL;
    }
    pthread_mutex_unlock(&s->r->streams_lock);
    pthread_mutex_lock(&s->lock);
    s->closed = true;
    pthread_mutex_unlock(&s->lock);
    outstream_unref(s);
}

int outstream_start(struct replicator *r, const struct outstream_ops *ops, void *ctx, const char *content_type,
                    struct http_response *resp)
{
    struct outstream *s = mem_zalloc(sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->ops = ops;
    s->ctx = ctx;
    s->http = (struct http_stream_ops){.read = stream_read, .close = stream_close, .poll_ms = 250};
    s->dirty = true;
    s->refs = 1;
    s->r = replicator_ref(r);
    pthread_mutex_init(&s->lock, NULL);
    buf_init(&s->ready, ops->buffer_bytes);
    int rc = http_response_stream(resp, 200, content_type, &s->http, s, &s->handle);
    if (rc) {
        pthread_mutex_destroy(&s->lock);
        free(s);
        replicator_unref(r);
        return rc;
    }
    pthread_mutex_lock(&r->streams_lock);
    s->next = r->streams;
    s->link = &r->streams;
    if (s->next)
        s->next->link = &s->next;
    r->streams = s;
    pthread_mutex_unlock(&r->streams_lock);
    return 0;
}

void outstreams_wake(struct replicator *r)
{
    // The server may call close under a lock that wake takes too: so wake outside of ours, on references.
    pthread_mutex_lock(&r->streams_lock);
    size_t n = 0;
    for (struct outstream *s = r->streams; s; s = s->next)
        n++;
    struct http_stream **handles = n ? mem_zalloc_array(n, sizeof *handles) : NULL;
    size_t n_taken = 0;
    for (struct outstream *s = r->streams; s; s = s->next) {
        pthread_mutex_lock(&s->lock);
        s->dirty = true;
        pthread_mutex_unlock(&s->lock);
        if (handles) // else the server's poll finds `dirty` a moment later
            handles[n_taken++] = http_stream_ref(s->handle);
    }
    pthread_mutex_unlock(&r->streams_lock);
    for (size_t i = 0; i < n_taken; i++) {
        http_stream_wake(handles[i]);
        http_stream_unref(handles[i]);
    }
    free(handles);
}
