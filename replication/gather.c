// SPDX-License-Identifier: Apache-2.0
// Batches of fetches for callers who wait; see gather.h.
#include "replication/gather.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/policy.h"
#include "replication/ahead.h"
#include "replication/job_outcome.h"
#include "replication/peer_source.h"
#include "replication/relays.h"
#include "replication/replication_priv.h"
#include "store/publish.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define GATHER_WAITING 256 // fetches of all batches that wait for a thread
#define AHEAD_WAITING 2048 // copies ahead that do
#define BATCH_RUNNING 4    // of one batch, that run or wait for a thread
#define LOOK_MS 100
#define CHARGE_FIRST_MAX (1ull << 30)
// Bodies of manifests that one batch keeps in memory, of those that are done.
#define BATCH_BODIES_MAX (48u << 20)

struct batch_item;
struct gather {
    struct replicator *r;
    struct pool *pool, *ahead;
    _Atomic bool drains;
    pthread_mutex_t lock;
    pthread_cond_t changed;

    // Under the lock: those that were begun and are not done.

    struct batch_item *coming;
};

struct batch;
struct batch_item {
    struct batch *batch;
    // of those that are coming; under the gather's lock
    struct batch_item *next;
    struct pool_job job;
    // the batch's own copy, until it is done
    struct elsewhere_item item;
    char error[CONTENT_TEXT_SIZE];
    bool done;
    // its fetch has given the repository a lease
    bool published;
    struct usage_limits limits;
};

struct batch { // of one caller
    struct gather *gather;
    char *registry, *repository;
    int64_t until_mono;
    bool judged;
    // its caller waits for it
    bool urgent;
    // a copy ahead, of which no more may come than its region says
    bool exact;
    // of a copy ahead: it is noted; others are told of it then, and whether it may be later
    bool noted, hands_on, later;
    // whose threads fetch
    struct pool *pool;
    pthread_mutex_t lock;
    pthread_cond_t changed;

    // Under the lock.

    // the caller, and each fetch that was begun and is not done
    unsigned refs;
    size_t n_running, n_done;
    // of bodies that are kept
    size_t body_bytes;
    bool failed;
    size_t n_items;
    struct batch_item items[];
};

int gather_new(struct replicator *r, struct gather **out)
{
    struct gather *g = mem_zalloc(sizeof *g);
    if (!g)
        return ERR_NOMEM;
    const struct pool_options o = {.name = "gather",
                                   .n_threads = GATHER_THREADS,
                                   .max_waiting = GATHER_WAITING,
                                   .kept = GATHER_THREADS / 2}; // for callers who wait
    g->r = r;
    pthread_mutex_init(&g->lock, NULL);
    wait_cond_init(&g->changed);
    const struct pool_options ahead = {
        .name = "ahead", .n_threads = AHEAD_THREADS, .max_waiting = AHEAD_WAITING};
    g->pool = pool_new(&o);
    g->ahead = pool_new(&ahead);
    if (!g->pool || !g->ahead) {
        gather_free(g);
        return ERR_NOMEM;
    }
    *out = g;
    return 0;
}

void gather_drain(struct gather *g)
{
    g->drains = true;
}

void gather_stop(struct gather *g)
{
    if (!g)
        return;
    g->drains = true;
    pool_free(take_ptr(g->pool));
    pool_free(take_ptr(g->ahead));
}

