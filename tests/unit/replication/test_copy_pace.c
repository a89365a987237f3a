// SPDX-License-Identifier: Apache-2.0
// How fast the bytes of a copied upload have to come: at all, and once somebody may wait for the blob.
#include "replication/copy_pace.h"

#include "tests/support/check_main.h"

START_TEST(a_copy_that_brings_next_to_nothing_is_slow)
{
    struct copy_pace p = {0};
    for (int s = 0; s < 29; s++)
        ck_assert(!copy_pace_is_slow(&p, 1000, 1));
    ck_assert(copy_pace_is_slow(&p, 1000, 1));
}
END_TEST

START_TEST(a_copy_that_brings_enough_goes_on)
{
    struct copy_pace p = {0};
    for (int s = 0; s < 3600; s++)
        ck_assert(!copy_pace_is_slow(&p, 1000, COPY_LEAST_BYTES / 30 + 1));
}
END_TEST

// What came before does not help later.
START_TEST(each_stretch_is_looked_at_by_itself)
{
    struct copy_pace p = {0};
    ck_assert(!copy_pace_is_slow(&p, COPY_LEAST_MS, 100 * COPY_LEAST_BYTES));
    ck_assert(copy_pace_is_slow(&p, COPY_LEAST_MS, COPY_LEAST_BYTES - 1));
    ck_assert(!copy_pace_is_slow(&p, COPY_LEAST_MS, COPY_LEAST_BYTES));
}
END_TEST

START_TEST(one_that_stands_still_ends_soon_once_it_is_known)
{
    struct copy_pace p = {0};
    ck_assert(!copy_pace_is_slow(&p, 20000, 5 * COPY_LEAST_BYTES));
    copy_pace_known(&p, 5000);
    ck_assert(!copy_pace_is_slow(&p, 5000, 0));
    copy_pace_known(&p, 5000); // said again: no more time
    ck_assert(copy_pace_is_slow(&p, 100, 1));
}
END_TEST

START_TEST(a_known_one_keeps_its_rate_and_ends)
{
    struct copy_pace p = {0};
    int64_t s = 0;
    copy_pace_known(&p, 5000);
    while (!copy_pace_is_slow(&p, 1000, COPY_KNOWN_RATE))
        s++;
    ck_assert_int_eq(s, COPY_KNOWN_MAX_MS / 1000);
}
END_TEST

CHECK_MAIN("replication/copy_pace", a_copy_that_brings_next_to_nothing_is_slow,
           a_copy_that_brings_enough_goes_on, each_stretch_is_looked_at_by_itself,
           one_that_stands_still_ends_soon_once_it_is_known, a_known_one_keeps_its_rate_and_ends)
