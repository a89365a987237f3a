// SPDX-License-Identifier: Apache-2.0
// Serves this region's feed to peers (GET /replication/v1/feed). The cursor is checked and batches
// are read on the pool; a commit wakes the streams, so that a push starts the copy at once. Beats
// need neither the pool nor the store.
//
// What this region signs of its heads (replication/feed_heads.h) goes to readers that speak version
// 2, at a place before which something was left out for them: they cannot tell otherwise that
// nothing else is missing. A stretch without a hole proves itself by its running hash, so a fleet
// whose regions share all registries signs nothing.
//
// Invariants (design section 9)
//   7. A place at which a stream says caught up is proven to the reader, or it says so later.
//   8. A cursor that is no place in our log may mean that we lost entries: 409, and the write gate
//      looks at what the peer has of us; when that proves it, they are recovered before anything is
//      written again.
//  10. A feed carries only registries that the reader also holds.
#include "replication/head_source.h"
#include "replication/marks.h"
#include "replication/peer.h"
#include "replication/peers.h"
#include "replication/replication_priv.h"
#include "replication/response_producer.h"
#include "replication/speech.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "replication/feed_line.h"
#include "store/meta_drop.h"
#include "store/meta_speaks.h"
#include "store/meta_spent.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define FEED_LOOK_MS 15000  // a feed looks into the store so often, though every commit wakes it
#define FEED_TURN_MS 600000 // a stream ends after so long, so that connections turn over
#define BATCH_ENTRIES 32
#define HEADS_BYTES (FEED_HEADS_MAX * (size_t)256) // of all rows
#define BATCH_BYTES (BATCH_ENTRIES * (size_t)ENTRY_LINE_MAX + (64u << 10) * 8 + HEADS_BYTES)

struct feed_out {
    struct replicator *r;
    // of the stream
    struct arena arena;
    const char *origin;
    // the region that reads
    const char *asker;
    // another's entries: ends when all was sent
    bool relay;
    const char **registries;
    size_t n_registries;
    // the reader's own entries: nothing to filter
    bool all;
    // what the filter was made from
    uint64_t topology_version;
    // sent up to; as asked
    struct feed_mark at, asked;
    bool greeted, idle_said, voids_asked;
    unsigned n_repairs;
    // the reader wants to be told how often it will hear of us
    bool beat_asked;
    // what it speaks (replication/speech.h)
    unsigned speaks;
    // A sealed origin's: nothing past it is handed on; zero: it lives.
    bool sealed;
    struct feed_seal seal;
    // up to here the reader knows that nothing is missing
    struct feed_mark proven;
    // NULL: the reader cannot use them, or this region cannot sign them
    struct head_source *heads;
    int64_t end_mono;
};

static void feed_free(void *ctx)
{
    struct feed_out *s = ctx;
    head_source_free(s->heads);
    arena_done(&s->arena);
    free(s);
}

static bool topology_moved(struct feed_out *s)
{
    struct topology *t = snapshot_get(s->r->o.topology);
    bool moved = !t || t->version != s->topology_version;
    snapshot_unref(t);
    return moved;
}

// The first line says what the sender filters by, how often it beats, and what it speaks.
static void progress_line(struct feed_out *s, struct feed_progress *p, struct buf *out)
{
    p->at = &s->at;
    p->topology_version = s->topology_version;
    if (!s->greeted) {
        p->registries = s->registries;
        p->n_registries = s->n_registries;
        if (s->beat_asked)
            p->beat_ms = FEED_BEAT_MS;
        if (s->speaks >= SPEECH_NOW)
            p->speaks = SPEECH_NOW;
    }
    feed_progress_format(p, out);
    s->greeted = true;
}

// Rows that changed, a part of them in each line but the last, which goes to *last with the
// signature. false: nothing can be signed now.
static bool heads_add(struct feed_out *s, struct feed_progress *last, struct buf *out)
{
    if (head_source_sign(s->heads, &s->at))
        return false;
    for (;;) {
        struct feed_progress p = {0};
        bool more = head_source_rows(s->heads, &p.heads, &p.n_heads);
        if (!more) {
            last->heads = p.heads;
            last->n_heads = p.n_heads;
            break;
        }
        progress_line(s, &p, out);
    }
    head_source_signed(s->heads, &last->heads_sig, &last->heads_key);
    return true;
}

