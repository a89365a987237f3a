// SPDX-License-Identifier: Apache-2.0
// Blobs by relays, with three regions of which eastus writes: one of the other two is the relay, and
// the last one gets its blobs from there.
#include "replication/absence.h"
#include "replication/relay.h"
#include "replication/relays.h"
#include "tests/unit/replication/regions.h"

#include "base/clock.h"
#include "base/err.h"
#include "store/publish.h"
#include "tests/support/check_main.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define N_BYTES 300000

static struct world w;
static struct test_region *const east = &w.regions[0];
static struct test_region *relay, *last;

// Three members are one group.
static void roles(void)
{
    struct relay_map map = {.n = N_REGIONS};
    const bool heard[N_REGIONS] = {true, true, true};
    for (size_t i = 0; i < N_REGIONS; i++)
        map.members[i].name = w.regions[i].name;
    relay_map_make(&map, N_REGIONS);
    size_t a = 1, b = 2;
    if (relay_of(&map, 0, 1, heard) == 2) {
        a = 2;
        b = 1;
    }
    relay = &w.regions[a];
    last = &w.regions[b];
    ck_assert_uint_eq(relay_of(&map, 0, a, heard), 0);
    ck_assert_uint_eq(relay_of(&map, 0, b, heard), a);
}

static void up(unsigned patience_ms)
{
    world_make(&w);
    w.relays_from = N_REGIONS;
    world_topology(&w, 2, true);
    roles();
    for (size_t i = 0; i < N_REGIONS; i++) {
        w.regions[i].relay_patience_ms = patience_ms;
        region_up(&w.regions[i]);
    }
    for (size_t i = 1; i < N_REGIONS; i++)
        WAIT_FOR(state_is(&w.regions[i], "contoso", "eastus", "Ready"), 10000);
    WAIT_FOR(state_is(last, "contoso", relay->name, "Ready"), 10000);
    WAIT_FOR(state_is(east, "contoso", relay->name, "Ready"), 10000);
    WAIT_FOR(state_is(east, "contoso", last->name, "Ready"), 10000);
}

static bool names_relay(struct test_region *at, const char *origin, const char *name)
{
    json_t *row = row_of(at, "contoso", origin);
    const json_t *list = json_object_get(row, "relays");
    const char *first = json_string_value(json_array_get(list, 0));
    bool same = name ? first && strcmp(first, name) == 0 : !list;
    json_decref(row);
    return same;
}

static bool counts(struct test_region *at, const char *name, unsigned n)
{
    AUTO_BUF struct buf b;
    char line[128];
    buf_init(&b, 1 << 20);
    replication_metrics(at->replicator, &b);
    snprintf(line, sizeof line, "\nmeridian_replication_relay_%s_total %u\n", name, n);
    return strstr(buf_cstr(&b), line) != NULL;
}

static bool has(struct test_region *r, const struct digest *d)
{
    struct blob_here here;
    return meta_blob_look(r->meta, "contoso", "app", d, &here) == 0 &&
           blob_is_here(r->blobs, &here.name, here.size) == 0;
}

static void tell(const struct digest *d, bool later)
{
    struct elsewhere_item item = {.kind = CONTENT_BLOB, .digest = *d, .size = N_BYTES};
    const struct elsewhere_want want = {
        .registry = "contoso", .repository = "app", .items = &item, .n_items = 1, .later = later};
    replicator_told(replicator_tell(east->replicator, &want), clock_mono_ms() + 10000);
}

START_TEST(the_origin_gives_each_blob_once)
{
    struct digest pushed;
    up(0);
    ck_assert(names_relay(last, "eastus", relay->name));
    ck_assert(names_relay(relay, "eastus", NULL));
    region_push(east, "contoso", "app", "1", 5, 3, N_BYTES, 0, &pushed);
    WAIT_FOR(region_has(relay, "contoso", "app", "1", &pushed), 20000);
    WAIT_FOR(region_has(last, "contoso", "app", "1", &pushed), 20000);
    ck_assert_uint_eq(east->n_blob_gets, 4); // the config and three layers
    ck_assert_uint_ge(relay->n_blob_gets, 4);
    ck_assert(counts(last, "blobs", 4));
    ck_assert(counts(last, "given_up", 0));
    ck_assert(state_is(last, "contoso", "eastus", "Ready"));
    world_done(&w);
}
END_TEST

