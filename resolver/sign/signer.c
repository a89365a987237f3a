// SPDX-License-Identifier: Apache-2.0
// The pool of signing threads, its queues and budgets; see signer.h. No lock here is ever taken by
// a worker: a thread that signs may be put aside at any moment, and others would wait for it.
#include "resolver/sign/signer.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/snapshot.h"
#include "base/thread.h"
#include "resolver/sign/signer_queue.h"

#include <sched.h>
#include <semaphore.h>
#include <string.h>

#define THREADS_MAX 16
#define POSITIVE_JOBS 512
#define DENIAL_JOBS 128
#define AHEAD_JOBS (POSITIVE_JOBS / 4) // what is made ahead of need takes no more of the queue
#define DENIAL_BURST_MS 100

struct signer {
    struct signer_cache cache[SIGNER_CLASSES];
    // to the cache
    pthread_mutex_t writing;
    struct signer_queue queue[SIGNER_CLASSES];
    // counts the jobs in both
    sem_t work;
    // of the allowance: what one costs, and what gathers; 0: no limit
    int64_t denial_us, burst_us;
    // when the last one that was allowed would have been due
    _Atomic int64_t allowed_us;
    _Atomic uint64_t made[SIGNER_CLASSES], refused[SIGNER_CLASSES], failed;
    // jobs in the queues and in hand
    _Atomic size_t waiting;
    atomic_bool stopping;
    unsigned n_threads;
    pthread_t threads[THREADS_MAX];
};

// ---- asking ----

