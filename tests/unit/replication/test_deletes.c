// SPDX-License-Identifier: Apache-2.0
// What is deleted in one region is gone in all, in whatever order they hear of it; a newer write
// stays; and what must live although it was deleted before it came is fetched. Real readers, over
// sockets.
#include "tests/unit/replication/regions.h"

#include "base/clock.h"
#include "base/err.h"
#include "store/meta_delete.h"
#include "store/meta_speaks.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];

static void begin(void)
{
    char region[HOSTNAME_REGION_SIZE];
    world_make(&w);
    world_topology(&w, 2, false);
    for (size_t i = 0; i < N_REGIONS; i++)
        region_up(&w.regions[i]);
    for (size_t i = 0; i < N_REGIONS; i++) {
        WAIT_FOR(!meta_behind(w.regions[i].meta, "contoso", region), 5000);
        WAIT_FOR(region_writes_open(&w.regions[i]), 30000);
    }
}

static void link_cut(struct test_region *a, struct test_region *b, bool cut)
{
    size_t at_a = (size_t)(a - w.regions), at_b = (size_t)(b - w.regions);
    w.cut[at_a][at_b] = w.cut[at_b][at_a] = cut;
    if (!cut)
        return;
    region_down(a); // streams that stand are not cut by refusing new ones
    region_up(a);
    WAIT_FOR(region_opens(a), 30000);
}

static void tag_delete(struct test_region *r, const char *tag)
{
    struct arena a;
    struct delete_result out;
    const struct delete_request q = {.registry = "contoso", .repository = "app", .tag = tag};
    arena_init(&a, 0);
    ck_assert_int_eq(meta_tag_delete(r->meta, &q, &a, &out), 0);
    arena_done(&a);
}

static void manifest_delete(struct test_region *r, const struct digest *d)
{
    struct arena a;
    struct delete_result out;
    const struct delete_request q = {.registry = "contoso", .repository = "app", .digest = d};
    arena_init(&a, 0);
    ck_assert_int_eq(meta_manifest_delete(r->meta, &q, &a, &out), 0);
    arena_done(&a);
}

static bool shows(struct test_region *r, const char *tag, const struct digest *d)
{
    struct arena a;
    struct manifest_row row;
    arena_init(&a, 0);
    int rc = meta_manifest_get(r->meta, "contoso", "app", tag, tag ? NULL : d, &a, &row);
    bool is = rc == 0 && (!d || digest_equal(&row.digest, d));
    arena_done(&a);
    return is;
}

// All that `of` wrote is read and applied at `at`. Once it is, it stays so while `of` writes nothing.
static bool has_all(struct test_region *at, struct test_region *of)
{
    struct feed_mark head;
    ck_assert_int_eq(meta_head(of->meta, of->name, &head), 0);
    json_t *row = row_of(at, "contoso", of->name);
    bool all = json_integer_value(json_object_get(row, "applied")) == (json_int_t)head.seq &&
               json_integer_value(json_object_get(row, "lagEntries")) == 0;
    json_decref(row);
    return all;
}

static bool all_have_all(void)
{
    for (size_t i = 0; i < N_REGIONS; i++)
        for (size_t k = 0; k < N_REGIONS; k++)
            if (i != k && !has_all(&w.regions[i], &w.regions[k]))
                return false;
    return true;
}

// Stamps have milliseconds, and regions are equal within one.
static void later(void)
{
    clock_sleep_ms(5);
}

START_TEST(a_tag_is_deleted_everywhere)
{
    struct digest d;
    begin();
    region_push(east, "contoso", "app", "v1", 1, 1, 100, 0, &d);
    WAIT_FOR(region_has(west, "contoso", "app", "v1", &d), 30000);
    WAIT_FOR(region_has(south, "contoso", "app", "v1", &d), 30000);
    tag_delete(west, "v1");
    for (size_t i = 0; i < N_REGIONS; i++) {
        WAIT_FOR(!shows(&w.regions[i], "v1", NULL), 10000);
        ck_assert(shows(&w.regions[i], NULL, &d)); // by digest it is there
    }
    manifest_delete(south, &d);
    for (size_t i = 0; i < N_REGIONS; i++)
        WAIT_FOR(!shows(&w.regions[i], NULL, &d), 10000);
    region_push(east, "contoso", "app", "v1", 1, 1, 100, 0, &d); // and may come again
    for (size_t i = 0; i < N_REGIONS; i++)
        WAIT_FOR(region_has(&w.regions[i], "contoso", "app", "v1", &d), 30000);
    world_done(&w);
}
END_TEST

// westeurope, cut off, wrote one tag before eastus deleted it, unseen, and one after.
START_TEST(the_newer_of_a_delete_and_a_push_stays)
{
    struct digest old, before, after;
    begin();
    region_push(east, "contoso", "app", "before", 1, 1, 100, 0, &old);
    region_push(east, "contoso", "app", "after", 1, 1, 100, 0, &old);
    WAIT_FOR(region_has(west, "contoso", "app", "after", &old), 30000);
    link_cut(west, east, true);
    link_cut(west, south, true);
    region_push(west, "contoso", "app", "before", 2, 1, 100, 0, &before);
    later();
    tag_delete(east, "before");
    tag_delete(east, "after");
    later();
    region_push(west, "contoso", "app", "after", 3, 1, 100, 0, &after);
    link_cut(west, east, false);
    link_cut(west, south, false);
    for (size_t i = 0; i < N_REGIONS; i++) {
        WAIT_FOR(region_has(&w.regions[i], "contoso", "app", "after", &after), 30000);
        WAIT_FOR(!shows(&w.regions[i], "before", NULL), 30000);
        WAIT_FOR(shows(&w.regions[i], NULL, &before), 30000); // pullable by digest
    }
    world_done(&w);
}
END_TEST

