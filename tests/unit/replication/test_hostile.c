// SPDX-License-Identifier: Apache-2.0
// A region that lies about time hurts itself only: its entries of the future are not taken, and no other region loses
// anything that the liar does not hold. Real readers, over sockets.
#include "tests/unit/replication/liar.h"

#include "base/err.h"
#include "replication/cursor.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <stdlib.h>

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1], *const south = &w.regions[2];

static struct feed_mark head_of(struct test_region *at, const char *origin)
{
    struct feed_mark m;
    ck_assert_int_eq(meta_head(at->meta, origin, &m), 0);
    return m;
}

static unsigned pushes;

// A push to what the liar does not hold is taken and copied.
static void expect_alive(struct test_region *at, struct test_region *other, const char *registry)
{
    struct digest d;
    char tag[16];
    snprintf(tag, sizeof tag, "p%u", ++pushes);
    region_push(at, registry, "honest", tag, pushes, 1, 100, 0, &d);
    WAIT_FOR(region_has(other, registry, "honest", tag, &d), 15000);
    ck_assert(meta_writable(at->meta));
}

static void world_with_liar(feed_script_fn script)
{
    world_make(&w);
    w.skew_s = 5;
    world_topology(&w, 2, false);
    east->script = script;
    for (size_t i = 0; i < N_REGIONS; i++)
        region_up(&w.regions[i]);
}

static void restart(struct test_region *r)
{
    region_down(r);
    region_up(r);
}

// --- stamps near the end of all stamps ---

static void one_good_then_max(struct test_region *r, const char *peer, const struct feed_mark *after, struct buf *out)
{
    (void)peer;
    struct feed_mark at = *after;
    while (at.seq < 5) {
        struct feed_entry e = liar_entry(r, &at, at.seq ? INT64_MAX - 10 + at.seq : stamp_in_ms(-1000), "app",
                                         at.seq ? "latest" : "good");
        liar_say(r, &at, &e, out);
    }
}

START_TEST(stamps_near_the_end_stop_nobody_else)
{
    world_with_liar(one_good_then_max);
    WAIT_FOR(state_is(west, "contoso", "eastus", "ClockAhead"), 15000);
    WAIT_FOR(state_is(south, "fabrikam", "eastus", "ClockAhead"), 15000);
    for (unsigned round = 0; round < 2; round++) {
        ck_assert_uint_eq(head_of(west, "eastus").seq, 1); // what came before is kept, and nothing after it
        expect_alive(west, south, "tailspin");
        expect_alive(south, west, "contoso"); // also what the liar holds
        struct digest d;
        region_push(west, "contoso", "app", "latest", 1000 + round, 1, 100, 0, &d); // the very tag
        WAIT_FOR(region_has(south, "contoso", "app", "latest", &d), 15000);
        restart(west);
        restart(south);
        WAIT_FOR(state_is(west, "contoso", "eastus", "ClockAhead"), 15000);
    }
    world_done(&w);
}
END_TEST

// --- a clock that is only somewhat ahead ---

static uint64_t ahead_stamp;

static void three_tags(struct test_region *r, const char *peer, const struct feed_mark *after, struct buf *out)
{
    (void)peer;
    struct feed_mark at = *after;
    while (at.seq < 3) {
        struct feed_entry e =
            liar_entry(r, &at, at.seq ? ahead_stamp + at.seq : ahead_stamp - (60ull << 26), "app", "t");
        liar_say(r, &at, &e, out);
    }
}

START_TEST(reading_goes_on_when_the_clock_is_near)
{
    ahead_stamp = stamp_in_ms(8000); // 3 s more than the skew
    world_with_liar(three_tags);
    WAIT_FOR(state_is(west, "contoso", "eastus", "ClockAhead"), 2500);
    ck_assert_uint_eq(head_of(west, "eastus").seq, 1);
    WAIT_FOR(head_of(west, "eastus").seq == 3, 6000);
    ck_assert_uint_ge(stamp_in_ms(5000), ahead_stamp);
    WAIT_FOR(!state_is(west, "contoso", "eastus", "ClockAhead"), 3000);
    world_done(&w);
}
END_TEST

// --- one malformed entry ---

static void one_malformed(struct test_region *r, const char *peer, const struct feed_mark *after, struct buf *out)
{
    (void)peer;
    struct feed_mark at = *after;
    while (at.seq < 4) {
        struct feed_entry e = liar_entry(r, &at, ahead_stamp + at.seq, "app", "t");
        if (e.seq == 2)
            e.restates = e.stamp;
        if (e.seq == 3)
            e.restates = INT64_MAX;
        liar_say(r, &at, &e, out);
    }
}

START_TEST(a_malformed_entry_alone_is_passed_over)
{
    ahead_stamp = stamp_in_ms(-20000);
    world_with_liar(one_malformed);
    WAIT_FOR(head_of(west, "eastus").seq == 4, 10000);
    struct arena a;
    arena_init(&a, 0);
    struct feed_mark zero = {0}, last;
    struct feed_entry *e;
    size_t n;
    ck_assert_int_eq(meta_feed_read(west->meta, "eastus", &zero, NULL, 0, 10, &a, &e, &n, &last), 0);
    ck_assert_uint_eq(n, 2); // 1 and 4
    ck_assert_uint_eq(e[1].seq, 4);
    ck_assert(!state_is(west, "contoso", "eastus", "ClockAhead"));
    arena_done(&a);
    expect_alive(west, south, "tailspin");
    world_done(&w);
}
END_TEST

CHECK_MAIN("replication/hostile", stamps_near_the_end_stop_nobody_else, reading_goes_on_when_the_clock_is_near,
           a_malformed_entry_alone_is_passed_over)
