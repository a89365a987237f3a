// SPDX-License-Identifier: Apache-2.0
// POST /replication/v1/stored: has this region what the asking one has written, on its own disk, with
// all content? For registries whose writes are acknowledged only then (`ack`). It answers as soon as
// it has, or when its time is over: a long poll is a stream that ends with its only line, no thread
// waits, and commits wake it.
//
// Invariants
//   1. "stored" is said only of what a commit of this store holds: losing the asking region then
//      loses nothing of it. A manifest counts when it lives here, with its content, and a tag when its
//      manifest does: not as entries alone. What a later write has ended need not be here.
#include "replication/replication_priv.h"
#include "replication/response_producer.h"
#include "replication/written.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "store/meta_floor.h"
#include "store/meta_manifests.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stored_ask {
    struct replicator *r;
    struct arena arena;
    // the registry's key
    const char *registry, *repository;
    struct written *list;
    size_t n;
    int64_t until_mono;
};

static void stored_free(void *ctx)
{
    struct stored_ask *q = ctx;
    arena_done(&q->arena);
    free(q);
}

// A deletion is here when nothing is, and its tombstone may have been dropped.
static int gone_is_here(struct stored_ask *q, const struct register_value *gone)
{
    struct meta_floor floor;
    int rc = meta_floor_get(q->r->o.meta, q->registry, &floor);
    if (rc)
        return rc;
    return gone->gone && gone->stamp <= floor.floor ? 0 : ERR_NOTFOUND;
}

// The manifest and all that it refers to are here, or it was deleted. ERR_NOTFOUND: neither.
static int manifest_is_here(struct stored_ask *q, struct arena *a, const struct digest *d,
                            const struct register_value *at_least)
{
    struct meta_register here;
    int rc = meta_manifest_register(q->r->o.meta, q->registry, q->repository, d, a, &here);
    if (rc == ERR_NOTFOUND && at_least)
        return gone_is_here(q, at_least);
    if (rc)
        return rc;
    if (at_least && register_order(&here.top, at_least) < 0)
        return ERR_NOTFOUND;
    return here.live || here.top.gone ? 0 : ERR_NOTFOUND;
}

static int tag_is_here(struct stored_ask *q, struct arena *a, const struct written *w)
{
    struct meta_register here;
    int rc = meta_tag_register(q->r->o.meta, q->registry, q->repository, w->tag, a, &here);
    if (rc == ERR_NOTFOUND)
        return gone_is_here(q, &w->value);
    if (rc)
        return rc;
    if (register_order(&here.top, &w->value) < 0)
        return ERR_NOTFOUND;
    if (w->value.gone)
        return 0;
    return manifest_is_here(q, a, &w->value.digest, NULL);
}

// 0: all is here. ERR_NOTFOUND: *out_lacks is not.
static int stored_look(struct stored_ask *q, const struct written **out_lacks)
{
    struct arena a;
    int rc = 0;
    arena_init(&a, 0);
    for (size_t i = 0; !rc && i < q->n; i++) {
        const struct written *w = &q->list[i];
        *out_lacks = w;
        if (w->tag)
            rc = tag_is_here(q, &a, w);
        else
            rc = manifest_is_here(q, &a, &w->manifest, &w->value);
    }
    arena_done(&a);
    return rc;
}

// NULL: no memory.
static json_t *answer_json(const struct written *lacks)
{
    char text[DIGEST_TEXT_SIZE];
    json_t *o = json_pack("{s:b}", "stored", lacks == NULL);
    if (o && lacks && lacks->tag)
        json_object_set_new(o, "lacks", json_sprintf("tag %s", lacks->tag));
    else if (o && lacks)
        json_object_set_new(o, "lacks",
                            json_sprintf("manifest %s", digest_format(&lacks->manifest, text)));
    return o;
}

