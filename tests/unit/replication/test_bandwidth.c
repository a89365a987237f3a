// SPDX-License-Identifier: Apache-2.0
// replication/bandwidth: all regions together and each are held to their rates; what somebody waits for
// is not held back, but counted; a stop ends the wait. On the clock of the test.
#include "replication/bandwidth.h"

#include "base/clock.h"
#include "base/clock_test.h"
#include "base/err.h"
#include "tests/support/check_main.h"

#define MIB (1u << 20)
#define PIECE (128u << 10)

static const _Atomic bool yes = true, no = false;

static int64_t elapsed_us(struct bandwidth *b, struct bandwidth_line *line, size_t bytes,
                          const _Atomic bool *urgent)
{
    int64_t began = clock_mono_us();
    for (size_t n = 0; n < bytes; n += PIECE)
        ck_assert_int_eq(bandwidth_take(b, line, PIECE, urgent, &no), 0);
    return clock_mono_us() - began;
}

static struct bandwidth *bandwidth_of(uint64_t rate, uint64_t each)
{
    struct fetch_rates rates = {.rate = rate, .rate_per_region = each};
    struct bandwidth *b;
    clock_virtual_set(1796080000000);
    ck_assert_int_eq(bandwidth_new(&rates, &b), 0);
    return b;
}

static void about(int64_t us, int64_t want_us)
{
    ck_assert_int_ge(us, want_us - want_us / 20);
    ck_assert_int_le(us, want_us + want_us / 20 + 2000);
}

START_TEST(without_a_limit_nothing_waits)
{
    struct bandwidth *b = bandwidth_of(0, 0);
    struct bandwidth_line line = {0};
    ck_assert_int_eq(elapsed_us(b, &line, 64 * MIB, NULL), 0);
    ck_assert_uint_eq(line.bytes, 64 * MIB);
    ck_assert_uint_eq(line.waited_us, 0);
    ck_assert_uint_eq(bandwidth_rate(b), 0);
    bandwidth_free(b);
}
END_TEST

START_TEST(each_region_and_all_are_held_to_their_rate)
{
    struct bandwidth *b = bandwidth_of(4 * MIB, 2 * MIB);
    struct bandwidth_line east = {0}, asia = {0}, seen;
    ck_assert_uint_eq(bandwidth_rate(b), 4 * MIB);
    about(elapsed_us(b, &east, 8 * MIB, NULL), 4000000); // its own rate
    about(elapsed_us(b, &asia, 8 * MIB, NULL), 4000000);
    bandwidth_look(b, &east, &seen);
    about((int64_t)seen.waited_us, 4000000);
    bandwidth_free(b);
    b = bandwidth_of(2 * MIB, 0);
    struct bandwidth_line third = {0};
    int64_t began = clock_mono_us();
    for (size_t i = 0; i < 32; i++) {
        (void)elapsed_us(b, &east, PIECE, NULL);
        (void)elapsed_us(b, &third, PIECE, NULL);
    }
    about(clock_mono_us() - began, 4000000); // 8 MiB of both
    bandwidth_free(b);
}
END_TEST

START_TEST(who_is_waited_for_is_not_held_back_and_others_are_for_a_while)
{
    struct bandwidth *b = bandwidth_of(1 * MIB, 0);
    struct bandwidth_line line = {0};
    ck_assert_int_eq(elapsed_us(b, &line, 2 * MIB, &yes), 0);
    about(elapsed_us(b, &line, PIECE, NULL), 2125000); // behind those 2 MiB
    ck_assert_int_eq(elapsed_us(b, &line, 1000 * MIB, &yes), 0);
    int64_t us = elapsed_us(b, &line, PIECE, NULL);
    ck_assert_int_le(us, DEBT_MAX_US + 200000);
    ck_assert_int_ge(us, DEBT_MAX_US - 200000);
    bandwidth_free(b);
}
END_TEST

START_TEST(idle_time_is_not_saved_up)
{
    struct bandwidth *b = bandwidth_of(1 * MIB, 0);
    struct bandwidth_line line = {0};
    (void)elapsed_us(b, &line, PIECE, NULL);
    clock_sleep_ms(60000);
    about(elapsed_us(b, &line, 2 * MIB, NULL), 2000000);
    bandwidth_free(b);
}
END_TEST

START_TEST(a_stop_ends_the_wait)
{
    struct bandwidth *b = bandwidth_of(1 * MIB, 0);
    struct bandwidth_line line = {0};
    int64_t began = clock_mono_us();
    ck_assert_int_eq(bandwidth_take(b, &line, 100 * MIB, NULL, &yes), ERR_CANCELED);
    ck_assert_int_eq(clock_mono_us() - began, 0);
    bandwidth_free(b);
}
END_TEST

CHECK_MAIN("replication/bandwidth", without_a_limit_nothing_waits,
           each_region_and_all_are_held_to_their_rate,
           who_is_waited_for_is_not_held_back_and_others_are_for_a_while, idle_time_is_not_saved_up,
           a_stop_ends_the_wait)
