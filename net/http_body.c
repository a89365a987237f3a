// SPDX-License-Identifier: Apache-2.0
// The body of an exchange as it comes from libmicrohttpd: into the window of the sink, into the
// collected body, or nowhere; and when it is awaited. On the HTTP thread.
#include "net/http_priv.h"

#include "base/clock.h"

#include <assert.h>
#include <string.h>

void http_read_begin(struct http_exchange *ex)
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

// From here on it is not given up any more.
bool http_read_end(struct http_exchange *ex)
{
    pthread_mutex_lock(&ex->lock);
    ex->reading = false;
    bool whole = !ex->give_up;
    pthread_mutex_unlock(&ex->lock);
    return whole;
}

// Of n bytes for which the budget has no room: how many are taken all the same, of an upload that
// holds `held`?
static size_t budget_share(size_t held, size_t n, size_t left)
{
    static const size_t always = 16 << 10;
    if (!held && n < always)
        return n;
    if (held >= always || n <= always - held)
        return left;
    if (left < always - held)
        return always - held;
    return left;
}

// Room for n more bytes of uploads? Every upload may hold a little whatever the others hold, so
// none waits for another.
static size_t budget_take(struct http_exchange *ex, size_t held, size_t n)
{
    struct http_server *s = ex->server;
    size_t used = atomic_load(&s->uploads_bytes), budget = s->options.uploads_budget_bytes;
    // a race overshoots by one chunk per thread at most
    size_t left = 0;
    if (used < budget)
        left = budget - used;
    if (n > left)
        n = budget_share(held, n, left);
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
        ex->refuse = http_busy_status(ex);
        return;
    }
    buf_add(&ex->body, data, n);
    if (ex->body.err)
        ex->refuse = 503;
}

static size_t window_room(const struct http_exchange *ex)
{
    size_t window = ex->server->options.sink_window_bytes;
    assert(ex->queued_bytes <= window); // invariant 3
    return window - ex->queued_bytes;
}

// Is the strand called for what is queued, or does that wait for more? The first bytes do not wait,
// so that a sink that refuses is heard early; nor is it called for a body that is whole: its end
// does.
static bool sink_is_due(const struct http_exchange *ex)
{
    const struct http_server *s = ex->server;
    if (ex->req.content_length >= 0 && ex->received_bytes == (uint64_t)ex->req.content_length)
        return false;
    if (!ex->started || ex->queued_bytes >= HTTP_BATCH_BYTES)
        return true;
    if (ex->queued_bytes >= s->options.sink_window_bytes / 2)
        return true;
    return atomic_load(&s->uploads_bytes) > s->options.uploads_budget_bytes / 8;
}

// Returns when the timer must look.
static int64_t flush_later(struct http_exchange *ex)
{
    if (!ex->flush_ms && !ex->job_active)
        ex->flush_ms = clock_mono_ms() + HTTP_FLUSH_MS;
    return ex->flush_ms;
}

// Takes what fits; returns how much was taken. Less than n: the caller suspends.
static size_t stream_locked(struct http_exchange *ex, const char *data, size_t n, int64_t *arm_ms)
{
    if (ex->plan.body_max && ex->received_bytes + n > ex->plan.body_max) {
        ex->refuse = 413;
        return n;
    }
    if (ex->sink_failed)
        return n;
    size_t take = window_room(ex);
    if (n < take)
        take = n;
    take = budget_take(ex, ex->queued_bytes, take);
    if (take && http_chunks_queue(ex, data, take)) {
        atomic_fetch_sub(&ex->server->uploads_bytes, take);
        ex->refuse = 503;
        return n;
    }
    if (take == n && !sink_is_due(ex)) {
        *arm_ms = flush_later(ex);
        return n;
    }
    if (!http_schedule_locked(ex))
        return take;
    if (!ex->started) {
        ex->refuse = http_busy_status(ex);
        return n;
    }
    *arm_ms = http_retry_locked(ex);
    return take;
}

// Returns how many bytes were taken, by the plan.
static size_t take_locked(struct http_exchange *ex, const char *data, size_t n, int64_t *arm_ms)
{
    switch (ex->plan.kind) {
    case HTTP_PLAN_REPLY:
        return n;
    case HTTP_PLAN_RUN:
        ex->received_bytes += n;
        if (ex->received_bytes > HTTP_DISCARD_MAX)
            ex->refuse = 413;
        return n;
    case HTTP_PLAN_COLLECT:
        collect_locked(ex, data, n);
        return n;
    case HTTP_PLAN_STREAM:
        return stream_locked(ex, data, n, arm_ms);
    }
    return n;
}

// Is the rest of the body read only to be dropped?
static bool discards(const struct http_exchange *ex)
{
    return ex->answer || ex->refuse || ex->give_up || ex->cut;
}

enum MHD_Result http_body_take(struct http_exchange *ex, const char *data, size_t *n_data)
{
    int64_t arm = 0;
    pthread_mutex_lock(&ex->lock);
    size_t taken = *n_data;
    bool cut = ex->cut;
    if (ex->suspended_us) // what is left was not taken the last time
        pace_pause(&ex->pace, clock_mono_us() - ex->suspended_us);
    ex->suspended_us = 0;
    if (!discards(ex))
        taken = take_locked(ex, data, taken, &arm);
    *n_data -= taken;
    ex->body_bytes += taken;
    pace_bytes(&ex->pace, taken, clock_mono_us());
    if (*n_data) {
        http_suspend_locked(ex, WAIT_SINK, HTTP_SINK_DEADLINE_MS);
        if (!arm)
            arm = ex->deadline_ms;
    }
    pthread_mutex_unlock(&ex->lock);
    pool_settle(http_pool_of(ex));
    if (arm)
        http_server_arm(ex->server, arm);
    if (cut)
        return MHD_NO;
    return MHD_YES;
}
