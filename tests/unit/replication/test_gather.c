// SPDX-License-Identifier: Apache-2.0
// What other regions hold: asked of all at once, fetched once for all who wait, and linked where it
// is wanted; who cannot be asked is named and holds nobody up; a copy ahead of a manifest.
#include "tests/unit/replication/regions.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "replication/gather.h"
#include "store/publish.h"
#include "tests/support/check_main.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];

// A blob that this region's repository "app" has, as an upload leaves it.
static struct elsewhere_item blob_at(struct test_region *r, size_t n, char fill)
{
    struct elsewhere_item item = {.kind = CONTENT_BLOB, .size = n};
    AUTO_FREE char *p = mem_alloc(n);
    ck_assert_ptr_nonnull(p);
    memset(p, fill, n);
    struct blob_name name;
    struct lease_result result;
    ck_assert_int_eq(blob_put(r->blobs, p, n, &name), 0);
    item.digest = name.digest;
    const struct lease_add add = {.registry = "contoso",
                                  .repository = "app",
                                  .digest = name.digest,
                                  .published = &name,
                                  .size = n};
    ck_assert_int_eq(blob_publish(r->blobs, r->meta, &add, &result), 0);
    return item;
}

static struct elsewhere_item nothing(char fill)
{
    struct elsewhere_item item = {.kind = CONTENT_BLOB, .size = 5};
    ck_assert_int_eq(digest_of(DIGEST_SHA256, &fill, 1, &item.digest), 0);
    return item;
}

static struct elsewhere_want want_of(struct elsewhere_item *items, size_t n, int64_t ms)
{
    return (struct elsewhere_want){.registry = "contoso",
                                   .repository = "app",
                                   .items = items,
                                   .n_items = n,
                                   .until_mono = clock_mono_ms() + ms};
}

static bool has(struct test_region *r, const struct digest *d)
{
    struct blob_here here;
    return meta_blob_look(r->meta, "contoso", "app", d, &here) == 0 &&
           blob_is_here(r->blobs, &here.name, here.size) == 0;
}

START_TEST(what_others_hold_is_found_and_fetched)
{
    char said[CONTENT_TEXT_SIZE], error[CONTENT_TEXT_SIZE];
    struct digest pushed;
    world_up(&w);
    WAIT_FOR(region_writes_open(east), 10000);
    region_push(south, "contoso", "app", "1", 7, 1, 3000, 0, &pushed);
    struct elsewhere_item items[] = {blob_at(east, 3000, 'a'),
                                     nothing('n'),
                                     blob_at(south, 500000, 'b'),
                                     blob_at(south, 70, 'c'),
                                     {.kind = CONTENT_MANIFEST, .digest = pushed}};
    items[0].size = 1; // as a manifest may say; the holder knows better
    struct elsewhere_want want = want_of(items, ARRAY_LEN(items), 20000);
    ck_assert_int_eq(replicator_ask(west->replicator, &want, said), 0);
    ck_assert_str_eq(said, "");
    static const char *const holders[] = {"eastus", "", "southeastasia", "southeastasia",
                                          "southeastasia"};
    for (size_t i = 0; i < ARRAY_LEN(items); i++)
        ck_assert_int_eq(items[i].held, *holders[i] ? ELSEWHERE_HELD : ELSEWHERE_NOWHERE);
    for (size_t i = 0; i < 4; i++)
        ck_assert_str_eq(items[i].holder, holders[i]);
    ck_assert_uint_eq(items[0].size, 3000);
    // another repository of the same registry, and of another one
    struct elsewhere_want other = want;
    other.repository = "other";
    ck_assert_int_eq(replicator_ask(west->replicator, &other, said), 0);
    ck_assert_int_eq(items[0].held, ELSEWHERE_NOWHERE);
    other.repository = "app";
    other.registry = "fabrikam"; // westeurope has no replica of it
    ck_assert_int_eq(replicator_ask(west->replicator, &other, said), 0);
    ck_assert_int_eq(items[0].held, ELSEWHERE_NOWHERE);
    ck_assert_str_ne(said, "");

    ck_assert_int_eq(replicator_ask(west->replicator, &want, said), 0);
    items[1] = items[4]; // what nobody has is not fetched
    want.n_items = 4;
    ck_assert_int_eq(replicator_fetch(west->replicator, &want, error), 0);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(items[i].rc, 0);
        if (items[i].kind == CONTENT_BLOB)
            ck_assert(has(west, &items[i].digest));
    }
    struct digest d;
    ck_assert_int_eq(digest_of(DIGEST_SHA256, items[1].body.p, items[1].body.n, &d), 0);
    ck_assert(digest_equal(&d, &pushed));
    buf_done(&items[1].body);
    world_done(&w);
}
END_TEST

