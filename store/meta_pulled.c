// SPDX-License-Identifier: Apache-2.0
// See meta_pulled.h.
//
// Invariants
//   1. A slot says that a manifest was noted in an hour; another manifest that falls into the slot
//      makes the first one be noted again, which does no harm.
//   2. The list is bounded. A manifest for which there is no room is noted when it is pulled again.
#include "store/meta_pulled.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "store/meta_priv.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define SLOTS 16384u
#define LIST_MAX 4096
#define FLUSH_MAX 256 // rows of one transaction

struct pull {
    char *registry, *repository;
    struct digest digest;
    int64_t wall_ms;
};

struct pulled {
    // the manifest's mark, and the hour in its low bits
    _Atomic uint64_t slots[SLOTS];
    pthread_mutex_t lock;
    // under the lock
    struct pull list[LIST_MAX];
    size_t n;
};

int pulled_new(struct pulled **out)
{
    struct pulled *p = mem_zalloc(sizeof *p);
    if (!p)
        return ERR_NOMEM;
    pthread_mutex_init(&p->lock, NULL);
    *out = p;
    return 0;
}

static void pull_done(struct pull *p)
{
    free(p->registry);
    free(p->repository);
}

void pulled_free(struct pulled *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++)
        pull_done(&p->list[i]);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static uint64_t text_mix(uint64_t h, const char *s)
{
    for (; *s; s++)
        h = (h ^ (uint8_t)*s) * 0x100000001b3ull;
    return (h ^ 0xff) * 0x100000001b3ull;
}

static uint64_t mark_of(const char *registry, const char *repository, const struct digest *d)
{
    uint64_t h;
    memcpy(&h, d->b, sizeof h); // a digest is well mixed
    return text_mix(text_mix(h, registry), repository);
}

// Under the lock. False: there is no room.
static bool pull_add(struct pulled *p, const char *registry, const char *repository,
                     const struct digest *d, int64_t wall_ms)
{
    if (p->n == LIST_MAX)
        return false;
    struct pull x = {mem_strdup(registry), mem_strdup(repository), *d, wall_ms};
    if (!x.registry || !x.repository) {
        pull_done(&x);
        return false;
    }
    p->list[p->n++] = x;
    return true;
}

void meta_pulled(struct meta *m, const char *registry, const char *repository,
                 const struct digest *manifest)
{
    struct pulled *p = m->pulled;
    int64_t hour = clock_wall_ms() / META_PULLED_GRAIN_MS;
    uint64_t mark = mark_of(registry, repository, manifest);
    uint64_t said = (mark & ~0xffffull) | ((uint64_t)hour & 0xffff);
    _Atomic uint64_t *slot = &p->slots[(mark >> 16) % SLOTS];
    if (atomic_load_explicit(slot, memory_order_relaxed) == said) // 1
        return;
    pthread_mutex_lock(&p->lock);
    if (pull_add(p, registry, repository, manifest, hour * META_PULLED_GRAIN_MS))
        atomic_store_explicit(slot, said, memory_order_relaxed);
    pthread_mutex_unlock(&p->lock);
}

// --- writing ---

struct batch {
    const struct pull *list;
    size_t n;
};

static int batch_run(struct tx *tx, void *arg)
{
    const struct batch *b = arg;
    for (size_t i = 0; i < b->n; i++) {
        const struct pull *p = &b->list[i];
        int64_t repo;
        int rc = repo_find(tx, p->registry, p->repository, &repo);
        if (!rc)
            rc = pulled_set(tx, repo, &p->digest, p->wall_ms);
        if (rc && rc != ERR_NOTFOUND)
            return rc;
    }
    return 0;
}

// Takes the list. 0: there is nothing.
static size_t list_take(struct pulled *p, struct pull **out)
{
    struct pull *copy = mem_alloc(LIST_MAX * sizeof *copy);
    size_t n = 0;
    if (!copy)
        return 0;
    pthread_mutex_lock(&p->lock);
    n = p->n;
    memcpy(copy, p->list, n * sizeof *copy);
    p->n = 0;
    pthread_mutex_unlock(&p->lock);
    *out = copy;
    if (!n)
        free(copy);
    return n;
}

int meta_pulled_flush(struct meta *m)
{
    struct pull *list;
    int rc = 0;
    size_t n = list_take(m->pulled, &list);
    if (!n)
        return 0;
    for (size_t at = 0; !rc && at < n; at += FLUSH_MAX) {
        struct batch b = {list + at, n - at < FLUSH_MAX ? n - at : FLUSH_MAX};
        rc = meta_write(m, batch_run, &b, false);
    }
    for (size_t i = 0; i < n; i++)
        pull_done(&list[i]);
    free(list);
    return rc;
}

int meta_pulled_get(struct meta *m, const char *registry, const char *repository,
                    const struct digest *manifest, int64_t *out_wall_ms)
{
    struct tx *tx;
    int64_t repo;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = repo_find(tx, registry, repository, &repo);
    if (!rc)
        rc = pulled_get(tx, repo, manifest, out_wall_ms);
    tx_end(tx);
    return rc;
}
