// SPDX-License-Identifier: Apache-2.0
// The keys of issuers: kept, fetched, waited for; see issuer_keys_priv.h.
#include "auth/issuer_keys_test.h"

#include "auth/issuer_fetch_priv.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/pool.h"

#include <stdio.h>
#include <string.h>

#define FETCH_THREADS 4
#define TOLD_MS 3600000
#define ENTRIES_MAX ISSUERS_MAX
#define IDLE_MS (2 * (int64_t)KEYS_STALE_MS)

struct entry { // one issuer's
    struct issuer_keys *owner;
    struct entry *next;
    struct pool_job job;
    // what the job works with: strings of its own, on the arena
    struct arena arena;
    struct issuer issuer;
    // NULL: never had
    struct jwks *keys;
    // mono; 0: never
    int64_t fetched_ms, tried_ms, used_ms;
    unsigned n_failures;
    bool fetching;
    unsigned n_waiters;
    char why[KEYS_WHY_SIZE];
};

struct issuer_keys {
    struct outbound *outbound;
    struct pool *pool;
    unsigned max_waiting;
    _Atomic bool stop;
    // guards what follows, and the entries
    pthread_mutex_t lock;
    // some fetch has ended
    pthread_cond_t cond;
    struct entry *entries;
    size_t n_entries;
    unsigned n_waiting;
};

// --- entries; under the lock ---

static void entry_free(struct entry *e)
{
    jwks_unref(e->keys);
    arena_done(&e->arena);
    free(e);
}

static bool entry_is(const struct entry *e, const struct issuer *i)
{
    return e->issuer.source == i->source && !strcmp(e->issuer.url, i->url);
}

static const char *copy(struct arena *a, const char *text, bool *nomem)
{
    if (!text)
        return NULL;
    const char *s = arena_strdup(a, text);
    *nomem = *nomem || !s;
    return s;
}

static void keys_run(void *arg);
static void keys_lost(void *arg);

static struct entry *entry_new(struct issuer_keys *k, const struct issuer *i)
{
    bool nomem = false;
    struct entry *e = mem_zalloc(sizeof *e);
    if (!e)
        return NULL;
    arena_init(&e->arena, 0);
    e->owner = k;
    e->issuer = (struct issuer){.name = copy(&e->arena, i->name, &nomem),
                                .url = copy(&e->arena, i->url, &nomem),
                                .ca = copy(&e->arena, i->ca, &nomem),
                                .ca_file = copy(&e->arena, i->ca_file, &nomem),
                                .keys = copy(&e->arena, i->keys, &nomem),
                                .keys_file = copy(&e->arena, i->keys_file, &nomem),
                                .address = i->address,
                                .source = i->source};
    e->job = (struct pool_job){.run = keys_run, .lost = keys_lost, .arg = e, .lane = POOL_REGIONS};
    if (!nomem)
        return e;
    entry_free(e);
    return NULL;
}

// Makes room: what nobody has used for long goes, or what was idle longest when all places are
// taken. One that is at work stays.
static void entries_prune(struct issuer_keys *k, int64_t now)
{
    struct entry **oldest = NULL;
    for (struct entry **at = &k->entries; *at;) {
        struct entry *e = *at;
        bool busy = e->fetching || e->n_waiters;
        if (!busy && now - e->used_ms > IDLE_MS) {
            *at = e->next;
            entry_free(e);
            k->n_entries--;
            continue;
        }
        if (!busy && (!oldest || e->used_ms < (*oldest)->used_ms))
            oldest = at;
        at = &e->next;
    }
    if (k->n_entries < ENTRIES_MAX || !oldest)
        return;
    struct entry *e = *oldest;
    *oldest = e->next;
    entry_free(e);
    k->n_entries--;
}

static struct entry *entry_get(struct issuer_keys *k, const struct issuer *i, int64_t now)
{
    struct entry *e = k->entries;
    while (e && !entry_is(e, i))
        e = e->next;
    if (!e) {
        entries_prune(k, now);
        if (k->n_entries >= ENTRIES_MAX)
            return NULL;
        e = entry_new(k, i);
        if (!e)
            return NULL;
        e->next = k->entries;
        k->entries = e;
        k->n_entries++;
    }
    e->used_ms = now;
    return e;
}

// --- fetching ---

static void keys_end(struct entry *e, struct jwks *keys, const char *why)
{
    struct issuer_keys *k = e->owner;
    pthread_mutex_lock(&k->lock);
    if (keys) {
        jwks_unref(e->keys);
        e->keys = keys;
        e->fetched_ms = clock_mono_ms();
        e->n_failures = 0;
        e->why[0] = 0;
    } else {
        e->n_failures++;
        snprintf(e->why, sizeof e->why, "%s", why);
    }
    e->tried_ms = clock_mono_ms();
    e->fetching = false;
    pthread_cond_broadcast(&k->cond);
    pthread_mutex_unlock(&k->lock);
}

// The entry stays while `fetching` is set, and its issuer is never changed.
static void keys_run(void *arg)
{
    struct entry *e = arg;
    struct jwks *keys = NULL;
    char why[KEYS_WHY_SIZE] = "";
    int rc = issuer_fetch(e->owner->outbound, &e->issuer, &e->owner->stop, &keys, why);
    if (rc && !*why)
        snprintf(why, sizeof why, "%s", err_text(rc));
    if (rc && rc != ERR_CANCELED)
        log_warn("auth: the keys of issuer %s cannot be had: %s", e->issuer.name, why);
    if (!rc)
        log_debug("auth: issuer %s has %zu keys of use", e->issuer.name, keys->n);
    keys_end(e, keys, why);
}

static void keys_lost(void *arg)
{
    keys_end(arg, NULL, "too many issuers are being asked for their keys");
}

