// SPDX-License-Identifier: Apache-2.0
// Replication between regions, end to end over sockets: copies, cuts, lies, restarts, restored
// backups.
#include "tests/unit/replication/regions.h"

#include "base/clock.h"
#include "base/clock_test.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/register.h"
#include "net/http_test.h"
#include "replication/cursor.h"
#include "tests/support/check_main.h"

#include <inttypes.h>
#include <jansson.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];

static struct feed_mark head_of(struct test_region *at, const char *origin)
{
    struct feed_mark m;
    ck_assert_int_eq(meta_head(at->meta, origin, &m), 0);
    return m;
}

START_TEST(a_push_appears_in_all_regions)
{
    struct digest d, d2;
    world_up(&w);
    region_push(east, "contoso", "app", "1", 1, 3, 200000, 0, &d);
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 10000);
    WAIT_FOR(region_has(south, "contoso", "app", "1", &d), 10000);
    // The stream stands: the next one is announced at once, far below any tick.
    int64_t began = clock_mono_ms();
    // its manifest does not travel in the entry
    region_push(east, "contoso", "app", "2", 2, 1, 1000, 100000, &d2);
    WAIT_FOR(region_has(west, "contoso", "app", "2", &d2), 10000);
    ck_assert_int_lt(clock_mono_ms() - began, 3000);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 5000);
    world_done(&w);
}
END_TEST

START_TEST(a_feed_carries_only_what_both_hold_and_a_registry_shared_later_is_read_whole)
{
    struct digest d, f;
    world_up(&w);
    region_push(east, "fabrikam", "tool", "1", 1, 1, 5000, 0, &f);
    region_push(east, "contoso", "app", "1", 2, 1, 5000, 0, &d);
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 10000);
    WAIT_FOR(region_has(south, "fabrikam", "tool", "1", &f), 10000);
    ck_assert(!meta_repository_exists(west->meta, "fabrikam", "tool"));
    world_topology(&w, 2, true);
    WAIT_FOR(region_has(west, "fabrikam", "tool", "1", &f), 15000);
    world_done(&w);
}
END_TEST

START_TEST(tags_written_on_both_sides_of_a_cut_converge)
{
    struct digest a, b;
    world_up(&w);
    region_push(east, "contoso", "app", "base", 1, 1, 1000, 0, &a);
    WAIT_FOR(region_has(west, "contoso", "app", "base", &a), 10000);
    region_cut(west, true);
    // Streams that stand are not cut by refusing new ones: take the region's servers away instead.
    region_down(west);
    region_up(west);
    region_push(east, "contoso", "app", "1", 2, 1, 1000, 0, &a);
    region_push(west, "contoso", "app", "1", 3, 1, 1000, 0, &b); // later, so it wins everywhere
    WAIT_FOR(region_has(south, "contoso", "app", "1", &a), 10000);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Unreachable"), 10000);
    region_cut(west, false);
    for (size_t i = 0; i < N_REGIONS; i++)
        WAIT_FOR(region_has(&w.regions[i], "contoso", "app", "1", &b), 20000);
    world_done(&w);
}
END_TEST

START_TEST(a_region_that_was_down_catches_up)
{
    struct digest d[12];
    world_up(&w);
    region_push(east, "contoso", "app", "t0", 1, 1, 1000, 0, &d[0]);
    WAIT_FOR(region_has(west, "contoso", "app", "t0", &d[0]), 10000);
    region_down(west);
    for (unsigned i = 1; i < 12; i++) {
        char tag[8];
        snprintf(tag, sizeof tag, "t%u", i);
        region_push(east, "contoso", "app", tag, i + 1, 2, 20000, 0, &d[i]);
    }
    region_up(west);
    WAIT_FOR(region_has(west, "contoso", "app", "t6", &d[6]), 15000);
    region_down(west); // in the middle, perhaps
    region_up(west);
    for (unsigned i = 0; i < 12; i++) {
        char tag[8];
        snprintf(tag, sizeof tag, "t%u", i);
        WAIT_FOR(region_has(west, "contoso", "app", tag, &d[i]), 15000);
    }
    world_done(&w);
}
END_TEST

START_TEST(a_blob_goes_on_where_it_broke_off)
{
    struct digest d;
    world_up(&w);
    region_cut(south, true);
    east->fault = FAULT_CUTS;
    region_push(east, "contoso", "app", "1", 1, 1, 300000, 0, &d);
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 20000);
    ck_assert_uint_ge(east->n_ranges, 1);
    world_done(&w);
}
END_TEST

