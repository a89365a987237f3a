// SPDX-License-Identifier: Apache-2.0
// store/space: what is promised and what is written never eat the reserve, and being short does not
// flap.
#include "store/space.h"

#include "base/clock.h"
#include "base/clock_test.h"
#include "base/err.h"
#include "base/mem.h"
#include "tests/support/check_main.h"
#include "tests/support/torture.h"

#include <pthread.h>
#include <string.h>

#define MIB (1ull << 20)
#define WALL 1700000000000

// A disk of 1,000 MiB with a tenth as reserve: short below 101 MiB free, open again from 126.
static struct space_disk disk;
static _Atomic uint64_t n_measured;
static int broken;

static int measure(void *ctx, struct space_disk *out)
{
    (void)ctx;
    n_measured++;
    if (broken)
        return broken;
    *out = disk;
    return 0;
}

static struct space *begin(uint64_t free_mib)
{
    struct space *s;
    clock_virtual_set(WALL);
    disk = (struct space_disk){1000 * MIB, free_mib * MIB, 0, 0};
    const struct space_options o = {.reserve_percent = 10, .measure = measure};
    ck_assert_int_eq(space_open(&o, &s), 0);
    return s;
}

static struct space_view look(struct space *s)
{
    struct space_view v;
    ck_assert_int_eq(space_look(s, &v), 0);
    return v;
}

static bool is_short(struct space *s)
{
    return look(s).is_short;
}

START_TEST(known_lengths_are_charged_up_front)
{
    struct space *s = begin(500); // 400 above the reserve
    struct space_charge a = {0}, b = {0};
    ck_assert_int_eq(space_take(s, 300 * MIB, &a), 0);
    ck_assert_int_eq(space_take(s, 101 * MIB, &b), ERR_NOSPACE);
    ck_assert_ptr_null(b.space);
    ck_assert_int_eq(space_take(s, 90 * MIB, &b), 0);
    ck_assert_uint_eq(look(s).room_bytes, 10 * MIB);
    ck_assert_uint_eq(look(s).n_refused, 1);
    // As it is written the charge becomes free space that is gone: the room is the same.
    disk.free_bytes -= 100 * MIB;
    space_spend(&a, 100 * MIB);
    ck_assert_uint_eq(look(s).room_bytes, 10 * MIB);
    ck_assert_uint_eq(look(s).outstanding_bytes, 290 * MIB);
    // A writer that broke off gives back what it did not write.
    space_return(&a);
    space_return(&a);
    ck_assert_uint_eq(look(s).room_bytes, 210 * MIB);
    space_return(&b);
    ck_assert_uint_eq(look(s).outstanding_bytes, 0);
    space_close(s);
}
END_TEST

START_TEST(one_that_does_not_fit_makes_no_disk_short)
{
    struct space *s = begin(500);
    struct space_charge a = {0};
    ck_assert_int_eq(space_take(s, 401 * MIB, &a), ERR_NOSPACE);
    ck_assert_int_eq(space_take(s, UINT64_MAX, &a), ERR_NOSPACE);
    ck_assert(!is_short(s));
    ck_assert_str_eq(look(s).text, "");
    ck_assert(space_fits(s, 400 * MIB) && !space_fits(s, 401 * MIB));
    ck_assert_int_eq(space_take(s, 100 * MIB, &a), 0);
    ck_assert(space_fits(s, 400 * MIB)); // the others will be done some time
    space_return(&a);
    space_close(s);
}
END_TEST

// 64 uploads of unknown length at once: each write is preceded by a window, and together they stop
// at the reserve.
START_TEST(windows_of_many_stop_at_the_reserve)
{
    struct space *s = begin(200);
    struct space_charge c[64] = {0};
    uint64_t written = 0;
    bool any = true;
    for (size_t i = 0; i < 64; i++)
        ck_assert_int_eq(space_take(s, 0, &c[i]), 0);
    ck_assert_uint_eq(look(s).outstanding_bytes, 64 * SPACE_WINDOW_BYTES);
    for (int round = 0; any; round++) {
        any = false;
        clock_virtual_advance(10);
        for (size_t i = 0; i < 64; i++) {
            if (space_grow(&c[i], 64 << 10))
                continue;
            any = true;
            disk.free_bytes -= 64 << 10;
            written += 64 << 10;
            space_spend(&c[i], 64 << 10);
            ck_assert_uint_ge(disk.free_bytes, 100 * MIB);
        }
    }
    ck_assert_uint_ge(written, 98 * MIB);
    ck_assert(is_short(s));
    struct space_charge late = {0};
    ck_assert_int_eq(space_take(s, 1, &late), ERR_NOSPACE);
    ck_assert_int_eq(space_take(s, 0, &late), ERR_NOSPACE);
    for (size_t i = 0; i < 64; i++)
        space_return(&c[i]);
    ck_assert_uint_eq(look(s).outstanding_bytes, 0);
    space_close(s);
}
END_TEST

