// SPDX-License-Identifier: Apache-2.0
// store/meta_floor: a floor only goes up and is durable; what would bring back something below it is
// not applied, whatever brings it, and is listed.
#include "store/meta_delete.h"
#include "store/meta_floor.h"
#include "store/meta_snapshot.h"
#include "tests/unit/store/meta_support.h"

static struct region_store east, west;

static void begin(void)
{
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
}

static void end(void)
{
    store_end(&east);
    store_end(&west);
}

static struct meta_floor floor_of(struct region_store *s)
{
    struct meta_floor f;
    ck_assert_int_eq(meta_floor_get(s->m, REG, &f), 0);
    return f;
}

static uint64_t top_stamp(struct region_store *s)
{
    struct arena a;
    struct feed_entry *e;
    arena_init(&a, 0);
    size_t n = feed_all(s, s->region, &a, &e);
    uint64_t stamp = e[n - 1].stamp;
    arena_done(&a);
    return stamp;
}

// All that east wrote comes to west, as its feed brings it, or by register.
static void carry(bool by_register)
{
    struct arena a;
    struct feed_entry *e;
    arena_init(&a, 0);
    size_t n = feed_all(&east, "eastus", &a, &e);
    struct feed_mark upto = {.epoch = e[n - 1].epoch, .seq = e[n - 1].seq};
    memcpy(upto.hash, e[n - 1].hash, sizeof upto.hash);
    if (by_register)
        ck_assert_int_eq(meta_snapshot_take(west.m, "eastus", e, n), 0);
    else
        ck_assert_int_eq(meta_ingest(west.m, "eastus", e, n, &upto), 0);
    arena_done(&a);
}

static void run_jobs(void)
{
    for (bool moved = true; moved;) {
        struct arena a;
        struct job *jobs;
        size_t n;
        int64_t next;
        moved = false;
        arena_init(&a, 0);
        ck_assert_int_eq(meta_jobs_due(west.m, clock_mono_ms(), 32, &a, &jobs, &n, &next), 0);
        for (size_t i = 0; i < n; i++) {
            const struct feed_entry *e = &jobs[i].entry;
            struct digest missing;
            int rc = meta_apply(west.m, e, e->content, NULL, 0, &missing);
            moved = moved || rc == 0;
            if (rc)
                ck_assert_int_eq(
                    meta_job_retry(west.m, jobs[i].id, clock_mono_ms() + 3600000, NULL), 0);
        }
        arena_done(&a);
    }
}

START_TEST(a_floor_goes_up_and_is_durable)
{
    begin();
    ck_assert_uint_eq(floor_of(&west).floor, 0);
    ck_assert_int_eq(meta_floor_raise(west.m, REG, 9), 0);
    ck_assert_int_eq(meta_floor_raise(west.m, REG, 5), 0);
    ck_assert_int_eq(meta_floor_hear(west.m, REG, 12), 0);
    ck_assert_int_eq(meta_floor_hear(west.m, REG, 11), 0);
    meta_close(west.m);
    store_reopen(&west);
    struct meta_floor f = floor_of(&west);
    ck_assert(f.floor == 9 && f.heard == 12 && f.n_refused == 0);
    ck_assert_int_eq(meta_floor_get(west.m, "fabrikam", &f), 0);
    ck_assert(f.floor == 0 && f.heard == 0); // each registry has its own
    end();
}
END_TEST

static void nothing_below_comes(bool by_register)
{
    struct arena a;
    struct feed_entry *e;
    size_t n;
    begin();
    arena_init(&a, 0);
    ck_assert_int_eq(put(&east, "app", "old", "{1}"), 0); // a manifest and a tag
    ck_assert_int_eq(meta_floor_raise(west.m, REG, top_stamp(&east)), 0);
    ck_assert_int_eq(put(&east, "app", "new", "{2}"), 0);
    carry(by_register);
    run_jobs();
    expect_tag(&west, "app", "old", NULL);
    expect_tag(&west, "app", "new", "{2}");
    ck_assert_uint_eq(floor_of(&west).n_refused, 2);
    ck_assert_int_eq(meta_floor_refused(west.m, REG, 10, &a, &e, &n), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert(e[0].seq == 2 && e[1].seq == 1);
    // once more: nothing changes, and nothing is counted twice
    carry(by_register);
    run_jobs();
    expect_tag(&west, "app", "old", NULL);
    ck_assert_uint_eq(floor_of(&west).n_refused, 2);
    ck_assert_uint_eq(head_seq(&west, "eastus"), 4); // the log has no gap
    arena_done(&a);
    end();
}

START_TEST(what_a_feed_brings_below_the_floor_is_refused)
{
    nothing_below_comes(false);
}
END_TEST

START_TEST(what_a_snapshot_brings_below_the_floor_is_refused)
{
    nothing_below_comes(true);
}
END_TEST

START_TEST(what_is_here_is_judged_by_its_register)
{
    begin();
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    carry(false);
    run_jobs();
    ck_assert_int_eq(put(&east, "app", "v1", "{2}"), 0);
    ck_assert_int_eq(meta_floor_raise(west.m, REG, top_stamp(&east)), 0);
    struct arena a;
    struct delete_result gone;
    const struct delete_request r = {.registry = REG, .repository = "app", .tag = "v1"};
    arena_init(&a, 0);
    ck_assert_int_eq(meta_tag_delete(east.m, &r, &a, &gone), 0);
    carry(false);
    run_jobs();
    // the manifest of the second value was refused, so its tag waits; the tombstone comes all the same
    expect_tag(&west, "app", "v1", NULL);
    ck_assert_uint_eq(floor_of(&west).n_refused, 1);
    arena_done(&a);
    end();
}
END_TEST

START_TEST(a_job_from_before_is_applied)
{
    begin();
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    carry(false);
    // as when they were parked meanwhile, for want of room
    ck_assert_int_eq(meta_floor_raise(west.m, REG, top_stamp(&east)), 0);
    run_jobs();
    expect_tag(&west, "app", "v1", "{1}");
    ck_assert_uint_eq(floor_of(&west).n_refused, 0);
    end();
}
END_TEST

CHECK_MAIN("store/meta_floor", a_floor_goes_up_and_is_durable,
           what_a_feed_brings_below_the_floor_is_refused,
           what_a_snapshot_brings_below_the_floor_is_refused,
           what_is_here_is_judged_by_its_register, a_job_from_before_is_applied)
