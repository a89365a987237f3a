// SPDX-License-Identifier: Apache-2.0
// base/clock: the virtual clock, RFC 3339 text, and stamps that only grow.
#include "base/clock.h"

#include "base/clock_test.h"
#include "base/err.h"
#include "tests/support/check_main.h"

#define T0 1795463930123 // 2026-11-23T19:58:50.123Z

START_TEST(texts)
{
    char buf[CLOCK_TEXT_SIZE];
    ck_assert_str_eq(clock_format(0, buf), "1970-01-01T00:00:00.000Z");
    ck_assert_str_eq(clock_format(T0, buf), "2026-11-23T19:58:50.123Z");
    ck_assert_str_eq(clock_format(-1, buf), "1969-12-31T23:59:59.999Z");
    ck_assert_str_eq(clock_format(253402300799999, buf), "9999-12-31T23:59:59.999Z");
    ck_assert_str_eq(clock_format(INT64_MAX, buf), "292278994-08-17T07:12:55.807Z");
}
END_TEST

START_TEST(times_of_documents_are_read_in_one_form)
{
    static const char *const bad[] = {"",
                                      "2026-11-23",
                                      "2026-11-23T19:58:50",
                                      "2026-11-23T19:58:50z",
                                      "2026-11-23T19:58:50.0Z",
                                      "2026-11-23T19:58:50ZZ",
                                      " 2026-11-23T19:58:50Z",
                                      "2026-1-23T19:58:50Z1",
                                      "2026-02-30T00:00:00Z",
                                      "2026-11-23T24:00:00Z",
                                      "2026-11-23T19:58:60Z",
                                      "1969-12-31T23:59:59Z",
                                      "2026-11-23T19:58:50+00:00"};
    int64_t at = -7;
    char buf[CLOCK_TEXT_SIZE];
    ck_assert_int_eq(clock_parse_s("2026-11-23T19:58:50Z", &at), 0);
    ck_assert_str_eq(clock_format_s(at, buf), "2026-11-23T19:58:50Z");
    ck_assert_int_eq(clock_parse_s("1970-01-01T00:00:00Z", &at), 0);
    ck_assert_int_eq(at, 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(clock_parse_s(bad[i], &at) == ERR_INVAL && !at, "%s", bad[i]);
}
END_TEST

START_TEST(virtual_clock_stands_until_told)
{
    clock_virtual_set(T0);
    int64_t mono = clock_mono_ms();
    ck_assert_int_eq(clock_wall_ms(), T0);
    clock_sleep_ms(86400000); // returns at once
    ck_assert_int_eq(clock_wall_ms(), T0 + 86400000);
    ck_assert_int_eq(clock_mono_ms(), mono + 86400000);
    clock_virtual_jump_wall(-3600000);
    ck_assert_int_eq(clock_wall_ms(), T0 + 82800000);
    ck_assert_int_eq(clock_mono_ms(), mono + 86400000);
    ck_assert_int_eq(clock_mono_us(), clock_mono_ms() * 1000);
    clock_virtual_off();
    int64_t a = clock_mono_us();
    clock_sleep_ms(2);
    ck_assert_int_ge(clock_mono_us() - a, 2000);
    ck_assert_int_gt(clock_wall_ms(), 1600000000000);
}
END_TEST

START_TEST(stamps_grow_when_the_wall_jumps_back)
{
    clock_virtual_set(T0);
    struct hlc h = {0};
    uint64_t last = 0;
    for (int i = 0; i < 200000; i++) { // more than one counter's worth in one millisecond
        uint64_t s = hlc_next(&h, clock_wall_ms());
        ck_assert_uint_gt(s, last);
        last = s;
        if (i == 100000)
            clock_virtual_jump_wall(-7200000);
    }
    ck_assert_int_le(hlc_wall_ms(last), T0 + 4); // ran ahead only by what the counter carried
    ck_assert_uint_gt(hlc_next(&h, -5), last);
    clock_virtual_advance(10800000);
    uint64_t s = hlc_next(&h, clock_wall_ms());
    ck_assert_uint_eq(s, hlc_from_wall(T0 + 3600000)); // the wall leads again
    clock_virtual_off();
}
END_TEST

START_TEST(stamps_go_on_from_the_seed)
{
    struct hlc h = {.last = hlc_from_wall(T0) + 41};
    ck_assert_uint_eq(hlc_next(&h, T0 - 1000), hlc_from_wall(T0) + 42);
    struct hlc old = {.last = hlc_from_wall(T0)};
    ck_assert_uint_eq(hlc_next(&old, T0 + 1), hlc_from_wall(T0 + 1));
    ck_assert_int_eq(hlc_wall_ms(hlc_from_wall(T0) + 0xffff), T0);
}
END_TEST

// Whatever it is on this machine: an answer, and the same one twice.
START_TEST(the_kernel_says_whether_its_clock_is_synchronised)
{
    enum clock_kernel state = clock_kernel_state();
    ck_assert(state == CLOCK_KERNEL_SYNCHRONISED || state == CLOCK_KERNEL_UNSYNCHRONISED);
    ck_assert_int_eq(clock_kernel_state(), state);
}
END_TEST

CHECK_MAIN("base/clock", texts, times_of_documents_are_read_in_one_form,
           virtual_clock_stands_until_told, stamps_grow_when_the_wall_jumps_back,
           stamps_go_on_from_the_seed, the_kernel_says_whether_its_clock_is_synchronised)
