// SPDX-License-Identifier: Apache-2.0
// Response bodies produced on the pool; see response_producer.h. read and close run on HTTP
// threads, produce on the pool, wake on any.
#include "replication/response_producer.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "replication/lock.h"
#include "replication/replication_priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEAT_BYTES 1024
#define CUT (-1) // of read: see net/http.h
#define POLL_MIN_MS 10
#define POLL_MAX_MS 1000 // a client that left is seen after so long

struct response_producer {
    struct replicator *r;
    const struct response_producer_ops *ops;
    void *ctx;
    char who[128];
    // poll_ms is the stream's own
    struct http_stream_ops http;
    struct lock lock;
    struct http_stream *handle;
    struct buf ready;
    // by `quiet`; empty before the first call of produce
    struct buf beats[2];
    bool producing, ended, closed, dirty;
    // an end now is a whole one
    bool whole;
    // while producing
    struct pool_job job;
    int64_t next_tick_ms, next_beat_ms;
    _Atomic unsigned refs;
    // of the list, under its lock
    struct response_producer *next, **link;
};

struct streams {
    // They end, and no new one begins.
    _Atomic bool draining;
    struct lock lock;
    struct response_producer *first;
};

int streams_new(struct streams **out)
{
    struct streams *l = mem_zalloc(sizeof *l);
    if (!l)
        return ERR_NOMEM;
    lock_init(&l->lock, LOCK_STREAMS);
    *out = l;
    return 0;
}

void streams_free(struct streams *l)
{
    if (!l)
        return;
    assert(!l->first); // each holds the replicator
    lock_done(&l->lock);
    free(l);
}

static void response_producer_unref(struct response_producer *s)
{
    if (--s->refs)
        return;
    if (s->handle)
        http_stream_unref(s->handle);
    s->ops->free_ctx(s->ctx);
    buf_done(&s->ready);
    buf_done(&s->beats[0]);
    buf_done(&s->beats[1]);
    lock_done(&s->lock);
    struct replicator *r = s->r;
    free(s);
    replicator_unref(r);
}

static void buf_swap(struct buf *a, struct buf *b)
{
    struct buf t = *a;
    *a = *b;
    *b = t;
}

static void produce_job(void *arg)
{
    struct response_producer *s = arg;
    struct buf out, beats[2];
    buf_init(&out, s->ops->buffer_bytes);
    buf_init(&beats[0], BEAT_BYTES);
    buf_init(&beats[1], BEAT_BYTES);
    bool end = true, more = false;
    if (life_enter(s->r->life)) { // after stop began the store is not ours to read
        end = false;
        more = s->ops->produce(s->ctx, &out, &end);
        life_leave(s->r->life);
    }
    for (int quiet = 0; s->ops->beat && quiet < 2; quiet++)
        s->ops->beat(s->ctx, quiet, &beats[quiet]);
    bool whole = !s->ops->whole || s->ops->whole(s->ctx);
    lock_take(&s->lock);
    s->whole = whole;
    assert(s->producing); // one call of produce at a time
    if (s->ready.n)       // the rest of a beat
        buf_add(&s->ready, out.p, out.n);
    else
        buf_swap(&s->ready, &out);
    // with what they come after, so that no beat runs ahead of it
    buf_swap(&s->beats[0], &beats[0]);
    buf_swap(&s->beats[1], &beats[1]);
    s->producing = false;
    s->ended = s->ended || end || s->ready.err;
    s->dirty = s->dirty || more;
    struct http_stream *h = NULL;
    if (!s->closed)
        h = http_stream_ref(s->handle);
    lock_give(&s->lock);
    buf_done(&out);
    buf_done(&beats[0]);
    buf_done(&beats[1]);
    if (h) {
        http_stream_wake(h);
        http_stream_unref(h);
    }
    response_producer_unref(s);
}

// No room: the server's poll comes back to it.
static void produce_lost(void *arg)
{
    struct response_producer *s = arg;
    lock_take(&s->lock);
    s->producing = false;
    s->dirty = true;
    lock_give(&s->lock);
    response_producer_unref(s);
}

// Under s->lock: asks the pool for more when it is time.
static void produce_ask(struct response_producer *s)
{
    int64_t now = clock_mono_ms();
    if (s->producing || s->closed || (!s->dirty && now < s->next_tick_ms))
        return;
    s->producing = true;
    s->refs++;
    bool dirty = s->dirty;
    s->dirty = false;
    s->job =
        (struct pool_job){.run = produce_job, .lost = produce_lost, .arg = s, .lane = POOL_REGIONS};
    if (pool_submit(s->r->o.pool, &s->job)) { // full: the server's poll comes back to it
        s->producing = false;
        s->dirty = dirty;
        s->refs--; // the HTTP stream still holds one
        return;
    }
    s->next_tick_ms = now + s->ops->tick_ms;
}

// Under s->lock: a beat, when one is due and all before it was read.
static void beat_add(struct response_producer *s, int64_t now)
{
    const struct buf *b = &s->beats[!s->dirty && !s->producing];
    if (s->ready.n || !b->n || now < s->next_beat_ms)
        return;
    buf_add(&s->ready, b->p, b->n);
}

