// SPDX-License-Identifier: Apache-2.0
// Invariant 8: a sequence is never used twice. The keeper thread opens the store for writes only
// after the peers that can be reached said how far they have read us; when one of them read entries
// that we do not hold (a restored backup), writes stay closed while our own entries are fetched
// back from it, and go on in a new epoch. A peer that could not be asked in time costs a new epoch
// too: then nothing it may have read can be given another meaning, and what it turns out to hold
// later is announced again under new sequences (meta_recover).
//
// Later on a cursor alone proves nothing, for a confused peer can send any: the peer is asked for
// what it has of us, and only an entry that we signed and do not hold closes writes. A new epoch is
// numbered by the wall clock's seconds, so that it lies past those that were lost without a trace,
// too.
//
// Invariants (design section 9)
//   1. What was acknowledged before is put back, with the signature that it had.
//   8. As above. The gate of recovery is opened only after epoch_see_to.
#include "net/response_reader.h"
#include "replication/feed_line.h"
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
#define RECOVER_STALL_MS 30000 // no entry for so long: the peer has nothing to give
#define LOOK_AGAIN_MS 10000    // after a look that proved nothing; doubles
#define LOOK_AGAIN_MAX_MS 600000

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
    int rc = ERR_PROTO;
    if (cur && cursor_parse(cur, out) == 0)
        rc = 0;
    json_decref(o);
    return rc;
}

// Did we make it void ourselves?
static bool is_void(struct replicator *r, const struct feed_mark *at)
{
    struct feed_mark after;
    uint64_t below;
    return meta_place_void(r->o.meta, at, &after, &below) == 0;
}

static void mark_judge(struct replicator *r, struct peer *p, const struct feed_mark *mark)
{
    int rc = 0;
    if (!mark_is_zero(mark))
        rc = meta_feed_check(r->o.meta, r->o.region, mark);
    if (rc == ERR_CONFLICT && is_void(r, mark))
        rc = 0; // we made it void: nothing was lost, and its reader is told
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
    if (status == 200)
        rc = mark_parse(bytes_of(body.p, body.n), &mark);
    else
        rc = ERR_PROTO;
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
    if (!p->n_unproven || clock_mono_ms() >= p->recover_after_mono) {
        p->mark = *mark;
        p->mark_state = MARK_AHEAD;
        pthread_cond_broadcast(&r->changed);
    }
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
    struct peer *p;
    struct feed_rules rules;
    // an entry of ours came that we do not hold
    bool proof;
    // of those entries
    uint64_t top_epoch;
    // in which this region writes, as the store said last; 0: not said
    uint64_t epoch;
    // when an entry came last
    int64_t entry_mono;
    // of entries by a key of ours that is revoked
    struct feed_proof *hashes;
    // this pass only follows the hashes
    bool proving;
    struct arena batch;
    struct feed_entry entries[RECOVER_BATCH];
    size_t n, n_put_back, n_restated;
};

static int recovery_flush(struct recovery *rec)
{
    struct recovered done;
    int rc = 0;
    if (rec->n)
        rc = meta_recover(rec->r->o.meta, rec->entries, rec->n, &done);
    if (!rc && rec->n) {
        rec->n_put_back += done.n_put_back;
        rec->n_restated += done.n_restated;
        rec->epoch = done.epoch;
    }
    rec->n = 0;
    arena_done(&rec->batch);
    arena_init(&rec->batch, RECOVER_BATCH_BYTES);
    return rc;
}

static void gate_close(struct replicator *r, const char *why)
{
    meta_gate_close(r->o.meta, META_GATE_RECOVERY, why);
    r->gate_open = false;
}

static void gate_open(struct replicator *r)
{
    meta_gate_open(r->o.meta, META_GATE_RECOVERY);
    r->gate_open = true;
    if (r->epoch_said)
        log_info("replication: writes go on in epoch %" PRIu64, r->epoch_said);
    r->epoch_said = 0;
}

bool recover_fault(const struct peer *p, char *out, size_t cap)
{
    if (!p->strange_key[0])
        return false;
    snprintf(
        out, cap,
        "%s holds entries of %s signed with %s, which the topology does not let sign them: put "
        "that key back under "
        "identities.%s.feed_keys, from an earlier topology, with retired: and the time of its loss",
        p->name, p->r->o.region, p->strange_key, p->r->o.region);
    return true;
}