// What the place where the stream stands lacks to be proven to the reader.
static bool hole_closed(struct feed_out *s, struct feed_progress *p, struct buf *out)
{
    if (!s->heads || mark_equal(&s->proven, &s->at))
        return true;
    if (!heads_add(s, p, out))
        return false;
    s->proven = s->at;
    return true;
}

// false: it cannot be said yet that the reader is caught up (invariant 7).
static bool progress_add(struct feed_out *s, bool caught_up, struct buf *out)
{
    struct feed_progress p = {0};
    bool closed = hole_closed(s, &p, out);
    p.caught_up = caught_up && closed;
    progress_line(s, &p, out);
    return closed;
}

// Since this stream began, or just now: the place where it stands is to be looked at anew.
static bool repaired(const struct feed_out *s)
{
    return reading_hold_is_paused(s->r->hold) || reading_hold_repairs(s->r->hold) != s->n_repairs;
}

// What an earlier version stored of the future is not handed on, nor what follows it. true: the
// batch was cut.
static bool relay_cut(struct feed_out *s, const struct feed_entry *entries, size_t *n,
                      struct feed_mark *last)
{
    uint64_t limit = meta_stamp_limit(s->r->o.meta);
    size_t good = 0;
    while (good < *n && entries[good].stamp <= limit)
        good++;
    if (good == *n)
        return false;
    *n = good;
    *last = s->at;
    if (good)
        mark_of_entry(&entries[good - 1], last);
    return true;
}

// Nor is what lies past the seal of an origin. The place of the seal is said as it is.
static bool seal_cut(struct feed_out *s, const struct feed_entry *entries, size_t *n,
                     struct feed_mark *last)
{
    struct feed_mark seal = {.epoch = s->seal.epoch, .seq = s->seal.seq}, at;
    size_t good = 0;
    memcpy(seal.hash, s->seal.hash, sizeof seal.hash);
    if (!s->sealed || mark_order(last, &seal) <= 0)
        return false;
    for (; good < *n; good++) {
        mark_of_entry(&entries[good], &at);
        if (mark_order(&at, &seal) > 0)
            break;
    }
    *n = good;
    *last = seal;
    if (mark_order(&seal, &s->at) < 0)
        *last = s->at;
    return true;
}

// Who shares nothing is told the place of a seal all the same, by a region that has read so far: then
// it knows that somebody has.
static int seal_place(const struct feed_out *s, struct feed_mark *out_last)
{
    struct feed_mark seal = {.epoch = s->seal.epoch, .seq = s->seal.seq};
    memcpy(seal.hash, s->seal.hash, sizeof seal.hash);
    if (!s->sealed || !s->relay || mark_order(&seal, &s->at) <= 0)
        return 0;
    int rc = meta_feed_check(s->r->o.meta, s->origin, &seal);
    if (!rc)
        *out_last = seal;
    if (rc == ERR_CONFLICT)
        return 0;
    return rc;
}

// What lies behind the place where the stream stands, as the reader may see it.
static int batch_read(struct feed_out *s, struct arena *a, struct feed_entry **out, size_t *out_n,
                      struct feed_mark *out_last)
{
    struct meta *m = s->r->o.meta;
    if (s->all) {
        int rc =
            meta_feed_read(m, s->origin, &s->at, NULL, 0, BATCH_ENTRIES, a, out, out_n, out_last);
        return rc ? rc : meta_spent_mark(m, *out, *out_n);
    }
    // An empty list would mean "all" to the store: a reader that shares nothing gets no entries.
    if (!s->n_registries)
        return seal_place(s, out_last);
    return meta_feed_read(m, s->origin, &s->at, s->registries, s->n_registries, BATCH_ENTRIES, a,
                          out, out_n, out_last);
}

// Does the entry follow the place without a gap?
static bool follows(const struct feed_mark *at, const struct feed_entry *e)
{
    if (e->epoch == at->epoch)
        return e->seq == at->seq + 1;
    return e->seq == 1;
}

static void entry_said(struct feed_out *s, const struct feed_entry *e, struct feed_mark *at)
{
    bool whole = mark_equal(&s->proven, at) && follows(at, e);
    mark_of_entry(e, at);
    if (whole)
        s->proven = *at;
    if (s->heads)
        head_source_moved(s->heads, e);
}