// Under s->lock: how long the HTTP thread may leave us alone.
static unsigned poll_ms(const struct response_producer *s, int64_t now)
{
    int64_t when = INT64_MAX;
    if (!s->producing)
        when = s->next_tick_ms;
    if (s->beats[0].n && s->next_beat_ms < when)
        when = s->next_beat_ms;
    int64_t left = when - now;
    if (left < POLL_MIN_MS)
        return POLL_MIN_MS;
    if (left > POLL_MAX_MS)
        return POLL_MAX_MS;
    return (unsigned)left;
}

// Under s->lock.
static ssize_t end_of(const struct response_producer *s)
{
    if (s->whole || !s->ops->whole)
        return HTTP_STREAM_END;
    return CUT;
}

static ssize_t stream_read(void *ctx, struct http_stream *hs, uint8_t *to, size_t cap)
{
    (void)hs;
    struct response_producer *s = ctx;
    ssize_t got = 0;
    lock_take(&s->lock);
    int64_t now = clock_mono_ms();
    bool over = s->ended || life_stopping(s->r->life) || s->r->streams->draining;
    if (!over)
        beat_add(s, now);
    if (s->ready.n) {
        size_t n = cap;
        if (s->ready.n < cap)
            n = s->ready.n;
        memcpy(to, s->ready.p, n);
        buf_consume(&s->ready, n);
        s->next_beat_ms = now + s->ops->beat_ms;
        got = (ssize_t)n;
    } else if (over) {
        got = end_of(s);
    }
    if (!s->ready.n && got >= 0 && !s->ended && !life_stopping(s->r->life))
        produce_ask(s);
    s->http.poll_ms = poll_ms(s, now);
    lock_give(&s->lock);
    return got;
}

static void stream_close(void *ctx)
{
    struct response_producer *s = ctx;
    lock_take(&s->r->streams->lock);
    if (s->link) {
        *s->link = s->next;
        if (s->next)
            s->next->link = s->link;
        s->link = NULL;
    }
    lock_give(&s->r->streams->lock);
    lock_take(&s->lock);
    s->closed = true;
    lock_give(&s->lock);
    response_producer_unref(s);
}

// Under no lock: the server may call close under a lock that wake takes too.
static void handles_wake(struct http_stream **handles, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        http_stream_wake(handles[i]);
        http_stream_unref(handles[i]);
    }
    free(handles);
}

// A reader that comes again has given its older stream up; the edge may keep that one for as long
// as TCP hopes.
static void older_end(struct replicator *r, const struct response_producer *newer)
{
    struct streams *l = r->streams;
    struct http_stream *last = NULL;
    lock_take(&l->lock);
    for (struct response_producer *s = l->first; s && !last; s = s->next) {
        lock_take(&s->lock);
        if (s != newer && !s->ended && strcmp(s->who, newer->who) == 0) {
            s->ended = true;
            last = http_stream_ref(s->handle);
        }
        lock_give(&s->lock);
    }
    lock_give(&l->lock);
    if (last) { // each start ends the one before it: there is no second one
        http_stream_wake(last);
        http_stream_unref(last);
    }
}

static void stream_add(struct streams *l, struct response_producer *s)
{
    assert(!s->link);
    lock_take(&l->lock);
    s->next = l->first;
    s->link = &l->first;
    if (s->next)
        s->next->link = &s->next;
    l->first = s;
    lock_give(&l->lock);
}

int response_producer_start(struct replicator *r, const struct response_producer_ops *ops,
                            void *ctx, const char *who, const char *content_type,
                            struct http_response *resp)
{
    struct response_producer *s = mem_zalloc(sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->ops = ops;
    s->ctx = ctx;
    s->http = (struct http_stream_ops){
        .read = stream_read, .close = stream_close, .poll_ms = POLL_MIN_MS};
    snprintf(s->who, sizeof s->who, "%s", who ? who : "");
    s->dirty = true;
    s->refs = 1;
    s->r = replicator_ref(r);
    lock_init(&s->lock, LOCK_STREAM);
    buf_init(&s->ready, ops->buffer_bytes);
    buf_init(&s->beats[0], BEAT_BYTES);
    buf_init(&s->beats[1], BEAT_BYTES);
    int rc = http_response_stream(resp, 200, content_type, &s->http, s, &s->handle);
    if (rc) {
        lock_done(&s->lock);
        free(s);
        replicator_unref(r);
        return rc;
    }
    stream_add(r->streams, s);
    if (*s->who)
        older_end(r, s);
    return 0;
}

void streams_wake(struct streams *l)
{
    size_t n = 0, n_taken = 0;
    struct http_stream **handles = NULL;
    lock_take(&l->lock);
    for (struct response_producer *s = l->first; s; s = s->next)
        n++;
    if (n)
        handles = mem_zalloc_array(n, sizeof *handles);
    for (struct response_producer *s = l->first; s; s = s->next) {
        lock_take(&s->lock);
        s->dirty = true;
        lock_give(&s->lock);
        if (handles) // else the server's poll finds `dirty` a moment later
            handles[n_taken++] = http_stream_ref(s->handle);
    }
    lock_give(&l->lock);
    handles_wake(handles, n_taken);
}

void streams_drain(struct streams *l)
{
    l->draining = true;
    streams_wake(l);
}
