// SPDX-License-Identifier: Apache-2.0
// Requests without a socket, for tests; see http_test.h.
#include "net/http_test.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "net/http_priv.h"

#include <string.h>

struct http_request *http_request_test_new(const char *method, const char *target, const char *host)
{
    struct http_request *req = mem_zalloc(sizeof *req);
    if (!req)
        abort(); // a test without memory has nothing to say
    if (http_request_init(req) || http_request_target(req, target))
        abort();
    req->method_text = arena_strdup(&req->arena, method);
    req->method = http_method_of(method);
    if (host) {
        req->host = arena_strdup(&req->arena, host);
        http_request_test_header(req, "Host", host);
    }
    req->content_length = 0;
    (void)ip_parse("192.0.2.1", &req->client);
    return req;
}

void http_request_test_header(struct http_request *req, const char *name, const char *value)
{
    if (http_request_add_header(req, name, strlen(name), value, strlen(value)))
        abort();
}

void http_request_test_body(struct http_request *req, const void *p, size_t n)
{
    req->body = bytes_of(arena_copy(&req->arena, p, n), n);
    if (n && !req->body.p) { // larger than the arena's ceiling: lives with the request all the same
        req->arena.max_bytes = 0;
        req->body.p = arena_copy(&req->arena, p, n);
        if (!req->body.p)
            abort();
    }
    req->content_length = (int64_t)n;
}

void http_request_test_free(struct http_request *req)
{
    if (!req)
        return;
    arena_done(&req->arena);
    free(req);
}

// As the server: until it is woken, or its time has come.
static void parked_wait(struct http_response *out)
{
    while (!http_parked_woken(out->parked) && clock_mono_ms() < out->parked_until)
        clock_sleep_ms(1);
    http_parked_unref(out->parked);
}

static void test_run_plan(struct http_request *req, struct http_plan *plan, size_t piece,
                          struct http_response *out)
{
    struct bytes body = req->body;
    if (plan->kind != HTTP_PLAN_COLLECT)
        req->body = (struct bytes){0};
    bool limited = plan->kind == HTTP_PLAN_COLLECT || plan->body_max;
    if (plan->kind != HTTP_PLAN_RUN && limited && body.n > plan->body_max) {
        http_refuse_own(req, out, 413);
        return;
    }
    if (plan->kind == HTTP_PLAN_STREAM)
        for (size_t at = 0; at < body.n;) {
            size_t n = piece;
            if (body.n - at < piece || !piece)
                n = body.n - at;
            if (plan->sink->write(req, body.p + at, n))
                break;
            at += n;
        }
    if (plan->kind == HTTP_PLAN_COLLECT && plan->collected)
        plan->collected(req, plan);
    if (plan->kind == HTTP_PLAN_REPLY)
        *out = plan->response;
    else
        plan->run(req, out);
    while (out->again || out->parked) {
        if (out->parked)
            parked_wait(out);
        *out = (struct http_response){0};
        plan->run(req, out);
    }
}

void http_app_test_run(const struct http_app *app, struct http_request *req, size_t piece,
                       struct http_response *out)
{
    struct http_plan plan = {0};
    *out = (struct http_response){0};
    req->words = app->words;
    app->begin(app->ctx, req, &plan);
    req->ctx = plan.ctx;
    if (plan.kind == HTTP_PLAN_REPLY)
        *out = plan.response;
    else
        test_run_plan(req, &plan, piece, out);
    if (app->finish)
        app->finish(app->ctx, req, out);
    if (plan.done)
        plan.done(req);
}

void http_response_test_done(struct http_response *resp)
{
    if (resp->stream_handle)
        http_stream_closed(resp->stream_handle);
    resp->stream_handle = NULL;
}
