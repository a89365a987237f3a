// SPDX-License-Identifier: Apache-2.0
// Serves this region's feed to peers (GET /replication/v1/feed). The cursor is checked and batches
// are read on the pool; a commit wakes the streams, so that a push starts the copy at once. Beats
// need neither the pool nor the store.
//
// Invariants (design section 9)
//   8. A cursor that is no place in our log may mean that we lost entries: 409, and the write gate
//      looks at what the peer has of us; when that proves it, they are recovered before anything is
//      written again.
//  10. A feed carries only registries that the reader also holds.
#include "replication/marks.h"
#include "replication/peer.h"
#include "replication/peers.h"
#include "replication/replication_priv.h"
#include "replication/response_producer.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "replication/feed_line.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define FEED_LOOK_MS 15000  // a feed looks into the store so often, though every commit wakes it
#define FEED_TURN_MS 600000 // a stream ends after so long, so that connections turn over
#define BATCH_ENTRIES 32
#define BATCH_BYTES (BATCH_ENTRIES * (size_t)ENTRY_LINE_MAX + (64u << 10) * 8)

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
    int64_t end_mono;
};

static void feed_free(void *ctx)
{
    struct feed_out *s = ctx;
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

// The first line says what the sender filters by, and how often it beats.
static void progress_add(struct feed_out *s, bool caught_up, struct buf *out)
{
    const char **registries = NULL;
    unsigned beat_ms = 0;
    if (!s->greeted) {
        registries = s->registries;
        if (s->beat_asked)
            beat_ms = FEED_BEAT_MS;
    }
    feed_progress_format(&s->at, s->topology_version, caught_up, registries, s->n_registries,
                         beat_ms, out);
    s->greeted = true;
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

// What lies behind the place where the stream stands, as the reader may see it.
static int batch_read(struct feed_out *s, struct arena *a, struct feed_entry **out, size_t *out_n,
                      struct feed_mark *out_last)
{
    struct meta *m = s->r->o.meta;
    if (s->all)
        return meta_feed_read(m, s->origin, &s->at, NULL, 0, BATCH_ENTRIES, a, out, out_n,
                              out_last);
    // An empty list would mean "all" to the store: a reader that shares nothing gets nothing.
    if (!s->n_registries)
        return 0;
    return meta_feed_read(m, s->origin, &s->at, s->registries, s->n_registries, BATCH_ENTRIES, a,
                          out, out_n, out_last);
}

static int entries_format(const struct feed_entry *entries, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        if (entry_malformed(&entries[i])) // an earlier version stored such
            continue;
        int rc = entry_format(&entries[i], out);
        if (rc)
            return rc;
    }
    return 0;
}

static bool batch_with(struct feed_out *s, struct arena *a, struct buf *out, bool *out_end)
{
    struct feed_entry *entries = NULL;
    size_t n = 0;
    struct feed_mark last = s->at;
    bool cut = false;
    int rc = batch_read(s, a, &entries, &n, &last);
    if (!rc && s->relay)
        cut = relay_cut(s, entries, &n, &last);
    assert(entries || n == 0);
    if (!rc)
        rc = entries_format(entries, n, out);
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
    if (moved && n < BATCH_ENTRIES)
        progress_add(s, false, out);
    if (cut)
        *out_end = true;
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
        progress_add(s, false, out);
    if (topology_moved(s) || repaired(s) || clock_mono_ms() >= s->end_mono) {
        *out_end = true;
        return false;
    }
    bool more = batch_add(s, out, out_end);
    if (*out_end || more)
        return more;
    if (!s->idle_said)
        progress_add(s, true, out);
    s->idle_said = true;
    *out_end = s->relay;
    return false;
}

// What was sent last, said once more.
static void feed_beat(void *ctx, bool quiet, struct buf *out)
{
    struct feed_out *s = ctx;
    if (s->greeted)
        feed_progress_format(&s->at, s->topology_version, quiet, NULL, 0, 0, out);
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

// The stream is the response's from here on.
static void stream_begin(struct feed_out *s, struct http_request *req, struct http_response *resp)
{
    const char *who = s->asker;
    if (s->relay)
        who = NULL;
    s->at = s->asked;
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
    if (!cursor_refused(s, req, resp))
        stream_begin(s, req, resp);
    life_leave(r->life);
}

static void feed_done(struct http_request *req)
{
    if (req->ctx)
        feed_free(req->ctx);
}

static int filter_make(struct feed_out *s, const struct topology *t, const struct region *peer)
{
    const struct region *origin = topology_region(t, s->origin);
    const struct region *self = topology_region(t, s->r->o.region);
    s->all = s->relay && strcmp(s->origin, peer->name) == 0;
    if (!origin || !self)
        return ERR_NOTFOUND;
    size_t n = shared_registries(t, origin->index, peer->index, NULL, 0);
    s->registries = arena_array(&s->arena, n + 1, sizeof *s->registries);
    if (!s->registries)
        return ERR_NOMEM;
    s->n_registries = shared_registries(t, origin->index, peer->index, s->registries, n);
    for (size_t i = 0; i < s->n_registries; i++) { // the names must outlive the topology
        s->registries[i] = arena_strdup(&s->arena, s->registries[i]);
        if (!s->registries[i])
            return ERR_NOMEM;
    }
    if (s->n_registries > FEED_REGISTRIES_MAX)
        return ERR_TOOBIG;
    return 0;
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
    s->n_repairs = reading_hold_repairs(s->r->hold); // before the cursor is checked
    s->end_mono = clock_mono_ms() + turn_ms();
    s->relay = strcmp(origin, s->r->o.region) != 0;
    s->origin = arena_strdup(&s->arena, origin);
    s->asker = arena_strdup(&s->arena, peer->name);
    if (!s->origin || !s->asker)
        return ERR_NOMEM;
    return filter_make(s, t, peer);
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
