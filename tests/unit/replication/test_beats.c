// SPDX-License-Identifier: Apache-2.0
// Beats of feeds: what silence is, and what it is not.
#include "tests/unit/replication/regions.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "net/response_reader.h"
#include "replication/cursor.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];

static bool all_ready(void)
{
    bool all = true;
    for (size_t i = 0; i < N_REGIONS; i++)
        for (size_t k = 0; k < N_REGIONS; k++)
            all = all && (i == k || state_is(&w.regions[i], "contoso", w.regions[k].name, "Ready"));
    return all;
}

START_TEST(silence_is_shown_as_lag_and_ends_what_runs_to_that_region)
{
    struct digest d;
    bool says;
    world_up(&w);
    WAIT_FOR(all_ready(), 20000);
    east->fault = FAULT_HANGS;
    region_push(east, "contoso", "app", "1", 1, 1, 20000, 0, &d);
    WAIT_FOR(east->n_blob_gets >= 1, 10000);
    east->fault = FAULT_MUTE;
    south->fault = FAULT_MUTE_OLD; // of a version that spoke every 15 s
    int64_t began = clock_mono_ms();
    // feeds begin anew, and the east's goes silent after its first line
    world_topology(&w, 2, false);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Unreachable"), 20000);
    ck_assert_int_ge(clock_mono_ms() - began, 3500); // one beat that is missed is nothing yet
    ck_assert_int_ge(lag_of(west, "eastus", "silent", &says), 4);
    ck_assert(says);
    WAIT_FOR(west->n_away >= 1, 10000);
    // The blob that was hanging goes back to its job, long before its own limit of 15 s.
    ck_assert(state_is(west, "contoso", "southeastasia", "Ready"));
    east->fault = south->fault = FAULT_NONE;
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 12000);
    ck_assert_int_lt(clock_mono_ms() - began, 14000);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 10000);
    ck_assert_int_eq(lag_of(west, "eastus", "silent", &says), 0);
    WAIT_FOR(west->n_back >= 3, 5000);
    world_done(&w);
}
END_TEST

START_TEST(an_inbound_contact_ends_the_wait_for_a_stream_that_says_nothing)
{
    world_up(&w);
    WAIT_FOR(all_ready(), 20000);
    east->fault = FAULT_MUTE;
    world_topology(&w, 2, false);
    WAIT_FOR(east->n_mute_feeds == 2, 10000);
    clock_sleep_ms(3300); // one beat is missed, and nothing came from the east either
    ck_assert_uint_eq(east->n_mute_feeds, 2);
    east->fault = FAULT_NONE;
    int64_t began = clock_mono_ms();
    replicator_inbound_contact(west->replicator, "eastus");
    WAIT_FOR(west->n_away == 0 && clock_mono_ms() - began > 4500, 10000); // it is heard in time
    ck_assert_uint_eq(west->n_away, 0);
    world_done(&w);
}
END_TEST

static _Atomic bool pools_held;

static void hold_pool(void *arg)
{
    (void)arg;
    while (pools_held)
        clock_sleep_ms(10);
}

static struct pool_job holds[N_REGIONS][4];

static bool mark_is_written(const struct test_region *at, const struct test_region *of)
{
    struct arena a;
    struct origin_status *list = NULL;
    struct feed_mark head;
    size_t n = 0;
    ck_assert_int_eq(meta_head(of->meta, of->name, &head), 0);
    bool is = mark_is_zero(&head);
    arena_init(&a, 0);
    ck_assert_int_eq(meta_origins(at->meta, &a, &list, &n), 0);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i].origin, of->name))
            is = mark_equal(&list[i].read, &head);
    arena_done(&a);
    return is;
}

// Has every region written down that it has read all of the others?
static bool marks_are_written(void)
{
    bool all = true;
    for (size_t i = 0; i < N_REGIONS; i++)
        for (size_t k = 0; k < N_REGIONS; k++)
            all = all && (i == k || mark_is_written(&w.regions[i], &w.regions[k]));
    return all;
}

