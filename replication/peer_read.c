// SPDX-License-Identifier: Apache-2.0
// Reads one other region's feed: one thread per region, which waits on that region alone, so that
// one that cannot be reached delays itself only. Every line is verified before it may reach the
// store; a bad one ends the connection.
//
// Invariants (design section 9)
//   5. The read mark moves in the transaction that makes the jobs (meta_ingest), never before.
//   6. A region that cannot be reached delays itself only: its thread, its backoff.
//   8. The origin is asked how far it is from what we read of it before we go on: our cursor echoes
//      the hash.
#include "net/response_reader.h"
#include "replication/backfill_state.h"
#include "replication/feed_line.h"
#include "replication/mender.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define BATCH_ENTRIES 64
#define BATCH_BYTES (32u << 20)
#define UNREACHED_MAX_MS 2000 // between tries; a connection that is refused costs little
#define REFUSED_MAX_MS 10000
#define INBOUND_CONTACT_MS 200 // after an inbound contact of one that could not be reached
#define REFUSAL_SIZE 200
#define INBOUND_CONTACT_REFUSED_MS 1000 // of one that answers, and refuses
#define REST_MIN_MS 200
#define BUSY_LOOK_MS 100   // at a store that is busy
#define FULL_LOOK_MS 1000  // at a disk that is full
#define FEED_IDLE_MS 60000 // the fetcher's own limit, behind the session's
#define READ_AGAIN 1       // the session ended well: connect again
#define PROVED 2           // the first of two passes is over: see feed_proof.h

struct session {
    struct replicator *r;
    struct peer *p;
    const struct topology *t;
    struct feed_rules rules;
    // the read mark in the store
    struct feed_mark stored;
    // of the last entry of its epoch that is held; 0: none is
    uint64_t stored_stamp;
    // reading again what lies before `stored`
    bool from_start;
    // the first line came
    bool greeted;
    // the stream is dead after so long without a word
    int64_t patience_ms;
    // of the session
    struct arena names;
    // read without a gap up to `stored`
    const char **covered;
    size_t n_covered;
    // what will be covered when the re-reading has passed `stored`
    const char **target;
    size_t n_target;

    // the last line was: what came before it is good
    bool refused;
    // of entries by a revoked key; NULL: nothing is to be proven
    struct feed_proof *proof;
    // this pass only follows the hashes
    bool proving;

    struct arena batch;
    struct feed_entry entries[BATCH_ENTRIES];
    size_t n_entries;
    // a progress line since the last flush
    bool progressed;
    // of the topology that was looked at last; 0: none yet
    uint64_t generation;
};

// Is another version of the topology in force than the session's?
static bool session_outdated(struct session *s)
{
    uint64_t g = snapshot_generation(s->r->o.topology);
    if (g == s->generation)
        return false;
    struct topology *now = snapshot_get(s->r->o.topology);
    bool outdated = !now || now->version != s->t->version;
    snapshot_unref(now);
    s->generation = g;
    return outdated;
}

// The store may take it later: the flow pauses by itself meanwhile, and the peer is not to blame.
static bool batch_waits(struct session *s, int rc)
{
    if (rc != ERR_BUSY && rc != ERR_NOSPACE)
        return false;
    if (s->r->stopping || s->r->paused || session_outdated(s))
        return false;
    if (rc == ERR_NOSPACE)
        peer_stuck(s->p, rc);
    replicator_sleep(s->r, rc == ERR_BUSY ? BUSY_LOOK_MS : FULL_LOOK_MS);
    return true;
}

