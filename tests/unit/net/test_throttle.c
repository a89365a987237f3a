// SPDX-License-Identifier: Apache-2.0
// net/throttle: a bucket holds a minute's requests and refills evenly; the wait that is told is
// true; who fills the table gains nothing by it. All on a clock of the test's own.
#include "net/throttle.h"

#include "base/mem.h"
#include "net/throttle_test.h"
#include "tests/support/check_main.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define MINUTE 60000
#define START 1000000 // ms

static struct ip ip_of(const char *text)
{
    struct ip ip;
    ck_assert_int_eq(ip_parse(text, &ip), 0);
    return ip;
}

static bool take(struct throttle *t, const struct rates *rates, const char *identity,
                 const char *client, int64_t now_ms, struct throttle_verdict *v)
{
    struct ip ip;
    struct throttle_ask q = {.registry = "contoso",
                             .class = REQUEST_READ,
                             .rates = rates,
                             .whole = true,
                             .identity = identity};
    if (client) {
        ip = ip_of(client);
        q.client = &ip;
    }
    return throttle_take(t, &q, now_ms, v);
}

static unsigned taken(struct throttle *t, const struct rates *rates, const char *identity,
                      const char *client, unsigned n, int64_t now_ms)
{
    struct throttle_verdict v;
    unsigned k = 0;
    for (unsigned i = 0; i < n; i++)
        k += take(t, rates, identity, client, now_ms, &v);
    return k;
}

START_TEST(a_bucket_holds_a_minutes_requests_and_refills_evenly)
{
    struct throttle *t = throttle_new();
    struct rates r = {0};
    ck_assert_uint_eq(taken(t, &r, "ada", "10.0.0.1", 1000, START), 1000); // nothing is limited
    ck_assert_uint_eq(taken(t, NULL, "ada", "10.0.0.1", 1000, START), 1000);
    ck_assert_uint_eq(taken(NULL, &r, "ada", "10.0.0.1", 1000, START), 1000);
    r.per_minute[RATE_IDENTITY][REQUEST_READ] = 60;
    ck_assert_uint_eq(taken(t, &r, "ada", NULL, 100, START), 60);
    ck_assert_uint_eq(taken(t, &r, "ada", NULL, 10, START + 999), 0);
    ck_assert_uint_eq(taken(t, &r, "ada", NULL, 10, START + 1000), 1);
    ck_assert_uint_eq(taken(t, &r, "ada", NULL, 10, START + 5000), 4);
    ck_assert_uint_eq(taken(t, &r, "ada", NULL, 100, START + 100 * MINUTE), 60); // full, not more
    ck_assert_uint_eq(taken(t, &r, "bob", NULL, 100, START + 100 * MINUTE), 60); // his own
    ck_assert_uint_eq(taken(t, &r, NULL, "10.0.0.1", 100, START), 100); // nobody has no identity
    throttle_free(t);
}
END_TEST

START_TEST(a_second_of_each_rate_brings_what_it_says)
{
    static const uint32_t rates[] = {1, 7, 59, 60, 61, 600, 12345, RATE_MAX};
    for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
        struct throttle *t = throttle_new();
        struct throttle_verdict v;
        struct rates r = {.per_minute[RATE_REGISTRY][REQUEST_READ] = rates[i]};
        unsigned n = 0;
        while (n < 2 * RATE_MAX && take(t, &r, NULL, NULL, START, &v))
            n++;
        ck_assert_msg(n == rates[i], "%u at once of %u", n, rates[i]);
        for (int64_t ms = 1; ms <= 2 * MINUTE; ms += 7)
            while (take(t, &r, NULL, NULL, START + ms, &v))
                n++;
        ck_assert_msg(n + rates[i] / 1000 + 1 >= 3 * rates[i] && n <= 3 * rates[i] + 1,
                      "%u in two minutes of %u", n, rates[i]);
        throttle_free(t);
    }
}
END_TEST

