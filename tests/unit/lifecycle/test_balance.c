// SPDX-License-Identifier: Apache-2.0
// lifecycle/balance, balance_wave and stamp_load: what is hot, what moves where and in which order, and
// what stops it. The numbers are those of the cases in the design of stamps.
#include "lifecycle/balance.h"

#include "base/mem.h"
#include "tests/support/check_main.h"
#include "tests/unit/lifecycle/balanced.h"

#include <stdio.h>
#include <string.h>

#define HOUR 3600
#define DAY 86400

static struct balanced b;

static void hot_with(uint16_t contoso, uint16_t fabrikam)
{
    balanced_init(&b, 3);
    balanced_registry(&b, 0, "contoso", contoso);
    balanced_registry(&b, 0, "fabrikam", fabrikam);
    balanced_registry(&b, 1, "northwind", 200);
    balanced_registry(&b, 2, "tailspin", 100);
}

// 33
START_TEST(rare_peaks_are_not_hot)
{
    balanced_init(&b, 2);
    size_t r = balanced_registry(&b, 0, "contoso", 300);
    for (size_t i = 0; i < LOAD_DAY; i += 10)
        balanced_add(&b, 0, r, i, 1, 130); // every tenth minute 43 %
    for (size_t i = 5; i < LOAD_DAY; i += 30)
        balanced_add(&b, 0, r, i, 1, 660); // one in 30 minutes 96 %
    balanced_decide(&b);
    struct load_verdict v = b.plan->verdicts[0];
    ck_assert_uint_eq(v.days[0].max, 960);
    ck_assert_uint_eq(v.days[0].p95, 430);
    ck_assert_uint_gt(v.days[0].mean, 300);
    ck_assert_int_eq(v.heat, LOAD_COOL);
    ck_assert_int_eq(b.plan->outcome, BALANCE_NOTHING);
    balanced_done(&b);
}
END_TEST

// 34
START_TEST(one_hot_node_of_many_is_hot)
{
    enum { NODES = 20 };
    balanced_init(&b, 2);
    size_t r = balanced_registry(&b, 0, "contoso", 0);
    unsigned sum = 0;
    for (size_t i = 0; i < LOAD_DAY; i++) {
        uint16_t nodes[NODES], hottest = 0;
        for (size_t k = 0; k < NODES; k++) {
            nodes[k] = 11;
            if (k == i / 480)
                nodes[k] = 990; // it is not always the same node
            sum += nodes[k];
            if (nodes[k] > hottest)
                hottest = nodes[k];
        }
        balanced_add(&b, 0, r, i, 1, hottest);
    }
    ck_assert_uint_eq(sum / NODES / LOAD_DAY, 59); // 6 %
    balanced_decide(&b);
    ck_assert_int_eq(b.plan->verdicts[0].heat, LOAD_HOT);
    ck_assert_int_eq(b.plan->verdicts[0].cause, LOAD_P95);
    ck_assert_uint_eq(b.plan->verdicts[0].days[0].p95, 990);
    ck_assert_int_eq(b.plan->verdicts[1].heat, LOAD_COOL);
    // it is alone there already
    ck_assert_int_eq(b.plan->outcome, BALANCE_RESIZE);
    balanced_done(&b);
}
END_TEST

START_TEST(the_busiest_twelve_hours_count_on_two_days)
{
    balanced_init(&b, 2);
    size_t r = balanced_registry(&b, 0, "contoso", 50);
    balanced_add(&b, 0, r, 480, LOAD_WINDOW, 700); // by day alone
    balanced_decide(&b);
    ck_assert_uint_eq(b.plan->verdicts[0].days[0].p95, 750);
    ck_assert_uint_eq(b.plan->verdicts[0].days[0].mean, 750);
    ck_assert_uint_eq(b.plan->verdicts[0].days[0].begin, 480);
    ck_assert_int_eq(b.plan->verdicts[0].heat, LOAD_HOT);
    for (size_t i = 0; i < LOAD_DAY; i++) // only today
        b.stamps[0].load.hottest[i] = 50;
    balanced_decide(&b);
    ck_assert_int_eq(b.plan->verdicts[0].heat, LOAD_COOL);
    balanced_done(&b);
}
END_TEST

