// SPDX-License-Identifier: Apache-2.0
// A bounded pool of threads; see pool.h. Each lane is a fair queue made at birth. A job that loses
// its place is not told there and then: who submits may hold a lock of his own, and the loser's is
// another's. It is put aside, and told by the submitter once he holds none, or by a thread of the
// pool.
#include "net/pool.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/thread.h"

#include <assert.h>
#include <stdio.h>

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct fair *lanes[POOL_N_LANES];
    // whose turn it is
    enum pool_lane next;
    // put aside, newest first
    struct fair_item *lost;
    // running: jobs of clients
    unsigned n_threads, kept, n_running;
    bool closing, steps_back;
    char name[16];
    pthread_t threads[];
};

static struct pool_job *job_of(struct fair_item *item)
{
    return (struct pool_job *)((char *)item - offsetof(struct pool_job, item));
}

static struct pool_job *lane_pop(struct pool *p, enum pool_lane lane)
{
    if (lane == POOL_CLIENTS && p->n_running >= p->n_threads - p->kept)
        return NULL;
    struct fair_item *item = fair_pop(p->lanes[lane]);
    if (item)
        return job_of(item);
    return NULL;
}

// The lanes take turns, and one that has nothing gives its turn away. Under the lock.
static struct pool_job *job_pop(struct pool *p)
{
    struct pool_job *job = NULL;
    for (int i = 0; !job && i < POOL_N_LANES; i++) {
        job = lane_pop(p, p->next);
        p->next = (p->next + 1) % POOL_N_LANES;
    }
    return job;
}

static struct pool_job *lost_pop(struct pool *p)
{
    struct fair_item *item = p->lost;
    if (!item)
        return NULL;
    p->lost = item->next;
    return job_of(item);
}

static void job_run(struct pool *p, struct pool_job *job) // enters and leaves with the lock
{
    bool client = job->lane == POOL_CLIENTS;
    p->n_running += client;
    assert(p->n_running <= p->n_threads - p->kept); // invariant 1
    pthread_mutex_unlock(&p->lock);
    job->run(job->arg); // the job is its owner's again
    pthread_mutex_lock(&p->lock);
    assert(p->n_running >= client);
    p->n_running -= client;
}

static void *pool_thread(void *arg)
{
    struct pool *p = arg;
    pthread_setname_np(pthread_self(), p->name);
    if (p->steps_back)
        thread_step_back();
    pthread_mutex_lock(&p->lock);
    for (;;) {
        struct pool_job *job = lost_pop(p);
        if (job) {
            pthread_mutex_unlock(&p->lock);
            job->lost(job->arg);
            pthread_mutex_lock(&p->lock);
        } else if ((job = job_pop(p)))
            job_run(p, job);
        else if (p->closing) // what still waits is for the threads that run clients' jobs now
            break;
        else
            pthread_cond_wait(&p->more, &p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static bool lanes_make(struct pool *p, const struct pool_options *o)
{
    for (int i = 0; i < POOL_N_LANES; i++) {
        bool bound = i == POOL_CLIENTS && o->max_per_network && o->max_per_network < o->max_waiting;
        p->lanes[i] = fair_new(&(struct fair_limits){
            .total = o->max_waiting, .per_network = bound ? o->max_per_network : o->max_waiting});
        if (!p->lanes[i])
            return false;
    }
    return true;
}

struct pool *pool_new(const struct pool_options *o)
{
    if (!o->n_threads || o->n_threads > 1024 || o->kept >= o->n_threads)
        return NULL;
    struct pool *p = mem_zalloc(sizeof *p + o->n_threads * sizeof p->threads[0]);
    if (!p)
        return NULL;
    snprintf(p->name, sizeof p->name, "%s", o->name);
    p->kept = o->kept;
    p->steps_back = o->steps_back;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->more, NULL);
    unsigned n = 0;
    bool ok = lanes_make(p, o);
    pthread_mutex_lock(&p->lock); // the threads read how many they are
    while (ok && n < o->n_threads && !thread_start(&p->threads[n], pool_thread, p))
        n++;
    p->n_threads = n;
    pthread_mutex_unlock(&p->lock);
    if (n < o->n_threads) {
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
    for (int i = 0; i < POOL_N_LANES; i++)
        fair_free(p->lanes[i]);
    pthread_cond_destroy(&p->more);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

int pool_submit(struct pool *p, struct pool_job *job)
{
    int rc = 0;
    pthread_mutex_lock(&p->lock);
    struct fair_item *out = NULL;
    if (p->closing)
        rc = ERR_CLOSED;
    else
        out = fair_push(p->lanes[job->lane], &job->client, job->name, &job->item);
    if (out == &job->item)
        rc = ERR_BUSY;
    else if (out) {
        out->next = p->lost;
        p->lost = out;
    }
    if (!rc)
        pthread_cond_signal(&p->more);
    pthread_mutex_unlock(&p->lock);
    return rc;
}

void pool_settle(struct pool *p)
{
    for (;;) {
        pthread_mutex_lock(&p->lock);
        struct pool_job *job = lost_pop(p);
        pthread_mutex_unlock(&p->lock);
        if (!job)
            return;
        job->lost(job->arg);
    }
}

size_t pool_waiting(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    size_t n = fair_count(p->lanes[POOL_CLIENTS]);
    pthread_mutex_unlock(&p->lock);
    return n;
}
