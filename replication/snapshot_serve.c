// SPDX-License-Identifier: Apache-2.0
// Serving snapshots; see snapshot_serve.h. Only own entries: what another region wrote is asked of
// that region, whose certificate then vouches that nothing was left out.
#include "replication/snapshot_serve.h"

#include "base/err.h"
#include "replication/cursor.h"
#include "replication/marks.h"
#include "replication/peer.h"
#include "replication/peers.h"
#include "replication/replication_priv.h"
#include "replication/snapshot_page.h"
#include "store/meta_floor.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct snapshot_question {
    struct replicator *r;
    const char *registry;
    // the region that asks
    const char *asker;
    uint64_t topology;
    // the place that was asked for; has_at false: the end of the feed
    bool has_at, first;
    struct feed_mark at;
    struct snapshot_at after;
    // entries of the page
    size_t max;
};

static int place_choose(struct snapshot_question *q)
{
    if (q->has_at)
        return meta_feed_check(q->r->o.meta, q->r->o.region, &q->at);
    return meta_head(q->r->o.meta, q->r->o.region, &q->at);
}

static int head_write(const struct snapshot_question *q, struct buf *out)
{
    struct meta_floor floor;
    struct page_head h = {.origin = q->r->o.region,
                          .registry = q->registry,
                          .at = q->at,
                          .topology = q->topology,
                          .first = q->first};
    int rc = meta_floor_get(q->r->o.meta, q->registry, &floor);
    if (!rc)
        h.floor = floor.cleared;
    if (!rc && q->first)
        rc = meta_registry_head(q->r->o.meta, q->r->o.region, q->registry, &q->at, &h.chain_seq,
                                h.chain_hash);
    if (!rc && q->first)
        rc = meta_snapshot_count(q->r->o.meta, q->r->o.region, q->registry, &q->at, &h.of);
    return rc ? rc : snapshot_head_format(&h, out);
}

static int foot_write(const struct snapshot_page *p, struct buf *out)
{
    char next[SNAPSHOT_NEXT_SIZE] = "";
    int rc = 0;
    if (!p->at_end)
        rc = snapshot_next_format(&p->next, next);
    const struct page_foot f = {.n_entries = p->n, .looked = p->looked, .next = next};
    return rc ? rc : snapshot_foot_format(&f, out);
}

static int page_write(const struct snapshot_question *q, struct arena *a, struct buf *out)
{
    const struct snapshot_ask ask = {.origin = q->r->o.region,
                                     .registry = q->registry,
                                     .upto = q->at,
                                     .after = q->after,
                                     .max = q->max,
                                     .max_bytes = SNAPSHOT_PAGE_BYTES};
    struct snapshot_page p;
    int rc = head_write(q, out);
    if (!rc)
        rc = meta_snapshot_read(q->r->o.meta, &ask, a, &p);
    for (size_t i = 0; !rc && i < p.n; i++)
        rc = entry_format(&p.entries[i], out);
    if (!rc)
        rc = foot_write(&p, out);
    return rc;
}

static int page_answer(struct snapshot_question *q, struct http_request *req,
                       struct http_response *resp)
{
    AUTO_BUF struct buf out;
    struct arena a;
    buf_init(&out, SNAPSHOT_TEXT_MAX);
    int rc = place_choose(q);
    arena_init(&a, 0);
    if (!rc)
        rc = page_write(q, &a, &out);
    arena_done(&a);
    if (rc)
        return rc;
    const char *text = arena_strndup(&req->arena, out.p, out.n);
    if (!text)
        return ERR_NOMEM;
    http_response_bytes(resp, 200, "application/x-ndjson", bytes_of(text, out.n));
    return 0;
}

// The place is none of our log. That may mean that we lost entries: the write gate looks at what the
// asking region has of us, as it does for a cursor of the feed.
static void conflict_answer(const struct snapshot_question *q, struct http_request *req,
                            struct http_response *resp)
{
    char cur[CURSOR_TEXT_SIZE];
    struct feed_mark head = {0};
    json_t *voided = voided_json(q->r, &q->at);
    struct peer *p = peers_find(q->r->peers, q->asker);
    if (!voided && p && !mark_claim_is_settled(peer_claim(p), &q->at))
        mark_want_proof(q->r, p, &q->at);
    meta_head(q->r->o.meta, q->r->o.region, &head);
    json_t *doc = json_pack("{s:s, s:s}", "error", "at: no place of this region's feed", "head",
                            cursor_format(&head, cur));
    if (voided)
        json_object_set_new(doc, "void", voided);
    http_response_json(req, resp, 409, doc);
    http_request_refused(req, "CONFLICT", "at: no place of this region's feed");
}

static void snapshot_run(struct http_request *req, struct http_response *resp)
{
    struct snapshot_question *q = req->ctx;
    int rc = ERR_CLOSED;
    if (life_enter(q->r->life)) {
        rc = page_answer(q, req, resp);
        if (rc == ERR_CONFLICT)
            conflict_answer(q, req, resp);
        life_leave(q->r->life);
    }
    if (rc && rc != ERR_CONFLICT)
        serve_refuse(req, resp, 503, err_text(rc));
}

// NULL: answered.
static struct snapshot_question *question_new(struct replicator *r, struct http_request *req,
                                              const struct topology *t, const struct region *peer,
                                              struct http_plan *plan)
{
    const struct registry *reg = shared_registry(r, t, peer, http_query_get(req, "registry", 0));
    if (!reg) {
        serve_refuse(req, &plan->response, 403, "registry: not one that both regions hold");
        return NULL;
    }
    struct snapshot_question *q = arena_alloc(&req->arena, sizeof *q);
    if (q)
        *q = (struct snapshot_question){.r = r,
                                        .registry = arena_strdup(&req->arena, reg->key),
                                        .asker = arena_strdup(&req->arena, peer->name),
                                        .topology = t->version,
                                        .first = true,
                                        .max = SNAPSHOT_ENTRIES_MAX};
    if (q && q->registry && q->asker)
        return q;
    serve_refuse(req, &plan->response, 503, err_text(ERR_NOMEM));
    return NULL;
}

// Fewer entries than the page would have; what is no number from 1 on is refused.
static bool max_take(const char *text, size_t *out)
{
    size_t n = 0;
    if (!text)
        return true;
    if (!*text || *text == '0' || strlen(text) > 9 || strspn(text, "0123456789") != strlen(text))
        return false;
    n = strtoul(text, NULL, 10);
    if (n < *out)
        *out = n;
    return true;
}

void snapshot_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                    const struct region *peer, struct http_plan *plan)
{
    const char *at = http_query_get(req, "at", 0), *after = http_query_get(req, "after", 0);
    struct snapshot_question *q = question_new(r, req, t, peer, plan);
    if (!q)
        return;
    if (!max_take(http_query_get(req, "max", 0), &q->max)) {
        serve_refuse(req, &plan->response, 400, "max: how many entries?");
        return;
    }
    q->has_at = at != NULL;
    if (at && cursor_parse(at, &q->at)) {
        serve_refuse(req, &plan->response, 400, "at: not a cursor");
        return;
    }
    if (after && *after) {
        q->first = false;
        if (!at || snapshot_next_parse(after, &req->arena, &q->after)) {
            serve_refuse(req, &plan->response, 400,
                         "after: not what an earlier page said, or without its place");
            return;
        }
    }
    // the answer
    if (req->arena.max_bytes)
        req->arena.max_bytes += SNAPSHOT_TEXT_MAX;
    plan->kind = HTTP_PLAN_RUN;
    plan->run = snapshot_run;
    plan->ctx = q;
    plan->pool = r->o.pool;
}
