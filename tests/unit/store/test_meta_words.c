// SPDX-License-Identifier: Apache-2.0
// store/meta_words: what a region promises holds whatever its clock does; what it has read and not
// applied is told by registry.
#include "store/meta_words.h"
#include "tests/unit/store/meta_support.h"

#include "base/clock_test.h"

#define NOON 1800000000000

static struct region_store east, west;

static uint64_t last_stamp(struct region_store *s)
{
    struct arena a;
    struct feed_entry *e;
    arena_init(&a, 0);
    size_t n = feed_all(s, s->region, &a, &e);
    ck_assert_uint_gt(n, 0);
    uint64_t stamp = e[n - 1].stamp;
    arena_done(&a);
    return stamp;
}

#define SKEW 60000

START_TEST(nothing_comes_at_or_below_a_promise)
{
    struct promise one, two;
    clock_virtual_set(NOON);
    store_begin(&east, "eastus");
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    ck_assert_int_eq(meta_promise(east.m, &one), 0);
    ck_assert_uint_eq(one.stamp, last_stamp(&east));
    ck_assert_uint_eq(one.head.seq, head_seq(&east, "eastus"));
    ck_assert_int_eq(put(&east, "app", "v2", "{2}"), 0);
    ck_assert_uint_gt(last_stamp(&east), one.stamp);
    // at rest; and it is kept over a restart, with a clock that went back
    clock_virtual_advance(600000);
    ck_assert_int_eq(meta_promise(east.m, &two), 0);
    ck_assert_uint_gt(two.stamp, last_stamp(&east));
    ck_assert_uint_eq(two.head.seq, head_seq(&east, "eastus"));
    meta_close(east.m);
    clock_virtual_set(NOON + 600000 - 2 * SKEW + 5000);
    store_reopen(&east);
    ck_assert_int_eq(put(&east, "app", "v3", "{3}"), 0);
    ck_assert_uint_gt(last_stamp(&east), two.stamp);
    store_end(&east);
    clock_virtual_off();
}
END_TEST

START_TEST(a_region_at_rest_promises_by_its_clock)
{
    struct promise p, again;
    clock_virtual_set(NOON);
    store_begin(&east, "eastus");
    ck_assert_int_eq(meta_promise(east.m, &p), 0);
    ck_assert_uint_eq(p.head.seq, 0);
    ck_assert_uint_eq(p.stamp, hlc_from_wall(NOON - SKEW));
    ck_assert_int_eq(meta_promise(east.m, &again), 0);
    ck_assert_uint_eq(again.stamp, p.stamp);
    meta_gate_close(east.m, META_GATE_RECOVERY, "its log is looked at");
    ck_assert_int_eq(meta_promise(east.m, &p), ERR_BUSY); // entries of its own may be missing
    store_end(&east);
    clock_virtual_off();
}
END_TEST

START_TEST(what_is_not_applied_is_told_by_registry)
{
    struct arena a;
    struct feed_entry *e;
    static const char *const origins[] = {"westeurope", "eastus", "southeastasia"};
    struct reading *list;
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    arena_init(&a, 0);
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    size_t n_entries = feed_all(&east, "eastus", &a, &e);
    struct feed_mark upto = {.epoch = e[n_entries - 1].epoch, .seq = e[n_entries - 1].seq};
    memcpy(upto.hash, e[n_entries - 1].hash, sizeof upto.hash);
    ck_assert_int_eq(meta_ingest(west.m, "eastus", e, n_entries, &upto), 0);
    ck_assert_int_eq(meta_reading(west.m, origins, 3, &a, &list), 0);
    ck_assert(list[0].read.seq == 0 && list[2].read.seq == 0);
    ck_assert(list[0].n_held == 0 && list[2].n_held == 0);
    const struct reading *r = &list[1];
    ck_assert_mem_eq(&r->read, &upto, sizeof upto);
    ck_assert_uint_eq(r->n_held, 1);
    ck_assert_str_eq(r->held[0].registry, REG);
    ck_assert_uint_eq(r->held[0].stamp, e[0].stamp);
    for (size_t i = 0; i < n_entries; i++)
        ck_assert_int_eq(meta_apply(west.m, &e[i], e[i].content, NULL, 0, NULL), 0);
    ck_assert_int_eq(meta_reading(west.m, origins, 3, &a, &list), 0);
    ck_assert_uint_eq(list[1].n_held, 0);
    // it is read again from its start: what is not applied is told all the same
    ck_assert_int_eq(put(&west, "app", "v2", "{2}"), 0);
    ck_assert_int_eq(meta_read_again(west.m, "eastus"), 0);
    ck_assert_int_eq(meta_reading(west.m, origins, 3, &a, &list), 0);
    ck_assert(list[0].read.seq == head_seq(&west, "westeurope") && list[1].read.seq == 0);
    arena_done(&a);
    store_end(&east);
    store_end(&west);
}
END_TEST

CHECK_MAIN("store/meta_words", nothing_comes_at_or_below_a_promise,
           a_region_at_rest_promises_by_its_clock, what_is_not_applied_is_told_by_registry)
