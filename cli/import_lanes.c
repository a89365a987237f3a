// SPDX-License-Identifier: Apache-2.0
// Work of an import in parallel: as many threads as jobs, which take one piece after the other. The
// main thread waits for them and shows how far it is; see import_priv.h.
#include "cli/import_priv.h"

#include "base/err.h"
#include "base/thread.h"
#include "base/wait.h"
#include "cli/show.h"

#define SHOW_MS 250

struct lanes {
    void (*fn)(void *ctx, unsigned lane, size_t i);
    void *ctx;
    size_t n;
    _Atomic size_t next;
    _Atomic unsigned n_started;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    // under the lock
    unsigned n_running;
};

static void *lane_main(void *arg)
{
    struct lanes *l = arg;
    unsigned lane = atomic_fetch_add(&l->n_started, 1);
    for (;;) {
        size_t i = atomic_fetch_add(&l->next, 1);
        if (i >= l->n)
            break;
        l->fn(l->ctx, lane, i);
    }
    pthread_mutex_lock(&l->lock);
    l->n_running--;
    pthread_cond_signal(&l->ended);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static void show(struct import *im, const struct lanes *l, const char *what)
{
    size_t at = atomic_load(&l->next);
    if (at > l->n)
        at = l->n;
    int64_t pause_s = source_pause_ms(im->source) / 1000;
    if (pause_s) {
        progress_show("%s: the source asks to be left alone for %lld s", what, (long long)pause_s);
        return;
    }
    progress_show("%s: %zu of %zu (%llu tags, %llu blobs, %.1f MiB so far)", what, at, l->n,
                  (unsigned long long)atomic_load(&im->n.tags),
                  (unsigned long long)atomic_load(&im->n.blobs),
                  (double)atomic_load(&im->n.bytes) / (1 << 20));
}

int lanes_run(struct import *im, size_t n, void (*fn)(void *ctx, unsigned lane, size_t i),
              void *ctx, const char *what)
{
    struct lanes l = {.fn = fn, .ctx = ctx, .n = n};
    pthread_t threads[IMPORT_JOBS_MAX];
    unsigned wanted = im->n_jobs, started = 0;
    if (n < wanted)
        wanted = (unsigned)n;
    pthread_mutex_init(&l.lock, NULL);
    wait_cond_init(&l.ended);
    l.n_running = wanted;
    while (started < wanted && !thread_start(&threads[started], lane_main, &l))
        started++;
    pthread_mutex_lock(&l.lock);
    l.n_running -= wanted - started;
    while (l.n_running) {
        show(im, &l, what);
        wait_cond(&l.ended, &l.lock, SHOW_MS);
    }
    pthread_mutex_unlock(&l.lock);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    pthread_cond_destroy(&l.ended);
    pthread_mutex_destroy(&l.lock);
    progress_end();
    if (n && !started)
        return ERR_NOMEM;
    return 0;
}