static int entries_format(struct feed_out *s, const struct feed_entry *entries, size_t n,
                          struct buf *out)
{
    struct feed_mark at = s->at;
    for (size_t i = 0; i < n; i++) {
        if (entry_malformed(&entries[i]) && entries[i].version < 2)
            continue; // an earlier version stored such
        if (entries[i].ended && !s->all)
            continue; // it was dropped while this was read
        int rc = entry_format(&entries[i], out);
        if (rc)
            return rc;
        entry_said(s, &entries[i], &at);
    }
    return 0;
}

static void batch_failed(const struct feed_out *s, int rc)
{
    static struct log_limit limit = LOG_LIMIT(10000);
    log_limited(&limit, LOG_ERROR, "replication: the feed of %s cannot be read for %s: %s",
                s->origin, s->asker, err_text(rc));
}

static bool batch_with(struct feed_out *s, struct arena *a, struct buf *out, bool *out_end)
{
    struct feed_entry *entries = NULL;
    size_t n = 0;
    struct feed_mark last = s->at;
    bool cut = false;
    int rc = batch_read(s, a, &entries, &n, &last);
    if (!rc && s->relay)
        cut = relay_cut(s, entries, &n, &last) || seal_cut(s, entries, &n, &last);
    assert(entries || n == 0);
    if (!rc)
        rc = entries_format(s, entries, n, out);
    if (rc)
        batch_failed(s, rc);
    if (rc || repaired(s)) { // what was read may follow a place that is void now
        *out_end = true;     // the reader comes again
        out->n = 0;
        return false;
    }
    assert(mark_order(&last, &s->at) >= 0);
    bool moved = mark_order(&last, &s->at) > 0;
    if (moved) {
        s->at = last;
        s->idle_said = false;
    }
    // a filtered stretch, or simply the end of it: the mark may lie past the last entry
    bool hole = s->heads && !mark_equal(&s->proven, &s->at);
    if (moved && (n < BATCH_ENTRIES || hole))
        (void)progress_add(s, false, out);
    if (cut) { // it has no more to give, however often it is asked
        (void)progress_add(s, true, out);
        *out_end = true;
    }
    return moved && !cut;
}

// One batch. true: there may be more.
static bool batch_add(struct feed_out *s, struct buf *out, bool *out_end)
{
    struct arena a;
    arena_init(&a, 0);
    bool more = batch_with(s, &a, out, out_end);
    arena_done(&a);
    return more;
}

static bool feed_produce(void *ctx, struct buf *out, bool *out_end)
{
    struct feed_out *s = ctx;
    *out_end = false;
    if (!s->greeted)
        (void)progress_add(s, false, out);
    if (topology_moved(s) || repaired(s) || clock_mono_ms() >= s->end_mono) {
        *out_end = true;
        return false;
    }
    bool more = batch_add(s, out, out_end);
    if (*out_end || more)
        return more;
    if (!s->idle_said)
        s->idle_said = progress_add(s, true, out);
    *out_end = s->relay;
    return false;
}

// What was sent last, said once more.
static void feed_beat(void *ctx, bool quiet, struct buf *out)
{
    struct feed_out *s = ctx;
    const struct feed_progress p = {
        .at = &s->at, .topology_version = s->topology_version, .caught_up = quiet && s->idle_said};
    if (s->greeted)
        feed_progress_format(&p, out);
}

static const struct response_producer_ops feed_ops = {.produce = feed_produce,
                                                      .free_ctx = feed_free,
                                                      .beat = feed_beat,
                                                      .buffer_bytes = BATCH_BYTES,
                                                      .tick_ms = FEED_LOOK_MS,
                                                      .beat_ms = FEED_BEAT_MS};

static void conflict_answer(struct feed_out *s, json_t *voided, struct http_request *req,
                            struct http_response *resp)
{
    char cur[CURSOR_TEXT_SIZE];
    struct feed_mark head = {0};
    meta_head(s->r->o.meta, s->origin, &head);
    json_t *doc = json_pack("{s:s, s:s}", "error", "the cursor is no place in this feed", "head",
                            cursor_format(&head, cur));
    if (voided)
        json_object_set(doc, "void", voided);
    http_response_json(req, resp, 409, doc);
    http_request_refused(req, "CONFLICT", "the cursor is no place in this feed");
}

// The cursor is no place in our log. false: it is served all the same; else it was answered.
static bool conflict_refuse(struct feed_out *s, struct http_request *req,
                            struct http_response *resp)
{
    json_t *voided = NULL;
    if (s->voids_asked)
        voided = voided_json(s->r, &s->asked);
    struct peer *p = peers_find(s->r->peers, s->asker);
    if (!voided && p) {
        if (mark_claim_is_settled(peer_claim(p), &s->asked))
            return false;
        mark_want_proof(s->r, p, &s->asked);
    }
    conflict_answer(s, voided, req, resp);
    json_decref(voided);
    return true;
}