// The region came back with new keys, and its old feed key has left the topology: no waiting mends
// that.
static void strange_key_found(struct replicator *r, struct peer *p, const char *key)
{
    char text[512];
    pthread_mutex_lock(&r->lock);
    snprintf(p->strange_key, sizeof p->strange_key, "%s", key);
    recover_fault(p, text, sizeof text);
    pthread_mutex_unlock(&r->lock);
    static struct log_limit limit = LOG_LIMIT(60000);
    log_limited(&limit, LOG_ERROR,
                "replication: %s. Until then they cannot be verified and taken back, and %s reads "
                "nothing that is written "
                "here",
                text, p->name);
    if (!r->gate_open)
        gate_close(r, text);
}

static void recovery_proved(struct recovery *rec, const struct feed_entry *e)
{
    if (!rec->proof) {
        log_warn(
            "replication: %s has read entries of ours that are not here: recovering them from it",
            rec->p->name);
        gate_close(rec->r, "recovering own entries from another region");
        rec->r->epoch_due = true;
    }
    rec->proof = true;
    if (rec->top_epoch < e->epoch)
        rec->top_epoch = e->epoch;
    if (rec->r->epoch_past < e->epoch)
        rec->r->epoch_past = e->epoch;
}

// An entry of ours that is of the future is not taken back; but its place was used, and is not used
// again.
static void ahead_proved(struct recovery *rec)
{
    struct replicator *r = rec->r;
    struct recovered now;
    const struct feed_mark *at = &rec->rules.ahead_at;
    if (meta_recover(r->o.meta, NULL, 0, &now) || at->epoch < now.epoch)
        return; // nothing is written in that epoch any more
    if (meta_feed_check(r->o.meta, r->o.region, at) == ERR_CONFLICT)
        recovery_proved(rec, &(struct feed_entry){.epoch = at->epoch});
}

static int recovery_line(struct recovery *rec, struct bytes line)
{
    struct feed_line l;
    const char *why = NULL;
    rec->rules.limit = meta_stamp_limit(rec->r->o.meta);
    int rc = feed_line_accept(&rec->rules, line, &rec->batch, &l, &why);
    if (rc == ERR_AHEAD && is_void(rec->r, &rec->rules.ahead_at))
        return 0; // an earlier version still has it
    if (rc) {
        static struct log_limit limit = LOG_LIMIT(10000);
        log_limited(&limit, LOG_WARN, "replication: recovery: line refused: %s",
                    why ? why : err_text(rc));
        if (rc == ERR_AHEAD)
            ahead_proved(rec);
        return rc;
    }
    if (l.kind == FEED_PROGRESS ||
        (!rec->proving && (l.kind == FEED_MALFORMED || l.kind == FEED_VOID)))
        return 0;
    bool lost = false;
    if (rec->proving) {
        rec->entry_mono = clock_mono_ms();
        rc = feed_proof_line(rec->hashes, &l.entry);
        if (rc) // stores nothing
            return rc;
        return recovery_flush(rec);
    }
    rec->entry_mono = clock_mono_ms(); // each was signed by us, in order: there is an end to them
    rc = meta_lost(rec->r->o.meta, &l.entry, &lost);
    if (rc)
        return rc;
    if (lost) {
        recovery_proved(rec, &l.entry);
        rec->entries[rec->n++] = l.entry;
    }
    if (rec->n == RECOVER_BATCH || rec->batch.used_bytes > RECOVER_BATCH_BYTES / 2)
        return recovery_flush(rec);
    return 0;
}

static int recovery_flow(struct recovery *rec, struct response_reader *f)
{
    struct buf text;
    buf_init(&text, 2 * FEED_LINE_MAX);
    int rc = 0;
    while (!rc) {
        char piece[16384];
        ssize_t n = response_reader_read(f, piece, sizeof piece, PEER_ANSWER_MS);
        if (n <= 0) {
            rc = (int)n;
            break;
        }
        buf_add(&text, piece, (size_t)n);
        rc = text.err;
        size_t from = 0;
        for (const char *nl; !rc && (nl = memchr(text.p + from, '\n', text.n - from));
             from = (size_t)(nl - text.p) + 1)
            rc = recovery_line(rec, bytes_of(text.p + from, (size_t)(nl - (text.p + from))));
        if (from)
            buf_consume(&text, from);
        if (!rc && text.n > FEED_LINE_MAX)
            rc = ERR_PROTO;
        if (!rc && clock_mono_ms() - rec->entry_mono > RECOVER_STALL_MS)
            rc = ERR_TIMEOUT;
    }
    buf_done(&text);
    if (rc)
        return rc;
    return recovery_flush(rec);
}

