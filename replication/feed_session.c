// SPDX-License-Identifier: Apache-2.0
// One connection to another region's feed, line by line; see feed_session.h.
#include "replication/feed_session.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/response_reader.h"
#include "replication/backfill_state.h"
#include "replication/feed_session_priv.h"
#include "replication/join_state.h"
#include "replication/marks.h"
#include "replication/mender.h"
#include "replication/peer_answer.h"
#include "replication/revoker.h"
#include "replication/speech.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FEED_IDLE_MS 60000 // the fetcher's own limit, behind the session's
#define GAPS_FROM_START 64
#define PROVED 2 // the first of two passes is over: see feed_proof.h
#define STRETCH_ENDED 3

// Is another version of the topology in force than the session's?
bool session_outdated(struct session *s)
{
    return topology_outdated(s->r, s->t, &s->generation);
}

// The region whose feed it is answered.
static void origin_seen(struct session *s)
{
    if (!s->via)
        peer_seen(s->p);
}

// --- lines ---

// It may be asked for content again at once, and what failed for want of it is tried now.
static int content_is_back(struct session *s)
{
    uint8_t self = s->rules.self->index, origin = s->rules.origin->index;
    if (s->via || !peer_is_back(s->p))
        return 0;
    job_queue_returned(s->r->jobs);
    mender_source_is_back(s->r->mender);
    size_t n = shared_registries(s->t, self, origin, NULL, 0);
    const char **names = arena_array(&s->names, n + 1, sizeof *names);
    if (!names)
        return ERR_NOMEM;
    shared_registries(s->t, self, origin, names, n);
    int rc = 0;
    if (n)
        rc = meta_jobs_retry_now(s->r->o.meta, names, n);
    job_queue_kick(s->r->jobs);
    return rc;
}

// Which version it speaks. If that cannot be kept now: with its next word.
static void word_take(struct session *s, const struct feed_line *l)
{
    if (s->via)
        return;
    speech_heard(s->r->speech, peer_name(s->p), l->speaks);
    (void)speech_keep(s->r->speech);
}

// What is held of the registries that are read: their chains go on from there.
static int held_load(struct session *s)
{
    for (size_t i = 0; i < s->n_target; i++) {
        struct head_row row = {0};
        snprintf(row.registry, sizeof row.registry, "%s", s->target[i]);
        int rc = meta_registry_head(s->r->o.meta, peer_name(s->p), row.registry, NULL, &row.seq,
                                    row.hash);
        if (!rc)
            rc = feed_heads_set(s->held, &row);
        if (rc)
            return rc;
    }
    return 0;
}

static int greeting_take(struct session *s, const struct feed_line *l)
{
    if (!l->registries)
        return ERR_PROTO;
    s->greeted = true;
    s->patience_ms = peer_learn_beat(s->p, l->beat_ms);
    word_take(s, l);
    int rc = session_greet(s, l);
    if (rc)
        return rc;
    rc = held_load(s);
    if (rc)
        return rc;
    return content_is_back(s);
}

// Who hands on a sealed origin's entries has told all that it holds of them.
static int relay_progress(struct session *s, const struct feed_line *l)
{
    if (!l->caught_up)
        return 0;
    int rc = batch_flush(s);
    if (!rc && s->from_start && mark_order(&s->rules.last, &s->stored) >= 0)
        rc = session_covers(s);
    if (rc)
        return rc;
    s->told_all = true; // and all of it is in the store
    s->told_seal = feed_at_seal(s->rules.seal, &s->rules.last);
    return 0;
}

static int session_progress(struct session *s, const struct feed_line *l)
{
    s->progressed = true;
    if (!s->greeted) {
        int rc = greeting_take(s, l);
        if (rc)
            return rc;
    }
    if (s->via)
        return relay_progress(s, l);
    s->caught_up = l->caught_up;
    peer_progress(s->p, l->caught_up, !s->from_start);
    if (l->caught_up)
        past_idle(s);
    return 0;
}

