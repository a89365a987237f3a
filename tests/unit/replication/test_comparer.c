// SPDX-License-Identifier: Apache-2.0
// Anti-entropy between real regions: a row that somebody damages is made good within one round, a
// lost entry comes back from whoever has it, an earlier release is left alone, and what is written
// meanwhile is never called a difference.
#include "tests/unit/replication/regions.h"

#include "base/clock.h"
#include "base/err.h"
#include "replication/comparer.h"
#include "replication/differences.h"
#include "replication/replication_priv.h"
#include "store/meta_delete.h"
#include "tests/support/check_main.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUND_MS 200
#define CONDITION_SIZE 512 // daemon/conditions.h

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];

static unsigned looks[N_REGIONS]; // of each region's answers; 0: as many as there may be

static void begin(bool south_is_old)
{
    world_make(&w);
    world_topology(&w, 2, false);
    west->compare_every_ms = ROUND_MS;
    south->knows_no_digests = south_is_old;
    for (size_t i = 0; i < N_REGIONS; i++) {
        w.regions[i].digest_looks = looks[i];
        region_up(&w.regions[i]);
    }
    for (size_t i = 0; i < N_REGIONS; i++)
        WAIT_FOR(region_writes_open(&w.regions[i]), 30000);
}

static void sql(struct test_region *r, const char *text)
{
    sqlite3 *h;
    char path[300], *error = NULL;
    snprintf(path, sizeof path, "%s/meta.db", r->dir);
    ck_assert_int_eq(sqlite3_open(path, &h), SQLITE_OK);
    ck_assert_int_eq(sqlite3_busy_timeout(h, 30000), SQLITE_OK);
    int rc = sqlite3_exec(h, text, NULL, NULL, &error);
    ck_assert_msg(rc == SQLITE_OK, "%s: %s", text, error);
    ck_assert_int_gt(sqlite3_changes(h), 0);
    ck_assert_int_eq(sqlite3_close(h), SQLITE_OK);
}

// What status at west says of the comparison with `peer`; a new reference.
static json_t *compared(struct test_region *peer)
{
    json_t *row = row_of(west, "contoso", peer->name);
    json_t *c = json_incref(json_object_get(row, "compared"));
    json_decref(row);
    return c;
}

static bool compared_is(struct test_region *peer, const char *state)
{
    json_t *c = compared(peer);
    const char *is = json_string_value(json_object_get(c, "state"));
    bool same = is && strcmp(is, state) == 0;
    json_decref(c);
    return same;
}

static long count_of(struct test_region *peer, const char *what)
{
    json_t *c = compared(peer);
    long n = (long)json_integer_value(json_object_get(c, what));
    json_decref(c);
    return n;
}

static bool sees_all(const void *ctx, const char *repository)
{
    (void)ctx;
    (void)repository;
    return true;
}

static bool sees_none(const void *ctx, const char *repository)
{
    (void)ctx;
    (void)repository;
    return false;
}

// The text of a metric at west, -1 while it cannot be read.
static double metric(const char *name)
{
    AUTO_BUF struct buf b;
    char line[128];
    double value = -1;
    buf_init(&b, 0);
    replication_metrics(west->replicator, &b);
    snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr(buf_cstr(&b), line);
    if (at)
        value = strtod(at + strlen(line), NULL);
    return value;
}

// Two whole rounds from now.
static void rounds_pass(void)
{
    unsigned n = east->n_digests;
    WAIT_FOR(east->n_digests >= n + 3, 60000);
}

static bool has(struct test_region *r, const char *tag, const struct digest *d)
{
    return region_has(r, "contoso", "app", tag, d);
}