static int batch_store(struct session *s)
{
    struct feed_mark upto = s->rules.last;
    if (mark_order(&upto, &s->stored) < 0)
        upto = s->stored; // re-reading: the mark stays until we are past it
    int rc;
    do {
        rc = meta_ingest(s->r->o.meta, s->p->name, s->entries, s->n_entries, &upto);
    } while (batch_waits(s, rc));
    if (!rc)
        peer_stuck(s->p, 0);
    // the origin says something else than it said before, under the same sequence
    if (rc == ERR_CONFLICT) {
        pthread_mutex_lock(&s->r->lock);
        s->p->diverged = true;
        pthread_mutex_unlock(&s->r->lock);
    }
    if (rc)
        return rc;
    assert(mark_order(&s->stored, &upto) <= 0); // 5, 8
    s->stored = upto;
    if (s->n_entries)
        jobs_kick(s->r);
    return 0;
}

static int target_reached(struct session *s)
{
    s->covered = s->target;
    s->n_covered = s->n_target;
    return backfill_state_set(s->r, s->p->name, s->target, s->n_target);
}

static int batch_flush(struct session *s)
{
    if (!s->n_entries && !s->progressed)
        return 0;
    bool moved = s->n_entries || mark_order(&s->rules.last, &s->stored) > 0;
    int rc = 0;
    if (moved)
        rc = batch_store(s);
    if (!rc && s->from_start && mark_order(&s->rules.last, &s->stored) >= 0) {
        rc = target_reached(s);
        s->from_start = false;
    }
    s->n_entries = 0;
    s->progressed = false;
    arena_done(&s->batch);
    arena_init(&s->batch, BATCH_BYTES);
    return rc;
}

// The greeting says what the sender filters by. Returns READ_AGAIN when a registry is in it whose
// past we have not read: then the feed is read from the start.
static int session_greet(struct session *s, const struct feed_line *l)
{
    size_t n_want = shared_registries(s->t, s->rules.self->index, s->rules.origin->index, NULL, 0);
    const char **want = arena_array(&s->names, n_want + 1, sizeof *want);
    s->target = arena_array(&s->names, n_want + 1, sizeof *s->target);
    if (!want || !s->target)
        return ERR_NOMEM;
    shared_registries(s->t, s->rules.self->index, s->rules.origin->index, want, n_want);
    bool grown = false, shrunk = false;
    for (size_t i = 0; i < n_want; i++) {
        if (!name_in(want[i], l->registries, l->n_registries))
            continue;
        s->target[s->n_target] = arena_strdup(&s->names, want[i]);
        if (!s->target[s->n_target++])
            return ERR_NOMEM;
        grown = grown || !name_in(want[i], s->covered, s->n_covered);
    }
    const char **kept = arena_array(&s->names, s->n_covered + 1, sizeof *kept);
    size_t n_kept = 0;
    if (!kept)
        return ERR_NOMEM;
    for (size_t i = 0; i < s->n_covered; i++)
        if (name_in(s->covered[i], s->target, s->n_target))
            kept[n_kept++] = s->covered[i];
        else
            shrunk = true; // from here on it has a gap
    if (mark_is_zero(&s->stored)) {
        // nothing lies behind us
        if (grown || shrunk)
            return target_reached(s);
        return 0;
    }
    if (shrunk) {
        int rc = backfill_state_set(s->r, s->p->name, kept, n_kept);
        if (rc)
            return rc;
        s->covered = kept;
        s->n_covered = n_kept;
    }
    if (grown && !s->from_start)
        return READ_AGAIN;
    return 0;
}

// It may be asked for content again at once, and what failed for want of it is tried now.
static int peer_is_back(struct session *s)
{
    struct replicator *r = s->r;
    struct peer *p = s->p;
    bool in_doubt = source_recovered(p->source);
    pthread_mutex_lock(&r->lock);
    bool was_away = !p->met || p->failures || in_doubt;
    p->met = true;
    r->n_returns += was_away;
    pthread_mutex_unlock(&r->lock);
    if (!was_away)
        return 0;
    mender_source_is_back(r->mender);
    size_t n = shared_registries(s->t, s->rules.self->index, s->rules.origin->index, NULL, 0);
    const char **names = arena_array(&s->names, n + 1, sizeof *names);
    if (!names)
        return ERR_NOMEM;
    shared_registries(s->t, s->rules.self->index, s->rules.origin->index, names, n);
    int rc = 0;
    if (n)
        rc = meta_jobs_retry_now(r->o.meta, names, n);
    jobs_kick(r);
    return rc;
}

