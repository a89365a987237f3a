// SPDX-License-Identifier: Apache-2.0
// daemon/late: what still comes to a worker that has yielded is asked of its successor, here a
// server on the socket that both know, as it came; and its answer comes back whole.
#include "daemon/late.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "net/http_test.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct node node = {.region = "eastus", .stamp = "eus-1", .manifest_max_bytes = 65536};
static struct paths paths;
static struct vitals vitals;
static struct snapshot topology;
static struct app app = {.node = &node, .paths = &paths, .vitals = &vitals, .topology = &topology};
static struct pool *pool;
static struct http_server *successor, *successor_peer;
static char dir[64];

// ---- the successor: says what it was asked ----

static void echo(struct http_request *req, struct http_response *resp)
{
    char ip[IP_TEXT_SIZE];
    const char *auth = http_header_get(req, "Authorization"),
               *type = http_header_get(req, "Content-Type");
    const char *agent = http_header_get(req, "User-Agent"),
               *expect = http_header_get(req, "Expect");
    (void)http_response_header(req, resp, "Docker-Content-Digest", "sha256:abc");
    (void)http_response_header(req, resp, "Warning", "one");
    (void)http_response_header(req, resp, "Warning", "two");
    (void)http_response_header(req, resp, "X-Meridian-Region", "successor");
    if (strstr(req->path, "/blobs/")) {
        http_response_accel(resp, 200, "/_blob/sha256/ab/abcd");
        return;
    }
    (void)http_response_text(
        req, resp, 201, "%s %s?%s host=%s client=%s auth=%s type=%s agent=%s expect=%s body=%.*s",
        req->method_text, req->path, req->query, req->host, ip_format(&req->client, ip),
        auth ? auth : "-", type ? type : "-", agent ? agent : "-", expect ? expect : "-",
        (int)req->body.n, (const char *)req->body.p);
}

static void begin(void *ctx, struct http_request *req, struct http_plan *plan)
{
    (void)ctx, (void)req;
    *plan = (struct http_plan){.kind = HTTP_PLAN_COLLECT, .body_max = 100000, .run = echo};
}

static struct http_server *serve(const char *path, enum http_listener listener)
{
    const struct http_app http = {.begin = begin};
    const struct http_server_options o = {.socket_path = path,
                                          .socket_mode = 0600,
                                          .socket_gid = -1,
                                          .listener = listener,
                                          .pool = pool};
    struct http_server *s;
    ck_assert_int_eq(http_server_start(&o, &http, &s), 0);
    return s;
}

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/meridian-late-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(paths.public_sock, sizeof paths.public_sock, "%s/public", dir);
    snprintf(paths.peer_sock, sizeof paths.peer_sock, "%s/peer", dir);
    snapshot_init(&topology);
    pool = pool_new(&(struct pool_options){.name = "t", .n_threads = 2, .max_waiting = 16});
    ck_assert_int_eq(fetcher_new(&app.fetcher), 0);
}

static void teardown(void)
{
    http_server_stop(successor, 100);
    http_server_stop(successor_peer, 100);
    fetcher_free(app.fetcher);
    pool_free(pool);
    snapshot_done(&topology);
    ck_assert_int_eq(dir_remove_tree(dir), 0);
}

// ---- the forerunner ----

static struct http_request *request(const char *method, const char *target, const char *body)
{
    struct http_request *req =
        http_request_test_new(method, target, "contoso.eastus.geo.example.io");
    http_request_test_header(req, "Authorization", "Bearer abc");
    http_request_test_header(req, "Connection", "keep-alive");
    http_request_test_header(req, "Transfer-Encoding", "chunked");
    req->listener = LISTENER_PUBLIC;
    ck_assert_int_eq(ip_parse("203.0.113.7", &req->client), 0);
    if (body)
        http_request_test_body(req, body, strlen(body));
    return req;
}

static void expect_text(const struct http_response *resp, int status, const char *text)
{
    ck_assert_int_eq(resp->status, status);
    ck_assert_msg(resp->body.n == strlen(text) && !memcmp(resp->body.p, text, resp->body.n), "%.*s",
                  (int)resp->body.n, (const char *)resp->body.p);
}

static size_t count(const struct http_response *resp, const char *name)
{
    size_t n = 0;
    for (const struct http_header *h = resp->headers; h; h = h->next)
        n += !strcasecmp(h->name, name);
    return n;
}

