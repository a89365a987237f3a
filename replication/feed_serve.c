// SPDX-License-Identifier: Apache-2.0
// Serves this region's feed to peers (GET /replication/v1/feed) and says how far it has read others
// (…/mark). The cursor is checked and batches are read on the pool; a commit wakes the streams, so
// that a push starts the copy at once. Beats need neither the pool nor the store.
//
// Invariants (design section 9)
//   8. A cursor that is no place in our log may mean that we lost entries: 409, and the write
//      gate looks at what the peer has of us; when that proves it, they are recovered before anything is
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

static void progress_add(struct feed_out *s, bool caught_up, struct buf *out)
{
    bool first = !s->greeted;
    feed_progress_format(&s->at, s->topology_version, caught_up, first ? s->registries : NULL,
                         s->n_registries, first && s->beat_asked ? FEED_BEAT_MS : 0, out);
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

// One batch. true: there may be more.
static bool batch_add(struct feed_out *s, struct buf *out, bool *out_end)
{
    struct arena a;
    arena_init(&a, 0);
    struct feed_entry *entries = NULL;
    size_t n = 0;
    struct feed_mark last = s->at;
    int rc = 0;
    // An empty list would mean "all" to the store: a reader that shares nothing gets nothing.
    if (s->all || s->n_registries)
        rc = meta_feed_read(s->r->o.meta, s->origin, &s->at, s->all ? NULL : s->registries,
                            s->all ? 0 : s->n_registries, BATCH_ENTRIES, &a, &entries, &n, &last);
    bool cut = s->relay && relay_cut(s, entries, &n, &last);
    assert(entries || n == 0);
    for (size_t i = 0; !rc && i < n; i++)
        if (!entry_malformed(&entries[i])) // an earlier version stored such
            rc = entry_format(&entries[i], out);
    bool moved = mark_order(&last, &s->at) > 0;
    if (!rc && repaired(s)) // what was read may follow a place that is void now
        rc = ERR_CANCELED;
    if (rc) { // the reader comes again
        *out_end = true;
        out->n = 0;
    } else if (moved) {
        s->at = last;
        s->idle_said = false;
        // a filtered stretch, or simply the end of it: the mark may lie past the last entry
        if (n < BATCH_ENTRIES)
            progress_add(s, false, out);
    }
    arena_done(&a);
    if (cut)
        *out_end = true;
    return moved && !rc && !cut;
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

// 0; ERR_CONFLICT after the answer was made.
static int cursor_check(struct feed_out *s, const char *peer, struct http_request *req,
                        struct http_response *resp)
{
    int rc = 0;
    if (!mark_is_zero(&s->asked))
        rc = meta_feed_check(s->r->o.meta, s->origin, &s->asked);
    json_t *voided = NULL;
    if (rc == ERR_CONFLICT && s->voids_asked)
        voided = voided_json(s->r, &s->asked);
    if (voided) {
        conflict_answer(s, voided, req, resp);
        json_decref(voided);
    } else if (rc == ERR_CONFLICT) {
        struct peer *p = peers_find(s->r->peers, peer);
        if (p && mark_claim_is_settled(peer_claim(p), &s->asked))
            // what it read there is lost for good, and all that anybody had of it was announced
            // again
            return 0;
        if (p)
            mark_want_proof(s->r, p, &s->asked);
        conflict_answer(s, NULL, req, resp);
    } else if (rc) {
        serve_refuse(req, resp, 503, err_text(rc));
    }
    return rc;
}

static void feed_run(struct http_request *req, struct http_response *resp)
{
    struct feed_out *s = req->ctx;
    struct replicator *r = s->r;
    if (!life_enter(r->life)) {
        serve_refuse(req, resp, 503, "stopping");
        return;
    }
    // The name of the asking region was kept behind the origin's.
    const char *peer = s->origin + strlen(s->origin) + 1;
    replicator_inbound_contact(r, peer);
    // Relayed logs have holes where this region does not share: only the order counts there.
    int rc = 0;
    if (!s->relay)
        rc = cursor_check(s, peer, req, resp);
    if (!rc) {
        s->at = s->asked;
        rc = response_producer_start(r, &feed_ops, s, s->relay ? NULL : peer,
                                     "application/x-ndjson", resp);
        if (rc)
            serve_refuse(req, resp, 503, err_text(rc));
        else
            req->ctx = NULL; // the stream's now
    }
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
    *s = (struct feed_out){.r = r, .asked = mark, .topology_version = t->version};
    s->beat_asked = http_query_get(req, "beat", 0) != NULL;
    s->voids_asked = http_query_get(req, "voids", 0) != NULL;
    s->n_repairs = reading_hold_repairs(r->hold); // before the cursor is checked
    arena_init(&s->arena, 4 << 20);
    int64_t now = clock_mono_ms();
    s->end_mono = now + FEED_TURN_MS / 2 + wait_backoff_ms(0, FEED_TURN_MS, FEED_TURN_MS) / 2;
    s->relay = strcmp(origin, r->o.region) != 0;
    size_t n = strlen(origin) + 1 + strlen(peer->name) + 1;
    char *names = arena_alloc(&s->arena, n);
    if (names)
        snprintf(names, n, "%s%c%s", origin, 0, peer->name);
    s->origin = names;
    int rc = ERR_NOMEM;
    if (names)
        rc = filter_make(s, t, peer);
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