static void beat_learn(struct session *s, unsigned beat_ms)
{
    pthread_mutex_lock(&s->r->lock);
    if (beat_ms)
        s->p->beat_ms = beat_ms;
    else
        s->p->beat_ms = FEED_BEAT_OLD_MS;
    s->patience_ms = peer_patience_ms(s->p);
    pthread_mutex_unlock(&s->r->lock);
}

static int session_progress(struct session *s, const struct feed_line *l)
{
    s->progressed = true;
    if (!s->greeted) {
        if (!l->registries)
            return ERR_PROTO;
        s->greeted = true;
        beat_learn(s, l->beat_ms);
        int rc = session_greet(s, l);
        if (!rc)
            rc = peer_is_back(s);
        if (rc)
            return rc;
    }
    pthread_mutex_lock(&s->r->lock);
    s->p->connected = true;
    s->p->diverged = false;
    s->p->caught_up = l->caught_up && !s->from_start;
    s->p->failures = 0;
    s->p->stuck = 0;
    if (l->caught_up)
        s->p->ahead = 0;
    if (!s->p->ahead)
        s->p->last_error[0] = '\0';
    pthread_mutex_unlock(&s->r->lock);
    return 0;
}

// Any entry that is taken says that no entry of the future is in the way.
static void entry_taken(struct session *s, const struct feed_line *l)
{
    static struct log_limit limit = LOG_LIMIT(10000);
    pthread_mutex_lock(&s->r->lock);
    s->p->ahead = 0;
    s->p->n_malformed += l->kind == FEED_MALFORMED;
    pthread_mutex_unlock(&s->r->lock);
    if (l->kind == FEED_MALFORMED)
        log_limited(&limit, LOG_WARN,
                    "replication: feed of %s: entry %llu of epoch %llu restates a stamp that is "
                    "not before its own: passed "
                    "over",
                    s->p->name, (unsigned long long)l->entry.seq,
                    (unsigned long long)l->entry.epoch);
}

// A line of the first pass: nothing is stored.
static int proving_line(struct session *s, const struct feed_line *l)
{
    int rc = 0;
    if (l->kind != FEED_PROGRESS)
        rc = feed_proof_line(s->proof, &l->entry);
    bool caught_up = l->kind == FEED_PROGRESS && l->caught_up;
    if (rc)
        return rc;
    if (s->batch.used_bytes > BATCH_BYTES / 2) {
        arena_done(&s->batch);
        arena_init(&s->batch, BATCH_BYTES);
    }
    if (feed_proof_past(s->proof, &s->rules.last))
        return PROVED;
    if (!caught_up)
        return 0;
    peer_failed(s->p, "its feed ends before the place at which the topology revokes its key: "
                      "nothing that this key signed "
                      "can be taken; revoke it at an earlier place");
    return ERR_PROTO;
}

static int session_line(struct session *s, struct bytes line)
{
    struct feed_line l;
    const char *why = NULL;
    s->rules.limit = meta_stamp_limit(s->r->o.meta);
    int rc = feed_line_accept(&s->rules, line, &s->batch, &l, &why);
    if (!rc && !s->greeted && l.kind != FEED_PROGRESS) {
        rc = ERR_PROTO;
        why = "no greeting";
    }
    s->refused = rc != 0;
    if (rc == ERR_AHEAD)
        return rc; // told once what came before it is kept
    if (rc) {
        if (rc != ERR_NOMEM) {
            pthread_mutex_lock(&s->r->lock);
            s->p->bad_lines++;
            pthread_mutex_unlock(&s->r->lock);
        }
        peer_failed(s->p, "line refused: %s", why ? why : err_text(rc));
        return rc;
    }
    if (s->proving) {
        s->greeted = true;
        return proving_line(s, &l);
    }
    if (l.kind == FEED_PROGRESS)
        return session_progress(s, &l);
    s->progressed = true;
    entry_taken(s, &l);
    if (l.kind == FEED_ENTRY)
        s->entries[s->n_entries++] = l.entry;
    if (s->n_entries == BATCH_ENTRIES || s->batch.used_bytes > BATCH_BYTES / 2)
        return batch_flush(s);
    return 0;
}

