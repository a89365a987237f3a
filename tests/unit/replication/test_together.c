// SPDX-License-Identifier: Apache-2.0
// The blobs of one manifest are fetched together, small ones first, each once; a source that stops
// answering in the middle of it holds up nobody else.
#include "replication/blob_group.h"
#include "tests/unit/replication/regions.h"

#include "base/clock.h"
#include "base/err.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];

START_TEST(a_worker_and_its_helpers_fetch_at_once)
{
    struct digest d;
    world_up(&w);
    region_down(south);
    region_down(west);
    region_push(east, "contoso", "app", "1", 1, 8, 20000, 0, &d);
    east->fault = FAULT_HANGS_ON;
    region_up(west);
    // the config, and the first layers
    WAIT_FOR(east->n_blob_gets >= 1 + 1 + BLOB_GROUP_HELPERS, 10000);
    ck_assert(!region_has(west, "contoso", "app", "1", &d));
    east->fault = FAULT_NONE;
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 40000);
    world_done(&w);
}
END_TEST

#define N_TAGS 60

// Manifests and tags whose content is here take a transaction for several, not one each.
START_TEST(entries_are_applied_together)
{
    struct digest d;
    struct meta_commits c;
    char tag[8];
    world_up(&w);
    region_down(south);
    region_push(east, "contoso", "app", "first", 1, 1, 3000, 0, &d);
    WAIT_FOR(region_has(west, "contoso", "app", "first", &d), 20000);
    region_down(west);
    for (unsigned i = 0; i < N_TAGS; i++) {
        snprintf(tag, sizeof tag, "t%u", i);
        region_push(east, "contoso", "app", tag, 1, 1, 3000, 0, &d);
    }
    region_up(west);
    for (unsigned i = 0; i < N_TAGS; i++) {
        snprintf(tag, sizeof tag, "t%u", i);
        WAIT_FOR(region_has(west, "contoso", "app", tag, &d), 20000);
    }
    meta_commits_get(west->meta, &c);
    ck_assert_uint_lt(c.n_commits, N_TAGS / 2); // of two entries each
    world_done(&w);
}
END_TEST

START_TEST(each_blob_is_fetched_once)
{
    struct digest d[6];
    world_up(&w);
    region_down(south);
    region_down(west);
    for (unsigned i = 0; i < 6; i++)
        region_push(east, "contoso", "app", (const char[]){(char)('a' + i), 0}, 10 + i, 9, 30000, 0,
                    &d[i]);
    region_up(west);
    for (unsigned i = 0; i < 6; i++)
        WAIT_FOR(region_has(west, "contoso", "app", (const char[]){(char)('a' + i), 0}, &d[i]),
                 30000);
    ck_assert_uint_eq(east->n_blob_gets, 6 * 10);
    json_t *row = row_of(west, "contoso", "eastus");
    ck_assert_int_eq(json_integer_value(json_object_get(row, "bytesToGo")), 0);
    json_decref(row);
    world_done(&w);
}
END_TEST

START_TEST(one_wrong_blob_of_many_fails_the_try_and_nothing_else)
{
    struct digest d;
    world_up(&w);
    region_down(south);
    region_down(west);
    region_push(east, "contoso", "app", "1", 1, 8, 20000, 0, &d);
    east->fault = FAULT_LIES;
    region_up(west);
    WAIT_FOR(error_has(west, "eastus", "wrong bytes"), 20000);
    ck_assert(!region_has(west, "contoso", "app", "1", &d));
    east->fault = FAULT_NONE;
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 40000);
    world_done(&w);
}
END_TEST

// Workers and helpers hang at eastus; what southeastasia has is not held up by them.
START_TEST(a_source_that_hangs_on_does_not_hold_the_workers)
{
    struct digest d;
    char tag[8];
    world_up(&w);
    world_topology(&w, 2, true); // fabrikam in all regions
    east->fault = FAULT_HANGS_ON;
    for (unsigned i = 0; i < 10; i++) {
        snprintf(tag, sizeof tag, "%u", i);
        region_push(east, "contoso", "app", tag, 100 + i, 8, 20000, 0, &d);
    }
    WAIT_FOR(east->n_blob_gets >= 8, 20000);
    for (unsigned i = 0; i < 6; i++) {
        snprintf(tag, sizeof tag, "f%u", i);
        int64_t began = clock_mono_ms();
        region_push(south, "fabrikam", "tool", tag, 500 + i, 2, 30000, 0, &d);
        WAIT_FOR(region_has(west, "fabrikam", "tool", tag, &d), 12000);
        ck_assert_int_lt(clock_mono_ms() - began, 12000);
    }
    world_done(&w);
}
END_TEST

CHECK_MAIN("replication/together", a_worker_and_its_helpers_fetch_at_once,
           entries_are_applied_together, each_blob_is_fetched_once,
           one_wrong_blob_of_many_fails_the_try_and_nothing_else,
           a_source_that_hangs_on_does_not_hold_the_workers)
