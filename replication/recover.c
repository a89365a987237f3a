// SPDX-License-Identifier: Apache-2.0
// Invariant 8: a sequence is never used twice. The keeper thread opens the store for writes only after the peers that
// can be reached said how far they have read us; when one of them read entries that we do not hold (a restored backup),
// writes stay closed while our own entries are fetched back from it, and go on in a new epoch. A peer that could not be
// asked in time costs a new epoch too: then nothing it may have read can be given another meaning, and what it turns
// out to hold later is announced again under new sequences (meta_restate).
//
// Invariants (design section 9)
//   1. What was acknowledged before is put back, with the signature that it had.
//   8. As above. `writes_open` is true only after every reachable peer was heard or a new epoch was begun.
#include "replication/feed_line.h"
#include "replication/inflow.h"
#include "replication/replication_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define RECOVER_BATCH 64
#define RECOVER_BATCH_BYTES (32u << 20)
#define RECOVER_PATIENCE_MS 60000 // at start: then writes open in a new epoch, and recovery goes on later
#define RECOVER_AGAIN_MS 10000    // the same peer is believed so often

int read_mark(struct replicator *r, const char *origin, struct feed_mark *out)
{
    if (strcmp(origin, r->o.region) == 0)
        return meta_head(r->o.meta, origin, out);
    struct arena a;
    arena_init(&a, 0);
    struct origin_status *list = NULL;
    size_t n = 0;
    int rc = meta_origins(r->o.meta, &a, &list, &n);
    struct feed_mark m = {0};
    for (size_t i = 0; !rc && i < n; i++)
        if (strcmp(list[i].origin, origin) == 0)
            m = list[i].read;
    arena_done(&a);
    if (!rc)
        *out = m;
    return rc;
}

// --- asking ---

static int mark_parse(struct bytes body, struct feed_mark *out)
{
    json_t *o = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
    const char *cur = json_string_value(json_object_get(o, "mark"));
    int rc = cur && cursor_parse(cur, out) == 0 ? 0 : ERR_PROTO;
    json_decref(o);
    return rc;
}