// Takes the whole lines out of `text`; what remains is the beginning of the next.
static int session_lines(struct session *s, struct buf *text)
{
    size_t from = 0;
    int rc = 0;
    while (!rc) {
        const char *nl = memchr(text->p + from, '\n', text->n - from);
        if (!nl)
            break;
        size_t n = (size_t)(nl - (text->p + from));
        rc = session_line(s, bytes_of(text->p + from, n));
        from += n + 1;
    }
    if (from)
        buf_consume(text, from);
    if (!rc && text->n > FEED_LINE_MAX) {
        peer_failed(s->p, "line refused: line too long");
        s->refused = true;
        rc = ERR_PROTO;
    }
    int flushed = 0;
    if (!rc || s->refused)
        flushed = batch_flush(s);
    if (rc != ERR_AHEAD) {
        if (rc)
            return rc;
        return flushed;
    }
    if (flushed)
        return flushed;
    peer_clock_ahead(s->p, s->rules.ahead);
    return rc;
}

static int flow_broke(struct session *s, struct response_reader *f, int rc)
{
    if (rc == ERR_CANCELED && !s->r->stopping)
        return READ_AGAIN; // it was seen elsewhere while its stream said nothing
    if (rc != ERR_TIMEOUT) {
        peer_failed(s->p, "%s",
                    *response_reader_message(f) ? response_reader_message(f) : err_text(rc));
        return rc;
    }
    pthread_mutex_lock(&s->r->lock);
    s->p->missed = true;
    beats_kick(s->r);
    pthread_mutex_unlock(&s->r->lock);
    peer_failed(s->p, "silent: nothing came for %.1f s", (double)s->patience_ms / 1000);
    return rc;
}

static int session_flow(struct session *s, struct response_reader *f)
{
    struct buf text;
    buf_init(&text, 2 * FEED_LINE_MAX);
    s->generation = 0; // the session's topology may be out already
    int rc = 0;
    while (!rc) {
        char piece[16384];
        ssize_t n = response_reader_read(f, piece, sizeof piece, (int)s->patience_ms);
        if (n <= 0) {
            if (n == 0)
                rc = READ_AGAIN;
            else
                rc = flow_broke(s, f, (int)n);
            break;
        }
        peer_seen(s->p);
        // Before a line is judged: keys, peers or registries may be others by now, and a revoked
        // key signs nothing more.
        if (s->r->paused || session_outdated(s))
            rc = READ_AGAIN;
        else
            rc = 0;
        if (rc)
            break;
        buf_add(&text, piece, (size_t)n);
        if (text.err)
            rc = text.err;
        else
            rc = session_lines(s, &text);
        if (rc == ERR_CONFLICT)
            peer_failed(s->p,
                        "it says something else than it said before, under the same sequence");
        else if (rc < 0 && rc != ERR_PROTO && rc != ERR_AUTH && rc != ERR_AHEAD)
            peer_stuck(s->p, rc);
    }
    buf_done(&text);
    return rc;
}

