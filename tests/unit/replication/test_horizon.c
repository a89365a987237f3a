// SPDX-License-Identifier: Apache-2.0
// replication/horizon: the rule in single cases, and in every state of a small fleet.
#include "replication/horizon.h"

#include "store/floor.h"
#include "tests/support/check_main.h"
#include "tests/unit/replication/horizon_model.h"

static struct horizon_word words[TOPOLOGY_MAX_REGIONS];
static const struct horizon_view view = {.members = 7, .words = words};

static void all_at(uint64_t applied, uint64_t floor)
{
    for (unsigned m = 0; m < 3; m++) {
        words[m] = (struct horizon_word){.counts = true, .floor = floor};
        for (unsigned o = 0; o < 3; o++)
            words[m].applied[o] = applied;
    }
}

static void holds(struct horizon h, uint64_t stamp, enum horizon_why why, unsigned member,
                  unsigned origin)
{
    ck_assert_uint_eq(h.stamp, stamp);
    ck_assert_int_eq(h.why, why);
    ck_assert_uint_eq(h.member, member);
    ck_assert_uint_eq(h.origin, origin);
}

START_TEST(the_last_member_of_the_last_origin_holds)
{
    all_at(10, 3);
    words[1].applied[2] = 4;
    holds(horizon_floor(&view), 4, HORIZON_BEHIND, 1, 2);
    words[2].floor = 2;
    holds(horizon_tombstones(&view), 2, HORIZON_CLEARING, 2, 2);
}
END_TEST

START_TEST(who_has_said_nothing_holds_everything)
{
    all_at(10, 10);
    words[2].counts = false;
    holds(horizon_floor(&view), 0, HORIZON_SILENT, 2, 2);
    holds(horizon_tombstones(&view), 0, HORIZON_SILENT, 2, 2);
}
END_TEST

START_TEST(who_is_no_member_holds_nothing)
{
    all_at(10, 10);
    words[2] = (struct horizon_word){0};
    words[0].applied[2] = 0;
    const struct horizon_view two = {.members = 3, .words = words};
    holds(horizon_floor(&two), 10, HORIZON_BEHIND, 0, 0);
    const struct horizon_view nobody = {.members = 0, .words = words};
    ck_assert_int_eq(horizon_floor(&nobody).why, HORIZON_NOBODY);
    ck_assert_uint_eq(horizon_floor(&nobody).stamp, 0);
}
END_TEST

START_TEST(applied_is_below_what_is_not)
{
    ck_assert_uint_eq(horizon_applied(&(struct horizon_reading){.whole = true, .word = 9}), 9);
    ck_assert_uint_eq(
        horizon_applied(&(struct horizon_reading){.whole = true, .word = 9, .held = 7}), 6);
    ck_assert_uint_eq(
        horizon_applied(&(struct horizon_reading){.whole = true, .word = 9, .held = 12}), 9);
    ck_assert_uint_eq(horizon_applied(&(struct horizon_reading){.word = 9}), 0);
}
END_TEST

START_TEST(a_floor_refuses_what_is_not_here)
{
    ck_assert(floor_refuses(&(struct floor_value){5, false, true}, 5, 0));
    ck_assert(!floor_refuses(&(struct floor_value){6, false, true}, 5, 9));
    // its register is here: it decides
    ck_assert(!floor_refuses(&(struct floor_value){5, false, false}, 5, 5));
    ck_assert(floor_refuses(&(struct floor_value){5, true, false}, 5, 0));
    // a joiner has no floor of its own yet
    ck_assert(floor_refuses(&(struct floor_value){5, true, true}, 0, 7));
}
END_TEST

// --- every state of a small fleet ---

static const struct model_options fleets[] = {
    {.n_writes = 1, .n_deletes = 1},
    {.n_writes = 1, .n_deletes = 1, .joins = true},
    {.n_writes = 2, .n_deletes = 1, .slow = true},
    {.n_writes = 1, .n_deletes = 1, .n_resets = 1},
    {.n_writes = 1, .n_deletes = 1, .n_restates = 1},
};

START_TEST(nothing_comes_back_and_nothing_is_lost)
{
    for (size_t i = 0; i < sizeof fleets / sizeof fleets[0]; i++) {
        struct model_result r;
        model_run(&fleets[i], &r);
        ck_assert_msg(!r.broken, "fleet %zu: %s", i, r.history);
        ck_assert_uint_gt(r.n_ended, 0); // tombstones do go
        ck_assert_uint_gt(r.n_states, 5000);
    }
}
END_TEST

// Each of the simpler rules, and a fleet in which it brings something back.
static const struct model_options wrong[] = {
    {.rule = MODEL_MARKS_OF_ORIGIN, .n_writes = 1, .n_deletes = 1}, // row 1
    {.rule = MODEL_ONE_STEP, .n_writes = 1, .n_deletes = 1, .joins = true},
    {.rule = MODEL_NO_LEASE, .n_writes = 1, .n_deletes = 1, .n_resets = 1},
    {.rule = MODEL_NO_FLOOR, .n_writes = 1, .n_deletes = 1, .n_restates = 1}, // row 2
};

START_TEST(each_simpler_rule_breaks)
{
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct model_result r;
        model_run(&wrong[i], &r);
        ck_assert_msg(r.broken, "rule %zu", i);
    }
}
END_TEST

CHECK_MAIN("replication/horizon", the_last_member_of_the_last_origin_holds,
           who_has_said_nothing_holds_everything, who_is_no_member_holds_nothing,
           applied_is_below_what_is_not, a_floor_refuses_what_is_not_here,
           nothing_comes_back_and_nothing_is_lost, each_simpler_rule_breaks)