static int64_t next_try_ms(const struct entry *e)
{
    int64_t wait = KEYS_GAP_MS;
    if (e->n_failures) {
        wait = KEYS_RETRY_MS;
        for (unsigned i = 1; i < e->n_failures && wait < KEYS_RETRY_MAX_MS; i++)
            wait *= 2;
        if (wait > KEYS_RETRY_MAX_MS)
            wait = KEYS_RETRY_MAX_MS;
    }
    return e->tried_ms + wait;
}

// Under the lock.
static void keys_start(struct entry *e, int64_t now)
{
    if (e->fetching || (e->tried_ms && now < next_try_ms(e)))
        return;
    e->fetching = true;
    if (!pool_submit(e->owner->pool, &e->job))
        return;
    e->fetching = false; // the next caller tries again
}

// --- asking ---

static bool knows(const struct entry *e, const struct key_want *want, int64_t now)
{
    return e->keys && now - e->fetched_ms < KEYS_STALE_MS &&
           jwks_find(e->keys, want->kid, want->alg);
}

// Under the lock.
static void wait_for(struct entry *e)
{
    struct issuer_keys *k = e->owner;
    int64_t until = clock_mono_ms() + KEYS_WAIT_MS;
    const struct timespec at = {until / 1000, until % 1000 * 1000000};
    e->n_waiters++;
    k->n_waiting++;
    while (e->fetching && !atomic_load(&k->stop))
        if (pthread_cond_timedwait(&k->cond, &k->lock, &at))
            break;
    k->n_waiting--;
    e->n_waiters--;
}

static bool may_wait(const struct entry *e)
{
    return e->n_waiters < KEYS_WAITERS && e->owner->n_waiting < e->owner->max_waiting;
}

static int answer(struct entry *e, const struct key_want *want, struct jwks **out,
                  char why[KEYS_WHY_SIZE])
{
    if (knows(e, want, clock_mono_ms())) {
        *out = jwks_ref(e->keys);
        return 0;
    }
    if (e->fetching) {
        snprintf(why, KEYS_WHY_SIZE, "its keys are being fetched");
        return ERR_BUSY;
    }
    if (e->keys && !e->n_failures) {
        snprintf(why, KEYS_WHY_SIZE, "it has no such key");
        return ERR_NOTFOUND;
    }
    snprintf(why, KEYS_WHY_SIZE, "%s", e->why);
    return ERR_UNREACHABLE;
}

static int ask(struct entry *e, const struct key_want *want, struct jwks **out,
               char why[KEYS_WHY_SIZE])
{
    int64_t now = clock_mono_ms(), age = now - e->fetched_ms;
    bool known = knows(e, want, now);
    if (!known || age >= KEYS_FRESH_MS)
        keys_start(e, now);
    bool first = !known || age >= KEYS_USED_MS; // fetched anew before they are used
    if (first && e->fetching && may_wait(e))
        wait_for(e);
    return answer(e, want, out, why);
}

int issuer_keys_get(struct issuer_keys *k, const struct issuer *i, const struct key_want *want,
                    struct jwks **out, char why[KEYS_WHY_SIZE])
{
    why[0] = 0;
    pthread_mutex_lock(&k->lock);
    struct entry *e = entry_get(k, i, clock_mono_ms());
    int rc = ERR_BUSY;
    if (e)
        rc = ask(e, want, out, why);
    pthread_mutex_unlock(&k->lock);
    pool_settle(k->pool);
    return rc;
}

size_t issuer_keys_failing(struct issuer_keys *k, char name[ISSUER_NAME_MAX + 1],
                           char why[KEYS_WHY_SIZE])
{
    size_t n = 0;
    pthread_mutex_lock(&k->lock);
    int64_t now = clock_mono_ms();
    for (const struct entry *e = k->entries; e; e = e->next) {
        if (!e->n_failures || now - e->used_ms > TOLD_MS)
            continue;
        n++;
        snprintf(name, ISSUER_NAME_MAX + 1, "%s", e->issuer.name);
        snprintf(why, KEYS_WHY_SIZE, "%s", e->why);
    }
    pthread_mutex_unlock(&k->lock);
    return n;
}

// --- life ---

int issuer_keys_new(struct outbound *o, unsigned max_waiting, struct issuer_keys **out)
{
    struct issuer_keys *k = mem_zalloc(sizeof *k);
    if (!k)
        return ERR_NOMEM;
    k->outbound = o;
    k->max_waiting = max_waiting;
    k->pool = pool_new(&(struct pool_options){
        .name = "issuers", .n_threads = FETCH_THREADS, .max_waiting = ENTRIES_MAX});
    if (!k->pool) {
        free(k);
        return ERR_NOMEM;
    }
    pthread_mutex_init(&k->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&k->cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *out = k;
    return 0;
}

void issuer_keys_stop(struct issuer_keys *k)
{
    pthread_mutex_lock(&k->lock);
    atomic_store(&k->stop, true);
    pthread_cond_broadcast(&k->cond);
    pthread_mutex_unlock(&k->lock);
}

void issuer_keys_free(struct issuer_keys *k)
{
    if (!k)
        return;
    pool_free(k->pool);
    for (struct entry *e; (e = k->entries);) {
        k->entries = e->next;
        entry_free(e);
    }
    pthread_cond_destroy(&k->cond);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

void issuer_keys_test_age(struct issuer_keys *k, int64_t ms)
{
    pthread_mutex_lock(&k->lock);
    for (struct entry *e = k->entries; e; e = e->next) {
        e->fetched_ms -= ms;
        e->tried_ms -= ms;
        e->used_ms -= ms;
    }
    pthread_mutex_unlock(&k->lock);
}
