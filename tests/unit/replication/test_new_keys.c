// SPDX-License-Identifier: Apache-2.0
// A region that comes back without its disk, with keys of its own that are new: what it wrote
// before is signed with a key that it does not have any more, and that the topology may have lost,
// too.
#include "tests/unit/replication/regions.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "tests/support/check_main.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1];
static char old_key[512], log_path[300]; // old_key: a row of feed_keys

// What was logged since log_to_file, whole.
static const char *logged(void)
{
    static struct buf text;
    buf_done(&text);
    buf_init(&text, 0);
    ck_assert_int_eq(file_read(log_path, 4 << 20, &text), 0);
    return buf_cstr(&text);
}

static void log_to_file(void)
{
    snprintf(log_path, sizeof log_path, "%s/log", w.dir);
    int fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_ge(dup2(fd, 2), 0);
    close(fd);
    log_setup(LOG_INFO, "test");
}

// eastus has written, westeurope has read it; then eastus loses its disk and gets new keys.
static void come_back_with_new_keys(const char *retired, struct digest *out)
{
    world_up(&w);
    east->start_ask_ms = 20000; // ends when all have answered, on a busy machine too
    region_push(east, "contoso", "app", "t0", 1, 1, 1000, 0, out);
    WAIT_FOR(region_has(west, "contoso", "app", "t0", out), 10000);
    region_down(east);
    snprintf(old_key, sizeof old_key, "      - { id: %s, key: \"%s\"%s%s%s }\n",
             region_keys_feed_id(east->keys), region_keys_feed_spki(east->keys),
             retired ? ", retired: \"" : "", retired ? retired : "", retired ? "\"" : "");
    ck_assert_int_eq(dir_remove_tree(east->dir), 0);
    ck_assert_int_eq(dir_make(east->dir, 0700), 0);
    char keys[300];
    snprintf(keys, sizeof keys, "%s/keys", east->dir);
    ck_assert_int_eq(region_keys_create(keys, east->name, NULL), 0);
    region_keys_free(east->keys);
    ck_assert_int_eq(region_keys_open(keys, east->name, NULL, &east->keys), 0);
    log_to_file();
}

// The time of the loss, and one long before it.
static const char *time_text(int64_t off_s)
{
    static char text[2][CLOCK_TEXT_SIZE];
    static unsigned next;
    char *t = text[next++ % 2];
    clock_format(clock_wall_ms() + off_s * 1000, t);
    memcpy(t + strlen("2026-11-23T19:58:50"), "Z", 2);
    return t;
}

static bool fault_says(struct test_region *r, const char *part)
{
    json_t *root = replication_status_json(r->replicator, NULL);
    json_t *list = json_object_get(root, "faults");
    ck_assert(json_is_array(list));
    const char *text = json_string_value(json_array_get(list, 0));
    bool says = text && part && strstr(text, part);
    bool none = !part && !json_array_size(list);
    json_decref(root);
    return says || none;
}

static bool closed_says(struct test_region *r, const char *part)
{
    struct arena a;
    arena_init(&a, 0);
    const char *why = meta_closed_why(r->meta, &a);
    bool says = why && strstr(why, part);
    arena_done(&a);
    return says;
}

// Once the old key is there to verify with: everything comes back, and what is written anew is
// read.
static void heals(const struct digest *before)
{
    struct digest after;
    WAIT_FOR(fault_says(east, NULL), 15000);
    WAIT_FOR(region_has(east, "contoso", "app", "t0", before), 15000);
    region_push(east, "contoso", "app", "t1", 2, 1, 1000, 0, &after);
    WAIT_FOR(region_has(west, "contoso", "app", "t1", &after), 15000);
    ck_assert(region_has(west, "contoso", "app", "t0", before));
}

START_TEST(a_lost_key_is_named_with_its_cure_and_nothing_is_said_that_is_not_so)
{
    struct digest before;
    come_back_with_new_keys(time_text(1), &before);
    world_topology(&w, 2, false); // the old key is nowhere
    region_up(east);
    WAIT_FOR(fault_says(east, "identities.eastus.feed_keys"), 10000);
    WAIT_FOR(closed_says(east, "westeurope holds entries of eastus"), 5000);
    ck_assert(closed_says(east, "put that key back"));
    ck_assert_ptr_nonnull(strstr(logged(), "put that key back under identities.eastus.feed_keys"));
    clock_sleep_ms(1500); // several tries
    ck_assert(!region_writes_open(east));
    ck_assert_ptr_null(strstr(logged(), "writes go on"));
    east->more_feed_keys = old_key;
    world_topology(&w, 3, false);
    heals(&before);
    ck_assert_ptr_nonnull(strstr(logged(), "writes go on in epoch"));
    world_done(&w);
}
END_TEST

START_TEST(a_key_that_stays_in_the_topology_needs_nobody)
{
    struct digest before;
    come_back_with_new_keys(NULL, &before);
    east->more_feed_keys = old_key;
    world_topology(&w, 2, false);
    region_up(east);
    heals(&before);
    ck_assert_ptr_null(strstr(logged(), "put that key back"));
    world_done(&w);
}
END_TEST

// A relay that ends before it has given all says nothing of what it did not give: who reads that as
// the whole has lost for good what it wrote.
START_TEST(a_relay_that_ends_early_is_read_again)
{
    struct digest before;
    come_back_with_new_keys(NULL, &before);
    east->more_feed_keys = old_key;
    world_topology(&w, 2, false);
    for (size_t i = 1; i < N_REGIONS; i++)
        w.regions[i].n_short_relays = 2;
    region_up(east);
    heals(&before);
    ck_assert_uint_eq(west->n_short_relays, 0);
    world_done(&w);
}
END_TEST

// One epoch for one start, however often it was tried; and what the log says is so.
START_TEST(after_the_patience_writes_open_once_and_the_fault_stays_named)
{
    struct digest before, alone;
    come_back_with_new_keys(NULL, &before);
    east->recover_patience_ms = 2500;
    world_topology(&w, 2, false);
    region_up(east);
    WAIT_FOR(region_writes_open(east), 15000);
    const char *said = strstr(logged(), "writes go on in epoch");
    ck_assert_ptr_nonnull(said);
    ck_assert_ptr_null(strstr(said + 1, "writes go on in epoch"));
    WAIT_FOR(fault_says(east, "put that key back"), 15000);
    region_push(east, "contoso", "app", "alone", 3, 1, 1000, 0, &alone);
    east->more_feed_keys = old_key;
    world_topology(&w, 3, false);
    heals(&before);
    WAIT_FOR(region_has(west, "contoso", "app", "alone", &alone), 15000);
    world_done(&w);
}
END_TEST

START_TEST(a_retired_key_signs_nothing_later)
{
    struct digest before;
    come_back_with_new_keys(time_text(-7200), &before); // it did sign, an hour and more after that
    east->more_feed_keys = old_key;
    world_topology(&w, 2, false);
    region_up(east);
    WAIT_FOR(fault_says(east, "does not let sign them"), 10000);
    world_done(&w);
}
END_TEST

CHECK_MAIN("replication/new_keys",
           a_lost_key_is_named_with_its_cure_and_nothing_is_said_that_is_not_so,
           a_key_that_stays_in_the_topology_needs_nobody, a_relay_that_ends_early_is_read_again,
           after_the_patience_writes_open_once_and_the_fault_stays_named,
           a_retired_key_signs_nothing_later)