static struct elsewhere_item shared;

static void *wait_for_it(void *arg)
{
    char error[CONTENT_TEXT_SIZE];
    struct elsewhere_item item = shared;
    struct elsewhere_want want = want_of(&item, 1, 20000);
    (void)arg;
    ck_assert_int_eq(replicator_fetch(west->replicator, &want, error), 0);
    ck_assert(has(west, &item.digest));
    return NULL;
}

START_TEST(many_who_wait_share_one_fetch)
{
    char said[CONTENT_TEXT_SIZE];
    pthread_t threads[12];
    world_up(&w);
    shared = blob_at(east, 300000, 'w');
    struct elsewhere_want want = want_of(&shared, 1, 20000);
    ck_assert_int_eq(replicator_ask(west->replicator, &want, said), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, wait_for_it, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(east->n_blob_gets, 1);
    world_done(&w);
}
END_TEST

START_TEST(who_is_away_is_named_and_holds_nobody_up)
{
    char said[CONTENT_TEXT_SIZE];
    world_up(&w);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 10000);
    struct elsewhere_item items[] = {blob_at(south, 3000, 'a'), nothing('n')};
    struct elsewhere_want want = want_of(items, 2, 20000);
    region_down(east);
    int64_t began = clock_mono_ms();
    ck_assert_int_eq(replicator_ask(west->replicator, &want, said), 0);
    ck_assert_str_eq(said, "eastus");
    ck_assert_int_lt(clock_mono_ms() - began, 20000);
    ck_assert_int_eq(items[0].held, ELSEWHERE_HELD);
    ck_assert_int_eq(items[1].held, ELSEWHERE_NOWHERE);
    WAIT_FOR(west->n_away, 20000); // from then on it is not even tried
    began = clock_mono_ms();
    ck_assert_int_eq(replicator_ask(west->replicator, &want, said), 0);
    ck_assert_int_lt(clock_mono_ms() - began, 1000);
    ck_assert_str_eq(said, "eastus");
    world_done(&w);
}
END_TEST

// One of the version before cannot be asked: what it may have is tried, and what it has not got is
// nowhere.
START_TEST(a_region_of_the_version_before_is_tried)
{
    char said[CONTENT_TEXT_SIZE], error[CONTENT_TEXT_SIZE];
    world_up(&w);
    east->knows_no_questions = true;
    struct elsewhere_item items[] = {blob_at(east, 3000, 'a'), nothing('n')};
    struct elsewhere_want want = want_of(items, 2, 20000);
    ck_assert_int_eq(replicator_ask(west->replicator, &want, said), 0);
    ck_assert_str_eq(said, "");
    ck_assert_int_eq(items[0].held, ELSEWHERE_PERHAPS);
    ck_assert_int_eq(items[1].held, ELSEWHERE_PERHAPS);
    want.n_items = 1;
    ck_assert_int_eq(replicator_fetch(west->replicator, &want, error), 0);
    ck_assert(has(west, &items[0].digest));
    want.items = &items[1];
    ck_assert_int_eq(replicator_fetch(west->replicator, &want, error), ERR_NOTFOUND);
    ck_assert_int_eq(items[1].rc, ERR_NOTFOUND);
    world_done(&w);
}
END_TEST

static void *drain_soon(void *arg)
{
    (void)arg;
    clock_sleep_ms(300);
    replicator_drain(west->replicator);
    return NULL;
}

START_TEST(waiting_ends_with_its_time_and_with_a_drain)
{
    char said[CONTENT_TEXT_SIZE], error[CONTENT_TEXT_SIZE];
    world_up(&w);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 10000);
    struct elsewhere_item items[] = {blob_at(east, 3000, 'a'), blob_at(east, 3000, 'b')};
    struct elsewhere_want want = want_of(items, 1, 20000);
    ck_assert_int_eq(replicator_ask(west->replicator, &want, said), 0);
    east->fault = FAULT_HANGS;
    want.until_mono = clock_mono_ms() + 300;
    ck_assert_int_eq(replicator_fetch(west->replicator, &want, error), ERR_TIMEOUT);
    ck_assert_int_eq(items[0].rc, ERR_TIMEOUT);
    // the fetch went on: the next one only has to wait for it
    pthread_t drainer;
    want = want_of(items, 2, 20000);
    items[1].held = ELSEWHERE_HELD;
    int64_t began = clock_mono_ms();
    ck_assert_int_eq(pthread_create(&drainer, NULL, drain_soon, NULL), 0);
    ck_assert_int_eq(replicator_fetch(west->replicator, &want, error), ERR_CANCELED);
    ck_assert_int_lt(clock_mono_ms() - began, 3000);
    pthread_join(drainer, NULL);
    world_done(&w);
}
END_TEST