// The sentence of a refusal, cut to printable ASCII; "" without one.
static void refusal_read(struct response_reader *f, char out[REFUSAL_SIZE])
{
    char body[2048];
    ssize_t n = response_reader_read(f, body, sizeof body, PEER_ANSWER_MS);
    json_t *doc = NULL;
    if (n > 0)
        doc = json_loadb(body, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
    const json_t *first = json_array_get(json_object_get(doc, "errors"), 0);
    const char *message = json_string_value(json_object_get(first, "message"));
    snprintf(out, REFUSAL_SIZE, "%s", message ? message : "");
    for (char *p = out; *p; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
    json_decref(doc);
}

// It answered, and not with its feed. If it refuses our certificate for its dates, that says whose
// clock is suspect.
static void peer_refused(struct session *s, struct response_reader *f, int status)
{
    char why[REFUSAL_SIZE], clock[CLOCK_SENTENCE_SIZE] = "";
    refusal_read(f, why);
    bool dates = strstr(why, "not yet valid") || strstr(why, "has expired");
    if (dates)
        replication_clock_suspect(s->r, s->p->name, clock);
    peer_failed(s->p, "answered %d%s%s%s%s", status, *why ? ": " : "", why, dates ? "; " : "",
                clock);
}

static int session_refused(struct session *s, struct response_reader *f, int status)
{
    struct peer *p = s->p;
    if (status == ERR_CANCELED && !s->r->stopping)
        return READ_AGAIN; // it contacted us meanwhile: a new connection comes through sooner
    if (status < 0) {
        peer_failed(p, "%s",
                    *response_reader_message(f) ? response_reader_message(f) : err_text(status));
        return status;
    }
    peer_seen(p);
    if (status == 409 && voided_take(p, s->t, &s->stored, f) == 0)
        return READ_AGAIN;
    if (status == 409) { // it lost entries that we hold, and is recovering them now
        pthread_mutex_lock(&s->r->lock);
        p->diverged = true;
        pthread_mutex_unlock(&s->r->lock);
        peer_failed(p, "its log is not the one that was read: it must recover");
        return ERR_CONFLICT;
    }
    peer_refused(s, f, status);
    return ERR_PROTO;
}

static void try_begin(struct peer *p)
{
    pthread_mutex_lock(&p->r->lock);
    p->trying = true;
    p->try_mono = clock_mono_ms();
    if (p->heard_mono == INT64_MAX)
        p->heard_mono = p->try_mono;
    p->hang_up = p->r->stopping || p->r->paused;
    pthread_mutex_unlock(&p->r->lock);
}

static void try_end(struct peer *p)
{
    pthread_mutex_lock(&p->r->lock);
    p->trying = false;
    pthread_mutex_unlock(&p->r->lock);
}

static int session_connect(struct session *s)
{
    char cur[CURSOR_TEXT_SIZE], target[CURSOR_TEXT_SIZE + 64];
    if (s->from_start)
        s->rules.last = (struct feed_mark){0};
    else
        s->rules.last = s->stored;
    if (s->from_start)
        s->rules.last_stamp = 0;
    else
        s->rules.last_stamp = s->stored_stamp;
    snprintf(target, sizeof target, "/replication/v1/feed?beat=1&voids=1&after=%s",
             cursor_format(&s->rules.last, cur));
    struct dial d;
    struct response_reader *f = NULL;
    int rc = peer_dial(s->r, s->t, s->p->name, target, NULL, &d);
    d.q.idle_timeout_ms = FEED_IDLE_MS;
    d.q.looks_for_peer = true;
    s->patience_ms = PEER_ANSWER_MS;
    try_begin(s->p);
    if (!rc)
        rc = response_reader_open(s->r->o.fetcher, &d.q, &s->p->hang_up, &f);
    if (rc) {
        peer_failed(s->p, "%s", err_text(rc));
        return rc;
    }
    int status = response_reader_status(f, PEER_ANSWER_MS);
    try_end(s->p);
    if (status == 200) {
        peer_seen(s->p);
        response_reader_watch(f, &s->p->heard_mono);
        rc = session_flow(s, f);
    } else {
        rc = session_refused(s, f, status);
    }
    response_reader_close(f);
    return rc;
}

// Where a key of the origin is revoked past our mark, its feed is followed up to there before
// anything is taken.
static int session_prove(struct session *s)
{
    const struct feed_mark zero = {0};
    int rc = feed_proof_new(s->rules.origin, s->from_start ? &zero : &s->stored, &s->proof);
    if (rc || !s->proof)
        return rc;
    s->proving = true;
    rc = session_connect(s);
    s->proving = s->greeted = false;
    s->rules.proof = s->proof;
    if (rc == PROVED)
        return 0;
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
                 s->p->name);
        (void)meta_revoke_reread(s->r->o.meta, s->p->name); // if it fails: at the next try
    }
    feed_proof_free(before);
}

