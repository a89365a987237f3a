// SPDX-License-Identifier: Apache-2.0
// The routes of the peer listener under /control; see fleet.h. begin runs on HTTP threads: it routes.
// What takes long runs on the pool, and an answer that a request's arena does not hold is pulled from
// memory of its own.
#include "fleet/fleet_priv.h"

#include "base/err.h"
#include "base/mem.h"
#include "net/refuse.h"

#include <string.h>

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
    struct fleet *fl = req->ctx;
    AUTO_BUF struct buf text;
    buf_init(&text, REPORT_MAX_BYTES);
    json_t *doc = fleet_report_json(fl);
    int rc = ERR_NOMEM;
    if (doc)
        rc = json_dump_callback(doc, json_add, &text, JSON_COMPACT);
    json_decref(doc);
    if (!rc)
        rc = fleet_answer_text(resp, "application/json", &text);
    if (rc)
        serve_refuse(req, resp, 503, "the report cannot be made now");
}

static const struct fleet_route {
    enum http_method method;
    const char *path;
    void (*run)(struct http_request *req, struct http_response *resp);
} routes[] = {
    {HTTP_GET, FLEET_REPORT_PATH, report_run},
};

void fleet_begin(struct fleet *fl, struct http_request *req, const struct region *peer,
                 struct http_plan *plan)
{
    plan->kind = HTTP_PLAN_REPLY;
    if (!fl || req->listener != LISTENER_PEER || !peer) {
        serve_refuse(req, &plan->response, 404, "nothing is served under this path here");
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (strcmp(routes[i].path, req->path) != 0 || routes[i].method != req->method)
            continue;
        *plan = (struct http_plan){
            .kind = HTTP_PLAN_RUN, .run = routes[i].run, .ctx = fl, .for_answer = true};
        return;
    }
    serve_refuse(req, &plan->response, 404, "no such call between regions");
}
