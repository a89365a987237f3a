// SPDX-License-Identifier: Apache-2.0
// The pool of signing threads, its queues and budgets; see signer.h.
#include "resolver/signer.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/snapshot.h"
#include "base/thread.h"
#include "resolver/signer_cache.h"

#include <string.h>

#define THREADS_MAX 16
#define POSITIVE_JOBS 512
#define DENIAL_JOBS 128
#define AHEAD_JOBS (POSITIVE_JOBS / 4) // what is made ahead of need takes no more of the queue
#define TICKETS_MAX 2048               // waiting for any job
#define NO_TICKET UINT32_MAX
#define DENIAL_BURST_MS 100

struct job {
    struct cache_hash hash;
    const struct dns_key *key;
    void *keys;
    uint32_t expires_s, tickets; // first of a chain
    bool running;
    size_t n;
    uint8_t data[SIGNER_DATA_MAX];
};

struct ticket_node {
    struct parked_ticket ticket;
    uint32_t next;
};

struct queue { // a ring; jobs leave it in order, when they are done or taken by a thread
    struct job *jobs;
    size_t cap, first, n;
};

struct signer {
    struct signer_cache cache[SIGNER_CLASSES];
    pthread_mutex_t lock; // all below, and writing to the cache
    pthread_cond_t work;
    struct queue queue[SIGNER_CLASSES];
    struct ticket_node *tickets;
    uint32_t free_ticket;
    struct job *running; // one per thread: who asks for the same then waits for it
    unsigned denials_per_s;
    int64_t budget_us, budget_at_us; // microseconds of denials' allowance
    struct signer_stats stats;
    bool stopping;
    unsigned n_threads;
    pthread_t threads[THREADS_MAX];
};

// ---- tickets: under the lock ----

static bool ticket_add(struct signer *s, struct job *j, struct parked_ticket t)
{
    uint32_t i = s->free_ticket;
    if (i == NO_TICKET)
        return false;
    s->free_ticket = s->tickets[i].next;
    s->tickets[i] = (struct ticket_node){t, j->tickets};
    j->tickets = i;
    parked_hold(t);
    return true;
}

static void tickets_end(struct signer *s, uint32_t first, bool good)
{
    while (first != NO_TICKET) {
        struct ticket_node *n = &s->tickets[first];
        uint32_t next = n->next;
        if (good)
            parked_retry(n->ticket);
        else
            parked_fail(n->ticket);
        n->next = s->free_ticket;
        s->free_ticket = first;
        first = next;
    }
}

// ---- asking ----

static struct job *find_job(struct signer *s, enum signer_class c, struct cache_hash h)
{
    struct queue *q = &s->queue[c];
    for (size_t i = 0; i < q->n; i++) {
        struct job *j = &q->jobs[(q->first + i) % q->cap];
        if (j->hash.a == h.a && j->hash.b == h.b)
            return j;
    }
    for (unsigned i = 0; i < s->n_threads; i++) {
        struct job *j = &s->running[i];
        if (j->running && j->hash.a == h.a && j->hash.b == h.b)
            return j;
    }
    return NULL;
}

// One denial's worth of the allowance, which fills up to a short burst.
static bool budget_take(struct signer *s, enum signer_class c)
{
    if (c != SIGNER_DENIAL || !s->denials_per_s)
        return true;
    int64_t now = clock_mono_us(), cost = 1000000 / s->denials_per_s, most = DENIAL_BURST_MS * 1000;
    s->budget_us += now - s->budget_at_us;
    s->budget_at_us = now;
    if (s->budget_us > (most > cost ? most : cost))
        s->budget_us = most > cost ? most : cost;
    if (s->budget_us < cost)
        return false;
    s->budget_us -= cost;
    return true;
}

