// SPDX-License-Identifier: Apache-2.0
// One manifest's blobs fetched together; see blob_group.h.
#include "replication/blob_group.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wait.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELPERS_WAITING 64 // offers of help that no thread has taken up
// A worker that fetches nothing itself waits for its helpers as long as bytes come, or a blob that
// has come is synced.
#define STUCK_MS 4000
#define LOOK_MS 200

struct helpers {
    struct pool *pool;
};

enum blob_state {
    // nobody has begun it
    BLOB_WAITS,
    BLOB_RUNS,
    // a helper could not get it at once
    BLOB_LEFT,
    BLOB_HERE,
};

struct group_blob {
    const struct manifest_ref *ref;
    enum blob_state state;
    // bytes of it that are not here yet
    uint64_t left;
};

struct group;
struct offer { // of help
    struct pool_job job;
    struct group *group;
};

struct group {
    pthread_mutex_t lock;
    pthread_cond_t changed;

    // Under the lock.

    // the worker, and each offer that the pool has
    unsigned refs;
    // the worker has left, and what is borrowed is gone
    bool closed;
    // when bytes came last, or the group was made
    int64_t arrived_mono;
    unsigned n_running;
    // the first error, with all that goes with it
    int rc;
    int64_t not_before_mono;
    uint64_t lacks;
    bool own_fault;
    uint64_t relayed;
    char error[ERROR_TEXT_SIZE];
    struct offer offers[BLOB_GROUP_HELPERS];

    // helpers are to end
    _Atomic bool stop;
    // The worker's: help was asked for.
    bool asked;
    struct helpers *helpers;
    // borrowed until it is closed
    const struct blob_group_want *want;
    size_t n;
    struct group_blob blobs[];
};

int helpers_new(struct helpers **out)
{
    struct helpers *h = mem_zalloc(sizeof *h);
    if (!h)
        return ERR_NOMEM;
    const struct pool_options o = {
        .name = "helper", .n_threads = HELPER_THREADS, .max_waiting = HELPERS_WAITING};
    h->pool = pool_new(&o);
    if (!h->pool) {
        free(h);
        return ERR_NOMEM;
    }
    *out = h;
    return 0;
}

void helpers_free(struct helpers *h)
{
    if (!h)
        return;
    pool_free(h->pool);
    free(h);
}

// --- the group ---

// Enters with the lock and leaves without.
static void group_leave(struct group *g)
{
    assert(g->refs > 0);
    bool last = --g->refs == 0;
    pthread_mutex_unlock(&g->lock);
    if (!last)
        return;
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

static int smaller_first(const void *a, const void *b)
{
    const struct group_blob *x = a, *y = b;
    return (x->ref->size > y->ref->size) - (x->ref->size < y->ref->size);
}

static struct group *group_new(struct helpers *h, const struct blob_group_want *want)
{
    struct group *g = mem_zalloc(sizeof *g + want->n * sizeof g->blobs[0]);
    if (!g)
        return NULL;
    pthread_mutex_init(&g->lock, NULL);
    wait_cond_init(&g->changed);
    g->refs = 1;
    g->arrived_mono = clock_mono_ms();
    g->helpers = h;
    g->want = want;
    g->n = want->n;
    for (size_t i = 0; i < g->n; i++)
        g->blobs[i] = (struct group_blob){.ref = want->refs[i], .left = want->refs[i]->size};
    qsort(g->blobs, g->n, sizeof g->blobs[0], smaller_first);
    return g;
}

// Bytes of the job that are not here, but for this blob's. Under the lock.
static uint64_t left_besides(const struct group *g, const struct group_blob *but)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < g->n; i++)
        if (&g->blobs[i] != but && sum + g->blobs[i].left >= sum)
            sum += g->blobs[i].left;
    return sum;
}

static void say_left(struct group *g)
{
    g->want->w->bytes_left = left_besides(g, NULL);
}

