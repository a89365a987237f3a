// SPDX-License-Identifier: Apache-2.0
// replication/clock_track: the best of the last samples, errors that are never too small, clocks
// that are set.
#include "replication/clock_track.h"

#include "tests/support/check_main.h"

#define S 1000000 // in microseconds
#define WALL 1790000000000

static struct clock_track track;
static int64_t offset_ms, error_ms;

// The peer's clock is WALL at mono 0; it was asked at at_us, answered after trip_us, in the middle
// of which it read it.
static void sample(int64_t at_us, int64_t trip_us, int64_t peer_off_ms)
{
    clock_track_add(&track, WALL + peer_off_ms + (at_us + trip_us / 2) / 1000, at_us,
                    at_us + trip_us);
}

// Ours is WALL + own_off_ms at mono 0.
static bool look(int64_t now_us, int64_t own_off_ms)
{
    return clock_track_get(&track, now_us, (WALL + own_off_ms) * 1000, &offset_ms, &error_ms);
}

START_TEST(without_a_sample_nothing_is_known)
{
    ck_assert(!look(0, 0));
}
END_TEST

START_TEST(the_offset_is_theirs_less_ours)
{
    sample(0, 20000, 2000);
    ck_assert(look(20000, 0));
    ck_assert_int_le(llabs(offset_ms - 2000), 1);
    ck_assert_int_ge(error_ms, 10); // half the round trip
    ck_assert_int_le(error_ms, 12);
    ck_assert(look(20000, 5000)); // our wall clock was set meanwhile: the sample holds
    ck_assert_int_le(llabs(offset_ms + 3000), 1);
    ck_assert_int_le(error_ms, 12);
}
END_TEST

START_TEST(the_sample_with_the_least_error_counts)
{
    sample(0, 400000, 0);
    sample(5 * S, 10000, 0);
    sample(10 * S, 300000, 0);
    ck_assert(look(10 * S + 300000, 0));
    ck_assert_int_le(error_ms, 5 + 5 + 2);  // half a trip, five seconds of age, rounding
    for (int i = 0; i < CLOCK_SAMPLES; i++) // and is forgotten when there are newer ones
        sample((20 + i) * S, 300000, 0);
    ck_assert(look(30 * S, 0));
    ck_assert_int_ge(error_ms, 150);
}
END_TEST

START_TEST(errors_grow_with_age)
{
    sample(0, 10000, 0);
    ck_assert(look(1000 * S, 0));
    ck_assert_int_ge(error_ms, 1000);
    ck_assert_int_le(error_ms, 1010);
}
END_TEST

START_TEST(a_clock_that_was_set_makes_older_samples_void)
{
    sample(0, 10000, 0);
    sample(5 * S, 300000, 2000); // worse, but it cannot be reconciled with the first
    ck_assert(look(6 * S, 0));
    ck_assert_int_le(llabs(offset_ms - 2000), 1);
    sample(10 * S, 10000, 2050); // can be
    sample(15 * S, 10000, 0);    // set back
    ck_assert(look(16 * S, 0));
    ck_assert_int_le(llabs(offset_ms), 1);
}
END_TEST

// However the answer was delayed, on either way, and however the clocks drift: the truth lies
// within the error.
START_TEST(the_truth_lies_within_the_error)
{
    unsigned random = 7;
    int64_t now = 0;
    for (int i = 0; i < 20000; i++) {
        random = random * 1103515245 + 12345;
        now += 1 * S + random / 65536 % 4000 * 1000;
        int64_t there_us = random / 1024 % 900000, back_us = random / 4096 % 900000;
        int64_t truth_us = now / 2000 - 3000000; // drifts by 0.5 ms a second
        int64_t read_us = now + there_us,
                their_us = WALL * 1000 + read_us + read_us / 2000 - 3000000;
        clock_track_add(&track, their_us / 1000, now, now + there_us + back_us);
        now += there_us + back_us;
        if (!look(now, 0) || llabs(offset_ms * 1000 - truth_us) > error_ms * 1000 + 2000)
            ck_abort_msg("%lld ms, error %lld ms, in truth %lld us", (long long)offset_ms,
                         (long long)error_ms, (long long)truth_us);
    }
}
END_TEST

// Any time that the parser lets through.
START_TEST(no_time_is_too_far_off)
{
    clock_track_add(&track, CLOCK_WALL_MAX_MS, 0, 1000);
    ck_assert(look(1000, 0));
    clock_track_add(&track, 0, S, S + 1000);
    ck_assert(look(S + 1000, 0));
    ck_assert_int_le(offset_ms, -WALL);
}
END_TEST

CHECK_MAIN("replication/clock_track", without_a_sample_nothing_is_known,
           the_offset_is_theirs_less_ours, the_sample_with_the_least_error_counts,
           errors_grow_with_age, a_clock_that_was_set_makes_older_samples_void,
           the_truth_lies_within_the_error, no_time_is_too_far_off)
