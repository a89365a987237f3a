// SPDX-License-Identifier: Apache-2.0
// What does not fit on a region's disk: it is parked and said to be, all else goes on, and it comes
// when there is room.
#include "tests/unit/replication/regions.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "tests/support/check_main.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define MIB (1u << 20)

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];

static size_t n_partials(struct test_region *r)
{
    char path[400];
    size_t n = 0;
    snprintf(path, sizeof path, "%s/store/partial", r->dir);
    DIR *d = opendir(path);
    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static json_int_t no_space_bytes(struct test_region *at, const char *origin)
{
    json_t *row = row_of(at, "contoso", origin);
    json_int_t n = json_integer_value(json_object_get(json_object_get(row, "noSpace"), "bytes"));
    json_decref(row);
    return n;
}

// Does `have` say that this has no room there?
static bool have_says_no_space(struct test_region *at, const char *tag, const struct digest *d)
{
    char target[512], text[DIGEST_TEXT_SIZE];
    struct buf body;
    snprintf(target, sizeof target, "/replication/v1/have?repository=app&tag=%s&digest=%s", tag,
             digest_format(d, text));
    buf_init(&body, 0);
    ck_assert_int_eq(region_ask(at, south, NULL, target, "contoso.example.io", &body), 200);
    json_t *doc = json_loadb(body.p, body.n, 0, NULL);
    ck_assert_ptr_nonnull(doc);
    bool says =
        json_integer_value(json_object_get(json_object_get(doc, "noSpace"), "neededBytes")) > 0;
    json_decref(doc);
    buf_done(&body);
    return says;
}

static bool metrics_say(struct test_region *at, const char *line)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    replication_metrics(at->replicator, &b);
    bool says = strstr(buf_cstr(&b), line) != NULL;
    buf_done(&b);
    return says;
}

START_TEST(what_does_not_fit_is_parked_and_the_rest_goes_on)
{
    struct digest big, small, other;
    world_make(&w);
    west->free_bytes = RESERVE_BYTES + 4 * MIB;
    for (size_t i = 0; i < N_REGIONS; i++)
        region_up(&w.regions[i]);
    // each layer would fit alone
    region_push(east, "contoso", "app", "big", 1, 3, 3 * MIB, 0, &big);
    region_push(east, "contoso", "app", "small", 2, 1, 1000, 0, &small);
    WAIT_FOR(region_has(west, "contoso", "app", "small", &small), 15000);
    WAIT_FOR(region_has(south, "contoso", "app", "small", &small), 15000);
    WAIT_FOR(region_has(south, "contoso", "app", "big", &big), 15000);
    WAIT_FOR(state_is(west, "contoso", "eastus", "NoSpace"), 10000);
    ck_assert(error_has(west, "eastus",
                        "no space in westeurope: contoso/app needs 9.0 MiB, and 4.0 MiB fit"));
    ck_assert_int_eq(no_space_bytes(west, "eastus"), 9 * MIB + 20);
    ck_assert(have_says_no_space(west, "big", &big));
    ck_assert(!have_says_no_space(west, "small", &small));
    ck_assert(metrics_say(west, "meridian_replication_no_space_entries{origin=\"eastus\"} 1\n"));
    ck_assert_uint_eq(n_partials(west), 0);
    // the feed is read on, and the other pair is as well as ever
    unsigned n_gets = east->n_blob_gets + south->n_blob_gets;
    region_push(east, "contoso", "app", "more", 3, 1, 1000, 0, &other);
    WAIT_FOR(region_has(west, "contoso", "app", "more", &other), 10000);
    WAIT_FOR(region_has(south, "contoso", "app", "more", &other), 10000);
    ck_assert(state_is(west, "contoso", "southeastasia", "Ready"));
    ck_assert(!region_has(west, "contoso", "app", "big", &big));
    // of the new image, by two regions
    ck_assert_uint_eq(east->n_blob_gets + south->n_blob_gets - n_gets, 4);
    // a restart changes nothing of it
    region_down(west);
    region_up(west);
    WAIT_FOR(state_is(west, "contoso", "eastus", "NoSpace"), 10000);
    west->free_bytes = RESERVE_BYTES + 30 * MIB;
    WAIT_FOR(region_has(west, "contoso", "app", "big", &big), 15000);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 10000);
    ck_assert_int_eq(no_space_bytes(west, "eastus"), 0);
    world_done(&w);
}
END_TEST