// The first in that state; NULL: none, or an error came. Under the lock.
static struct group_blob *blob_in(struct group *g, enum blob_state state)
{
    for (size_t i = 0; i < g->n && !g->rc; i++) // invariant 2
        if (g->blobs[i].state == state)
            return &g->blobs[i];
    return NULL;
}

// --- one blob ---

struct one { // a fetch, on the thread that makes it
    struct group *group;
    struct group_blob *blob;
    bool helps;
    struct attempt sub;
};

static void help_ask(struct group *g);

static void arrived(void *ctx, uint64_t left)
{
    struct one *one = ctx;
    struct group *g = one->group;
    pthread_mutex_lock(&g->lock);
    one->blob->left = left;
    g->arrived_mono = clock_mono_ms();
    say_left(g);
    pthread_mutex_unlock(&g->lock);
    if (!one->helps) // invariant 1
        help_ask(g);
}

static uint64_t left_after(void *ctx)
{
    struct one *one = ctx;
    pthread_mutex_lock(&one->group->lock);
    uint64_t left = left_besides(one->group, one->blob);
    pthread_mutex_unlock(&one->group->lock);
    return left;
}

// Fetches, unless it is here meanwhile; gives the repository a lease. Without the lock.
static int one_get(struct one *one, int64_t *out_not_before, char error[ERROR_TEXT_SIZE])
{
    const struct blob_group_want *want = one->group->want;
    struct replicator *r = want->w->r;
    const struct manifest_ref *ref = one->blob->ref;
    struct blob_fetch_how how = {
        .helps = one->helps, .arrived = arrived, .left_after = left_after, .ctx = one};
    const struct lease_add add = {.registry = want->manifest->registry,
                                  .repository = want->manifest->repository,
                                  .digest = ref->digest};
    struct lease_result result;
    bool published = false;
    if (one->helps)
        how.stop = &one->group->stop;
    if (want_ref_here(r, want->manifest, ref))
        return 0;
    int rc = blob_fetch(&one->sub, want->topology, want->registry, ref, &how, &published,
                        out_not_before, error);
    if (!rc && !published) {
        rc = meta_lease_add(r->o.meta, &add, &result);
        room_wrote(r->room, rc);
    }
    if (rc && rc != ERR_BUSY && !*error)
        snprintf(error, ERROR_TEXT_SIZE, "blob: %s", err_text(rc));
    return rc;
}

// The first error ends it all. Under the lock.
static void group_fail(struct group *g, int rc, const struct attempt *sub, int64_t not_before,
                       const char error[ERROR_TEXT_SIZE])
{
    if (g->rc)
        return;
    g->rc = rc;
    g->not_before_mono = not_before;
    g->lacks = sub->lacks;
    g->own_fault = sub->own_fault;
    g->relayed = sub->relayed;
    memcpy(g->error, error, sizeof g->error);
    g->stop = true;
}

// Could somebody else, or the worker later, get what could not be had now?
static bool may_be_left(const struct group *g, int rc, const struct one *one)
{
    if (rc == ERR_BUSY)
        return true;
    if (!one->helps)
        return false;
    if (one->sub.relayed)
        return true;
    return rc == ERR_UNREACHABLE || (rc == ERR_CANCELED && g->stop); // invariant 1
}

// Under the lock, which it gives up meanwhile.
static void blob_run(struct group *g, struct group_blob *b, bool helps)
{
    struct attempt *w = g->want->w;
    struct one one = {.group = g, .blob = b, .helps = helps, .sub = {.r = w->r, .job = w->job}};
    int64_t not_before = 0;
    char error[ERROR_TEXT_SIZE] = "";
    b->state = BLOB_RUNS;
    g->n_running++;
    space_move(&w->charge, b->ref->size, &one.sub.charge); // what it takes beyond comes by windows
    pthread_mutex_unlock(&g->lock);
    int rc = one_get(&one, &not_before, error);
    if (!rc && !helps)
        help_ask(g);
    pthread_mutex_lock(&g->lock);
    space_move(&one.sub.charge, UINT64_MAX, &w->charge);
    g->n_running--;
    b->state = BLOB_HERE;
    if (!rc) {
        b->left = 0;
        g->arrived_mono = clock_mono_ms(); // by another one's fetch, maybe
        say_left(g);
    } else {
        b->state = BLOB_LEFT;
        if (!may_be_left(g, rc, &one))
            group_fail(g, rc, &one.sub, not_before, error);
    }
    pthread_cond_broadcast(&g->changed);
}