static void entry_taken(struct session *s, const struct feed_line *l)
{
    static struct log_limit limit = LOG_LIMIT(10000);
    bool malformed = l->kind == FEED_MALFORMED;
    peer_entry_taken(s->p, malformed);
    if (malformed)
        log_limited(&limit, LOG_WARN,
                    "replication: feed of %s: entry %llu of epoch %llu restates a stamp that is "
                    "not before its own: passed over",
                    peer_name(s->p), (unsigned long long)l->entry.seq,
                    (unsigned long long)l->entry.epoch);
}

// A line of the first pass: nothing is stored.
static int proving_line(struct session *s, const struct feed_line *l)
{
    if (l->kind != FEED_PROGRESS) {
        int rc = feed_proof_line(s->proof, &l->entry);
        if (rc)
            return rc;
    }
    if (s->batch.used_bytes > BATCH_BYTES / 2)
        batch_reset(s);
    if (feed_proof_past(s->proof, &s->rules.last))
        return PROVED;
    if (l->kind != FEED_PROGRESS || !l->caught_up)
        return 0;
    peer_failed(s->p, "its feed ends before the place at which the topology revokes its key: "
                      "nothing that this key signed can be taken; revoke it at an earlier place");
    return ERR_PROTO;
}

static int line_refused(struct session *s, int rc, const char *why)
{
    s->refused = true;
    if (rc == ERR_AUTH)
        peer_forged(s->p, why ? why : err_text(rc), &s->rules.last);
    if (rc == ERR_GAP)
        peer_gap(s->p, why);
    else if (rc != ERR_AHEAD) // which is told once what came before it is kept
        peer_failed(s->p, "line refused: %s", why ? why : err_text(rc));
    return rc;
}

// A malformed entry has no effect; of version 2 it is kept, being part of its registry's chain.
static bool to_be_stored(const struct feed_line *l)
{
    if (l->kind == FEED_MALFORMED)
        return l->entry.version >= 2;
    return l->kind == FEED_ENTRY;
}

static int session_entry(struct session *s, const struct feed_line *l)
{
    s->progressed = true;
    entry_taken(s, l);
    assert(s->n_entries < BATCH_ENTRIES);
    if (to_be_stored(l)) // invariant 1
        s->entries[s->n_entries++] = l->entry;
    if (s->n_entries == BATCH_ENTRIES || s->batch.used_bytes > BATCH_BYTES / 2)
        return batch_flush(s);
    return 0;
}

static int session_line(void *ctx, struct bytes line)
{
    struct session *s = ctx;
    struct feed_line l;
    const char *why = NULL;
    s->rules.limit = meta_stamp_limit(s->r->o.meta);
    s->refused = false;
    int rc = feed_line_accept(&s->rules, line, &s->batch, &l, &why);
    if (rc)
        return line_refused(s, rc, why);
    if (!s->greeted && l.kind != FEED_PROGRESS)
        return line_refused(s, ERR_PROTO, "no greeting");
    if (s->proving) {
        s->greeted = true;
        return proving_line(s, &l);
    }
    if (l.kind == FEED_PROGRESS)
        rc = session_progress(s, &l);
    else
        rc = session_entry(s, &l);
    if (rc || !feed_proof_ends(s->proof, &s->rules.last))
        return rc;
    rc = batch_flush(s);
    return rc ? rc : STRETCH_ENDED;
}

// What came before a line that is refused is good.
static int session_lines(struct session *s, struct buf *text)
{
    int flushed = 0, rc = feed_lines_take(text, session_line, s);
    if (!rc && text->n > FEED_LINE_MAX)
        rc = line_refused(s, ERR_PROTO, "line too long");
    if (!rc || s->refused)
        flushed = batch_flush(s);
    if (!rc)
        return flushed;
    if (rc != ERR_AHEAD)
        return rc;
    if (flushed)
        return flushed;
    peer_clock_ahead(s->p, s->rules.ahead, s->r->skew_ms);
    return rc;
}

// --- the connection ---

static void reader_failed(struct session *s, struct response_reader *f, int rc)
{
    const char *message = response_reader_message(f);
    peer_failed(s->p, "%s", *message ? message : err_text(rc));
}