START_TEST(a_source_that_lies_is_not_believed_and_another_gives_it)
{
    struct digest d;
    world_up(&w);
    region_cut(west, true);
    region_down(west);
    region_push(east, "contoso", "app", "1", 1, 2, 50000, 100000, &d);
    WAIT_FOR(region_has(south, "contoso", "app", "1", &d), 10000);
    east->fault = FAULT_LIES;
    region_cut(west, false);
    region_up(west);
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 20000);
    world_done(&w);
}
END_TEST

START_TEST(what_nobody_gives_truly_stays_retrying_until_it_comes)
{
    struct digest d;
    world_up(&w);
    region_cut(south, true);
    east->fault = FAULT_LIES;
    region_push(east, "contoso", "app", "1", 1, 1, 50000, 0, &d);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Retrying"), 15000);
    ck_assert(!region_has(west, "contoso", "app", "1", &d));
    east->fault = FAULT_NONE;
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 40000);
    world_done(&w);
}
END_TEST

START_TEST(a_feed_of_garbage_is_dropped_and_others_are_read)
{
    const enum fault faults[] = {FAULT_GARBAGE, FAULT_ENDLESS};
    struct digest d;
    world_make(&w);
    for (size_t i = 0; i < 2; i++) {
        east->fault = faults[i];
        for (size_t k = 0; k < N_REGIONS; k++)
            region_up(&w.regions[k]);
        char tag[8];
        snprintf(tag, sizeof tag, "g%zu", i);
        region_push(south, "contoso", "app", tag, (unsigned)i + 1, 1, 1000, 0, &d);
        WAIT_FOR(region_has(west, "contoso", "app", tag, &d), 10000);
        WAIT_FOR(state_is(west, "contoso", "eastus", "Unreachable"), 10000);
        ck_assert_uint_eq(head_of(west, "eastus").seq, 0);
        for (size_t k = 0; k < N_REGIONS; k++)
            region_down(&w.regions[k]);
    }
    world_done(&w);
}
END_TEST

START_TEST(a_source_that_hangs_delays_only_itself)
{
    struct digest d, stuck;
    world_up(&w);
    east->fault = FAULT_HANGS;
    for (unsigned i = 0; i < 8; i++) {
        char tag[8];
        snprintf(tag, sizeof tag, "h%u", i);
        region_push(east, "contoso", "stuck", tag, 50 + i, 1, 1000, 0, &stuck);
    }
    WAIT_FOR(east->n_blob_gets >= 2, 10000);
    int64_t began = clock_mono_ms();
    region_push(south, "contoso", "app", "1", 1, 3, 20000, 0, &d);
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 10000);
    ck_assert_int_lt(clock_mono_ms() - began, 8000);
    ck_assert(!region_has(west, "contoso", "stuck", "h0", &stuck));
    world_done(&w);
}
END_TEST

static void file_copy(const char *dir, const char *from, const char *to)
{
    char a[400], b[400];
    snprintf(a, sizeof a, "%s/%s", dir, from);
    snprintf(b, sizeof b, "%s/%s", dir, to);
    struct buf text;
    buf_init(&text, 0);
    int rc = file_read(a, 256 << 20, &text);
    if (rc == ERR_NOTFOUND) {
        remove(b);
    } else {
        ck_assert_int_eq(rc, 0);
        ck_assert_int_eq(file_write_atomic(b, text.p ? text.p : "", text.n, 0600), 0);
    }
    buf_done(&text);
}

static void backup(struct test_region *r, bool restore)
{
    static const char *const files[][2] = {{"meta.db", "save.db"}, {"meta.db-wal", "save.db-wal"}};
    for (size_t i = 0; i < 2; i++)
        file_copy(r->dir, files[i][restore], files[i][!restore]);
    if (restore) {
        char shm[400];
        snprintf(shm, sizeof shm, "%s/meta.db-shm", r->dir);
        remove(shm);
    }
}

// What `at` holds of `origin` must still be what it was: no sequence took another meaning.
static void same_prefix(struct test_region *at, const char *origin, const struct feed_mark *was)
{
    ck_assert_int_eq(meta_feed_check(at->meta, origin, was), 0);
}