static int recovery_pass(struct recovery *rec)
{
    struct replicator *r = rec->r;
    char cur[CURSOR_TEXT_SIZE], target[CURSOR_TEXT_SIZE + 128];
    snprintf(target, sizeof target, "/replication/v1/feed?origin=%s&after=%s", r->o.region,
             cursor_format(&rec->rules.last, cur));
    struct dial d;
    struct response_reader *f = NULL;
    int rc = peer_dial(r, rec->rules.topology, rec->p->name, target, NULL, &d);
    d.q.idle_timeout_ms = PEER_ANSWER_MS;
    if (!rc)
        rc = response_reader_open(r->o.fetcher, &d.q, &r->stopping, &f);
    if (rc)
        return rc;
    int status = response_reader_status(f, PEER_ANSWER_MS);
    if (status == 200)
        rc = recovery_flow(rec, f);
    else if (status < 0)
        rc = status;
    else
        rc = ERR_PROTO;
    response_reader_close(f);
    return rc;
}

// Where a key of ours is revoked, a relay is believed only what the hash of its last good entry
// commits to.
static int recovery_fetch(struct recovery *rec, const struct feed_mark *mark)
{
    struct feed_mark head;
    int rc = meta_head(rec->r->o.meta, rec->r->o.region, &head);
    if (rc)
        return rc;
    // Past our head in the same epoch: what is missing lies behind the head. Else anywhere.
    struct feed_mark from = head;
    if (mark->epoch != head.epoch || mark->seq <= head.seq)
        from = (struct feed_mark){0};
    rec->rules.last = from;
    rc = feed_proof_new(rec->rules.origin, &from, &rec->hashes);
    if (!rc && rec->hashes) {
        rec->proving = rec->rules.vouched = true;
        rc = recovery_pass(rec);
        rec->proving = rec->rules.vouched = false;
        rec->rules.last = from;
        rec->rules.last_stamp = 0;
        rec->rules.proof = rec->hashes;
    }
    if (rc)
        return rc;
    return recovery_pass(rec);
}

// Looks at what the peer has of us, and takes what we do not hold. *out_proof whether there was
// such a thing, also when it ends with an error.
static int recover_from(struct replicator *r, struct peer *p, const struct feed_mark *mark,
                        bool *out_proof)
{
    struct recovery *rec = mem_zalloc(sizeof *rec);
    struct topology *t = snapshot_get(r->o.topology);
    const struct region *self = NULL;
    if (t)
        self = topology_region(t, r->o.region);
    int rc = ERR_NOMEM;
    if (rec && self)
        rc = 0;
    if (!rc) {
        rec->r = r;
        rec->p = p;
        rec->entry_mono = clock_mono_ms();
        rec->rules = (struct feed_rules){
            .topology = t, .self = self, .origin = self, .verify = r->o.verify, .skip_void = true};
        arena_init(&rec->batch, RECOVER_BATCH_BYTES);
        rc = recovery_fetch(rec, mark);
        if (rec->proof)
            log_warn("replication: %zu entries recovered from %s, %zu announced again",
                     rec->n_put_back, p->name, rec->n_restated);
        if (rc == ERR_AUTH && rec->rules.refused_key[0])
            strange_key_found(r, p, rec->rules.refused_key);
        *out_proof = rec->proof;
        feed_proof_free(rec->hashes);
        arena_done(&rec->batch);
    }
    snapshot_unref(t);
    free(rec);
    jobs_kick(r);
    return rc;
}

// --- the keeper ---

// A peer whose mark is ahead and that may be tried now; *out_any: there is one at all. Under
// r->lock.
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

// Begins the epoch that is due. true: writes may be open (8).
static bool epoch_see_to(struct replicator *r)
{
    if (!r->epoch_due)
        return true;
    uint64_t past = (uint64_t)(clock_wall_ms() / 1000), epoch;
    int rc = meta_epoch_begin(r->o.meta, past > r->epoch_past ? past : r->epoch_past, &epoch);
    if (!rc) {
        r->epoch_due = false;
        r->epoch_said = epoch;
    } else {
        static struct log_limit limit = LOG_LIMIT(5000);
        log_limited(&limit, LOG_ERROR,
                    "replication: no new epoch can begin: %s; writes stay closed", err_text(rc));
    }
    return !rc;
}

