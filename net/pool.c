// SPDX-License-Identifier: Apache-2.0
// A bounded pool of threads; see pool.h. Jobs wait in a ring of fixed size made at birth, so that submitting allocates
// nothing and a full pool is an answer (ERR_BUSY), never growth.
#include "net/pool.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/thread.h"

#include <stdbool.h>
#include <stdio.h>

struct pool_job {
    void (*fn)(void *arg);
    void *arg;
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct pool_job *ring;
    size_t cap, head, n;
    bool closing;
    char name[16];
    unsigned n_threads;
    pthread_t threads[];
};

static void *pool_thread(void *arg)
{
    struct pool *p = arg;
    pthread_setname_np(pthread_self(), p->name);
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->n && !p->closing)
            pthread_cond_wait(&p->more, &p->lock);
        if (!p->n)
            break; // closing, and all that was accepted has run
        struct pool_job job = p->ring[p->head];
        p->head = (p->head + 1) % p->cap;
        p->n--;
        pthread_mutex_unlock(&p->lock);
        job.fn(job.arg);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

struct pool *pool_new(const char *name, unsigned n_threads, size_t max_waiting)
{
    if (!n_threads || n_threads > 1024 || !max_waiting)
        return NULL;
    struct pool *p = mem_zalloc(sizeof *p + n_threads * sizeof p->threads[0]);
    if (!p)
        return NULL;
    p->ring = mem_zalloc_array(max_waiting, sizeof *p->ring);
    if (!p->ring) {
        free(p);
        return NULL;
    }
    p->cap = max_waiting;
    snprintf(p->name, sizeof p->name, "%s", name);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->more, NULL);
    while (p->n_threads < n_threads && !thread_start(&p->threads[p->n_threads], pool_thread, p))
        p->n_threads++;
    if (p->n_threads < n_threads) {
        pool_free(p);
        return NULL;
    }
    return p;
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->closing = true;
    pthread_cond_broadcast(&p->more);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->n_threads; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->more);
    pthread_mutex_destroy(&p->lock);
    free(p->ring);
    free(p);
}

int pool_submit(struct pool *p, void (*fn)(void *arg), void *arg)
{
    int rc = 0;
    pthread_mutex_lock(&p->lock);
    if (p->closing)
        rc = ERR_CLOSED;
    else if (p->n == p->cap)
        rc = ERR_BUSY;
    else {
        p->ring[(p->head + p->n++) % p->cap] = (struct pool_job){fn, arg};
        pthread_cond_signal(&p->more);
    }
    pthread_mutex_unlock(&p->lock);
    return rc;
}

size_t pool_waiting(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    size_t n = p->n;
    pthread_mutex_unlock(&p->lock);
    return n;
}
