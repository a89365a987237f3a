// SPDX-License-Identifier: Apache-2.0
// A registry is deleted while a region is away, and its name goes to another owner. The region
// comes back with the old owner's images, and with some that nobody else has seen: neither does
// anybody take those, nor does it mix them with the new owner's.
#include "tests/unit/replication/regions.h"

#include "base/clock.h"
#include "tests/support/check_main.h"

#include <string.h>

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];

#define OLD "contoso"
#define NEW "contoso@3"

static bool knows(struct test_region *r, const char *registry, const char *tag)
{
    struct arena a;
    struct manifest_row row;
    arena_init(&a, 0);
    int rc = meta_manifest_get(r->meta, registry, "app", tag, NULL, &a, &row);
    arena_done(&a);
    return !rc;
}

// The old owner's first image is everywhere; the second only in a region that is away from then on.
static void old_owner(struct digest *first, struct digest *second)
{
    world_up(&w);
    region_push(east, OLD, "app", "1", 1, 1, 5000, 0, first);
    WAIT_FOR(region_has(west, OLD, "app", "1", first), 10000);
    WAIT_FOR(region_has(south, OLD, "app", "1", first), 10000);
    region_cut(south, true);
    region_down(south); // streams that stand are not cut by refusing new ones
    region_up(south);
    w.keeps_topology[2] = true;
    region_push(south, OLD, "app", "2", 2, 1, 5000, 0, second);
}

static void new_owner_is(void)
{
    w.contoso_is_deleted = true;
    world_topology(&w, 2, false);
    w.contoso_is_deleted = false;
    w.contoso_incarnation = 3;
    world_topology(&w, 3, false);
}

static void new_owner(struct digest *first)
{
    new_owner_is();
    region_push(east, NEW, "app", "1", 3, 1, 5000, 0, first);
    WAIT_FOR(region_has(west, NEW, "app", "1", first), 15000);
}

START_TEST(a_region_that_was_away_brings_nothing_of_the_old_owner)
{
    struct digest old[2], new[3], f;
    old_owner(&old[0], &old[1]);
    new_owner(&new[0]);
    // It is back, and has the topology of before: it shares no contoso with the others.
    region_cut(south, false);
    region_push(south, "fabrikam", "tool", "1", 4, 1, 5000, 0, &f);
    WAIT_FOR(region_has(east, "fabrikam", "tool", "1", &f), 20000); // read past what it has of old
    region_push(east, "fabrikam", "tool", "2", 5, 1, 5000, 0, &f);
    WAIT_FOR(region_has(south, "fabrikam", "tool", "2", &f), 20000);
    ck_assert(!knows(east, OLD, "2") && !knows(east, NEW, "2"));
    ck_assert(!knows(south, NEW, "1"));
    ck_assert(region_has(south, OLD, "app", "1", &old[0]));
    // Now it learns of the new owner.
    w.keeps_topology[2] = false;
    world_topology(&w, 4, false);
    WAIT_FOR(region_has(south, NEW, "app", "1", &new[0]), 20000);
    region_push(south, NEW, "app", "3", 6, 1, 5000, 0, &new[1]);
    WAIT_FOR(region_has(east, NEW, "app", "3", &new[1]), 20000);
    WAIT_FOR(region_has(west, NEW, "app", "3", &new[1]), 20000);
    region_push(west, NEW, "app", "2", 7, 1, 5000, 0, &new[2]);
    for (size_t i = 0; i < N_REGIONS; i++)
        WAIT_FOR(region_has(&w.regions[i], NEW, "app", "2", &new[2]), 20000);
    ck_assert(!knows(east, OLD, "2") && !knows(west, OLD, "2"));
    WAIT_FOR(state_is(east, "contoso", "southeastasia", "Ready"), 10000);
    world_done(&w);
}
END_TEST

static bool nothing_pends(struct test_region *at, const char *origin)
{
    struct feed_mark head;
    struct origin_status *all;
    size_t n;
    bool is = false;
    struct arena a;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_head(w.regions[0].meta, origin, &head), 0);
    ck_assert_int_eq(meta_origins_of(at->meta, NEW, &a, &all, &n), 0);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(all[i].origin, origin))
            is = all[i].read.seq == head.seq && all[i].applied.seq == head.seq;
    arena_done(&a);
    return is;
}

// What of the old owner had not arrived when the name went to the new one never will, and holds
// nothing else up.
START_TEST(jobs_of_the_old_owner_end)
{
    struct digest old, new;
    world_up(&w);
    east->fault = FAULT_ABSENT;
    region_push(east, OLD, "app", "1", 1, 1, 5000, 0, &old);
    WAIT_FOR(!state_is(west, "contoso", "eastus", "Ready"), 10000);
    new_owner_is();
    east->fault = FAULT_NONE;
    region_push(east, NEW, "app", "1", 3, 1, 5000, 0, &new);
    WAIT_FOR(region_has(west, NEW, "app", "1", &new), 20000);
    WAIT_FOR(nothing_pends(west, "eastus"), 20000);
    WAIT_FOR(nothing_pends(south, "eastus"), 20000);
    ck_assert(!knows(west, OLD, "1"));
    world_done(&w);
}
END_TEST

// Asked by a region of another opinion about who contoso is, each says what its own topology says.
START_TEST(what_a_region_has_is_said_by_its_own_topology)
{
    struct digest old[2], new;
    AUTO_BUF struct buf body;
    buf_init(&body, 0);
    old_owner(&old[0], &old[1]);
    new_owner(&new);
    region_cut(south, false);
    const char *tag_2 = "/replication/v1/have?registry=contoso&repository=app&tag=2";
    ck_assert_int_eq(region_ask(east, south, "GET", tag_2, "contoso.example.io", &body), 200);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&body), "\"found\":false"));
    ck_assert_int_eq(region_ask(south, east, "GET", tag_2, "contoso.example.io", &body), 200);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&body), "\"found\":true"));
    w.keeps_topology[2] = false;
    world_topology(&w, 4, false);
    ck_assert_int_eq(region_ask(south, east, "GET", tag_2, "contoso.example.io", &body), 200);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&body), "\"found\":false"));
    const char *entries = "/replication/v1/entries?registry=contoso&origin=southeastasia";
    ck_assert_int_eq(region_ask(south, east, "GET", entries, "contoso.example.io", &body), 200);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&body), "\"registry\":\"contoso\""));
    ck_assert_ptr_nonnull(strstr(buf_cstr(&body), "\"entries\":[]"));
    world_done(&w);
}
END_TEST

CHECK_MAIN("replication/incarnation", a_region_that_was_away_brings_nothing_of_the_old_owner,
           jobs_of_the_old_owner_end, what_a_region_has_is_said_by_its_own_topology)
