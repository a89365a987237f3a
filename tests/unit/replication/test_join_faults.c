// SPDX-License-Identifier: Apache-2.0
// What comes between a region that joins and the snapshots that it takes: a registry whose snapshot
// fails, a feed that is trimmed, entries that become void, an origin that loses its disk.
#include "replication/join_state.h"

#include "base/clock.h"
#include "base/mem.h"
#include "replication/cursor.h"
#include "store/meta_delete.h"
#include "tests/support/check_main.h"
#include "tests/unit/replication/regions.h"

#include <sqlite3.h>
#include <string.h>

#define N_MOVES 25 // of one tag

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];

// Two images by turns under one tag.
static void moves_push(struct test_region *at, const char *registry, struct digest *out)
{
    for (unsigned i = 0; i < N_MOVES; i++)
        region_push(at, registry, "app", "moves", i % 2, 1, 100, 0, out);
}

static void push(struct test_region *at, const char *registry, const char *tag, unsigned seed,
                 struct digest *out)
{
    region_push(at, registry, "app", tag, seed, 1, 100, 0, out);
}

static bool row_get(const char *registry, struct join_row *out)
{
    return join_state_get(west->dir, "eastus", registry, out) == 0;
}

static bool is_in(const char *registry, enum join_phase phase)
{
    struct join_row row;
    return row_get(registry, &row) && row.phase == phase;
}

// Is there a page, and not the last one?
static bool is_begun(const char *registry)
{
    struct join_row row;
    return row_get(registry, &row) && row.n_entries && row.phase != JOIN_COMPLETE;
}

// West takes single entries, and is stopped before it has them all.
static void west_is_stopped_amid(const char *registry)
{
    west->join_page_max = 1;
    west->join_feed_min = 10;
    for (unsigned n = 0; n < 20 && !is_begun(registry); n++) {
        region_up(west);
        WAIT_FOR(is_begun(registry) || is_in(registry, JOIN_COMPLETE), 30000);
        region_down(west);
        if (is_in(registry, JOIN_COMPLETE)) { // it was too quick: once more
            char path[400];
            snprintf(path, sizeof path, "%s/joining-eastus.json", west->dir);
            remove(path);
        }
    }
    ck_assert(is_begun(registry));
    west->join_page_max = 0;
}

static void disk_lose(struct test_region *r)
{
    static const char *const files[] = {"meta.db",
                                        "meta.db-wal",
                                        "meta.db-shm",
                                        "replication.json",
                                        "joining-eastus.json",
                                        "joining-westeurope.json",
                                        "joining-southeastasia.json"};
    char path[400];
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(path, sizeof path, "%s/%s", r->dir, files[i]);
        remove(path);
    }
}

static struct feed_mark head_of(struct test_region *at, const char *origin)
{
    struct feed_mark head;
    ck_assert_int_eq(meta_head(at->meta, origin, &head), 0);
    return head;
}

// Of the feed of eastus, and without a gap.
static bool has_read_all(struct test_region *at)
{
    struct feed_mark head = head_of(east, "eastus");
    json_t *row = row_of(at, "contoso", "eastus");
    const char *state = json_string_value(json_object_get(row, "state"));
    bool is = state && strcmp(state, "Conflict") != 0 &&
              json_integer_value(json_object_get(row, "epoch")) == (json_int_t)head.epoch &&
              json_integer_value(json_object_get(row, "read")) == (json_int_t)head.seq;
    json_decref(row);
    return is;
}

// --- one registry fails, the others go on ---

static bool says_why(void)
{
    json_t *row = row_of(west, "fabrikam", "eastus");
    const json_t *joining = json_object_get(row, "joining");
    const char *state = json_string_value(json_object_get(row, "state"));
    const char *phase = json_string_value(json_object_get(joining, "state"));
    const char *why = json_string_value(json_object_get(joining, "lastError"));
    const char *error = json_string_value(json_object_get(row, "lastError"));
    bool says = state && !strcmp(state, "Retrying") && phase && !strcmp(phase, "FAILED") && why &&
                strstr(why, "answered 503") && strstr(why, "log of eastus") && error &&
                strstr(error, "answered 503");
    json_decref(row);
    return says;
}