// 35
START_TEST(missing_minutes_are_no_zeros)
{
    hot_with(500, 240);
    uint16_t *bins = b.stamps[0].load.hottest;
    for (size_t i = 0; i < (size_t)LOAD_DAYS * LOAD_DAY; i += 5)
        bins[i] = LOAD_MISSING; // a fifth
    balanced_decide(&b);
    ck_assert_uint_eq(b.plan->verdicts[0].days[0].p95, 740);
    ck_assert_uint_eq(b.plan->verdicts[0].days[0].mean, 740);
    ck_assert_uint_eq(b.plan->verdicts[0].days[0].n_bins, LOAD_ENOUGH);
    ck_assert_int_eq(b.plan->outcome, BALANCE_MOVES_ADVISED);
    // one more in each window of one of the days
    for (size_t i = 1; i < LOAD_DAY; i += 60)
        bins[i] = LOAD_MISSING;
    balanced_decide(&b);
    ck_assert(b.plan->verdicts[0].days[0].known);
    ck_assert(!b.plan->verdicts[0].days[1].known);
    ck_assert_int_eq(b.plan->verdicts[0].heat, LOAD_UNKNOWN);
    ck_assert_int_eq(b.plan->outcome, BALANCE_HELD);
    ck_assert_uint_eq(b.plan->held, HELD_UNKNOWN);
    ck_assert_uint_eq(b.plan->n_waves, 0);
    balanced_done(&b);
}
END_TEST

START_TEST(nothing_goes_where_minutes_are_missing)
{
    hot_with(350, 350);
    for (size_t i = 0; i < LOAD_DAY; i += 4)
        b.stamps[2].load.hottest[LOAD_DAY + i] = LOAD_MISSING;
    balanced_decide(&b);
    ck_assert_str_eq(balanced_moves(&b), "contoso>eus-2");
    b.stamps[1].closed = true;
    balanced_decide(&b);
    ck_assert_int_eq(b.plan->outcome, BALANCE_HELD);
    ck_assert_uint_eq(b.plan->held, HELD_UNKNOWN);
    // nor does a registry go whose own minutes are missing
    b.stamps[1].closed = false;
    for (size_t r = 0; r < 2; r++)
        for (size_t i = 0; i < LOAD_DAY; i += 4)
            b.stamps[0].load.registries[r].bins[i] = LOAD_MISSING;
    balanced_decide(&b);
    ck_assert_int_eq(b.plan->outcome, BALANCE_HELD);
    ck_assert_uint_eq(b.plan->held, HELD_UNKNOWN);
    balanced_done(&b);
}
END_TEST

START_TEST(bad_answers_for_ten_minutes_are_hot)
{
    hot_with(300, 100);
    struct stamp_load *l = &b.stamps[0].load;
    for (size_t i = 0; i < LOAD_MINUTES; i++)
        l->minutes[i] = (struct load_minute){.requests = 10000, .throttled = 11};
    balanced_decide(&b);
    ck_assert_int_eq(b.plan->verdicts[0].cause, LOAD_THROTTLED);
    ck_assert_str_eq(balanced_moves(&b), "contoso>eus-3");
    l->minutes[4].throttled = 10; // 0.1 % is not above
    balanced_decide(&b);
    ck_assert_int_eq(b.plan->outcome, BALANCE_NOTHING);
    for (size_t i = 0; i < LOAD_MINUTES; i++)
        l->minutes[i] = (struct load_minute){.requests = 1000, .failed = 6};
    ck_assert_int_eq(load_judge(l, false).cause, LOAD_FAILED);
    l->minutes[9].failed = 5;
    ck_assert_int_eq(load_judge(l, false).cause, LOAD_NOTHING);
    for (size_t i = 0; i < LOAD_MINUTES; i++)
        l->minutes[i] = (struct load_minute){.requests = 1000, .p99_ms = 901};
    ck_assert_int_eq(load_judge(l, false).cause, LOAD_NOTHING); // the median is not known
    l->p99_week_ms = 300;
    ck_assert_int_eq(load_judge(l, false).cause, LOAD_SLOW);
    l->minutes[0].p99_ms = 900;
    ck_assert_int_eq(load_judge(l, false).cause, LOAD_NOTHING);
    balanced_done(&b);
}
END_TEST

