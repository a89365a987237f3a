// SPDX-License-Identifier: Apache-2.0
// What a worker does that has yielded; see late.h. begin runs on HTTP threads, late_run on the
// pool: it waits for the successor, which may have to open the store first. Rooms that are the
// successor's by then are not touched.
#include "daemon/late.h"

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/refuse.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ANSWER_MS 60000
#define HEADERS_MAX 128

struct late { // of one request; hangs off its arena
    struct app *app;
    enum http_listener listener;
    struct ip client;
};

// ---- to the successor ----

struct lines {
    struct http_request *req;
    const char *text[HEADERS_MAX];
    size_t n;
    bool nomem;
};

static void line(struct lines *l, const char *name, const char *value)
{
    if (l->n == HEADERS_MAX)
        l->nomem = true;
    if (l->nomem)
        return;
    l->text[l->n] = arena_printf(&l->req->arena, "%s: %s", name, value);
    l->nomem = !l->text[l->n++];
}

// RFC 9110 section 7.6.1, and what the client library sets itself
static bool of_connection(const char *name)
{
    static const char *const names[] = {"Connection", "Content-Length",    "Expect",  "Keep-Alive",
                                        "TE",         "Transfer-Encoding", "Trailer", "Upgrade"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (!strcasecmp(name, names[i]))
            return true;
    return false;
}

static void lines_make(struct lines *l, const struct late *late)
{
    static const char *const silent[] = {"Accept", "Content-Type", "Expect",
                                         "User-Agent"}; // the library would add them
    struct http_request *req = l->req;
    char ip[IP_TEXT_SIZE];
    for (const struct http_header *h = req->headers; h; h = h->next)
        if (!of_connection(h->name))
            line(l, h->name, h->value);
    for (size_t i = 0; i < ARRAY_LEN(silent); i++)
        if (!http_header_get(req, silent[i]))
            line(l, silent[i], "");
    line(l, EDGE_HEADER_CLIENT, ip_format(&late->client, ip));
    if (req->peer_cert)
        line(l, EDGE_HEADER_PEER_CERT, req->peer_cert);
    if (req->private_endpoint && late->listener == LISTENER_PUBLIC)
        line(l, EDGE_HEADER_PRIVATE, req->private_endpoint);
}

// A HEAD is asked as a GET: this server leaves the body out, and knows how long it would be.
static int ask(const struct late *late, struct http_request *req, struct fetch_result *out)
{
    struct app *app = late->app;
    struct lines l = {.req = req};
    lines_make(&l, late);
    const char *url = arena_printf(&req->arena, "http://successor%s%s%s", req->path,
                                   *req->query ? "?" : "", req->query);
    if (!url || l.nomem)
        return ERR_NOMEM;
    const char *method = req->method_text, *to = app->paths->public_sock;
    if (req->method == HTTP_HEAD)
        method = "GET";
    if (late->listener == LISTENER_PEER)
        to = app->paths->peer_sock;
    const struct fetch_request q = {.method = method,
                                    .url = url,
                                    .unix_socket = to,
                                    .headers = l.text,
                                    .n_headers = l.n,
                                    .body = req->body,
                                    .timeout_ms = ANSWER_MS,
                                    .max_bytes = app->node->manifest_max_bytes + (1u << 20),
                                    .fresh_connection = true};
    return fetch_run(app->fetcher, &q, out);
}

// ---- its answer ----

static bool ours_to_say(const char *name) // framing, and what app_finish adds to every answer
{
    static const char *const names[] = {
        "connection",        "content-length",    "date",
        "keep-alive",        "transfer-encoding", "x-accel-redirect",
        "x-meridian-region", "x-meridian-stamp",  "x-meridian-request-id"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (!strcasecmp(name, names[i]))
            return true;
    return false;
}

static int headers_copy(struct http_request *req, const char *text, struct http_response *resp)
{
    int rc = 0;
    for (const char *p = text, *end; !rc && *p; p = end) {
        const char *nl = strchr(p, '\n'), *colon = strstr(p, ": ");
        if (nl)
            end = nl + 1;
        else
            end = p + strlen(p);
        if (!colon || colon > end)
            continue;
        const char *name = arena_strndup(&req->arena, p, (size_t)(colon - p));
        const char *value =
            arena_strndup(&req->arena, colon + 2, (size_t)(end - colon - 2 - (nl != NULL)));
        if (!name || !value)
            return ERR_NOMEM;
        if (!ours_to_say(name))
            rc = http_response_header(req, resp, name, "%s", value);
    }
    return rc;
}

static int answer_copy(struct http_request *req, const struct fetch_result *r,
                       struct http_response *resp)
{
    char accel[1024];
    req->arena.max_bytes += r->body.n + r->headers.n; // bounded by what was fetched
    int rc = headers_copy(req, buf_cstr((struct buf *)&r->headers), resp);
    if (rc)
        return rc;
    if (fetch_result_header(r, "X-Accel-Redirect", accel, sizeof accel)) {
        const char *path = arena_strdup(&req->arena, accel);
        http_response_accel(resp, r->status, path);
        if (path)
            return 0;
        return ERR_NOMEM;
    }
    const void *body = arena_copy(&req->arena, r->body.p, r->body.n);
    http_response_bytes(resp, r->status, NULL, bytes_of(body, r->body.n));
    if (body || !r->body.n)
        return 0;
    return ERR_NOMEM;
}

static void not_answered(const struct late *late, struct http_request *req,
                         struct http_response *resp, const char *why)
{
    static struct log_limit limit = LOG_LIMIT(5000);
    log_limited(&limit, LOG_WARN,
                "daemon: restart: %s %s could not be handed to the new worker: %s",
                req->method_text, req->path, why);
    *resp = (struct http_response){0};
    http_refuse(req, resp, 503, REFUSED_UNAVAILABLE, "region %s is being restarted: try again",
                late->app->node->region);
    (void)http_response_header(req, resp, "Retry-After", "1");
}

static void pass_on(const struct late *late, struct http_request *req, struct http_response *resp)
{
    struct fetch_result r;
    memset(&r, 0, sizeof r);
    int rc = ask(late, req, &r);
    if (!rc)
        rc = answer_copy(req, &r, resp);
    if (rc)
        not_answered(late, req, resp, r.err ? r.message : err_text(rc));
    fetch_result_done(&r);
}

void late_run(void *ctx, struct http_request *req, struct http_response *resp)
{
    const struct late late = {ctx, req->listener, req->client};
    pass_on(&late, req, resp);
}

// ---- plans ----

static void run(struct http_request *req, struct http_response *resp)
{
    pass_on(req->ctx, req, resp);
}

static void begin_any(struct app *app, struct http_request *req, struct http_plan *plan,
                      void (*begin)(void *, struct http_request *, struct http_plan *))
{
    struct late *late = arena_alloc(&req->arena, sizeof *late);
    const char *base = "/replication/v1/feed";
    if (late)
        *late = (struct late){app, req->listener, req->client};
    if (begin)
        begin(app, req, plan);
    if (begin && (plan->kind == HTTP_PLAN_REPLY || plan->goes_on))
        return;
    *plan = (struct http_plan){.kind = HTTP_PLAN_REPLY};
    if (!late || !strcmp(req->path, base)) { // a stream without end: its reader finds the successor
        http_refuse(req, &plan->response, 503, REFUSED_UNAVAILABLE,
                    "region %s is being restarted: try again", app->node->region);
        return;
    }
    *plan = (struct http_plan){.kind = HTTP_PLAN_COLLECT,
                               .body_max = app->node->manifest_max_bytes,
                               .run = run,
                               .ctx = late,
                               .pool = app->late_pool};
}

// What the registry or the token service plan without a word to others, and can answer or carry on
// here.
static bool judged_here(const struct http_request *req)
{
    static const char *const begins[] = {"/v2/", "/registry/", "/oauth2/"};
    for (size_t i = 0; i < ARRAY_LEN(begins); i++)
        if (!strncmp(req->path, begins[i], strlen(begins[i])))
            return true;
    return false;
}

void late_begin_public(void *app, struct http_request *req, struct http_plan *plan)
{
    begin_any(app, req, plan, judged_here(req) ? app_begin_public : NULL);
}

void late_begin_peer(void *app, struct http_request *req, struct http_plan *plan)
{
    bool passed = http_header_get(req, EDGE_HEADER_PASSED);
    begin_any(app, req, plan, passed && judged_here(req) ? app_begin_peer : NULL);
}
