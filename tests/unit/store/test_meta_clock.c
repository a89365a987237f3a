// SPDX-License-Identifier: Apache-2.0
// store/meta: stamps of the future. They are not taken, move no clock and close no writes but those
// of a register that they won; a region's own closes its writes until the clock has come near.
#include "tests/unit/store/meta_support.h"

#include "base/clock_test.h"

#include <inttypes.h>
#include <sqlite3.h>

#define NOON 1800000000000
#define SKEW 60000

static struct region_store region;

static void begin(void)
{
    clock_virtual_set(NOON);
    store_begin(&region, "eastus");
}

static void end(void)
{
    store_end(&region);
    clock_virtual_off();
}

static uint64_t at(int64_t ms_from_now)
{
    return hlc_from_wall(clock_wall_ms() + ms_from_now);
}

// A tag entry of westeurope, as a reader would bring it.
static struct feed_entry entry_at(uint64_t seq, uint64_t stamp, const char *tag, const char *text)
{
    struct feed_entry e = {.origin = "westeurope",
                           .epoch = 1,
                           .seq = seq,
                           .stamp = stamp,
                           .kind = ENTRY_TAG,
                           .registry = REG,
                           .repository = "app",
                           .tag = tag,
                           .media_type = "",
                           .digest = digest_str(text),
                           .key = "k"};
    sha256(&seq, sizeof seq, e.hash);
    return e;
}

static int ingest(const struct feed_entry *e)
{
    struct feed_mark m = {.epoch = e->epoch, .seq = e->seq};
    memcpy(m.hash, e->hash, sizeof m.hash);
    return meta_ingest(region.m, e->origin, e, 1, &m);
}

static int apply_tag(const struct feed_entry *e)
{
    struct digest missing;
    return meta_apply(region.m, e, (struct bytes){0}, NULL, 0, &missing);
}

static uint64_t stamp_of_put(const char *tag, const char *text)
{
    struct put_result r = {0};
    ck_assert_int_eq(put_refs(&region, "app", tag, text, NULL, 0, &r), 0);
    return r.stamp;
}

