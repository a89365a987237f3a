// SPDX-License-Identifier: Apache-2.0
// Jobs between regions: who waits for whom, and for how long; what is shown meanwhile.
#include "tests/unit/replication/regions.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];

#define HOUR_MS 3600000

static struct origin_status pending(struct test_region *at, const char *registry,
                                    const char *origin)
{
    struct arena a;
    struct origin_status *list, found = {0};
    size_t n;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_origins_of(at->meta, registry, &a, &list, &n), 0);
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].origin, origin) == 0)
            found = list[i];
    arena_done(&a);
    found.origin = found.last_error = NULL; // they went with the arena
    return found;
}

// Moves every job to an hour from now. true: there are some, and all were there before.
static bool jobs_put_off(struct test_region *at)
{
    struct arena a;
    struct job *jobs;
    size_t n;
    int64_t next, now = clock_mono_ms();
    arena_init(&a, 0);
    ck_assert_int_eq(meta_jobs_due(at->meta, now + 2 * HOUR_MS, 64, &a, &jobs, &n, &next), 0);
    bool all = n > 0;
    for (size_t i = 0; i < n; i++)
        if (jobs[i].due_ms < now + HOUR_MS / 2) {
            ck_assert_int_eq(meta_job_retry(at->meta, jobs[i].id, now + HOUR_MS, "put off"), 0);
            all = false;
        }
    arena_done(&a);
    return all;
}

START_TEST(what_failed_is_tried_at_once_when_its_region_is_back)
{
    struct digest d;
    world_up(&w);
    region_cut(south, true);
    region_down(south);
    east->fault = FAULT_HANGS;
    region_push(east, "contoso", "app", "1", 1, 2, 20000, 0, &d);
    WAIT_FOR(pending(west, "contoso", "eastus").n_pending == 2, 10000);
    region_down(east);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Unreachable"), 10000);
    WAIT_FOR(jobs_put_off(west), 10000);
    ck_assert_uint_gt(pending(west, "contoso", "eastus").n_retrying, 0);
    east->fault = FAULT_NONE;
    region_up(east);
    // by its own time it would have been an hour
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 20000);
    world_done(&w);
}
END_TEST

START_TEST(a_blob_that_two_jobs_need_is_fetched_once)
{
    struct digest d[4];
    world_up(&w);
    region_down(south);
    region_down(west);
    const char *const repos[] = {"one", "two", "three", "four"};
    for (size_t i = 0; i < 4; i++) // the same config and layer, other manifests
        region_push(east, "contoso", repos[i], "1", 1, 1, 400000, i, &d[i]);
    region_up(west);
    for (size_t i = 0; i < 4; i++)
        WAIT_FOR(region_has(west, "contoso", repos[i], "1", &d[i]), 20000);
    ck_assert_uint_eq(east->n_blob_gets, 2);
    world_done(&w);
}
END_TEST

START_TEST(what_no_region_has_yet_is_waited_for_quietly)
{
    struct digest d;
    world_up(&w);
    east->fault = south->fault = FAULT_ABSENT;
    region_push(east, "contoso", "app", "1", 1, 1, 20000, 0, &d);
    // asked again, and both of them
    WAIT_FOR(east->n_blob_gets >= 6 && south->n_blob_gets >= 2, 20000);
    ck_assert_uint_eq(pending(west, "contoso", "eastus").n_retrying, 0);
    ck_assert(state_is(west, "contoso", "eastus", "Syncing"));
    east->fault = south->fault = FAULT_NONE;
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 20000);
    world_done(&w);
}
END_TEST

START_TEST(what_stays_absent_is_shown)
{
    struct digest d;
    bool says;
    world_make(&w);
    for (size_t i = 0; i < N_REGIONS; i++) {
        w.regions[i].absent_ms = 1500;
        region_up(&w.regions[i]);
    }
    east->fault = south->fault = FAULT_ABSENT;
    region_push(east, "contoso", "app", "1", 1, 1, 20000, 0, &d);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Retrying"), 20000);
    lag_of(west, "eastus", "content that it refers to is not there in eastus", &says);
    ck_assert(says);
    east->fault = FAULT_NONE;
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 40000);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 10000);
    world_done(&w);
}
END_TEST

#define N_IMAGES 10
#define N_VARIANTS 100

// Manifests with the same blobs as the image d, and tags to them.
static void push_variants(struct test_region *r, const char *repository, const struct digest *d)
{
    struct arena a;
    struct manifest_row row;
    struct manifest m;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_manifest_get(r->meta, "contoso", repository, NULL, d, &a, &row), 0);
    ck_assert_int_eq(manifest_parse(row.content, row.media_type, &a, NULL, &m), 0);
    for (unsigned i = 1; i < N_VARIANTS; i++) {
        char tag[32], *text = arena_alloc(&a, row.content.n + 32);
        ck_assert_ptr_nonnull(text);
        memcpy(text, row.content.p, row.content.n);
        int n = (int)row.content.n - 3; // before the end of the padding
        ck_assert_mem_eq(text + n, "\"}}", 3);
        n += snprintf(text + n, 32, "%u\"}}", i);
        snprintf(tag, sizeof tag, "v%u", i);
        struct manifest_put p = {.registry = "contoso",
                                 .repository = repository,
                                 .media_type = row.media_type,
                                 .content = bytes_of(text, (size_t)n),
                                 .refs = m.refs,
                                 .n_refs = m.n_refs,
                                 .tag = tag};
        struct put_result result;
        ck_assert_int_eq(digest_of(DIGEST_SHA256, text, (size_t)n, &p.digest), 0);
        ck_assert_int_eq(meta_manifest_put(r->meta, &p, &result), 0);
    }
    arena_done(&a);
}