START_TEST(no_room_is_said_and_begins_nothing_more)
{
    char said[CONTENT_TEXT_SIZE], error[CONTENT_TEXT_SIZE];
    world_make(&w);
    west->free_bytes = RESERVE_BYTES + (1 << 20);
    for (size_t i = 0; i < N_REGIONS; i++)
        region_up(&w.regions[i]);
    struct elsewhere_item items[20];
    for (size_t i = 0; i < ARRAY_LEN(items); i++)
        items[i] = blob_at(east, 2 << 20, (char)i);
    struct elsewhere_want want = want_of(items, ARRAY_LEN(items), 20000);
    ck_assert_int_eq(replicator_ask(west->replicator, &want, said), 0);
    ck_assert_int_eq(replicator_fetch(west->replicator, &want, error), ERR_NOSPACE);
    ck_assert_uint_eq(east->n_blob_gets, 0);
    ck_assert_int_ne(items[19].rc, 0);
    world_done(&w);
}
END_TEST

static bool is_coming(struct test_region *r, const struct digest *d)
{
    return replicator_coming(r->replicator, "contoso", "app", d);
}

START_TEST(others_copy_a_blob_ahead)
{
    world_up(&w);
    WAIT_FOR(state_is(east, "contoso", "westeurope", "Ready"), 10000);
    struct elsewhere_item item = blob_at(east, 300000, 'h');
    struct elsewhere_want want = want_of(&item, 1, 10000);
    replicator_told(replicator_tell(east->replicator, &want), clock_mono_ms() + 5000);
    // from when they know of it they have it, or it is coming: a read there waits, and finds it
    struct test_region *const others[] = {west, south};
    for (size_t i = 0; i < 2; i++) {
        ck_assert(is_coming(others[i], &item.digest) || has(others[i], &item.digest));
        replicator_wait(others[i]->replicator, "contoso", "app", &item.digest,
                        clock_mono_ms() + 10000);
        ck_assert(has(others[i], &item.digest));
        ck_assert(!is_coming(others[i], &item.digest));
    }
    ck_assert_uint_eq(east->n_blob_gets, 2);
    replicator_told(replicator_tell(east->replicator, &want), clock_mono_ms() + 5000);
    ck_assert_uint_eq(east->n_blob_gets, 2);
    // it takes long: who waits for it waits as long as he likes, and who told does not
    struct elsewhere_item slow = blob_at(east, 300000, 's');
    east->fault = FAULT_HANGS;
    want = want_of(&slow, 1, 10000);
    int64_t began = clock_mono_ms();
    replicator_told(replicator_tell(east->replicator, &want), clock_mono_ms() + 5000);
    ck_assert_int_lt(clock_mono_ms() - began, 4000);
    ck_assert(is_coming(west, &slow.digest));
    ck_assert(!replicator_coming(west->replicator, "contoso", "other", &slow.digest));
    began = clock_mono_ms();
    replicator_wait(west->replicator, "contoso", "app", &slow.digest, began + 300);
    ck_assert_int_lt(clock_mono_ms() - began, 3000);
    ck_assert(!has(west, &slow.digest));
    // nobody waits for the answers either
    replicator_told(replicator_tell(east->replicator, &want), 0);
    world_done(&w);
}
END_TEST

// Copies that come to nothing have half of the threads; who waits has the others.
START_TEST(who_waits_does_not_stand_behind_copies)
{
    char error[CONTENT_TEXT_SIZE] = "";
    world_up(&w);
    WAIT_FOR(state_is(east, "contoso", "westeurope", "Ready"), 10000);
    struct elsewhere_item item = blob_at(south, 3000, 'w');
    struct elsewhere_want want;
    east->fault = FAULT_HANGS;
    for (size_t i = 0; i < GATHER_THREADS; i++) {
        struct elsewhere_item slow = blob_at(east, 3000, (char)i);
        want = want_of(&slow, 1, 10000);
        replicator_told(replicator_tell(east->replicator, &want), clock_mono_ms() + 5000);
        ck_assert(is_coming(west, &slow.digest));
    }
    want = want_of(&item, 1, 8000); // before the copies are given up
    memcpy(item.holder, "southeastasia", sizeof "southeastasia");
    ck_assert_int_eq(replicator_fetch(west->replicator, &want, error), 0);
    ck_assert(has(west, &item.digest));
    world_done(&w);
}
END_TEST