START_TEST(it_is_short_until_a_good_deal_fits)
{
    struct space *s = begin(102);
    struct space_charge c = {0};
    ck_assert(!is_short(s));
    disk.free_bytes = 101 * MIB - 1;
    clock_virtual_advance(3000);
    struct space_view v = look(s);
    ck_assert(v.is_short);
    ck_assert_int_eq(v.changed_ms, WALL + 3000);
    ck_assert_ptr_nonnull(strstr(v.text, "101.0 MiB free"));
    ck_assert_ptr_nonnull(strstr(v.text, "reserve 100.0 MiB; it does again with 126.0 MiB free"));
    for (uint64_t mib = 101; mib < 126; mib++) { // what would fit is refused too
        disk.free_bytes = mib * MIB;
        ck_assert_int_eq(space_take(s, 1, &c), ERR_NOSPACE);
        ck_assert(is_short(s));
        ck_assert(!space_fits(s, 1));
    }
    disk.free_bytes = 126 * MIB;
    ck_assert_int_eq(space_take(s, 24 * MIB, &c), 0); // measured before it is refused
    disk.free_bytes = 103 * MIB;
    space_spend(&c, 23 * MIB);
    ck_assert(!is_short(s));
    space_return(&c);
    space_close(s);
}
END_TEST

START_TEST(what_was_charged_goes_on_while_it_is_short)
{
    struct space *s = begin(150);
    struct space_charge known = {0}, unknown = {0};
    ck_assert_int_eq(space_take(s, 40 * MIB, &known), 0);
    ck_assert_int_eq(space_take(s, 0, &unknown), 0);
    disk.free_bytes = 60 * MIB; // somebody else's log
    ck_assert(is_short(s));
    ck_assert_int_eq(space_grow(&known, MIB), 0);
    space_spend(&known, MIB);
    ck_assert_int_eq(space_grow(&unknown, SPACE_WINDOW_BYTES), 0); // its first window
    space_spend(&unknown, SPACE_WINDOW_BYTES);
    ck_assert_int_eq(space_grow(&unknown, 1), ERR_NOSPACE);
    space_return(&known);
    space_return(&unknown);
    space_close(s);
}
END_TEST

// Promises to others make a disk short: new writers wait, one that has begun goes on for as long as
// it fits.
START_TEST(promises_stop_no_writer_that_has_begun)
{
    struct space *s = begin(500);
    struct space_charge all = {0}, begun = {0}, late = {0};
    ck_assert_int_eq(space_take(s, 0, &begun), 0);
    ck_assert_int_eq(space_take(s, look(s).room_bytes - MIB / 2, &all), 0);
    ck_assert(is_short(s));
    ck_assert_int_eq(space_take(s, 0, &late), ERR_NOSPACE);
    ck_assert_int_eq(space_grow(&begun, SPACE_WINDOW_BYTES + MIB / 4), 0);
    ck_assert_int_eq(space_grow(&begun, 2 * MIB), ERR_NOSPACE);
    space_return(&all);
    space_return(&begun);
    space_close(s);
}
END_TEST

START_TEST(entries_use_half_of_the_reserve)
{
    struct space *s = begin(80);
    struct space_charge c = {0}, d = {0};
    ck_assert(is_short(s));
    ck_assert_int_eq(space_take(s, 1, &c), ERR_NOSPACE);
    ck_assert_int_eq(space_take_entry(s, 20 * MIB, &c), 0);
    ck_assert_int_eq(space_take_entry(s, 11 * MIB, &d), ERR_NOSPACE);
    space_return(&c);
    disk.free_bytes = 50 * MIB;
    ck_assert_int_eq(space_take_entry(s, 1, &c), ERR_NOSPACE);
    space_close(s);
}
END_TEST

START_TEST(few_files_are_short_too)
{
    struct space *s = begin(900);
    disk.total_files = 10000; // 500 of them are the reserve
    disk.free_files = 500;
    ck_assert(!is_short(s));
    disk.free_files = 499;
    ck_assert(is_short(s));
    ck_assert_ptr_nonnull(
        strstr(look(s).text, "499 files can be made, fewer than its reserve of 500"));
    disk.free_files = 624;
    ck_assert(is_short(s));
    disk.free_files = 625;
    ck_assert(!is_short(s));
    space_close(s);
}
END_TEST

START_TEST(a_measure_is_cheap_and_may_fail)
{
    struct space *s = begin(900);
    struct space_charge c = {0};
    ck_assert_int_eq(space_take(s, 0, &c), 0);
    uint64_t before = n_measured;
    for (int i = 0; i < 10000; i++) { // 40 MiB in pieces of 4 KiB
        ck_assert_int_eq(space_grow(&c, 4096), 0);
        space_spend(&c, 4096);
    }
    ck_assert_uint_le(n_measured - before, 1);
    clock_virtual_advance(1000);
    ck_assert_int_eq(space_grow(&c, 2 * MIB), 0);
    ck_assert_uint_le(n_measured - before, 2);
    broken = ERR_IO; // the last measure holds
    clock_virtual_advance(1000);
    ck_assert_int_eq(space_grow(&c, 4 * MIB), 0);
    struct space_view v;
    ck_assert_int_eq(space_look(s, &v), ERR_IO);
    ck_assert(!v.is_short);
    ck_assert_uint_eq(v.disk.total_bytes, 1000 * MIB);
    space_return(&c);
    space_close(s);
}
END_TEST