START_TEST(the_largest_goes_to_the_coolest_that_has_room)
{
    hot_with(350, 390);
    balanced_decide(&b);
    ck_assert_int_eq(b.plan->outcome, BALANCE_MOVES_ADVISED);
    ck_assert_uint_eq(b.plan->from, 0);
    ck_assert_str_eq(balanced_moves(&b), "fabrikam>eus-3");
    ck_assert_uint_eq(balanced_candidate(&b, "fabrikam")->forecast, 490);
    ck_assert_int_eq(balanced_candidate(&b, "contoso")->fate, FATE_NOT_NEEDED);
    ck_assert_uint_eq(b.plan->p95_after, 350);
    // 55 % is room, more is not
    balanced_add(&b, 2, 0, 0, LOAD_DAY, 60);
    balanced_decide(&b);
    ck_assert_uint_eq(balanced_candidate(&b, "fabrikam")->forecast, 550);
    balanced_add(&b, 2, 0, 0, LOAD_DAY, 1);
    balanced_decide(&b);
    ck_assert_int_eq(balanced_candidate(&b, "fabrikam")->fate, FATE_NO_ROOM);
    ck_assert_uint_eq(balanced_candidate(&b, "fabrikam")->forecast, 551);
    ck_assert_str_eq(balanced_moves(&b), "contoso>eus-3"); // it fits, and cools it as well
    balanced_done(&b);
}
END_TEST

START_TEST(sums_by_the_minute_and_not_of_p95s)
{
    balanced_init(&b, 2);
    size_t day = balanced_registry(&b, 0, "day", 0);
    balanced_registry(&b, 0, "always", 400);
    balanced_add(&b, 0, day, 0, LOAD_WINDOW, 400);
    size_t night = balanced_registry(&b, 1, "night", 100);
    balanced_add(&b, 1, night, LOAD_WINDOW, LOAD_WINDOW, 350);
    b.stamps[0].load.registries[1].bins[0] = 400;
    balanced_moved(&b, "always", "eus-3", "eus-1", DAY); // it rests
    balanced_decide(&b);
    // 400 and 450 by P95, but never at one time
    ck_assert_str_eq(balanced_moves(&b), "day>eus-2");
    ck_assert_uint_le(balanced_candidate(&b, "day")->forecast, 500);
    balanced_done(&b);
}
END_TEST

// 37
START_TEST(isolation_is_advised_where_nothing_has_room)
{
    hot_with(500, 300);
    balanced_add(&b, 1, 0, 0, LOAD_DAY, 300);
    balanced_add(&b, 2, 0, 0, LOAD_DAY, 350);
    balanced_decide(&b);
    ck_assert_int_eq(b.plan->outcome, BALANCE_ISOLATE);
    ck_assert_ptr_eq(&b.plan->candidates[b.plan->alone], balanced_candidate(&b, "contoso"));
    ck_assert_uint_eq(b.plan->n_waves, 0);
    ck_assert_uint_eq(balanced_candidate(&b, "contoso")->forecast, 950);
    for (size_t i = 0; i < 3; i++)
        ck_assert_mem_eq(b.plan->forecast[i], b.stamps[i].load.hottest + LOAD_DAY,
                         sizeof b.plan->forecast[i]);
    balanced_done(&b);
}
END_TEST

START_TEST(what_does_not_help_does_not_move)
{
    hot_with(800, 60); // fabrikam has room elsewhere, and eus-1 is hot without it too
    balanced_decide(&b);
    ck_assert_int_eq(balanced_candidate(&b, "fabrikam")->fate, FATE_NO_HELP);
    ck_assert_uint_eq(b.plan->n_waves, 0);
    ck_assert_int_eq(b.plan->outcome, BALANCE_RESIZE); // contoso is alone there, but for 7 %
    balanced_add(&b, 0, 1, 0, LOAD_DAY, 40);
    balanced_decide(&b);
    ck_assert_int_eq(b.plan->outcome, BALANCE_ISOLATE);
    balanced_done(&b);
}
END_TEST