static void wal_stat(const struct test_region *r, struct stat *out)
{
    char path[400];
    snprintf(path, sizeof path, "%s/meta.db-wal", r->dir);
    ck_assert_int_eq(stat(path, out), 0);
}

// In that time.
static bool nothing_is_written(int64_t ms)
{
    struct stat before[N_REGIONS], after;
    bool same = true;
    for (size_t i = 0; i < N_REGIONS; i++)
        wal_stat(&w.regions[i], &before[i]);
    clock_sleep_ms(ms);
    for (size_t i = 0; i < N_REGIONS; i++) {
        wal_stat(&w.regions[i], &after);
        same = same && !memcmp(&after.st_mtim, &before[i].st_mtim, sizeof after.st_mtim);
    }
    return same;
}

START_TEST(a_busy_pool_is_not_silence_and_beats_write_nothing)
{
    struct digest d;
    struct stat before[N_REGIONS], after;
    world_up(&w);
    region_push(east, "contoso", "app", "1", 1, 1, 1000, 0, &d);
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d) &&
                 region_has(south, "contoso", "app", "1", &d),
             10000);
    WAIT_FOR(all_ready(), 20000);
    WAIT_FOR(marks_are_written(), 10000);
    WAIT_FOR(nothing_is_written(300), 10000);
    pools_held = true;
    for (size_t i = 0; i < N_REGIONS; i++) {
        wal_stat(&w.regions[i], &before[i]);
        for (int k = 0; k < 4; k++) // all of its threads
            holds[i][k] = (struct pool_job){.run = hold_pool};
        for (int k = 0; k < 4; k++)
            ck_assert_int_eq(pool_submit(w.regions[i].pool, &holds[i][k]), 0);
    }
    for (int64_t until = clock_mono_ms() + 9000; clock_mono_ms() < until; clock_sleep_ms(100))
        ck_assert(!state_is(west, "contoso", "eastus", "Unreachable"));
    ck_assert_uint_eq(west->n_away + south->n_away + east->n_away, 0);
    for (size_t i = 0; i < N_REGIONS; i++) {
        wal_stat(&w.regions[i], &after);
        ck_assert_int_eq(after.st_size, before[i].st_size);
        ck_assert_mem_eq(&after.st_mtim, &before[i].st_mtim, sizeof after.st_mtim);
    }
    pools_held = false;
    world_done(&w);
}
END_TEST

START_TEST(a_newer_stream_of_a_reader_ends_its_older_one)
{
    char socket[300], piece[4096];
    static const _Atomic bool never;
    world_up(&w);
    WAIT_FOR(all_ready(), 20000);
    snprintf(socket, sizeof socket, "%s/0.from.1.sock", w.dir);
    struct fetch_request q = {
        .url = "http://eastus.peer.example.io/replication/v1/feed?beat=1&speaks=2&after=",
        .unix_socket = socket,
        .idle_timeout_ms = 20000};
    struct response_reader *f;
    ck_assert_int_eq(response_reader_open(west->fetcher, &q, &never, &f), 0);
    ck_assert_int_eq(response_reader_status(f, 5000), 200);
    ssize_t n, all = 0;
    // The real reader of the west lost its stream by ours, comes again, and ends ours by that.
    while ((n = response_reader_read(f, piece, sizeof piece, 10000)) > 0) {
        if (!all)
            ck_assert_ptr_nonnull(memmem(piece, (size_t)n, "\"beatMs\":2000", 13));
        all += n;
    }
    ck_assert_int_eq(n, 0);
    ck_assert_int_gt(all, 0);
    response_reader_close(f);
    WAIT_FOR(all_ready(), 10000);
    world_done(&w);
}
END_TEST

CHECK_MAIN("replication/beats", silence_is_shown_as_lag_and_ends_what_runs_to_that_region,
           an_inbound_contact_ends_the_wait_for_a_stream_that_says_nothing,
           a_busy_pool_is_not_silence_and_beats_write_nothing,
           a_newer_stream_of_a_reader_ends_its_older_one)