START_TEST(a_relay_that_never_has_it_costs_its_time_and_no_more)
{
    struct digest pushed;
    up(600);
    relay->fault = FAULT_ABSENT;
    int64_t began = clock_mono_ms();
    region_push(east, "contoso", "app", "1", 5, 1, N_BYTES, 0, &pushed);
    WAIT_FOR(region_has(last, "contoso", "app", "1", &pushed), 20000);
    ck_assert_int_ge(clock_mono_ms() - began, 600);
    ck_assert(!counts(last, "waits", 0));
    ck_assert(!counts(last, "given_up", 0));
    ck_assert(counts(last, "blobs", 0));
    ck_assert_uint_ge(east->n_blob_gets, 4);
    ck_assert(state_is(last, "contoso", "eastus", "Ready")); // nothing has failed
    world_done(&w);
}
END_TEST

// It gives some bytes all the time: the origin gives the rest, and the relay has not failed.
START_TEST(a_relay_that_trickles_costs_its_time_and_no_more)
{
    struct digest pushed;
    up(600);
    relay->fault = FAULT_TRICKLES;
    region_push(east, "contoso", "app", "1", 5, 1, N_BYTES, 0, &pushed);
    WAIT_FOR(region_has(last, "contoso", "app", "1", &pushed), 20000);
    ck_assert(counts(last, "given_up", 1));
    ck_assert_uint_eq(east->n_ranges, 1); // what had come was kept
    ck_assert(state_is(last, "contoso", relay->name, "Ready"));
    world_done(&w);
}
END_TEST

START_TEST(a_relay_that_is_always_late_is_passed_over)
{
    struct digest pushed;
    up(300);
    relay->fault = FAULT_ABSENT;
    region_push(east, "contoso", "app", "1", 5, 3, N_BYTES, 0, &pushed);
    WAIT_FOR(region_has(last, "contoso", "app", "1", &pushed), 20000);
    ck_assert(names_relay(last, "eastus", NULL));
    unsigned asked = relay->n_blob_gets;
    region_push(east, "contoso", "app", "2", 15, 3, N_BYTES, 0, &pushed);
    WAIT_FOR(region_has(last, "contoso", "app", "2", &pushed), 20000);
    ck_assert_uint_eq(relay->n_blob_gets, asked);
    world_done(&w);
}
END_TEST

START_TEST(who_was_late_is_asked_again_after_a_minute)
{
    struct relays *s;
    ck_assert_int_eq(relays_new(&s), 0);
    relays_late(s, "eastus", 1000);
    relays_late(s, "eastus", 1000);
    ck_assert(!relays_passed_over(s, "eastus", 1000));
    relays_late(s, "eastus", 1000);
    ck_assert(relays_passed_over(s, "eastus", 1000));
    ck_assert(relays_passed_over(s, "eastus", 60999));
    ck_assert(!relays_passed_over(s, "westeurope", 1000));
    ck_assert(!relays_passed_over(s, "eastus", 61000));
    relays_late(s, "eastus", 61000);
    ck_assert(relays_passed_over(s, "eastus", 120999));
    relays_brought(s, "eastus");
    ck_assert(!relays_passed_over(s, "eastus", 61000));
    relays_late(s, "eastus", 61000);
    ck_assert(!relays_passed_over(s, "eastus", 61000));
    relays_free(s);
}
END_TEST

START_TEST(a_dead_relay_costs_nothing)
{
    struct digest pushed;
    up(600000);
    region_down(relay);
    region_push(east, "contoso", "app", "1", 5, 1, N_BYTES, 0, &pushed);
    WAIT_FOR(region_has(last, "contoso", "app", "1", &pushed), 20000);
    ck_assert_uint_eq(east->n_blob_gets, 2);
    WAIT_FOR(names_relay(last, "eastus", NULL), 20000); // it is found to be away
    world_done(&w);
}
END_TEST

