// SPDX-License-Identifier: Apache-2.0
// Token buckets of requests; see throttle.h. Invariants, under the lock:
//   1. A place whose bucket is full (full_at <= now) is free. No other changes its key.
//   2. A request that is refused changes no bucket.
#include "net/throttle.h"

#include "base/digest.h"
#include "base/mem.h"
#include "base/siphash.h"
#include "net/throttle_test.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#define WAYS 8
#define CLIENT_SETS 4096  // 32,768 buckets of identities and networks, 800 KiB once all were used
#define REGISTRY_SETS 512 // 4,096 of registries
#define NS_PER_MS 1000000ll
#define MINUTE_NS (60ll * 1000 * NS_PER_MS)

// Times are in nanoseconds of the monotonic clock.
struct bucket {
    // an identity's hash, or a network; which registry, class and scope
    uint64_t who, what;
    int64_t full_at;
};

struct set {
    struct bucket ways[WAYS];
    // of all who found no place here
    int64_t shared_full_at;
};

struct table {
    struct set *sets;
    // a power of two
    size_t n_sets;
};

struct throttle {
    struct siphash_key names;
    // of places; an odd one to multiply with
    uint64_t key[2], odd;
    struct table clients, registries;
    pthread_mutex_t lock;
    uint64_t crowded;
    uint64_t refused[N_RATE_SCOPES][N_REQUEST_CLASSES];
};

static int table_make(struct table *t, size_t n_sets)
{
    t->n_sets = n_sets;
    t->sets = mem_zalloc_array(n_sets, sizeof *t->sets);
    return t->sets ? 0 : -1;
}

static struct throttle *make(size_t n_clients, size_t n_registries)
{
    uint8_t secret[SIPHASH_KEY_BYTES];
    struct throttle *t = mem_zalloc(sizeof *t);
    if (!t)
        return NULL;
    pthread_mutex_init(&t->lock, NULL);
    bool failed = random_bytes(secret, sizeof secret) || random_bytes(t->key, sizeof t->key);
    if (failed || table_make(&t->clients, n_clients) || table_make(&t->registries, n_registries)) {
        throttle_free(t);
        return NULL;
    }
    t->names = siphash_key_of(secret);
    t->odd = t->key[1] | 1;
    return t;
}

struct throttle *throttle_new(void)
{
    return make(CLIENT_SETS, REGISTRY_SETS);
}

struct throttle *throttle_new_small(size_t n_sets)
{
    return make(n_sets, n_sets);
}