static bool stored_produce(void *ctx, struct buf *out, bool *out_end)
{
    struct stored_ask *q = ctx;
    const struct written *lacks = NULL;
    int rc = stored_look(q, &lacks);
    *out_end = rc != ERR_NOTFOUND || clock_mono_ms() >= q->until_mono;
    if (!*out_end || (rc && rc != ERR_NOTFOUND)) // cut short: the asker comes again
        return false;
    json_t *o = answer_json(rc ? lacks : NULL);
    char *text = json_dumps(o, JSON_COMPACT);
    if (text)
        buf_str(out, text);
    free(text);
    json_decref(o);
    return false;
}

static const struct response_producer_ops stored_ops = {
    .produce = stored_produce, .free_ctx = stored_free, .buffer_bytes = 8192, .tick_ms = 1000};

static void stored_answer(struct stored_ask *q, struct http_request *req,
                          struct http_response *resp)
{
    const struct written *lacks = NULL;
    int rc = written_parse(req->body, &q->arena, &q->list, &q->n);
    if (rc == ERR_INVAL) {
        serve_refuse(req, resp, 400, "not a list of what was written");
        return;
    }
    if (!rc)
        rc = stored_look(q, &lacks);
    if (rc == ERR_NOTFOUND && clock_mono_ms() < q->until_mono) {
        rc = response_producer_start(q->r, &stored_ops, q, NULL, "application/json", resp);
        if (!rc)
            req->ctx = NULL; // the stream owns it
    } else if (!rc || rc == ERR_NOTFOUND) {
        rc = http_response_json(req, resp, 200, answer_json(rc ? lacks : NULL));
    }
    if (rc)
        serve_refuse(req, resp, 503, err_text(rc));
}

static void stored_run(struct http_request *req, struct http_response *resp)
{
    struct stored_ask *q = req->ctx;
    struct replicator *r = q->r;
    if (!life_enter(r->life)) {
        serve_refuse(req, resp, 503, "stopping");
        return;
    }
    stored_answer(q, req, resp);
    life_leave(r->life);
}

static void stored_done(struct http_request *req)
{
    if (req->ctx)
        stored_free(req->ctx);
}

// -1: not a number of milliseconds that is taken.
static int64_t wait_of(struct http_request *req)
{
    const char *text = http_query_get(req, "wait_ms", 0);
    if (!text)
        return 0;
    if (!*text || strlen(text) > 5 || strspn(text, "0123456789") != strlen(text))
        return -1;
    long ms = strtol(text, NULL, 10);
    return ms <= STORED_WAIT_MAX_MS ? ms : -1;
}

void stored_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                  const struct region *peer, struct http_plan *plan)
{
    const char *repository = http_query_get(req, "repository", 0);
    const struct registry *reg = shared_registry(r, t, peer, http_query_get(req, "registry", 0));
    int64_t wait_ms = wait_of(req);
    plan->kind = HTTP_PLAN_REPLY;
    if (!reg) {
        serve_refuse(req, &plan->response, 403, "registry: not one that both regions hold");
        return;
    }
    if (!repository || !entry_repository_ok(repository) || wait_ms < 0) {
        serve_refuse(req, &plan->response, 400,
                     "repository: a name is needed; wait_ms: a number up to 25000");
        return;
    }
    struct stored_ask *q = mem_zalloc(sizeof *q);
    if (!q) {
        serve_refuse(req, &plan->response, 503, err_text(ERR_NOMEM));
        return;
    }
    q->r = r;
    q->until_mono = clock_mono_ms() + wait_ms;
    arena_init(&q->arena, 256 << 10);
    q->registry = arena_strdup(&q->arena, reg->key);
    q->repository = arena_strdup(&q->arena, repository);
    if (!q->registry || !q->repository) {
        serve_refuse(req, &plan->response, 503, err_text(ERR_NOMEM));
        stored_free(q);
        return;
    }
    plan->kind = HTTP_PLAN_COLLECT;
    plan->body_max = WRITTEN_TEXT_MAX;
    plan->run = stored_run;
    plan->done = stored_done;
    plan->ctx = q;
    plan->pool = r->o.pool;
}
