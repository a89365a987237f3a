// SPDX-License-Identifier: Apache-2.0
// A region that lies about time hurts itself only: its entries of the future are not taken, and no
// other region loses anything that the liar does not hold. Real readers, over sockets.
#include "tests/unit/replication/hostile.h"

#include "base/err.h"
#include "replication/cursor.h"
#include "tests/support/check_main.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];

static struct feed_mark head_of(struct test_region *at, const char *origin)
{
    struct feed_mark m;
    ck_assert_int_eq(meta_head(at->meta, origin, &m), 0);
    return m;
}

static unsigned pushes;

// A push to what the liar does not hold is taken and copied.
static void expect_alive(struct test_region *at, struct test_region *other, const char *registry)
{
    struct digest d;
    char tag[16];
    snprintf(tag, sizeof tag, "p%u", ++pushes);
    region_push(at, registry, "honest", tag, pushes, 1, 100, 0, &d);
    WAIT_FOR(region_has(other, registry, "honest", tag, &d), 30000);
    ck_assert(meta_writable(at->meta));
}

static void world_with_liar(feed_script_fn script)
{
    world_make(&w);
    w.skew_s = 5;
    world_topology(&w, 2, false);
    east->script = script;
    for (size_t i = 0; i < N_REGIONS; i++)
        region_up(&w.regions[i]);
}

static void restart(struct test_region *r)
{
    region_down(r);
    region_up(r);
}

// --- stamps near the end of all stamps ---

static void one_good_then_max(struct test_region *r, const char *peer,
                              const struct feed_mark *after, struct buf *out)
{
    (void)peer;
    struct feed_mark at = *after;
    while (at.seq < 5) {
        struct feed_entry e =
            liar_entry(r, &at, at.seq ? INT64_MAX - 10 + at.seq : stamp_in_ms(-1000), "app",
                       at.seq ? "latest" : "good");
        liar_say(r, &at, &e, out);
    }
}

START_TEST(stamps_near_the_end_stop_nobody_else)
{
    world_with_liar(one_good_then_max);
    WAIT_FOR(state_is(west, "contoso", "eastus", "ClockAhead"), 30000);
    WAIT_FOR(state_is(south, "fabrikam", "eastus", "ClockAhead"), 30000);
    for (unsigned round = 0; round < 2; round++) {
        // what came before is kept, and nothing after it
        ck_assert_uint_eq(head_of(west, "eastus").seq, 1);
        expect_alive(west, south, "tailspin");
        expect_alive(south, west, "contoso"); // also what the liar holds
        struct digest d;
        region_push(west, "contoso", "app", "latest", 1000 + round, 1, 100, 0, &d); // the very tag
        WAIT_FOR(region_has(south, "contoso", "app", "latest", &d), 30000);
        restart(west);
        restart(south);
        WAIT_FOR(state_is(west, "contoso", "eastus", "ClockAhead"), 30000);
    }
    world_done(&w);
}
END_TEST

// --- a clock that is only somewhat ahead ---

static _Atomic uint64_t ahead_stamp; // 0: it says nothing yet

static void three_tags(struct test_region *r, const char *peer, const struct feed_mark *after,
                       struct buf *out)
{
    (void)peer;
    struct feed_mark at = *after;
    while (ahead_stamp && at.seq < 3) {
        struct feed_entry e = liar_entry(
            r, &at, at.seq ? ahead_stamp + at.seq : ahead_stamp - (60ull << 26), "app", "t");
        liar_say(r, &at, &e, out);
    }
}

START_TEST(reading_goes_on_when_the_clock_is_near)
{
    ahead_stamp = 0;
    world_with_liar(three_tags);
    WAIT_FOR(region_writes_open(west), 20000);
    ahead_stamp = stamp_in_ms(13000); // 8 s more than the skew
    bool said = false;
    for (uint64_t seq = 0; seq < 3; seq = head_of(west, "eastus").seq) {
        said = said || state_is(west, "contoso", "eastus", "ClockAhead");
        ck_assert_uint_le(stamp_in_ms(0), ahead_stamp + (10ull << 26)); // it goes on by itself
        clock_sleep_ms(50);
    }
    ck_assert_uint_ge(stamp_in_ms(5000), ahead_stamp); // and not before
    ck_assert(said);
    WAIT_FOR(!state_is(west, "contoso", "eastus", "ClockAhead"), 10000);
    world_done(&w);
}
END_TEST

// --- signatures that do not hold ---