// The manifest says less than there is: each window is charged, and what came is given up.
static void wrong_size(bool nothing)
{
    struct digest big, small;
    world_make(&w);
    west->free_bytes = RESERVE_BYTES + 4 * MIB;
    east->claimed_bytes = 1000;
    east->claims_nothing = nothing;
    for (size_t i = 0; i < N_REGIONS; i++)
        region_up(&w.regions[i]);
    region_cut(south, true);
    region_push(east, "contoso", "app", "big", 1, 1, 40 * MIB, 0, &big);
    WAIT_FOR(state_is(west, "contoso", "eastus", "NoSpace"), 20000);
    WAIT_FOR(n_partials(west) == 0, 5000);
    ck_assert_int_gt(no_space_bytes(west, "eastus"), 4 * MIB);
    east->claimed_bytes = 0;
    east->claims_nothing = false;
    unsigned n_gets = east->n_blob_gets;
    region_push(east, "contoso", "app", "small", 2, 1, 1000, 0, &small);
    WAIT_FOR(region_has(west, "contoso", "app", "small", &small), 10000);
    // it was looked at again when its repository got something, and not fetched again
    clock_sleep_ms(2500);
    ck_assert_uint_eq(east->n_blob_gets - n_gets, 2);
    WAIT_FOR(state_is(west, "contoso", "eastus", "NoSpace"), 5000);
    west->free_bytes = RESERVE_BYTES + 60 * MIB;
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 15000);
    world_done(&w);
}

START_TEST(a_wrong_size_does_not_eat_the_reserve)
{
    wrong_size(false);
}
END_TEST

START_TEST(a_size_of_nothing_does_not_eat_the_reserve)
{
    wrong_size(true);
}
END_TEST

// Partial fetches that nobody goes on with hold no space while it is short.
START_TEST(a_short_disk_keeps_no_partials)
{
    struct digest d;
    struct blob_upload *u;
    world_make(&w);
    west->free_bytes = RESERVE_BYTES / 2;
    region_up(west);
    ck_assert_int_eq(digest_of(DIGEST_SHA256, "never", 5, &d), 0);
    ck_assert_int_eq(blob_partial_open(west->blobs, &d, &u), 0);
    ck_assert_int_eq(blob_upload_write(u, "nev", 3), 0);
    clock_sleep_ms(1500);
    ck_assert_uint_eq(n_partials(west), 1); // it is open
    blob_upload_close(u);
    WAIT_FOR(n_partials(west) == 0, 5000);
    world_done(&w);
}
END_TEST

static void fill(const char *path)
{
    static char block[65536];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    while (write(fd, block, sizeof block) > 0 || write(fd, block, 4096) > 0)
        ;
    close(fd);
}

// On a tmpfs of its own; mounting needs root and may be forbidden in a container: the case is then
// left out.
START_TEST(a_full_disk_is_said_and_not_blamed_on_the_peer)
{
    struct digest d, before;
    char path[400];
    world_make(&w);
    if (mount("tmpfs", west->dir, "tmpfs", 0, "size=24m")) {
        printf("left out: cannot mount a tmpfs here\n");
        world_done(&w);
        return;
    }
    for (size_t i = 0; i < N_REGIONS; i++)
        region_up(&w.regions[i]);
    region_push(east, "contoso", "app", "before", 1, 1, 1000, 0, &before);
    WAIT_FOR(region_has(west, "contoso", "app", "before", &before), 15000);
    snprintf(path, sizeof path, "%s/fill", west->dir);
    fill(path);
    for (unsigned i = 0; i < 40; i++) { // the log of the metadata may have room for a few
        char tag[16];
        snprintf(tag, sizeof tag, "t%u", i);
        region_push(east, "contoso", "app", tag, 10 + i, 1, 20000, 40000, &d);
    }
    WAIT_FOR(state_is(west, "contoso", "eastus", "NoSpace"), 15000);
    ck_assert(error_has(west, "eastus", "westeurope") || error_has(west, "eastus", "this region"));
    for (int64_t until = clock_mono_ms() + 8000; clock_mono_ms() < until; clock_sleep_ms(100))
        ck_assert(!state_is(west, "contoso", "eastus", "Unreachable")); // it answers
    ck_assert_uint_eq(west->n_away, 0);
    ck_assert_int_eq(unlink(path), 0);
    WAIT_FOR(region_has(west, "contoso", "app", "t39", &d), 30000);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 10000);
    ck_assert(region_has(west, "contoso", "app", "before", &before));
    region_down(west);
    ck_assert_int_eq(umount2(west->dir, MNT_DETACH), 0);
    world_done(&w);
}
END_TEST

CHECK_MAIN("replication/no space", what_does_not_fit_is_parked_and_the_rest_goes_on,
           a_size_of_nothing_does_not_eat_the_reserve, a_wrong_size_does_not_eat_the_reserve,
           a_short_disk_keeps_no_partials, a_full_disk_is_said_and_not_blamed_on_the_peer)