START_TEST(a_hot_stamp_that_cannot_be_helped_hides_no_other)
{
    hot_with(990, 0);
    balanced_add(&b, 1, 0, 0, LOAD_DAY, 180);
    balanced_registry(&b, 1, "wingtip", 350);
    balanced_decide(&b);
    ck_assert_uint_eq(b.plan->from, 1);
    ck_assert_str_eq(balanced_moves(&b), "northwind>eus-3");
    balanced_done(&b);
}
END_TEST

START_TEST(hot_stays_hot_down_to_55_percent)
{
    hot_with(350, 250);
    balanced_decide(&b);
    ck_assert_int_eq(b.plan->outcome, BALANCE_NOTHING);
    b.stamps[0].was_hot = true;
    balanced_decide(&b);
    ck_assert_str_eq(balanced_moves(&b), "contoso>eus-3");
    b.stamps[2].was_hot = true; // and takes nothing meanwhile
    balanced_decide(&b);
    ck_assert_str_eq(balanced_moves(&b), "contoso>eus-2");
    balanced_done(&b);
    hot_with(350, 200);
    b.stamps[0].was_hot = true;
    balanced_decide(&b);
    ck_assert_int_eq(b.plan->outcome, BALANCE_NOTHING);
    balanced_done(&b);
}
END_TEST

START_TEST(a_registry_moves_once_in_seven_days)
{
    hot_with(400, 350);
    balanced_moved(&b, "contoso", "eus-2", "eus-1", 7 * DAY - 1);
    balanced_decide(&b);
    ck_assert_str_eq(balanced_moves(&b), "fabrikam>eus-3");
    ck_assert_int_eq(balanced_candidate(&b, "contoso")->fate, FATE_RESTS);
    ck_assert_int_eq(balanced_candidate(&b, "contoso")->rests_until_s, BALANCED_NOW + 1);
    balanced_moved(&b, "fabrikam", "eus-2", "eus-1", 6 * DAY);
    balanced_decide(&b);
    ck_assert_int_eq(b.plan->outcome, BALANCE_HELD);
    ck_assert_uint_eq(b.plan->held, HELD_RESTING);
    b.in.now_s++;
    balanced_decide(&b);
    ck_assert_str_eq(balanced_moves(&b), "contoso>eus-3");
    balanced_done(&b);
}
END_TEST

START_TEST(what_goes_on_holds_it)
{
    static const unsigned bits[] = {HELD_REGION_DOWN, HELD_DRILL, HELD_SNAPSHOT, HELD_FREEZE};
    hot_with(400, 350);
    for (size_t i = 0; i < ARRAY_LEN(bits); i++) {
        b.in.going_on = bits[i];
        balanced_decide(&b);
        ck_assert_int_eq(b.plan->outcome, BALANCE_HELD);
        ck_assert_uint_eq(b.plan->held, bits[i]);
        ck_assert_uint_eq(b.plan->n_waves, 0);
        ck_assert_str_ne(balance_held_text(bits[i]), "");
    }
    b.in.going_on = 0;
    struct balance_move *m = balanced_moved(&b, "adatum", "eus-8", "eus-9", 10 * DAY);
    m->in_flight = true;
    balanced_decide(&b);
    ck_assert_uint_eq(b.plan->held, HELD_IN_FLIGHT);
    m->in_flight = false;
    balanced_decide(&b);
    ck_assert_int_eq(b.plan->outcome, BALANCE_MOVES_ADVISED);
    balanced_done(&b);
}
END_TEST