// The entry of a manifest that was deleted since needs no bytes: its job ends, also where nobody
// has them any more.
START_TEST(what_was_deleted_is_not_fetched)
{
    struct digest d;
    begin();
    link_cut(west, east, true);
    link_cut(west, south, true);
    east->fault = south->fault = FAULT_ABSENT;
    region_push(east, "contoso", "app", "v1", 1, 2, 1000, 0, &d);
    manifest_delete(east, &d);
    link_cut(west, south, false);
    link_cut(west, east, false);
    WAIT_FOR(has_all(west, east), 60000);
    ck_assert(!shows(west, NULL, &d));
    ck_assert(!shows(west, "v1", NULL));
    world_done(&w);
}
END_TEST

// eastus deleted a manifest of southeastasia, which tags it once more meanwhile. westeurope hears
// of the delete first, so it has no content when the tag comes, and no entry brings it.
START_TEST(what_lives_although_it_was_deleted_is_fetched)
{
    struct digest d;
    struct put_result put;
    begin();
    link_cut(west, south, true);
    region_push(south, "contoso", "app", "one", 1, 2, 1000, 0, &d);
    WAIT_FOR(region_has(east, "contoso", "app", "one", &d), 30000);
    link_cut(east, south, true);
    manifest_delete(east, &d);
    WAIT_FOR(has_all(west, east), 30000);
    const struct tag_put keep = {
        .registry = "contoso", .repository = "app", .tag = "keep", .digest = d};
    ck_assert_int_eq(meta_tag_put(south->meta, &keep, &put), 0);
    unsigned n_asked = south->n_manifest_gets;
    link_cut(west, south, false);
    WAIT_FOR(region_has(west, "contoso", "app", "keep", &d), 60000);
    ck_assert_uint_gt(south->n_manifest_gets, n_asked);
    link_cut(east, south, false);
    for (size_t i = 0; i < N_REGIONS; i++) {
        WAIT_FOR(region_has(&w.regions[i], "contoso", "app", "keep", &d), 60000);
        WAIT_FOR(!shows(&w.regions[i], "one", NULL), 30000);
    }
    WAIT_FOR(all_have_all(), 30000);
    world_done(&w);
}
END_TEST

static json_t *have(struct test_region *at, const char *query)
{
    char target[400];
    struct buf body;
    buf_init(&body, 1 << 20);
    snprintf(target, sizeof target, "/replication/v1/have?registry=contoso&repository=app&%s",
             query);
    ck_assert_int_eq(
        region_ask(at, at == east ? west : east, NULL, target, "contoso.example.io", &body), 200);
    json_t *doc = json_loadb(body.p, body.n, 0, NULL);
    ck_assert_ptr_nonnull(doc);
    buf_done(&body);
    return doc;
}

START_TEST(a_deletion_is_told_and_waited_for)
{
    struct digest d;
    char query[200];
    begin();
    region_push(east, "contoso", "app", "v1", 1, 1, 100, 0, &d);
    WAIT_FOR(region_has(west, "contoso", "app", "v1", &d), 30000);
    tag_delete(east, "v1");
    json_t *doc = have(east, "tag=v1");
    ck_assert(json_is_false(json_object_get(doc, "found")));
    ck_assert(json_is_true(json_object_get(doc, "gone")));
    ck_assert_ptr_null(json_object_get(doc, "digest"));
    snprintf(query, sizeof query, "tag=v1&gone=1&stamp=%s&origin=eastus&epoch=%s&wait_ms=20000",
             json_string_value(json_object_get(doc, "stamp")),
             json_string_value(json_object_get(doc, "epoch")));
    json_decref(doc);
    doc = have(west, query);
    ck_assert(json_is_true(json_object_get(doc, "gone")));
    json_decref(doc);
    ck_assert(!shows(west, "v1", NULL));
    // a tag whose manifest was deleted after it
    region_push(east, "contoso", "app", "v2", 2, 1, 100, 0, &d);
    manifest_delete(east, &d);
    doc = have(east, "tag=v2");
    ck_assert(json_is_false(json_object_get(doc, "found")));
    ck_assert(json_is_true(json_object_get(doc, "dead")));
    ck_assert_ptr_nonnull(json_object_get(doc, "digest"));
    json_decref(doc);
    world_done(&w);
}
END_TEST

CHECK_MAIN("replication/deletes", a_tag_is_deleted_everywhere,
           the_newer_of_a_delete_and_a_push_stays, what_was_deleted_is_not_fetched,
           what_lives_although_it_was_deleted_is_fetched, a_deletion_is_told_and_waited_for)
