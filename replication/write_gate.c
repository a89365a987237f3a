// SPDX-License-Identifier: Apache-2.0
// The gate of recovery and its thread; see write_gate.h.
#include "replication/write_gate.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "replication/peer.h"
#include "replication/peers.h"
#include "replication/recovery.h"
#include "replication/replication_priv.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#define ASK_LOOK_MS 50    // while peers are asked
#define AHEAD_LOOK_MS 100 // while a look at a peer is to come
#define IDLE_LOOK_MS 1000
#define EPOCH_AGAIN_MS 1000

struct write_gate {
    struct replicator *r;
    pthread_t thread;
    bool started;
    struct lock lock;
    unsigned n_kicks;
    // an operator said that nobody is to be waited for
    bool alone;
    // nobody could be asked, and the store is empty
    bool unknown;

    // The thread's own.

    bool open;
    // a new epoch must begin before the gate opens
    bool epoch_due;
    // and past this one
    uint64_t epoch_past;
    // began, and is to be told of when the gate opens; 0: none
    uint64_t epoch_said;
};

int write_gate_new(struct replicator *r, struct write_gate **out)
{
    struct write_gate *g = mem_zalloc(sizeof *g);
    if (!g)
        return ERR_NOMEM;
    g->r = r;
    lock_init(&g->lock, LOCK_GATE);
    *out = g;
    return 0;
}

void write_gate_free(struct write_gate *g)
{
    if (!g)
        return;
    lock_done(&g->lock);
    free(g);
}

void write_gate_kick(struct write_gate *g)
{
    lock_take(&g->lock);
    g->n_kicks++;
    lock_wake(&g->lock);
    lock_give(&g->lock);
}

static unsigned kicks(struct write_gate *g)
{
    lock_take(&g->lock);
    unsigned n = g->n_kicks;
    lock_give(&g->lock);
    return n;
}

// Until it is kicked, since `n_kicks` were counted.
static void rest(struct write_gate *g, unsigned n_kicks, int64_t ms)
{
    lock_take(&g->lock);
    if (g->n_kicks == n_kicks && !life_stopping(g->r->life))
        lock_wait(&g->lock, ms);
    lock_give(&g->lock);
}

int write_gate_alone(struct write_gate *g)
{
    lock_take(&g->lock);
    int rc = g->unknown ? 0 : ERR_NOTFOUND;
    if (!rc) {
        g->alone = true;
        g->n_kicks++;
        lock_wake(&g->lock);
    }
    lock_give(&g->lock);
    return rc;
}

// --- open and closed ---

static void gate_close(struct write_gate *g, const char *why)
{
    meta_gate_close(g->r->o.meta, META_GATE_RECOVERY, why);
    g->open = false;
}

static void gate_open(struct write_gate *g)
{
    assert(!g->epoch_due); // invariant 1
    meta_gate_open(g->r->o.meta, META_GATE_RECOVERY);
    g->open = true;
    if (g->epoch_said)
        log_info("replication: writes go on in epoch %" PRIu64, g->epoch_said);
    g->epoch_said = 0;
}

void write_gate_lost(struct write_gate *g, uint64_t epoch, bool first)
{
    if (first) {
        gate_close(g, "recovering own entries from another region");
        g->epoch_due = true;
    }
    if (g->epoch_past < epoch)
        g->epoch_past = epoch;
}

void write_gate_reason(struct write_gate *g, const char *why)
{
    if (!g->open)
        gate_close(g, why);
}

// Begins the epoch that is due. true: none is due any more.
static bool epoch_see_to(struct write_gate *g)
{
    static struct log_limit limit = LOG_LIMIT(5000);
    if (!g->epoch_due)
        return true;
    uint64_t past = (uint64_t)(clock_wall_ms() / 1000), epoch;
    if (past < g->epoch_past)
        past = g->epoch_past;
    int rc = meta_epoch_begin(g->r->o.meta, past, &epoch);
    if (rc) {
        log_limited(&limit, LOG_ERROR,
                    "replication: no new epoch can begin: %s; writes stay closed", err_text(rc));
        return false;
    }
    assert(epoch > g->epoch_past);
    g->epoch_due = false;
    g->epoch_said = epoch;
    return true;
}

// --- looking at what a peer has of us ---

// May the mark be served though it is no place in our log? Its epoch is closed: nothing that is
// written from now on lies before it, and all that anybody had of it was announced again.
static bool mark_past(struct replicator *r, const struct feed_mark *mark)
{
    struct recovered now;
    return meta_recover(r->o.meta, NULL, 0, &now) == 0 && mark->epoch < now.epoch;
}