// One denial's worth of the allowance, which fills up to a short burst: the generic cell rate
// algorithm.
static bool allowed(struct signer *s)
{
    int64_t now = clock_mono_us(),
            last = atomic_load_explicit(&s->allowed_us, memory_order_relaxed), due;
    if (!s->denial_us)
        return true;
    do {
        due = (last > now - s->burst_us ? last : now - s->burst_us) + s->denial_us;
        if (due > now)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&s->allowed_us, &last, due,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

static int enqueue(struct signer *s, enum signer_class c, const struct signer_what *w,
                   struct cache_hash h, struct pending_ticket t)
{
    struct signer_queue *q = &s->queue[c];
    size_t at;
    if (!t.inbox && signer_queue_n(q) >= AHEAD_JOBS)
        return ERR_BUSY;
    if (c == SIGNER_DENIAL && (signer_queue_n(q) >= q->cap || !allowed(s)))
        return ERR_BUSY;
    struct signer_job *j = signer_queue_begin(q, &at);
    if (!j)
        return ERR_BUSY;
    j->hash = h;
    j->key = w->key;
    j->keys = snapshot_ref(w->keys);
    j->expires_s = w->expires_s;
    j->ticket = t;
    j->n = w->n;
    memcpy(j->data, w->data, w->n);
    if (t.inbox)
        pending_hold(t);
    atomic_fetch_add_explicit(&s->waiting, 1, memory_order_relaxed);
    signer_queue_end(q, at);
    sem_post(&s->work);
    return 0;
}

int signer_ask(struct signer *s, enum signer_class c, const struct signer_what *w,
               struct pending_ticket t)
{
    if (w->n > SIGNER_DATA_MAX)
        return ERR_TOOBIG;
    bool nobody = !s->n_threads || atomic_load_explicit(&s->stopping, memory_order_relaxed);
    int rc = ERR_BUSY;
    if (!nobody)
        rc = enqueue(s, c, w, signer_cache_hash(&s->cache[c], w->key_uid, w->data, w->n), t);
    if (rc)
        atomic_fetch_add_explicit(&s->refused[c], 1, memory_order_relaxed);
    return rc;
}

bool signer_get(const struct signer *s, enum signer_class c, const struct signer_what *w,
                uint8_t out[DNS_SIGNATURE_BYTES])
{
    return signer_cache_get(&s->cache[c],
                            signer_cache_hash(&s->cache[c], w->key_uid, w->data, w->n), out);
}

static void cache_put(struct signer *s, enum signer_class c, struct cache_hash h,
                      uint32_t expires_s, const uint8_t sig[DNS_SIGNATURE_BYTES])
{
    uint32_t now_s = (uint32_t)(clock_wall_ms() / 1000);
    pthread_mutex_lock(&s->writing);
    signer_cache_put(&s->cache[c], h, expires_s, now_s, sig);
    pthread_mutex_unlock(&s->writing);
}

void signer_put(struct signer *s, enum signer_class c, const struct signer_what *w,
                const uint8_t sig[DNS_SIGNATURE_BYTES])
{
    cache_put(s, c, signer_cache_hash(&s->cache[c], w->key_uid, w->data, w->n), w->expires_s, sig);
}

void signer_stats_get(struct signer *s, struct signer_stats *out)
{
    pthread_mutex_lock(&s->writing);
    for (int c = 0; c < SIGNER_CLASSES; c++) {
        out->evicted[c] = s->cache[c].evicted;
        out->cached[c] = s->cache[c].used;
        out->slots[c] = s->cache[c].n_sets * CACHE_WAYS;
    }
    pthread_mutex_unlock(&s->writing);
    for (int c = 0; c < SIGNER_CLASSES; c++) {
        out->made[c] = atomic_load(&s->made[c]);
        out->refused[c] = atomic_load(&s->refused[c]);
        out->queued[c] = signer_queue_n(&s->queue[c]);
    }
    out->failed = atomic_load(&s->failed);
    out->waiting = atomic_load(&s->waiting);
}

// ---- the threads ----

// Several may have asked for the same: the first job makes it, the others find it there.
static bool make(struct signer *s, struct signer_job *j, enum signer_class c)
{
    static struct log_limit lim = LOG_LIMIT(60000);
    uint8_t sig[DNS_SIGNATURE_BYTES];
    if (signer_cache_get(&s->cache[c], j->hash, sig))
        return true;
    int rc = dns_key_sign(j->key, j->data, j->n, sig);
    if (rc) {
        log_limited(&lim, LOG_ERROR, "dns: a signature could not be made: %s", err_text(rc));
        atomic_fetch_add(&s->failed, 1);
        return false;
    }
    cache_put(s, c, j->hash, j->expires_s, sig);
    atomic_fetch_add(&s->made[c], 1);
    return true;
}

static void job_end(struct signer *s, struct signer_job *j, bool good)
{
    snapshot_unref(j->keys);
    if (j->ticket.inbox && good)
        pending_retry(j->ticket);
    else if (j->ticket.inbox)
        pending_fail(j->ticket);
    atomic_fetch_sub(&s->waiting, 1);
}

// Names that exist come before denials.
static bool take_job(struct signer *s, struct signer_job *out, enum signer_class *out_class)
{
    for (int c = 0; c < SIGNER_CLASSES; c++)
        if (signer_queue_take(&s->queue[c], out)) {
            *out_class = (enum signer_class)c;
            return true;
        }
    return false;
}

static void *signer_main(void *arg)
{
    struct signer *s = arg;
    struct signer_job j;
    enum signer_class c = SIGNER_POSITIVE;
    thread_step_back(); // a worker on the same core does not wait for a signature that others want
    for (;;) {
        while (sem_wait(&s->work)) // interrupted
            ;
        if (atomic_load(&s->stopping))
            return NULL;
        while (!take_job(s, &j, &c))
            sched_yield(); // there is one, behind another that is still being filled
        job_end(s, &j, make(s, &j, c));
    }
}

int signer_new(const struct signer_options *o, struct signer **out)
{
    uint64_t secret[2];
    struct signer *s = mem_zalloc(sizeof *s);
    if (!s)
        return ERR_NOMEM;
    pthread_mutex_init(&s->writing, NULL);
    sem_init(&s->work, 0, 0);
    if (o->denials_per_s) {
        s->denial_us = 1000000 / o->denials_per_s;
        if (DENIAL_BURST_MS * 1000 > s->denial_us)
            s->burst_us = DENIAL_BURST_MS * 1000;
        else
            s->burst_us = s->denial_us;
        s->allowed_us = clock_mono_us() - s->burst_us;
    }
    int rc = random_bytes(secret, sizeof secret);
    if (!rc)
        rc = signer_cache_init(&s->cache[SIGNER_POSITIVE], o->slots, secret);
    if (!rc)
        rc = signer_cache_init(&s->cache[SIGNER_DENIAL], o->slots / 8, secret);
    if (!rc && o->threads)
        rc = signer_queue_init(&s->queue[SIGNER_POSITIVE], POSITIVE_JOBS);
    if (!rc && o->threads)
        rc = signer_queue_init(&s->queue[SIGNER_DENIAL], DENIAL_JOBS);
    for (unsigned i = 0; !rc && i < o->threads && i < THREADS_MAX; i++) {
        rc = thread_start(&s->threads[i], signer_main, s);
        s->n_threads += !rc;
    }
    if (rc) {
        signer_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

void signer_free(struct signer *s)
{
    struct signer_job j;
    enum signer_class ignored;
    if (!s)
        return;
    atomic_store(&s->stopping, true);
    for (unsigned i = 0; i < s->n_threads; i++)
        sem_post(&s->work);
    for (unsigned i = 0; i < s->n_threads; i++)
        pthread_join(s->threads[i], NULL);
    while (s->queue[SIGNER_DENIAL].cells && take_job(s, &j, &ignored))
        job_end(s, &j, false);
    for (int c = 0; c < SIGNER_CLASSES; c++) {
        signer_queue_done(&s->queue[c]);
        signer_cache_done(&s->cache[c]);
    }
    sem_destroy(&s->work);
    pthread_mutex_destroy(&s->writing);
    free(s);
}