// One connection, or two when the first shows that the past of a registry has to be read.
static int session_run(struct peer *p, const struct topology *t)
{
    struct session *s = mem_zalloc(sizeof *s);
    if (!s)
        return ERR_NOMEM;
    *s = (struct session){.r = p->r, .p = p, .t = t};
    s->rules = (struct feed_rules){.topology = t,
                                   .self = topology_region(t, p->r->o.region),
                                   .origin = topology_region(t, p->name),
                                   .verify = p->r->o.verify,
                                   .vouched = true};
    arena_init(&s->names, 4 << 20);
    arena_init(&s->batch, BATCH_BYTES);
    int rc = revoked_tell(p->r, t);
    if (!rc)
        rc = meta_revoke_rewind(p->r->o.meta, p->name);
    if (!rc)
        rc = read_mark(p->r, p->name, &s->stored);
    if (!rc)
        rc = meta_last_stamp(p->r->o.meta, p->name, s->stored.epoch, &s->stored_stamp);
    if (!rc)
        rc = backfill_state_get(p->r, p->name, &s->names, &s->covered, &s->n_covered);
    if (rc)
        peer_stuck(p, rc);
    bool again = false;
    if (!rc) {
        // Without any record of what was read, all is read again: the first line would say so
        // anyway.
        s->from_start = s->n_covered == 0 && !mark_is_zero(&s->stored);
        rc = session_prove(s);
        if (!rc)
            rc = session_connect(s);
        again = rc == READ_AGAIN && s->greeted && !s->from_start;
    }
    if (again && s->n_target && !s->r->stopping) {
        bool grown = false;
        for (size_t i = 0; i < s->n_target; i++)
            grown = grown || !name_in(s->target[i], s->covered, s->n_covered);
        if (grown && !mark_is_zero(&s->stored)) {
            log_info("replication: a registry of %s is new here: reading its feed from the start",
                     p->name);
            s->from_start = true;
            s->greeted = false;
            s->n_target = 0;
            s->n_entries = 0;
            rc = session_connect(s);
        }
    }
    chain_broke(s);
    feed_proof_free(s->proof);
    arena_done(&s->names);
    arena_done(&s->batch);
    free(s);
    return rc;
}

// Until the next try. One that asks us something meanwhile is there: no need to wait longer.
static void reader_rest(struct peer *p, int64_t ms, int64_t inbound_contact_ms,
                        unsigned n_inbound_contacts)
{
    struct replicator *r = p->r;
    int64_t began = clock_mono_ms();
    pthread_mutex_lock(&r->lock);
    while (!r->stopping) {
        int64_t left = began +
                       (p->n_inbound_contacts == n_inbound_contacts || ms < inbound_contact_ms
                            ? ms
                            : inbound_contact_ms) -
                       clock_mono_ms();
        if (left <= 0)
            break;
        wait_cond(&r->changed, &r->lock, left);
    }
    pthread_mutex_unlock(&r->lock);
}

// When the wall clock has come near the entry that reading stopped before; it is looked at before
// that, too, because its origin may have mended it.
static int64_t ahead_rest_ms(struct peer *p, uint64_t stamp)
{
    int64_t due = hlc_wall_ms(stamp) - p->r->skew_ms - clock_wall_ms() + 1;
    if (due > REFUSED_MAX_MS)
        return REFUSED_MAX_MS;
    if (due < 10)
        return 10;
    return due;
}