START_TEST(a_damaged_row_is_made_good_within_a_round)
{
    struct digest one, two;
    begin(false);
    region_push(east, "contoso", "app", "v1", 1, 1, 1000, 0, &one);
    region_push(east, "contoso", "app", "v2", 2, 1, 1000, 0, &two);
    WAIT_FOR(has(west, "v1", &one) && has(west, "v2", &two) && has(south, "v2", &two), 30000);
    WAIT_FOR(compared_is(east, "whole") && compared_is(south, "whole"), 60000);
    rounds_pass();
    ck_assert_int_eq(count_of(east, "mended"), 0);
    sql(west, "DELETE FROM tags WHERE tag='v1'");
    WAIT_FOR(has(west, "v1", &one), 60000);
    WAIT_FOR(count_of(east, "mended") + count_of(south, "mended") > 0, 60000);
    sql(west, "UPDATE tags SET digest=(SELECT digest FROM tags WHERE tag='v1') WHERE tag='v2'");
    WAIT_FOR(has(west, "v2", &two), 60000);
    sql(west, "DELETE FROM manifests WHERE digest IN (SELECT digest FROM tags WHERE tag='v2')");
    WAIT_FOR(has(west, "v2", &two), 60000); // its content is fetched anew
    WAIT_FOR(metric("meridian_replication_registers_remade_total") >= 3, 60000);
    WAIT_FOR(metric("meridian_replication_differences") == 0, 60000);
    ck_assert(state_is(west, "contoso", "eastus", "Ready"));
    world_done(&w);
}
END_TEST

START_TEST(a_lost_entry_comes_back_from_another_region)
{
    struct digest one, two;
    begin(false);
    region_push(east, "contoso", "app", "v1", 1, 1, 1000, 0, &one);
    region_push(east, "contoso", "app", "v2", 2, 1, 1000, 0, &two); // what follows it proves it
    WAIT_FOR(has(west, "v1", &one) && has(south, "v1", &one), 30000);
    WAIT_FOR(has(west, "v2", &two) && has(south, "v2", &two), 30000);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 30000);
    region_down(east); // the origin is away: the third region has it all the same
    sql(west, "DELETE FROM tags WHERE tag='v1'");
    sql(west, "DELETE FROM feed WHERE tag='v1'");
    ck_assert(!has(west, "v1", &one));
    WAIT_FOR(has(west, "v1", &one), 60000);
    WAIT_FOR(metric("meridian_replication_lost_entries_taken_total") >= 1, 60000);
    WAIT_FOR(count_of(south, "differences") == 0 && count_of(south, "mended") == 1, 60000);
    region_up(east);
    world_done(&w);
}
END_TEST

START_TEST(a_difference_of_another_region_is_named_until_it_is_good)
{
    struct digest one;
    begin(false);
    region_push(east, "contoso", "app", "v1", 1, 1, 1000, 0, &one);
    WAIT_FOR(has(west, "v1", &one) && has(south, "v1", &one), 30000);
    WAIT_FOR(state_is(west, "contoso", "southeastasia", "Ready"), 30000);
    sql(south, "DELETE FROM tags WHERE tag='v1'"); // which compares once in an hour
    WAIT_FOR(count_of(south, "differences") == 1, 60000);
    struct differences *d = comparer_differences(((struct replicator *)west->replicator)->comparer);
    json_t *c = differences_list(d, "contoso", sees_none, NULL);
    ck_assert_uint_eq(json_array_size(c), 0);
    json_decref(c);
    c = differences_list(d, "contoso", sees_all, NULL);
    ck_assert_uint_eq(json_array_size(c), 1);
    const json_t *x = json_array_get(c, 0);
    ck_assert_str_eq(json_string_value(json_object_get(x, "peer")), "southeastasia");
    ck_assert_str_eq(json_string_value(json_object_get(x, "subject")), "tag:v1");
    ck_assert_str_eq(json_string_value(json_object_get(x, "repository")), "app");
    ck_assert_str_eq(json_string_value(json_object_get(x, "there")), "");
    ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(x, "here")), "tag v1"));
    ck_assert_str_eq(json_string_value(json_object_get(x, "verdict")), "wrong there");
    ck_assert_ptr_nonnull(json_object_get(x, "since"));
    json_decref(c);
    WAIT_FOR(state_is(west, "contoso", "southeastasia", "Diverged"), 30000);
    char said[CONDITION_SIZE] = "";
    ck_assert_uint_eq(replicator_diverged(west->replicator, said, sizeof said), 1);
    ck_assert_ptr_nonnull(strstr(said, "in southeastasia (Diverged): 1 manifests or tags"));
    ck_assert(!strstr(said, "contoso") && strlen(said) < sizeof said - 100); // other regions see it
    ck_assert(has(west, "v1", &one));
    ck_assert(!has(south, "v1", &one));
    region_down(south);
    south->compare_every_ms = ROUND_MS;
    region_up(south);
    WAIT_FOR(has(south, "v1", &one), 60000);
    WAIT_FOR(count_of(south, "differences") == 0, 60000);
    WAIT_FOR(state_is(west, "contoso", "southeastasia", "Ready"), 60000);
    ck_assert_uint_eq(replicator_diverged(west->replicator, said, sizeof said), 0);
    world_done(&w);
}
END_TEST