START_TEST(a_restored_backup_recovers_before_it_writes)
{
    struct digest d[4], e;
    world_up(&w);
    region_push(east, "contoso", "app", "t0", 1, 1, 1000, 0, &d[0]);
    WAIT_FOR(region_has(west, "contoso", "app", "t0", &d[0]), 10000);
    region_down(east);
    backup(east, false);
    region_up(east);
    for (unsigned i = 1; i < 4; i++) {
        char tag[8];
        snprintf(tag, sizeof tag, "t%u", i);
        region_push(east, "contoso", "app", tag, i + 1, 1, 1000, 0, &d[i]);
        WAIT_FOR(region_has(west, "contoso", "app", tag, &d[i]), 10000);
    }
    struct feed_mark was = head_of(west, "eastus");
    region_down(east);
    backup(east, true);
    region_up(east);
    region_push(east, "contoso", "app", "after", 9, 1, 1000, 0, &e);
    WAIT_FOR(region_has(west, "contoso", "app", "after", &e), 15000);
    WAIT_FOR(region_has(south, "contoso", "app", "after", &e), 15000);
    same_prefix(west, "eastus", &was);
    same_prefix(east, "eastus", &was);
    ck_assert_uint_gt(head_of(west, "eastus").epoch, was.epoch);
    for (unsigned i = 0; i < 4; i++) {
        char tag[8];
        snprintf(tag, sizeof tag, "t%u", i);
        WAIT_FOR(region_has(east, "contoso", "app", tag, &d[i]), 10000);
    }
    world_done(&w);
}
END_TEST

START_TEST(a_backup_restored_alone_recovers_when_the_others_come)
{
    struct digest d[3], e;
    world_up(&w);
    region_push(east, "contoso", "app", "t0", 1, 1, 1000, 0, &d[0]);
    WAIT_FOR(region_has(west, "contoso", "app", "t0", &d[0]), 10000);
    region_down(east);
    backup(east, false);
    region_up(east);
    for (unsigned i = 1; i < 3; i++) {
        char tag[8];
        snprintf(tag, sizeof tag, "t%u", i);
        region_push(east, "contoso", "app", tag, i + 1, 1, 1000, 0, &d[i]);
        WAIT_FOR(region_has(west, "contoso", "app", tag, &d[i]), 10000);
    }
    struct feed_mark was = head_of(west, "eastus");
    region_down(east);
    backup(east, true);
    region_cut(east, true);
    region_up(east);
    // in another epoch: nobody was heard
    region_push(east, "contoso", "app", "alone", 9, 1, 1000, 0, &e);
    ck_assert_uint_gt(head_of(east, "eastus").epoch, was.epoch);
    region_cut(east, false);
    WAIT_FOR(region_has(west, "contoso", "app", "alone", &e), 25000);
    for (unsigned i = 0; i < 3; i++) {
        char tag[8];
        snprintf(tag, sizeof tag, "t%u", i);
        WAIT_FOR(region_has(east, "contoso", "app", tag, &d[i]), 15000);
        WAIT_FOR(region_has(south, "contoso", "app", tag, &d[i]), 15000);
    }
    same_prefix(west, "eastus", &was);
    WAIT_FOR(region_writes_open(east), 15000);
    world_done(&w);
}
END_TEST

// --- the peer listener's manners ---

static int ask(struct test_region *from, const char *target, const char *host, struct buf *out)
{
    return region_ask(east, from, NULL, target, host, out);
}

START_TEST(requests_are_judged)
{
    static const struct {
        const char *target;
        int status;
    } table[] = {
        {"/replication/v1/feed", 400},
        {"/replication/v1/feed?after=%21", 400},
        {"/replication/v1/feed?after=AAAA", 400},
        {"/replication/v1/feed?after=&after=", 400},
        {"/replication/v1/feed?after=&origin=nowhere", 404},
        {"/replication/v1/feed?after=&origin=..%2f", 404},
        {"/replication/v1/mark", 400},
        {"/replication/v1/mark?origin=southeastasia", 400},
        {"/replication/v1/mark?origin=westeurope", 200},
        {"/replication/v1/none", 404},
        {"/replication/v2/feed", 404},
        {"/replication/", 404},
        {"/replication/v1/status", 200},
        {"/replication/v1/status?registry=fabrikam", 404},
        {"/replication/v1/have?repository=app&tag=1", 200},
        {"/replication/v1/have?repository=app", 400},
        {"/replication/v1/have?repository=../x&tag=1", 400},
        {"/replication/v1/have?repository=app&tag=-", 400},
        {"/replication/v1/have?repository=app&digest=sha256:zz", 400},
        {"/replication/v1/have?repository=app&tag=1&wait_ms=25001", 400},
        {"/replication/v1/have?repository=app&tag=1&stamp=-1", 400},
    };
    world_up(&w);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        ck_assert_msg(ask(west, table[i].target, "contoso.example.io", NULL) == table[i].status,
                      "%s", table[i].target);
    world_done(&w);
}
END_TEST

