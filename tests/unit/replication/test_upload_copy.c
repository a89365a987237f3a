// SPDX-License-Identifier: Apache-2.0
// Uploads that are copied to other regions while they run: the bytes come as they are written, and
// are a blob once the origin has verified them and said so; else they are let go, and counted.
#include "replication/upload_copy.h"
#include "tests/unit/replication/regions.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "net/response_reader.h"
#include "replication/ahead.h"
#include "replication/gather.h"
#include "store/files/files.h"
#include "store/publish.h"
#include "tests/support/check_main.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PART 1500000u
#define ID "eastus.0123456789abcdef0123456789abcdef"

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];
static struct blob_upload *up;
// all of the upload's bytes
static struct buf whole;

static void part_make(unsigned seed)
{
    char *p = buf_room(&whole, PART);
    ck_assert_ptr_nonnull(p);
    uint32_t x = seed * 2654435761u + 1;
    for (size_t i = 0; i < PART; i++) {
        x = x * 1664525u + 1013904223u;
        p[i] = (char)(x >> 24);
    }
    whole.n += PART;
}

static void part_send(void)
{
    ck_assert_int_eq(blob_upload_write(up, whole.p + whole.n - PART, PART), 0);
}

static void part_write(unsigned seed)
{
    part_make(seed);
    part_send();
}

// An upload of contoso's repository "app" that has one part.
static void upload_make(void)
{
    const struct upload_row row = {
        .id = ID, .registry = "contoso", .repository = "app", .principal = "ada"};
    buf_init(&whole, 64 << 20);
    ck_assert_int_eq(meta_upload_create(east->meta, &row, NULL, NULL), 0);
    ck_assert_int_eq(blob_upload_open(east->blobs, ID, &up), 0);
    part_write(1);
}

static void tell(struct elsewhere_item *item, const char *upload)
{
    const struct elsewhere_want want = {.registry = "contoso",
                                        .repository = "app",
                                        .items = item,
                                        .n_items = item != NULL,
                                        .later = true,
                                        .upload = upload};
    replicator_told(replicator_tell(east->replicator, &want), clock_mono_ms() + 10000);
}

static void begin(void)
{
    world_up(&w);
    WAIT_FOR(state_is(east, "contoso", "westeurope", "Ready") &&
                 state_is(east, "contoso", "southeastasia", "Ready"),
             10000);
    upload_make();
}

static void end(void)
{
    blob_upload_close(take_ptr(up));
    buf_done(&whole);
    world_done(&w);
}

// So many bytes of the copy are there; -1: there is none.
static int64_t copied(struct test_region *r)
{
    struct blob_reader *at;
    if (blob_follow_open(r->blobs, ID, &at))
        return -1;
    int64_t n = (int64_t)blob_reader_size(at);
    blob_reader_close(at);
    return n;
}

static bool both_have(int64_t n)
{
    return copied(west) == n && copied(south) == n;
}

