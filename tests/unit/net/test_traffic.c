// SPDX-License-Identifier: Apache-2.0
// net/traffic: requests are counted by kind, class and status with bounded labels, whatever threads
// do it.
#include "net/traffic.h"

#include "base/mem.h"
#include "net/http_test.h"
#include "tests/support/check_main.h"

#include <pthread.h>
#include <string.h>

static void answered(const char *method, enum traffic_kind kind, int status)
{
    struct http_request *req = http_request_test_new(method, "/v2/", "contoso.d.test");
    req->kind = kind;
    traffic_answered(req, status);
    http_request_test_free(req);
}

static bool says(const char *want)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    traffic_write("eastus", &text);
    return strstr(buf_cstr(&text), want);
}

START_TEST(requests_by_kind_class_code_and_region)
{
    const struct {
        const char *method;
        enum traffic_kind kind;
        int status;
        const char *want;
    } rows[] = {
        {"GET", TRAFFIC_MANIFEST, 200,
         "{kind=\"manifest\",class=\"read\",code=\"200\",region=\"eastus\"} 1\n"},
        {"HEAD", TRAFFIC_BLOB, 404, "{kind=\"blob\",class=\"read\",code=\"404\""},
        {"PUT", TRAFFIC_MANIFEST, 201, "{kind=\"manifest\",class=\"write\",code=\"201\""},
        {"DELETE", TRAFFIC_MANIFEST, 202, "{kind=\"manifest\",class=\"delete\",code=\"202\""},
        {"GET", TRAFFIC_UPLOAD, 204, "{kind=\"upload\",class=\"write\",code=\"204\""},
        {"GET", TRAFFIC_TAGS, 429, "{kind=\"tags\",class=\"list\",code=\"429\""},
        {"GET", TRAFFIC_DETAILS, 200, "{kind=\"details\",class=\"list\",code=\"200\""},
        {"PUT", TRAFFIC_DETAILS, 200, "{kind=\"details\",class=\"write\",code=\"200\""},
        {"POST", TRAFFIC_TOKEN, 401, "{kind=\"token\",class=\"token\",code=\"401\""},
        {"BREW", TRAFFIC_OTHER, 418, "{kind=\"other\",class=\"write\",code=\"other\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_msg(!says(rows[i].want), "%s was there before", rows[i].want);
        answered(rows[i].method, rows[i].kind, rows[i].status);
        ck_assert_msg(says(rows[i].want), "%s is not there", rows[i].want);
    }
    // the operator's own listeners do not count
    struct http_request *req = http_request_test_new("GET", "/metrics", "h");
    req->listener = LISTENER_METRICS;
    traffic_answered(req, 507);
    ck_assert(!says("code=\"507\""));
    http_request_test_free(req);
}
END_TEST

START_TEST(each_family_has_one_head_and_all_its_counters)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    traffic_add(TRAFFIC_BYTES_OUT, 1u << 30);
    traffic_add(TRAFFIC_BYTES_OUT, 1);
    traffic_add(TRAFFIC_DELETES, 2);
    traffic_write("eastus", &text);
    const char *p = buf_cstr(&text), *head = strstr(p, "# TYPE meridian_bytes_total counter\n");
    ck_assert_ptr_nonnull(head);
    ck_assert_ptr_null(strstr(head + 1, "# TYPE meridian_bytes_total"));
    ck_assert_ptr_nonnull(strstr(p, "meridian_bytes_total{direction=\"in\"} 0\n"));
    ck_assert_ptr_nonnull(strstr(p, "meridian_bytes_total{direction=\"out\"} 1073741825\n"));
    ck_assert_ptr_nonnull(strstr(p, "meridian_deletes_total 2\n"));
    ck_assert_ptr_nonnull(strstr(p, "meridian_token_refusals_total{reason=\"scope\"} 0\n"));
}
END_TEST

static void *add_many(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 100000; i++)
        traffic_add(TRAFFIC_PULLS, 1);
    return NULL;
}

START_TEST(no_addition_is_lost_between_threads)
{
    pthread_t threads[6]; // more than shards
    uint64_t before = traffic_count(TRAFFIC_PULLS);
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, add_many, NULL), 0);
    for (int i = 0; i < 6; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(traffic_count(TRAFFIC_PULLS), before + 600000);
}
END_TEST

CHECK_MAIN("net/traffic", requests_by_kind_class_code_and_region,
           each_family_has_one_head_and_all_its_counters, no_addition_is_lost_between_threads)
