// SPDX-License-Identifier: Apache-2.0
// Ninety days of two regions, with tags that move and images that are pushed and deleted every day:
// what their stores and logs hold stops growing once what is kept is a week old.
#include "store/meta_delete.h"
#include "store/meta_drop.h"
#include "store/meta_floor.h"
#include "tests/unit/store/meta_support.h"

#include "base/clock_test.h"

#include <sys/stat.h>
#include <unistd.h>

#define NOON 1800000000000
#define DAY 86400000ll
#define DAYS 90
#define KEEP_DAYS 7
#define MOVES 8     // of two tags, in a day and region
#define DELETIONS 2 // of images that were pushed on that day, in each region

struct follower {
    struct region_store s;
    // how far it has read the other one
    struct feed_mark read;
};

static struct follower two[2];

static void image_delete(struct region_store *s, const char *text)
{
    struct arena a;
    struct delete_result out;
    struct digest d = digest_str(text);
    const struct delete_request r = {.registry = REG, .repository = "app", .digest = &d};
    arena_init(&a, 0);
    ck_assert_int_eq(meta_manifest_delete(s->m, &r, &a, &out), 0);
    arena_done(&a);
}

static void day_make(struct region_store *s, int day)
{
    char text[64], tag[32];
    for (int i = 0; i < MOVES; i++) {
        snprintf(text, sizeof text, "{%d}", i % 4);
        snprintf(tag, sizeof tag, "moves%d", i % 2);
        ck_assert_int_eq(put(s, "app", tag, text), 0);
        clock_virtual_advance(1000);
    }
    for (int i = 0; i < DELETIONS; i++) {
        snprintf(text, sizeof text, "{%s %d %d}", s->region, day, i);
        snprintf(tag, sizeof tag, "day%d-%d", day, i);
        ck_assert_int_eq(put(s, "app", tag, text), 0);
        clock_virtual_advance(1000);
        image_delete(s, text);
    }
}

// What the other one wrote since comes in, and is applied.
static void follow(struct follower *f, struct region_store *of)
{
    size_t n = 1;
    while (n) {
        struct arena a;
        struct feed_entry *e;
        struct feed_mark last;
        arena_init(&a, 0);
        ck_assert_int_eq(
            meta_feed_read(of->m, of->region, &f->read, NULL, 0, 500, &a, &e, &n, &last), 0);
        ck_assert_int_eq(meta_ingest(f->s.m, of->region, e, n, &last), 0);
        for (size_t i = 0; i < n; i++) {
            struct digest missing;
            ck_assert_int_eq(meta_apply(f->s.m, &e[i], e[i].content, NULL, 0, &missing), 0);
        }
        f->read = last;
        arena_done(&a);
    }
}

static void values_go(struct region_store *s, uint64_t upto)
{
    const struct drop_ask ask = {REG, upto, DROP_VALUES, 64};
    struct drop_at at = {0};
    struct dropped one = {0};
    ck_assert_int_eq(meta_floor_raise(s->m, REG, upto), 0);
    while (!one.at_end) {
        ck_assert_int_eq(meta_drop(s->m, &ask, &at, &one), 0);
        ck_assert(!one.kept);
    }
    ck_assert_int_eq(meta_floor_clear(s->m, REG, upto), 0);
}

static void tombstones_go(struct region_store *s, uint64_t upto)
{
    const struct drop_ask ask = {REG, upto, DROP_TOMBSTONES, 64};
    struct drop_at at = {0};
    struct dropped one = {0};
    while (!one.at_end)
        ck_assert_int_eq(meta_drop(s->m, &ask, &at, &one), 0);
}

static void outdone_go(struct region_store *s, uint64_t upto)
{
    for (size_t i = 0; i < 2; i++) {
        const struct trim_ask ask = {REG, two[i].s.region, upto, 500};
        struct trim_at at = {0};
        struct dropped one = {0};
        while (!one.at_end)
            ck_assert_int_eq(meta_trim(s->m, &ask, &at, &one), 0);
    }
}

static void old_go(void)
{
    uint64_t upto = hlc_from_wall(clock_wall_ms() - KEEP_DAYS * DAY);
    for (size_t i = 0; i < 2; i++)
        values_go(&two[i].s, upto);
    for (size_t i = 0; i < 2; i++) {
        tombstones_go(&two[i].s, upto);
        outdone_go(&two[i].s, upto);
    }
}

static size_t log_size(struct region_store *s)
{
    size_t all = 0;
    for (size_t i = 0; i < 2; i++) {
        struct arena a;
        struct feed_entry *e;
        arena_init(&a, 0);
        all += feed_all(s, two[i].s.region, &a, &e);
        arena_done(&a);
    }
    return all;
}

static off_t file_size(struct region_store *s)
{
    struct stat st;
    meta_close(s->m); // all is in one file then
    ck_assert_int_eq(stat(s->path, &st), 0);
    store_reopen(s);
    return st.st_size;
}

START_TEST(ninety_days_leave_what_a_week_and_the_living_need)
{
    size_t half = 0;
    off_t bytes = 0;
    clock_virtual_set(NOON);
    const char *where = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
    store_begin_in(&two[0].s, "eastus", where);
    store_begin_in(&two[1].s, "westeurope", where);
    for (int day = 1; day <= DAYS; day++) {
        for (size_t i = 0; i < 2; i++)
            day_make(&two[i].s, day);
        follow(&two[0], &two[1].s);
        follow(&two[1], &two[0].s);
        clock_virtual_advance(DAY);
        if (day % 5 == 0)
            old_go();
        if (day == DAYS / 2) {
            half = log_size(&two[0].s);
            bytes = file_size(&two[0].s);
        }
    }
    // in each region: of two tags 100 values, a week of moves of each, four manifests, and a week of what is
    // deleted, with the tombstones
    const size_t most = 2 * (2 * 100 + 4 + 1 + (KEEP_DAYS + 5) * (MOVES + 3 * DELETIONS));
    for (size_t i = 0; i < 2; i++)
        ck_assert_uint_le(log_size(&two[i].s), most);
    ck_assert_uint_le(log_size(&two[0].s), half + 2 * (MOVES + 3 * DELETIONS));
    ck_assert_int_le(file_size(&two[0].s), bytes + bytes / 10);
    for (size_t i = 0; i < 2; i++) {
        expect_tag(&two[i].s, "app", "moves0", "{2}");
        expect_tag(&two[i].s, "app", "moves1", "{3}");
        expect_tag(&two[i].s, "app", "day1-0", NULL);
        store_end(&two[i].s);
    }
    clock_virtual_off();
}
END_TEST

CHECK_MAIN("store/meta_long", ninety_days_leave_what_a_week_and_the_living_need)
