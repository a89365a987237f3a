// SPDX-License-Identifier: Apache-2.0
// The control feed carried between regions: changes reach all, around ways that are cut, those that
// were away and those that fell too far behind; the writer writes while it hears a majority; a takeover
// reaches the old writer; operators' requests get to the writer; how stale a region is.
#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "tests/support/check_main.h"
#include "tests/unit/fleet/regions.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct fleet_world w; // its own in each case, which is forked

static struct world_region *at(size_t i)
{
    return &w.regions[i];
}

static void cut(size_t a, size_t b, bool is_cut)
{
    w.cut[a][b] = w.cut[b][a] = is_cut;
}

static struct fleet_stored stored(size_t i, const struct control_place *p)
{
    struct fleet_stored s;
    ck_assert_int_eq(fleet_stored(at(i)->fleet, p, &s), 0);
    return s;
}

// All are there, and have said so to the writer.
static void fleet_make(size_t n)
{
    world_make(&w, n);
    world_feed(&w);
    world_up(&w);
    const struct control_place p = region_place(at(0));
    until(region_writes(at(0)));
    until(stored(0, &p).stored == ((region_set)1 << n) - 1);
}

// The writer has signed its first base: nothing else comes by itself.
static void rests(void)
{
    until(region_place(at(0)).seq == 1);
}

START_TEST(a_change_reaches_everybody_at_once)
{
    struct control_place p;
    struct fleet_stored s;
    fleet_make(3);
    until(fleet_stale_ms(at(1)->fleet) < 800 && fleet_stale_ms(at(2)->fleet) < 800);
    int64_t slowest = 0;
    for (int i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof name, "contoso%d", i);
        until(region_change(at(0), name, &p) == 0);
        int64_t before = clock_mono_ms();
        until(region_has(at(1), name) && region_has(at(2), name));
        int64_t took = clock_mono_ms() - before;
        if (took > slowest)
            slowest = took;
        ck_assert_int_eq(fleet_wait(at(0)->fleet, &p, FLEET_REACHABLE, 10000, &s), 0);
        ck_assert_uint_eq(s.stored, 7);
    }
    fprintf(stderr, "the slowest of 20 changes was in force everywhere after %d ms\n",
            (int)slowest);
    json_t *names = fleet_regions_json(at(0)->fleet, 5);
    ck_assert_str_eq(json_string_value(json_array_get(names, 0)), "eastus");
    ck_assert_str_eq(json_string_value(json_array_get(names, 1)), "northeurope");
    json_decref(names);
    ck_assert_int_eq(region_change(at(1), "never", NULL), ERR_DENIED); // it does not write
    world_done(&w);
}
END_TEST

START_TEST(a_thousand_changes_in_a_row)
{
    struct control_place p;
    char name[32];
    fleet_make(3);
    int64_t began = clock_mono_ms();
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "contoso%d", i);
        until(region_change(at(0), name, &p) == 0);
    }
    int64_t appended = clock_mono_ms();
    until(stored(0, &p).stored == 7);
    fprintf(stderr, "1,000 changes were appended in %d ms, and stored everywhere %d ms later\n",
            (int)(appended - began), (int)(clock_mono_ms() - appended));
    ck_assert(region_has(at(1), "contoso0") && region_has(at(2), "contoso999"));
    world_done(&w);
}
END_TEST

START_TEST(a_way_that_is_cut_is_gone_around)
{
    struct control_place p;
    fleet_make(3);
    cut(0, 2, true);
    // the poll that was under way brings this one, and is the last that comes through
    until(region_change(at(0), "begun", &p) == 0);
    until(stored(0, &p).away == 4);
    until(region_change(at(0), "contoso", &p) == 0);
    until(region_has(at(2), "contoso"));
    // its word does not come to the writer: it may be counted when it does
    until(stored(0, &p).majority);
    ck_assert_uint_eq(stored(0, &p).stored, 3);
    ck_assert_uint_eq(stored(0, &p).away, 4);
    // and it knows that it is not cut off from what changes
    until(fleet_stale_ms(at(2)->fleet) < 2000);
    cut(0, 2, false);
    until(stored(0, &p).stored == 7);
    world_done(&w);
}
END_TEST

START_TEST(one_that_was_away_for_a_hundred_changes_catches_up)
{
    struct control_place p;
    char name[32];
    fleet_make(3);
    region_down(at(2));
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "contoso%d", i);
        until(region_change(at(0), name, &p) == 0);
    }
    ck_assert(!region_has(at(2), "contoso0"));
    region_up(at(2));
    until(region_has(at(2), "contoso99"));
    until(stored(0, &p).stored == 7);
    world_done(&w);
}
END_TEST