START_TEST(a_registry_whose_source_hangs_does_not_delay_another)
{
    struct digest d;
    const uint64_t n_entries = N_IMAGES * N_VARIANTS * 2;
    world_up(&w);
    world_topology(&w, 2, true); // fabrikam in all regions
    east->fault = FAULT_HANGS;
    for (unsigned i = 0; i < N_IMAGES; i++) {
        char repository[16];
        snprintf(repository, sizeof repository, "img%u", i);
        region_push(east, "contoso", repository, "v0", 100 + i, 1, 1000, 0, &d);
        push_variants(east, repository, &d);
    }
    WAIT_FOR(pending(west, "contoso", "eastus").n_pending == n_entries, 30000);
    WAIT_FOR(east->n_blob_gets >= 3, 20000);
    for (unsigned i = 0; i < 6; i++) {
        char tag[8];
        snprintf(tag, sizeof tag, "f%u", i);
        int64_t began = clock_mono_ms();
        region_push(south, "fabrikam", "tool", tag, 500 + i, 2, 30000, 0, &d);
        // its fetches would hang for 15 s each
        WAIT_FOR(region_has(west, "fabrikam", "tool", tag, &d), 10000);
        ck_assert_int_lt(clock_mono_ms() - began, 10000);
    }
    ck_assert_uint_eq(pending(west, "contoso", "eastus").n_pending, n_entries);
    world_done(&w);
}
END_TEST

// How long the manifest job that is due last is put off, in milliseconds from now.
static int64_t manifests_put_off_ms(struct test_region *at)
{
    struct arena a;
    struct job *jobs;
    size_t n;
    int64_t next, now = clock_mono_ms(), most = 0;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_jobs_due(at->meta, now + HOUR_MS, 4 * N_VARIANTS, &a, &jobs, &n, &next),
                     0);
    for (size_t i = 0; i < n; i++)
        if (jobs[i].entry.kind == ENTRY_MANIFEST && jobs[i].due_ms - now > most)
            most = jobs[i].due_ms - now;
    arena_done(&a);
    return most;
}

START_TEST(what_waits_for_a_blob_that_another_job_fetches_waits_for_a_moment)
{
    struct digest d;
    world_up(&w);
    region_down(south);
    region_down(west);
    region_push(east, "contoso", "app", "v0", 1, 1, 1000, 0, &d);
    push_variants(east, "app", &d); // more than one look takes, all with the same blobs
    east->fault = FAULT_HANGS;
    region_up(west);
    WAIT_FOR(pending(west, "contoso", "eastus").n_pending == 2 * N_VARIANTS && east->n_blob_gets,
             20000);
    for (int64_t end = clock_mono_ms() + 1500; clock_mono_ms() < end; clock_sleep_ms(50))
        ck_assert_int_lt(manifests_put_off_ms(west), 4500);
    world_done(&w);
}
END_TEST

START_TEST(own_entries_without_their_content_are_shown)
{
    struct digest d;
    char path[400];
    world_up(&w);
    region_push(east, "contoso", "app", "1", 1, 2, 20000, 0, &d);
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 10000);
    ck_assert(!state_is(east, "contoso", "eastus", "Syncing"));
    region_cut(south, true);
    region_down(south);
    region_down(east); // and its disk is lost
    static const char *const files[] = {"meta.db", "meta.db-wal", "meta.db-shm"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", east->dir, files[i]);
        remove(path);
    }
    snprintf(path, sizeof path, "%s/store", east->dir);
    ck_assert_int_eq(dir_remove_tree(path), 0);
    west->fault = FAULT_LIES;
    region_up(east);
    WAIT_FOR(state_is(east, "contoso", "eastus", "Retrying"), 20000);
    ck_assert(!region_has(east, "contoso", "app", "1", &d));
    west->fault = FAULT_NONE;
    WAIT_FOR(region_has(east, "contoso", "app", "1", &d), 40000);
    WAIT_FOR(pending(east, "contoso", "eastus").n_pending == 0, 10000);
    ck_assert(!state_is(east, "contoso", "eastus", "Retrying") &&
              !state_is(east, "contoso", "eastus", "Syncing"));
    world_done(&w);
}
END_TEST

CHECK_MAIN("replication/fair", what_failed_is_tried_at_once_when_its_region_is_back,
           a_blob_that_two_jobs_need_is_fetched_once, what_no_region_has_yet_is_waited_for_quietly,
           what_stays_absent_is_shown, a_registry_whose_source_hangs_does_not_delay_another,
           what_waits_for_a_blob_that_another_job_fetches_waits_for_a_moment,
           own_entries_without_their_content_are_shown)
