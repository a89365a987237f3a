// SPDX-License-Identifier: Apache-2.0
// replication/suspects: who is looked at in which order, and what claims of regions are worth.
#include "replication/suspects.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

static struct suspects all;

static struct digest digest_of_number(unsigned n)
{
    struct digest d;
    ck_assert_int_eq(digest_of(DIGEST_SHA256, &n, sizeof n, &d), 0);
    return d;
}

static int add(const char *by, unsigned n)
{
    struct digest d = digest_of_number(n);
    return suspects_add(&all, by, "contoso", "app", &d);
}

static void judge(enum verdict v)
{
    struct suspect one;
    ck_assert(suspects_first(&all, &one));
    suspects_judge(&all, one.by, &one.digest, v);
}

static bool first_is(unsigned n)
{
    struct suspect one;
    struct digest d = digest_of_number(n);
    return suspects_first(&all, &one) && digest_equal(&one.digest, &d);
}

START_TEST(they_are_looked_at_in_order_and_once)
{
    ck_assert_int_eq(add("", 1), 0);
    ck_assert_int_eq(add("eastus", 2), 0);
    ck_assert_int_eq(add("eastus", 1), 0); // it waits already
    ck_assert_uint_eq(all.n, 2);
    ck_assert(first_is(1));
    judge(VERDICT_DAMAGED);
    ck_assert(first_is(2));
    judge(VERDICT_UNKNOWN);
    ck_assert_uint_eq(all.n, 0);
    ck_assert_int_eq(add("eastus", 1), 0); // it was looked at a moment ago
    ck_assert_uint_eq(all.n, 0);
    struct digest d = digest_of_number(1);
    suspects_forget(&all, &d); // it was mended, and may be damaged again
    ck_assert_int_eq(add("eastus", 1), 0);
    ck_assert_uint_eq(all.n, 1);
    ck_assert_uint_eq(all.n_confirmed, 1);
    ck_assert_uint_eq(all.n_false, 0);
}
END_TEST

START_TEST(few_wait_and_fewer_of_one_region)
{
    for (unsigned i = 0; i < SUSPECTS_OF_REGION; i++)
        ck_assert_int_eq(add("eastus", i), 0);
    ck_assert_int_eq(add("eastus", 100), ERR_FULL);
    ck_assert_int_eq(add("southeastasia", 100), 0);
    for (unsigned i = SUSPECTS_OF_REGION + 1; i < SUSPECTS_MAX; i++)
        ck_assert_int_eq(add("", 200 + i), 0);
    ck_assert_int_eq(add("", 300), ERR_FULL);
    judge(VERDICT_UNKNOWN);
    ck_assert_int_eq(add("eastus", 100), 0); // it waits already, for the other region
    ck_assert_int_eq(add("eastus", 101), 0);
}
END_TEST

START_TEST(a_region_whose_claim_was_false_is_not_listened_to)
{
    ck_assert_int_eq(add("eastus", 1), 0);
    judge(VERDICT_WHOLE);
    ck_assert_uint_eq(all.n_false, 1);
    ck_assert_int_eq(add("eastus", 2), ERR_FULL);
    ck_assert_int_eq(add("southeastasia", 2), 0); // the others are
    ck_assert_int_eq(add("", 3), 0);
    int64_t now = clock_mono_ms();
    ck_assert_int_le(all.claimants[0].from_mono, now + 10000);
    ck_assert_int_gt(all.claimants[0].from_mono, now + 9000);
}
END_TEST

START_TEST(each_false_claim_costs_twice_as_long_up_to_an_hour)
{
    int64_t rest_ms = 10000;
    for (unsigned i = 0; i < 12; i++) {
        all.claimants[0].from_mono = 0; // as if that time were over
        ck_assert_int_eq(add("eastus", i), 0);
        judge(VERDICT_WHOLE);
        int64_t left = all.claimants[0].from_mono - clock_mono_ms();
        ck_assert_int_le(left, rest_ms);
        ck_assert_int_gt(left, rest_ms - 1000);
        rest_ms *= 2;
        if (rest_ms > 3600000)
            rest_ms = 3600000;
    }
    all.claimants[0].from_mono = 0;
    ck_assert_int_eq(add("eastus", 20), 0);
    judge(VERDICT_DAMAGED); // it was right
    ck_assert_int_eq(add("eastus", 21), 0);
    judge(VERDICT_WHOLE);
    ck_assert_int_le(all.claimants[0].from_mono - clock_mono_ms(), 10000);
    ck_assert_uint_eq(all.n_claimants, 1);
}
END_TEST

START_TEST(names_that_no_repository_has_are_refused)
{
    char name[300];
    struct digest d = digest_of_number(1);
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    ck_assert_int_eq(suspects_add(&all, "", "contoso", name, &d), ERR_TOOBIG);
    ck_assert_int_eq(suspects_add(&all, "", name, "app", &d), ERR_TOOBIG);
    ck_assert_int_eq(suspects_add(&all, name, "contoso", "app", &d), ERR_TOOBIG);
    ck_assert_uint_eq(all.n, 0);
}
END_TEST

CHECK_MAIN("replication/suspects", they_are_looked_at_in_order_and_once,
           few_wait_and_fewer_of_one_region, a_region_whose_claim_was_false_is_not_listened_to,
           each_false_claim_costs_twice_as_long_up_to_an_hour,
           names_that_no_repository_has_are_refused)