// true: the request was answered.
static bool cursor_refused(struct feed_out *s, struct http_request *req, struct http_response *resp)
{
    if (s->relay) // relayed logs have holes where this region does not share: the order counts
        return false;
    if (mark_is_zero(&s->asked))
        return false;
    int rc = meta_feed_check(s->r->o.meta, s->origin, &s->asked);
    if (rc == ERR_CONFLICT)
        return conflict_refuse(s, req, resp);
    if (rc)
        serve_refuse(req, resp, 503, err_text(rc));
    return rc != 0;
}

// Who reads from the beginning has nothing yet: what is spent would show there for good
// (store/meta_spent.h), and a snapshot leaves it out. true: the request was answered. A relay has no
// snapshots, so it gives all.
static bool spent_refused(struct feed_out *s, struct http_request *req, struct http_response *resp)
{
    bool spent;
    if (s->relay || !mark_is_zero(&s->asked))
        return false;
    int rc = meta_spent_any(s->r->o.meta, s->origin, s->registries, s->n_registries, &spent);
    if (rc)
        serve_refuse(req, resp, 503, err_text(rc));
    else if (spent)
        serve_refuse(req, resp, 410,
                     "the feed has values that were outdone and deleted: take a snapshot");
    return rc || spent;
}

// What was dropped before its place is not in the log any more (store/meta_drop.h). true: the request was
// answered: the reader takes a snapshot. Of a relay it takes what there is: no other one has a snapshot.
static bool kept_refused(struct feed_out *s, struct http_request *req, struct http_response *resp)
{
    struct feed_mark kept;
    if (s->relay)
        return false;
    int rc = meta_kept_from(s->r->o.meta, s->origin, s->registries, s->n_registries, &kept);
    if (rc) {
        serve_refuse(req, resp, 503, err_text(rc));
        return true;
    }
    if (feed_mark_order(&s->asked, &kept) >= 0)
        return spent_refused(s, req, resp);
    serve_refuse(req, resp, 410,
                 "the feed does not have any more what follows this place: take a snapshot");
    return true;
}

// A reader of version 1, of registries that have entries of version 2: it was put back to an earlier
// program. true: the request was answered.
static bool speech_refused(struct feed_out *s, struct http_request *req, struct http_response *resp)
{
    char why[256];
    if (s->speaks >= SPEECH_NOW)
        return false;
    for (size_t i = 0; i < s->n_registries; i++) {
        unsigned version = SPEECH_OLD;
        int rc = meta_registry_version(s->r->o.meta, s->registries[i], &version);
        if (!rc && version < SPEECH_NOW)
            continue;
        snprintf(why, sizeof why,
                 "registry %s has entries of version 2 of the feed, which the program of %s does "
                 "not read: start the newer program again there",
                 s->registries[i], s->asker);
        if (rc)
            serve_refuse(req, resp, 503, err_text(rc));
        else
            serve_refuse(req, resp, 406, why);
        return true;
    }
    return false;
}

// The stream is the response's from here on.
static void stream_begin(struct feed_out *s, struct http_request *req, struct http_response *resp)
{
    const char *who = s->asker;
    if (s->relay)
        who = NULL;
    s->at = s->proven = s->asked;
    int rc = response_producer_start(s->r, &feed_ops, s, who, "application/x-ndjson", resp);
    if (rc)
        serve_refuse(req, resp, 503, err_text(rc));
    else
        req->ctx = NULL;
}

static void feed_run(struct http_request *req, struct http_response *resp)
{
    struct feed_out *s = req->ctx;
    struct replicator *r = s->r;
    if (!life_enter(r->life)) {
        serve_refuse(req, resp, 503, "stopping");
        return;
    }
    replicator_inbound_contact(r, s->asker);
    speech_heard(r->speech, s->asker, s->speaks);
    (void)speech_keep(r->speech); // if it fails: with the next word
    if (!speech_refused(s, req, resp) && !cursor_refused(s, req, resp) &&
        !kept_refused(s, req, resp))
        stream_begin(s, req, resp);
    life_leave(r->life);
}

static void feed_done(struct http_request *req)
{
    if (req->ctx)
        feed_free(req->ctx);
}

