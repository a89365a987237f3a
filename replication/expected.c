// SPDX-License-Identifier: Apache-2.0
// Blobs of which a relay will tell; see expected.h.
#include "replication/expected.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct expectation {
    struct expectation *next;
    struct digest digest;
    uint64_t size;
    int64_t until_mono;
    char *origin, *registry, *repository;
};

struct expected {
    pthread_mutex_t lock;

    // Under the lock.

    struct expectation *first;
    size_t n;
};

int expected_new(struct expected **out)
{
    struct expected *e = mem_zalloc(sizeof *e);
    if (!e)
        return ERR_NOMEM;
    pthread_mutex_init(&e->lock, NULL);
    *out = e;
    return 0;
}

static void expectation_free(struct expectation *x)
{
    free(x->origin);
    free(x->registry);
    free(x->repository);
    free(x);
}

void expected_free(struct expected *e)
{
    if (!e)
        return;
    for (struct expectation *x = e->first, *next; x; x = next) {
        next = x->next;
        expectation_free(x);
    }
    pthread_mutex_destroy(&e->lock);
    free(e);
}

static int expectation_new(const struct ahead_key *key, uint64_t size, int64_t until_mono,
                           struct expectation **out)
{
    struct expectation *x = mem_zalloc(sizeof *x);
    if (!x)
        return ERR_NOMEM;
    x->digest = key->digest;
    x->size = size;
    x->until_mono = until_mono;
    x->origin = mem_strdup(key->origin);
    x->registry = mem_strdup(key->registry);
    x->repository = mem_strdup(key->repository);
    if (!x->origin || !x->registry || !x->repository) {
        expectation_free(x);
        return ERR_NOMEM;
    }
    *out = x;
    return 0;
}

// Forgets those whose time is over. Under the lock.
static void forget_old(struct expected *e)
{
    int64_t now = clock_mono_ms();
    struct expectation **at = &e->first;
    while (*at) {
        struct expectation *x = *at;
        if (x->until_mono > now) {
            at = &x->next;
            continue;
        }
        *at = x->next;
        e->n--;
        expectation_free(x);
    }
}

// The pointer that leads to it, whose time is not over; NULL: there is none. Under the lock.
static struct expectation **find(struct expected *e, const char *registry, const char *repository,
                                 const struct digest *d)
{
    forget_old(e);
    for (struct expectation **at = &e->first; *at; at = &(*at)->next) {
        const struct expectation *x = *at;
        if (digest_equal(&x->digest, d) && strcmp(x->repository, repository) == 0 &&
            strcmp(x->registry, registry) == 0)
            return at;
    }
    return NULL;
}

int expected_add(struct expected *e, const struct ahead_key *key, uint64_t size, int64_t until_mono)
{
    struct expectation *x;
    int rc = expectation_new(key, size, until_mono, &x);
    if (rc)
        return rc;
    pthread_mutex_lock(&e->lock);
    struct expectation **had = find(e, key->registry, key->repository, &key->digest);
    if (had) {
        (*had)->until_mono = until_mono;
    } else if (e->n == EXPECTED_MAX) {
        rc = ERR_FULL;
    } else {
        x->next = e->first;
        e->first = take_ptr(x);
        e->n++;
    }
    pthread_mutex_unlock(&e->lock);
    if (x)
        expectation_free(x);
    return rc;
}

bool expected_has(struct expected *e, const char *registry, const char *repository,
                  const struct digest *d)
{
    pthread_mutex_lock(&e->lock);
    bool has = find(e, registry, repository, d) != NULL;
    pthread_mutex_unlock(&e->lock);
    return has;
}

bool expected_take(struct expected *e, const char *registry, const char *repository,
                   const struct digest *d, struct expected_item *out)
{
    struct expectation *x = NULL;
    pthread_mutex_lock(&e->lock);
    struct expectation **at = find(e, registry, repository, d);
    if (at) {
        x = *at;
        *at = x->next;
        e->n--;
    }
    pthread_mutex_unlock(&e->lock);
    if (!x)
        return false;
    if (out)
        *out = (struct expected_item){.origin = take_ptr(x->origin), .size = x->size};
    expectation_free(x);
    return true;
}

void expected_item_done(struct expected_item *it)
{
    free(take_ptr(it->origin));
}
