// SPDX-License-Identifier: Apache-2.0
// control/feed_time: by which clock entries are dated, what is refused by a clock that is wrong, and
// how a time that ran ahead is found and set right. The clocks of all nodes are the one of the test.
#include "control/feed.h"

#include "base/clock.h"
#include "base/clock_test.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/base_form.h"
#include "control/feed_priv.h"
#include "control/sweep.h"
#include "tests/support/check_main.h"
#include "tests/unit/control/fleet.h"

#include <stdio.h>
#include <string.h>

#define START 1780000000000
#define HOUR_MS 3600000
#define DAY_MS (24 * (int64_t)HOUR_MS)
#define ROW(name) "registries: [{ name: " name ", owner: ada, replicas: [{ region: eastus }] }]\n"
#define WHY "its clock is 3600.000 s ahead of westus, 3600.000 s ahead of asia"

static struct small_fleet *begin(size_t n)
{
    struct small_fleet *fl = small_fleet_new(n);
    fl->no_keeper = true;
    log_setup(LOG_ERROR, "test");
    clock_virtual_set(START);
    for (size_t i = 0; i < n; i++)
        small_fleet_start(fl, i);
    return fl;
}

static int64_t time_at(struct small_fleet *fl, size_t i)
{
    struct control_view v;
    control_feed_view(fl->nodes[i].feed, &v);
    int64_t ms = v.time_ms;
    control_view_done(&v);
    return ms;
}

static void pass_all(struct small_fleet *fl, size_t from)
{
    for (size_t i = 0; i < fl->n; i++) {
        if (i != from)
            ck_assert_int_eq(small_fleet_pass(fl, from, i), 0);
        feed_keeper_turn(fl->nodes[i].feed);
    }
}

static int append(struct small_fleet *fl, size_t i, struct control_draft d)
{
    struct control_place p;
    d.by = "operator:ada";
    return control_feed_append(fl->nodes[i].feed, &d, &fl->nodes[i].diag, &p);
}

static int put(struct small_fleet *fl, const char *key, const char *value)
{
    const struct control_record r = {key, value};
    return append(fl, 0, (struct control_draft){.records = &r, .n_records = 1});
}

// Revokes a token of ada's that ends in `ends_ms`, in the document of version `version`.
static int revoke(struct small_fleet *fl, int64_t ends_ms, bool listed)
{
    char end[CLOCK_TEXT_SIZE], text[512];
    snprintf(text, sizeof text,
             "version: 1\nusers:\n  - {name: ada, password_hash: \"" SMALL_FLEET_HASH
             "\", generation: 2, grants: []}\n%s%s%s",
             listed ? "revoked: [{id: 0123456789abcdef0123456789abcdef, expires: \"" : "",
             listed ? clock_format_s(ends_ms / 1000, end) : "", listed ? "\"}]\n" : "");
    return append(fl, 0, (struct control_draft){.principals = bytes_str(text)});
}

static bool ledger_has(struct small_fleet *fl, size_t i, const char *key)
{
    AUTO_BUF struct buf value;
    buf_init(&value, 0);
    return !control_feed_record(fl->nodes[i].feed, key, &value);
}

START_TEST(a_clock_that_is_sure_dates_entries)
{
    struct small_fleet *fl = begin(2);
    small_fleet_change(fl, 0, ROW("contoso"));
    ck_assert_int_eq(time_at(fl, 0), START);
    clock_virtual_advance(DAY_MS);
    ck_assert_int_eq(control_feed_now(fl->nodes[0].feed), START + DAY_MS);
    small_fleet_change(fl, 0, ROW("fabrikam"));
    ck_assert_int_eq(time_at(fl, 0), START + DAY_MS);
    clock_virtual_jump_wall(-HOUR_MS); // time does not go back
    small_fleet_change(fl, 0, ROW("northwind"));
    ck_assert_int_eq(time_at(fl, 0), START + DAY_MS);
    pass_all(fl, 0);
    ck_assert_int_eq(time_at(fl, 1), START + DAY_MS);
    small_fleet_free(fl);
}
END_TEST