START_TEST(a_relay_that_lies_is_named_and_the_origin_asked)
{
    struct digest pushed;
    up(600000);
    relay->fault = FAULT_LIES;
    region_push(east, "contoso", "app", "1", 5, 1, N_BYTES, 0, &pushed);
    WAIT_FOR(region_has(last, "contoso", "app", "1", &pushed), 20000);
    json_t *row = row_of(last, "contoso", relay->name);
    ck_assert_int_ge(
        json_integer_value(json_object_get(json_object_get(row, "wrongBytes"), "times")), 1);
    json_decref(row);
    world_done(&w);
}
END_TEST

START_TEST(a_copy_ahead_goes_by_the_relay_too)
{
    struct digest layer, pushed;
    up(0);
    region_layer(east, "contoso", "app", 501, N_BYTES, &layer);
    tell(&layer, true);
    WAIT_FOR(has(relay, &layer) && has(last, &layer), 20000);
    ck_assert_uint_eq(east->n_blob_gets, 1);
    ck_assert_uint_eq(relay->n_blob_gets, 1);
    json_t *row = row_of(last, "contoso", "eastus"); // it counts as its origin's
    WAIT_FOR(({
                 json_decref(row);
                 row = row_of(last, "contoso", "eastus");
                 json_integer_value(
                     json_object_get(json_object_get(row, "ahead"), "copiedBytes")) == N_BYTES;
             }),
             10000);
    json_decref(row);
    // what the relay has already it hands on as well
    tell(&layer, true);
    region_push(east, "contoso", "app", "1", 5, 1, N_BYTES, 0, &pushed);
    WAIT_FOR(region_has(last, "contoso", "app", "1", &pushed), 20000);
    ck_assert_uint_eq(east->n_blob_gets, 2); // and the config
    world_done(&w);
}
END_TEST

// A client of the global name may come to the last region next: that has word of the blob, and
// waits for its relay's.
START_TEST(what_a_client_may_ask_for_next_is_expected)
{
    struct digest layer;
    up(0);
    region_layer(east, "contoso", "app", 501, N_BYTES, &layer);
    tell(&layer, false);
    ck_assert(has(last, &layer) || replicator_coming(last->replicator, "contoso", "app", &layer));
    WAIT_FOR(has(last, &layer), 20000);
    ck_assert_uint_eq(east->n_blob_gets, 1);
    WAIT_FOR(!replicator_coming(last->replicator, "contoso", "app", &layer), 10000);
    world_done(&w);
}
END_TEST

static int offer(struct test_region *at, struct test_region *from, const struct digest *d,
                 const char *more)
{
    char target[512], text[DIGEST_TEXT_SIZE];
    snprintf(target, sizeof target,
             "/replication/v1/ahead?registry=contoso&repository=app&digest=%s&size=%d%s",
             digest_format(d, text), N_BYTES, more);
    return region_ask(at, from, "POST", target, NULL, NULL);
}

START_TEST(who_waits_is_not_kept_waiting_for_the_relay)
{
    struct digest layer;
    char by[64];
    up(600000);
    region_layer(east, "contoso", "app", 501, N_BYTES, &layer);
    snprintf(by, sizeof by, "&by=%s", relay->name);
    ck_assert_int_eq(offer(last, east, &layer, by), 202);
    ck_assert(replicator_coming(last->replicator, "contoso", "app", &layer));
    ck_assert_uint_eq(east->n_blob_gets, 0);
    replicator_wait(last->replicator, "contoso", "app", &layer, clock_mono_ms() + 10000);
    ck_assert(has(last, &layer));
    ck_assert(!has(relay, &layer));
    world_done(&w);
}
END_TEST

START_TEST(what_does_not_come_is_expected_no_more)
{
    struct digest layer;
    char by[64];
    up(300);
    region_layer(east, "contoso", "app", 501, N_BYTES, &layer);
    snprintf(by, sizeof by, "&by=%s", relay->name);
    ck_assert_int_eq(offer(last, east, &layer, by), 202);
    WAIT_FOR(!replicator_coming(last->replicator, "contoso", "app", &layer), 10000);
    ck_assert_uint_eq(east->n_blob_gets, 0);
    // a name that is no member's is passed over
    ck_assert_int_eq(offer(last, east, &layer, "&by=mars"), 202);
    WAIT_FOR(has(last, &layer), 10000);
    world_done(&w);
}
END_TEST

