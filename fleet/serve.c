// SPDX-License-Identifier: Apache-2.0
// The routes of the peer listener under /control; see fleet.h. begin runs on HTTP threads: it routes.
// What takes long runs on the pool, and an answer that a request's arena does not hold is pulled from
// memory of its own.
#include "fleet/fleet_priv.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/topology_control.h"
#include "control/feed.h"
#include "control/request.h"
#include "net/refuse.h"

#include <string.h>

#define TO_WRITER_MS 30000

struct whole { // an answer that is there as a whole
    struct buf text;
    size_t at;
};

static ssize_t whole_read(void *ctx, struct http_stream *s, uint8_t *to, size_t cap)
{
    (void)s;
    struct whole *w = ctx;
    size_t n = w->text.n - w->at;
    if (n > cap)
        n = cap;
    if (!n)
        return HTTP_STREAM_END;
    memcpy(to, w->text.p + w->at, n);
    w->at += n;
    return (ssize_t)n;
}

static void whole_close(void *ctx)
{
    struct whole *w = ctx;
    buf_done(&w->text);
    free(w);
}

static const struct http_stream_ops whole_ops = {.read = whole_read, .close = whole_close};

int fleet_answer_text(struct http_response *resp, const char *content_type, struct buf *text)
{
    struct whole *w = mem_zalloc(sizeof *w);
    if (!w)
        return ERR_NOMEM;
    w->text = *text;
    int rc = http_response_stream(resp, 200, content_type, &whole_ops, w, NULL);
    if (rc) {
        free(w);
        return rc;
    }
    memset(text, 0, sizeof *text);
    return 0;
}

static int json_add(const char *p, size_t n, void *ctx)
{
    struct buf *b = ctx;
    buf_add(b, p, n);
    return b->err;
}

static void report_run(struct http_request *req, struct http_response *resp)
{
    const struct peer_call *call = req->ctx;
    AUTO_BUF struct buf text;
    buf_init(&text, REPORT_MAX_BYTES);
    json_t *doc = fleet_report_json(call->fl);
    int rc = ERR_NOMEM;
    if (doc)
        rc = json_dump_callback(doc, json_add, &text, JSON_COMPACT);
    json_decref(doc);
    if (!rc)
        rc = fleet_answer_text(resp, "application/json", &text);
    if (rc)
        serve_refuse(req, resp, 503, "the report cannot be made now");
}

// Who asks also says where it stands: so a region learns of a later place than its own.
static void place_run(struct http_request *req, struct http_response *resp)
{
    const struct peer_call *call = req->ctx;
    const char *at = http_query_get(req, "at", 0);
    struct control_place theirs;
    if (at && control_place_parse(at, strlen(at), &theirs) == 0)
        fleet_heard(call->fl, call->region, &theirs);
    struct control_view v;
    char hex[2 * SHA256_BYTES + 1];
    control_feed_view(call->fl->o.feed, &v);
    hex_format(v.place.hash, sizeof v.place.hash, hex);
    json_t *doc = json_pack("{s:I, s:I, s:s, s:s, s:b, s:b}", "epoch", (json_int_t)v.place.epoch,
                            "seq", (json_int_t)v.place.seq, "hash", hex, "writer", v.writer,
                            "writes", v.we_write, "confirmed", v.confirmed);
    control_view_done(&v);
    serve_json(req, resp, doc);
}

// An operator's request that a region hands on. Its signature says who asks, not the region.
static void request_run(struct http_request *req, struct http_response *resp)
{
    const struct peer_call *call = req->ctx;
    const struct fleet_hooks *h = &call->fl->o.hooks;
    struct fleet_answer a = {.status = 0};
    buf_init(&a.body, FLEET_ANSWER_MAX_BYTES);
    if (!h->request) {
        serve_refuse(req, resp, 503, "this region takes no requests of operators");
        return;
    }
    h->request(h->ctx, call->region, req->body, &a);
    int status = a.status;
    int rc = ERR_PROTO;
    if (status >= 200 && status < 600 && !a.body.err)
        rc = fleet_answer_text(resp, "application/json", &a.body);
    if (rc)
        serve_refuse(req, resp, 503, "the answer to the request cannot be given");
    else
        resp->status = status;
    fleet_answer_done(&a);
}

void fleet_answer_done(struct fleet_answer *a)
{
    buf_done(&a->body);
}

