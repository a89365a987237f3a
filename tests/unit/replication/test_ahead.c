// SPDX-License-Identifier: Apache-2.0
// Copies ahead of manifests: noted, bounded in bytes, used by a manifest or wasted, and asked of the
// fence on both sides.
#include "replication/ahead.h"
#include "tests/unit/replication/regions.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "store/collect.h"
#include "store/publish.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];

static struct ahead_key key_of(const char *registry, const char *repository, char fill)
{
    struct ahead_key k = {.registry = registry, .repository = repository, .origin = "eastus"};
    ck_assert_int_eq(digest_of(DIGEST_SHA256, &fill, 1, &k.digest), 0);
    return k;
}

START_TEST(notes_and_their_bound)
{
    struct ahead *a;
    struct ahead_view v;
    const struct ahead_key one = key_of("contoso", "app", '1'), two = key_of("contoso", "app", '2');
    struct ahead_key other = key_of("contoso", "apart", '1');
    ck_assert_int_eq(ahead_new(1000, &a), 0);
    ck_assert_int_eq(ahead_note(a, &one, 600), 0);
    ck_assert_int_eq(ahead_note(a, &one, 601), ERR_CONFLICT);
    ck_assert_int_eq(ahead_note(a, &two, 401), ERR_FULL);
    ck_assert_int_eq(ahead_note(a, &two, UINT64_MAX), ERR_FULL);
    ck_assert_int_eq(ahead_note(a, &two, 400), 0);
    other.origin = "southeastasia";
    ck_assert_int_eq(ahead_note(a, &other, 1), ERR_FULL); // the bound is one for all
    ahead_end(a, &one, ERR_NOTFOUND);                     // it did not come
    ck_assert_int_eq(ahead_note(a, &other, 600), 0);
    ahead_end(a, &two, 0);
    ck_assert_int_eq(ahead_note(a, &two, 400), ERR_EXISTS);
    ahead_view(a, "contoso", "eastus", &v);
    ck_assert_uint_eq(v.waiting, 1);
    ck_assert_uint_eq(v.waiting_bytes, 400);
    ck_assert_uint_eq(v.copied_bytes, 400);
    ck_assert_uint_eq(v.n_refused, 2);
    ahead_view(a, "contoso", "southeastasia", &v);
    ck_assert_uint_eq(v.waiting_bytes, 600);
    ck_assert_uint_eq(v.copied_bytes, 0);
    ck_assert_uint_eq(v.n_refused, 1);
    ahead_view(a, "fabrikam", "eastus", &v);
    ck_assert_uint_eq(v.waiting + v.n_refused, 0);
    AUTO_BUF struct buf b;
    buf_init(&b, 1 << 16);
    ahead_metrics(a, &b);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&b), "meridian_replication_ahead_bytes 1000\n"));
    ck_assert_ptr_nonnull(strstr(buf_cstr(&b), "meridian_replication_ahead_refused_total 3\n"));
    // what no path and no row can be
    AUTO_FREE char *name = mem_alloc(4000);
    ck_assert_ptr_nonnull(name);
    memset(name, 'a', 3999);
    name[3999] = 0;
    const struct ahead_key longer = key_of("contoso", name, '1');
    ck_assert_int_eq(ahead_note(a, &longer, 1), ERR_TOOBIG);
    ahead_free(a);
}
END_TEST

// It counts once, until all have ended; and is here if one of them made it.
START_TEST(several_may_make_one_copy)
{
    struct ahead *a;
    struct ahead_view v;
    const struct ahead_key one = key_of("contoso", "app", '1'), two = key_of("contoso", "app", '2');
    ck_assert_int_eq(ahead_new(1000, &a), 0);
    ck_assert_int_eq(ahead_note(a, &one, 600), 0);
    ck_assert_int_eq(ahead_note(a, &one, 500), 0);
    ahead_end(a, &one, ERR_TIMEOUT);
    ahead_view(a, "contoso", "eastus", &v);
    ck_assert_uint_eq(v.waiting_bytes, 600);
    ahead_end(a, &one, ERR_TIMEOUT);
    ahead_view(a, "contoso", "eastus", &v);
    ck_assert_uint_eq(v.waiting_bytes, 0);
    ck_assert_int_eq(ahead_note(a, &two, 600), 0);
    ck_assert_int_eq(ahead_note(a, &two, 600), 0);
    ahead_end(a, &two, 0);
    ahead_end(a, &two, ERR_TIMEOUT);
    ck_assert_int_eq(ahead_note(a, &two, 600), ERR_EXISTS);
    ahead_view(a, "contoso", "eastus", &v);
    ck_assert_uint_eq(v.waiting_bytes, 600);
    ck_assert_uint_eq(v.copied_bytes, 600);
    ahead_free(a);
}
END_TEST