static int enqueue(struct signer *s, enum signer_class c, const struct signer_what *w, struct cache_hash h,
                   struct parked_ticket t)
{
    struct queue *q = &s->queue[c];
    if (q->n == q->cap || (!t.inbox && q->n >= AHEAD_JOBS) || !budget_take(s, c))
        return ERR_BUSY;
    struct job *j = &q->jobs[(q->first + q->n) % q->cap];
    j->hash = h;
    j->key = w->key;
    j->expires_s = w->expires_s;
    j->tickets = NO_TICKET;
    j->running = false;
    j->n = w->n;
    memcpy(j->data, w->data, w->n);
    if (t.inbox && !ticket_add(s, j, t))
        return ERR_BUSY;
    j->keys = snapshot_ref(w->keys);
    q->n++;
    pthread_cond_signal(&s->work);
    return 0;
}

int signer_ask(struct signer *s, enum signer_class c, const struct signer_what *w, struct parked_ticket t)
{
    uint8_t sig[DNS_SIGNATURE_BYTES];
    if (w->n > SIGNER_DATA_MAX)
        return ERR_TOOBIG;
    struct cache_hash h = signer_cache_hash(&s->cache[c], w->key_uid, w->data, w->n);
    pthread_mutex_lock(&s->lock);
    struct job *j = find_job(s, c, h);
    int rc = ERR_BUSY;
    if (!s->n_threads || s->stopping) {
        // nobody would do it
    } else if (j) {
        rc = !t.inbox || ticket_add(s, j, t) ? 0 : ERR_BUSY;
    } else if (t.inbox && signer_cache_get(&s->cache[c], h, sig)) { // made since the caller looked
        parked_hold(t);
        parked_retry(t);
        rc = 0;
    } else {
        rc = enqueue(s, c, w, h, t);
    }
    if (rc)
        s->stats.refused[c]++;
    pthread_mutex_unlock(&s->lock);
    return rc;
}

bool signer_get(const struct signer *s, enum signer_class c, const struct signer_what *w,
                uint8_t out[DNS_SIGNATURE_BYTES])
{
    return signer_cache_get(&s->cache[c], signer_cache_hash(&s->cache[c], w->key_uid, w->data, w->n), out);
}

static void cache_put(struct signer *s, enum signer_class c, struct cache_hash h, uint32_t expires_s,
                      const uint8_t sig[DNS_SIGNATURE_BYTES])
{
    signer_cache_put(&s->cache[c], h, expires_s, (uint32_t)(clock_wall_ms() / 1000), sig);
}

void signer_put(struct signer *s, enum signer_class c, const struct signer_what *w,
                const uint8_t sig[DNS_SIGNATURE_BYTES])
{
    struct cache_hash h = signer_cache_hash(&s->cache[c], w->key_uid, w->data, w->n);
    pthread_mutex_lock(&s->lock);
    cache_put(s, c, h, w->expires_s, sig);
    pthread_mutex_unlock(&s->lock);
}

void signer_stats_get(struct signer *s, struct signer_stats *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->stats;
    for (int c = 0; c < SIGNER_CLASSES; c++) {
        out->evicted[c] = s->cache[c].evicted;
        out->cached[c] = s->cache[c].used;
        out->slots[c] = s->cache[c].n_sets * CACHE_WAYS;
        out->queued[c] = s->queue[c].n;
    }
    out->waiting = s->queue[SIGNER_POSITIVE].n + s->queue[SIGNER_DENIAL].n;
    for (unsigned i = 0; i < s->n_threads; i++)
        out->waiting += s->running[i].running;
    pthread_mutex_unlock(&s->lock);
}

// ---- the threads ----

// Names that exist come before denials.
static bool take_job(struct signer *s, struct job *out, enum signer_class *out_class)
{
    for (int c = 0; c < SIGNER_CLASSES; c++) {
        struct queue *q = &s->queue[c];
        if (!q->n)
            continue;
        struct job *j = &q->jobs[q->first];
        memcpy(out, j, offsetof(struct job, data) + j->n);
        out->running = true;
        q->first = (q->first + 1) % q->cap;
        q->n--;
        *out_class = (enum signer_class)c;
        return true;
    }
    return false;
}