// The end of the upload, as its commit makes it. The others are not told.
static struct elsewhere_item commit(void)
{
    struct elsewhere_item item = {.kind = CONTENT_BLOB, .size = whole.n};
    struct blob_name name;
    struct lease_result result;
    const struct upload_end over = {ID, "ada"};
    struct lease_add add = {.registry = "contoso",
                            .repository = "app",
                            .published = &name,
                            .size = whole.n,
                            .end = &over};
    ck_assert_int_eq(digest_of(DIGEST_SHA256, whole.p, whole.n, &item.digest), 0);
    add.digest = item.digest;
    ck_assert_int_eq(blob_upload_commit(up, &item.digest, &name, NULL), 0);
    blob_upload_close(take_ptr(up));
    ck_assert_int_eq(blob_publish(east->blobs, east->meta, &add, &result), 0);
    return item;
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

static bool let_go(struct test_region *r)
{
    return copied(r) == -1 && said(r, "waitingBytes") == 0;
}

START_TEST(ids_are_those_of_the_region_that_tells)
{
    ck_assert(upload_copy_id_ok("eastus.0a", "eastus"));
    ck_assert(!upload_copy_id_ok("eastus.", "eastus"));
    ck_assert(!upload_copy_id_ok("eastus.0g", "eastus"));
    ck_assert(!upload_copy_id_ok("eastus", "eastus"));
    ck_assert(!upload_copy_id_ok("westeurope.0a", "eastus"));
    ck_assert(!upload_copy_id_ok("eastus.0123456789abcdef0123456789abcdef0123456789abcdef0123456789"
                                 "abcdef0",
                                 "eastus"));
}
END_TEST

START_TEST(the_bytes_come_as_they_are_written)
{
    struct digest d;
    begin();
    tell(NULL, ID);
    WAIT_FOR(both_have(PART), 10000);
    part_write(2);
    WAIT_FOR(both_have(2 * PART), 10000);
    blob_upload_close(up); // between two requests of the client
    ck_assert_int_eq(blob_upload_open(east->blobs, ID, &up), 0);
    part_write(3);
    WAIT_FOR(both_have(3 * PART), 10000);
    ck_assert_int_gt(said(west, "waitingBytes"), 0);
    ck_assert_int_eq(digest_of(DIGEST_SHA256, whole.p, whole.n, &d), 0);
    ck_assert(!has(west, &d)); // nobody has said what it is
    struct elsewhere_item item = commit();
    tell(&item, ID);
    WAIT_FOR(has(west, &d) && has(south, &d), 10000);
    ck_assert_uint_eq(east->n_blob_gets, 0); // nothing had to come again
    WAIT_FOR(said(west, "copiedBytes") == (long long)whole.n, 10000);
    ck_assert_int_eq(said(west, "waitingBytes"), (long long)whole.n); // for a manifest
    ck_assert_int_eq(said(west, "wastedBytes"), 0);
    WAIT_FOR(copied(west) == -1, 10000);
    ck_assert_int_eq(meta_blob_look(west->meta, "contoso", "other", &d, &(struct blob_here){0}),
                     ERR_NOTFOUND);
    end();
}
END_TEST

START_TEST(one_that_is_dropped_is_let_go_on_both_sides)
{
    begin();
    tell(NULL, ID);
    WAIT_FOR(both_have(PART), 10000);
    blob_upload_drop(take_ptr(up));
    ck_assert_int_eq(meta_upload_delete(east->meta, ID), 0);
    WAIT_FOR(let_go(west) && let_go(south), 10000);
    ck_assert_int_eq(said(west, "wastedBytes"), PART);
    tell(NULL, ID); // there is none of that name any more
    WAIT_FOR(let_go(west) && let_go(south), 10000);
    ck_assert_int_eq(said(west, "wastedBytes"), PART);
    end();
}
END_TEST

// What was sent already is not what the upload goes on with.
START_TEST(a_part_that_is_taken_back_ends_the_copy)
{
    begin();
    tell(NULL, ID);
    WAIT_FOR(both_have(PART), 10000);
    part_write(2);
    WAIT_FOR(both_have(2 * PART), 10000);
    ck_assert_int_eq(blob_upload_trim(up, PART), 0);
    whole.n = PART;
    WAIT_FOR(let_go(west) && let_go(south), 10000);
    part_write(3);
    struct elsewhere_item item = commit();
    tell(&item, ID);
    WAIT_FOR(has(west, &item.digest) && has(south, &item.digest), 10000);
    ck_assert_uint_eq(east->n_blob_gets, 2); // by its digest, as ever
    end();
}
END_TEST

// The region that tells is wrong about what became of it.
START_TEST(bytes_that_do_not_match_are_thrown_away)
{
    struct elsewhere_item other = {.kind = CONTENT_BLOB, .size = PART};
    begin();
    region_layer(east, "contoso", "app", 7, PART, &other.digest);
    tell(NULL, ID);
    WAIT_FOR(both_have(PART), 10000);
    (void)commit();
    tell(&other, ID);
    WAIT_FOR(has(west, &other.digest) && has(south, &other.digest), 10000);
    ck_assert_uint_eq(east->n_blob_gets, 2);
    ck_assert_int_eq(said(west, "wastedBytes"), PART);
    WAIT_FOR(copied(west) == -1, 10000);
    end();
}
END_TEST

START_TEST(no_more_comes_than_it_has_become)
{
    struct elsewhere_item less = {.kind = CONTENT_BLOB, .size = PART - 1};
    begin();
    tell(NULL, ID);
    WAIT_FOR(both_have(PART), 10000);
    less.digest = commit().digest;
    tell(&less, ID);
    WAIT_FOR(copied(west) == -1, 10000);
    WAIT_FOR(said(west, "waitingBytes") == 0, 10000);
    ck_assert(!has(west, &less.digest));
    end();
}
END_TEST

START_TEST(beyond_the_bound_nothing_is_copied)
{
    world_make(&w);
    west->ahead_bytes = 1000000; // less than a window
    for (size_t i = 0; i < N_REGIONS; i++)
        region_up(&w.regions[i]);
    WAIT_FOR(state_is(east, "contoso", "westeurope", "Ready") &&
                 state_is(east, "contoso", "southeastasia", "Ready"),
             10000);
    upload_make();
    tell(NULL, ID);
    WAIT_FOR(copied(south) == PART, 10000);
    WAIT_FOR(said(west, "refused") == 1 && let_go(west), 10000);
    struct elsewhere_item item = commit();
    tell(&item, ID);
    WAIT_FOR(has(south, &item.digest), 10000);
    ck_assert(!has(west, &item.digest)); // it comes with its manifest
    end();
}
END_TEST

// The regions, of which westeurope copies so many bytes ahead; and an upload that comes there.
static void begin_bound(uint64_t bytes)
{
    world_make(&w);
    west->ahead_bytes = bytes;
    for (size_t i = 0; i < N_REGIONS; i++)
        region_up(&w.regions[i]);
    WAIT_FOR(state_is(east, "contoso", "westeurope", "Ready") &&
                 state_is(east, "contoso", "southeastasia", "Ready"),
             10000);
    upload_make();
    tell(NULL, ID);
    WAIT_FOR(both_have(PART), 10000);
}

// eastus says to westeurope which blob the upload has become; the status. It need not be so.
static int say(const struct digest *d, uint64_t size, const char *more)
{
    char target[512], text[DIGEST_TEXT_SIZE];
    snprintf(target, sizeof target,
             "/replication/v1/ahead?registry=contoso&repository=app&digest=%s&size=%" PRIu64 "%s",
             digest_format(d, text), size, more);
    return region_ask(west, east, "POST", target, "west.example.io", NULL);
}

// A region that says that a relay will tell of the blob has its bytes counted all the same.
START_TEST(what_a_relay_is_to_tell_of_is_counted)
{
    struct digest d;
    begin_bound(8 << 20);
    ck_assert_int_eq(digest_of(DIGEST_SHA256, "never", 5, &d), 0);
    ck_assert_int_eq(say(&d, 5 << 20, "&later=1&by=southeastasia&upload=" ID), 202);
    ck_assert_int_eq(said(west, "waitingBytes"), 5 << 20);
    part_write(2);
    WAIT_FOR(both_have(2 * PART), 10000);
    ck_assert_int_eq(said(west, "waitingBytes"), 5 << 20);
    part_write(3);
    part_write(4);
    WAIT_FOR(let_go(west), 10000); // it is more than was said
    end();
}
END_TEST

START_TEST(a_size_beyond_the_bound_ends_the_copy)
{
    struct digest d;
    begin_bound(8 << 20);
    ck_assert_int_eq(digest_of(DIGEST_SHA256, "never", 5, &d), 0);
    (void)say(&d, 64 << 20, "&later=1&by=southeastasia&upload=" ID);
    WAIT_FOR(let_go(west), 10000);
    ck_assert_int_eq(copied(south), PART);
    end();
}
END_TEST

// The blob is coming already, behind others, and was said to be smaller.
START_TEST(a_smaller_size_that_was_noted_ends_the_copy)
{
    struct digest d;
    begin_bound(64 << 20);
    east->fault = FAULT_HANGS;
    for (unsigned i = 0; i <= AHEAD_THREADS; i++) {
        region_layer(east, "contoso", "app", 900 + i, 1, &d);
        ck_assert_int_eq(say(&d, 1, "&later=1"), 202);
    }
    WAIT_FOR(east->n_blob_gets > 0, 10000);
    (void)say(&d, 32 << 20, "&later=1&upload=" ID);
    WAIT_FOR(copied(west) == -1, 10000);
    WAIT_FOR(said(west, "waitingBytes") == AHEAD_THREADS + 1, 10000);
    end();
}
END_TEST

START_TEST(a_region_that_goes_leaves_nothing_behind)
{
    begin();
    tell(NULL, ID);
    WAIT_FOR(both_have(PART), 10000);
    region_down(west);
    // what one that was killed leaves is no beginning of the next
    struct blob_upload *left;
    struct blob_reader *none;
    struct blob_store *store;
    char path[300];
    snprintf(path, sizeof path, "%s/store", west->dir);
    ck_assert_int_eq(blob_files_open(path, &store), 0);
    ck_assert_int_eq(blob_follow_open(store, ID, &none), ERR_NOTFOUND);
    ck_assert_int_eq(blob_upload_open(store, ID, &left), 0);
    ck_assert_int_eq(blob_upload_write(left, "no part of it", 13), 0);
    ck_assert_int_eq(blob_upload_sync(left), 0);
    blob_upload_close(left);
    blob_store_close(store);
    region_up(west);
    ck_assert_int_eq(copied(west), -1); // it counts against no bound
    WAIT_FOR(state_is(east, "contoso", "westeurope", "Ready"), 10000);
    tell(NULL, ID);
    WAIT_FOR(both_have(PART), 10000);
    part_write(2);
    struct elsewhere_item item = commit();
    tell(&item, ID);
    WAIT_FOR(has(west, &item.digest) && has(south, &item.digest), 10000);
    ck_assert_uint_eq(east->n_blob_gets, 0);
    end();
}
END_TEST

START_TEST(without_its_origin_a_copy_is_let_go)
{
    begin();
    tell(NULL, ID);
    WAIT_FOR(both_have(PART), 10000);
    blob_upload_close(take_ptr(up));
    replicator_drain(east->replicator); // as a daemon that stops does
    region_down(east);
    WAIT_FOR(let_go(west) && let_go(south), 20000);
    ck_assert_int_eq(said(west, "wastedBytes"), PART);
    end();
}
END_TEST

// A reader that takes its time holds up neither the client nor the other ones, and gets all of it.
START_TEST(a_slow_reader_has_its_own_pace)
{
    static const _Atomic bool never;
    char url[256], socket[300];
    uint8_t piece[4096];
    struct response_reader *slow;
    size_t n = 0;
    begin();
    region_down(south);
    snprintf(url, sizeof url, "http://eastus.peer.example.io%s",
             "/replication/v1/upload?registry=contoso&repository=app&upload=" ID);
    region_socket(east, south, socket, sizeof socket);
    struct fetch_request q = {.url = url, .unix_socket = socket, .idle_timeout_ms = 60000};
    ck_assert_int_eq(response_reader_open(west->fetcher, &q, &never, &slow), 0);
    ck_assert_int_eq(response_reader_status(slow, 10000), 200);
    tell(NULL, ID);
    for (unsigned i = 2; i < 8; i++)
        part_write(i);
    struct elsewhere_item item = commit();
    tell(&item, ID);
    WAIT_FOR(has(west, &item.digest), 10000);
    for (;;) { // its file is a blob by now
        ssize_t got = response_reader_read(slow, piece, sizeof piece, 10000);
        ck_assert_int_ge(got, 0);
        if (!got)
            break;
        ck_assert_uint_le(n + (size_t)got, whole.n);
        ck_assert_mem_eq(piece, whole.p + n, (size_t)got);
        n += (size_t)got;
    }
    ck_assert_uint_eq(n, whole.n);
    response_reader_close(slow);
    end();
}
END_TEST

static int asked(struct test_region *from, const char *words)
{
    char target[512];
    snprintf(target, sizeof target, "/replication/v1/upload?%s", words);
    return region_ask(east, from, "GET", target, "east.example.io", NULL);
}

START_TEST(nobody_else_reads_an_upload)
{
    begin();
    // fabrikam is not in westeurope
    ck_assert_int_eq(asked(west, "registry=fabrikam&repository=app&upload=" ID), 403);
    ck_assert_int_eq(asked(south, "registry=fabrikam&repository=app&upload=" ID), 404);
    ck_assert_int_eq(asked(west, "registry=contoso&repository=other&upload=" ID), 404);
    ck_assert_int_eq(asked(west, "registry=contoso&repository=app&upload=eastus.00"), 404);
    ck_assert_int_eq(asked(west, "registry=contoso&repository=app&upload=.%2e%2fx"), 404);
    ck_assert_int_eq(asked(west, "registry=contoso&repository=app"), 400);
    // and no region has another copy what is not its own
    const char *const not_its_own = "/replication/v1/ahead?registry=contoso&repository=app&upload="
                                    "westeurope.0123456789abcdef0123456789abcdef";
    ck_assert_int_eq(region_ask(west, east, "POST", not_its_own, "west.example.io", NULL), 400);
    end();
}
END_TEST

static bool not_in_west(const struct topology *t, const struct registry *reg,
                        const char *repository, const char *region)
{
    (void)t, (void)reg, (void)repository;
    return strcmp(region, "westeurope") != 0;
}

START_TEST(the_fence_is_asked)
{
    world_make(&w);
    east->fence = not_in_west;
    for (size_t i = 0; i < N_REGIONS; i++)
        region_up(&w.regions[i]);
    WAIT_FOR(state_is(east, "contoso", "westeurope", "Ready") &&
                 state_is(east, "contoso", "southeastasia", "Ready"),
             10000);
    upload_make();
    tell(NULL, ID);
    WAIT_FOR(copied(south) == PART, 10000);
    ck_assert_int_eq(copied(west), -1);
    ck_assert_int_eq(asked(west, "registry=contoso&repository=app&upload=" ID), 403);
    end();
}
END_TEST

// The i-th upload of that registry in eastus, which runs.
static struct upload_copy_key other_upload(const char *registry, unsigned i, char id[64])
{
    const struct upload_row row = {
        .id = id, .registry = registry, .repository = "app", .principal = "ada"};
    struct blob_upload *u;
    snprintf(id, 64, "eastus.%s%u", strcmp(registry, "contoso") == 0 ? "c" : "f", i);
    ck_assert_int_eq(meta_upload_create(east->meta, &row, NULL, NULL), 0);
    ck_assert_int_eq(blob_upload_open(east->blobs, id, &u), 0);
    ck_assert_int_eq(blob_upload_write(u, "part", 4), 0);
    blob_upload_close(u);
    return (struct upload_copy_key){
        .registry = registry, .repository = "app", .origin = "eastus", .upload = id};
}

// Neither a registry nor a region takes all places.
START_TEST(registries_and_regions_have_shares)
{
    char id[64];
    struct upload_copies *copies;
    struct upload_copy_key key;
    const struct upload_copy_key third = {"third", "app", "eastus", "eastus.aa"},
                                 elsewhere = {"third", "app", "westeurope", "westeurope.aa"};
    begin();
    ck_assert_int_eq(upload_copies_new(south->replicator, &copies), 0);
    for (unsigned i = 0; i < UPLOAD_COPIES_OF_REGISTRY; i++) {
        key = other_upload("contoso", i, id);
        ck_assert_int_eq(upload_copy_begin(copies, &key), 0);
        ck_assert_int_eq(upload_copy_begin(copies, &key), 0); // it runs
    }
    key = other_upload("contoso", UPLOAD_COPIES_OF_REGISTRY, id);
    ck_assert_int_eq(upload_copy_begin(copies, &key), ERR_FULL);
    for (unsigned i = UPLOAD_COPIES_OF_REGISTRY; i < UPLOAD_COPIES_OF_REGION; i++) {
        key = other_upload("fabrikam", i, id);
        ck_assert_int_eq(upload_copy_begin(copies, &key), 0);
    }
    ck_assert_int_eq(upload_copy_begin(copies, &third), ERR_FULL);
    ck_assert_int_eq(upload_copy_begin(copies, &elsewhere), 0);
    upload_copies_stop(copies);
    upload_copies_free(copies);
    end();
}
END_TEST

// The origin says that the upload is over, and which blob it is, and yet sends no more of it.
START_TEST(a_copy_that_stands_still_holds_up_nobody)
{
    struct digest d;
    world_make(&w);
    west->relay_patience_ms = 1000;
    for (size_t i = 0; i < N_REGIONS; i++)
        region_up(&w.regions[i]);
    WAIT_FOR(state_is(east, "contoso", "westeurope", "Ready") &&
                 state_is(east, "contoso", "southeastasia", "Ready"),
             10000);
    upload_make();
    region_layer(east, "contoso", "app", 7, 2 * PART, &d);
    tell(NULL, ID);
    WAIT_FOR(copied(west) == PART, 10000);
    ck_assert_int_eq(say(&d, 2 * PART, "&later=1&upload=" ID), 202);
    WAIT_FOR(has(west, &d), 15000); // by its digest
    ck_assert_uint_ge(east->n_blob_gets, 1);
    WAIT_FOR(copied(west) == -1, 10000);
    end();
}
END_TEST

static void upload_leave(struct test_region *r, const char *id)
{
    struct blob_upload *u;
    ck_assert_int_eq(blob_upload_open(r->blobs, id, &u), 0);
    ck_assert_int_eq(blob_upload_write(u, "part", 4), 0);
    ck_assert_int_eq(blob_upload_sync(u), 0);
    blob_upload_close(u);
}

static bool is_left(struct test_region *r, const char *id)
{
    struct blob_reader *at;
    if (blob_follow_open(r->blobs, id, &at))
        return false;
    blob_reader_close(at);
    return true;
}

// At a start only copies go that nobody makes.
START_TEST(only_copies_that_were_left_are_removed)
{
    const char *const open_id = "eastus.0c";
    const struct upload_row row = {
        .id = "eastus.0b", .registry = "contoso", .repository = "app", .principal = "ada"};
    struct upload_copies *copies;
    struct blob_upload *open;
    begin();
    upload_leave(south, "eastus.0a");
    upload_leave(south, row.id); // it has a row
    ck_assert_int_eq(meta_upload_create(south->meta, &row, NULL, NULL), 0);
    upload_leave(south, "southeastasia.0a"); // a client's, whose row comes
    upload_leave(south, open_id);
    ck_assert_int_eq(blob_upload_open(south->blobs, open_id, &open), 0);
    ck_assert_int_eq(upload_copies_new(south->replicator, &copies), 0);
    ck_assert(!is_left(south, "eastus.0a"));
    ck_assert(is_left(south, row.id));
    ck_assert(is_left(south, "southeastasia.0a"));
    ck_assert(is_left(south, open_id));
    blob_upload_close(open);
    upload_copies_free(copies);
    end();
}
END_TEST

static _Atomic bool west_is_out;

static bool not_in_west_later(const struct topology *t, const struct registry *reg,
                              const char *repository, const char *region)
{
    return !west_is_out || not_in_west(t, reg, repository, region);
}

// The regions, one of which asks that fence; and the beginning of an upload in all of them.
static void begin_fenced(struct test_region *asks)
{
    world_make(&w);
    asks->fence = not_in_west_later;
    for (size_t i = 0; i < N_REGIONS; i++)
        region_up(&w.regions[i]);
    WAIT_FOR(state_is(east, "contoso", "westeurope", "Ready") &&
                 state_is(east, "contoso", "southeastasia", "Ready"),
             10000);
    upload_make();
    tell(NULL, ID);
    WAIT_FOR(both_have(PART), 10000);
}

START_TEST(a_region_that_loses_the_right_gets_no_more)
{
    begin_fenced(east);
    world_topology(&w, 2, false); // which changes nothing for it
    part_write(2);
    WAIT_FOR(both_have(2 * PART), 10000);
    west_is_out = true;
    world_topology(&w, 3, false);
    part_write(3);
    WAIT_FOR(copied(south) == 3 * PART, 10000);
    WAIT_FOR(said(west, "wastedBytes") == 2 * PART && let_go(west), 10000);
    end();
}
END_TEST

START_TEST(one_that_is_not_a_member_any_more_gets_no_more)
{
    begin();
    tell(NULL, ID);
    WAIT_FOR(both_have(PART), 10000);
    w.contoso_is_deleted = true;
    w.keeps_topology[1] = w.keeps_topology[2] = true;
    world_topology(&w, 2, false);
    part_write(2);
    WAIT_FOR(let_go(west) && let_go(south), 10000);
    WAIT_FOR(said(west, "wastedBytes") == PART, 10000);
    end();
}
END_TEST

// The fence was moved while the bytes came.
START_TEST(what_may_not_be_here_by_now_is_not_published)
{
    struct digest d;
    begin_fenced(west);
    part_make(2);
    ck_assert_int_eq(digest_of(DIGEST_SHA256, whole.p, whole.n, &d), 0);
    ck_assert_int_eq(say(&d, whole.n, "&by=southeastasia&upload=" ID), 202);
    west_is_out = true;
    part_send();
    (void)commit();
    WAIT_FOR(said(west, "wastedBytes") == 2 * PART && let_go(west), 10000);
    ck_assert(!has(west, &d));
    end();
}
END_TEST

// It keeps to the bandwidth, until a client waits for the blob that it has become.
START_TEST(who_waits_for_the_blob_hurries_the_copy)
{
    world_make(&w);
    west->fetch_rates.rate = FETCH_RATE_MIN;
    for (size_t i = 0; i < N_REGIONS; i++)
        region_up(&w.regions[i]);
    WAIT_FOR(state_is(east, "contoso", "westeurope", "Ready") &&
                 state_is(east, "contoso", "southeastasia", "Ready"),
             10000);
    upload_make();
    for (unsigned seed = 2; whole.n < 32 * FETCH_RATE_MIN; seed++) // 32 s
        part_write(seed);
    tell(NULL, ID);
    struct elsewhere_item item = commit();
    tell(&item, ID);
    WAIT_FOR(has(south, &item.digest), 30000);
    ck_assert(!has(west, &item.digest));
    ck_assert_int_gt(copied(west), 0);
    int64_t began = clock_mono_ms();
    replicator_wait(west->replicator, "contoso", "app", &item.digest, began + 60000);
    ck_assert(has(west, &item.digest));
    ck_assert_int_lt(clock_mono_ms() - began, 20000);
    end();
}
END_TEST

CHECK_MAIN("replication/upload_copy", who_waits_for_the_blob_hurries_the_copy,
           ids_are_those_of_the_region_that_tells, the_bytes_come_as_they_are_written,
           one_that_is_dropped_is_let_go_on_both_sides, a_part_that_is_taken_back_ends_the_copy,
           bytes_that_do_not_match_are_thrown_away, no_more_comes_than_it_has_become,
           beyond_the_bound_nothing_is_copied, a_region_that_goes_leaves_nothing_behind,
           without_its_origin_a_copy_is_let_go, a_slow_reader_has_its_own_pace,
           nobody_else_reads_an_upload, the_fence_is_asked, what_a_relay_is_to_tell_of_is_counted,
           a_size_beyond_the_bound_ends_the_copy, a_smaller_size_that_was_noted_ends_the_copy,
           a_copy_that_stands_still_holds_up_nobody, registries_and_regions_have_shares,
           only_copies_that_were_left_are_removed, a_region_that_loses_the_right_gets_no_more,
           one_that_is_not_a_member_any_more_gets_no_more,
           what_may_not_be_here_by_now_is_not_published)
