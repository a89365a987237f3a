// SPDX-License-Identifier: Apache-2.0
// net/http without a socket: forms, escapes, headers, and the driver that other rooms' tests use.
#include "net/http_test.h"

#include "base/err.h"
#include "net/refuse.h"
#include "tests/support/check_main.h"

#include <string.h>

START_TEST(test_forms)
{
    struct http_request *r =
        http_request_test_new("GET", "/p?a=1&b=x+y%2fz&a=2&bad=%zz&nul=%00&%61=3&flag", "h");
    ck_assert_str_eq(r->path, "/p");
    ck_assert_str_eq(http_query_get(r, "a", 0), "1");
    ck_assert_str_eq(http_query_get(r, "a", 1), "2");
    ck_assert_str_eq(http_query_get(r, "a", 2), "3");
    ck_assert_ptr_null(http_query_get(r, "a", 3));
    ck_assert_str_eq(http_query_get(r, "b", 0), "x y/z");
    ck_assert_str_eq(http_query_get(r, "flag", 0), "");
    ck_assert_ptr_null(http_query_get(r, "bad", 0));
    ck_assert_ptr_null(http_query_get(r, "nul", 0));
    ck_assert_ptr_null(http_query_get(r, "none", 0));
    ck_assert_ptr_null(http_form_get(r, (struct bytes){0}, "a", 0));
    ck_assert_str_eq(http_path_decode(&r->arena, "a%2Bb+c", 7), "a+b+c");
    ck_assert_ptr_null(http_path_decode(&r->arena, "a%2", 3));
    ck_assert_ptr_null(http_path_decode(&r->arena, "a%00", 4));
    http_request_test_free(r);
}
END_TEST

START_TEST(test_headers)
{
    struct http_request *r = http_request_test_new("PATCH", "/", "Host.example");
    struct http_response resp = {0};
    http_request_test_header(r, "X-One", "1");
    ck_assert_str_eq(http_header_get(r, "x-one"), "1");
    ck_assert_str_eq(r->host, "Host.example");
    ck_assert_int_eq(r->method, HTTP_PATCH);
    ck_assert_int_eq(http_response_header(r, &resp, "A", "b\r\nSet-Cookie: x"), ERR_INVAL);
    ck_assert_int_eq(http_response_header(r, &resp, "A B", "b"), ERR_INVAL);
    ck_assert_int_eq(http_response_header(r, &resp, "A", "%d", 5), 0);
    ck_assert_str_eq(http_response_get(&resp, "a"), "5");
    ck_assert(http_token_ok("a-z!"));
    ck_assert(!http_token_ok(""));
    ck_assert(!http_token_ok("a b"));
    http_refuse(r, &resp, 404, REFUSED_NOT_FOUND, "no %s", "blob");
    ck_assert_int_eq(resp.status, 404);
    ck_assert_str_eq(http_response_get(&resp, "Content-Type"), "text/plain; charset=utf-8");
    ck_assert(bytes_equal(resp.body, bytes_str("NOT_FOUND: no blob\n")));
    http_request_test_free(r);
}
END_TEST

static size_t sunk, pieces, dones;
static int sink_write(struct http_request *req, const uint8_t *p, size_t n)
{
    (void)req, (void)p;
    sunk += n;
    pieces++;
    return 0;
}
static const struct http_sink sink = {sink_write};
static void run(struct http_request *req, struct http_response *resp)
{
    (void)http_response_text(req, resp, 201, "%zu %zu", sunk, req->body.n);
}
static void done(struct http_request *req)
{
    (void)req;
    dones++;
}
static void begin(void *ctx, struct http_request *req, struct http_plan *plan)
{
    *plan = (struct http_plan){
        .kind = *(enum http_plan_kind *)ctx, .run = run, .done = done, .sink = &sink};
    plan->body_max = 100000;
    (void)req;
}

START_TEST(test_driver)
{
    enum http_plan_kind kind = HTTP_PLAN_STREAM;
    struct http_app app = {.begin = begin, .ctx = &kind};
    static uint8_t big[100001];
    struct http_request *r = http_request_test_new("PUT", "/", "h");
    struct http_response resp;
    http_request_test_body(r, big, 100000);
    http_app_test_run(&app, r, 999, &resp);
    ck_assert_int_eq(resp.status, 201);
    ck_assert_uint_eq(sunk, 100000);
    ck_assert_uint_eq(pieces, 101);
    kind = HTTP_PLAN_COLLECT;
    http_request_test_body(r, big, 100001);
    http_app_test_run(&app, r, 999, &resp);
    ck_assert_int_eq(resp.status, 413);
    ck_assert_uint_eq(dones, 2);
    http_request_test_free(r);
}
END_TEST

CHECK_MAIN("net/http_request", test_forms, test_headers, test_driver)