static void public_begin(void *ctx, struct http_request *req, struct http_plan *plan)
{
    (void)ctx;
    struct topology *t = snapshot_get(&east->topology);
    struct hostname h;
    hostname_parse_http_host(req->host, "example.io", &h);
    replication_begin(east->replicator, req, t, NULL, topology_registry(t, h.registry), &h, plan);
    snapshot_unref(t);
}

static int ask_public(const char *method, const char *target, const char *host)
{
    const struct http_app app = {.begin = public_begin};
    struct http_request *req = http_request_test_new(method, target, host);
    ck_assert_ptr_nonnull(req);
    struct http_response resp = {0};
    http_app_test_run(&app, req, 1, &resp);
    int status = resp.status;
    http_request_test_free(req);
    return status;
}

START_TEST(the_public_may_not_read_feeds)
{
    world_up(&w);
    const char *open = "contoso.example.io", *closed = "fabrikam.example.io";
    ck_assert_int_eq(ask_public("GET", "/replication/v1/feed?after=", open), 403);
    ck_assert_int_eq(ask_public("GET", "/replication/v1/mark?origin=eastus", open), 403);
    ck_assert_int_eq(ask_public("POST", "/replication/v1/status", open), 405);
    // anonymous pull is not enough
    ck_assert_int_eq(ask_public("GET", "/replication/v1/status", open), 401);
    ck_assert_int_eq(ask_public("GET", "/replication/v1/have?repository=app&tag=1", open), 200);
    ck_assert_int_eq(ask_public("GET", "/replication/v1/have?repository=app&tag=1", closed), 401);
    world_done(&w);
}
END_TEST

static int ask_feed(const struct feed_mark *m, struct buf *body)
{
    char cur[CURSOR_TEXT_SIZE], target[CURSOR_TEXT_SIZE + 64];
    snprintf(target, sizeof target, "/replication/v1/feed?speaks=2&after=%s",
             cursor_format(m, cur));
    return ask(west, target, "x", body);
}

// A cursor is a claim. What west has of us bears it out or not; with no proof nothing happens but
// the 409.
START_TEST(a_false_cursor_is_refused_and_closes_nothing)
{
    const struct feed_mark false_marks[] = {{.epoch = 1, .seq = 4000},
                                            {.epoch = INT64_MAX - 1, .seq = 7},
                                            {.epoch = INT64_MAX, .seq = INT64_MAX}};
    struct digest d;
    world_up(&w);
    for (size_t i = 0; i < N_REGIONS; i++)
        WAIT_FOR(region_writes_open(&w.regions[i]), 10000);
    region_push(east, "contoso", "app", "0", 1, 1, 100, 0, &d);
    WAIT_FOR(region_has(west, "contoso", "app", "0", &d), 15000);
    struct feed_mark was = head_of(east, "eastus"), m;
    struct buf body;
    buf_init(&body, 0);
    bool open = true;
    for (size_t i = 0; i < 60; i++) {
        m = false_marks[i % 3];
        if (m.epoch == 1)
            m.epoch = was.epoch;
        ck_assert_int_eq(ask_feed(&m, &body), 409);
        ck_assert_ptr_nonnull(strstr(buf_cstr(&body), "\"head\""));
        open = open && region_writes_open(east);
    }
    m = was; // right but for its hash
    m.hash[3] ^= 1;
    ck_assert_int_eq(ask_feed(&m, &body), 409);
    buf_done(&body);
    WAIT_FOR(west->n_relays > 0, 10000); // it was asked what it has of us,
    west->fault = FAULT_GARBAGE;         // and what it says now would not count either
    region_push(east, "contoso", "app", "1", 2, 1, 100, 0, &d);
    WAIT_FOR(region_has(south, "contoso", "app", "1", &d), 15000);
    ck_assert(open && region_writes_open(east));
    ck_assert_uint_le(west->n_relays, 3); // and not each time
    ck_assert_uint_eq(head_of(east, "eastus").epoch, was.epoch);
    ck_assert_uint_eq(head_of(east, "eastus").seq, was.seq + 2);
    world_done(&w);
}
END_TEST

