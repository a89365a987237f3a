// SPDX-License-Identifier: Apache-2.0
// What was deleted goes for good in all regions, by the words of all, and does not come back: by who
// was away, by who loses its disk, or by what an old backup says. Real readers, over sockets.
#include "tests/unit/replication/regions.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "replication/dropper_state.h"
#include "replication/settle.h"
#include "store/meta_delete.h"
#include "store/meta_drop.h"
#include "store/meta_floor.h"
#include "store/meta_snapshot.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_MS 86400000ll

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];

static void begin(void)
{
    world_make(&w);
    w.skew_s = 5; // the least: promises are behind the clock by it
    world_topology(&w, 2, false);
    for (size_t i = 0; i < N_REGIONS; i++) {
        w.regions[i].words_every_ms = 100;
        w.regions[i].drop_every_ms = 50;
        region_up(&w.regions[i]);
    }
    for (size_t i = 0; i < N_REGIONS; i++)
        WAIT_FOR(region_writes_open(&w.regions[i]), 30000);
}

static void manifest_delete(struct test_region *r, const struct digest *d)
{
    struct arena a;
    struct delete_result out;
    const struct delete_request q = {.registry = "contoso", .repository = "app", .digest = d};
    arena_init(&a, 0);
    WAIT_FOR(meta_manifest_delete(r->meta, &q, &a, &out) == 0, 30000);
    arena_done(&a);
}

static bool shows(struct test_region *r, const char *tag)
{
    struct arena a;
    struct manifest_row row;
    arena_init(&a, 0);
    int rc = meta_manifest_get(r->meta, "contoso", "app", tag, NULL, &a, &row);
    arena_done(&a);
    return rc == 0;
}

static bool all_show(const char *tag, bool want)
{
    for (size_t i = 0; i < N_REGIONS; i++)
        if (shows(&w.regions[i], tag) != want)
            return false;
    return true;
}

// Nothing is left of the manifest, nor of its tombstone.
static bool forgot(struct test_region *r, const struct digest *d)
{
    struct arena a;
    struct meta_register reg;
    arena_init(&a, 0);
    int rc = meta_manifest_register(r->meta, "contoso", "app", d, &a, &reg);
    arena_done(&a);
    return rc == ERR_NOTFOUND;
}

static bool all_forgot(const struct digest *d)
{
    for (size_t i = 0; i < N_REGIONS; i++)
        if (!forgot(&w.regions[i], d))
            return false;
    return true;
}

// What a region writes moves its promise at once; at rest that lags by the skew.
static void all_write(const char *tag)
{
    struct digest d;
    for (size_t i = 0; i < N_REGIONS; i++)
        region_push(&w.regions[i], "contoso", "tick", tag, 90, 1, 10, 0, &d);
}

static uint64_t floor_of(struct test_region *r)
{
    struct meta_floor f;
    ck_assert_int_eq(meta_floor_get(r->meta, "contoso", &f), 0);
    return f.floor;
}

START_TEST(what_was_deleted_goes_everywhere_and_stays_gone)
{
    struct digest keep, gone, again;
    struct arena a;
    struct feed_entry *old;
    struct feed_mark zero = {0}, last;
    size_t n;
    begin();
    arena_init(&a, 0);
    region_push(east, "contoso", "app", "gone", 1, 1, 100, 0, &gone);
    region_push(east, "contoso", "app", "keep", 2, 1, 100, 0, &keep);
    WAIT_FOR(all_show("gone", true) && all_show("keep", true), 30000);
    ck_assert_int_eq(meta_feed_read(east->meta, "eastus", &zero, NULL, 0, 100, &a, &old, &n, &last),
                     0);
    manifest_delete(west, &gone);
    WAIT_FOR(all_show("gone", false), 30000);
    all_write("1");
    WAIT_FOR(all_forgot(&gone), 60000);
    ck_assert(all_show("gone", false) && all_show("keep", true));
    // as an old backup of east's would say it, to south
    ck_assert_int_eq(meta_snapshot_take(south->meta, "eastus", old, n), 0);
    // the names are free, and what is written there anew stays
    region_push(south, "contoso", "app", "gone", 3, 1, 100, 0, &again);
    WAIT_FOR(all_show("gone", true), 30000);
    for (size_t i = 0; i < N_REGIONS; i++) {
        ck_assert(region_has(&w.regions[i], "contoso", "app", "gone", &again));
        ck_assert(forgot(&w.regions[i], &gone));
    }
    arena_done(&a);
    world_done(&w);
}
END_TEST