// --- helpers ---

static void help(void *arg)
{
    struct offer *o = arg;
    struct group *g = o->group;
    pthread_mutex_lock(&g->lock);
    for (;;) {
        struct group_blob *b = NULL;
        if (!g->closed)
            b = blob_in(g, BLOB_WAITS);
        if (!b)
            break;
        blob_run(g, b, true);
        if (b->state == BLOB_LEFT) // the next would fare alike
            break;
    }
    group_leave(g);
}

static void no_help(void *arg)
{
    struct offer *o = arg;
    pthread_mutex_lock(&o->group->lock);
    group_leave(o->group);
}

static size_t n_waiting(struct group *g)
{
    size_t n = 0;
    pthread_mutex_lock(&g->lock);
    for (size_t i = 0; i < g->n; i++)
        n += g->blobs[i].state == BLOB_WAITS;
    pthread_mutex_unlock(&g->lock);
    return n;
}

// On the worker, once, as far as the pool takes offers.
static void help_ask(struct group *g)
{
    if (g->asked)
        return;
    g->asked = true;
    size_t n = n_waiting(g);
    for (size_t i = 0; i < BLOB_GROUP_HELPERS && i < n; i++) {
        struct offer *o = &g->offers[i];
        o->group = g;
        o->job = (struct pool_job){.run = help,
                                   .lost = no_help,
                                   .arg = o,
                                   .lane = POOL_REGIONS,
                                   .name = g->want->manifest->registry};
        pthread_mutex_lock(&g->lock);
        g->refs++;
        pthread_mutex_unlock(&g->lock);
        if (pool_submit(g->helpers->pool, &o->job) == 0)
            continue;
        no_help(o);
        break;
    }
    pool_settle(g->helpers->pool);
}

// --- the worker ---

// The worker has nothing to fetch, or no turn at a source. May its helpers go on? Under the lock.
static bool helpers_go_on(const struct group *g)
{
    return g->n_running && clock_mono_ms() - g->arrived_mono < STUCK_MS;
}

// Takes what nobody has begun, then what helpers left, until all are here or there is an error, and
// no helper runs. Under the lock.
static void work(struct group *g)
{
    static const struct attempt none;
    static const char no_words[ERROR_TEXT_SIZE];
    struct replicator *r = g->want->w->r;
    for (;;) {
        struct group_blob *b = blob_in(g, BLOB_WAITS);
        if (!b)
            b = blob_in(g, BLOB_LEFT);
        if (!b && !g->n_running)
            return;
        if (b)
            blob_run(g, b, false);
        bool busy = b && b->state == BLOB_LEFT && !g->rc;
        bool idle = !b || busy;
        if (idle && !g->rc && !helpers_go_on(g)) // invariant 3
            group_fail(g, ERR_BUSY, &none, 0, no_words);
        if (idle && g->n_running)
            wait_cond(&g->changed, &g->lock, LOOK_MS);
        if (life_stopping(r->life))
            g->stop = true;
    }
}

int blob_group_get(struct helpers *h, const struct blob_group_want *want,
                   int64_t *out_not_before_mono, char error[ERROR_TEXT_SIZE])
{
    struct group *g = group_new(h, want);
    if (!g)
        return ERR_NOMEM;
    say_left(g);
    pthread_mutex_lock(&g->lock);
    work(g);
    g->closed = true;
    int rc = g->rc;
    if (rc) {
        want->w->lacks = g->lacks;
        want->w->own_fault = g->own_fault;
        want->w->relayed = g->relayed;
        if (g->not_before_mono)
            *out_not_before_mono = g->not_before_mono;
        memcpy(error, g->error, sizeof g->error);
    }
    group_leave(g);
    return rc;
}
