// SPDX-License-Identifier: Apache-2.0
// Names to addresses within a time. getaddrinfo(3) knows no deadline, so each look-up has a thread
// of its own, which is left behind when it takes too long: what it needs belongs to it and to the
// caller together, and whoever lets go last frees it. At most LOOKUPS_MAX run at once.
#include "net/outbound_test.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/thread.h"

#include <netdb.h>
#include <stdatomic.h>
#include <string.h>

#define LOOKUPS_MAX 32
#define STOP_LOOK_MS 200

struct lookup {
    // two at first: the thread, and who waits
    _Atomic int refs;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    // under the lock
    bool done;
    int rc;
    struct outbound_addresses found;
    char host[OUTBOUND_HOST_SIZE];
};

static _Atomic int n_lookups;
static int (*_Atomic test_resolver)(const char *host, struct outbound_addresses *out);

void outbound_test_resolver(int (*resolve)(const char *host, struct outbound_addresses *out))
{
    atomic_store(&test_resolver, resolve);
}

static void lookup_unref(struct lookup *l)
{
    if (atomic_fetch_sub(&l->refs, 1) > 1)
        return;
    pthread_cond_destroy(&l->cond);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static int error_of(int gai)
{
    switch (gai) {
    case EAI_NONAME:
    case EAI_NODATA:
        return ERR_NOTFOUND;
    case EAI_MEMORY:
        return ERR_NOMEM;
    default:
        return ERR_UNREACHABLE;
    }
}

static bool known(const struct outbound_addresses *all, const struct ip *ip)
{
    for (size_t i = 0; i < all->n; i++)
        if (ip_equal(&all->ip[i], ip))
            return true;
    return false;
}

static int addresses_take(const struct addrinfo *list, struct outbound_addresses *out)
{
    for (const struct addrinfo *a = list; a; a = a->ai_next) {
        struct endpoint e;
        if (endpoint_from_sockaddr(a->ai_addr, a->ai_addrlen, &e) || known(out, &e.ip))
            continue;
        if (out->n == OUTBOUND_ADDRESSES_MAX)
            return ERR_TOOBIG;
        out->ip[out->n++] = e.ip;
    }
    if (out->n)
        return 0;
    return ERR_NOTFOUND;
}

static int resolve(const char *host, struct outbound_addresses *out)
{
    int (*instead)(const char *, struct outbound_addresses *) = atomic_load(&test_resolver);
    if (instead)
        return instead(host, out);
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    int gai = getaddrinfo(host, NULL, &hints, &list);
    if (gai)
        return error_of(gai);
    int rc = addresses_take(list, out);
    freeaddrinfo(list);
    return rc;
}

static void *lookup_thread(void *arg)
{
    struct lookup *l = arg;
    struct outbound_addresses found = {0};
    pthread_setname_np(pthread_self(), "lookup");
    int rc = resolve(l->host, &found);
    pthread_mutex_lock(&l->lock);
    l->rc = rc;
    l->found = found;
    l->done = true;
    pthread_cond_signal(&l->cond);
    pthread_mutex_unlock(&l->lock);
    atomic_fetch_sub(&n_lookups, 1);
    lookup_unref(l);
    return NULL;
}

static struct lookup *lookup_new(const char *host)
{
    struct lookup *l = mem_zalloc(sizeof *l);
    if (!l)
        return NULL;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&l->cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&l->lock, NULL);
    atomic_init(&l->refs, 1);
    memcpy(l->host, host, strlen(host) + 1);
    return l;
}

static int lookup_start(struct lookup *l)
{
    pthread_t t;
    if (atomic_fetch_add(&n_lookups, 1) >= LOOKUPS_MAX) {
        atomic_fetch_sub(&n_lookups, 1);
        return ERR_BUSY;
    }
    atomic_store(&l->refs, 2);
    int rc = thread_start(&t, lookup_thread, l);
    if (rc) {
        atomic_store(&l->refs, 1);
        atomic_fetch_sub(&n_lookups, 1);
        return rc;
    }
    pthread_detach(t);
    return 0;
}

// Under the lock.
static int lookup_wait(struct lookup *l, int64_t deadline_ms, const _Atomic bool *stop)
{
    while (!l->done) {
        int64_t now = clock_mono_ms(), until = now + STOP_LOOK_MS;
        if (stop && atomic_load(stop))
            return ERR_CANCELED;
        if (now >= deadline_ms)
            return ERR_TIMEOUT;
        if (until > deadline_ms)
            until = deadline_ms;
        const struct timespec at = {until / 1000, until % 1000 * 1000000};
        pthread_cond_timedwait(&l->cond, &l->lock, &at);
    }
    return l->rc;
}

int outbound_resolve(const char *host, int64_t deadline_ms, const _Atomic bool *stop,
                     struct outbound_addresses *out)
{
    if (strlen(host) >= OUTBOUND_HOST_SIZE)
        return ERR_INVAL;
    struct lookup *l = lookup_new(host);
    if (!l)
        return ERR_NOMEM;
    int rc = lookup_start(l);
    if (!rc) {
        pthread_mutex_lock(&l->lock);
        rc = lookup_wait(l, deadline_ms, stop);
        if (!rc)
            *out = l->found;
        pthread_mutex_unlock(&l->lock);
    }
    lookup_unref(l);
    return rc;
}