// Before clocks are compared, or where nobody can tell: entries are taken, and time stands still.
START_TEST(a_clock_that_is_not_sure_moves_no_time)
{
    struct small_fleet *fl = begin(2);
    fl->nodes[0].clock = CONTROL_CLOCK_UNSURE;
    small_fleet_change(fl, 0, ROW("contoso")); // the first of all has nothing to stand still at
    ck_assert_int_eq(time_at(fl, 0), START);
    ck_assert_int_eq(put(fl, "request/a", "{\"expires\":1780000300000}"), 0);
    clock_virtual_jump_wall(400 * DAY_MS);
    small_fleet_change(fl, 0, ROW("fabrikam"));
    ck_assert_int_eq(time_at(fl, 0), START);
    ck_assert_int_eq(control_feed_now(fl->nodes[0].feed), START);
    ck_assert(ledger_has(fl, 0, "request/a"));
    pass_all(fl, 0);
    for (size_t i = 0; i < 2; i++)
        ck_assert(small_fleet_alarm(fl, i, NULL));
    clock_virtual_jump_wall(-400 * DAY_MS);
    clock_virtual_advance(HOUR_MS);
    fl->nodes[0].clock = CONTROL_CLOCK_FINE;
    small_fleet_change(fl, 0, ROW("northwind"));
    ck_assert_int_eq(time_at(fl, 0), START + HOUR_MS);
    ck_assert(!ledger_has(fl, 0, "request/a"));
    small_fleet_free(fl);
}
END_TEST

START_TEST(a_clock_that_is_wrong_changes_no_names_and_revokes)
{
    struct small_fleet *fl = begin(3);
    small_fleet_change(fl, 0, ROW("contoso"));
    fl->nodes[0].clock_why = WHY;
    for (int ahead = 0; ahead < 2; ahead++) {
        fl->nodes[0].clock = CONTROL_CLOCK_WRONG;
        clock_virtual_jump_wall(ahead ? 400 * DAY_MS : -400 * DAY_MS);
        ck_assert_int_eq(small_fleet_try_change(fl, 0, ROW("fabrikam")), ERR_BUSY);
        ck_assert(small_fleet_said(&fl->nodes[0], "the writer eastus changes no registries"));
        ck_assert_int_eq(small_fleet_try_change(fl, 0, ROW("fabrikam")), ERR_BUSY);
        ck_assert(small_fleet_said(&fl->nodes[0], WHY));
        ck_assert_int_eq(small_fleet_try_change(fl, 0, ROW("fabrikam")), ERR_BUSY);
        ck_assert(small_fleet_said(&fl->nodes[0], "take over (meridian control takeover)"));
        ck_assert_int_eq(revoke(fl, START + (30 + ahead) * DAY_MS, true), 0);
        ck_assert_int_eq(time_at(fl, 0), START);
        clock_virtual_jump_wall(ahead ? -400 * DAY_MS : 400 * DAY_MS);
        pass_all(fl, 0);
        ck_assert_int_eq(time_at(fl, 2), START);
        ck_assert(small_fleet_alarm(fl, 2, NULL));
        fl->nodes[0].clock = CONTROL_CLOCK_FINE;
    }
    small_fleet_change(fl, 0, ROW("fabrikam"));
    small_fleet_free(fl);
}
END_TEST

// What is revoked stays so by such a clock, however far it is ahead.
START_TEST(nothing_is_forgotten_by_a_clock_that_is_not_sure)
{
    struct small_fleet *fl = begin(3);
    small_fleet_change(fl, 0, ROW("contoso"));
    ck_assert_int_eq(revoke(fl, START + 30 * DAY_MS, true), 0);
    ck_assert_int_eq(put(fl, "request/a", "{\"expires\":1780000300000}"), 0);
    clock_virtual_jump_wall(400 * DAY_MS);
    for (int wrong = 0; wrong < 2; wrong++) {
        fl->nodes[0].clock = wrong ? CONTROL_CLOCK_WRONG : CONTROL_CLOCK_UNSURE;
        ck_assert_int_eq(revoke(fl, 0, false), ERR_INVAL);
        ck_assert(small_fleet_said(&fl->nodes[0], "is not listed any more"));
    }
    ck_assert_int_eq(put(fl, "operation/0123456789abcdef", "{}"), 0);
    ck_assert(ledger_has(fl, 0, "request/a"));
    small_fleet_free(fl);
}
END_TEST

// Nobody knew that the writer's clock was ahead: no other region could be compared with.
static struct small_fleet *ran_ahead(int64_t by_ms)
{
    struct small_fleet *fl = begin(3);
    small_fleet_change(fl, 0, ROW("contoso"));
    ck_assert_int_eq(put(fl, "request/a", "{\"expires\":1780000300000}"), 0);
    clock_virtual_jump_wall(by_ms);
    ck_assert_int_eq(revoke(fl, START + 900 * DAY_MS, true), 0);
    clock_virtual_jump_wall(-by_ms);
    pass_all(fl, 0);
    return fl;
}

// It is in force all the same: a revocation waits for no clock.
static void check_revoked(struct small_fleet *fl)
{
    for (size_t i = 0; i < fl->n; i++) {
        struct principals *p = snapshot_get(&fl->nodes[i].pcell);
        ck_assert(principals_revoked(p, "0123456789abcdef0123456789abcdef"));
        snapshot_unref(p);
    }
}