static void fabrikam_fails_and_comes(void)
{
    struct digest d, e, f;
    push(east, "fabrikam", "more", 3, &e);
    push(east, "contoso", "more", 4, &d);
    WAIT_FOR(says_why(), 20000);
    WAIT_FOR(region_has(west, "contoso", "app", "more", &d), 20000); // the other one goes on
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 20000);
    ck_assert(!region_has(west, "fabrikam", "app", "more", &e));
    unsigned before = east->n_pages;
    WAIT_FOR(east->n_pages >= before + 2, 30000); // it tries on
    east->snapshot_fails = NULL;
    WAIT_FOR(region_has(west, "fabrikam", "app", "more", &e), 40000);
    WAIT_FOR(state_is(west, "fabrikam", "eastus", "Ready"), 20000);
    ck_assert(is_in("fabrikam", JOIN_COMPLETE));
    push(east, "fabrikam", "last", 5, &f);
    WAIT_FOR(region_has(west, "fabrikam", "app", "last", &f), 20000);
}

START_TEST(a_registry_whose_snapshot_fails_holds_up_no_other)
{
    struct digest d;
    world_make(&w);
    west->join_feed_min = 10;
    region_up(east);
    moves_push(east, "contoso", &d);
    moves_push(east, "fabrikam", &d);
    region_up(west);
    WAIT_FOR(region_has(west, "contoso", "app", "moves", &d), 30000);
    east->snapshot_fails = "fabrikam";
    world_topology(&w, 2, true);
    fabrikam_fails_and_comes();
    world_done(&w);
}
END_TEST

START_TEST(so_it_is_for_a_region_that_is_new)
{
    struct digest d;
    world_make(&w);
    world_topology(&w, 2, true);
    west->join_feed_min = 10;
    region_up(east);
    moves_push(east, "contoso", &d);
    moves_push(east, "fabrikam", &d);
    east->snapshot_fails = "fabrikam";
    region_up(west);
    WAIT_FOR(region_has(west, "contoso", "app", "moves", &d), 30000);
    fabrikam_fails_and_comes();
    // and over a restart nothing is read anew
    unsigned before = east->n_pages;
    region_down(west);
    region_up(west);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 20000);
    ck_assert_uint_eq(east->n_pages, before);
    world_done(&w);
}
END_TEST

// --- a feed that is trimmed ---

START_TEST(who_is_behind_what_a_feed_keeps_takes_a_snapshot)
{
    struct digest d, e, f;
    world_up(&w);
    push(east, "contoso", "old", 9, &f);
    WAIT_FOR(region_has(west, "contoso", "app", "old", &f), 20000);
    region_down(west);
    moves_push(east, "contoso", &d);
    push(east, "contoso", "1", 5, &e);
    east->feed_kept_from = head_of(east, "eastus").seq;
    region_up(west); // its mark lies before that; the feed is a short one
    WAIT_FOR(region_has(west, "contoso", "app", "moves", &d), 30000);
    WAIT_FOR(region_has(west, "contoso", "app", "1", &e), 20000);
    ck_assert(region_has(west, "contoso", "app", "old", &f));
    ck_assert_uint_ge(east->n_gone, 1);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 20000);
    unsigned n_gone = east->n_gone;
    push(east, "contoso", "2", 6, &e);
    WAIT_FOR(region_has(west, "contoso", "app", "2", &e), 20000);
    region_down(west);
    region_up(west);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 20000);
    ck_assert_uint_eq(east->n_gone, n_gone); // once was enough
    world_done(&w);
}
END_TEST

// The mark is at the head of a feed that is short, trimmed, and stands still.
START_TEST(a_registry_that_comes_later_is_read_at_the_mark)
{
    struct digest d, e;
    world_up(&w);
    push(east, "fabrikam", "1", 1, &e);
    push(east, "contoso", "1", 2, &d);
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 20000);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 20000);
    east->feed_kept_from = head_of(east, "eastus").seq;
    world_topology(&w, 2, true);
    WAIT_FOR(region_has(west, "fabrikam", "app", "1", &e), 30000);
    ck_assert_uint_ge(east->n_gone, 1);
    push(east, "fabrikam", "2", 3, &e);
    WAIT_FOR(region_has(west, "fabrikam", "app", "2", &e), 20000);
    world_done(&w);
}
END_TEST

START_TEST(a_new_region_reads_a_trimmed_feed_by_snapshots)
{
    struct digest d;
    world_make(&w);
    region_up(east);
    region_up(south);
    moves_push(east, "contoso", &d);
    east->feed_kept_from = head_of(east, "eastus").seq;
    east->snapshot_fails = "contoso";
    region_up(west);
    WAIT_FOR(is_in("contoso", JOIN_FAILED), 20000); // and is tried again
    east->snapshot_fails = NULL;
    WAIT_FOR(region_has(west, "contoso", "app", "moves", &d), 40000);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 20000);
    world_done(&w);
}
END_TEST

// --- entries that become void ---