START_TEST(five_waves_a_day)
{
    char name[32];
    hot_with(400, 350);
    for (unsigned i = 0; i < 34; i++) { // 30 in the first wave
        snprintf(name, sizeof name, "moved-%u", i);
        struct balance_move *m = balanced_moved(&b, name, "eus-8", "eus-9", DAY - 60);
        if (i < 30)
            m->wave = 1000;
    }
    balanced_decide(&b);
    ck_assert_int_eq(b.plan->outcome, BALANCE_HELD);
    ck_assert_uint_eq(b.plan->held, HELD_DAY_FULL);
    b.in.now_s += 59;
    balanced_decide(&b);
    ck_assert_uint_eq(b.plan->held, HELD_DAY_FULL);
    b.in.now_s += 1;
    balanced_decide(&b);
    ck_assert_int_eq(b.plan->outcome, BALANCE_MOVES_ADVISED);
    balanced_done(&b);
}
END_TEST

START_TEST(a_sixth_wave_of_a_plan_begins_the_day_after)
{
    char name[32];
    balanced_init(&b, 2);
    balanced_registry(&b, 0, "contoso", 549);
    balanced_moved(&b, "contoso", "eus-2", "eus-1", 2 * DAY); // it rests
    for (unsigned i = 0; i < 57; i++) {
        snprintf(name, sizeof name, "idle-%u", i);
        balanced_registry(&b, 0, name, 3);
    }
    balanced_decide(&b);
    ck_assert_uint_eq(b.plan->n_waves, 2);
    ck_assert_uint_eq(b.plan->waves[0].n, 30);
    ck_assert_uint_eq(b.plan->waves[1].n, 27);
    ck_assert_int_eq(b.plan->begins_s[1], BALANCED_NOW + 900);
    for (unsigned i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "moved-%u", i);
        balanced_moved(&b, name, "eus-8", "eus-9", (4 - i) * HOUR);
    }
    balanced_decide(&b);
    ck_assert_int_eq(b.plan->begins_s[0], BALANCED_NOW);
    ck_assert_int_eq(b.plan->begins_s[1], BALANCED_NOW + DAY - 4 * HOUR);
    balanced_done(&b);
}
END_TEST

START_TEST(watched_stamps_are_left_alone)
{
    hot_with(400, 350);
    struct balance_move *m = balanced_moved(&b, "adatum", "eus-3", "eus-8", HOUR);
    m->watched_until_s = BALANCED_NOW + 1;
    balanced_decide(&b);
    ck_assert_str_eq(balanced_moves(&b), "fabrikam>eus-2"); // contoso would make it 60 %
    ck_assert_uint_eq(b.plan->held, HELD_WATCHED);
    snprintf(m->from, sizeof m->from, "eus-1");
    balanced_decide(&b);
    ck_assert_int_eq(b.plan->outcome, BALANCE_HELD);
    ck_assert_uint_eq(b.plan->held, HELD_WATCHED);
    b.in.now_s++;
    balanced_decide(&b);
    ck_assert_str_eq(balanced_moves(&b), "contoso>eus-3");
    balanced_done(&b);
}
END_TEST

// 36
START_TEST(a_long_tail_goes_first_and_the_large_singly)
{
    enum { ALL = 40, TAIL = 36 };
    static const uint16_t large[] = {117, 450, 150, 250}; // 96.7 %
    uint16_t shares[ALL];
    uint8_t order[ALL];
    struct balance_wave waves[ALL];
    for (size_t i = 0; i < TAIL; i++)
        shares[i] = (uint16_t)(i % 3 == 0); // 3.3 % together, as far as permille tells
    memcpy(shares + TAIL, large, sizeof large);
    size_t n = balance_waves(shares, ALL, order, waves);
    ck_assert_uint_eq(n, 6);
    ck_assert_int_eq(waves[0].kind, WAVE_IDLE);
    ck_assert_uint_eq(waves[0].n, 30);
    ck_assert_int_eq(waves[1].kind, WAVE_IDLE);
    ck_assert_uint_eq(waves[1].n, 6);
    ck_assert_int_eq(waves[1].watch_s, 900);
    static const uint16_t in_order[] = {117, 150, 250, 450};
    for (size_t i = 2; i < n; i++) {
        ck_assert_int_eq(waves[i].kind, WAVE_LARGE);
        ck_assert_uint_eq(waves[i].n, 1);
        ck_assert_uint_eq(shares[order[waves[i].first]], in_order[i - 2]);
        ck_assert_int_eq(waves[i].watch_s, 48 * HOUR);
    }
    for (size_t i = 1; i < ALL; i++)
        ck_assert_uint_ge(shares[order[i]], shares[order[i - 1]]);
}
END_TEST