START_TEST(a_time_that_ran_ahead_is_told_and_set_right_by_a_takeover)
{
    for (size_t by = 0; by < 2; by++) { // the writer itself, and another region
        struct small_fleet *fl = ran_ahead(400 * DAY_MS);
        check_revoked(fl);
        for (size_t i = 0; i < 3; i++) {
            ck_assert(small_fleet_alarm(fl, i, ", is ahead of this node's clock"));
            ck_assert(small_fleet_alarm(fl, i, "meridian control takeover eastus"));
        }
        // the clock is right again, and time stands still
        small_fleet_change(fl, 0, ROW("fabrikam"));
        ck_assert_int_eq(time_at(fl, 0), START + 400 * DAY_MS);
        clock_virtual_advance(HOUR_MS);
        pass_all(fl, 0);
        ck_assert_int_eq(small_fleet_takeover(fl, by, by), 0);
        pass_all(fl, by);
        check_revoked(fl);
        for (size_t i = 0; i < 3; i++) {
            ck_assert_int_eq(time_at(fl, i), START + HOUR_MS);
            ck_assert(small_fleet_alarm(fl, i, NULL));
        }
        clock_virtual_advance(DAY_MS);
        small_fleet_change(fl, by, ROW("northwind"));
        ck_assert_int_eq(time_at(fl, by), START + HOUR_MS + DAY_MS);
        // and over a restart
        small_fleet_stop(fl, by);
        small_fleet_start(fl, by);
        ck_assert_int_eq(time_at(fl, by), START + HOUR_MS + DAY_MS);
        small_fleet_free(fl);
    }
}
END_TEST

static int64_t swept_upto(struct small_fleet *fl, size_t i)
{
    AUTO_BUF struct buf value;
    long long ms = 0;
    buf_init(&value, 0);
    if (!control_feed_record(fl->nodes[i].feed, SWEEP_REQUESTS_UPTO, &value))
        sscanf(buf_cstr(&value), "{\"expires\":%lld}", &ms);
    return ms;
}

// What was forgotten early is known to be, and sweeping goes on by the time that is right.
START_TEST(nonces_that_went_early_are_not_taken_anew)
{
    struct small_fleet *fl = ran_ahead(400 * DAY_MS);
    ck_assert(!ledger_has(fl, 1, "request/a"));
    ck_assert_int_eq(swept_upto(fl, 1), START + 300000);
    ck_assert_int_eq(small_fleet_takeover(fl, 1, 1), 0);
    ck_assert_int_eq(swept_upto(fl, 1), START + 300000);
    const struct control_record b = {"request/b", "{\"expires\":1780000600000}"};
    struct control_draft d = {.records = &b, .n_records = 1};
    ck_assert_int_eq(append(fl, 1, d), 0);
    clock_virtual_advance(2 * 600000);
    small_fleet_change(fl, 1, ROW("fabrikam"));
    ck_assert(!ledger_has(fl, 1, "request/b"));
    ck_assert_int_eq(swept_upto(fl, 1), START + 600000);
    pass_all(fl, 1);
    ck_assert_int_eq(swept_upto(fl, 0), START + 600000);
    small_fleet_free(fl);
}
END_TEST

// One of a time that was ahead would shut out all operators for as long.
START_TEST(a_takeover_opens_what_a_clock_ahead_had_shut)
{
    struct small_fleet *fl = begin(2);
    small_fleet_change(fl, 0, ROW("contoso"));
    clock_virtual_jump_wall(400 * DAY_MS);
    char value[64];
    snprintf(value, sizeof value, "{\"expires\":%lld}", (long long)(START + 400 * DAY_MS + 300000));
    ck_assert_int_eq(put(fl, "request/a", value), 0);
    clock_virtual_jump_wall(DAY_MS);
    small_fleet_change(fl, 0, ROW("fabrikam"));
    ck_assert_int_eq(swept_upto(fl, 0), START + 400 * DAY_MS + 300000);
    clock_virtual_jump_wall(-401 * DAY_MS);
    ck_assert_int_eq(small_fleet_takeover(fl, 0, 0), 0);
    ck_assert_int_eq(time_at(fl, 0), START);
    ck_assert_int_eq(swept_upto(fl, 0), START + 600000);
    small_fleet_free(fl);
}
END_TEST