static void good_then_forged(struct test_region *r, const char *peer, const struct feed_mark *after,
                             struct buf *out)
{
    struct feed_mark at = *after;
    if (!at.seq) {
        struct feed_entry e = liar_entry(r, &at, stamp_in_ms(-3000), "app", "good");
        liar_say(r, &at, &e, out);
    }
    struct feed_entry e = liar_entry(r, &at, stamp_in_ms(-2000), "app", "forged");
    liar_sign(r, at.hash, &e);
    if (strcmp(peer, "westeurope") == 0)
        e.sig[0] ^= 1;
    else
        e.key = region_keys_feed_id(west->keys); // which the topology gives to another region
    liar_line(&e, out);
}

// Was a line of `origin` refused at `at`, with these words, and counted?
static bool refused_says(struct test_region *at, const char *origin, const char *words)
{
    AUTO_BUF struct buf metrics;
    char sample[128];
    buf_init(&metrics, 0);
    json_t *row = row_of(at, "contoso", origin), *refused = json_object_get(row, "refused");
    json_int_t times = json_integer_value(json_object_get(refused, "times"));
    const char *last = json_string_value(json_object_get(refused, "last"));
    bool says = last && strstr(last, words);
    json_decref(row);
    if (!says)
        return false;
    replication_metrics(at->replicator, &metrics);
    snprintf(sample, sizeof sample, "refused_entries_total{region=\"%s\"} ", origin);
    const char *found = strstr(buf_cstr(&metrics), sample);
    ck_assert_ptr_nonnull(found);
    ck_assert_int_ge(atoll(found + strlen(sample)), times);
    return true;
}

START_TEST(what_its_origin_did_not_sign_is_refused_and_counted)
{
    world_with_liar(good_then_forged);
    WAIT_FOR(refused_says(west, "eastus", "behind entry 1 of epoch 1: wrong signature"), 30000);
    WAIT_FOR(refused_says(south, "eastus", "signed by a key that the topology does not give"),
             30000);
    WAIT_FOR(head_of(west, "eastus").seq == 1 && head_of(south, "eastus").seq == 1, 20000);
    ck_assert(!refused_says(west, "southeastasia", ""));
    expect_alive(west, south, "tailspin");
    world_done(&w);
}
END_TEST

// A relay that forges what a region lost.
static void forged_of_east(struct test_region *r, const char *peer, const struct feed_mark *after,
                           struct buf *out)
{
    (void)peer;
    struct feed_mark at = *after;
    struct feed_entry e = liar_entry(r, &at, stamp_in_ms(-2000), "app", "forged");
    e.origin = east->name;
    e.key = region_keys_feed_id(east->keys);
    liar_sign(r, at.hash, &e); // with the relay's own key
    liar_line(&e, out);
}

START_TEST(a_relay_brings_back_nothing_that_its_origin_did_not_sign)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    struct digest d;
    char path[512];
    world_up(&w);
    region_push(east, "contoso", "app", "1", 1, 1, 100, 0, &d);
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 10000);
    region_cut(south, true);
    region_down(south);
    region_down(east);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        snprintf(path, sizeof path, "%s/meta.db%s", east->dir, ends[i]);
        ck_assert(remove(path) == 0 || i);
    }
    west->script = forged_of_east;
    west->n_short_relays = 1000;
    region_up(east);
    WAIT_FOR(refused_says(east, "westeurope", "wrong signature"), 30000);
    ck_assert_uint_eq(head_of(east, "eastus").seq, 0);
    west->script = NULL;
    west->n_short_relays = 0;
    WAIT_FOR(region_has(east, "contoso", "app", "1", &d), 60000);
    world_done(&w);
}
END_TEST

// --- one malformed entry ---

static void one_malformed(struct test_region *r, const char *peer, const struct feed_mark *after,
                          struct buf *out)
{
    (void)peer;
    struct feed_mark at = *after;
    while (at.seq < 4) {
        struct feed_entry e = liar_entry(r, &at, ahead_stamp + at.seq, "app", "t");
        if (e.seq == 2)
            e.restates = e.stamp;
        if (e.seq == 3)
            e.restates = INT64_MAX;
        liar_say(r, &at, &e, out);
    }
}

START_TEST(a_malformed_entry_alone_is_passed_over)
{
    ahead_stamp = stamp_in_ms(-20000);
    world_with_liar(one_malformed);
    WAIT_FOR(head_of(west, "eastus").seq == 4, 30000);
    struct arena a;
    arena_init(&a, 0);
    struct feed_mark zero = {0}, last;
    struct feed_entry *e;
    size_t n;
    ck_assert_int_eq(meta_feed_read(west->meta, "eastus", &zero, NULL, 0, 10, &a, &e, &n, &last),
                     0);
    ck_assert_uint_eq(n, 2); // 1 and 4
    ck_assert_uint_eq(e[1].seq, 4);
    ck_assert(!state_is(west, "contoso", "eastus", "ClockAhead"));
    arena_done(&a);
    expect_alive(west, south, "tailspin");
    world_done(&w);
}
END_TEST

