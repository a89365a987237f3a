// SPDX-License-Identifier: Apache-2.0
// config/fetch_rates: times of the week and their rates, and which one counts when.
#include "config/fetch_rates.h"

#include "base/mem.h"
#include "tests/support/check_main.h"

#define MIB (1ull << 20)
#define MINUTE_MS 60000ll
#define DAY_MS (24 * 60 * MINUTE_MS)
// Monday 5 January 1970
#define MONDAY_MS (4 * DAY_MS)

static int64_t at(int day, int hour, int minute)
{
    return MONDAY_MS + 52 * 7 * DAY_MS + day * DAY_MS + (hour * 60 + minute) * MINUTE_MS;
}

static struct fetch_time parsed(const char *text)
{
    struct fetch_time t;
    ck_assert_msg(fetch_time_parse(text, &t), "%s", text);
    return t;
}

START_TEST(times_are_read)
{
    struct fetch_time t = parsed("mon-fri 08:00-18:30 5MiB");
    ck_assert_uint_eq(t.days, 0x1f);
    ck_assert_uint_eq(t.from, 480);
    ck_assert_uint_eq(t.to, 1110);
    ck_assert_uint_eq(t.rate, 5 * MIB);
    ck_assert_uint_eq(parsed("00:00-24:00 0").days, 0x7f);
    ck_assert_uint_eq(parsed("sun 00:00-24:00 0").days, 0x40);
    ck_assert_uint_eq(parsed("sat-mon 22:00-06:00 256KiB").days, 0x61);
}
END_TEST

START_TEST(what_is_none_is_refused)
{
    static const char *const wrong[] = {
        "",
        "5MiB",
        "08:00-18:00",
        "08:00-18:00 ",
        "08:00-18:00 5MB",
        "08:00-18:00 255KiB",
        "08:00-18:00  5MiB",
        "8:00-18:00 5MiB",
        "08:60-18:00 5MiB",
        "24:00-18:00 5MiB",
        "08:00-24:01 5MiB",
        "08:00-25:00 5MiB",
        "08:00 18:00 5MiB",
        "mon 5MiB",
        "mon- 08:00-18:00 5MiB",
        "mon-fri08:00-18:00 5MiB",
        "Mon 08:00-18:00 5MiB",
        "monday 08:00-18:00 5MiB",
        "08:00-18:00 5MiB x",
        "0a:00-18:00 5MiB",
        "-1:00-18:00 5MiB",
    };
    struct fetch_time t = {.rate = 77};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        ck_assert_msg(!fetch_time_parse(wrong[i], &t), "%s", wrong[i]);
    ck_assert_uint_eq(t.rate, 77); // untouched
}
END_TEST

START_TEST(the_first_that_fits_counts)
{
    struct fetch_rates r = {.rate = 50 * MIB};
    r.times[r.n_times++] = parsed("mon-fri 12:00-13:00 0");
    r.times[r.n_times++] = parsed("mon-fri 08:00-18:00 5MiB");
    ck_assert_uint_eq(fetch_rate_at(&r, at(0, 7, 59)), 50 * MIB);
    ck_assert_uint_eq(fetch_rate_at(&r, at(0, 8, 0)), 5 * MIB);
    ck_assert_uint_eq(fetch_rate_at(&r, at(0, 12, 0)), 0);
    ck_assert_uint_eq(fetch_rate_at(&r, at(0, 13, 0)), 5 * MIB);
    ck_assert_uint_eq(fetch_rate_at(&r, at(4, 17, 59) + MINUTE_MS - 1), 5 * MIB);
    ck_assert_uint_eq(fetch_rate_at(&r, at(4, 18, 0)), 50 * MIB);
    ck_assert_uint_eq(fetch_rate_at(&r, at(5, 12, 30)), 50 * MIB); // Saturday
}
END_TEST

START_TEST(a_night_goes_on_to_the_next_day)
{
    struct fetch_rates r = {0};
    r.times[r.n_times++] = parsed("sun 22:00-06:00 1MiB");
    ck_assert_uint_eq(fetch_rate_at(&r, at(6, 21, 59)), 0);
    ck_assert_uint_eq(fetch_rate_at(&r, at(6, 22, 0)), MIB);
    ck_assert_uint_eq(fetch_rate_at(&r, at(7, 5, 59)), MIB); // Monday
    ck_assert_uint_eq(fetch_rate_at(&r, at(7, 6, 0)), 0);
    ck_assert_uint_eq(fetch_rate_at(&r, at(6, 5, 0)), 0); // Saturday's night is none
    r.times[0] = parsed("wed 09:00-09:00 1MiB");          // a whole day
    ck_assert_uint_eq(fetch_rate_at(&r, at(2, 8, 59)), 0);
    ck_assert_uint_eq(fetch_rate_at(&r, at(2, 9, 0)), MIB);
    ck_assert_uint_eq(fetch_rate_at(&r, at(3, 8, 59)), MIB);
    ck_assert_uint_eq(fetch_rate_at(&r, at(3, 9, 0)), 0);
    r.times[0] = parsed("tue 18:00-24:00 1MiB");
    ck_assert_uint_eq(fetch_rate_at(&r, at(1, 23, 59)), MIB);
    ck_assert_uint_eq(fetch_rate_at(&r, at(2, 0, 0)), 0);
}
END_TEST

CHECK_MAIN("config/fetch_rates", times_are_read, what_is_none_is_refused,
           the_first_that_fits_counts, a_night_goes_on_to_the_next_day)