static int flow_broke(struct session *s, struct response_reader *f, int rc)
{
    if (rc == ERR_CANCELED && !life_stopping(s->r->life))
        return FEED_READ_AGAIN; // it was seen elsewhere while its stream said nothing
    if (rc != ERR_TIMEOUT) {
        reader_failed(s, f, rc);
        return rc;
    }
    if (!s->via)
        peer_missed(s->p);
    peer_failed(s->p, "silent: nothing came for %.1f s", (double)s->patience_ms / 1000);
    return rc;
}

// What a piece of the stream came to, for status.
static void piece_judged(struct session *s, int rc)
{
    if (rc == ERR_CONFLICT) {
        peer_failed(s->p, "it says something else than it said before, under the same sequence");
        return;
    }
    bool of_peer = rc == ERR_PROTO || rc == ERR_AUTH || rc == ERR_AHEAD || rc == ERR_GAP;
    if (rc < 0 && !of_peer)
        peer_stuck(s->p, rc);
}

static int session_flow(struct session *s, struct response_reader *f)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 2 * FEED_LINE_MAX);
    s->generation = 0; // the session's topology may be out already
    int rc = 0;
    while (!rc) {
        char piece[16384];
        ssize_t n = response_reader_read(f, piece, sizeof piece, (int)s->patience_ms);
        if (n == 0)
            return FEED_READ_AGAIN;
        if (n < 0)
            return flow_broke(s, f, (int)n);
        origin_seen(s);
        // Before a line is judged: keys, peers or registries may be others by now, and a revoked
        // key signs nothing more.
        if (reading_hold_is_paused(s->r->hold) || session_outdated(s) || past_is_due(s))
            return FEED_READ_AGAIN;
        buf_add(&text, piece, (size_t)n);
        rc = text.err;
        if (!rc)
            rc = session_lines(s, &text);
        if (!rc && past_is_due(s))
            return FEED_READ_AGAIN;
        piece_judged(s, rc);
    }
    return rc;
}

static void refusal_read(struct response_reader *f, char out[REFUSAL_SIZE])
{
    char body[2048];
    ssize_t n = response_reader_read(f, body, sizeof body, PEER_ANSWER_MS);
    answer_refusal(bytes_of(body, n > 0 ? (size_t)n : 0), out);
}

// It answered, and not with its feed. If it refuses our certificate for its dates, that says whose
// clock is suspect.
static void peer_refused(struct session *s, struct response_reader *f, int status)
{
    char why[REFUSAL_SIZE], clock[CLOCK_SENTENCE_SIZE] = "";
    refusal_read(f, why);
    bool dates = strstr(why, "not yet valid") || strstr(why, "has expired");
    if (dates)
        replication_clock_suspect(s->r, peer_name(s->p), clock);
    peer_failed(s->p, "answered %d%s%s%s%s", status, *why ? ": " : "", why, dates ? "; " : "",
                clock);
}

// It was read again from the place of a snapshot, not from the mark, and that place is gone there
// (entries became void, or were lost). What was noted of snapshots at it is worth nothing.
static int snapshot_place_lost(struct session *s, struct response_reader *f)
{
    struct feed_mark at = s->from;
    (void)voided_take(s->p, s->t, &at, f);
    log_warn("replication: %s has lost the place up to which a snapshot of it was taken: the "
             "snapshot is taken again",
             peer_name(s->p));
    int rc = join_state_forget_place(s->r->o.state_dir, peer_name(s->p), &at);
    return rc ? rc : FEED_READ_AGAIN;
}

// What was to be read again from before the mark is gone; the mark itself may be at the head. No feed
// goes on from the place of an earlier snapshot either.
static int session_trimmed(struct session *s)
{
    s->want = PAST_TRIMMED;
    if (mark_is_zero(&s->from))
        return FEED_READ_AGAIN;
    int rc = join_state_forget_place(s->r->o.state_dir, peer_name(s->p), &s->from);
    return rc ? rc : FEED_READ_AGAIN;
}