// --- whatever it may say ---

static struct hostile ears[N_REGIONS]; // what each region hears
static _Atomic unsigned n_streams;

static void sign_as(void *ctx, const void *p, size_t n, uint8_t sig[ENTRY_SIG_BYTES])
{
    ck_assert_int_eq(region_keys_sign_feed(ctx, p, n, sig), 0);
}

static void anything(struct test_region *r, const char *peer, const struct feed_mark *after,
                     struct buf *out)
{
    size_t i = 0;
    while (strcmp(w.regions[i].name, peer) != 0)
        i++;
    struct hostile *h = &ears[i];
    if (!h->state)
        *h = (struct hostile){.state = 77 + i,
                              .skew_ms = w.skew_s * 1000,
                              .origin = r->name,
                              .key = region_keys_feed_id(r->keys),
                              .other_key = region_keys_feed_id(west->keys),
                              .sign = sign_as,
                              .ctx = r->keys};
    hostile_lines(h, after, 100, 40, out);
    n_streams++;
}

// Through the real readers, jobs and fetches; test_hostile_random has the many.
START_TEST(whatever_a_region_says_the_others_go_on)
{
    world_with_liar(anything);
    for (unsigned round = 0; round < 3; round++) {
        unsigned until = n_streams + 12;
        WAIT_FOR(n_streams >= until, 20000);
        expect_alive(west, south, "tailspin");
        expect_alive(south, west, "tailspin");
        expect_alive(west, south, "contoso");
        if (round == 1)
            restart(west);
    }
    ck_assert_uint_gt(head_of(west, "eastus").seq, 0);
    world_done(&w);
}
END_TEST

// --- mending ---

// As a clock that was half an hour ahead leaves it.
static void clock_put_ahead(struct test_region *r)
{
    char path[400], text[128];
    sqlite3 *db;
    region_down(r);
    snprintf(path, sizeof path, "%s/meta.db", r->dir);
    snprintf(text, sizeof text, "INSERT OR REPLACE INTO state(key,value) VALUES('hlc',%llu)",
             (unsigned long long)stamp_in_ms(1800000));
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    region_up(r);
}

static uint64_t register_stamp(struct test_region *r, const char *tag)
{
    struct arena a;
    struct manifest_row row;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_manifest_get(r->meta, "contoso", "app", tag, NULL, &a, &row), 0);
    arena_done(&a);
    return row.stamp;
}

static void repair(struct test_region *r, bool apply, struct clock_repair *out)
{
    struct arena a;
    arena_init(&a, 0);
    ck_assert_int_eq(replicator_repair_clock(r->replicator, apply, &a, out), 0);
    out->voided.list = NULL;
    arena_done(&a);
}

static bool closed_for_stamps(struct test_region *r)
{
    struct arena a;
    arena_init(&a, 0);
    const char *why = meta_closed_why(r->meta, &a);
    bool is = why && strstr(why, "repair-clock");
    arena_done(&a);
    return is;
}

// What `at` hands on of another region's feed, as southeastasia asks for it.
static void relayed(struct test_region *at, const char *origin, struct buf *out)
{
    char url[256], socket[300];
    snprintf(url, sizeof url,
             "http://%s.peer.example.io/replication/v1/feed?speaks=2&after=&origin=%s", at->name,
             origin);
    snprintf(socket, sizeof socket, "%s/%d.from.2.sock", w.dir, (int)(at - w.regions));
    struct fetch_request q = {.url = url, .unix_socket = socket, .timeout_ms = 20000};
    struct fetch_result r;
    ck_assert_int_eq(fetch_run(at->fetcher, &q, &r), 0);
    ck_assert_int_eq(r.status, 200);
    buf_clear(out);
    buf_add(out, r.body.p, r.body.n);
    fetch_result_done(&r);
}