START_TEST(a_writer_that_hears_no_majority_stops_and_goes_on_when_it_does)
{
    fleet_make(3);
    region_down(at(1));
    until(region_change(at(0), "first", NULL) == 0); // of three, two are there
    cut(0, 2, true);
    until(region_change(at(0), "second", NULL) == ERR_DENIED || region_writes(at(0)) == false);
    ck_assert_int_eq(region_change(at(0), "third", NULL), ERR_DENIED);
    cut(0, 2, false);
    until(region_writes(at(0)));
    until(region_change(at(0), "fourth", NULL) == 0);
    until(region_has(at(2), "fourth"));
    world_done(&w);
}
END_TEST

// As a writer that does not know yet.
static bool confirm(struct world_region *r)
{
    control_feed_confirm(r->feed, true);
    return true;
}

static void takeover_at(struct world_region *r)
{
    AUTO_BUF struct buf draft, line;
    struct diag d;
    struct control_place p;
    buf_init(&draft, 0);
    buf_init(&line, 0);
    diag_init(&d);
    const struct control_takeover t = {.region = r->name};
    ck_assert_int_eq(control_feed_takeover_draft(r->feed, &t, &d, &draft), 0);
    ck_assert_int_eq(control_entry_sign(bytes_of(draft.p, draft.n), w.root, &d, &line), 0);
    ck_assert_int_eq(control_feed_signed(r->feed, bytes_of(line.p, line.n), &d, &p), 0);
    diag_done(&d);
}

START_TEST(a_takeover_reaches_all_and_voids_what_the_old_writer_wrote_alone)
{
    struct control_place lost, p;
    struct control_view v;
    fleet_make(3);
    rests();
    until(region_change(at(0), "before", &p) == 0);
    until(stored(0, &p).stored == 7);
    // the writer is cut off; it is made to write on
    cut(0, 1, true);
    cut(0, 2, true);
    // polls that were under way are over
    until(!region_writes(at(0)));
    until(fleet_stale_ms(at(1)->fleet) > 1000 && fleet_stale_ms(at(2)->fleet) > 1000);
    until(confirm(at(0)) && region_change(at(0), "lostone", &lost) == 0);
    takeover_at(at(1));
    until(region_writes(at(1)));
    until(region_change(at(1), "after", &p) == 0);
    until(region_has(at(2), "after"));
    ck_assert(!region_has(at(0), "after") && region_has(at(0), "lostone"));
    ck_assert(!stored(0, &lost).majority);
    cut(0, 1, false);
    cut(0, 2, false);
    until(region_has(at(0), "after"));
    ck_assert(!region_has(at(0), "lostone") && region_has(at(0), "before"));
    struct fleet_stored s;
    ck_assert_int_eq(fleet_stored(at(0)->fleet, &lost, &s), ERR_NOTFOUND);
    until(stored(1, &p).stored == 7);
    ck_assert_int_eq(region_change(at(0), "again", NULL), ERR_DENIED);
    control_feed_view(at(0)->feed, &v);
    ck_assert_uint_eq(v.n_void, 1);
    ck_assert_str_eq(v.writer, "westus");
    control_view_done(&v);
    world_done(&w);
}
END_TEST

START_TEST(who_is_too_far_behind_begins_with_the_whole)
{
    struct control_place p;
    char name[32];
    world_make(&w, 3);
    world_feed(&w);
    for (size_t i = 0; i < 3; i++)
        at(i)->keep_entries = 8;
    world_up(&w);
    until(region_writes(at(0)));
    region_down(at(2));
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "contoso%d", i);
        until(region_change(at(0), name, &p) == 0);
    }
    region_up(at(2));
    until(region_has(at(2), "contoso59") && region_has(at(2), "contoso0"));
    until(stored(0, &p).stored == 7);
    world_done(&w);
}
END_TEST

START_TEST(requests_get_to_the_writer_from_anywhere)
{
    struct fleet_answer a = {.status = 0};
    struct diag d;
    fleet_make(3);
    diag_init(&d);
    ck_assert_int_eq(fleet_to_writer(at(2)->fleet, bytes_str("{\"request\":\"…\"}"), &d, &a), 0);
    ck_assert_int_eq(a.status, 202);
    ck_assert_ptr_nonnull(strstr(a.body.p, "\"at\":\"eastus\",\"from\":\"northeurope\""));
    fleet_answer_done(&a);
    ck_assert_uint_eq(at(0)->n_requests, 1);
    ck_assert_int_eq(fleet_to_writer(at(0)->fleet, bytes_str("{}"), &d, &a), ERR_EXISTS);
    cut(0, 2, true);
    ck_assert_int_ne(fleet_to_writer(at(2)->fleet, bytes_str("{}"), &d, &a), 0);
    ck_assert_ptr_nonnull(strstr(d.lines[0], "the writer region eastus cannot be asked"));
    diag_done(&d);
    world_done(&w);
}
END_TEST