// As a clock that was half an hour ahead leaves it.
static void clock_put_ahead(struct test_region *r)
{
    char path[400], text[128];
    sqlite3 *db;
    region_down(r);
    snprintf(path, sizeof path, "%s/meta.db", r->dir);
    snprintf(text, sizeof text, "INSERT OR REPLACE INTO state(key,value) VALUES('hlc',%llu)",
             (unsigned long long)(clock_wall_ms() + 1800000) << 16);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    region_up(r);
}

START_TEST(what_becomes_void_meanwhile_stays_with_nobody)
{
    struct digest d, e;
    struct arena a;
    struct clock_repair done;
    struct feed_mark zero = {0}, last;
    struct feed_entry *list;
    size_t n = 0;
    world_make(&w);
    w.skew_s = 3600;
    world_topology(&w, 2, false);
    region_up(east);
    moves_push(east, "contoso", &d);
    clock_put_ahead(east);
    moves_push(east, "contoso", &d);
    push(east, "contoso", "future", 5, &e);
    west_is_stopped_amid("contoso");
    w.skew_s = 5;
    world_topology(&w, 3, false);
    arena_init(&a, 0);
    ck_assert_int_eq(replicator_repair_clock(east->replicator, true, &a, &done), 0);
    region_up(west);
    WAIT_FOR(region_has(west, "contoso", "app", "future", &e), 40000); // announced again
    WAIT_FOR(region_has(west, "contoso", "app", "moves", &d), 20000);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 20000);
    ck_assert_int_eq(
        meta_feed_read(west->meta, "eastus", &zero, NULL, 0, 5000, &a, &list, &n, &last), 0);
    for (size_t i = 0; i < n; i++) {
        const struct feed_mark at = entry_mark(&list[i]);
        ck_assert_int_eq(meta_feed_check(east->meta, "eastus", &at), 0);
    }
    arena_done(&a);
    world_done(&w);
}
END_TEST

// --- an origin that loses its disk ---

// West is amid its snapshot, and nobody else has anything: the origin asks it, takes back what is
// there, and uses no place twice.
START_TEST(an_origin_that_loses_its_disk_meanwhile_uses_no_place_twice)
{
    struct digest d, e;
    world_make(&w);
    region_up(south);
    region_up(east);
    moves_push(east, "contoso", &d);
    struct feed_mark was = head_of(east, "eastus");
    region_down(south);
    disk_lose(south);
    west_is_stopped_amid("contoso");
    region_down(east);
    disk_lose(east);
    east->start_ask_ms = 20000; // ends when all have answered, on a busy machine too
    region_up(west);            // it cannot go on, and holds what it has
    region_up(south);
    region_up(east);
    push(east, "contoso", "after", 7, &e);
    ck_assert_uint_gt(head_of(east, "eastus").epoch, was.epoch);
    WAIT_FOR(region_has(west, "contoso", "app", "after", &e), 40000);
    WAIT_FOR(region_has(south, "contoso", "app", "after", &e), 40000);
    // no more: bytes that only the origin had are lost with its disk
    WAIT_FOR(has_read_all(west) && has_read_all(south), 20000);
    world_done(&w);
}
END_TEST

// West has joined by snapshots and holds no more than these; the origin gets its log back from it,
// with holes. Who reads that log, from its beginning or from a mark amid it, takes snapshots too.
START_TEST(a_log_that_came_back_with_holes_is_read_by_snapshots)
{
    struct digest d, e, f;
    world_make(&w);
    region_up(east);
    region_up(south);
    push(east, "contoso", "first", 9, &f);
    WAIT_FOR(region_has(south, "contoso", "app", "first", &f), 20000);
    region_down(south); // its mark stays behind
    moves_push(east, "contoso", &d);
    west->join_feed_min = 10;
    region_up(west);
    WAIT_FOR(region_has(west, "contoso", "app", "moves", &d), 30000);
    WAIT_FOR(is_in("contoso", JOIN_COMPLETE), 10000);
    region_down(east);
    disk_lose(east);
    east->start_ask_ms = 20000; // ends when all have answered, on a busy machine too
    region_up(south);
    region_up(east);
    push(east, "contoso", "after", 7, &e);
    WAIT_FOR(region_has(east, "contoso", "app", "moves", &d), 30000);
    WAIT_FOR(region_has(south, "contoso", "app", "after", &e), 60000);
    ck_assert(region_has(south, "contoso", "app", "moves", &d));
    WAIT_FOR(state_is(south, "contoso", "eastus", "Ready"), 30000);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 30000);
    region_down(south);
    disk_lose(south);
    region_up(south); // from the beginning
    WAIT_FOR(region_has(south, "contoso", "app", "after", &e), 60000);
    ck_assert(region_has(south, "contoso", "app", "moves", &d));
    ck_assert(region_has(south, "contoso", "app", "first", &f));
    WAIT_FOR(state_is(south, "contoso", "eastus", "Ready"), 30000);
    world_done(&w);
}
END_TEST

