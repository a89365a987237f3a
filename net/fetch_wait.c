// SPDX-License-Identifier: Apache-2.0
// Callers that wait for their fetch; see fetch.h.
#include "net/fetch.h"

#include "base/clock.h"
#include "base/err.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define STOP_LOOK_MS 100

struct fetch_wait {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
    struct fetch_result *out;
    const struct fetch_request *q;
};

static int wait_data(void *arg, struct fetch *h, const uint8_t *p, size_t n)
{
    struct fetch_wait *w = arg;
    return w->q->on_data(w->q->ctx, h, p, n);
}

static void wait_headers(void *arg, struct fetch *h, int status)
{
    struct fetch_wait *w = arg;
    w->q->on_headers(w->q->ctx, h, status);
}

static void wait_done(void *arg, struct fetch_result *r)
{
    struct fetch_wait *w = arg;
    pthread_mutex_lock(&w->lock);
    *w->out = *r;
    *r = (struct fetch_result){0}; // moved
    w->done = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

// Under w->lock, which wait_done needs too: while it has not been there the handle is valid.
static void wait_or_cancel(struct fetch_wait *w, struct fetcher *f, struct fetch *h)
{
    int64_t at_ms = clock_mono_ms() + STOP_LOOK_MS;
    const struct timespec at = {at_ms / 1000, at_ms % 1000 * 1000000};
    if (!w->q->stop) {
        pthread_cond_wait(&w->cond, &w->lock);
        return;
    }
    if (atomic_load(w->q->stop))
        fetch_cancel(f, h);
    pthread_cond_timedwait(&w->cond, &w->lock, &at);
}

int fetch_run(struct fetcher *f, const struct fetch_request *q, struct fetch_result *out)
{
    struct fetch_wait w = {.lock = PTHREAD_MUTEX_INITIALIZER, .out = out, .q = q};
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w.cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
    struct fetch_request mine = *q;
    mine.ctx = &w;
    if (q->on_data)
        mine.on_data = wait_data;
    if (q->on_headers)
        mine.on_headers = wait_headers;
    *out = (struct fetch_result){0};
    struct fetch *h;
    int rc = fetch_start(f, &mine, wait_done, &h);
    if (rc) {
        out->err = rc;
        snprintf(out->message, sizeof out->message, "%s", err_text(rc));
        pthread_cond_destroy(&w.cond);
        return rc;
    }
    pthread_mutex_lock(&w.lock);
    while (!w.done)
        wait_or_cancel(&w, f, h);
    pthread_mutex_unlock(&w.lock);
    pthread_cond_destroy(&w.cond);
    return out->err;
}