static void look_log(const struct replicator *r, const struct peer *p, const struct claim_look *l)
{
    static struct log_limit limit = LOG_LIMIT(10000);
    if (l->rc && !life_stopping(r->life))
        log_limited(&limit, LOG_WARN,
                    "replication: looking at what %s has of us: %s; it is tried again",
                    peer_name(p), err_text(l->rc));
    else if (!l->rc && !l->held && !l->settled)
        log_limited(&limit, LOG_WARN,
                    "replication: %s gives a cursor that nothing it holds bears out: refused",
                    peer_name(p));
}

// What others gave back as ended this one may hold whole.
static void peer_look_whole(struct write_gate *g, struct peer *p)
{
    struct claim_look l = {.held = true};
    const struct feed_mark start = {0};
    l.rc = recovery_run(g->r, p, &start, &l.proof);
    look_log(g->r, p, &l);
    mark_claim_looked(peer_claim(p), &l);
}

// `starting`: nothing was written since the start, and what the peer says is respected without a
// proof: the log may have been restored, and what it read may have been none of its business
// (filtered).
static void peer_look_at(struct write_gate *g, struct peer *p, const struct feed_mark *mark,
                         bool starting)
{
    struct replicator *r = g->r;
    struct claim_look l = {.mark = *mark};
    if (mark_is_zero(mark)) {
        peer_look_whole(g, p);
        return;
    }
    // Another peer may have given back meanwhile what this one has read.
    l.rc = meta_feed_check(r->o.meta, r->o.region, mark);
    if (l.rc == ERR_CONFLICT) {
        l.rc = recovery_run(r, p, mark, &l.proof);
        if (starting)
            g->epoch_due = true;
        if (!l.rc && g->epoch_due)
            (void)epoch_see_to(g); // before the mark is judged by the epoch
    }
    if (!l.rc)
        l.held = meta_feed_check(r->o.meta, r->o.region, mark) == 0;
    if (!l.rc && !l.held)
        l.settled = mark_past(r, mark);
    look_log(r, p, &l);
    mark_claim_looked(peer_claim(p), &l);
}

// A peer that says it is ahead and may be looked at now; *out_any: there is one at all.
static struct peer *peer_ahead(struct replicator *r, struct feed_mark *out_mark, bool *out_any)
{
    *out_any = false;
    for (size_t i = 0; i < peers_count(r->peers); i++) {
        struct peer *p = peers_at(r->peers, i);
        enum claim_due due = mark_claim_due(peer_claim(p), out_mark);
        if (due != CLAIM_FINE)
            *out_any = true;
        if (due == CLAIM_DUE)
            return p;
    }
    return NULL;
}

// --- the start ---

// Every region that shares a registry with us has said how far it has read us.
static bool all_asked(struct replicator *r, const struct topology *t)
{
    const struct region *me = topology_region(t, r->o.region);
    if (!me)
        return false;
    for (size_t i = 0; i < t->n_regions; i++) {
        const struct region *they = &t->regions[i];
        if (they == me || they->sealed || !shared_registries(t, me->index, they->index, NULL, 0))
            continue;
        const struct peer *p = peers_find(r->peers, they->name);
        if (!p || mark_claim_unknown(peer_claim(p)))
            return false;
    }
    return true;
}

// Until all have said it, or the time for that is over. true: all have.
static bool start_ask(struct write_gate *g)
{
    struct replicator *r = g->r;
    int64_t until = clock_mono_ms() + r->o.start_ask_ms;
    for (;;) {
        unsigned n_kicks = kicks(g);
        struct topology *t = snapshot_get(r->o.topology);
        bool all = t && all_asked(r, t);
        snapshot_unref(t);
        if (all || life_stopping(r->life) || clock_mono_ms() >= until)
            return all;
        rest(g, n_kicks, ASK_LOOK_MS);
    }
}

// One of the regions that share a registry with us has said how far it has read us, or there is none
// of them.
static bool any_asked(struct replicator *r, const struct topology *t)
{
    const struct region *me = topology_region(t, r->o.region);
    bool there = false;
    for (size_t i = 0; me && i < t->n_regions; i++) {
        const struct region *they = &t->regions[i];
        if (they == me || they->sealed || !shared_registries(t, me->index, they->index, NULL, 0))
            continue;
        const struct peer *p = peers_find(r->peers, they->name);
        if (p && !mark_claim_unknown(peer_claim(p)))
            return true;
        there = true;
    }
    return !there;
}

