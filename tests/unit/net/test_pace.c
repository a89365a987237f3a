// SPDX-License-Identifier: Apache-2.0
// net/pace: who brings the rate on average goes on, whatever the bursts; who does not is over, and
// no stall of ours counts.
#include "net/pace.h"

#include "tests/support/check_main.h"

#define S 1000000

static const struct pace_rule rule = {512, 30000};

// Sends `n` bytes every `every_us`, for at most an hour. When it was over, in seconds; -1: never.
static int64_t over_after(uint64_t n, int64_t every_us)
{
    struct pace p = pace_begin(&rule, 0);
    for (int64_t now = every_us; now < 3600LL * S; now += every_us) {
        if (pace_over(&p, now))
            return p.until_us / S;
        pace_bytes(&p, n, now);
    }
    return -1;
}

START_TEST(an_average_is_enough)
{
    ck_assert_int_eq(over_after(512, S), -1);
    ck_assert_int_eq(over_after(1000, S), -1);
    ck_assert_int_eq(over_after(1, S / 512), -1);
    ck_assert_int_eq(over_after(20 * 512, 20 * S), -1);   // in bursts
    ck_assert_int_eq(over_after(1 << 30, 29 * S), -1);    // nearly all of the time nothing
    ck_assert_int_eq(over_after(UINT64_MAX, 29 * S), -1); // no overflow
}
END_TEST

START_TEST(less_is_over)
{
    ck_assert_int_eq(over_after(1, 20 * S), 30);
    ck_assert_int_eq(over_after(1, 5 * S), 30);
    ck_assert_int_eq(over_after(1 << 30, 31 * S), 30); // what came too late
    int64_t half = over_after(256, S);
    ck_assert(half > 55 && half <= 60); // the account runs down at half the speed
}
END_TEST

START_TEST(a_burst_pays_for_no_more_than_a_full_account)
{
    struct pace p = pace_begin(&rule, 0);
    pace_bytes(&p, 1 << 30, S);
    ck_assert(!pace_over(&p, 30 * S + S / 2));
    ck_assert(pace_over(&p, 31 * S));
}
END_TEST

START_TEST(our_own_pauses_do_not_count)
{
    struct pace p = pace_begin(&rule, 0);
    pace_pause(&p, 600 * S);
    ck_assert(!pace_over(&p, 629 * S));
    ck_assert(pace_over(&p, 630 * S));
}
END_TEST

START_TEST(no_rate_no_limit)
{
    struct pace p = pace_begin(&(struct pace_rule){0, 30000}, 0);
    pace_bytes(&p, 5, S);
    pace_pause(&p, 5);
    ck_assert_int_eq(p.until_us, INT64_MAX);
    ck_assert(!pace_over(&p, 1000000LL * S));
}
END_TEST

CHECK_MAIN("net/pace", an_average_is_enough, less_is_over,
           a_burst_pays_for_no_more_than_a_full_account, our_own_pauses_do_not_count,
           no_rate_no_limit)