START_TEST(have_waits_until_the_tag_is_there)
{
    struct digest d;
    world_up(&w);
    struct buf body;
    buf_init(&body, 0);
    ck_assert_int_eq(
        ask(west, "/replication/v1/have?repository=app&tag=1", "contoso.example.io", &body), 200);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&body), "\"found\":false"));
    WAIT_FOR(region_writes_open(south), 10000);
    int64_t began = clock_mono_ms();
    region_push(south, "contoso", "app", "1", 1, 1, 1000, 0, &d);
    ck_assert_int_eq(ask(west, "/replication/v1/have?repository=app&tag=1&wait_ms=15000",
                         "contoso.example.io", &body),
                     200);
    ck_assert_int_lt(clock_mono_ms() - began, 10000);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&body), "\"found\":true"));
    char text[DIGEST_TEXT_SIZE];
    ck_assert_ptr_nonnull(strstr(buf_cstr(&body), digest_format(&d, text)));
    buf_done(&body);
    world_done(&w);
}
END_TEST

static bool applied_all(struct test_region *at, const char *origin, const struct feed_mark *head)
{
    struct arena a;
    struct origin_status *list;
    size_t n;
    bool all = false;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_origins(at->meta, &a, &list, &n), 0);
    for (size_t i = 0; i < n; i++)
        all = all || (strcmp(list[i].origin, origin) == 0 && mark_equal(&list[i].applied, head));
    arena_done(&a);
    return all;
}

// Pushing the same again costs one entry, and nobody fetches anything for it.
START_TEST(a_repeated_push_fetches_nothing)
{
    struct digest d;
    world_up(&w);
    // too long to travel in its entry
    region_push(east, "contoso", "app", "1", 1, 2, 1000, 200000, &d);
    for (size_t i = 0; i < N_REGIONS; i++)
        WAIT_FOR(region_has(&w.regions[i], "contoso", "app", "1", &d), 10000);
    struct feed_mark before = head_of(east, "eastus"), after;
    unsigned n_gets = east->n_blob_gets + west->n_blob_gets + south->n_blob_gets;
    unsigned n_manifests = east->n_manifest_gets + west->n_manifest_gets + south->n_manifest_gets;
    ck_assert_uint_gt(n_manifests, 0);
    region_push(east, "contoso", "app", "1", 1, 2, 1000, 200000, &d);
    after = head_of(east, "eastus");
    ck_assert_uint_eq(after.seq, before.seq + 1);
    WAIT_FOR(applied_all(west, "eastus", &after) && applied_all(south, "eastus", &after), 10000);
    ck_assert_uint_eq(east->n_blob_gets + west->n_blob_gets + south->n_blob_gets, n_gets);
    ck_assert_uint_eq(east->n_manifest_gets + west->n_manifest_gets + south->n_manifest_gets,
                      n_manifests);
    world_done(&w);
}
END_TEST

static bool tag_gone(struct test_region *r, const char *tag)
{
    struct arena a;
    struct manifest_row row;
    arena_init(&a, 0);
    int rc = meta_manifest_get(r->meta, "contoso", "app", tag, NULL, &a, &row);
    arena_done(&a);
    return rc == ERR_NOTFOUND;
}

static bool closed_because(struct test_region *r, const char *words)
{
    struct arena a;
    arena_init(&a, 0);
    const char *why = meta_closed_why(r->meta, &a);
    bool is = why && strstr(why, words);
    arena_done(&a);
    return is;
}

static void remove_meta(struct test_region *r)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        char path[400];
        snprintf(path, sizeof path, "%s/meta.db%s", r->dir, ends[i]);
        ck_assert(remove(path) == 0 || i);
    }
}