// No entry of any region is held: it is new, or its disk was lost.
static bool store_is_empty(struct replicator *r, const struct topology *t)
{
    for (size_t i = 0; i < t->n_regions; i++) {
        struct feed_mark head = {0};
        if (meta_head(r->o.meta, t->regions[i].name, &head) || head.seq)
            return false;
    }
    return true;
}

// A region that could be asked says that this one was forgotten. The topology here may be from
// before that, and is about to come.
static bool is_disowned(struct replicator *r)
{
    for (size_t i = 0; i < peers_count(r->peers); i++)
        if (peer_disowns(peers_at(r->peers, i)))
            return true;
    return false;
}

static bool past_is_unknown(struct write_gate *g)
{
    struct topology *t = snapshot_get(g->r->o.topology);
    bool unknown = t && !any_asked(g->r, t) && (store_is_empty(g->r, t) || is_disowned(g->r));
    snapshot_unref(t);
    lock_take(&g->lock);
    g->unknown = unknown;
    unknown &= !g->alone;
    lock_give(&g->lock);
    return unknown;
}

// Nobody could be asked, and the store is empty: it may be that of a lost disk, whose writes the
// others have. Until one of them says what it has, or an operator that there is none to wait for.
// true: it had to wait.
static bool past_wait(struct write_gate *g)
{
    bool waits = false;
    for (;;) {
        unsigned n_kicks = kicks(g);
        if (life_stopping(g->r->life) || !past_is_unknown(g))
            break;
        if (!waits && is_disowned(g->r))
            gate_close(g, "the other regions say that this one was forgotten, and none says what "
                          "it has read of it (`meridian region list`)");
        else if (!waits)
            gate_close(g,
                       "the store is empty, and no other region could be asked yet what this one "
                       "wrote before (is its disk lost?); `meridian region rebuild` says more");
        if (!waits && !is_disowned(g->r))
            log_warn(
                "replication: the store is empty, and no other region could be asked what this "
                "one wrote before: writes stay closed until one answers; `meridian region "
                "rebuild --alone` opens them without");
        waits = true;
        rest(g, n_kicks, ASK_LOOK_MS);
    }
    lock_take(&g->lock);
    g->unknown = false;
    lock_give(&g->lock);
    return waits;
}

static void start(struct write_gate *g)
{
    struct replicator *r = g->r;
    struct feed_mark mark;
    bool all = start_ask(g), any = false;
    if (!all && past_wait(g)) {
        gate_close(g, "asking the other regions what they have read (start)");
        all = start_ask(g); // the others may be about to answer, too
    }
    int64_t until = clock_mono_ms() + r->o.recover_patience_ms;
    while (!life_stopping(r->life) && clock_mono_ms() < until) {
        unsigned n_kicks = kicks(g);
        struct peer *p = peer_ahead(r, &mark, &any);
        if (!any)
            break;
        if (p)
            peer_look_at(g, p, &mark, true);
        else
            rest(g, n_kicks, AHEAD_LOOK_MS);
    }
    // Somebody was not heard, or could not give back what it has read: no sequence of this epoch is
    // used again.
    if (!all || any)
        g->epoch_due = true;
    while (!life_stopping(r->life) && !epoch_see_to(g))
        life_sleep(r->life, EPOCH_AGAIN_MS);
}

// --- the thread ---

static void *gate_main(void *arg)
{
    struct write_gate *g = arg;
    struct replicator *r = g->r;
    if (!r->o.continues)
        start(g);
    while (!life_stopping(r->life)) {
        struct feed_mark mark;
        bool any;
        unsigned n_kicks = kicks(g);
        struct peer *p = peer_ahead(r, &mark, &any);
        if (p)
            peer_look_at(g, p, &mark, false);
        // A peer that fails in the middle of recovery does not hold writes closed for good: they go
        // on in another epoch, and what it holds is announced again when it can be had.
        if (!g->open && epoch_see_to(g) && !life_stopping(r->life))
            gate_open(g);
        if (!p)
            rest(g, n_kicks, any ? AHEAD_LOOK_MS : IDLE_LOOK_MS);
    }
    return NULL;
}

int write_gate_start(struct write_gate *g)
{
    if (g->r->o.continues) // invariant 2
        gate_open(g);
    else
        gate_close(g, "asking the other regions what they have read (start)");
    g->started = pthread_create(&g->thread, NULL, gate_main, g) == 0;
    if (!g->started)
        return ERR_NOMEM;
    return 0;
}

void write_gate_stop(struct write_gate *g)
{
    if (!g || !g->started)
        return;
    assert(life_stopping(g->r->life));
    write_gate_kick(g);
    pthread_join(g->thread, NULL);
    g->started = false;
}