// May the mark be served though it is no place in our log? Its epoch is closed: nothing that is
// written from now on lies before it, and all that anybody had of it was announced again.
static bool mark_past(struct replicator *r, const struct feed_mark *mark)
{
    struct recovered now;
    return meta_recover(r->o.meta, NULL, 0, &now) == 0 && mark->epoch < now.epoch;
}

static void look_ended(struct replicator *r, struct peer *p, const struct feed_mark *mark, int rc,
                       bool proof)
{
    bool held = !rc && meta_feed_check(r->o.meta, r->o.region, mark) == 0;
    bool settled = !rc && !held && mark_past(r, mark);
    static struct log_limit limit = LOG_LIMIT(10000);
    if (rc && !r->stopping)
        log_limited(&limit, LOG_WARN,
                    "replication: looking at what %s has of us: %s; it is tried again", p->name,
                    err_text(rc));
    else if (!rc && !held && !settled)
        log_limited(&limit, LOG_WARN,
                    "replication: %s gives a cursor that nothing it holds bears out: refused",
                    p->name);
    pthread_mutex_lock(&r->lock);
    if (settled)
        p->settled = *mark;
    // what is of the future is not waited for: it comes again with this peer's cursor
    if (!rc || rc == ERR_AHEAD) {
        p->mark_state = MARK_FINE;
        p->strange_key[0] = 0;
    }
    p->recover_after_mono = 0;
    if (held || settled || proof)
        p->n_unproven = 0;
    else
        p->n_unproven++;
    if (rc)
        p->recover_after_mono = clock_mono_ms() + wait_backoff_ms(p->n_unproven, 500, 60000);
    else if (!held && !settled)
        p->recover_after_mono =
            clock_mono_ms() + wait_backoff_ms(p->n_unproven, LOOK_AGAIN_MS, LOOK_AGAIN_MAX_MS);
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

// One peer that says it is ahead. `starting`: nothing was written since the start, and what it says
// is respected without a proof: the log may have been restored, and what it read may have been none
// of its business (filtered).
static void recover_step(struct replicator *r, struct peer *p, bool starting)
{
    pthread_mutex_lock(&r->lock);
    struct feed_mark mark = p->mark;
    pthread_mutex_unlock(&r->lock);
    bool proof = false;
    // Another peer may have given back meanwhile what this one has read.
    int rc = meta_feed_check(r->o.meta, r->o.region, &mark);
    if (rc == ERR_CONFLICT) {
        rc = recover_from(r, p, &mark, &proof);
        if (starting)
            r->epoch_due = true;
        if (!rc && r->epoch_due)
            (void)epoch_see_to(r); // before the mark is judged by the epoch
    }
    look_ended(r, p, &mark, rc, proof);
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
    bool all = start_ask(r), any = false;
    int64_t until = clock_mono_ms() + r->o.recover_patience_ms;
    while (!r->stopping && clock_mono_ms() < until) {
        pthread_mutex_lock(&r->lock);
        struct peer *p = peer_ahead(r, &any);
        pthread_mutex_unlock(&r->lock);
        if (!any)
            break;
        if (p)
            recover_step(r, p, true);
        else
            changed_wait(r, 100);
    }
    // 8: somebody was not heard, or could not give back what it has read: no sequence of this epoch
    // is used again.
    if (!all || any)
        r->epoch_due = true;
    while (!r->stopping && !epoch_see_to(r))
        replicator_sleep(r, 1000);
}

void keeper_begin(struct replicator *r)
{
    if (r->o.continues)
        gate_open(r);
    else
        gate_close(r, "asking the other regions what they have read (start)");
}

void *keeper_main(void *arg)
{
    struct replicator *r = arg;
    if (!r->o.continues)
        keeper_start(r);
    while (!r->stopping) {
        bool any;
        pthread_mutex_lock(&r->lock);
        struct peer *p = peer_ahead(r, &any);
        pthread_mutex_unlock(&r->lock);
        if (p)
            recover_step(r, p, false);
        // A peer that fails in the middle of recovery does not hold writes closed for good: they go
        // on in another epoch, and what it holds is announced again when it can be had.
        if (!r->gate_open && epoch_see_to(r) && !r->stopping)
            gate_open(r);
        if (!p)
            changed_wait(r, any ? 100 : 1000);
    }
    return NULL;
}