static int session_refused(struct session *s, struct response_reader *f, int status)
{
    if (status == ERR_CANCELED && !life_stopping(s->r->life))
        return FEED_READ_AGAIN; // it contacted us: a new connection comes through sooner
    if (status < 0) {
        reader_failed(s, f, status);
        return status;
    }
    origin_seen(s);
    if (status == 410 && !s->via && s->from_start && !mark_is_zero(&s->stored))
        return session_trimmed(s);
    if (status == 410 && !s->via) {
        if (!mark_is_zero(&s->stored) && !s->from_start)
            log_warn(
                "replication: %s has dropped what was deleted after the place up to which this "
                "region had read: was an older backup restored here, or was it away for long? "
                "A snapshot is taken; what was deleted meanwhile may still show here: look at "
                "`meridian replication differences`, and rebuild the region",
                peer_name(s->p));
        s->want = PAST_ANEW;
        return FEED_READ_AGAIN;
    }
    if (status != 409) {
        peer_refused(s, f, status);
        return ERR_PROTO;
    }
    if (s->goes_on) {
        peer_failed(s->p, "its log is not the one that was read just before");
        return ERR_CONFLICT; // what it means for the mark, the next session hears
    }
    if (s->from_start && !mark_is_zero(&s->from))
        return snapshot_place_lost(s, f);
    if (voided_take(s->p, s->t, &s->stored, f) == 0)
        return FEED_READ_AGAIN;
    peer_diverged(s->p); // it lost entries that we hold, and is recovering them now
    peer_failed(s->p, "its log is not the one that was read: it must recover");
    return ERR_CONFLICT;
}

static void place_set(struct session *s)
{
    s->rules.last = s->stored;
    s->rules.last_stamp = s->stored_stamp;
    if (s->from_start) {
        s->rules.last = s->from;
        s->rules.last_stamp = 0; // of another place
    }
    s->rules.proven = s->rules.last;
    if (s->goes_on) {
        s->rules.last = s->on;
        s->rules.last_stamp = s->on_stamp;
        s->rules.proven = s->on_proven;
    }
}

static int session_connect(struct session *s)
{
    char cur[CURSOR_TEXT_SIZE], of[HOSTNAME_REGION_SIZE + 16] = "", target[CURSOR_TEXT_SIZE + 128];
    const char *to = peer_name(s->p);
    struct dial d;
    struct response_reader *f = NULL;
    place_set(s);
    s->rules.strict = s->via != NULL; // else the greeting says
    feed_heads_clear(s->said);
    feed_heads_clear(s->held);
    if (s->via) {
        snprintf(of, sizeof of, "&origin=%s", to);
        to = s->via;
    }
    snprintf(target, sizeof target,
             "/replication/v1/feed?beat=1&voids=1&" SPEECH_QUERY "%s&after=%s", of,
             cursor_format(&s->rules.last, cur));
    int rc = peer_dial(&s->r->dialer, s->t, to, target, NULL, &d);
    d.q.idle_timeout_ms = FEED_IDLE_MS;
    d.q.looks_for_peer = !s->via;
    s->patience_ms = PEER_ANSWER_MS;
    peer_try_begin(s->p, reading_hold_is_paused(s->r->hold));
    if (!rc)
        rc = response_reader_open(s->r->o.fetcher, &d.q, peer_hang_up_flag(s->p), &f);
    int status = 0;
    if (!rc)
        status = response_reader_status(f, PEER_ANSWER_MS);
    peer_try_end(s->p);
    if (rc) {
        peer_failed(s->p, "%s", err_text(rc));
        return rc;
    }
    if (status == 200) {
        origin_seen(s);
        if (!s->via)
            response_reader_watch(f, peer_heard(s->p));
        rc = session_flow(s, f);
    } else {
        rc = session_refused(s, f, status);
    }
    response_reader_close(f);
    return rc;
}

// --- the session ---

// Where a key of the origin is revoked past our mark, its feed is followed up to there before
// anything is taken.
static int session_prove(struct session *s)
{
    place_set(s);
    int rc = feed_proof_new(s->rules.origin, &s->rules.last, &s->proof);
    if (rc || !s->proof)
        return rc;
    if (s->r->o.proof_max)
        feed_proof_bound(s->proof, s->r->o.proof_max);
    assert(!s->n_entries);
    s->proving = true;
    s->rules.held = NULL; // nothing is stored
    rc = session_connect(s);
    s->proving = s->greeted = false;
    s->rules.held = s->held;
    s->rules.proof = s->proof;
    if (rc == PROVED)
        return 0;
    return rc;
}