START_TEST(who_comes_back_when_he_was_told_is_served)
{
    static const uint32_t rates[] = {1, 2, 7, 60, 100, 6000};
    for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
        struct throttle *t = throttle_new();
        struct throttle_verdict v = {0}, before;
        struct rates r = {.per_minute[RATE_IDENTITY][REQUEST_READ] = rates[i]};
        int64_t now = START;
        for (unsigned k = 0; k < 3; k++) {
            while (take(t, &r, "ada", NULL, now, &v))
                ;
            ck_assert_uint_ge(v.wait_s, 1);
            ck_assert_uint_le(v.wait_s, 60);
            ck_assert_int_eq(v.scope, RATE_IDENTITY);
            ck_assert_uint_eq(v.per_minute, rates[i]);
            // and not served a second and a bit before that, so it says no more than it must
            if (v.wait_s > 1)
                ck_assert(!take(t, &r, "ada", NULL, now + 1000 * (v.wait_s - 1) - 1, &before));
            now += 1000 * v.wait_s;
            ck_assert(take(t, &r, "ada", NULL, now, &v));
        }
        throttle_free(t);
    }
}
END_TEST

START_TEST(a_refused_request_takes_nothing)
{
    struct throttle *t = throttle_new();
    struct throttle_verdict v;
    struct rates r = {.per_minute = {[RATE_REGISTRY][REQUEST_READ] = 10,
                                     [RATE_IDENTITY][REQUEST_READ] = 2,
                                     [RATE_NETWORK][REQUEST_READ] = 4}};
    ck_assert_uint_eq(taken(t, &r, "ada", "10.0.0.1", 100, START), 2);
    ck_assert(!take(t, &r, "ada", "10.0.0.1", START, &v));
    ck_assert_int_eq(v.scope, RATE_IDENTITY);
    ck_assert_uint_eq(v.wait_s, 30);
    ck_assert_uint_eq(taken(t, &r, "bob", "10.0.0.2", 100, START), 2); // of the network's 4
    ck_assert_uint_eq(taken(t, &r, "eve", "10.0.0.3", 100, START), 0);
    ck_assert(!take(t, &r, "eve", "10.0.0.3", START, &v));
    ck_assert_int_eq(v.scope, RATE_NETWORK);
    ck_assert_uint_eq(v.wait_s, 15);
    for (unsigned i = 0; i < 3; i++) {
        char name[8], from[16];
        snprintf(name, sizeof name, "u%u", i);
        snprintf(from, sizeof from, "10.0.%u.1", 1 + i);
        ck_assert_uint_eq(taken(t, &r, name, from, 100, START), 2); // of the registry's 10
    }
    ck_assert(!take(t, &r, "new", "10.0.9.1", START, &v));
    ck_assert_int_eq(v.scope, RATE_REGISTRY);
    struct throttle_status s;
    throttle_status(t, START, &s);
    ck_assert_uint_gt(s.refused[RATE_NETWORK][REQUEST_READ], 100);
    ck_assert_uint_eq(s.used, 1 + 5 + 4);
    ck_assert_uint_eq(s.crowded, 0);
    throttle_status(t, START + MINUTE, &s);
    ck_assert_uint_eq(s.used, 0);
    throttle_free(t);
}
END_TEST