// What is copied for nobody keeps to the bandwidth; then a client waits for it, and for another one.
START_TEST(who_waits_is_not_held_back_by_bandwidth)
{
    struct buf metrics AUTO_BUF;
    world_make(&w);
    west->fetch_rates.rate = FETCH_RATE_MIN; // 32 s for 8 MiB
    for (size_t i = 0; i < N_REGIONS; i++)
        region_up(&w.regions[i]);
    WAIT_FOR(state_is(east, "contoso", "westeurope", "Ready"), 10000);
    struct elsewhere_item item = blob_at(east, 8 << 20, 'h'), other = blob_at(east, 8 << 20, 'i');
    struct elsewhere_want want = want_of(&item, 1, 60000);
    replicator_told(replicator_tell(east->replicator, &want), clock_mono_ms() + 5000);
    WAIT_FOR(has(south, &item.digest), 20000);
    ck_assert(is_coming(west, &item.digest));
    int64_t began = clock_mono_ms();
    replicator_wait(west->replicator, "contoso", "app", &item.digest, began + 60000);
    ck_assert(has(west, &item.digest));
    ck_assert_int_lt(clock_mono_ms() - began, 20000);
    began = clock_mono_ms();
    want = want_of(&other, 1, 60000);
    memcpy(other.holder, "eastus", sizeof "eastus");
    char error[CONTENT_TEXT_SIZE] = "";
    ck_assert_int_eq(replicator_fetch(west->replicator, &want, error), 0);
    ck_assert(has(west, &other.digest));
    ck_assert_int_lt(clock_mono_ms() - began, 20000);
    buf_init(&metrics, 0);
    replication_metrics(west->replicator, &metrics);
    ck_assert_ptr_nonnull(
        strstr(buf_cstr(&metrics), "meridian_replication_fetch_rate_bytes 262144\n"));
    ck_assert_ptr_nonnull(
        strstr(buf_cstr(&metrics),
               "meridian_replication_fetched_bytes_total{region=\"eastus\"} 16777216\n"));
    world_done(&w);
}
END_TEST

// Malformed questions, and regions that do not hold the registry.
START_TEST(only_members_are_answered_and_only_what_they_can_ask)
{
    static const struct {
        const char *target;
        int status;
    } rows[] = {
        {"/replication/v1/holds?registry=contoso&repository=app", 200},
        {"/replication/v1/holds?registry=contoso", 400},
        {"/replication/v1/holds?registry=contoso&repository=Not%20one", 400},
        {"/replication/v1/holds?repository=app", 403},
        {"/replication/v1/holds?registry=nobody&repository=app", 403},
        {"/replication/v1/holds?registry=fabrikam&repository=app", 403},
        {"/replication/v1/ahead?registry=contoso&repository=app", 400},
        {"/replication/v1/ahead?registry=contoso&repository=app&digest=x&size=1", 400},
        {"/replication/v1/ahead?registry=contoso&repository=app&digest=sha256:"
         "0000000000000000000000000000000000000000000000000000000000000000&size=-1",
         400},
        {"/replication/v1/ahead?registry=contoso&repository=app&digest=sha256:"
         "0000000000000000000000000000000000000000000000000000000000000000",
         400},
        {"/replication/v1/ahead?registry=contoso&repository=app&digest=sha256:"
         "0000000000000000000000000000000000000000000000000000000000000000&size=0",
         400},
        {"/replication/v1/ahead?registry=contoso&repository=app&digest=sha256:"
         "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855&size=0",
         202},
        {"/replication/v1/ahead?registry=fabrikam&repository=app", 403},
    };
    world_up(&w);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int status = region_ask(east, west, "POST", rows[i].target, "east.example.io", NULL);
        ck_assert_msg(status == rows[i].status, "%s: %d", rows[i].target, status);
    }
    ck_assert_int_eq(region_ask(east, west, "GET", rows[0].target, "east.example.io", NULL), 405);
    struct elsewhere_want want = {.registry = "contoso",
                                  .repository = "app",
                                  .n_items = ELSEWHERE_ITEMS_MAX + 1,
                                  .until_mono = clock_mono_ms() + 1000};
    char said[CONTENT_TEXT_SIZE];
    ck_assert_int_eq(replicator_ask(east->replicator, &want, said), ERR_TOOBIG);
    world_done(&w);
}
END_TEST

CHECK_MAIN("replication/gather", what_others_hold_is_found_and_fetched,
           many_who_wait_share_one_fetch, who_is_away_is_named_and_holds_nobody_up,
           a_region_of_the_version_before_is_tried, waiting_ends_with_its_time_and_with_a_drain,
           no_room_is_said_and_begins_nothing_more, who_waits_does_not_stand_behind_copies,
           who_waits_is_not_held_back_by_bandwidth, others_copy_a_blob_ahead,
           only_members_are_answered_and_only_what_they_can_ask)