// What an upload took is part of the size that it turns out to have.
START_TEST(a_note_takes_over_what_was_taken)
{
    struct ahead *a;
    struct ahead_view v;
    const struct ahead_key one = key_of("contoso", "app", '1'), two = key_of("contoso", "app", '2');
    ck_assert_int_eq(ahead_new(1000, &a), 0);
    ck_assert_int_eq(ahead_take(a, "contoso", "eastus", 600), 0);
    ck_assert_int_eq(ahead_note_taken(a, &one, 1001, 600), ERR_FULL);
    ahead_view(a, "contoso", "eastus", &v);
    ck_assert_uint_eq(v.waiting_bytes, 600);
    ck_assert_int_eq(ahead_note_taken(a, &one, 900, 600), 0);
    ahead_view(a, "contoso", "eastus", &v);
    ck_assert_uint_eq(v.waiting_bytes, 900);
    ck_assert_int_eq(ahead_take(a, "contoso", "eastus", 100), 0);
    ck_assert_int_eq(ahead_note_taken(a, &one, 950, 100), ERR_CONFLICT);
    ck_assert_int_eq(ahead_note_taken(a, &one, 900, 100), 0);
    ck_assert_int_eq(ahead_note_taken(a, &two, 100, 0), 0);
    ahead_view(a, "contoso", "eastus", &v);
    ck_assert_uint_eq(v.waiting_bytes, 1000);
    ahead_free(a);
}
END_TEST

START_TEST(bytes_of_uploads_that_run_count)
{
    struct ahead *a;
    struct ahead_view v;
    const struct ahead_key one = key_of("contoso", "app", '1');
    ck_assert_int_eq(ahead_new(1000, &a), 0);
    ck_assert_int_eq(ahead_take(a, "contoso", "eastus", 600), 0);
    ck_assert_int_eq(ahead_take(a, "contoso", "eastus", 401), ERR_FULL);
    ck_assert_int_eq(ahead_take(a, "contoso", "eastus", UINT64_MAX), ERR_FULL);
    ck_assert_int_eq(ahead_note(a, &one, 401), ERR_FULL); // the bound is one for both
    ck_assert_int_eq(ahead_take(a, "fabrikam", "eastus", 400), 0);
    ahead_give(a, "contoso", "eastus", 600);
    ck_assert_int_eq(ahead_note(a, &one, 600), 0);
    ahead_give(a, "fabrikam", "eastus", 400);
    ahead_lost(a, "fabrikam", "eastus", 300);
    ahead_view(a, "fabrikam", "eastus", &v);
    ck_assert_uint_eq(v.waiting_bytes, 0);
    ck_assert_uint_eq(v.copied_bytes, 300);
    ck_assert_uint_eq(v.wasted_bytes, 300);
    ahead_view(a, "contoso", "eastus", &v);
    ck_assert_uint_eq(v.waiting_bytes, 600);
    ck_assert_uint_eq(v.n_refused, 3);
    ahead_free(a);
}
END_TEST

static void tell(struct test_region *r, const struct digest *d, size_t n)
{
    struct elsewhere_item item = {.kind = CONTENT_BLOB, .digest = *d, .size = n};
    const struct elsewhere_want want = {
        .registry = "contoso", .repository = "app", .items = &item, .n_items = 1};
    replicator_told(replicator_tell(r->replicator, &want), clock_mono_ms() + 10000);
}