START_TEST(classes_registries_and_networks_are_kept_apart)
{
    struct throttle *t = throttle_new();
    struct throttle_verdict v;
    struct ip a = ip_of("192.0.2.1"), b = ip_of("192.0.2.200"), c = ip_of("192.0.3.1"),
              six = ip_of("2001:db8:0:100::1"), same = ip_of("2001:db8:0:1ff::1"),
              other = ip_of("2001:db8:0:200::1"), zero = ip_of("::");
    struct rates r;
    for (unsigned s = 0; s < N_RATE_SCOPES; s++)
        for (unsigned k = 0; k < N_REQUEST_CLASSES; k++)
            r.per_minute[s][k] = s == RATE_NETWORK ? 1 : 0;
    struct throttle_ask q = {.registry = "contoso", .rates = &r};
    const struct {
        const struct ip *ip;
        bool may;
    } rows[] = {{&a, true},     {&b, false},    {&c, true},    {&six, true},
                {&same, false}, {&other, true}, {&zero, true}, {&zero, false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        q.client = rows[i].ip;
        ck_assert_msg(throttle_take(t, &q, START, &v) == rows[i].may, "row %zu", i);
    }
    q.client = &a;
    q.class = REQUEST_WRITE;
    ck_assert(throttle_take(t, &q, START, &v));
    q.registry = "contoso2";
    ck_assert(throttle_take(t, &q, START, &v));
    q.registry = "a-registry-with-a-long-name";
    ck_assert(throttle_take(t, &q, START, &v));
    ck_assert(!throttle_take(t, &q, START, &v));
    throttle_free(t);
}
END_TEST

START_TEST(two_newcomers_of_one_request_share_no_place)
{
    struct throttle *t = throttle_new_small(1);
    struct throttle_verdict v;
    struct rates r = {.per_minute[RATE_IDENTITY][REQUEST_READ] = 10,
                      .per_minute[RATE_NETWORK][REQUEST_READ] = 2};
    ck_assert(take(t, &r, "ada", "192.0.2.9", START, &v));
    ck_assert(take(t, &r, "bob", "192.0.2.9", START, &v));
    ck_assert(!take(t, &r, "carl", "192.0.2.9", START, &v));
    ck_assert_int_eq(v.scope, RATE_NETWORK);
    throttle_free(t);
}
END_TEST

START_TEST(who_fills_the_table_makes_nobody_forget_his_debt)
{
    struct throttle *t = throttle_new_small(4); // 32 places
    struct throttle_verdict v;
    struct rates r = {.per_minute[RATE_IDENTITY][REQUEST_READ] = 10};
    char name[16];
    ck_assert_uint_eq(taken(t, &r, "ada", NULL, 100, START), 10);
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(name, sizeof name, "eve%u", i);
        (void)take(t, &r, name, NULL, START, &v);
    }
    ck_assert(!take(t, &r, "ada", NULL, START, &v)); // his debt is not forgotten
    // 32 places and 4 shared buckets of 10 each: no more than that, under however many names
    unsigned n = 0;
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(name, sizeof name, "eve%u", i);
        n += taken(t, &r, name, NULL, 10, START);
    }
    ck_assert_uint_le(n, 36 * 10);
    struct throttle_status s;
    throttle_status(t, START, &s);
    ck_assert_uint_gt(s.crowded, 1000);
    // a place that gets free brings the debt of the shared bucket along
    int64_t later = START + 5999; // a token of each came back, no place was free before
    n = 0;
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(name, sizeof name, "new%u", i);
        n += taken(t, &r, name, NULL, 1, later);
    }
    ck_assert_uint_le(n, 4);
    // and all is forgiven in time
    ck_assert_uint_eq(taken(t, &r, "ada", NULL, 100, START + 2 * MINUTE), 10);
    throttle_free(t);
}
END_TEST

struct job {
    struct throttle *t;
    const struct rates *r;
    unsigned n;
};

static void *take_many(void *arg)
{
    struct job *j = arg;
    j->n = taken(j->t, j->r, "ada", "10.0.0.1", 20000, START);
    return NULL;
}

START_TEST(threads_together_take_what_there_is)
{
    struct throttle *t = throttle_new();
    struct rates r = {.per_minute = {[RATE_REGISTRY][REQUEST_READ] = 50000,
                                     [RATE_IDENTITY][REQUEST_READ] = 40000,
                                     [RATE_NETWORK][REQUEST_READ] = 30000}};
    struct job jobs[4];
    pthread_t threads[4];
    unsigned n = 0;
    for (int i = 0; i < 4; i++) {
        jobs[i] = (struct job){t, &r, 0};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_many, &jobs[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        n += jobs[i].n;
    }
    ck_assert_uint_eq(n, 30000);
    throttle_free(t);
}
END_TEST

CHECK_MAIN("net/throttle", a_bucket_holds_a_minutes_requests_and_refills_evenly,
           a_second_of_each_rate_brings_what_it_says, who_comes_back_when_he_was_told_is_served,
           a_refused_request_takes_nothing, classes_registries_and_networks_are_kept_apart,
           two_newcomers_of_one_request_share_no_place,
           who_fills_the_table_makes_nobody_forget_his_debt, threads_together_take_what_there_is)