static void do_job(struct signer *s, struct job *j, enum signer_class c)
{
    static struct log_limit lim = LOG_LIMIT(60000);
    uint8_t sig[DNS_SIGNATURE_BYTES];
    pthread_mutex_unlock(&s->lock);
    int rc = dns_key_sign(j->key, j->data, j->n, sig);
    snapshot_unref(j->keys);
    if (rc)
        log_limited(&lim, LOG_ERROR, "dns: a signature could not be made: %s", err_text(rc));
    pthread_mutex_lock(&s->lock);
    if (!rc) {
        cache_put(s, c, j->hash, j->expires_s, sig);
        s->stats.made[c]++;
    } else {
        s->stats.failed++;
    }
    j->running = false;
    tickets_end(s, j->tickets, !rc);
}

struct start {
    struct signer *s;
    unsigned i;
};

static void *signer_main(void *arg)
{
    struct start *start = arg;
    struct signer *s = start->s;
    struct job *mine = &s->running[start->i];
    enum signer_class c = SIGNER_POSITIVE;
    free(start);
    thread_step_back(); // a worker on the same core does not wait for a signature that others want
    pthread_mutex_lock(&s->lock);
    while (!s->stopping) {
        if (take_job(s, mine, &c))
            do_job(s, mine, c);
        else
            pthread_cond_wait(&s->work, &s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static int start_thread(struct signer *s)
{
    struct start *start = mem_alloc(sizeof *start);
    if (!start)
        return ERR_NOMEM;
    *start = (struct start){s, s->n_threads};
    if (thread_start(&s->threads[s->n_threads], signer_main, start)) {
        free(start);
        return ERR_NOMEM;
    }
    return 0;
}

static int init_queues(struct signer *s)
{
    static const size_t caps[SIGNER_CLASSES] = {POSITIVE_JOBS, DENIAL_JOBS};
    for (int c = 0; c < SIGNER_CLASSES; c++) {
        s->queue[c].cap = caps[c];
        s->queue[c].jobs = mem_zalloc_array(caps[c], sizeof(struct job));
        if (!s->queue[c].jobs)
            return ERR_NOMEM;
    }
    s->tickets = mem_zalloc_array(TICKETS_MAX, sizeof *s->tickets);
    s->running = mem_zalloc_array(THREADS_MAX, sizeof *s->running);
    if (!s->tickets || !s->running)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < TICKETS_MAX; i++)
        s->tickets[i].next = i + 1 < TICKETS_MAX ? i + 1 : NO_TICKET;
    return 0;
}

int signer_new(const struct signer_options *o, struct signer **out)
{
    uint64_t secret[2];
    struct signer *s = mem_zalloc(sizeof *s);
    if (!s)
        return ERR_NOMEM;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    s->denials_per_s = o->denials_per_s;
    s->budget_at_us = clock_mono_us();
    s->budget_us = DENIAL_BURST_MS * 1000;
    int rc = random_bytes(secret, sizeof secret);
    if (!rc)
        rc = signer_cache_init(&s->cache[SIGNER_POSITIVE], o->slots, secret);
    if (!rc)
        rc = signer_cache_init(&s->cache[SIGNER_DENIAL], o->slots / 8, secret);
    if (!rc && o->threads)
        rc = init_queues(s);
    for (unsigned i = 0; !rc && i < o->threads && i < THREADS_MAX; i++) {
        pthread_mutex_lock(&s->lock);
        rc = start_thread(s);
        s->n_threads += !rc;
        pthread_mutex_unlock(&s->lock);
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
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_broadcast(&s->work);
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < s->n_threads; i++)
        pthread_join(s->threads[i], NULL);
    for (int c = 0; c < SIGNER_CLASSES; c++) {
        struct queue *q = &s->queue[c];
        for (size_t i = 0; i < q->n; i++) {
            struct job *j = &q->jobs[(q->first + i) % q->cap];
            tickets_end(s, j->tickets, false);
            snapshot_unref(j->keys);
        }
        free(q->jobs);
        signer_cache_done(&s->cache[c]);
    }
    free(s->tickets);
    free(s->running);
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