// Not while a repair moves the marks.
static int reader_session(struct peer *p, const struct topology *t)
{
    struct replicator *r = p->r;
    pthread_mutex_lock(&r->lock);
    while (r->paused && !r->stopping)
        wait_cond(&r->changed, &r->lock, 1000);
    p->reading = true;
    pthread_mutex_unlock(&r->lock);
    int rc = session_run(p, t);
    pthread_mutex_lock(&r->lock);
    p->reading = false;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    return rc;
}

// And not ended by what the peer said, or by us: its silence goes on counting.
static bool connection_broke(int rc)
{
    return rc == ERR_TIMEOUT || rc == ERR_UNREACHABLE || rc == ERR_IO || rc == ERR_CLOSED ||
           rc == ERR_CRYPTO;
}

static void reader_turn(struct peer *p, const struct topology *t)
{
    struct replicator *r = p->r;
    pthread_mutex_lock(&r->lock);
    bool ask = p->mark_state == MARK_UNKNOWN;
    unsigned n_inbound_contacts = p->n_inbound_contacts, n_seen = p->n_seen;
    pthread_mutex_unlock(&r->lock);
    int64_t began = clock_mono_ms();
    int rc = 0;
    if (ask)
        rc = recover_ask(r, p, t);
    if (!rc)
        rc = reader_session(p, t);
    pthread_mutex_lock(&r->lock);
    p->connected = p->caught_up = false;
    p->unreached = p->n_seen == n_seen;
    bool unreached = p->unreached;
    if (!unreached && (!connection_broke(rc) || p->stuck))
        p->heard_mono = INT64_MAX; // it answered; nothing is to be heard of it until the next try
    unsigned failures = p->failures;
    uint64_t ahead = p->ahead;
    bool stuck = p->stuck;
    pthread_mutex_unlock(&r->lock);
    if (rc == ERR_AHEAD) {
        reader_rest(p, ahead_rest_ms(p, ahead), INBOUND_CONTACT_REFUSED_MS, n_inbound_contacts);
        return;
    }
    // From the beginning of the try: one that took its whole time waited enough.
    int64_t most = REFUSED_MAX_MS;
    if (unreached)
        most = UNREACHED_MAX_MS;
    int64_t left =
        began + wait_backoff_ms(failures ? failures - 1 : 0, REST_MIN_MS, most) - clock_mono_ms();
    int64_t least = REST_MIN_MS;
    if (stuck)
        least = FULL_LOOK_MS;
    int64_t rest = left;
    if (left < least)
        rest = least;
    reader_rest(p, rc == READ_AGAIN ? 50 : rest,
                unreached ? INBOUND_CONTACT_MS : INBOUND_CONTACT_REFUSED_MS, n_inbound_contacts);
}

void *peer_reader_main(void *arg)
{
    struct peer *p = arg;
    struct replicator *r = p->r;
    while (!r->stopping) {
        struct topology *t = snapshot_get(r->o.topology);
        const struct region *me = NULL;
        if (t)
            me = topology_region(t, r->o.region);
        const struct region *they = NULL;
        if (t)
            they = topology_region(t, p->name);
        bool shares = me && they && shared_registries(t, me->index, they->index, NULL, 0) > 0;
        pthread_mutex_lock(&r->lock);
        uint64_t seen = r->reconfigured;
        p->shares = shares;
        if (!shares)
            p->heard_mono = 0;
        pthread_mutex_unlock(&r->lock);
        if (shares)
            reader_turn(p, t);
        snapshot_unref(t);
        pthread_mutex_lock(&r->lock);
        if (!shares && !r->stopping && r->reconfigured == seen)
            wait_cond(&r->changed, &r->lock, 1000);
        pthread_mutex_unlock(&r->lock);
    }
    return NULL;
}