START_TEST(large_repositories_are_compared_by_stretches)
{
    struct digest one, d;
    char name[16];
    looks[0] = 5;
    looks[2] = 7;
    begin(false);
    region_push(east, "contoso", "app", "v1", 1, 1, 1000, 0, &one);
    for (unsigned i = 0; i < 24; i++) {
        struct put_result out;
        snprintf(name, sizeof name, "t%02u", i);
        const struct tag_put p = {
            .registry = "contoso", .repository = "app", .tag = name, .digest = one};
        ck_assert_int_eq(meta_tag_put(east->meta, &p, &out), 0);
    }
    for (unsigned i = 0; i < 6; i++) { // more than one answer has of repositories
        snprintf(name, sizeof name, "r%u", i);
        region_push(east, "contoso", name, "v1", i, 1, 100, 0, &d);
    }
    WAIT_FOR(has(west, "t23", &one) && has(south, "t23", &one), 120000);
    WAIT_FOR(region_has(west, "contoso", "r5", "v1", &d), 120000);
    WAIT_FOR(region_has(south, "contoso", "r5", "v1", &d), 120000);
    rounds_pass();
    WAIT_FOR(compared_is(east, "whole") && compared_is(south, "whole"), 60000);
    ck_assert_int_eq(count_of(east, "mended"), 0);
    sql(west, "DELETE FROM tags WHERE tag IN ('t00','t04','t11','t23')");
    sql(west, "UPDATE tags SET stamp=stamp-1 WHERE tag='v1' AND repo=(SELECT id FROM repositories"
              " WHERE name='r5')");
    WAIT_FOR(metric("meridian_replication_registers_remade_total") == 5, 120000);
    ck_assert(has(west, "t00", &one) && has(west, "t04", &one));
    ck_assert(has(west, "t11", &one) && has(west, "t23", &one));
    WAIT_FOR(metric("meridian_replication_differences") == 0, 60000);
    world_done(&w);
}
END_TEST

START_TEST(an_earlier_release_is_not_compared)
{
    struct digest one;
    begin(true);
    region_push(east, "contoso", "app", "v1", 1, 1, 1000, 0, &one);
    WAIT_FOR(has(west, "v1", &one), 30000);
    WAIT_FOR(compared_is(east, "whole") && compared_is(south, "unsupported"), 60000);
    WAIT_FOR(state_is(west, "contoso", "southeastasia", "Ready"), 30000);
    world_done(&w);
}
END_TEST

