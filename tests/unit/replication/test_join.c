// SPDX-License-Identifier: Apache-2.0
// A region that joins takes snapshots in place of a long feed: a new region, and one that comes to a
// registry later; the feed goes on behind them, also after a kill between two pages.
#include "replication/join_state.h"

#include "replication/cursor.h"
#include "tests/support/check_main.h"
#include "tests/unit/replication/regions.h"

#include <string.h>

#define N_MOVES 25 // of one tag

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1];

// Entries of an origin that a region holds.
static size_t held_of(struct test_region *at, const char *origin)
{
    struct feed_mark zero = {0}, last;
    struct feed_entry *e;
    struct arena a;
    size_t n = 0;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_feed_read(at->meta, origin, &zero, NULL, 0, 5000, &a, &e, &n, &last), 0);
    arena_done(&a);
    return n;
}

// The same image under one tag, again and again, by turns with another one.
static void moves_push(struct test_region *at, const char *registry, struct digest *out)
{
    for (unsigned i = 0; i < N_MOVES; i++)
        region_push(at, registry, "app", "moves", i % 2, 1, 100, 0, out);
}

static bool joined(struct test_region *at, const char *registry)
{
    json_t *row = row_of(at, registry, "eastus");
    const json_t *joining = json_object_get(row, "joining");
    const char *state = json_string_value(json_object_get(joining, "state"));
    bool is = state && strcmp(state, "COMPLETE") == 0 &&
              json_integer_value(json_object_get(joining, "entries")) > 0;
    json_decref(row);
    return is;
}

static void west_begins(unsigned join_feed_min)
{
    world_make(&w);
    west->join_feed_min = join_feed_min;
    region_up(east);
    region_up(&w.regions[2]);
}

START_TEST(a_new_region_joins_by_snapshots)
{
    struct digest d, e;
    west_begins(10);
    moves_push(east, "contoso", &d);
    region_up(west);
    WAIT_FOR(region_has(west, "contoso", "app", "moves", &d), 30000);
    WAIT_FOR(joined(west, "contoso"), 10000);
    // the feed goes on from the snapshot, and own writes go out
    region_push(east, "contoso", "app", "later", 7, 1, 100, 0, &e);
    WAIT_FOR(region_has(west, "contoso", "app", "later", &e), 20000);
    ck_assert(state_is(west, "contoso", "eastus", "Ready"));
    region_push(west, "contoso", "app", "west", 8, 1, 100, 0, &e);
    WAIT_FOR(region_has(east, "contoso", "app", "west", &e), 20000);
    world_done(&w);
}
END_TEST

START_TEST(a_short_feed_is_read_from_its_beginning)
{
    struct digest d;
    west_begins(100000);
    moves_push(east, "contoso", &d);
    region_up(west);
    WAIT_FOR(region_has(west, "contoso", "app", "moves", &d), 30000);
    ck_assert(!joined(west, "contoso"));
    ck_assert_uint_eq(held_of(west, "eastus"), held_of(east, "eastus"));
    world_done(&w);
}
END_TEST

START_TEST(who_comes_to_a_registry_later_takes_its_snapshot)
{
    struct digest d, e;
    west_begins(10);
    region_up(west);
    moves_push(east, "contoso", &e);
    moves_push(east, "fabrikam", &d);
    WAIT_FOR(region_has(west, "contoso", "app", "moves", &e), 30000);
    world_topology(&w, 2, true);
    WAIT_FOR(region_has(west, "fabrikam", "app", "moves", &d), 30000);
    WAIT_FOR(joined(west, "fabrikam"), 10000);
    region_push(east, "fabrikam", "app", "later", 7, 1, 100, 0, &e);
    WAIT_FOR(region_has(west, "fabrikam", "app", "later", &e), 20000);
    world_done(&w);
}
END_TEST

// How far the snapshot is by its record: 0 before the first page.
static uint64_t progress(struct join_row *out)
{
    if (join_state_get(west->dir, "eastus", "contoso", out))
        return 0;
    return out->n_entries;
}

// It goes down while pages come, again and again: each run goes on with what its record says.
START_TEST(what_was_begun_goes_on_after_each_end)
{
    struct digest d, e;
    struct join_row row = {0};
    uint64_t last = 0;
    int64_t began_ms = 0;
    unsigned n_runs = 0;
    west_begins(10);
    west->join_page_max = 1;
    moves_push(east, "contoso", &d);
    while (row.phase != JOIN_COMPLETE) {
        region_up(west);
        // the last page may be empty
        WAIT_FOR(progress(&row) > last || row.phase == JOIN_COMPLETE, 30000);
        region_down(west);
        ck_assert_uint_ge(progress(&row), last);
        last = row.n_entries;
        if (!began_ms)
            began_ms = row.began_ms;
        ck_assert_int_eq(row.began_ms, began_ms); // not anew
        n_runs++;
    }
    ck_assert(!row.of || row.looked <= row.of); // 0: of version 1, which has no numbers
    ck_assert_uint_le(row.n_entries, held_of(east, "eastus") + 1); // the chain's end came twice
    region_up(west);
    WAIT_FOR(region_has(west, "contoso", "app", "moves", &d), 30000);
    region_push(east, "contoso", "app", "later", 7, 1, 100, 0, &e);
    WAIT_FOR(region_has(west, "contoso", "app", "later", &e), 20000);
    ck_assert(state_is(west, "contoso", "eastus", "Ready"));
    ck_assert_uint_ge(n_runs, 2);
    world_done(&w);
}
END_TEST

static int ask(const char *more)
{
    char target[512];
    snprintf(target, sizeof target, "/replication/v1/snapshot?%s", more);
    return region_ask(east, west, "GET", target, "peer", NULL);
}

START_TEST(questions_that_are_none_are_refused)
{
    struct digest d;
    world_up(&w);
    region_push(east, "contoso", "app", "1", 1, 1, 100, 0, &d);
    ck_assert_int_eq(ask("registry=contoso"), 200);
    ck_assert_int_eq(ask("registry=contoso&at=&after="), 200);
    ck_assert_int_eq(ask("registry=fabrikam"), 403); // not held in westeurope
    ck_assert_int_eq(ask("registry=nobody"), 403);
    ck_assert_int_eq(ask(""), 403);
    ck_assert_int_eq(ask("registry=contoso&at=x"), 400);
    ck_assert_int_eq(ask("registry=contoso&at=&after=abc"), 400);
    ck_assert_int_eq(ask("registry=contoso&after=abc"), 400);
    ck_assert_int_eq(ask("registry=contoso&max=0"), 400);
    ck_assert_int_eq(ask("registry=contoso&max=1x"), 400);
    char cursor[CURSOR_TEXT_SIZE], more[CURSOR_TEXT_SIZE + 64];
    struct feed_mark at = {.epoch = 77, .seq = 9};
    snprintf(more, sizeof more, "registry=contoso&at=%s", cursor_format(&at, cursor));
    ck_assert_int_eq(ask(more), 409);
    world_done(&w);
}
END_TEST

CHECK_MAIN("replication/join", a_new_region_joins_by_snapshots,
           a_short_feed_is_read_from_its_beginning,
           who_comes_to_a_registry_later_takes_its_snapshot, what_was_begun_goes_on_after_each_end,
           questions_that_are_none_are_refused)