// Clocks of regions differ a little: that is no reason to go back.
START_TEST(a_takeover_goes_back_by_what_is_far_alone)
{
    struct small_fleet *fl = ran_ahead(CONTROL_TIME_AHEAD_MS);
    for (size_t i = 0; i < 3; i++)
        ck_assert(small_fleet_alarm(fl, i, NULL));
    ck_assert_int_eq(small_fleet_takeover(fl, 1, 1), 0);
    ck_assert_int_eq(time_at(fl, 1), START + CONTROL_TIME_AHEAD_MS);
    small_fleet_free(fl);
    // nor by a clock that is not sure itself
    fl = ran_ahead(400 * DAY_MS);
    fl->nodes[1].clock = CONTROL_CLOCK_UNSURE;
    ck_assert_int_eq(small_fleet_takeover(fl, 1, 1), 0);
    ck_assert_int_eq(time_at(fl, 1), START + 400 * DAY_MS);
    small_fleet_free(fl);
}
END_TEST

// A node does not say of a feed what is the fault of its own clock.
START_TEST(a_node_whose_own_clock_is_off_has_no_alarm)
{
    struct small_fleet *fl = begin(2);
    small_fleet_change(fl, 0, ROW("contoso"));
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    fl->nodes[1].clock = CONTROL_CLOCK_WRONG;
    clock_virtual_jump_wall(-DAY_MS);
    feed_keeper_turn(fl->nodes[1].feed);
    ck_assert(small_fleet_alarm(fl, 1, NULL));
    fl->nodes[1].clock = CONTROL_CLOCK_FINE;
    feed_keeper_turn(fl->nodes[1].feed);
    ck_assert(small_fleet_alarm(fl, 1, "ahead of this node's clock"));
    small_fleet_free(fl);
}
END_TEST

// The writer's disk comes back as it was before its clock was ahead.
START_TEST(a_restored_writer_learns_the_time_again)
{
    struct small_fleet *fl = ran_ahead(400 * DAY_MS);
    char dir[400];
    snprintf(dir, sizeof dir, "%s/control", fl->nodes[0].state);
    small_fleet_stop(fl, 0);
    ck_assert_int_eq(dir_remove_tree(dir), 0);
    small_fleet_start(fl, 0);
    ck_assert_int_eq(time_at(fl, 0), 0);
    ck_assert_int_eq(small_fleet_pass(fl, 1, 0), 0);
    ck_assert_int_eq(time_at(fl, 0), START + 400 * DAY_MS);
    ck_assert_int_eq(small_fleet_takeover(fl, 0, 0), 0);
    pass_all(fl, 0);
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(time_at(fl, i), START);
    check_revoked(fl);
    small_fleet_free(fl);
}
END_TEST

static void base_of(struct small_fleet *fl, size_t i, struct buf *out)
{
    struct control_state *s = control_feed_state(fl->nodes[i].feed);
    buf_init(out, 0);
    ck_assert_int_eq(control_base_format(s, out), 0);
    snapshot_unref(s);
}

// Whoever applies the entries, and when.
START_TEST(all_nodes_forget_the_same)
{
    struct small_fleet *fl = begin(3);
    ck_assert_int_eq(
        put(fl, "join/00a1b2c3d4e5f607", "{\"expires\":1780000000000,\"state\":\"open\"}"), 0);
    ck_assert_int_eq(put(fl, "gone/contoso@3", "{\"due\":1780000000000,\"since\":1}"), 0);
    ck_assert_int_eq(put(fl, "request/a", "{\"expires\":1780000300000}"), 0);
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    clock_virtual_advance(181 * DAY_MS);
    small_fleet_change(fl, 0, ROW("fabrikam"));
    clock_virtual_advance(DAY_MS);
    small_fleet_change(fl, 0, ROW("northwind"));
    pass_all(fl, 0);
    AUTO_BUF struct buf own;
    base_of(fl, 0, &own);
    for (size_t i = 0; i < 3; i++) {
        AUTO_BUF struct buf other;
        ck_assert(!ledger_has(fl, i, "join/00a1b2c3d4e5f607"));
        ck_assert(!ledger_has(fl, i, "gone/contoso@3") && !ledger_has(fl, i, "request/a"));
        base_of(fl, i, &other);
        ck_assert(bytes_equal(bytes_of(own.p, own.n), bytes_of(other.p, other.n)));
    }
    small_fleet_free(fl);
}
END_TEST

CHECK_MAIN("control/feed_time", a_clock_that_is_sure_dates_entries,
           a_clock_that_is_not_sure_moves_no_time,
           a_clock_that_is_wrong_changes_no_names_and_revokes,
           nothing_is_forgotten_by_a_clock_that_is_not_sure,
           a_time_that_ran_ahead_is_told_and_set_right_by_a_takeover,
           nonces_that_went_early_are_not_taken_anew, a_takeover_opens_what_a_clock_ahead_had_shut,
           a_takeover_goes_back_by_what_is_far_alone, a_node_whose_own_clock_is_off_has_no_alarm,
           a_restored_writer_learns_the_time_again, all_nodes_forget_the_same)