START_TEST(writes_while_it_is_compared_are_no_differences)
{
    struct digest d;
    struct arena a;
    struct delete_result gone;
    begin(false);
    arena_init(&a, 0);
    for (unsigned i = 0; i < 60; i++) {
        char tag[16];
        struct test_region *at = &w.regions[i % N_REGIONS];
        snprintf(tag, sizeof tag, "v%u", i % 7);
        const struct delete_request r = {.registry = "contoso", .repository = "app", .tag = tag};
        region_push(at, "contoso", "app", tag, i, 1, 500, 0, &d);
        if (i % 5 == 0)
            (void)meta_tag_delete(at->meta, &r, &a, &gone);
    }
    for (size_t i = 0; i < N_REGIONS; i++)
        WAIT_FOR(region_has(&w.regions[i], "contoso", "app", "v3", &d), 60000);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready") &&
                 state_is(west, "contoso", "southeastasia", "Ready"),
             60000);
    rounds_pass();
    WAIT_FOR(compared_is(east, "whole") && compared_is(south, "whole"), 60000);
    ck_assert_double_eq(metric("meridian_replication_differences_found_total"), 0);
    ck_assert_double_ge(metric("meridian_replication_compared_subjects_total"), 1);
    arena_done(&a);
    world_done(&w);
}
END_TEST

START_TEST(what_is_not_told_of_one_keeps_nothing_else_from_being_compared)
{
    struct digest one, two;
    begin(false);
    region_push(east, "contoso", "aaa", "v1", 1, 1, 1000, 0, &one);
    region_push(east, "contoso", "app", "v1", 2, 1, 1000, 0, &two);
    WAIT_FOR(region_has(west, "contoso", "aaa", "v1", &one) && has(west, "v1", &two), 30000);
    WAIT_FOR(region_has(south, "contoso", "aaa", "v1", &one) && has(south, "v1", &two), 30000);
    WAIT_FOR(compared_is(east, "whole") && compared_is(south, "whole"), 60000);
    east->no_digests_of = south->no_digests_of = "aaa";
    sql(west, "DELETE FROM tags WHERE tag='v1'"); // of both repositories
    WAIT_FOR(has(west, "v1", &two), 20000);
    WAIT_FOR(compared_is(east, "part") && compared_is(south, "part"), 20000);
    ck_assert(!region_has(west, "contoso", "aaa", "v1", &one));
    east->no_digests_of = south->no_digests_of = NULL;
    WAIT_FOR(region_has(west, "contoso", "aaa", "v1", &one), 60000);
    world_done(&w);
}
END_TEST

START_TEST(a_list_that_never_ends_is_given_up)
{
    struct digest one;
    begin(false);
    region_push(east, "contoso", "app", "v1", 1, 1, 1000, 0, &one);
    WAIT_FOR(has(west, "v1", &one) && has(south, "v1", &one), 30000);
    WAIT_FOR(compared_is(east, "whole") && compared_is(south, "whole"), 60000);
    east->digests_never_end = true;
    WAIT_FOR(compared_is(east, "part"), 20000);
    unsigned n = south->n_digests; // and the others have their turn
    WAIT_FOR(south->n_digests > n + 2, 20000);
    world_done(&w);
}
END_TEST

START_TEST(who_does_not_answer_holds_nobody_up)
{
    struct digest one;
    begin(false);
    region_push(east, "contoso", "app", "v1", 1, 1, 1000, 0, &one);
    WAIT_FOR(has(west, "v1", &one) && has(south, "v1", &one), 30000);
    region_down(east);
    WAIT_FOR(compared_is(east, "failed"), 60000);
    sql(west, "DELETE FROM tags WHERE tag='v1'");
    WAIT_FOR(has(west, "v1", &one), 60000);
    region_up(east);
    WAIT_FOR(compared_is(east, "whole"), 60000);
    world_done(&w);
}
END_TEST

CHECK_MAIN("replication/comparer", a_damaged_row_is_made_good_within_a_round,
           a_lost_entry_comes_back_from_another_region,
           a_difference_of_another_region_is_named_until_it_is_good,
           large_repositories_are_compared_by_stretches, an_earlier_release_is_not_compared,
           writes_while_it_is_compared_are_no_differences,
           what_is_not_told_of_one_keeps_nothing_else_from_being_compared,
           a_list_that_never_ends_is_given_up, who_does_not_answer_holds_nobody_up)