static void mark_judge(struct replicator *r, struct peer *p, const struct feed_mark *mark)
{
    int rc = mark_is_zero(mark) ? 0 : meta_feed_check(r->o.meta, r->o.region, mark);
    if (rc == ERR_CONFLICT && !recover_settled(r, p, mark)) {
        recover_want(r, p, mark);
        return;
    }
    if (rc && rc != ERR_CONFLICT)
        return; // our own store cannot say: it is asked again
    pthread_mutex_lock(&r->lock);
    p->mark = *mark;
    p->mark_state = MARK_FINE;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

int recover_ask(struct replicator *r, struct peer *p, const struct topology *t)
{
    char target[128], error[ERROR_TEXT_SIZE];
    snprintf(target, sizeof target, "/replication/v1/mark?origin=%s", r->o.region);
    int status = 0;
    struct buf body;
    int rc = peer_get(r, t, p->name, target, NULL, NULL, 64 << 10, &status, &body, error);
    if (rc) {
        peer_failed(p, "%s", error);
        return rc;
    }
    peer_seen(p);
    struct feed_mark mark;
    rc = status == 200 ? mark_parse(bytes_of(body.p, body.n), &mark) : ERR_PROTO;
    buf_done(&body);
    if (rc)
        peer_failed(p, "asked how far it has read: answered %d", status);
    else
        mark_judge(r, p, &mark);
    return rc;
}

void recover_want(struct replicator *r, struct peer *p, const struct feed_mark *mark)
{
    pthread_mutex_lock(&r->lock);
    p->mark = *mark;
    p->mark_state = MARK_AHEAD;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

bool recover_settled(struct replicator *r, struct peer *p, const struct feed_mark *mark)
{
    pthread_mutex_lock(&r->lock);
    bool settled = !mark_is_zero(mark) && mark_equal(&p->settled, mark);
    pthread_mutex_unlock(&r->lock);
    return settled;
}

// --- fetching back ---

struct recovery {
    struct replicator *r;
    struct feed_rules rules;
    uint64_t epoch; // in which this region writes
    bool epoch_begun;
    struct arena batch;
    struct feed_entry entries[RECOVER_BATCH];
    size_t n, n_recovered;
};

static int epoch_begin(struct recovery *rec, uint64_t at_least)
{
    int rc = meta_epoch_begin(rec->r->o.meta, at_least, &rec->epoch);
    if (rc)
        return rc;
    rec->epoch_begun = true;
    log_warn("replication: writes go on in epoch %" PRIu64, rec->epoch);
    return 0;
}

// Entries of one epoch. Those of a closed one, and those whose sequence means something else here by now, are announced
// again: nobody who has read past them would ever look back.
static int part_store(struct recovery *rec, const struct feed_entry *e, size_t n)
{
    struct meta *m = rec->r->o.meta;
    int rc = meta_recover(m, e, n);
    bool differs = rc == ERR_CONFLICT;
    if (rc && !differs)
        return rc;
    if (differs && e->epoch >= rec->epoch && (rc = epoch_begin(rec, e->epoch)))
        return rc;
    rc = e->epoch < rec->epoch ? meta_restate(m, e, n) : 0;
    if (!rc)
        rec->n_recovered += n;
    return rc;
}

static int recovery_flush(struct recovery *rec)
{
    int rc = 0;
    for (size_t i = 0, k; !rc && i < rec->n; i = k) {
        for (k = i + 1; k < rec->n && rec->entries[k].epoch == rec->entries[i].epoch;)
            k++;
        rc = part_store(rec, rec->entries + i, k - i);
    }
    rec->n = 0;
    arena_done(&rec->batch);
    arena_init(&rec->batch, RECOVER_BATCH_BYTES);
    return rc;
}

static int recovery_line(struct recovery *rec, struct bytes line)
{
    struct feed_line l;
    const char *why = NULL;
    int rc = feed_line_accept(&rec->rules, line, &rec->batch, &l, &why);
    if (rc) {
        log_warn("replication: recovery: line refused: %s", why ? why : err_text(rc));
        return rc;
    }
    if (l.kind == FEED_PROGRESS)
        return 0;
    struct feed_mark m;
    mark_of_entry(&l.entry, &m);
    rc = meta_feed_check(rec->r->o.meta, rec->r->o.region, &m);
    if (rc == ERR_CONFLICT) // lost
        rec->entries[rec->n++] = l.entry;
    else if (rc)
        return rc;
    return rec->n == RECOVER_BATCH || rec->batch.used_bytes > RECOVER_BATCH_BYTES / 2 ? recovery_flush(rec) : 0;
}

static int recovery_flow(struct recovery *rec, struct inflow *f)
{
    struct buf text;
    buf_init(&text, 2 * FEED_LINE_MAX);
    int rc = 0;
    while (!rc) {
        char piece[16384];
        ssize_t n = inflow_read(f, piece, sizeof piece, PEER_ANSWER_MS);
        if (n <= 0) {
            rc = (int)n;
            break;
        }
        buf_add(&text, piece, (size_t)n);
        rc = text.err;
        size_t from = 0;
        for (const char *nl; !rc && (nl = memchr(text.p + from, '\n', text.n - from)); from = (size_t)(nl - text.p) + 1)
            rc = recovery_line(rec, bytes_of(text.p + from, (size_t)(nl - (text.p + from))));
        if (from)
            buf_consume(&text, from);
        if (!rc && text.n > FEED_LINE_MAX)
            rc = ERR_PROTO;
    }
    buf_done(&text);
    return rc ? rc : recovery_flush(rec);
}

static int recovery_fetch(struct recovery *rec, struct peer *p, const struct feed_mark *mark)
{
    struct replicator *r = rec->r;
    struct feed_mark head;
    int rc = meta_head(r->o.meta, r->o.region, &head);
    if (rc)
        return rc;
    if (rec->epoch < head.epoch)
        rec->epoch = head.epoch;
    // Past our head in the same epoch: what is missing lies behind the head. Else anywhere.
    bool from_head = mark->epoch == head.epoch && mark->seq > head.seq;
    if (from_head)
        rec->rules.last = head;
    char cur[CURSOR_TEXT_SIZE], target[CURSOR_TEXT_SIZE + 128];
    snprintf(target, sizeof target, "/replication/v1/feed?origin=%s&after=%s", r->o.region,
             cursor_format(&rec->rules.last, cur));
    struct dial d;
    struct inflow *f = NULL;
    rc = peer_dial(r, rec->rules.topology, p->name, target, NULL, &d);
    d.q.idle_timeout_ms = PEER_ANSWER_MS;
    if (!rc)
        rc = inflow_open(r->o.fetcher, &d.q, &r->stopping, &f);
    if (rc)
        return rc;
    int status = inflow_status(f, PEER_ANSWER_MS);
    rc = status == 200 ? recovery_flow(rec, f) : status < 0 ? status : ERR_PROTO;
    inflow_close(f);
    return rc;
}

static int recover_from(struct replicator *r, struct peer *p, const struct feed_mark *mark)
{
    struct recovery *rec = mem_zalloc(sizeof *rec);
    struct topology *t = snapshot_get(r->o.topology);
    const struct region *self = t ? topology_region(t, r->o.region) : NULL;
    int rc = rec && self ? 0 : ERR_NOMEM;
    if (!rc) {
        rec->r = r;
        rec->epoch = r->epoch;
        rec->rules = (struct feed_rules){.topology = t, .self = self, .origin = self, .verify = r->o.verify};
        arena_init(&rec->batch, RECOVER_BATCH_BYTES);
        log_warn("replication: %s has read entries of ours that are not here: recovering them from it", p->name);
        rc = recovery_fetch(rec, p, mark);
        if (!rc && !rec->epoch_begun && mark->epoch >= rec->epoch)
            rc = epoch_begin(rec, mark->epoch);
        if (!rc)
            log_warn("replication: %zu entries recovered from %s", rec->n_recovered, p->name);
        r->epoch = rec->epoch;
        arena_done(&rec->batch);
    }
    snapshot_unref(t);
    free(rec);
    jobs_kick(r);
    return rc;
}

// --- the keeper ---

// A peer whose mark is ahead and that may be tried now; *out_any: there is one at all. Under r->lock.
static struct peer *peer_ahead(struct replicator *r, bool *out_any)
{
    struct peer *found = NULL;
    *out_any = false;
    for (size_t i = 0; i < r->n_peers; i++) {
        struct peer *p = r->peers[i];
        if (p->mark_state != MARK_AHEAD)
            continue;
        *out_any = true;
        if (!found && clock_mono_ms() >= p->recover_after_mono)
            found = p;
    }
    return found;
}

// Every region that shares a registry with us has said how far it has read us.
static bool all_asked(struct replicator *r, const struct topology *t)
{
    const struct region *me = topology_region(t, r->o.region);
    for (size_t i = 0; me && i < t->n_regions; i++) {
        const struct region *they = &t->regions[i];
        if (they == me || !shared_registries(t, me->index, they->index, NULL, 0))
            continue;
        struct peer *p = replicator_peer(r, they->name);
        pthread_mutex_lock(&r->lock);
        bool asked = p && p->mark_state != MARK_UNKNOWN;
        pthread_mutex_unlock(&r->lock);
        if (!asked)
            return false;
    }
    return me != NULL;
}

// Leaves the epoch in which `mark` lies, if it is the one that we write in. 0 when no sequence of it can be used again.
static int epoch_leave(struct replicator *r, const struct feed_mark *mark)
{
    struct feed_mark head;
    int rc = meta_head(r->o.meta, r->o.region, &head);
    if (rc || mark->epoch < head.epoch || mark->epoch < r->epoch)
        return rc;
    uint64_t epoch;
    rc = meta_epoch_begin(r->o.meta, mark->epoch, &epoch);
    if (!rc)
        r->epoch = epoch;
    return rc;
}

// Recovers from one peer that is ahead. Writes are closed. true: whatever came of it, they may be opened (8).
static bool recover_step(struct replicator *r, struct peer *p)
{
    pthread_mutex_lock(&r->lock);
    struct feed_mark mark = p->mark;
    pthread_mutex_unlock(&r->lock);
    // Another peer may have given back meanwhile what this one has read.
    int rc = meta_feed_check(r->o.meta, r->o.region, &mark);
    bool there = rc == 0, safe = true;
    if (rc == ERR_CONFLICT)
        rc = recover_from(r, p, &mark);
    if (rc && !r->stopping) {
        log_warn("replication: recovery from %s: %s; it is tried again", p->name, err_text(rc));
        safe = epoch_leave(r, &mark) == 0;
    }
    pthread_mutex_lock(&r->lock);
    if (!rc) {
        p->mark_state = MARK_FINE;
        if (!there)
            p->settled = mark;
    }
    p->recover_after_mono = clock_mono_ms() + (rc ? 1000 : there ? 0 : RECOVER_AGAIN_MS);
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    return safe;
}

static void changed_wait(struct replicator *r, int64_t ms)
{
    pthread_mutex_lock(&r->lock);
    if (!r->stopping)
        wait_cond(&r->changed, &r->lock, ms);
    pthread_mutex_unlock(&r->lock);
}

static bool start_ask(struct replicator *r)
{
    int64_t until = clock_mono_ms() + r->o.start_ask_ms;
    for (;;) {
        struct topology *t = snapshot_get(r->o.topology);
        bool all = t && all_asked(r, t);
        snapshot_unref(t);
        if (all || r->stopping || clock_mono_ms() >= until)
            return all;
        changed_wait(r, 50);
    }
}

static void keeper_start(struct replicator *r)
{
    bool all = start_ask(r), any = false, had = false;
    int64_t until = clock_mono_ms() + RECOVER_PATIENCE_MS;
    while (!r->stopping && clock_mono_ms() < until) {
        pthread_mutex_lock(&r->lock);
        struct peer *p = peer_ahead(r, &any);
        pthread_mutex_unlock(&r->lock);
        if (!any)
            break;
        had = true;
        if (p)
            recover_step(r, p);
        else
            changed_wait(r, 100);
    }
    // 8: somebody was not heard, or could not give back what it has read: no sequence of this epoch is used again.
    while (!r->stopping && (!all || (had && any))) {
        uint64_t epoch;
        int rc = meta_epoch_begin(r->o.meta, r->epoch, &epoch);
        if (!rc) {
            r->epoch = epoch;
            log_info("replication: not all regions could be asked: writes open in epoch %" PRIu64, epoch);
            break;
        }
        log_error("replication: no new epoch can begin: %s; writes stay closed", err_text(rc));
        replicator_sleep(r, 1000);
    }
}

static void writes_set(struct replicator *r, bool open, const char *why)
{
    meta_set_writable(r->o.meta, open, why);
    pthread_mutex_lock(&r->lock);
    r->writes_open = open;
    pthread_mutex_unlock(&r->lock);
}

void *keeper_main(void *arg)
{
    struct replicator *r = arg;
    writes_set(r, false, "asking the other regions what they have read (start)");
    keeper_start(r);
    if (!r->stopping)
        writes_set(r, true, NULL);
    bool safe = true;
    while (!r->stopping) {
        bool any;
        pthread_mutex_lock(&r->lock);
        struct peer *p = peer_ahead(r, &any);
        bool open = r->writes_open;
        pthread_mutex_unlock(&r->lock);
        if (p) {
            if (open)
                writes_set(r, false, "recovering own entries from another region");
            safe = recover_step(r, p);
        } else {
            // A peer that fails in recovery does not hold writes closed for good: they go on in another epoch, and what
            // it holds is announced again when it can be had.
            if (!open && safe)
                writes_set(r, true, NULL);
            changed_wait(r, any ? 100 : 1000);
        }
    }
    return NULL;
}