START_TEST(the_middle_goes_in_batches)
{
    static const uint16_t shares[] = {60, 5, 100, 30, 101, 6, 20};
    uint8_t order[ARRAY_LEN(shares)];
    struct balance_wave w[ARRAY_LEN(shares)];
    size_t n = balance_waves(shares, ARRAY_LEN(shares), order, w);
    ck_assert_uint_eq(n, 5);
    ck_assert(w[0].kind == WAVE_IDLE && w[0].n == 1);
    ck_assert(w[1].kind == WAVE_MIDDLE && w[1].n == 3 && w[1].share == 56); // 6, 20, 30
    ck_assert(w[2].kind == WAVE_MIDDLE && w[2].n == 1 && w[2].share == 60);
    ck_assert(w[3].kind == WAVE_MIDDLE && w[3].n == 1 && w[3].share == 100);
    ck_assert(w[4].kind == WAVE_LARGE && w[4].n == 1);
    ck_assert_int_eq(w[1].watch_s, 24 * HOUR);
}
END_TEST

START_TEST(waves_of_a_plan_begin_after_each_other)
{
    char name[32];
    balanced_init(&b, 2);
    balanced_registry(&b, 0, "contoso", 400); // it rests
    balanced_moved(&b, "contoso", "eus-2", "eus-1", 2 * DAY);
    balanced_registry(&b, 0, "fabrikam", 100);
    for (unsigned i = 0; i < 9; i++) {
        snprintf(name, sizeof name, "middle-%u", i);
        balanced_registry(&b, 0, name, 24);
    }
    balanced_decide(&b);
    ck_assert_int_eq(b.plan->outcome, BALANCE_MOVES_ADVISED);
    ck_assert_uint_eq(b.plan->n_waves, 2);
    ck_assert_str_eq(balanced_moves(&b),
                     "middle-0>eus-2 middle-1>eus-2 middle-2>eus-2 | fabrikam>eus-2");
    ck_assert_int_eq(b.plan->begins_s[0], BALANCED_NOW);
    ck_assert_int_eq(b.plan->begins_s[1], BALANCED_NOW + DAY);
    balanced_done(&b);
}
END_TEST

// 38
static struct canary canary(void)
{
    return (struct canary){.moved_s = BALANCED_NOW,
                           .now_s = BALANCED_NOW + 15 * 60,
                           .after = {10000, 100, 100, 500},
                           .before = {40000, 400, 400, 500},
                           .others_after = {100000, 100, 100, 300},
                           .others_before = {100000, 100, 100, 300}};
}

static void expect(const struct canary *c, enum canary_state state, enum canary_cause cause)
{
    struct canary_verdict v = canary_judge(c);
    ck_assert_int_eq(v.state, state);
    ck_assert_int_eq(v.cause, cause);
    ck_assert_int_eq(!*canary_cause_text(cause), cause == CANARY_NOTHING);
}

START_TEST(a_canary_that_is_worse_goes_back)
{
    struct canary c = canary();
    expect(&c, CANARY_GOOD, CANARY_NOTHING);
    c.now_s--;
    expect(&c, CANARY_WAITS, CANARY_NOTHING);
    c = canary();
    c.after.p99_ms = 599;
    expect(&c, CANARY_GOOD, CANARY_NOTHING);
    c.after.p99_ms = 600;
    expect(&c, CANARY_BACK, CANARY_SLOW);
    c = canary();
    c.after.throttled = 119;
    expect(&c, CANARY_GOOD, CANARY_NOTHING);
    c.after.throttled = 120;
    expect(&c, CANARY_BACK, CANARY_THROTTLED);
    c = canary();
    c.after.failed = 119;
    expect(&c, CANARY_GOOD, CANARY_NOTHING);
    c.after.failed = 120;
    expect(&c, CANARY_BACK, CANARY_FAILED);
    // 0.5 % errors, where 20 % are more than that: 5 % before
    c = canary();
    c.before.failed = 2000;
    c.after.failed = 549;
    expect(&c, CANARY_GOOD, CANARY_NOTHING);
    c.after.failed = 550;
    expect(&c, CANARY_BACK, CANARY_FAILED);
    struct canary_verdict v = canary_judge(&c);
    ck_assert_uint_eq(v.is, 55000);
    ck_assert_uint_eq(v.expected, 50000);
}
END_TEST