// A reader of version 1 does not know keys with an incarnation.
static bool key_readable(const struct feed_out *s, const char *key)
{
    return s->speaks >= SPEECH_NOW || hostname_registry_ok(key);
}

// A relay says nothing of registries that it does not read itself.
static bool is_held(const struct topology *t, const struct region *self, const char *key)
{
    const struct registry *reg = topology_registry_by_key(t, key);
    return reg && registry_replica(reg, self->index);
}

static int filter_make(struct feed_out *s, const struct topology *t, const struct region *peer)
{
    const struct region *origin = topology_region(t, s->origin);
    const struct region *self = topology_region(t, s->r->o.region);
    s->all = s->relay && strcmp(s->origin, peer->name) == 0;
    if (!origin || !self)
        return ERR_NOTFOUND;
    if (origin->sealed) {
        s->sealed = true;
        s->seal = *origin->sealed;
    }
    size_t n = shared_registries(t, origin->index, peer->index, NULL, 0);
    if (n > FEED_REGISTRIES_MAX)
        return ERR_TOOBIG;
    s->registries = arena_array(&s->arena, n + 1, sizeof *s->registries);
    if (!s->registries)
        return ERR_NOMEM;
    n = shared_registries(t, origin->index, peer->index, s->registries, n);
    for (size_t i = 0; i < n; i++) {
        if (!key_readable(s, s->registries[i]) || !is_held(t, self, s->registries[i]))
            continue;
        char *key = arena_strdup(&s->arena, s->registries[i]); // it must outlive the topology
        if (!key)
            return ERR_NOMEM;
        s->registries[s->n_registries++] = key;
    }
    return 0;
}

// Only the origin signs its heads.
static int heads_make(struct feed_out *s)
{
    if (s->relay || s->speaks < SPEECH_NOW)
        return 0;
    return head_source_new(s->r->o.meta, s->origin, s->registries, s->n_registries, &s->heads);
}

// Between half of its whole turn and all of it, so that streams do not end together.
static int64_t turn_ms(void)
{
    return FEED_TURN_MS / 2 + wait_backoff_ms(0, FEED_TURN_MS, FEED_TURN_MS) / 2;
}

static int feed_make(struct feed_out *s, struct http_request *req, const struct topology *t,
                     const struct region *peer, const char *origin)
{
    s->topology_version = t->version;
    s->beat_asked = http_query_get(req, "beat", 0) != NULL;
    s->voids_asked = http_query_get(req, "voids", 0) != NULL;
    s->speaks = speech_asked(req);
    s->n_repairs = reading_hold_repairs(s->r->hold); // before the cursor is checked
    s->end_mono = clock_mono_ms() + turn_ms();
    s->relay = strcmp(origin, s->r->o.region) != 0;
    s->origin = arena_strdup(&s->arena, origin);
    s->asker = arena_strdup(&s->arena, peer->name);
    if (!s->origin || !s->asker)
        return ERR_NOMEM;
    int rc = filter_make(s, t, peer);
    if (rc)
        return rc;
    return heads_make(s);
}

void feed_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                const struct region *peer, struct http_plan *plan)
{
    const char *after = http_query_get(req, "after", 0), *origin = http_query_get(req, "origin", 0);
    struct feed_mark mark;
    plan->kind = HTTP_PLAN_REPLY;
    if (!after || cursor_parse(after, &mark) || http_query_get(req, "after", 1)) {
        serve_refuse(req, &plan->response, 400, "after: not a cursor of this feed");
        return;
    }
    if (!origin)
        origin = r->o.region;
    if (!hostname_region_ok(origin) || !topology_region(t, origin)) {
        serve_refuse(req, &plan->response, 404, "origin: no such region");
        return;
    }
    struct feed_out *s = mem_zalloc(sizeof *s);
    if (!s) {
        serve_refuse(req, &plan->response, 503, err_text(ERR_NOMEM));
        return;
    }
    s->r = r;
    s->asked = mark;
    arena_init(&s->arena, 4 << 20);
    int rc = feed_make(s, req, t, peer, origin);
    if (rc) {
        serve_refuse(req, &plan->response, 503, err_text(rc));
        feed_free(s);
        return;
    }
    plan->kind = HTTP_PLAN_RUN;
    plan->run = feed_run;
    plan->done = feed_done;
    plan->ctx = s;
    plan->pool = r->o.pool;
}
