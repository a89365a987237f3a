// SPDX-License-Identifier: Apache-2.0
// The rounds of comparisons, their pace and their questions; see comparer.h. What is compared is
// comparer_walk.c, what is done with one subject comparer_subject.c.
#include "replication/comparer.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "replication/comparer_priv.h"
#include "replication/digest_page.h"
#include "replication/peer.h"
#include "replication/peers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define EVERY_MS (60 * 60 * 1000) // between two rounds, unless options say otherwise
#define RATE 500                  // subjects in a second
#define FIRST_MS (5 * 60 * 1000)  // after the start: what was away comes first
#define RECHECK_MS 5000           // what is open is looked at again
#define RECHECK_MAX 50
#define BUSY_MS 200 // while jobs are under way
#define BUSY_MAX 25 // such waits before one question

struct comparer {
    struct replicator *r;
    struct differences *found;
    pthread_t thread;
    bool started;
    struct lock lock;
    bool kicked;
};

// --- pace (1) ---

static bool jobs_run(struct replicator *r)
{
    return job_queue_workers(r->jobs) && !job_queue_has_idle(r->jobs);
}

void compare_pace(struct compare *k, uint64_t n_subjects)
{
    struct replicator *r = k->c->r;
    unsigned rate = r->o.compare_rate ? r->o.compare_rate : RATE;
    k->n_subjects += n_subjects;
    k->owed_ms += 1 + (int64_t)(n_subjects * 1000 / rate);
    for (int i = 0; i < BUSY_MAX && jobs_run(r) && !life_stopping(r->life); i++)
        life_sleep(r->life, BUSY_MS);
    if (k->owed_ms < 10)
        return;
    life_sleep(r->life, k->owed_ms);
    k->owed_ms = 0;
}

struct replicator *compare_replicator(const struct compare *k)
{
    return k->c->r;
}

struct differences *compare_found(const struct compare *k)
{
    return k->c->found;
}

// --- questions ---

bool compare_is_outdated(struct compare *k)
{
    return topology_outdated(k->c->r, k->t, &k->generation);
}

// One subject may take too long to tell; who has not answered at all is not there.
static bool is_unreached(const struct compare *k, int rc)
{
    return rc == ERR_UNREACHABLE || (rc == ERR_TIMEOUT && !k->answered);
}

int compare_ask(struct compare *k, const struct digest_ask *ask, struct buf *out)
{
    struct replicator *r = k->c->r;
    AUTO_BUF struct buf target;
    int status = 0;
    buf_init(&target, 2000);
    int rc = digest_ask_format(ask, &target);
    if (rc)
        return rc;
    if (life_stopping(r->life) || compare_is_outdated(k))
        return ERR_CANCELED;
    rc = peer_get(&r->dialer, k->t, k->peer->name, buf_cstr(&target), NULL, NULL, DIGEST_TEXT_MAX,
                  &status, out, k->error);
    k->unreached = is_unreached(k, rc);
    if (rc)
        return rc;
    k->answered = true;
    if (status == 200)
        return 0;
    // an earlier release; or its topology does not share the registry yet, or any more
    if (status == 404 || status == 405)
        return ERR_UNSUPPORTED;
    snprintf(k->error, sizeof k->error, "region %s answered %d to a question about digests",
             k->peer->name, status);
    return status == 403 ? ERR_DENIED : ERR_PROTO;
}

int compare_refused(struct compare *k, int rc, const char *why)
{
    if (rc == ERR_PROTO)
        snprintf(k->error, sizeof k->error, "region %s tells digests that cannot be read: %s",
                 k->peer->name, why);
    return rc;
}

// --- pairs ---

// One time through all pairs, by one version of the topology.
struct round {
    struct comparer *c;
    const struct topology *t;
    uint64_t generation;
    // that did not answer
    region_set unreached;
};

static enum compared_state outcome_of(const struct compare *k, int rc)
{
    if (rc == ERR_CANCELED)
        return COMPARED_PART; // the next round goes by the new topology
    if (rc == ERR_UNSUPPORTED)
        return COMPARED_UNSUPPORTED;
    if (rc)
        return COMPARED_FAILED;
    return k->part ? COMPARED_PART : COMPARED_WHOLE;
}

// Each registry would wait for it anew.
static bool is_away(const struct round *w, const struct region *peer)
{
    struct peer *p = peers_find(w->c->r->peers, peer->name);
    if (w->unreached & (region_set)1 << peer->index)
        return true;
    return p && peer_is_away(p);
}

static int pair_look(struct round *w, struct compare *k)
{
    if (is_away(w, k->peer)) {
        snprintf(k->error, sizeof k->error, "region %s does not answer: it was not asked",
                 k->peer->name);
        return ERR_UNREACHABLE;
    }
    int rc = compare_registry(k);
    if (k->unreached)
        w->unreached |= (region_set)1 << k->peer->index;
    return rc;
}

// ERR_CANCELED: the round is over.
static int pair_compare(struct round *w, const struct registry *reg, const struct region *peer)
{
    struct comparer *c = w->c;
    struct compare k = {.c = c, .t = w->t, .generation = w->generation, .reg = reg, .peer = peer};
    differences_pair_begin(c->found, reg->key, peer->name);
    int rc = pair_look(w, &k);
    if (life_stopping(c->r->life))
        return ERR_CANCELED;
    w->generation = k.generation;
    enum compared_state state = outcome_of(&k, rc);
    if (rc && !k.error[0])
        snprintf(k.error, sizeof k.error, "%s", err_text(rc));
    differences_pair_end(c->found, reg->key, peer->name, state, k.n_subjects,
                         state == COMPARED_FAILED ? k.error : NULL);
    return rc == ERR_CANCELED ? rc : 0;
}

