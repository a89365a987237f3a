// SPDX-License-Identifier: Apache-2.0
// content/flight: who leads, who waits for what, and when a flight is stopped.
#include "content/flight.h"

#include "base/clock.h"
#include "base/err.h"
#include "tests/support/check_main.h"

#include <pthread.h>

static struct flights *all;

static struct digest digest_str(const char *s)
{
    struct digest d;
    ck_assert_int_eq(digest_of(DIGEST_SHA256, s, 1, &d), 0);
    return d;
}

static void begin(size_t max)
{
    ck_assert_int_eq(flights_new(max, &all), 0);
}

static struct flight *join(const char *s, enum flight_kind kind, bool leads)
{
    struct digest d = digest_str(s);
    struct flight *f;
    bool is_leader;
    ck_assert_int_eq(flight_join(all, &d, kind, &f, &is_leader), 0);
    ck_assert(is_leader == leads);
    return f;
}

START_TEST(the_first_leads_and_others_join_until_it_ends)
{
    begin(4);
    struct digest d = digest_str("a");
    ck_assert(!flights_have(all, &d));
    struct flight *a = join("a", FLIGHT_DURABLE, true);
    ck_assert(flights_have(all, &d));
    ck_assert_ptr_eq(join("a", FLIGHT_DURABLE, false), a);
    struct flight *b = join("b", FLIGHT_DURABLE, true);
    flight_end(a, ERR_DIGEST);
    ck_assert(!flights_have(all, &d));
    struct flight *next = join("a", FLIGHT_DURABLE, true); // those who come now lead another one
    ck_assert_ptr_ne(next, a);
    struct flight_progress p = {0};
    flight_wait(a, &p, 0);
    ck_assert(p.ended);
    ck_assert_int_eq(p.rc, ERR_DIGEST);
    flight_leave(a);
    flight_leave(a);
    flight_end(next, 0);
    flight_leave(next);
    flight_leave(b);
    flight_end(b, 0);
    flights_free(all);
}
END_TEST

START_TEST(a_flight_that_all_have_left_is_stopped_unless_it_is_durable)
{
    begin(4);
    struct flight *a = join("a", FLIGHT_FOR_WAITERS, true);
    join("a", FLIGHT_FOR_WAITERS, false);
    flight_leave(a);
    ck_assert(!*flight_stop(a));
    flight_leave(a);
    ck_assert(*flight_stop(a));
    flight_end(a, ERR_CANCELED);

    struct flight *b = join("b", FLIGHT_FOR_WAITERS, true);
    join("b", FLIGHT_DURABLE, false); // a job wants it too
    flight_leave(b);
    flight_leave(b);
    ck_assert(!*flight_stop(b));
    flight_end(b, 0);
    flights_free(all);
}
END_TEST

START_TEST(no_more_run_than_are_allowed)
{
    begin(2);
    struct flight *a = join("a", FLIGHT_DURABLE, true), *b = join("b", FLIGHT_DURABLE, true), *f;
    struct digest c = digest_str("c");
    bool leads;
    ck_assert_int_eq(flight_join(all, &c, FLIGHT_DURABLE, &f, &leads), ERR_FULL);
    ck_assert_ptr_eq(join("a", FLIGHT_DURABLE, false), a); // joining one that runs is no other one
    flight_leave(a);
    flight_end(a, 0);
    flight_leave(a);
    struct flight *third = join("c", FLIGHT_DURABLE, true);
    flight_end(third, 0);
    flight_leave(third);
    flight_end(b, 0);
    flight_leave(b);
    flights_free(all);
}
END_TEST

struct reader {
    struct flight *flight;
    struct flight_progress seen[8];
    size_t n;
};

static void *read_on(void *arg)
{
    struct reader *r = arg;
    struct flight_progress p = {0};
    while (!p.ended && r->n < 8) {
        flight_wait(r->flight, &p, 10000);
        r->seen[r->n++] = p;
    }
    flight_leave(r->flight);
    return NULL;
}

START_TEST(who_waits_hears_of_bytes_of_starting_over_and_of_the_end)
{
    begin(1);
    struct flight *f = join("a", FLIGHT_DURABLE, true);
    struct flight_progress p = {0};
    flight_wait(f, &p, 0); // nothing changed: the time is over
    ck_assert_uint_eq(p.bytes, 0);
    ck_assert(!p.ended);
    ck_assert(!flight_wait_end(f, 0));
    flight_arrived(f, 10);
    flight_wait(f, &p, 10000);
    ck_assert_uint_eq(p.bytes, 10);
    ck_assert_uint_eq(p.n_restarts, 0);
    flight_arrived(f, 0);
    flight_arrived(f, 10); // as many bytes as before, and other ones
    flight_wait(f, &p, 10000);
    ck_assert_uint_eq(p.bytes, 10);
    ck_assert_uint_eq(p.n_restarts, 1);

    struct reader r = {.flight = join("a", FLIGHT_DURABLE, false)};
    pthread_t t;
    ck_assert_int_eq(pthread_create(&t, NULL, read_on, &r), 0);
    flight_arrived(f, 20);
    flight_end(f, 0);
    ck_assert(flight_wait_end(f, 0));
    flight_leave(f);
    pthread_join(t, NULL);
    ck_assert_uint_ge(r.n, 1);
    ck_assert(r.seen[r.n - 1].ended);
    ck_assert_int_eq(r.seen[r.n - 1].rc, 0);
    ck_assert_uint_eq(r.seen[r.n - 1].bytes, 20);
    flights_free(all);
}
END_TEST

START_TEST(a_stop_ends_all_and_nobody_joins_any_more)
{
    begin(2);
    struct flight *f = join("a", FLIGHT_DURABLE, true), *g;
    struct reader r = {.flight = join("a", FLIGHT_DURABLE, false),
                       .n = 7}; // returns after one wait
    pthread_t t;
    ck_assert_int_eq(pthread_create(&t, NULL, read_on, &r), 0);
    flights_stop(all);
    pthread_join(t, NULL); // before the flight ended
    ck_assert(*flight_stop(f));
    struct digest b = digest_str("b");
    bool leads;
    ck_assert_int_eq(flight_join(all, &b, FLIGHT_DURABLE, &g, &leads), ERR_CANCELED);
    flight_end(f, ERR_CANCELED);
    flight_leave(f);
    flights_free(all);
}
END_TEST

CHECK_MAIN("content/flight", the_first_leads_and_others_join_until_it_ends,
           a_flight_that_all_have_left_is_stopped_unless_it_is_durable,
           no_more_run_than_are_allowed, who_waits_hears_of_bytes_of_starting_over_and_of_the_end,
           a_stop_ends_all_and_nobody_joins_any_more)