// East's feed key was stolen. West has applied what the thief wrote, south had not read it when the
// topology revoked the key: all three end with what east wrote before, and east goes on with
// another key.
START_TEST(a_stolen_key_is_revoked)
{
    struct digest good, bad, after;
    struct buf body;
    char hash[2 * ENTRY_HASH_BYTES + 1];
    world_up(&w);
    buf_init(&body, 0);
    region_push(east, "contoso", "app", "0", 9, 1, 1000, 0, &good);
    WAIT_FOR(region_has(south, "contoso", "app", "0", &good), 10000);
    region_down(south); // has read less than what is good
    region_push(east, "contoso", "app", "1", 1, 1, 1000, 0, &good);
    WAIT_FOR(region_has(west, "contoso", "app", "1", &good), 10000);
    struct feed_mark last = head_of(east, "eastus"), stolen;
    region_push(east, "contoso", "app", "1", 2, 1, 1000, 0, &bad);
    region_push(east, "contoso", "app", "2", 2, 1, 1000, 0, &bad);
    stolen = head_of(east, "eastus");
    WAIT_FOR(region_has(west, "contoso", "app", "2", &bad), 10000);
    // What the operator looks at.
    ck_assert_int_eq(ask(west, "/replication/v1/entries?registry=contoso&origin=eastus",
                         "contoso.example.io", &body),
                     200);
    hex_format(last.hash, ENTRY_HASH_BYTES, hash);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&body), hash));
    ck_assert_int_eq(ask(west, "/replication/v1/entries?registry=contoso&origin=mars",
                         "contoso.example.io", NULL),
                     404);
    snprintf(w.revoked[0], sizeof w.revoked[0],
             "{ key: %s, epoch: %" PRIu64 ", seq: %" PRIu64 ", hash: %s }",
             region_keys_feed_id(east->keys), last.epoch, last.seq, hash);
    world_topology(&w, 2, false);
    WAIT_FOR(closed_because(east, "is revoked"), 5000); // it still signs with that key
    WAIT_FOR(region_has(west, "contoso", "app", "1", &good) && tag_gone(west, "2"), 10000);
    WAIT_FOR(region_has(east, "contoso", "app", "1", &good) && tag_gone(east, "2"), 10000);
    region_down(east);
    region_rekey(east);
    world_topology(&w, 3, false);
    region_up(east);
    region_up(south);
    region_push(east, "contoso", "app", "3", 3, 1, 1000, 0, &after);
    for (size_t i = 0; i < N_REGIONS; i++) {
        WAIT_FOR(region_has(&w.regions[i], "contoso", "app", "3", &after), 20000);
        WAIT_FOR(region_has(&w.regions[i], "contoso", "app", "1", &good), 5000);
        ck_assert(tag_gone(&w.regions[i], "2"));
        WAIT_FOR(state_is(&w.regions[i], "contoso", w.regions[(i + 1) % 3].name, "Ready"), 20000);
    }
    // relayed by nobody
    ck_assert_int_eq(meta_feed_check(west->meta, "eastus", &stolen), ERR_CONFLICT);
    ck_assert_int_eq(
        ask(west, "/replication/v1/revoked?registry=contoso", "contoso.example.io", &body), 200);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&body), "\"was\":\"stood\""));
    // A restart changes nothing of it.
    region_down(west);
    region_up(west);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 20000);
    ck_assert(region_has(west, "contoso", "app", "1", &good) && tag_gone(west, "2"));
    // East loses its disk: what the old key signed before comes back from the others, by the hash
    // alone.
    region_down(east);
    remove_meta(east);
    region_up(east);
    WAIT_FOR(region_has(east, "contoso", "app", "3", &after), 30000);
    WAIT_FOR(region_has(east, "contoso", "app", "1", &good), 5000);
    ck_assert(tag_gone(east, "2"));
    buf_done(&body);
    world_done(&w);
}
END_TEST

static struct register_value value_at(struct test_region *r, const char *tag, struct arena *a)
{
    struct manifest_row row;
    ck_assert_int_eq(meta_manifest_get(r->meta, "contoso", "app", tag, NULL, a, &row), 0);
    return (struct register_value){row.stamp, row.origin, row.epoch, row.digest};
}

// Does eastus say at once that it has this value of the tag, or a newer one? Else after the wait.
static bool had_at_once(const struct register_value *v)
{
    char target[512], text[DIGEST_TEXT_SIZE];
    snprintf(target, sizeof target,
             "/replication/v1/have?repository=app&tag=tie&wait_ms=1500&stamp=%" PRIu64
             "&origin=%s&epoch=%" PRIu64 "&digest=%s",
             v->stamp, v->origin, v->epoch, digest_format(&v->digest, text));
    int64_t began = clock_mono_ms();
    ck_assert_int_eq(ask(west, target, "contoso.example.io", NULL), 200);
    return clock_mono_ms() - began < 1000;
}

