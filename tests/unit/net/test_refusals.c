// SPDX-License-Identifier: Apache-2.0
// net/refusals: every refused request has its line in the log with id and reason; a flood is
// bounded by network and in all, hides nobody else's line, and is counted; no secret is in a line.
#include "net/refusals.h"

#include "base/clock.h"
#include "base/clock_test.h"
#include "net/http_test.h"
#include "net/refuse.h"
#include "tests/support/check_main.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct ip ip_of(const char *text)
{
    struct ip ip;
    ck_assert_int_eq(ip_parse(text, &ip), 0);
    return ip;
}

static unsigned admitted(struct refusals *r, const char *client, bool ordinary, unsigned n,
                         int64_t now_ms)
{
    struct ip ip = ip_of(client);
    unsigned k = 0;
    for (unsigned i = 0; i < n; i++)
        k += refusals_admit(r, &ip, ordinary, now_ms);
    return k;
}

START_TEST(a_flood_of_one_network_is_bounded_and_counted)
{
    struct refusals *r = refusals_new();
    struct refusals_left_out n;
    ck_assert_uint_eq(admitted(r, "10.0.0.9", false, 1000, 0), REFUSALS_BURST);
    ck_assert_uint_eq(admitted(r, "10.0.0.10", false, 5, 0), 0); // of the same /24
    ck_assert_uint_eq(admitted(r, "10.0.1.9", false, 5, 0), 5);  // another network
    ck_assert_uint_eq(admitted(r, "10.0.0.9", true, 5, 0), 5);   // another account
    ck_assert_uint_eq(admitted(r, "2001:db8:0:100::1", false, 30, 0), REFUSALS_BURST); // a /56
    ck_assert_uint_eq(admitted(r, "2001:db8:0:1ff::1", false, 1, 0), 0);
    ck_assert(refusals_take(r, 0, &n));
    ck_assert_uint_eq(n.n, 1000 - REFUSALS_BURST + 5 + 10 + 1);
    ck_assert_uint_eq(n.n_networks, 2);
    ck_assert_uint_eq(n.n_most, 1000 - REFUSALS_BURST + 5);
    struct ip most = ip_of("10.0.0.0");
    ck_assert(ip_equal(&n.most, &most));
    ck_assert(!refusals_take(r, 1, &n)); // nothing more
    ck_assert_uint_eq(admitted(r, "10.0.0.9", false, 100, 3000), 3 * REFUSALS_PER_S);
    ck_assert(!refusals_take(r, REFUSALS_TELL_MS - 1, &n)); // too soon
    ck_assert(refusals_take(r, REFUSALS_TELL_MS, &n));
    ck_assert_uint_eq(n.n, 97);
    refusals_free(r);
}
END_TEST

START_TEST(a_flood_of_many_networks_is_bounded)
{
    struct refusals *r = refusals_new();
    unsigned shown = 0;
    for (unsigned i = 0; i < 20000; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.%u.%u.1", i >> 8 & 255, i & 255);
        shown += admitted(r, text, false, 1, 0);
    }
    ck_assert_uint_eq(shown, REFUSALS_ALL_BURST);
    for (unsigned i = 0; i < 20000; i++) { // a second later
        char text[32];
        snprintf(text, sizeof text, "11.%u.%u.1", i >> 8 & 255, i & 255);
        shown += admitted(r, text, false, 1, 1000);
    }
    ck_assert_uint_eq(shown, REFUSALS_ALL_BURST + REFUSALS_ALL_PER_S);
    struct refusals_left_out n;
    ck_assert(refusals_take(r, 1000, &n));
    ck_assert_uint_eq(n.n, 40000 - shown);
    refusals_free(r);
}
END_TEST

static int our_log[2];

static const char *logged(void)
{
    static char text[65536];
    ssize_t n = read(our_log[0], text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    return text;
}

static void log_to_pipe(void)
{
    ck_assert_int_eq(pipe2(our_log, O_NONBLOCK), 0);
    ck_assert_int_ge(dup2(our_log[1], STDERR_FILENO), 0);
}

START_TEST(a_line_says_which_request_and_why)
{
    log_to_pipe();
    struct http_request *req =
        http_request_test_new("GET", "/v2/team/app/manifests/1?sig=SECRET", "contoso.d.test");
    struct http_response resp = {0};
    http_request_test_header(req, "Authorization", "Bearer SECRET");
    req->principal = "ada";
    http_request_detail(req, "the token: %s", "expired");
    http_refuse(req, &resp, 401, REFUSED_UNAUTHORIZED, "the token has expired");
    refusals_log(req, 401);
    char expect[600];
    snprintf(expect, sizeof expect,
             "http: refused 401 UNAUTHORIZED: the token has expired [the token: expired] (request "
             "%s, GET "
             "contoso.d.test/v2/team/app/manifests/1, client ",
             req->request_id);
    const char *text = logged();
    ck_assert_msg(strstr(text, expect) != NULL, "%s\nexpected %s", text, expect);
    ck_assert(strstr(text, "principal ada)") && !strstr(text, "SECRET"));
    refusals_log(req, 200);
    ck_assert_str_eq(logged(), "");
    refusals_log_late(req);
    text = logged();
    ck_assert(strstr(text, "refused 504 FAILED: the work took too long") &&
              strstr(text, req->request_id));
    http_request_test_free(req);
}
END_TEST

START_TEST(what_was_left_out_is_told)
{
    log_to_pipe();
    clock_virtual_set(1795392000000);
    struct http_request *req = http_request_test_new("GET", "/v2/", "contoso.d.test");
    for (unsigned i = 0; i < 1000; i++)
        refusals_log(req, 503);
    clock_virtual_advance(REFUSALS_TELL_MS);
    (void)logged();
    refusals_tell();
    ck_assert_ptr_nonnull(
        strstr(logged(), "more refused requests of 1 client networks have no line here"));
    struct http_request *probe = http_request_test_new("GET", "/healthz", "h");
    refusals_log(probe, 503); // the state has lines of its own
    ck_assert_str_eq(logged(), "");
    http_request_test_free(probe);
    http_request_test_free(req);
    clock_virtual_off();
}
END_TEST

CHECK_MAIN("net/refusals", a_flood_of_one_network_is_bounded_and_counted,
           a_flood_of_many_networks_is_bounded, a_line_says_which_request_and_why,
           what_was_left_out_is_told)