START_TEST(a_request_is_asked_as_it_came)
{
    setup();
    successor = serve(paths.public_sock, LISTENER_PUBLIC);
    struct http_request *req = request("PUT", "/v2/app/manifests/1?x=%2F&y", "{}");
    http_request_test_header(req, "Content-Type", "application/json");
    struct http_response resp = {0};
    late_run(&app, req, &resp);
    expect_text(&resp, 201,
                "PUT /v2/app/manifests/1?x=%2F&y host=contoso.eastus.geo.example.io "
                "client=203.0.113.7 auth=Bearer abc "
                "type=application/json agent=- expect=- body={}");
    ck_assert_str_eq(http_response_get(&resp, "Docker-Content-Digest"), "sha256:abc");
    ck_assert_uint_eq(count(&resp, "Warning"), 2);
    ck_assert_uint_eq(
        count(&resp, "Content-Length") + count(&resp, "Connection") + count(&resp, "Date"), 0);
    ck_assert_ptr_null(http_response_get(&resp, "X-Meridian-Region")); // app_finish says it, once
    http_request_test_free(req);
    teardown();
}
END_TEST

START_TEST(what_the_edge_serves_is_the_edges)
{
    setup();
    successor = serve(paths.public_sock, LISTENER_PUBLIC);
    struct http_request *req = request("HEAD", "/v2/app/blobs/sha256:abc", NULL);
    struct http_response resp = {0};
    late_run(&app, req, &resp);
    ck_assert_int_eq(resp.kind, HTTP_ACCEL);
    ck_assert_str_eq(resp.accel, "/_blob/sha256/ab/abcd");
    ck_assert_uint_eq(count(&resp, "X-Accel-Redirect"), 0);
    http_request_test_free(req);
    req = request("HEAD", "/v2/app/manifests/1", NULL); // asked as GET: its length is known then
    resp = (struct http_response){0};
    late_run(&app, req, &resp);
    ck_assert_int_eq(resp.status, 201);
    ck_assert(resp.body.n > 4 && !memcmp(resp.body.p, "GET ", 4));
    http_request_test_free(req);
    teardown();
}
END_TEST

START_TEST(a_new_request_is_handed_on)
{
    setup();
    successor = serve(paths.public_sock, LISTENER_PUBLIC);
    successor_peer = serve(paths.peer_sock, LISTENER_PEER);
    const struct http_app http = {.begin = late_begin_public, .ctx = &app},
                          peer = {.begin = late_begin_peer, .ctx = &app};
    struct http_request *req = request("GET", "/healthz", NULL);
    struct http_response resp = {0};
    http_app_test_run(&http, req, 1024, &resp);
    ck_assert_int_eq(resp.status, 201);
    http_request_test_free(req);
    req = request("POST", "/health/v1/observations", "seen");
    req->listener = LISTENER_PEER;
    resp = (struct http_response){0};
    http_app_test_run(&peer, req, 1024, &resp);
    ck_assert_int_eq(resp.status, 201);
    ck_assert_ptr_nonnull(memmem(resp.body.p, resp.body.n, "body=seen", 9));
    http_request_test_free(req);
    req = request("GET", "/replication/v1/feed", NULL); // without end: its reader tries again
    req->listener = LISTENER_PEER;
    resp = (struct http_response){0};
    http_app_test_run(&peer, req, 1024, &resp);
    ck_assert_int_eq(resp.status, 503);
    http_request_test_free(req);
    teardown();
}
END_TEST

static void *serve_later(void *arg)
{
    (void)arg;
    clock_sleep_ms(300);
    const struct http_app http = {.begin = begin};
    int fd = *(int *)arg;
    const struct http_server_options o = {
        .listen_fd = fd, .listener = LISTENER_PUBLIC, .pool = pool};
    ck_assert_int_eq(http_server_start(&o, &http, &successor), 0);
    return NULL;
}

START_TEST(the_successor_is_waited_for)
{
    setup();
    int fd;
    pthread_t t;
    ck_assert_int_eq(http_socket_open(paths.public_sock, 0600, (uid_t)-1, (gid_t)-1, &fd), 0);
    ck_assert_int_eq(pthread_create(&t, NULL, serve_later, &fd), 0);
    struct http_request *req = request("GET", "/v2/", NULL);
    struct http_response resp = {0};
    late_run(&app, req, &resp);
    ck_assert_int_eq(resp.status, 201);
    pthread_join(t, NULL);
    http_request_test_free(req);
    teardown();
}
END_TEST

START_TEST(without_one_it_is_said)
{
    setup();
    struct http_request *req = request("GET", "/v2/", NULL);
    struct http_response resp = {0};
    late_run(&app, req, &resp);
    ck_assert_int_eq(resp.status, 503);
    ck_assert_ptr_nonnull(memmem(resp.body.p, resp.body.n, "region eastus is being restarted", 32));
    ck_assert_str_eq(http_response_get(&resp, "Retry-After"), "1");
    http_request_test_free(req);
    teardown();
}
END_TEST

CHECK_MAIN("daemon/late", a_request_is_asked_as_it_came, what_the_edge_serves_is_the_edges,
           a_new_request_is_handed_on, the_successor_is_waited_for, without_one_it_is_said)