// false: another version of the topology came, and the rest is for another round.
static bool round_run(struct comparer *c)
{
    int rc = 0;
    // before the topology: one that comes between is seen
    uint64_t generation = snapshot_generation(c->r->o.topology);
    struct topology *t = snapshot_get(c->r->o.topology);
    struct round w = {.c = c, .t = t, .generation = generation};
    const struct region *self = t ? topology_region(t, c->r->o.region) : NULL;
    AUTO_FREE const struct registry **all = t ? topology_sorted(t) : NULL;
    for (size_t i = 0; !rc && self && all && i < t->n_registries; i++) {
        if (!registry_replica(all[i], self->index))
            continue;
        for (size_t n = 0; !rc && n < all[i]->n_replicas; n++) {
            const struct region *peer = &t->regions[all[i]->replicas[n].region];
            if (peer != self && !life_stopping(c->r->life))
                rc = pair_compare(&w, all[i], peer);
        }
    }
    snapshot_unref(t);
    return !rc;
}

// What was found and is not good yet.
static void recheck_one(const struct round *w, const struct difference *x)
{
    struct comparer *c = w->c;
    const struct topology *t = w->t;
    struct compare k = {.c = c,
                        .t = t,
                        .generation = w->generation,
                        .reg = topology_registry_by_key(t, x->registry),
                        .peer = topology_region(t, x->peer)};
    const struct region *self = topology_region(t, c->r->o.region);
    if (!k.reg || !k.peer || !self || !registry_replica(k.reg, k.peer->index) ||
        !registry_replica(k.reg, self->index)) {
        differences_settle(c->found, x->registry, x->peer, x->repository, &x->subject);
        return;
    }
    if (is_away(w, k.peer))
        return;
    (void)compare_subject(&k, x->repository, &x->subject);
    compare_pace(&k, 1);
}

static void recheck(struct comparer *c)
{
    uint64_t generation = snapshot_generation(c->r->o.topology);
    struct topology *t = snapshot_get(c->r->o.topology);
    const struct round w = {.c = c, .t = t, .generation = generation};
    size_t n = differences_open(c->found, NULL, NULL);
    if (n > RECHECK_MAX)
        n = RECHECK_MAX;
    for (size_t i = n; t && i-- > 0 && !life_stopping(c->r->life);) { // settled ones go from behind
        struct arena a;
        struct difference x;
        arena_init(&a, 0);
        if (!differences_at(c->found, i, &a, &x))
            recheck_one(&w, &x);
        arena_done(&a);
    }
    snapshot_unref(t);
}

// Until the next round. What is open is looked at meanwhile.
static void rest(struct comparer *c, int64_t ms)
{
    int64_t until = clock_mono_ms() + ms;
    bool kicked = false;
    while (!kicked && !life_stopping(c->r->life) && clock_mono_ms() < until) {
        int64_t left = until - clock_mono_ms();
        lock_take(&c->lock);
        if (!c->kicked && !life_stopping(c->r->life))
            lock_wait(&c->lock, left < RECHECK_MS ? left : RECHECK_MS);
        kicked = c->kicked;
        c->kicked = false;
        lock_give(&c->lock);
        if (!kicked && differences_open(c->found, NULL, NULL))
            recheck(c);
    }
}

// Own entries that were lost may still come back (invariant 8 of the design).
static bool is_whole(const struct comparer *c)
{
    return !meta_gate_is_closed(c->r->o.meta, META_GATE_RECOVERY);
}

static void *comparer_main(void *arg)
{
    struct comparer *c = arg;
    int64_t every = c->r->o.compare_every_ms ? c->r->o.compare_every_ms : EVERY_MS;
    rest(c, every < FIRST_MS ? every : FIRST_MS);
    while (!life_stopping(c->r->life)) {
        bool is_over = !is_whole(c) || round_run(c);
        rest(c, is_over || every < RECHECK_MS ? every : RECHECK_MS);
    }
    return NULL;
}

int comparer_new(struct replicator *r, struct comparer **out)
{
    struct comparer *c = mem_zalloc(sizeof *c);
    if (!c)
        return ERR_NOMEM;
    c->r = r;
    lock_init(&c->lock, LOCK_COMPARER);
    c->found = differences_new();
    if (!c->found) {
        comparer_free(c);
        return ERR_NOMEM;
    }
    *out = c;
    return 0;
}

int comparer_start(struct comparer *c)
{
    c->started = pthread_create(&c->thread, NULL, comparer_main, c) == 0;
    return c->started ? 0 : ERR_NOMEM;
}

void comparer_kick(struct comparer *c)
{
    lock_take(&c->lock);
    c->kicked = true;
    lock_wake(&c->lock);
    lock_give(&c->lock);
}

struct differences *comparer_differences(struct comparer *c)
{
    return c->found;
}

void comparer_stop(struct comparer *c)
{
    if (!c || !c->started)
        return;
    assert(life_stopping(c->r->life));
    comparer_kick(c);
    pthread_join(c->thread, NULL);
    c->started = false;
}

void comparer_free(struct comparer *c)
{
    if (!c)
        return;
    differences_free(c->found);
    lock_done(&c->lock);
    free(c);
}