// The disk is lost, and a peer holds own entries of the future: writes open all the same, in an
// epoch past them.
START_TEST(own_entries_of_the_future_hold_up_no_start)
{
    static const char *const tails[] = {"", "-wal", "-shm"};
    struct digest one, two;
    char path[400];
    world_make(&w);
    w.skew_s = 3600;
    world_topology(&w, 2, false);
    region_up(east);
    region_up(west);
    clock_put_ahead(east);
    region_push(east, "contoso", "app", "t1", 1, 1, 100, 0, &one);
    WAIT_FOR(region_has(west, "contoso", "app", "t1", &one), 30000);
    struct feed_mark was = head_of(west, "eastus");
    struct buf lines;
    buf_init(&lines, 0);
    relayed(west, "eastus", &lines);
    // southeastasia was never heard: entries are of version 1
    ck_assert_ptr_nonnull(strstr(buf_cstr(&lines), "\"tag\":\"t1\""));
    region_down(east);
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/meta.db%s", east->dir, tails[i]);
        remove(path);
    }
    w.skew_s = 5;
    world_topology(&w, 3, false);
    relayed(west, "eastus", &lines);
    // what is of the future is not handed on
    ck_assert_ptr_null(strstr(buf_cstr(&lines), "\"tag\":"));
    region_up(east);
    region_push(east, "contoso", "app", "t2", 2, 1, 100, 0, &two); // within the 20 s that it waits
    ck_assert_uint_gt(head_of(east, "eastus").epoch, was.epoch);
    struct clock_repair done;
    repair(west, true, &done);
    WAIT_FOR(region_has(west, "contoso", "app", "t2", &two), 30000);
    buf_done(&lines);
    world_done(&w);
}
END_TEST

// West and east both write in the future while all take it (the skew is an hour); then the skew is
// 5 s, and what they hold is what an earlier version would hold. South writes nothing, and is never
// repaired: the two tell it.
START_TEST(a_poisoned_world_is_mended)
{
    struct digest old, one, two, three, after;
    struct clock_repair done;
    world_make(&w);
    w.skew_s = 3600;
    world_topology(&w, 2, false);
    for (size_t i = 0; i < N_REGIONS; i++)
        region_up(&w.regions[i]);
    region_push(south, "contoso", "app", "t1", 9, 1, 100, 0, &old);
    WAIT_FOR(region_has(east, "contoso", "app", "t1", &old), 30000);
    WAIT_FOR(region_has(west, "contoso", "app", "t1", &old), 30000);
    clock_put_ahead(east);
    region_push(east, "contoso", "app", "t1", 1, 1, 100, 0, &one);
    region_push(east, "contoso", "app", "t2", 2, 1, 100, 0, &two);
    WAIT_FOR(region_has(west, "contoso", "app", "t2", &two), 30000);
    WAIT_FOR(region_has(south, "contoso", "app", "t2", &two), 30000);
    WAIT_FOR(region_has(west, "contoso", "app", "t1", &one), 30000);
    region_push(west, "contoso", "app", "t1", 3, 1, 100, 0, &three); // on top of it
    WAIT_FOR(region_has(east, "contoso", "app", "t1", &three), 30000);
    WAIT_FOR(region_has(south, "contoso", "app", "t1", &three), 30000);

    w.skew_s = 5;
    world_topology(&w, 3, false);
    WAIT_FOR(closed_for_stamps(east) && closed_for_stamps(west) && !closed_for_stamps(south),
             20000);
    repair(west, false, &done);
    ck_assert_uint_gt(done.n_own, 0);
    ck_assert(closed_for_stamps(west));
    repair(west, true, &done);
    ck_assert(region_writes_open(west));
    WAIT_FOR(state_is(west, "contoso", "eastus", "ClockAhead"), 30000); // which is not mended yet
    ck_assert(region_has(west, "contoso", "app", "t1", &three));
    repair(east, true, &done);
    for (size_t i = 0; i < N_REGIONS; i++) {
        WAIT_FOR(region_has(&w.regions[i], "contoso", "app", "t1", &three), 30000);
        WAIT_FOR(region_has(&w.regions[i], "contoso", "app", "t2", &two), 30000);
        WAIT_FOR(region_writes_open(&w.regions[i]), 20000);
        ck_assert_uint_lt(register_stamp(&w.regions[i], "t1"), stamp_in_ms(5000));
    }
    restart(south);
    restart(east); // what they ask each other at start finds nothing lost
    region_push(south, "contoso", "app", "t1", 4, 1, 100, 0, &after);
    for (size_t i = 0; i < N_REGIONS; i++)
        WAIT_FOR(region_has(&w.regions[i], "contoso", "app", "t1", &after), 30000);
    expect_alive(east, west, "contoso");
    world_done(&w);
}
END_TEST

CHECK_MAIN("replication/hostile", stamps_near_the_end_stop_nobody_else,
           reading_goes_on_when_the_clock_is_near,
           what_its_origin_did_not_sign_is_refused_and_counted,
           a_relay_brings_back_nothing_that_its_origin_did_not_sign,
           a_malformed_entry_alone_is_passed_over, whatever_a_region_says_the_others_go_on,
           a_poisoned_world_is_mended, own_entries_of_the_future_hold_up_no_start)