// The clock stands while three regions that do not see each other write one tag: the stamps are
// equal.
START_TEST(have_compares_as_the_register_does)
{
    struct register_value wrote[N_REGIONS];
    struct digest d[N_REGIONS];
    struct arena a;
    arena_init(&a, 0);
    world_make(&w);
    for (size_t i = 0; i < N_REGIONS; i++) {
        region_cut(&w.regions[i], true);
        region_up(&w.regions[i]);
    }
    for (size_t i = 0; i < N_REGIONS; i++) // of empty stores, each by itself
        WAIT_FOR(replicator_alone(w.regions[i].replicator) == 0, 20000);
    for (size_t i = 0; i < N_REGIONS; i++)
        WAIT_FOR(region_writes_open(&w.regions[i]), 20000);
    clock_virtual_set(clock_wall_ms());
    for (size_t i = 0; i < N_REGIONS; i++)
        region_push(&w.regions[i], "contoso", "app", "tie", (unsigned)i + 1, 1, 1000, 0, &d[i]);
    clock_virtual_off();
    for (size_t i = 0; i < N_REGIONS; i++)
        wrote[i] = value_at(&w.regions[i], "tie", &a);
    ck_assert_uint_eq(wrote[0].stamp, wrote[1].stamp);
    ck_assert_uint_eq(wrote[0].stamp, wrote[2].stamp);
    for (size_t i = 0; i < N_REGIONS; i++)
        region_cut(&w.regions[i], false);
    // of eastus, westeurope, southeastasia the last in the alphabet
    for (size_t i = 0; i < N_REGIONS; i++)
        WAIT_FOR(region_has(&w.regions[i], "contoso", "app", "tie", &d[1]), 30000);
    for (size_t i = 0; i < N_REGIONS; i++)
        ck_assert(had_at_once(&wrote[i])); // its own, the winner, and one that lost
    struct register_value higher = wrote[1];
    higher.epoch++;
    ck_assert(!had_at_once(&higher));
    higher = wrote[1];
    higher.stamp++;
    higher.origin = "eastus";
    ck_assert(!had_at_once(&higher));
    arena_done(&a);
    world_done(&w);
}
END_TEST

// After a restart nobody is asked what was lost, and whose clock is right: writes are open before
// anybody answers, in the same epoch. What closes writes later does.
START_TEST(a_store_that_was_handed_over_takes_writes_at_once)
{
    struct digest d, e;
    struct arena a;
    arena_init(&a, 0);
    world_up(&w);
    region_push(east, "contoso", "app", "before", 1, 1, 1000, 0, &d);
    WAIT_FOR(region_has(west, "contoso", "app", "before", &d), 10000);
    uint64_t epoch = head_of(east, "eastus").epoch;
    region_down(east);
    region_cut(east, true);
    east->start_ask_ms = 5000;
    region_up(east);
    ck_assert_ptr_nonnull(meta_closed_why(east->meta, &a));
    region_down(east);
    east->continues = true;
    region_up(east);
    ck_assert_ptr_null(meta_closed_why(east->meta, &a));
    region_push(east, "contoso", "app", "after", 2, 1, 1000, 0, &e);
    ck_assert_uint_eq(head_of(east, "eastus").epoch, epoch);
    region_cut(east, false);
    WAIT_FOR(region_has(west, "contoso", "app", "after", &e), 25000);
    east->clock_ms = 100000;
    WAIT_FOR(meta_closed_why(east->meta, &a), 25000);
    arena_done(&a);
    world_done(&w);
}
END_TEST

// --- a lost disk ---

static bool waits_for_a_word(struct test_region *r)
{
    struct arena a;
    arena_init(&a, 0);
    const char *why = meta_closed_why(r->meta, &a);
    bool is = why && strstr(why, "the store is empty");
    arena_done(&a);
    return is;
}

// East, with one image that the others have, comes back with an empty disk and behind a cut.
static struct feed_mark east_lost(struct digest *d)
{
    world_up(&w);
    region_push(east, "contoso", "app", "t0", 1, 1, 1000, 0, d);
    WAIT_FOR(region_has(west, "contoso", "app", "t0", d), 10000);
    WAIT_FOR(region_has(south, "contoso", "app", "t0", d), 10000);
    struct feed_mark was = head_of(west, "eastus");
    region_down(east);
    remove_meta(east);
    region_cut(east, true);
    region_up(east);
    WAIT_FOR(waits_for_a_word(east), 20000);
    return was;
}