static struct ahead_key key_of(const char *repository, unsigned i)
{
    struct ahead_key k = {.registry = "contoso", .repository = repository, .origin = "eastus"};
    ck_assert_int_eq(digest_of(DIGEST_SHA256, (const char *)&i, sizeof i, &k.digest), 0);
    return k;
}

START_TEST(expectations_have_a_bound)
{
    struct expected *e;
    struct expected_item it;
    int64_t until = clock_mono_ms() + 60000;
    ck_assert_int_eq(expected_new(&e), 0);
    for (unsigned i = 0; i < EXPECTED_MAX; i++) {
        const struct ahead_key k = key_of("app", i);
        ck_assert_int_eq(expected_add(e, &k, i, until), 0);
    }
    const struct ahead_key one = key_of("app", 1), more = key_of("app", EXPECTED_MAX),
                           other = key_of("other", 1);
    ck_assert_int_eq(expected_add(e, &more, 1, until), ERR_FULL);
    ck_assert_int_eq(expected_add(e, &one, 1, until), 0); // no second one
    ck_assert(!expected_has(e, "contoso", "other", &other.digest));
    ck_assert(!expected_take(e, "fabrikam", "app", &one.digest, &it));
    ck_assert(expected_take(e, "contoso", "app", &one.digest, &it));
    ck_assert_str_eq(it.origin, "eastus");
    ck_assert_uint_eq(it.size, 1);
    expected_item_done(&it);
    ck_assert(!expected_has(e, "contoso", "app", &one.digest));
    ck_assert_int_eq(expected_add(e, &more, 1, clock_mono_ms() - 1), 0);
    ck_assert(!expected_has(e, "contoso", "app", &more.digest));
    expected_free(e);
}
END_TEST

START_TEST(jobs_that_wait_for_a_blob_are_found_once)
{
    struct absences *l;
    int64_t jobs[2];
    const struct ahead_key one = key_of("app", 1), two = key_of("app", 2);
    uint64_t mark = absence_mark(&one.digest), other = absence_mark(&two.digest);
    ck_assert_uint_ne(mark, other);
    ck_assert_int_eq(absences_new(60000, &l), 0);
    absence_waits_for(l, 7, mark); // nobody remembers it
    ck_assert_uint_eq(absences_of(l, mark, jobs, 2), 0);
    for (int64_t job = 7; job < 11; job++)
        ck_assert_int_lt(absence_age_ms(l, job), 60000);
    absence_waits_for(l, 7, mark);
    absence_waits_for(l, 8, other);
    absence_waits_for(l, 9, mark);
    absence_waits_for(l, 10, mark);
    ck_assert_uint_eq(absences_of(l, mark, jobs, 2), 2);
    ck_assert_uint_eq(absences_of(l, mark, jobs, 2), 1);
    ck_assert_uint_eq(absences_of(l, mark, jobs, 2), 0);
    absence_end(l, 8);
    ck_assert_uint_eq(absences_of(l, other, jobs, 2), 0);
    for (int64_t job = 100; absence_age_ms(l, job) != INT64_MAX; job++) // it is full
        ck_assert_int_lt(job, 1000);
    absences_free(l);
}
END_TEST

CHECK_MAIN("replication/relays", the_origin_gives_each_blob_once,
           a_relay_that_never_has_it_costs_its_time_and_no_more,
           a_relay_that_trickles_costs_its_time_and_no_more,
           a_relay_that_is_always_late_is_passed_over, who_was_late_is_asked_again_after_a_minute,
           a_dead_relay_costs_nothing, a_relay_that_lies_is_named_and_the_origin_asked,
           a_copy_ahead_goes_by_the_relay_too, what_a_client_may_ask_for_next_is_expected,
           who_waits_is_not_kept_waiting_for_the_relay, what_does_not_come_is_expected_no_more,
           expectations_have_a_bound, jobs_that_wait_for_a_blob_are_found_once)