START_TEST(who_is_away_holds_it_back)
{
    struct digest gone, d;
    begin();
    region_push(east, "contoso", "app", "gone", 1, 1, 100, 0, &gone);
    WAIT_FOR(all_show("gone", true), 30000);
    region_cut(south, true);
    manifest_delete(west, &gone);
    WAIT_FOR(!shows(east, "gone"), 30000);
    uint64_t then = hlc_from_wall(clock_wall_ms());
    region_push(east, "contoso", "tick", "1", 90, 1, 10, 0, &d);
    region_push(west, "contoso", "tick", "1", 91, 1, 10, 0, &d);
    clock_sleep_ms(1000); // five rounds of words, and ten of looks
    ck_assert(!forgot(east, &gone) && !forgot(west, &gone));
    ck_assert_uint_lt(floor_of(east), then);
    region_cut(south, false);
    WAIT_FOR(all_show("gone", false), 30000);
    all_write("2");
    WAIT_FOR(all_forgot(&gone), 60000);
    ck_assert(all_show("gone", false));
    world_done(&w);
}
END_TEST

static void disk_lose(struct test_region *r)
{
    char path[400];
    static const char *const files[] = {"meta.db", "meta.db-wal", "meta.db-shm",
                                        "replication.json"};
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", r->dir, files[i]);
        remove(path);
    }
    snprintf(path, sizeof path, "%s/store", r->dir);
    ck_assert_int_eq(dir_remove_tree(path), 0);
}

START_TEST(who_begins_anew_gets_what_lives)
{
    struct digest keep, gone, own;
    begin();
    region_push(south, "contoso", "app", "own", 5, 1, 100, 0, &own);
    region_push(south, "contoso", "app", "gone", 1, 1, 100, 0, &gone);
    region_push(east, "contoso", "app", "keep", 2, 1, 100, 0, &keep);
    WAIT_FOR(all_show("gone", true) && all_show("keep", true) && all_show("own", true), 30000);
    manifest_delete(south, &gone);
    WAIT_FOR(all_show("gone", false), 30000);
    all_write("1");
    WAIT_FOR(all_forgot(&gone), 60000);
    region_down(south);
    disk_lose(south);
    region_up(south);
    WAIT_FOR(all_show("keep", true) && all_show("own", true), 60000);
    WAIT_FOR(region_writes_open(south), 60000);
    ck_assert(all_show("gone", false));
    region_push(south, "contoso", "app", "next", 6, 1, 100, 0, &own);
    WAIT_FOR(all_show("next", true), 60000);
    ck_assert(all_show("gone", false) && all_forgot(&gone));
    world_done(&w);
}
END_TEST

// As `meridian region forget` does with east.
static void east_is_sealed(unsigned version)
{
    struct feed_mark at;
    char hash[2 * ENTRY_HASH_BYTES + 1];
    ck_assert_int_eq(meta_head(west->meta, "eastus", &at), 0);
    hex_format(at.hash, ENTRY_HASH_BYTES, hash);
    snprintf(w.sealed[0], sizeof w.sealed[0], "{ epoch: %llu, seq: %llu, hash: \"%s\" }",
             (unsigned long long)at.epoch, (unsigned long long)at.seq, hash);
    world_topology(&w, version, false);
}

// What others hand on of a region that was forgotten has holes where it was dropped.
START_TEST(who_joins_gets_what_lives_of_a_forgotten_region)
{
    struct digest keep, gone;
    begin();
    region_push(east, "contoso", "app", "gone", 1, 1, 100, 0, &gone);
    region_push(east, "contoso", "app", "keep", 2, 1, 100, 0, &keep);
    WAIT_FOR(all_show("gone", true) && all_show("keep", true), 30000);
    manifest_delete(west, &gone);
    WAIT_FOR(all_show("gone", false), 30000);
    all_write("1");
    WAIT_FOR(all_forgot(&gone), 60000);
    WAIT_FOR(shows(west, "keep") && shows(south, "keep"), 30000);
    region_down(east);
    region_down(south);
    disk_lose(south);
    east_is_sealed(3);
    region_up(south);
    WAIT_FOR(region_has(south, "contoso", "app", "keep", &keep), 60000);
    ck_assert(!shows(south, "gone") && forgot(south, &gone));
    world_done(&w);
}
END_TEST

// --- when ---