START_TEST(who_hears_no_writer_grows_stale_also_over_a_restart)
{
    fleet_make(2);
    until(fleet_stale_ms(at(1)->fleet) < 400);
    cut(0, 1, true);
    until(fleet_stale_ms(at(1)->fleet) > 800);
    until(fleet_stale_ms(at(0)->fleet) > 100); // nor does a writer without a majority know
    region_down(at(1));
    region_up(at(1));
    ck_assert_int_gt(fleet_stale_ms(at(1)->fleet), 800);
    cut(0, 1, false);
    until(fleet_stale_ms(at(1)->fleet) < 400);
    world_done(&w);
}
END_TEST

static _Atomic unsigned n_refused, n_ended;

static void poll_done(void *ctx, struct fetch_result *r)
{
    (void)ctx;
    n_refused += r->status == 503;
    n_ended++;
}

// Each that waits costs memory and a look at every change.
START_TEST(a_region_that_asks_without_end_is_refused)
{
    char url[400], sock[128], text[CONTROL_PLACE_TEXT_SIZE];
    fleet_make(3);
    rests();
    const struct control_place p = region_place(at(0));
    snprintf(sock, sizeof sock, "%s/0.from.2.sock", w.dir);
    snprintf(
        url, sizeof url,
        "http://eastus.peer.example.io/control/v1/feed?after=%s&beat=9999999999999&wait_ms=3000",
        control_place_format(&p, text));
    for (int i = 0; i < 30; i++) {
        const struct fetch_request q = {.url = url, .unix_socket = sock, .timeout_ms = 20000};
        ck_assert_int_eq(fetch_start(at(2)->fetcher, &q, poll_done, NULL), 0);
    }
    until(n_refused >= 10);
    struct control_place now;
    until(region_change(at(0), "contoso", &now) == 0); // and the others go on
    until(stored(0, &now).stored == 7);
    until(n_ended == 30);
    world_done(&w);
}
END_TEST

// The log of that region is on a disk that is full from now on.
static void disk_full(struct world_region *r)
{
    char link[300], path[64], logs[128];
    size_t found = 0;
    snprintf(logs, sizeof logs, "%s/control/", r->dir);
    for (int fd = 0; fd < 1024; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, link, sizeof link - 1);
        if (n < 4 || strncmp(link, logs, strlen(logs)) != 0 || memcmp(link + n - 4, ".log", 4) != 0)
            continue;
        int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
        ck_assert_int_eq(dup2(full, fd), fd);
        close(full);
        found++;
    }
    ck_assert_uint_eq(found, 1);
}

START_TEST(a_region_whose_disk_is_full_does_not_ask_without_rest)
{
    fleet_make(3);
    disk_full(at(2));
    until(region_change(at(0), "contoso", NULL) == 0);
    until(region_has(at(2), "contoso")); // it is in force there all the same
    unsigned before = at(0)->n_calls;
    clock_sleep_ms(1000);
    ck_assert_uint_lt(at(0)->n_calls - before, 200);
    until(fleet_stale_ms(at(2)->fleet) < 1500); // and it hears the beats
    world_done(&w);
}
END_TEST

// Who stands between, the edge of the writer's region for one, hands on what it has kept.
START_TEST(a_beat_that_was_kept_is_no_new_one)
{
    static const char nonce[] = "000102030405060708090a0b0c0d0e0f";
    char target[300], text[CONTROL_PLACE_TEXT_SIZE];
    AUTO_BUF struct buf kept;
    buf_init(&kept, 0);
    fleet_make(2);
    rests();
    until(fleet_stale_ms(at(1)->fleet) < 400);
    const struct control_place p = region_place(at(0));
    snprintf(target, sizeof target, "/control/v1/feed?after=%s&beat=0&nonce=%s&wait_ms=0",
             control_place_format(&p, text), nonce);
    ck_assert_int_eq(region_asks(at(1), 0, target, &kept), 200);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&kept), nonce)); // the writer answers
    at(0)->says = buf_cstr(&kept);
    unsigned before = at(0)->n_polls;
    until(fleet_stale_ms(at(1)->fleet) > 2000);
    ck_assert_uint_gt(at(0)->n_polls - before, 2);
    ck_assert_uint_lt(at(0)->n_polls - before, 200); // nor is it asked without rest
    at(0)->says = NULL;
    until(fleet_stale_ms(at(1)->fleet) < 400);
    world_done(&w);
}
END_TEST

CHECK_MAIN("fleet/carry", a_beat_that_was_kept_is_no_new_one, a_change_reaches_everybody_at_once,
           a_thousand_changes_in_a_row, a_way_that_is_cut_is_gone_around,
           one_that_was_away_for_a_hundred_changes_catches_up,
           a_writer_that_hears_no_majority_stops_and_goes_on_when_it_does,
           a_takeover_reaches_all_and_voids_what_the_old_writer_wrote_alone,
           who_is_too_far_behind_begins_with_the_whole, requests_get_to_the_writer_from_anywhere,
           who_hears_no_writer_grows_stale_also_over_a_restart,
           a_region_that_asks_without_end_is_refused,
           a_region_whose_disk_is_full_does_not_ask_without_rest)