// Of a feed that is longer than what a proof keeps, a stretch was proven and taken.
static void stretch_end(struct session *s)
{
    log_info("replication: the feed of %s is followed to the place at which its key was revoked, "
             "in stretches: one ends at entry %llu of epoch %llu",
             peer_name(s->p), (unsigned long long)s->rules.last.seq,
             (unsigned long long)s->rules.last.epoch);
    s->goes_on = true;
    s->on = s->rules.last;
    s->on_stamp = s->rules.last_stamp;
    s->on_proven = s->rules.proven;
    s->rules.proof = NULL;
    feed_proof_free(s->proof);
    s->proof = NULL;
    s->greeted = false;
    s->want = PAST_NONE;
    s->n_target = s->n_left = 0;
}

static int session_follow(struct session *s)
{
    int rc = session_connect(s);
    while (rc == STRETCH_ENDED) {
        stretch_end(s);
        rc = session_prove(s);
        if (!rc)
            rc = session_connect(s);
    }
    s->goes_on = false;
    return rc;
}

// What the origin gives before the place of a revocation does not go on from what we hold: what we
// hold is not its own.
static void chain_broke(struct session *s)
{
    struct feed_proof *before = NULL;
    if (!s->rules.chain_broken || feed_proof_new(s->rules.origin, &s->rules.last, &before))
        return;
    if (before) {
        log_warn("replication: the feed of %s does not go on from what was read of it, and its key "
                 "was revoked: reading "
                 "all of it again",
                 peer_name(s->p));
        (void)meta_revoke_reread(s->r->o.meta, peer_name(s->p)); // if it fails: at the next try
    }
    feed_proof_free(before);
}

// The stamp of the last entry before the mark; 0, which is below all, when entries past it are held.
static int stamp_of_mark(struct session *s)
{
    struct feed_mark head;
    int rc = meta_head(s->r->o.meta, peer_name(s->p), &head);
    if (rc || mark_order(&head, &s->stored) > 0)
        return rc;
    return meta_last_stamp(s->r->o.meta, peer_name(s->p), s->stored.epoch, &s->stored_stamp);
}

// A mark that went back before the place of a snapshot (entries there became void) makes that
// snapshot worth nothing: what was outdone by them was left out.
static int snapshots_judge(struct session *s)
{
    const char *origin = peer_name(s->p), *dir = s->r->o.state_dir;
    size_t n = 0, n_forgot;
    int rc = join_state_arrived(dir, origin, &s->stored);
    if (rc)
        return rc;
    for (size_t i = 0; i < s->n_covered; i++) {
        struct join_row row;
        rc = join_state_get(dir, origin, s->covered[i], &row);
        if (rc == ERR_NOTFOUND || row.anew || mark_order(&row.at, &s->stored) <= 0)
            s->covered[n++] = s->covered[i];
    }
    if (n == s->n_covered)
        return 0;
    s->n_covered = n;
    rc = backfill_state_set(s->r, origin, s->covered, n);
    if (rc)
        return rc;
    return join_state_forget_behind(dir, origin, &s->stored, &n_forgot);
}

// Where the last session ended.
static int session_begin(struct session *s)
{
    struct meta *m = s->r->o.meta;
    const char *origin = peer_name(s->p);
    int rc = revoker_tell(s->r->revoker, s->t);
    if (rc)
        return rc;
    rc = meta_revoke_rewind(m, origin);
    if (rc)
        return rc;
    rc = read_mark(s->r, origin, &s->stored);
    if (rc)
        return rc;
    rc = stamp_of_mark(s);
    if (rc)
        return rc;
    rc = backfill_state_get(s->r, origin, &s->names, &s->covered, &s->n_covered);
    if (rc)
        return rc;
    return snapshots_judge(s);
}