START_TEST(a_stamp_is_used_when_it_has_settled)
{
    struct settled s = {0};
    struct settle_view v = {
        .reached = 10, .everywhere = 10, .ahead = 50, .mono_ms = 1000, .lease_ms = 60};
    ck_assert_uint_eq(settle_step(&s, &v), 0);
    v.everywhere = 49;
    v.mono_ms = 1100;
    ck_assert_uint_eq(settle_step(&s, &v), 0); // somebody may have written below 50
    v.everywhere = 50;
    v.mono_ms = 1059;
    ck_assert_uint_eq(settle_step(&s, &v), 0); // older words count still
    v.mono_ms = 1060;
    v.reached = 40;
    v.ahead = 90;
    ck_assert_uint_eq(settle_step(&s, &v), 10);
    v.reached = 4; // a member began anew
    ck_assert_uint_eq(settle_step(&s, &v), 4);
    v = (struct settle_view){40, 90, 130, 1120, 60};
    ck_assert_uint_eq(settle_step(&s, &v), 40);
}
END_TEST

static uint64_t kept(struct settle_steps *k, int64_t stamp_ms, int64_t now)
{
    uint64_t out;
    (void)settle_keep(k, hlc_from_wall(stamp_ms), now, 8 * DAY_MS, &out);
    return out;
}

START_TEST(what_is_kept_ends_at_the_same_stamps_everywhere)
{
    struct settle_steps a = {0}, b = {0};
    int64_t now = 1800000000000;
    uint64_t one = 0, other = 0;
    for (int i = 0; i < 24 * 10; i++, now += DAY_MS / 24) {
        one = kept(&a, now - 2000, now);
        other = kept(&b, now - 5000, now + 1000);
        ck_assert_uint_le(a.n, 9);
    }
    ck_assert_uint_gt(one, 0);
    ck_assert_uint_eq(one, other);
    ck_assert_int_eq(hlc_wall_ms(one) % DAY_MS, 0);
    ck_assert_int_le(hlc_wall_ms(one), now - 8 * DAY_MS);
    ck_assert_int_ge(hlc_wall_ms(one), now - 10 * DAY_MS);
}
END_TEST

// A member was away for twenty days. What it has applied just now is kept from now on, whatever its age;
// over a restart, too.
START_TEST(what_is_kept_counts_from_when_all_had_it)
{
    struct settle_steps k = {0}, other;
    const int64_t now = 1800000000000, then = now - 20 * DAY_MS;
    char dir[] = "/tmp/meridian-kept-XXXXXX", path[64];
    json_t *all;
    ck_assert_ptr_nonnull(mkdtemp(dir));
    for (int i = 0; i < 20; i++)
        (void)kept(&k, then, then + i * DAY_MS);
    uint64_t before = kept(&k, then, now - 1000);
    ck_assert_int_le(hlc_wall_ms(before), then);
    ck_assert_uint_eq(kept(&k, now - 5 * DAY_MS, now), before);
    ck_assert_int_eq(dropper_state_load(dir, &all), 0);
    dropper_state_get(all, "contoso", &other);
    ck_assert(!other.n && !other.ready);
    ck_assert_int_eq(dropper_state_set(all, "contoso", &k), 0);
    ck_assert_int_eq(dropper_state_save(dir, all), 0);
    json_decref(all);
    ck_assert_int_eq(dropper_state_load(dir, &all), 0);
    dropper_state_get(all, "contoso", &other);
    ck_assert(other.n == k.n && other.ready == k.ready);
    ck_assert_uint_eq(kept(&other, now - 1000, now + 8 * DAY_MS - 1), before);
    uint64_t after = kept(&other, now - 1000, now + 8 * DAY_MS);
    ck_assert_uint_gt(after, before);
    ck_assert_int_le(hlc_wall_ms(after), now - 5 * DAY_MS);
    // a member began anew: no more than all have
    ck_assert_uint_eq(kept(&other, 1000, now + 8 * DAY_MS), hlc_from_wall(1000));
    json_decref(all);
    snprintf(path, sizeof path, "%s/kept.json", dir);
    ck_assert_int_eq(file_write_atomic(path, "{", 1, 0600), 0);
    ck_assert_int_eq(dropper_state_load(dir, &all), 0); // damaged: anew
    ck_assert_uint_eq(json_object_size(all), 0);
    json_decref(all);
    remove(path);
    remove(dir);
}
END_TEST

CHECK_MAIN("replication/drop", what_was_deleted_goes_everywhere_and_stays_gone,
           who_is_away_holds_it_back, who_begins_anew_gets_what_lives,
           who_joins_gets_what_lives_of_a_forgotten_region, a_stamp_is_used_when_it_has_settled,
           what_is_kept_ends_at_the_same_stamps_everywhere,
           what_is_kept_counts_from_when_all_had_it)
