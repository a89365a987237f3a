// SPDX-License-Identifier: Apache-2.0
// Taking back own entries from a peer; see recovery.h.
#include "replication/recovery.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/response_reader.h"
#include "replication/feed_line.h"
#include "replication/peer.h"
#include "replication/peers.h"
#include "replication/replication_priv.h"
#include "replication/speech.h"
#include "replication/write_gate.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECOVER_BATCH 64
#define RECOVER_BATCH_BYTES (32u << 20)
#define STRETCH_ENDED 1
#define RECOVER_STALL_MS 30000 // no entry for so long: the peer has nothing to give

struct recovery {
    struct replicator *r;
    struct peer *p;
    struct feed_rules rules;
    // an entry of ours came that we do not hold
    bool proof;
    // one that came was taken as ended, which is not signed
    bool by_word;
    // when an entry came last
    int64_t entry_mono;
    // of entries by a key of ours that is revoked
    struct feed_proof *hashes;
    // this pass only follows the hashes
    bool proving;
    // the last line said that there is no more (invariant 3)
    bool whole;
    struct arena batch;
    struct feed_entry entries[RECOVER_BATCH];
    size_t n, n_put_back, n_restated;
};

static void batch_reset(struct recovery *rec)
{
    rec->n = 0;
    arena_done(&rec->batch);
    arena_init(&rec->batch, RECOVER_BATCH_BYTES);
}

static int batch_flush(struct recovery *rec)
{
    struct recovered done;
    int rc = 0;
    assert(!rec->n || rec->proof); // invariant 2
    if (rec->n)
        rc = meta_recover(rec->r->o.meta, rec->entries, rec->n, &done);
    if (!rc && rec->n) {
        rec->n_put_back += done.n_put_back;
        rec->n_restated += done.n_restated;
    }
    batch_reset(rec);
    return rc;
}

// The peer has read an entry of ours of this epoch that is not here.
static void proved(struct recovery *rec, uint64_t epoch)
{
    if (!rec->proof)
        log_warn(
            "replication: %s has read entries of ours that are not here: recovering them from it",
            peer_name(rec->p));
    write_gate_lost(rec->r->gate, epoch, !rec->proof);
    rec->proof = true;
}

// An entry of ours that is of the future is not taken back; but its place was used, and is not used
// again.
static void ahead_proved(struct recovery *rec)
{
    struct meta *m = rec->r->o.meta;
    struct recovered now;
    const struct feed_mark *at = &rec->rules.ahead_at;
    if (meta_recover(m, NULL, 0, &now) || at->epoch < now.epoch)
        return; // nothing is written in that epoch any more
    if (meta_feed_check(m, rec->r->o.region, at) == ERR_CONFLICT)
        proved(rec, at->epoch);
}

static int line_refused(struct recovery *rec, int rc, const char *why)
{
    static struct log_limit limit = LOG_LIMIT(10000);
    if (rc == ERR_AHEAD && place_is_void(rec->r, &rec->rules.ahead_at))
        return 0; // an earlier version still has it
    log_limited(&limit, LOG_WARN, "replication: recovery: line refused: %s",
                why ? why : err_text(rc));
    if (rc == ERR_AUTH)
        peer_forged(rec->p, why ? why : err_text(rc), &rec->rules.last);
    if (rc == ERR_AHEAD)
        ahead_proved(rec);
    return rc;
}

// A line of the pass that only follows the hashes: nothing is stored.
static int proving_line(struct recovery *rec, const struct feed_line *l)
{
    if (l->kind == FEED_PROGRESS)
        return 0;
    rec->entry_mono = clock_mono_ms();
    int rc = feed_proof_line(rec->hashes, &l->entry);
    batch_reset(rec);
    return rc;
}

static int entry_take(struct recovery *rec, const struct feed_line *l)
{
    bool lost = false;
    rec->entry_mono = clock_mono_ms(); // each was signed by us, in order: there is an end to them
    int rc = meta_lost(rec->r->o.meta, &l->entry, &lost);
    if (rc)
        return rc;
    if (lost) {
        proved(rec, l->entry.epoch);
        rec->by_word = rec->by_word || l->entry.ended;
        assert(rec->n < RECOVER_BATCH && strcmp(l->entry.origin, rec->r->o.region) == 0); // 1
        rec->entries[rec->n++] = l->entry;
    }
    if (rec->n == RECOVER_BATCH || rec->batch.used_bytes > RECOVER_BATCH_BYTES / 2)
        return batch_flush(rec);
    return 0;
}

static int recovery_line(void *ctx, struct bytes line)
{
    struct recovery *rec = ctx;
    struct feed_line l;
    const char *why = NULL;
    rec->rules.limit = meta_stamp_limit(rec->r->o.meta);
    int rc = feed_line_accept(&rec->rules, line, &rec->batch, &l, &why);
    if (rc)
        return line_refused(rec, rc, why);
    rec->whole = l.kind == FEED_PROGRESS && l.caught_up;
    if (rec->proving)
        return proving_line(rec, &l);
    if (l.kind != FEED_PROGRESS && l.kind != FEED_MALFORMED && l.kind != FEED_VOID)
        rc = entry_take(rec, &l);
    if (rc || !feed_proof_ends(rec->hashes, &rec->rules.last))
        return rc;
    rc = batch_flush(rec);
    return rc ? rc : STRETCH_ENDED;
}

// The stream has ended. A peer whose topology changes, or that stops, ends it before its time, and
// has then said nothing of what it did not give.
static int flow_ended(struct recovery *rec)
{
    int rc = batch_flush(rec);
    if (!rc && !rec->whole)
        rc = ERR_CLOSED;
    return rc;
}