static const struct fleet_route {
    enum http_method method;
    const char *path;
    void (*run)(struct http_request *req, struct http_response *resp);
    // there is a feed, or nothing is served here
    bool feed;
    // of the request; 0: none is taken
    size_t body_max;
} routes[] = {
    {HTTP_GET, FLEET_REPORT_PATH, report_run, false, 0},
    {HTTP_GET, FLEET_FEED_PATH, fleet_feed_run, true, 0},
    {HTTP_GET, FLEET_BASE_PATH, fleet_base_run, true, 0},
    {HTTP_GET, FLEET_PLACE_PATH, place_run, true, 0},
    {HTTP_POST, FLEET_REQUESTS_PATH, request_run, true, CONTROL_ENVELOPE_MAX_BYTES},
};

static void plan_fill(struct fleet *fl, const struct fleet_route *r, struct http_request *req,
                      const struct region *peer, struct http_plan *plan)
{
    struct peer_call *call = arena_alloc(&req->arena, sizeof *call);
    // the topology may be gone when this runs
    const char *region = arena_strdup(&req->arena, peer->name);
    if (!call || !region) {
        serve_refuse(req, &plan->response, 503, "out of memory");
        return;
    }
    *call = (struct peer_call){fl, region};
    *plan = (struct http_plan){.kind = HTTP_PLAN_RUN, .run = r->run, .ctx = call};
    if (r->body_max) {
        plan->kind = HTTP_PLAN_COLLECT;
        plan->body_max = r->body_max;
    }
}

void fleet_begin(struct fleet *fl, struct http_request *req, const struct region *peer,
                 struct http_plan *plan)
{
    plan->kind = HTTP_PLAN_REPLY;
    if (!fl || req->listener != LISTENER_PEER || !peer) {
        serve_refuse(req, &plan->response, 404, "nothing is served under this path here");
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        const struct fleet_route *r = &routes[i];
        if (strcmp(r->path, req->path) != 0 || r->method != req->method)
            continue;
        if (r->feed && !fl->o.feed)
            serve_refuse(req, &plan->response, 404,
                         "this node takes its topology from files: it carries no control feed");
        else
            plan_fill(fl, r, req, peer, plan);
        return;
    }
    serve_refuse(req, &plan->response, 404, "no such call between regions");
}

// ---- the other way: to the writer ----

static int writer_of(struct fleet *fl, const struct topology *t, struct diag *diag,
                     const struct region **out)
{
    const struct region *writer = NULL;
    if (t)
        writer = topology_writer(t);
    if (!writer) {
        diag_add(diag, NULL, 0, "the topology names no region that writes changes");
        return ERR_NOTFOUND;
    }
    if (strcmp(writer->name, fl->o.region) == 0)
        return ERR_EXISTS;
    *out = writer;
    return 0;
}

static int send_to(struct fleet *fl, const struct topology *t, const struct region *writer,
                   struct bytes envelope, struct diag *diag, struct fleet_answer *out)
{
    static const char *const headers[] = {"Content-Type: application/json"};
    struct fleet_call call;
    struct fetch_result r = {.err = 0};
    int rc = fleet_call_make(&fl->caller, t, writer->name, FLEET_REQUESTS_PATH, &call);
    if (rc)
        return rc;
    call.q.method = "POST";
    call.q.body = envelope;
    call.q.headers = headers;
    call.q.n_headers = 1;
    call.q.timeout_ms = TO_WRITER_MS;
    call.q.max_bytes = FLEET_ANSWER_MAX_BYTES;
    rc = fetch_run(fl->o.fetcher, &call.q, &r);
    if (rc)
        diag_add(diag, NULL, 0, "the writer region %s cannot be asked: %s", writer->name,
                 *r.message ? r.message : err_text(rc));
    else {
        out->status = r.status;
        out->body = r.body;
        memset(&r.body, 0, sizeof r.body);
    }
    fetch_result_done(&r);
    return rc;
}

int fleet_to_writer(struct fleet *fl, struct bytes envelope, struct diag *diag,
                    struct fleet_answer *out)
{
    struct topology *t = snapshot_get(fl->o.topology);
    const struct region *writer = NULL;
    int rc = writer_of(fl, t, diag, &writer);
    if (!rc)
        rc = send_to(fl, t, writer, envelope, diag, out);
    snapshot_unref(t);
    return rc;
}
