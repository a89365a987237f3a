// SPDX-License-Identifier: Apache-2.0
// A sink's rings and its thread; see sink.h.
#include "resolver/log/sink.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/thread.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define TURN_MS 20      // between looks into the rings: workers do not wake anybody
#define PER_TURN 100000 // records of one ring before the next has its turn

struct sink {
    const struct sink_ops *ops;
    void *ctx;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping, reopen, running;
    unsigned n_rings;
    struct ring **rings;
};

static void take_all(struct sink *s)
{
    size_t n;
    void *p;
    for (unsigned i = 0; i < s->n_rings; i++)
        for (unsigned k = 0; k < PER_TURN && (p = ring_peek(s->rings[i], &n)); k++) {
            s->ops->record(s->ctx, p, n);
            ring_release(s->rings[i]);
        }
    s->ops->turn(s->ctx);
}

static void *sink_main(void *arg)
{
    struct sink *s = arg;
    bool stop = false;
    while (!stop) {
        int64_t until_us = clock_mono_us() + TURN_MS * 1000;
        struct timespec ts = {until_us / 1000000, until_us % 1000000 * 1000};
        pthread_mutex_lock(&s->lock);
        while (!s->stopping && pthread_cond_timedwait(&s->wake, &s->lock, &ts) != ETIMEDOUT)
            ;
        stop = s->stopping;
        bool reopen = s->reopen;
        s->reopen = false;
        pthread_mutex_unlock(&s->lock);
        if (reopen)
            s->ops->reopen(s->ctx);
        take_all(s);
    }
    return NULL;
}

static int start_thread(struct sink *s, const char *name)
{
    s->running = !thread_start(&s->thread, sink_main, s);
    if (s->running)
        pthread_setname_np(s->thread, name);
    if (s->running)
        return 0;
    return ERR_NOMEM;
}

int sink_start(const char *name, unsigned n_rings, size_t ring_bytes, const struct sink_ops *ops,
               void *ctx, struct sink **out)
{
    struct sink *s = mem_zalloc(sizeof *s);
    if (!s) {
        ops->free(ctx);
        return ERR_NOMEM;
    }
    s->ops = ops;
    s->ctx = ctx;
    pthread_condattr_t mono;
    pthread_condattr_init(&mono);
    pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, &mono);
    pthread_condattr_destroy(&mono);
    s->rings = mem_zalloc_array(n_rings, sizeof(struct ring *));
    int rc = ERR_NOMEM;
    if (s->rings)
        rc = 0;
    for (; !rc && s->n_rings < n_rings; s->n_rings += !rc)
        rc = ring_new(ring_bytes, &s->rings[s->n_rings]);
    if (!rc)
        rc = start_thread(s, name);
    if (rc)
        sink_stop(s);
    else
        *out = s;
    return rc;
}

struct ring *sink_ring(struct sink *s, unsigned i)
{
    if (s)
        return s->rings[i];
    return NULL;
}

static void wake(struct sink *s, bool *flag)
{
    pthread_mutex_lock(&s->lock);
    *flag = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
}

void sink_reopen(struct sink *s)
{
    if (s)
        wake(s, &s->reopen);
}

void sink_stop(struct sink *s)
{
    if (!s)
        return;
    if (s->running) {
        wake(s, &s->stopping);
        pthread_join(s->thread, NULL);
    }
    s->ops->free(s->ctx);
    assert(s->rings || !s->n_rings);
    for (unsigned i = 0; i < s->n_rings; i++)
        ring_free(s->rings[i]);
    free(s->rings);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

uint64_t sink_dropped(const struct sink *s)
{
    uint64_t n = 0;
    for (unsigned i = 0; s && i < s->n_rings; i++)
        n += ring_dropped(s->rings[i]);
    return n;
}
