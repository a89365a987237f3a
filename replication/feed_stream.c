// SPDX-License-Identifier: Apache-2.0
// One connection of a session (feed_session_priv.h): it is opened, its lines are taken as they come,
// and what the other region answers in place of a feed is judged.
#include "replication/feed_session_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "net/response_reader.h"
#include "replication/join_state.h"
#include "replication/mender.h"
#include "replication/peer_answer.h"
#include "replication/speech.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define FEED_IDLE_MS 60000 // the fetcher's own limit, behind the session's

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

void session_place_set(struct session *s)
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

int session_connect(struct session *s)
{
    char cur[CURSOR_TEXT_SIZE], of[HOSTNAME_REGION_SIZE + 16] = "", target[CURSOR_TEXT_SIZE + 128];
    const char *to = peer_name(s->p);
    struct dial d;
    struct response_reader *f = NULL;
    session_place_set(s);
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