static int recovery_flow(struct recovery *rec, struct response_reader *f)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 2 * FEED_LINE_MAX);
    rec->whole = false;
    for (;;) {
        char piece[16384];
        ssize_t n = response_reader_read(f, piece, sizeof piece, PEER_ANSWER_MS);
        if (n < 0)
            return (int)n;
        if (n == 0)
            return flow_ended(rec);
        buf_add(&text, piece, (size_t)n);
        int rc = text.err;
        if (!rc)
            rc = feed_lines_take(&text, recovery_line, rec);
        if (!rc && text.n > FEED_LINE_MAX)
            rc = ERR_PROTO;
        if (!rc && clock_mono_ms() - rec->entry_mono > RECOVER_STALL_MS)
            rc = ERR_TIMEOUT;
        if (rc)
            return rc;
    }
}

static int recovery_pass(struct recovery *rec)
{
    struct replicator *r = rec->r;
    char cur[CURSOR_TEXT_SIZE], target[CURSOR_TEXT_SIZE + 128];
    snprintf(target, sizeof target, "/replication/v1/feed?origin=%s&" SPEECH_QUERY "&after=%s",
             r->o.region, cursor_format(&rec->rules.last, cur));
    struct dial d;
    struct response_reader *f = NULL;
    int rc = peer_dial(&r->dialer, rec->rules.topology, peer_name(rec->p), target, NULL, &d);
    d.q.idle_timeout_ms = PEER_ANSWER_MS;
    if (!rc)
        rc = response_reader_open(r->o.fetcher, &d.q, life_stop_flag(r->life), &f);
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

// Follows the hashes, up to where our keys are revoked.
static int proving_pass(struct recovery *rec, const struct feed_mark *from)
{
    rec->proving = rec->rules.vouched = true;
    int rc = recovery_pass(rec);
    rec->proving = rec->rules.vouched = false;
    rec->rules.last = *from;
    rec->rules.last_stamp = 0;
    rec->rules.proof = rec->hashes;
    return rc;
}

// From the last line on.
static int stretch_fetch(struct recovery *rec)
{
    struct feed_mark from = rec->rules.last;
    rec->rules.proof = NULL;
    feed_proof_free(rec->hashes);
    int rc = feed_proof_new(rec->rules.origin, &from, &rec->hashes);
    if (!rc && rec->hashes && rec->r->o.proof_max)
        feed_proof_bound(rec->hashes, rec->r->o.proof_max);
    if (!rc && rec->hashes)
        rc = proving_pass(rec, &from);
    if (rc)
        return rc;
    return recovery_pass(rec);
}

// Where a key of ours is revoked, a relay is believed only what the hash of its last good entry
// commits to.
static int recovery_fetch(struct recovery *rec, const struct feed_mark *mark)
{
    struct feed_mark head, from = {0};
    int rc = meta_head(rec->r->o.meta, rec->r->o.region, &head);
    if (rc)
        return rc;
    // Past our head in the same epoch: what is missing lies behind the head. Else anywhere.
    if (mark->epoch == head.epoch && mark->seq > head.seq)
        from = head;
    rec->rules.last = from;
    do { // a stretch of the proof after the other
        rc = stretch_fetch(rec);
    } while (rc == STRETCH_ENDED);
    return rc;
}

// The region came back with new keys, and its old feed key has left the topology: no waiting mends
// that.
static void strange_key_found(struct replicator *r, struct peer *p, const char *key)
{
    static struct log_limit limit = LOG_LIMIT(60000);
    char text[512];
    mark_claim_strange_key(peer_claim(p), key);
    if (!mark_claim_fault(peer_claim(p), peer_name(p), r->o.region, text, sizeof text))
        return;
    log_limited(&limit, LOG_ERROR,
                "replication: %s. Until then they cannot be verified and taken back, and %s reads "
                "nothing that is written here",
                text, peer_name(p));
    write_gate_reason(r->gate, text);
}

static int recovery_with(struct recovery *rec, const struct feed_mark *mark)
{
    rec->entry_mono = clock_mono_ms();
    arena_init(&rec->batch, RECOVER_BATCH_BYTES);
    int rc = recovery_fetch(rec, mark);
    if (rec->proof)
        log_warn("replication: %zu entries recovered from %s, %zu announced again", rec->n_put_back,
                 peer_name(rec->p), rec->n_restated);
    if (rc == ERR_AUTH && rec->rules.refused_key[0])
        strange_key_found(rec->r, rec->p, rec->rules.refused_key);
    feed_proof_free(rec->hashes);
    arena_done(&rec->batch);
    return rc;
}

// The others may hold whole what this peer gave back as ended.
static void others_doubt(struct replicator *r, const struct peer *p)
{
    for (size_t i = 0; i < peers_count(r->peers); i++) {
        const struct peer *other = peers_at(r->peers, i);
        if (other != p)
            mark_claim_doubt(peer_claim(other));
    }
}

int recovery_run(struct replicator *r, struct peer *p, const struct feed_mark *mark,
                 bool *out_proof)
{
    struct recovery *rec = mem_zalloc(sizeof *rec);
    struct topology *t = snapshot_get(r->o.topology);
    const struct region *self = NULL;
    int rc = ERR_NOMEM;
    if (t)
        self = topology_region(t, r->o.region);
    if (rec && self) {
        rec->r = r;
        rec->p = p;
        rec->rules = (struct feed_rules){
            .topology = t, .self = self, .origin = self, .verify = r->o.verify, .skip_void = true};
        rc = recovery_with(rec, mark);
        *out_proof = rec->proof;
        if (rec->by_word)
            others_doubt(r, p);
    }
    snapshot_unref(t);
    free(rec);
    job_queue_kick(r->jobs);
    return rc;
}