START_TEST(what_is_worse_for_all_is_no_fault_of_the_move)
{
    struct canary c = canary();
    c.after = (struct canary_rates){10000, 300, 300, 900};
    expect(&c, CANARY_BACK, CANARY_FAILED);
    c.others_after = (struct canary_rates){100000, 2100, 2100, 700};
    expect(&c, CANARY_GOOD, CANARY_NOTHING);
}
END_TEST

START_TEST(a_canary_without_requests_is_waited_for)
{
    struct canary c = canary();
    c.after = (struct canary_rates){19, 0, 0, 9000};
    expect(&c, CANARY_WAITS, CANARY_NOTHING);
    ck_assert_int_eq(canary_judge(&c).until_s, BALANCED_NOW + HOUR);
    c.now_s = BALANCED_NOW + HOUR;
    expect(&c, CANARY_GOOD, CANARY_IDLE);
    // chance: one answer more than none is no reason where there is as little as that
    c = canary();
    c.before = c.others_before = c.others_after = (struct canary_rates){100000, 0, 0, 500};
    c.after = (struct canary_rates){10000, 9, 9, 500};
    expect(&c, CANARY_GOOD, CANARY_NOTHING);
    // but what fails for a few fails
    c.after = (struct canary_rates){19, 0, 1, 500};
    c.now_s = BALANCED_NOW + HOUR;
    expect(&c, CANARY_BACK, CANARY_FAILED);
}
END_TEST

START_TEST(a_bad_canary_stops_its_wave)
{
    static const uint16_t shares[] = {1, 2, 3, 4};
    uint8_t order[4];
    struct balance_wave w[4];
    ck_assert_uint_eq(balance_waves(shares, 4, order, w), 1);
    struct canary c = canary();
    c.now_s--;
    struct canary_verdict v = canary_judge(&c);
    struct wave_next next = wave_next(w, &v);
    ck_assert(!next.stopped && !next.n);
    c.now_s++;
    v = canary_judge(&c);
    next = wave_next(w, &v);
    ck_assert(!next.stopped && next.first == 1 && next.n == 3);
    c.after.p99_ms = 800;
    v = canary_judge(&c);
    next = wave_next(w, &v);
    ck_assert(next.stopped && !next.n);
}
END_TEST

CHECK_MAIN("lifecycle/balance", rare_peaks_are_not_hot, one_hot_node_of_many_is_hot,
           the_busiest_twelve_hours_count_on_two_days, missing_minutes_are_no_zeros,
           nothing_goes_where_minutes_are_missing, bad_answers_for_ten_minutes_are_hot,
           the_largest_goes_to_the_coolest_that_has_room, sums_by_the_minute_and_not_of_p95s,
           isolation_is_advised_where_nothing_has_room, what_does_not_help_does_not_move,
           a_hot_stamp_that_cannot_be_helped_hides_no_other, hot_stays_hot_down_to_55_percent,
           a_registry_moves_once_in_seven_days, what_goes_on_holds_it, five_waves_a_day,
           a_sixth_wave_of_a_plan_begins_the_day_after, watched_stamps_are_left_alone,
           a_long_tail_goes_first_and_the_large_singly, the_middle_goes_in_batches,
           waves_of_a_plan_begin_after_each_other, a_canary_that_is_worse_goes_back,
           what_is_worse_for_all_is_no_fault_of_the_move, a_canary_without_requests_is_waited_for,
           a_bad_canary_stops_its_wave)