START_TEST(the_reserve_is_an_amount_or_a_share)
{
    struct space *s;
    disk = (struct space_disk){400ull << 30, 300ull << 30, 0, 0};
    struct space_options o = {.reserve_percent = 5, .measure = measure};
    ck_assert_int_eq(space_open(&o, &s), 0);
    ck_assert_uint_eq(look(s).reserve_bytes, SPACE_SHARE_MAX_BYTES); // and not 20 GiB
    space_close(s);
    o.reserve_bytes = 64ull << 30;
    ck_assert_int_eq(space_open(&o, &s), 0);
    ck_assert_uint_eq(look(s).reserve_bytes, 64ull << 30);
    space_close(s);
    o = (struct space_options){.measure = measure};
    disk.free_bytes = SPACE_WINDOW_BYTES;
    ck_assert_int_eq(space_open(&o, &s), 0);
    ck_assert(!is_short(s));
    disk.free_bytes--;
    ck_assert(is_short(s));
    space_close(s);
    o = (struct space_options){.dir = "/tmp"};
    ck_assert_int_eq(space_open(&o, &s), 0);
    ck_assert_uint_gt(look(s).disk.total_bytes, 0);
    space_close(s);
    o.dir = "/nowhere/at/all";
    ck_assert_int_eq(space_open(&o, &s), ERR_NOTFOUND);
}
END_TEST

START_TEST(without_a_space_everything_is_granted)
{
    struct space_charge c = {0};
    ck_assert_int_eq(space_take(NULL, UINT64_MAX, &c), 0);
    ck_assert_int_eq(space_grow(&c, 1), 0);
    space_spend(&c, 1);
    space_return(&c);
    ck_assert(space_fits(NULL, UINT64_MAX));
}
END_TEST

// The disk of the threads below: what they write is taken from it under its own lock.
static pthread_mutex_t disk_lock = PTHREAD_MUTEX_INITIALIZER;

static int measure_shared(void *ctx, struct space_disk *out)
{
    pthread_mutex_lock(&disk_lock);
    int rc = measure(ctx, out);
    pthread_mutex_unlock(&disk_lock);
    return rc;
}

static void *writer(void *ctx)
{
    struct space *s = ctx;
    for (int i = 0; i < 200; i++) {
        struct space_charge c = {0};
        if (space_take(s, i % 3 ? 0 : 3 * MIB, &c))
            continue;
        while (c.left || !space_grow(&c, 1)) {
            pthread_mutex_lock(&disk_lock);
            disk.free_bytes -= 1 << 18;
            ck_assert_uint_ge(disk.free_bytes, 100 * MIB);
            pthread_mutex_unlock(&disk_lock);
            space_spend(&c, 1 << 18);
            if (c.left == 0 && i % 2)
                break;
        }
        space_return(&c);
    }
    return NULL;
}

START_TEST(threads_stop_at_the_reserve_together)
{
    struct space *s;
    disk = (struct space_disk){1000 * MIB, 300 * MIB, 0, 0};
    const struct space_options o = {.reserve_percent = 10, .measure = measure_shared};
    pthread_t t[8];
    ck_assert_int_eq(space_open(&o, &s), 0);
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, writer, s), 0);
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        ck_assert_int_eq(pthread_join(t[i], NULL), 0);
    ck_assert(is_short(s));
    ck_assert_uint_eq(look(s).outstanding_bytes, 0);
    // it was short while others had charges, and is until so much fits
    ck_assert_uint_lt(disk.free_bytes, 126 * MIB);
    space_close(s);
}
END_TEST

static int open_one(void *ctx)
{
    (void)ctx;
    struct space *s;
    int rc = space_open(&(struct space_options){.measure = measure}, &s);
    if (!rc)
        space_close(s);
    return rc;
}

START_TEST(memory_may_be_short)
{
    ck_assert_int_gt(torture(open_one, NULL), 0);
}
END_TEST

CHECK_MAIN("store/space", known_lengths_are_charged_up_front,
           one_that_does_not_fit_makes_no_disk_short, windows_of_many_stop_at_the_reserve,
           it_is_short_until_a_good_deal_fits, what_was_charged_goes_on_while_it_is_short,
           promises_stop_no_writer_that_has_begun, entries_use_half_of_the_reserve,
           few_files_are_short_too, a_measure_is_cheap_and_may_fail,
           the_reserve_is_an_amount_or_a_share, without_a_space_everything_is_granted,
           threads_stop_at_the_reserve_together, memory_may_be_short)