START_TEST(an_empty_store_takes_no_writes_until_another_region_has_answered)
{
    struct digest d, e;
    struct feed_mark was = east_lost(&d);
    ck_assert(!region_writes_open(east));
    region_cut(east, false);
    WAIT_FOR(region_writes_open(east), 30000);
    ck_assert_int_eq(replicator_alone(east->replicator), ERR_NOTFOUND);
    WAIT_FOR(region_has(east, "contoso", "app", "t0", &d), 20000);
    region_push(east, "contoso", "app", "after", 2, 1, 1000, 0, &e);
    ck_assert_uint_gt(head_of(east, "eastus").epoch, was.epoch);
    same_prefix(east, "eastus", &was);
    WAIT_FOR(region_has(west, "contoso", "app", "after", &e), 20000);
    world_done(&w);
}
END_TEST

START_TEST(one_region_that_answers_is_enough)
{
    struct digest d;
    east_lost(&d);
    region_down(south);
    region_cut(east, false);
    WAIT_FOR(region_writes_open(east), 30000);
    WAIT_FOR(region_has(east, "contoso", "app", "t0", &d), 20000);
    world_done(&w);
}
END_TEST

// Its copy of what `origin` wrote says of all that it has ended.
static void calls_ended(struct test_region *r, const char *origin)
{
    char path[400], sql[200];
    sqlite3 *h;
    region_down(r);
    snprintf(path, sizeof path, "%s/meta.db", r->dir);
    snprintf(sql, sizeof sql, "UPDATE feed SET refused=2 WHERE origin='%s'", origin);
    ck_assert_int_eq(sqlite3_open(path, &h), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(h, sql, NULL, NULL, NULL), SQLITE_OK);
    ck_assert_int_gt(sqlite3_changes(h), 0);
    ck_assert_int_eq(sqlite3_close(h), SQLITE_OK);
    region_up(r);
}

// The first region that answers gives all back as ended; the next one has it whole.
START_TEST(what_is_given_back_as_ended_is_asked_of_the_others_too)
{
    struct digest d, e;
    struct feed_mark was = east_lost(&d);
    calls_ended(west, "eastus");
    region_down(south);
    region_cut(east, false);
    WAIT_FOR(region_writes_open(east), 30000);
    same_prefix(east, "eastus", &was);
    ck_assert(!region_has(east, "contoso", "app", "t0", &d));
    region_up(south);
    WAIT_FOR(region_has(east, "contoso", "app", "t0", &d), 30000);
    region_push(east, "contoso", "app", "after", 2, 1, 1000, 0, &e);
    WAIT_FOR(region_has(south, "contoso", "app", "after", &e), 20000);
    world_done(&w);
}
END_TEST

START_TEST(an_operator_may_say_that_there_is_nobody_to_wait_for)
{
    struct digest d, e;
    struct feed_mark was = east_lost(&d);
    ck_assert_int_eq(replicator_alone(east->replicator), 0);
    WAIT_FOR(region_writes_open(east), 20000);
    region_push(east, "contoso", "app", "alone", 2, 1, 1000, 0, &e);
    ck_assert_uint_gt(head_of(east, "eastus").epoch, was.epoch);
    region_cut(east, false);
    WAIT_FOR(region_has(west, "contoso", "app", "alone", &e), 25000);
    WAIT_FOR(region_has(east, "contoso", "app", "t0", &d), 25000);
    WAIT_FOR(region_writes_open(east), 15000);
    world_done(&w);
}
END_TEST

CHECK_MAIN("replication/regions", an_empty_store_takes_no_writes_until_another_region_has_answered,
           one_region_that_answers_is_enough,
           what_is_given_back_as_ended_is_asked_of_the_others_too,
           an_operator_may_say_that_there_is_nobody_to_wait_for, a_push_appears_in_all_regions,
           a_feed_carries_only_what_both_hold_and_a_registry_shared_later_is_read_whole,
           tags_written_on_both_sides_of_a_cut_converge, a_region_that_was_down_catches_up,
           a_blob_goes_on_where_it_broke_off,
           a_source_that_lies_is_not_believed_and_another_gives_it,
           what_nobody_gives_truly_stays_retrying_until_it_comes,
           a_feed_of_garbage_is_dropped_and_others_are_read, a_source_that_hangs_delays_only_itself,
           a_restored_backup_recovers_before_it_writes,
           a_backup_restored_alone_recovers_when_the_others_come, requests_are_judged,
           the_public_may_not_read_feeds, a_false_cursor_is_refused_and_closes_nothing,
           have_waits_until_the_tag_is_there, a_stolen_key_is_revoked,
           a_repeated_push_fetches_nothing, have_compares_as_the_register_does,
           a_store_that_was_handed_over_takes_writes_at_once)
