// SPDX-License-Identifier: Apache-2.0
// Revoked feed keys, told to the store and swept out of it; see revoker.h.
#include "replication/revoker.h"

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "replication/join_state.h"
#include "replication/replication_priv.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SWEEP_PIECE 64
#define LOOK_MS 1000

struct revoker {
    struct replicator *r;
    pthread_t thread;
    bool started;
    // of the topology by which the store was told last
    _Atomic uint64_t version;
    // one tells at a time: the own thread, and every reader's
    pthread_mutex_t telling;
    struct lock lock;
    bool kicked;
};

static size_t revocations(const struct topology *t, struct meta_revocation *out, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n_regions; i++)
        for (size_t k = 0; k < t->regions[i].n_revoked; k++, n++) {
            const struct feed_revocation *v = &t->regions[i].revoked[k];
            if (n >= cap)
                continue;
            out[n] = (struct meta_revocation){
                .origin = t->regions[i].name, .key = v->key, .epoch = v->epoch, .seq = v->seq};
            memcpy(out[n].hash, v->hash, sizeof out[n].hash);
        }
    return n;
}

static void gate_see_to(struct meta *m)
{
    if (meta_key_revoked(m))
        meta_gate_close(m, META_GATE_KEY,
                        "the feed key that this region signs with is revoked in the topology: take "
                        "its feed.pem away, let "
                        "meridian init add another key, and start it again");
    else
        meta_gate_open(m, META_GATE_KEY);
}

// This region itself: nobody takes what it writes.
static void seal_see_to(struct revoker *v, const struct topology *t)
{
    const struct region *self = topology_region(t, v->r->o.region);
    struct feed_mark head = {0};
    char why[META_WHY_SIZE];
    if (!self || !self->sealed) {
        meta_gate_open(v->r->o.meta, META_GATE_SEALED);
        return;
    }
    (void)meta_head(v->r->o.meta, self->name, &head); // it may be told without
    snprintf(why, sizeof why,
             "%s was forgotten; let it join anew, with an empty disk (keep this one): meridian "
             "region replace %s. Its entries up to %" PRIu64 " of epoch %" PRIu64
             " count; it is at %" PRIu64 " of %" PRIu64,
             self->name, self->name, self->sealed->seq, self->sealed->epoch, head.seq, head.epoch);
    if (!meta_gate_is_closed(v->r->o.meta, META_GATE_SEALED))
        log_error("replication: %s", why);
    meta_gate_close(v->r->o.meta, META_GATE_SEALED, why);
}

// A snapshot proves nothing of entries below the place that a revocation names: what came by one is
// held against the whole feed, which that place's hash commits to. Its row is forgotten then, so it
// happens once, and after a kill.
static int joined_reread(struct replicator *r, const char *origin)
{
    const struct feed_mark start = {0};
    struct feed_mark at;
    size_t n;
    int rc = join_state_place(r->o.state_dir, origin, &at);
    if (rc == ERR_NOTFOUND)
        return 0;
    if (!rc)
        rc = meta_revoke_reread(r->o.meta, origin);
    if (!rc)
        rc = join_state_forget_behind(r->o.state_dir, origin, &start, &n);
    return rc;
}

// Under `telling`.
static int tell(struct revoker *v, const struct topology *t)
{
    struct meta *m = v->r->o.meta;
    if (atomic_load(&v->version) == t->version)
        return 0;
    size_t n = revocations(t, NULL, 0);
    AUTO_FREE struct meta_revocation *list = mem_zalloc_array(n + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    revocations(t, list, n);
    struct meta_revoked told = {0};
    int rc = 0;
    if (n)
        rc = meta_revoke(m, list, n, &told);
    gate_see_to(m);
    seal_see_to(v, t);
    for (size_t i = 0; !rc && i < n; i++)
        rc = joined_reread(v->r, list[i].origin);
    if (rc)
        return rc;
    if (told.n_new)
        log_warn("replication: %zu feed keys are revoked by version %" PRIu64
                 " of the topology: what they signed after "
                 "their last good entries is void",
                 told.n_new, t->version);
    if (told.n_ignored)
        log_warn("replication: version %" PRIu64
                 " of the topology revokes %zu feed keys at later places than before: a "
                 "revocation is final, and stays as it was",
                 t->version, told.n_ignored);
    atomic_store(&v->version, t->version);
    return 0;
}

int revoker_tell(struct revoker *v, const struct topology *t)
{
    if (atomic_load(&v->version) == t->version)
        return 0;
    pthread_mutex_lock(&v->telling);
    int rc = tell(v, t);
    pthread_mutex_unlock(&v->telling);
    return rc;
}

static void sweep(struct replicator *r)
{
    static struct log_limit limit = LOG_LIMIT(10000);
    struct meta_swept piece = {.more = true};
    size_t n = 0;
    int rc = 0;
    while (!rc && piece.more && !life_stopping(r->life)) {
        rc = meta_revoke_sweep(r->o.meta, SWEEP_PIECE, &piece);
        if (!rc)
            n += piece.n_void;
    }
    if (n)
        log_warn("replication: %zu entries of revoked feed keys are void; their registers fell "
                 "back: meridian "
                 "replication revoked -r REGISTRY lists them",
                 n);
    if (rc && !life_stopping(r->life))
        log_limited(
            &limit, LOG_ERROR,
            "replication: entries of revoked feed keys cannot be swept out: %s; it is tried "
            "again",
            err_text(rc));
}

static void rest(struct revoker *v)
{
    lock_take(&v->lock);
    if (!v->kicked && !life_stopping(v->r->life))
        lock_wait(&v->lock, LOOK_MS);
    v->kicked = false;
    lock_give(&v->lock);
}

static void *revoker_main(void *arg)
{
    struct revoker *v = arg;
    struct replicator *r = v->r;
    static struct log_limit limit = LOG_LIMIT(10000);
    while (!life_stopping(r->life)) {
        struct topology *t = snapshot_get(r->o.topology);
        int rc = 0;
        if (t)
            rc = revoker_tell(v, t);
        snapshot_unref(t);
        if (rc)
            log_limited(&limit, LOG_ERROR,
                        "replication: revoked feed keys cannot be noted: %s; it is tried again",
                        err_text(rc));
        sweep(r);
        rest(v);
    }
    return NULL;
}

int revoker_new(struct replicator *r, struct revoker **out)
{
    struct revoker *v = mem_zalloc(sizeof *v);
    if (!v)
        return ERR_NOMEM;
    v->r = r;
    pthread_mutex_init(&v->telling, NULL);
    lock_init(&v->lock, LOCK_REVOKER);
    *out = v;
    return 0;
}

int revoker_start(struct revoker *v)
{
    v->started = pthread_create(&v->thread, NULL, revoker_main, v) == 0;
    if (!v->started)
        return ERR_NOMEM;
    return 0;
}

void revoker_kick(struct revoker *v)
{
    lock_take(&v->lock);
    v->kicked = true;
    lock_wake(&v->lock);
    lock_give(&v->lock);
}

void revoker_stop(struct revoker *v)
{
    if (!v || !v->started)
        return;
    assert(life_stopping(v->r->life));
    revoker_kick(v);
    pthread_join(v->thread, NULL);
    v->started = false;
}

void revoker_free(struct revoker *v)
{
    if (!v)
        return;
    lock_done(&v->lock);
    pthread_mutex_destroy(&v->telling);
    free(v);
}