static bool has(struct test_region *r, const struct digest *d)
{
    struct blob_here here;
    return meta_blob_look(r->meta, "contoso", "app", d, &here) == 0 &&
           blob_is_here(r->blobs, &here.name, here.size) == 0;
}

// Of its status, of what eastus told it of.
static long long said(struct test_region *r, const char *what)
{
    json_t *row = row_of(r, "contoso", "eastus");
    ck_assert_ptr_nonnull(row);
    long long n = json_integer_value(json_object_get(json_object_get(row, "ahead"), what));
    json_decref(row);
    return n;
}

START_TEST(a_manifest_uses_what_was_copied_ahead)
{
    struct digest layer, pushed;
    world_up(&w);
    WAIT_FOR(state_is(east, "contoso", "westeurope", "Ready"), 10000);
    region_layer(east, "contoso", "app", 501, 300000, &layer);
    tell(east, &layer, 300000);
    WAIT_FOR(has(west, &layer) && has(south, &layer), 10000);
    WAIT_FOR(said(west, "copiedBytes") == 300000, 10000);
    ck_assert_int_eq(said(west, "waitingBytes"), 300000);
    unsigned n = east->n_blob_gets;
    region_push(east, "contoso", "app", "1", 5, 1, 300000, 0, &pushed);
    WAIT_FOR(region_has(west, "contoso", "app", "1", &pushed), 10000);
    WAIT_FOR(region_has(south, "contoso", "app", "1", &pushed), 10000);
    ck_assert_uint_eq(east->n_blob_gets, n + 2); // the config alone, by both
    WAIT_FOR(said(west, "usedBytes") == 300000, 10000);
    ck_assert_int_eq(said(west, "waitingBytes"), 0);
    ck_assert_int_eq(said(west, "wastedBytes"), 0);
    world_done(&w);
}
END_TEST

START_TEST(a_lease_that_ends_is_waste)
{
    struct digest layer;
    struct collect_counts c = {0};
    world_up(&w);
    WAIT_FOR(state_is(east, "contoso", "westeurope", "Ready"), 10000);
    region_layer(east, "contoso", "app", 501, 3000, &layer);
    tell(east, &layer, 3000);
    WAIT_FOR(said(west, "copiedBytes") == 3000, 10000);
    meta_set_lease_grace(west->meta, 0);
    WAIT_FOR(meta_collect_leases(west->meta, 100, &c) == 0 && said(west, "wastedBytes") == 3000,
             10000);
    ck_assert_int_eq(said(west, "waitingBytes"), 0);
    ck_assert_int_eq(said(west, "usedBytes"), 0);
    world_done(&w);
}
END_TEST

START_TEST(beyond_the_bound_a_blob_comes_with_its_manifest)
{
    struct digest layer, more, pushed;
    world_make(&w);
    west->ahead_bytes = 350000;
    for (size_t i = 0; i < N_REGIONS; i++)
        region_up(&w.regions[i]);
    WAIT_FOR(state_is(east, "contoso", "westeurope", "Ready"), 10000);
    region_layer(east, "contoso", "app", 501, 300000, &layer);
    region_layer(east, "contoso", "app", 502, 300000, &more);
    tell(east, &layer, 300000);
    WAIT_FOR(said(west, "copiedBytes") == 300000, 10000);
    tell(east, &more, 300000);
    WAIT_FOR(has(south, &more), 10000);
    ck_assert_int_eq(said(west, "refused"), 1);
    ck_assert(!has(west, &more));
    region_push(east, "contoso", "app", "1", 5, 2, 300000, 0, &pushed);
    WAIT_FOR(region_has(west, "contoso", "app", "1", &pushed), 10000);
    WAIT_FOR(said(west, "waitingBytes") == 0, 10000); // there is room again
    region_layer(east, "contoso", "app", 601, 300000, &layer);
    tell(east, &layer, 300000);
    WAIT_FOR(has(west, &layer), 10000);
    world_done(&w);
}
END_TEST

