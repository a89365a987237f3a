// SPDX-License-Identifier: Apache-2.0
// registry/limits: beyond a limit 429 with a true Retry-After, of every class and scope, before any
// work; an upload in progress is as it was and goes on.
#include "tests/unit/registry/registry_fixture.h"

#define APP "/v2/team/app"

static void up(void)
{
    world_rates = (struct rates){0};
    world_throttle = throttle_new();
    ck_assert_ptr_nonnull(world_throttle);
    world_up();
}

static void down(void)
{
    world_down();
    throttle_free(take_ptr(world_throttle));
    world_rates = (struct rates){0};
}

// Status, and Retry-After or 0.
static int ask(const char *method, const char *target, const char *token, const char *client,
               unsigned *out_retry)
{
    struct exchange x = {.req = request_make(method, target, REGIONAL, token)};
    if (client)
        ck_assert_int_eq(ip_parse(client, &x.req->client), 0);
    http_app_test_run(&world_app, x.req, 0, &x.resp);
    *out_retry = (unsigned)strtoul(header_of(&x, "Retry-After"), NULL, 10);
    if (x.resp.status == 429)
        ck_assert(body_has(&x, "TOOMANYREQUESTS"));
    return status_of(x);
}

START_TEST(each_class_has_a_limit_of_its_own)
{
    up();
    char *token_all = token_make("[{\"type\":\"repository\",\"name\":\"team/app\",\"actions\":"
                                 "[\"pull\",\"push\",\"delete\"]}]");
    const struct {
        enum request_class class;
        const char *method, *target;
        int status;
    } rows[] = {
        {REQUEST_READ, "GET", APP "/manifests/absent", 404},
        {REQUEST_READ, "HEAD", APP "/manifests/absent", 404},
        {REQUEST_READ, "HEAD", APP "/blobs/" EMPTY_DIGEST, 404},
        {REQUEST_READ, "GET", "/v2/", 200},
        {REQUEST_LIST, "GET", APP "/tags/list", 404},
        {REQUEST_LIST, "GET", APP "/referrers/" EMPTY_DIGEST, 200},
        {REQUEST_WRITE, "POST", APP "/blobs/uploads/", 202},
        {REQUEST_DELETE, "DELETE", APP "/manifests/absent", 404},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned retry;
        clock_virtual_advance(60000); // all buckets are full again
        world_rates = (struct rates){0};
        world_rates.per_minute[RATE_IDENTITY][rows[i].class] = 3;
        for (unsigned k = 0; k < 3; k++)
            ck_assert_int_eq(ask(rows[i].method, rows[i].target, token_all, NULL, &retry),
                             rows[i].status);
        ck_assert_int_eq(ask(rows[i].method, rows[i].target, token_all, NULL, &retry), 429);
        ck_assert_uint_eq(retry, 20);
        clock_virtual_advance(19999);
        ck_assert_int_eq(ask(rows[i].method, rows[i].target, token_all, NULL, &retry), 429);
        ck_assert_uint_eq(retry, 1);
        clock_virtual_advance(1);
        ck_assert_int_eq(ask(rows[i].method, rows[i].target, token_all, NULL, &retry),
                         rows[i].status);
    }
    free(token_all);
    down();
}
END_TEST

START_TEST(each_scope_counts_whom_it_says)
{
    up();
    unsigned retry;
    const char *target = APP "/manifests/absent";
    world_rates.per_minute[RATE_NETWORK][REQUEST_READ] = 1;
    ck_assert_int_eq(ask("GET", target, token_pull, "10.0.0.1", &retry), 404);
    ck_assert_int_eq(ask("GET", target, token_push, "10.0.0.2", &retry), 429);
    ck_assert_uint_eq(retry, 60);
    ck_assert_int_eq(ask("GET", target, token_push, "10.0.1.2", &retry), 404);
    // who is not admitted takes nothing, and learns nothing of limits
    for (unsigned i = 0; i < 10; i++)
        ck_assert_int_eq(ask("GET", target, "bad", "10.0.2.2", &retry), 401);
    ck_assert_int_eq(ask("GET", target, token_pull, "10.0.2.2", &retry), 404);
    world_rates = (struct rates){.per_minute[RATE_REGISTRY][REQUEST_READ] = 2};
    ck_assert_int_eq(ask("GET", target, token_pull, "10.0.3.1", &retry), 404);
    ck_assert_int_eq(ask("GET", target, token_pull, "10.0.4.1", &retry), 404);
    ck_assert_int_eq(ask("GET", target, token_pull, "10.0.5.1", &retry), 429);
    ck_assert_int_eq(ask("GET", APP "/tags/list", token_pull, "10.0.5.1", &retry), 404);
    down();
}
END_TEST

START_TEST(an_upload_in_progress_goes_on_after_the_wait)
{
    up();
    char digest[DIGEST_TEXT_SIZE];
    digest_text("hello world", 11, digest);
    AUTO_FREE char *at = upload_start("team/app");
    ck_assert_int_eq(status_of(send_body("PATCH", at, "hello", 5)), 202);
    world_rates.per_minute[RATE_IDENTITY][REQUEST_WRITE] = 1;
    struct exchange x = send_plain("GET", at); // takes the one token
    ck_assert_int_eq(x.resp.status, 204);
    exchange_end(&x);
    x = send_with("PATCH", at, REGIONAL, token_push, "Content-Range", "5-10", " world", 6, 3);
    ck_assert_int_eq(x.resp.status, 429);
    ck_assert_str_eq(header_of(&x, "Retry-After"), "60");
    exchange_end(&x);
    clock_virtual_advance(60000);
    // not a byte of the refused piece was taken
    ck_assert_int_eq(status_of(send_with("PATCH", at, REGIONAL, token_push, "Content-Range", "5-10",
                                         " world", 6, 3)),
                     202);
    AUTO_FREE char *end = mem_printf("%s?digest=%s", at, digest);
    ck_assert_int_eq(status_of(send_plain("PUT", end)), 429);
    clock_virtual_advance(60000);
    ck_assert_int_eq(status_of(send_plain("PUT", end)), 201);
    down();
}
END_TEST

CHECK_MAIN("registry/limits", each_class_has_a_limit_of_its_own, each_scope_counts_whom_it_says,
           an_upload_in_progress_goes_on_after_the_wait)