static void sql(const char *text)
{
    sqlite3 *db;
    ck_assert_int_eq(sqlite3_open(region.path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

START_TEST(a_stamp_beyond_the_skew_is_not_stored)
{
    begin();
    struct feed_mark head;
    const uint64_t ahead[] = {at(SKEW + 1), at(SKEW * 100), INT64_MAX - 1, INT64_MAX};
    for (size_t i = 0; i < ARRAY_LEN(ahead); i++) {
        struct feed_entry e = entry_at(1, ahead[i], "v1", "{1}");
        ck_assert_int_eq(ingest(&e), ERR_AHEAD);
        ck_assert_int_eq(apply_tag(&e), ERR_AHEAD);
    }
    ck_assert_int_eq(meta_head(region.m, "westeurope", &head), 0);
    ck_assert_uint_eq(head.seq, 0);
    struct feed_entry last = entry_at(1, at(SKEW), "v1", "{1}");
    ck_assert_int_eq(ingest(&last), 0);
    meta_set_skew(region.m, 10000); // a setting
    last = entry_at(2, at(11000), "v1", "{1}");
    ck_assert_int_eq(ingest(&last), ERR_AHEAD);
    clock_virtual_advance(1000);
    ck_assert_int_eq(ingest(&last), 0);
    end();
}
END_TEST

START_TEST(what_restates_its_own_stamp_or_more_is_malformed)
{
    begin();
    struct feed_entry e = entry_at(1, at(0), "v1", "{1}");
    const uint64_t restates[] = {e.stamp, e.stamp + 1, INT64_MAX};
    for (size_t i = 0; i < ARRAY_LEN(restates); i++) {
        e.restates = restates[i];
        ck_assert_int_eq(ingest(&e), ERR_INVAL);
    }
    e.restates = e.stamp - 1;
    ck_assert_int_eq(ingest(&e), 0);
    end();
}
END_TEST

// Reading moves no clock; a write over what was read moves it just past that.
START_TEST(an_entry_within_the_skew_moves_only_what_it_must)
{
    begin();
    ck_assert_int_eq(put(&region, "app", "v0", "{1}"), 0);
    struct feed_entry e = entry_at(1, at(30000) + 5, "v1", "{1}");
    ck_assert_int_eq(ingest(&e), 0);
    ck_assert_int_eq(apply_tag(&e), 0);
    clock_virtual_advance(10);
    ck_assert_uint_eq(stamp_of_put("v2", "{2}"), at(0) + 1); // of the tag: its manifest has at(0)
    ck_assert_uint_eq(stamp_of_put("v1", "{2}"), e.stamp + 1);
    expect_tag(&region, "app", "v1", "{2}");
    uint64_t last = stamp_of_put("v3", "{3}");
    ck_assert_uint_le(last, e.stamp + 4); // monotone with the sequence
    clock_virtual_advance(40000);
    ck_assert_uint_ge(stamp_of_put("v4", "{4}"), at(0));
    feed_verify(&region, "eastus");
    end();
}
END_TEST

// At the very edge of the skew: the write is refused for at most the second that two good clocks
// may differ by, and no other write with it.
START_TEST(a_register_at_the_edge_closes_no_other_writes)
{
    NEEDS_SQLITE;
    begin();
    ck_assert_int_eq(put(&region, "app", "v0", "{1}"), 0);
    struct feed_entry e = entry_at(1, at(SKEW), "v1", "{1}");
    ck_assert_int_eq(ingest(&e), 0);
    ck_assert_int_eq(apply_tag(&e), 0);
    ck_assert_int_eq(put(&region, "app", "v1", "{2}"), ERR_AHEAD);
    ck_assert_int_eq(put(&region, "app", "v2", "{2}"), 0);
    ck_assert_uint_le(stamp_of_put("v3", "{3}"), at(1));
    clock_virtual_advance(1000);
    ck_assert_int_eq(put(&region, "app", "v1", "{2}"), 0);
    // as many as the group likes, all on top of it, in this millisecond
    for (unsigned i = 0; i < 300; i++) {
        char tag[16];
        snprintf(tag, sizeof tag, "t%u", i);
        ck_assert_int_eq(put(&region, "app", tag, "{2}"), 0);
    }
    end();
}
END_TEST

// As a store from before these rules has them.
static void poison(const char *column_values)
{
    char text[512];
    meta_close(region.m);
    snprintf(text, sizeof text, "%s", column_values);
    sql(text);
    store_reopen(&region);
}

START_TEST(a_poisoned_register_refuses_its_own_writes_only)
{
    NEEDS_SQLITE;
    begin();
    ck_assert_int_eq(put(&region, "app", "v1", "{1}"), 0);
    ck_assert_int_eq(put(&region, "app", "v2", "{1}"), 0);
    poison("UPDATE tags SET stamp=9223372036854775800 WHERE tag='v1'");
    for (unsigned round = 0; round < 3; round++) {
        uint64_t before = stamp_of_put("v2", round % 2 ? "{1}" : "{2}");
        ck_assert_int_eq(put(&region, "app", "v1", "{3}"), ERR_AHEAD);
        ck_assert_int_eq(put(&region, "app", "v1", "{4}"), ERR_AHEAD);
        clock_virtual_advance(1);
        uint64_t after = stamp_of_put("v2", round % 2 ? "{5}" : "{6}");
        ck_assert_uint_gt(after, before);
        ck_assert_uint_le(after, at(1)); // the clock stayed
        ck_assert(meta_writable(region.m));
        meta_close(region.m);
        store_reopen(&region);
    }
    feed_verify(&region, "eastus");
    end();
}
END_TEST

START_TEST(a_mint_that_fails_leaves_the_clock)
{
    begin();
    struct put_result r;
    uint64_t first = stamp_of_put("v1", "{1}");
    const uint64_t want = first + 3; // manifest and tag of the next one
    region.sign_rc = ERR_CRYPTO;
    ck_assert_int_eq(put_refs(&region, "app", "v2", "{2}", NULL, 0, &r), ERR_CRYPTO);
    ck_assert(!meta_writable(region.m)); // and the region says so
    ck_assert_int_eq(meta_probe(region.m), ERR_CRYPTO);
    region.sign_rc = 0;
    ck_assert(meta_writable(region.m));
    ck_assert_uint_eq(stamp_of_put("v2", "{2}"), want - 1);
    feed_verify(&region, "eastus");
    end();
}
END_TEST

// Invariant 9: after a restart, and without one.
START_TEST(a_clock_that_was_wrong_closes_writes_until_it_is_near)
{
    begin();
    struct arena a;
    arena_init(&a, 0);
    clock_virtual_jump_wall(3600000);
    ck_assert_int_eq(put(&region, "app", "v1", "{1}"), 0);
    clock_virtual_jump_wall(-3600000);
    for (unsigned restart = 0; restart < 2; restart++) {
        ck_assert_int_eq(put(&region, "app", "v2", "{1}"), ERR_BUSY);
        const char *why = meta_closed_why(region.m, &a);
        ck_assert_ptr_nonnull(why);
        ck_assert_msg(strstr(why, "writes open at 2027-01-15T08:59:00.000Z") != NULL, "%s", why);
        ck_assert_int_eq(meta_probe(region.m), ERR_AHEAD); // not writable: healthz
        meta_close(region.m);
        store_reopen(&region);
    }
    clock_virtual_advance(3600000 - SKEW - 1000);
    ck_assert_int_eq(put(&region, "app", "v2", "{1}"), ERR_BUSY);
    clock_virtual_advance(1000);
    ck_assert_ptr_null(meta_closed_why(region.m, &a)); // by itself
    ck_assert_int_eq(put(&region, "app", "v2", "{1}"), 0);
    feed_verify(&region, "eastus");
    arena_done(&a);
    end();
}
END_TEST

// Own entries that come back from a peer are judged the same way.
START_TEST(recovery_takes_nothing_of_the_future)
{
    begin();
    ck_assert_int_eq(put(&region, "app", "v1", "{1}"), 0);
    struct feed_entry e = entry_at(100, INT64_MAX - 5, "v1", "{1}");
    struct recovered done;
    e.origin = "eastus";
    ck_assert_int_eq(meta_recover(region.m, &e, 1, &done), ERR_AHEAD);
    e.stamp = at(SKEW + 1);
    ck_assert_int_eq(meta_recover(region.m, &e, 1, &done), ERR_AHEAD);
    e.stamp = at(0) + 9;
    e.restates = INT64_MAX;
    ck_assert_int_eq(meta_recover(region.m, &e, 1, &done), ERR_INVAL);
    ck_assert_uint_le(stamp_of_put("v2", "{2}"), at(0) + 5);
    ck_assert_uint_eq(head_seq(&region, "eastus"), 4);
    e.restates = 0;
    e.stamp = at(SKEW);
    ck_assert_int_eq(meta_recover(region.m, &e, 1, &done), 0);
    ck_assert_uint_eq(stamp_of_put("v3", "{3}"), e.stamp + 2);
    end();
}
END_TEST

CHECK_MAIN("store/meta clock", a_stamp_beyond_the_skew_is_not_stored,
           what_restates_its_own_stamp_or_more_is_malformed,
           an_entry_within_the_skew_moves_only_what_it_must,
           a_register_at_the_edge_closes_no_other_writes,
           a_poisoned_register_refuses_its_own_writes_only, a_mint_that_fails_leaves_the_clock,
           a_clock_that_was_wrong_closes_writes_until_it_is_near,
           recovery_takes_nothing_of_the_future)