// --- the place of a complete snapshot is gone at its origin ---

START_TEST(a_complete_snapshot_whose_place_is_gone_is_taken_anew)
{
    struct digest d, e;
    char path[400];
    world_up(&w);
    moves_push(east, "contoso", &d);
    WAIT_FOR(region_has(west, "contoso", "app", "moves", &d), 20000);
    WAIT_FOR(has_read_all(west), 20000);
    struct join_row row = {.phase = JOIN_COMPLETE, .at = head_of(east, "eastus")};
    region_down(west);
    snprintf(path, sizeof path, "%s/replication.json", west->dir);
    ck_assert_int_eq(remove(path), 0); // contoso is new again
    snprintf(row.registry, sizeof row.registry, "contoso");
    row.at.seq -= 3;
    struct feed_mark gone = row.at; // with the hash of another entry
    ck_assert_int_eq(join_state_set(west->dir, "eastus", &row), 0);
    region_up(west);
    push(east, "contoso", "next", 5, &e);
    WAIT_FOR(region_has(west, "contoso", "app", "next", &e), 30000);
    WAIT_FOR(has_read_all(west), 30000);
    ck_assert(!row_get("contoso", &row) || !mark_equal(&row.at, &gone));
    world_done(&w);
}
END_TEST

// --- what is outdone and deleted (store/meta_spent.h) ---

static void manifest_delete(struct test_region *at, const struct digest *d)
{
    struct arena a;
    struct delete_result out;
    const struct delete_request q = {.registry = "contoso", .repository = "app", .digest = d};
    arena_init(&a, 0);
    WAIT_FOR(meta_manifest_delete(at->meta, &q, &a, &out) == 0, 30000);
    arena_done(&a);
}

static bool shows(struct test_region *at, const char *tag)
{
    struct arena a;
    struct manifest_row row;
    arena_init(&a, 0);
    int rc = meta_manifest_get(at->meta, "contoso", "app", tag, NULL, &a, &row);
    arena_done(&a);
    return rc == 0;
}

// South's value outdid east's and is gone: it may have left south's store before it leaves east's. Who
// begins with nothing takes a snapshot of the shortest feed, without it; so does east take it back.
START_TEST(what_is_spent_comes_to_nobody)
{
    struct digest d, e, f;
    world_make(&w);
    for (size_t i = 0; i < N_REGIONS; i++)
        region_up(&w.regions[i]);
    push(east, "contoso", "gone", 1, &e);
    push(east, "contoso", "keep", 5, &d);
    WAIT_FOR(region_has(south, "contoso", "app", "gone", &e), 20000);
    push(south, "contoso", "gone", 2, &e);
    WAIT_FOR(region_has(east, "contoso", "app", "gone", &e), 20000);
    WAIT_FOR(region_has(west, "contoso", "app", "keep", &d), 20000);
    manifest_delete(south, &e);
    WAIT_FOR(!shows(east, "gone") && !shows(west, "gone"), 20000);
    region_down(west);
    disk_lose(west);
    west->join_feed_min = 100000;
    region_up(west);
    WAIT_FOR(region_has(west, "contoso", "app", "keep", &d), 30000);
    WAIT_FOR(is_in("contoso", JOIN_COMPLETE), 10000);
    region_down(east);
    disk_lose(east);
    east->start_ask_ms = 20000; // ends when all have answered, on a busy machine too
    region_up(east);
    WAIT_FOR(region_has(east, "contoso", "app", "keep", &d), 40000);
    push(east, "contoso", "after", 7, &f);
    WAIT_FOR(region_has(west, "contoso", "app", "after", &f), 40000);
    WAIT_FOR(region_has(south, "contoso", "app", "after", &f), 40000);
    for (size_t i = 0; i < N_REGIONS; i++)
        ck_assert(!shows(&w.regions[i], "gone"));
    world_done(&w);
}
END_TEST

CHECK_MAIN("replication/join_faults", a_registry_whose_snapshot_fails_holds_up_no_other,
           so_it_is_for_a_region_that_is_new, a_registry_that_comes_later_is_read_at_the_mark,
           who_is_behind_what_a_feed_keeps_takes_a_snapshot,
           a_new_region_reads_a_trimmed_feed_by_snapshots,
           what_becomes_void_meanwhile_stays_with_nobody,
           an_origin_that_loses_its_disk_meanwhile_uses_no_place_twice,
           a_log_that_came_back_with_holes_is_read_by_snapshots,
           a_complete_snapshot_whose_place_is_gone_is_taken_anew, what_is_spent_comes_to_nobody)