// Reads the feed again, when the first connection showed that the past of a registry has to be read.
static int session_again(struct session *s)
{
    log_info("replication: a registry of %s is new here: reading its feed again from %s",
             peer_name(s->p), mark_is_zero(&s->from) ? "its start" : "the place of its snapshot");
    s->from_start = true;
    s->greeted = false;
    s->want = PAST_NONE;
    s->n_target = s->n_left = 0;
    s->n_entries = 0;
    return session_follow(s);
}

// Entries were left out, so often in a row: first it is read again from the mark, then by snapshots
// or once from its start, and so again now and then.
static bool gap_from_start(unsigned n_gaps)
{
    return n_gaps == 2 || (n_gaps && n_gaps % GAPS_FROM_START == 0);
}

// The feed has holes behind the mark, as that of a region has which was recovered from one that had
// joined by snapshots: it is read by snapshots too. ERR_UNSUPPORTED: it is not.
static int session_mend(struct session *s)
{
    if (mark_is_zero(&s->stored) || !gap_from_start(peer_gaps_news(s->p)))
        return ERR_UNSUPPORTED;
    int rc = ERR_UNSUPPORTED;
    if (!s->via)
        rc = past_join_anew(s, false);
    if (rc == ERR_UNSUPPORTED)
        s->from_start = true;
    return rc;
}

static int session_past(struct session *s)
{
    int rc = FEED_READ_AGAIN;
    if (s->want == PAST_SNAPSHOTS) {
        rc = ERR_UNSUPPORTED;
        if (!s->via)
            rc = past_join(s);
        if (rc != ERR_UNSUPPORTED)
            return rc;
        s->from = (struct feed_mark){0};
        s->want = PAST_FEED;
    }
    if (s->want == PAST_FEED)
        rc = session_again(s);
    if (rc == FEED_READ_AGAIN && s->want == PAST_TRIMMED)
        rc = past_join_trimmed(s);
    else if (rc == FEED_READ_AGAIN && s->want == PAST_ANEW)
        rc = past_join_anew(s, true);
    return rc;
}

static int session_read(struct session *s)
{
    int rc = session_mend(s);
    if (rc != ERR_UNSUPPORTED)
        return rc;
    // All is read again: so are the hashes up to a revocation.
    if (s->n_covered == 0 && s->rules.origin->n_revoked)
        s->from_start = !mark_is_zero(&s->stored);
    rc = session_prove(s);
    if (!rc)
        rc = session_follow(s);
    if (rc != FEED_READ_AGAIN || life_stopping(s->r->life))
        return rc;
    return session_past(s);
}

static int heads_new(struct session *s)
{
    int rc = feed_heads_new(&s->said);
    if (!rc)
        rc = feed_heads_new(&s->held);
    s->rules.said = s->said;
    s->rules.held = s->held;
    return rc;
}

static int run(struct peer *p, const struct topology *t, const char *via,
               struct feed_relayed *out_told)
{
    struct replicator *r = peer_replicator(p);
    struct session *s = mem_zalloc(sizeof *s);
    if (!s)
        return ERR_NOMEM;
    *s = (struct session){.r = r, .p = p, .t = t, .via = via};
    s->rules = (struct feed_rules){.topology = t,
                                   .self = topology_region(t, r->o.region),
                                   .origin = topology_region(t, peer_name(p)),
                                   .verify = r->o.verify,
                                   .vouched = true};
    if (via)
        s->rules.seal = s->rules.origin->sealed;
    arena_init(&s->names, 4 << 20);
    arena_init(&s->batch, BATCH_BYTES);
    int rc = heads_new(s);
    if (!rc)
        rc = session_begin(s);
    if (rc)
        peer_stuck(p, rc);
    else
        rc = session_read(s);
    if (out_told)
        *out_told = (struct feed_relayed){.all = s->told_all, .seal = s->told_seal};
    chain_broke(s);
    feed_proof_free(s->proof);
    feed_heads_free(s->said);
    feed_heads_free(s->held);
    arena_done(&s->names);
    arena_done(&s->batch);
    free(s);
    return rc;
}

int feed_session_run(struct peer *p, const struct topology *t)
{
    return run(p, t, NULL, NULL);
}

int feed_session_relayed(struct peer *p, const struct topology *t, const char *via,
                         struct feed_relayed *out_told)
{
    return run(p, t, via, out_told);
}