void gather_free(struct gather *g)
{
    if (!g)
        return;
    gather_stop(g);
    assert(!g->coming);
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

const _Atomic bool *gather_drains(const struct gather *g)
{
    return &g->drains;
}

// --- what is coming ---

static void coming_add(struct gather *g, struct batch_item *of)
{
    pthread_mutex_lock(&g->lock);
    of->next = g->coming;
    g->coming = of;
    pthread_mutex_unlock(&g->lock);
}

static void coming_remove(struct gather *g, struct batch_item *of)
{
    pthread_mutex_lock(&g->lock);
    struct batch_item **at = &g->coming;
    while (*at != of)
        at = &(*at)->next;
    *at = of->next;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

// Under the lock.
static bool is_coming(const struct gather *g, const char *registry, const char *repository,
                      const struct digest *d)
{
    for (const struct batch_item *of = g->coming; of; of = of->next) {
        const struct batch *b = of->batch;
        if (of->item.kind == CONTENT_BLOB && digest_equal(&of->item.digest, d) &&
            strcmp(b->registry, registry) == 0 && strcmp(b->repository, repository) == 0)
            return true;
    }
    return false;
}

bool gather_coming(struct gather *g, const char *registry, const char *repository,
                   const struct digest *d)
{
    pthread_mutex_lock(&g->lock);
    bool coming = is_coming(g, registry, repository, d);
    pthread_mutex_unlock(&g->lock);
    return coming;
}

void gather_wait(struct gather *g, const char *registry, const char *repository,
                 const struct digest *d, int64_t until_mono)
{
    pthread_mutex_lock(&g->lock);
    while (is_coming(g, registry, repository, d) && !g->drains && clock_mono_ms() < until_mono) {
        flights_hurry(content_flights(g->r->content), d); // it may have begun since
        wait_cond(&g->changed, &g->lock, LOOK_MS);
    }
    pthread_mutex_unlock(&g->lock);
}

// --- one fetch, on a thread of the gather ---

static bool may_wait(const struct batch *b)
{
    return !b->gather->drains && clock_mono_ms() < b->until_mono;
}

static bool item_may_wait(void *ctx)
{
    struct batch_item *of = ctx;
    return may_wait(of->batch);
}

// Bytes that this region has for other repositories prove nothing: the source must give its own,
// unless this repository has them by now.
static bool item_may_take(void *ctx)
{
    struct batch_item *of = ctx;
    const struct batch *b = of->batch;
    struct blob_here here;
    return meta_blob_look(b->gather->r->o.meta, b->registry, b->repository, &of->item.digest,
                          &here) == 0;
}

// What is known to come is charged before it is asked for. The size is another region's word: no
// more than CHARGE_FIRST_MAX at once, the rest by windows as it comes.
static int charge(struct replicator *r, const struct elsewhere_item *item, struct space_charge *out)
{
    uint64_t here = blob_partial_size(r->o.blobs, &item->digest), missing = 0;
    if (here < item->size)
        missing = item->size - here;
    if (missing > CHARGE_FIRST_MAX)
        missing = CHARGE_FIRST_MAX;
    return space_take(r->o.space, missing, out);
}

// A lease with the region that it came from. `name` NULL: the blob was here, or another thread
// fetched it.
static int lease(struct batch_item *of, const struct blob_name *name, uint64_t size)
{
    struct replicator *r = of->batch->gather->r;
    struct lease_add add = {.registry = of->batch->registry,
                            .repository = of->batch->repository,
                            .digest = of->item.digest,
                            .published = name,
                            .size = size};
    struct lease_result result;
    if (*of->item.holder)
        add.peer = of->item.holder;
    if (of->batch->judged)
        add.limits = &of->limits;
    if (name)
        return blob_publish(r->o.blobs, r->o.meta, &add, &result);
    return meta_lease_add(r->o.meta, &add, &result);
}

static int published(void *ctx, const struct blob_name *name, uint64_t size)
{
    struct batch_item *of = ctx;
    int rc = lease(of, name, size);
    of->published = rc == 0;
    return rc;
}

static int blob_gather(struct replicator *r, const struct content_want *from, struct batch_item *of,
                       struct content_outcome *out)
{
    struct space_charge c = {0};
    int rc = charge(r, &of->item, &c);
    if (rc)
        return rc;
    struct content_want want = *from;
    want.charge = &c;
    want.size = of->item.size;
    want.exact = of->batch->exact;
    want.streams = peer_source_streams(r, want.sources, want.n_sources, want.size);
    want.urgent = of->batch->urgent;
    want.may_take = item_may_take;
    want.may_wait = item_may_wait;
    want.published = published;
    want.ctx = of;
    rc = content_blob(r->content, &want, out);
    space_return(&c);
    if (!rc && !of->published)
        rc = lease(of, NULL, 0);
    job_blob_here(r, &want.digest);
    return rc;
}

static int item_fetch(struct batch_item *of, const struct topology *t)
{
    struct replicator *r = of->batch->gather->r;
    struct source *sources[TOPOLOGY_MAX_REGIONS];
    const struct registry *reg = topology_registry_by_key(t, of->batch->registry);
    if (!reg)
        return ERR_NOTFOUND;
    of->limits.registry_bytes = policy_quota(reg);
    of->limits.repository_bytes = policy_of(reg, of->batch->repository)->quota_bytes;
    const struct content_want want = {.registry = of->batch->registry,
                                      .repository = of->batch->repository,
                                      .digest = of->item.digest,
                                      .sources = sources,
                                      .n_sources =
                                          peer_sources(r, t, reg, of->item.holder, false, sources),
                                      .besides = true}; // the threads bound them
    struct content_outcome outcome = {0};
    int rc;
    if (of->item.kind == CONTENT_BLOB)
        rc = blob_gather(r, &want, of, &outcome);
    else
        rc = content_manifest(r->content, &want, &of->item.body, &outcome);
    if (rc == ERR_BUSY && of->batch->gather->drains)
        rc = ERR_CANCELED;
    else if (rc == ERR_BUSY && !may_wait(of->batch))
        rc = ERR_TIMEOUT; // for another one's fetch
    // that nobody has it takes the word of all
    if (rc == ERR_NOTFOUND && outcome.not_before_mono)
        rc = ERR_UNREACHABLE;
    if (rc && *outcome.error)
        memcpy(of->error, outcome.error, sizeof of->error);
    else if (rc)
        snprintf(of->error, sizeof of->error, "%s: %s", content_kind_name(of->item.kind),
                 err_text(rc));
    return rc;
}

// --- the batch ---

static void batch_free(struct batch *b)
{
    for (size_t i = 0; i < b->n_items; i++)
        buf_done(&b->items[i].item.body);
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
    free(b->registry);
    free(b->repository);
    free(b);
}

// Enters with the lock and leaves without.
static void batch_leave(struct batch *b)
{
    assert(b->refs > 0);
    bool last = --b->refs == 0;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
    if (last)
        batch_free(b);
}

// Of a copy ahead.
static struct ahead_key key_of(const struct batch_item *of)
{
    return (struct ahead_key){.registry = of->batch->registry,
                              .repository = of->batch->repository,
                              .digest = of->item.digest,
                              .origin = of->item.holder};
}

static void noted_end(const struct batch_item *of, int rc)
{
    const struct ahead_key key = key_of(of);
    ahead_end(of->batch->gather->r->ahead, &key, rc);
}

static void item_end(struct batch_item *of, int rc)
{
    struct batch *b = of->batch;
    if (b->noted)
        noted_end(of, rc);
    coming_remove(b->gather, of);
    pthread_mutex_lock(&b->lock);
    b->body_bytes += of->item.body.n;
    if (!rc && b->body_bytes > BATCH_BODIES_MAX) {
        buf_done(&of->item.body);
        of->item.body = (struct buf){0};
        rc = ERR_TOOBIG;
    }
    of->item.rc = rc;
    of->done = true;
    b->n_running--;
    b->n_done++;
    if (rc)
        b->failed = true;
    batch_leave(b);
}

static void item_run(void *arg)
{
    struct batch_item *of = arg;
    struct replicator *r = of->batch->gather->r;
    const struct ahead_key key = key_of(of);
    int rc = ERR_CANCELED;
    if (life_enter(r->life)) {
        struct topology *t = snapshot_get(r->o.topology);
        if (t)
            rc = item_fetch(of, t);
        snapshot_unref(t);
        if (!rc && of->batch->hands_on)
            relays_hand_on(r, &key, of->item.size, of->batch->later);
        life_leave(r->life);
    }
    item_end(of, rc);
}

static void item_lost(void *arg)
{
    item_end(arg, ERR_BUSY);
}

static int batch_new(struct gather *g, const struct elsewhere_want *w, bool judged,
                     struct batch **out)
{
    struct batch *b = mem_zalloc(sizeof *b + w->n_items * sizeof b->items[0]);
    if (!b)
        return ERR_NOMEM;
    b->gather = g;
    b->pool = g->pool;
    b->refs = 1;
    b->until_mono = w->until_mono;
    b->judged = judged;
    b->registry = mem_strdup(w->registry);
    b->repository = mem_strdup(w->repository);
    pthread_mutex_init(&b->lock, NULL);
    wait_cond_init(&b->changed);
    if (!b->registry || !b->repository) {
        batch_free(b);
        return ERR_NOMEM;
    }
    b->n_items = w->n_items;
    for (size_t i = 0; i < w->n_items; i++) {
        b->items[i].batch = b;
        b->items[i].item = w->items[i];
        b->items[i].item.body = (struct buf){0};
    }
    *out = b;
    return 0;
}

// A copy for which nobody waits never has all threads, however long it is held back.
static enum pool_lane lane_of(const struct batch *b)
{
    if (b->urgent)
        return POOL_REGIONS;
    return POOL_CLIENTS;
}

// Under the lock, which it gives up meanwhile.
static int item_begin(struct batch *b, struct batch_item *of)
{
    of->job = (struct pool_job){
        .run = item_run, .lost = item_lost, .arg = of, .lane = lane_of(b), .name = b->registry};
    b->refs++;
    b->n_running++;
    pthread_mutex_unlock(&b->lock);
    coming_add(b->gather, of);
    int rc = pool_submit(b->pool, &of->job);
    if (rc)
        coming_remove(b->gather, of);
    pool_settle(b->pool);
    pthread_mutex_lock(&b->lock);
    if (!rc)
        return 0;
    b->refs--; // never the last: the caller holds one
    b->n_running--;
    return rc;
}

// Begins what may run. Under the lock.
static void batch_begin(struct batch *b, size_t *next)
{
    while (*next < b->n_items && b->n_running < BATCH_RUNNING && !b->failed) { // invariants 1, 2
        if (item_begin(b, &b->items[*next]))
            return; // the pool is full: later
        ++*next;
    }
}

// Until all are done, nothing more is begun or waited for, or the time is over. Under the lock.
static void batch_wait(struct batch *b)
{
    size_t next = 0;
    while (b->n_done < b->n_items && may_wait(b)) {
        batch_begin(b, &next);
        if (b->failed && !b->n_running)
            return;
        if (b->n_done < b->n_items)
            wait_cond(&b->changed, &b->lock, LOOK_MS);
    }
}

// What became of the items; the worst of those that failed, else whether some are left. Under the
// lock.
static int batch_take(struct batch *b, struct elsewhere_want *w, char error[CONTENT_TEXT_SIZE])
{
    int worst = 0, left = ERR_TIMEOUT;
    if (b->gather->drains)
        left = ERR_CANCELED;
    for (size_t i = 0; i < b->n_items; i++) {
        struct batch_item *of = &b->items[i];
        struct elsewhere_item *to = &w->items[i];
        to->rc = left;
        if (!of->done)
            continue;
        to->rc = of->item.rc;
        to->body = of->item.body;
        of->item.body = (struct buf){0};
        bool worse = to->rc && (!worst || grade_of(to->rc) > grade_of(worst));
        if (!worse)
            continue;
        worst = to->rc;
        memcpy(error, of->error, sizeof of->error);
    }
    if (worst || b->n_done == b->n_items)
        return worst;
    snprintf(error, CONTENT_TEXT_SIZE, "%s", err_text(left));
    return left;
}

int gather_fetch(struct gather *g, struct elsewhere_want *w, bool judged,
                 char error[CONTENT_TEXT_SIZE])
{
    struct batch *b;
    if (w->n_items > ELSEWHERE_ITEMS_MAX)
        return ERR_TOOBIG;
    int rc = batch_new(g, w, judged, &b);
    if (rc)
        return rc;
    b->urgent = true;
    pthread_mutex_lock(&b->lock);
    batch_wait(b);
    rc = batch_take(b, w, error);
    batch_leave(b);
    return rc;
}

int gather_begin(struct gather *g, const struct elsewhere_want *w, bool noted, bool hands_on)
{
    struct batch *b;
    assert(w->n_items == 1);
    int rc = batch_new(g, w, false, &b);
    if (rc)
        return rc;
    b->exact = true;
    b->noted = noted;
    b->hands_on = hands_on;
    b->later = w->later;
    if (w->later)
        b->pool = g->ahead;
    pthread_mutex_lock(&b->lock);
    rc = item_begin(b, &b->items[0]);
    batch_leave(b);
    return rc;
}