void throttle_free(struct throttle *t)
{
    if (!t)
        return;
    free(t->clients.sets);
    free(t->registries.sets);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

// ---- places ----

static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 p = (unsigned __int128)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static uint64_t load(const char *p, size_t n)
{
    uint64_t v = 0;
    memcpy(&v, p, n);
    return v;
}

// Registries are the operator's, so this need not stand against chosen ones. It is the same as long
// as the process lives.
static uint64_t registry_number(const struct throttle *t, const char *key)
{
    size_t n = strlen(key), at = 0;
    uint64_t h = t->key[0] ^ n;
    for (; n - at > 8; at += 8)
        h = fold(h ^ load(key + at, 8), t->odd);
    if (n >= 8) // the last 8, some of them again
        return fold(h ^ load(key + n - 8, 8), t->odd);
    if (n >= 4)
        return fold(h ^ load(key, 4) ^ load(key + n - 4, 4) << 32, t->odd);
    for (; at < n; at++)
        h = fold(h ^ (uint8_t)key[at], t->odd);
    return h;
}

// A /24 of IPv4, a /56 of IPv6, as one number; no two are the same.
static uint64_t network_number(const struct ip *ip)
{
    uint64_t n = 0;
    if (ip_is_v4(ip))
        return 1 | (uint64_t)ip->b[12] << 24 | (uint64_t)ip->b[13] << 16 | (uint64_t)ip->b[14] << 8;
    for (unsigned i = 0; i < 7; i++)
        n = n << 8 | ip->b[i];
    return n << 8;
}

// The time at which the bucket is full, to be read and set. A free place becomes the newcomer's, but
// not the one that this request has `chosen` for another bucket (NULL: none).
static int64_t *bucket_of(struct throttle *t, const struct table *in, uint64_t who, uint64_t what,
                          const int64_t *chosen, int64_t now)
{
    struct set *set =
        &in->sets[fold(who ^ t->key[0], what ^ t->key[1]) & (uint64_t)(in->n_sets - 1)];
    struct bucket *place = NULL;
    for (size_t i = 0; i < WAYS; i++) {
        struct bucket *b = &set->ways[i];
        if (b->who == who && b->what == what)
            return &b->full_at;
        if (!place && b->full_at <= now && &b->full_at != chosen)
            place = b;
    }
    if (!place) {
        t->crowded++;
        return &set->shared_full_at;
    }
    assert(place->full_at <= now); // invariant 1
    *place = (struct bucket){who, what, set->shared_full_at};
    return &place->full_at;
}

// ---- judging ----

// A bucket that is asked.
struct asked {
    const struct table *in;
    uint64_t who;
    uint32_t per_minute;
    enum rate_scope scope;
    // where it is, and what it would be with one token less
    int64_t *full_at, then;
};

static void ask(struct asked *list, unsigned *n, const struct throttle_ask *q,
                const struct table *in, enum rate_scope scope, uint64_t who)
{
    struct asked *a = &list[(*n)++];
    a->in = in;
    a->who = who;
    a->scope = scope;
    a->per_minute = q->rates->per_minute[scope][q->class];
}

static bool limits(const struct throttle_ask *q, enum rate_scope scope)
{
    return q->rates->per_minute[scope][q->class];
}

static unsigned buckets_asked(struct throttle *t, const struct throttle_ask *q, struct asked *list)
{
    unsigned n = 0;
    if (q->whole && limits(q, RATE_REGISTRY))
        ask(list, &n, q, &t->registries, RATE_REGISTRY, 0);
    if (q->client && limits(q, RATE_NETWORK))
        ask(list, &n, q, &t->clients, RATE_NETWORK, network_number(q->client));
    if (q->identity && limits(q, RATE_IDENTITY))
        ask(list, &n, q, &t->clients, RATE_IDENTITY,
            siphash13(&t->names, q->identity, strlen(q->identity)));
    return n;
}

// How long the bucket lacks a token; at most 0: it has one.
static int64_t look(struct throttle *t, struct asked *a, uint64_t what, const int64_t *chosen,
                    int64_t now)
{
    a->full_at = bucket_of(t, a->in, a->who, what + a->scope, chosen, now);
    int64_t from = *a->full_at;
    if (from < now)
        from = now;
    a->then = from + MINUTE_NS / a->per_minute;
    return a->then - now - MINUTE_NS;
}

bool throttle_take(struct throttle *t, const struct throttle_ask *q, int64_t now_ms,
                   struct throttle_verdict *out)
{
    struct asked list[N_RATE_SCOPES];
    if (!t || !q->rates)
        return true;
    const unsigned n = buckets_asked(t, q, list);
    if (!n)
        return true;
    const uint64_t what = registry_number(t, q->registry) + N_RATE_SCOPES * q->class;
    const int64_t now = now_ms * NS_PER_MS;
    const struct asked *worst = NULL;
    const int64_t *chosen = NULL;
    int64_t longest = 0;
    pthread_mutex_lock(&t->lock);
    for (unsigned i = 0; i < n; i++) {
        int64_t wait = look(t, &list[i], what, chosen, now);
        chosen = list[i].full_at;
        if (wait <= longest)
            continue;
        longest = wait;
        worst = &list[i];
    }
    for (unsigned i = 0; i < n && !worst; i++)
        *list[i].full_at = list[i].then;
    if (worst)
        t->refused[worst->scope][q->class]++;
    pthread_mutex_unlock(&t->lock);
    if (!worst)
        return true;
    out->wait_s = (unsigned)((longest + 1000 * NS_PER_MS - 1) / (1000 * NS_PER_MS));
    out->scope = worst->scope;
    out->per_minute = worst->per_minute;
    return false;
}

// ---- figures ----

static size_t used_of(struct throttle *t, const struct table *in, int64_t now)
{
    size_t n = 0;
    for (size_t i = 0; i < in->n_sets; i++) {
        pthread_mutex_lock(&t->lock); // of each set: nobody waits for the whole look
        for (size_t k = 0; k < WAYS; k++)
            n += in->sets[i].ways[k].full_at > now;
        pthread_mutex_unlock(&t->lock);
    }
    return n;
}

void throttle_status(struct throttle *t, int64_t now_ms, struct throttle_status *out)
{
    *out = (struct throttle_status){0};
    if (!t)
        return;
    int64_t now = now_ms * NS_PER_MS;
    out->places = WAYS * (t->clients.n_sets + t->registries.n_sets);
    out->used = used_of(t, &t->clients, now) + used_of(t, &t->registries, now);
    pthread_mutex_lock(&t->lock);
    out->crowded = t->crowded;
    memcpy(out->refused, t->refused, sizeof out->refused);
    pthread_mutex_unlock(&t->lock);
}