// The bound counts what is said, so no more comes.
START_TEST(no_more_comes_than_was_said)
{
    struct digest layer;
    world_up(&w);
    region_down(south);
    WAIT_FOR(state_is(east, "contoso", "westeurope", "Ready"), 10000);
    region_layer(east, "contoso", "app", 501, 300000, &layer);
    tell(east, &layer, 299999);
    WAIT_FOR(east->n_blob_gets > 0, 10000);
    WAIT_FOR(said(west, "waitingBytes") == 0, 10000);
    ck_assert(!has(west, &layer));
    ck_assert_int_eq(said(west, "copiedBytes"), 0);
    ck_assert_uint_le(blob_partial_size(west->blobs, &layer), 299999);
    tell(east, &layer, 300000); // what came of it counts
    WAIT_FOR(has(west, &layer), 10000);
    world_done(&w);
}
END_TEST

// They hang for 15 s; the manifest's blobs are fetched meanwhile.
START_TEST(copies_ahead_take_no_jobs_turn)
{
    struct digest layer, pushed;
    world_up(&w);
    region_down(south);
    WAIT_FOR(state_is(east, "contoso", "westeurope", "Ready"), 10000);
    east->fault = FAULT_HANGS;
    for (unsigned i = 0; i < 4; i++) {
        region_layer(east, "contoso", "app", 501 + i, 3000, &layer);
        tell(east, &layer, 3000);
    }
    WAIT_FOR(east->n_blob_gets >= 4, 10000);
    east->fault = FAULT_NONE;
    int64_t began = clock_mono_ms();
    region_push(east, "contoso", "app", "1", 9, 2, 30000, 0, &pushed);
    WAIT_FOR(region_has(west, "contoso", "app", "1", &pushed), 12000);
    ck_assert_int_lt(clock_mono_ms() - began, 12000);
    world_done(&w);
}
END_TEST

static _Atomic unsigned n_fence;

static bool not_in_west(const struct topology *t, const struct registry *reg,
                        const char *repository, const char *region)
{
    (void)t;
    ck_assert_str_eq(reg->name, "contoso");
    n_fence++;
    return strcmp(repository, "app") != 0 || strcmp(region, "westeurope") != 0;
}

START_TEST(the_fence_is_asked_on_both_sides)
{
    struct digest layer;
    char target[512], text[DIGEST_TEXT_SIZE];
    world_make(&w);
    east->fence = not_in_west;
    for (size_t i = 0; i < N_REGIONS; i++)
        region_up(&w.regions[i]);
    WAIT_FOR(state_is(east, "contoso", "westeurope", "Ready"), 10000);
    region_layer(east, "contoso", "app", 501, 3000, &layer);
    tell(east, &layer, 3000);
    ck_assert_uint_eq(n_fence, 2);
    WAIT_FOR(has(south, &layer), 10000);
    ck_assert_int_eq(said(west, "copiedBytes") + said(west, "waitingBytes"), 0); // it was not told
    // one that is told all the same does not copy it
    region_down(west);
    west->fence = not_in_west;
    region_up(west);
    snprintf(target, sizeof target,
             "/replication/v1/ahead?registry=contoso&repository=app&digest=%s&size=3000",
             digest_format(&layer, text));
    ck_assert_int_eq(region_ask(west, east, "POST", target, "west.example.io", NULL), 403);
    snprintf(target, sizeof target,
             "/replication/v1/ahead?registry=contoso&repository=other&digest=%s&size=3000",
             digest_format(&layer, text));
    ck_assert_int_eq(region_ask(west, east, "POST", target, "west.example.io", NULL), 202);
    world_done(&w);
}
END_TEST

CHECK_MAIN("replication/ahead", notes_and_their_bound, bytes_of_uploads_that_run_count,
           several_may_make_one_copy, a_note_takes_over_what_was_taken,
           a_manifest_uses_what_was_copied_ahead, a_lease_that_ends_is_waste,
           beyond_the_bound_a_blob_comes_with_its_manifest, no_more_comes_than_was_said,
           copies_ahead_take_no_jobs_turn, the_fence_is_asked_on_both_sides)
