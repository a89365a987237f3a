// SPDX-License-Identifier: Apache-2.0
// replication/join_state: what a region that was killed goes on from, and what status makes of it.
#include "replication/join_state.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "tests/support/check_main.h"

#include <stdlib.h>
#include <string.h>

static char dir[64];

static void begin(void)
{
    snprintf(dir, sizeof dir, "/tmp/meridian-join-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void end(void)
{
    ck_assert_int_eq(dir_remove_tree(dir), 0);
}

static struct join_row row_of(const char *registry, uint64_t seq)
{
    struct join_row row = {.phase = JOIN_IN_PROGRESS,
                           .at = {.epoch = 1, .seq = seq},
                           .next = "abc-_",
                           .n_entries = 7,
                           .n_bytes = 9000,
                           .looked = 200,
                           .of = 1000,
                           .began_ms = 500,
                           .run_ms = 1000,
                           .wrote_ms = 3000};
    snprintf(row.registry, sizeof row.registry, "%s", registry);
    return row;
}

START_TEST(rows_read_back)
{
    struct join_row row = row_of("contoso@42", 9), back;
    struct feed_mark at;
    begin();
    ck_assert_int_eq(join_state_get(dir, "eastus", "contoso@42", &back), ERR_NOTFOUND);
    ck_assert_int_eq(join_state_place(dir, "eastus", &at), ERR_NOTFOUND);
    ck_assert_int_eq(join_state_set(dir, "eastus", &row), 0);
    ck_assert_int_eq(join_state_get(dir, "eastus", "contoso@42", &back), 0);
    ck_assert_int_eq(back.phase, JOIN_IN_PROGRESS);
    ck_assert(mark_equal(&back.at, &row.at));
    ck_assert_str_eq(back.next, row.next);
    ck_assert(back.n_entries == 7 && back.n_bytes == 9000 && back.looked == 200 && back.of == 1000);
    ck_assert(back.began_ms == 500 && back.wrote_ms == 3000);
    ck_assert_int_eq(join_state_get(dir, "westeurope", "contoso@42", &back), ERR_NOTFOUND);
    ck_assert_int_eq(join_state_get(dir, "eastus", "contoso", &back), ERR_NOTFOUND);
    row.phase = JOIN_FAILED;
    snprintf(row.error, sizeof row.error, "its \"disk\" is full");
    ck_assert_int_eq(join_state_set(dir, "eastus", &row), 0); // in its place
    ck_assert_int_eq(join_state_get(dir, "eastus", "contoso@42", &back), 0);
    ck_assert_str_eq(back.error, row.error);
    ck_assert_int_eq(join_state_place(dir, "eastus", &at), 0);
    ck_assert(mark_equal(&at, &row.at));
    end();
}
END_TEST

START_TEST(rows_behind_a_mark_are_forgotten)
{
    struct join_row a = row_of("contoso", 9), b = row_of("fabrikam", 20), back;
    struct feed_mark mark = {.epoch = 1, .seq = 9};
    size_t n = 77;
    begin();
    ck_assert_int_eq(join_state_set(dir, "eastus", &a), 0);
    ck_assert_int_eq(join_state_set(dir, "eastus", &b), 0);
    ck_assert_int_eq(join_state_set(dir, "westeurope", &b), 0);
    ck_assert_int_eq(join_state_forget_behind(dir, "eastus", &mark, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(join_state_get(dir, "eastus", "contoso", &back), 0);
    ck_assert_int_eq(join_state_get(dir, "eastus", "fabrikam", &back), ERR_NOTFOUND);
    ck_assert_int_eq(join_state_get(dir, "westeurope", "fabrikam", &back), 0);
    ck_assert_int_eq(join_state_forget_behind(dir, "nowhere", &mark, &n), 0);
    ck_assert_uint_eq(n, 0);
    end();
}
END_TEST

START_TEST(a_damaged_file_means_that_nothing_was_begun)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{\"v\":2,\"registries\":{}}",
        "{\"v\":1,\"registries\":[]}",
        "{\"v\":1,\"registries\":{\"contoso\":{\"state\":\"DONE\",\"at\":\"\","
        "\"next\":\"\",\"error\":\"\"}}}",
        "{\"v\":1,\"registries\":{\"contoso\":{\"state\":\"COMPLETE\",\"at\":\"x\","
        "\"next\":\"\",\"error\":\"\"}}}",
        "{\"v\":1,\"registries\":{\"contoso\":{\"state\":\"COMPLETE\",\"at\":\"\","
        "\"next\":\"a&at=\",\"error\":\"\"}}}",
    };
    begin();
    AUTO_FREE char *path = mem_printf("%s/joining-eastus.json", dir);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct join_row row = row_of("contoso", 9), back;
        ck_assert_int_eq(file_write_atomic(path, bad[i], strlen(bad[i]), 0600), 0);
        ck_assert_int_eq(join_state_get(dir, "eastus", "contoso", &back), ERR_NOTFOUND);
        ck_assert_int_eq(join_state_set(dir, "eastus", &row), 0);
        ck_assert_int_eq(join_state_get(dir, "eastus", "contoso", &back), 0);
    }
    end();
}
END_TEST

START_TEST(status_says_rate_and_time_to_go)
{
    struct join_row row = row_of("contoso", 9);
    json_t *o = join_row_json(&row);
    ck_assert_str_eq(json_string_value(json_object_get(o, "state")), "IN_PROGRESS");
    ck_assert_int_eq(json_integer_value(json_object_get(o, "done")), 200);
    ck_assert_double_eq(json_real_value(json_object_get(o, "entriesPerSecond")), 100);
    ck_assert_int_eq(json_integer_value(json_object_get(o, "etaSeconds")), 8);
    ck_assert_double_eq(json_real_value(json_object_get(o, "bytesPerSecond")), 4500);
    json_decref(o);
    // what came before a kill is no part of the rate
    row.run_looked = 100;
    row.run_bytes = 8000;
    o = join_row_json(&row);
    ck_assert_double_eq(json_real_value(json_object_get(o, "entriesPerSecond")), 50);
    ck_assert_double_eq(json_real_value(json_object_get(o, "bytesPerSecond")), 500);
    ck_assert_int_eq(json_integer_value(json_object_get(o, "etaSeconds")), 16);
    json_decref(o);
    row.wrote_ms = row.run_ms; // no rate is known yet
    o = join_row_json(&row);
    ck_assert_ptr_null(json_object_get(o, "etaSeconds"));
    json_decref(o);
    row = row_of("contoso", 9);
    row.phase = JOIN_FAILED;
    snprintf(row.error, sizeof row.error, "why");
    o = join_row_json(&row);
    ck_assert_str_eq(json_string_value(json_object_get(o, "lastError")), "why");
    ck_assert_ptr_null(json_object_get(o, "etaSeconds"));
    json_decref(o);
}
END_TEST

START_TEST(a_row_that_failed_rests_longer_each_time)
{
    struct join_row row = row_of("contoso", 9);
    row.wrote_ms = 100000;
    ck_assert_int_eq(join_row_rests_ms(&row, 100001), 0); // it did not fail
    row.phase = JOIN_FAILED;
    ck_assert_int_eq(join_row_rests_ms(&row, 100001), 0); // the connection did
    row.n_failures = 1;
    ck_assert_int_eq(join_row_rests_ms(&row, 100100), JOIN_RETRY_MIN_MS - 100);
    ck_assert_int_eq(join_row_rests_ms(&row, 101000), 0);
    row.n_failures = 3;
    ck_assert_int_eq(join_row_rests_ms(&row, 100000), 4 * JOIN_RETRY_MIN_MS);
    row.n_failures = 4000000000;
    ck_assert_int_eq(join_row_rests_ms(&row, 100000), JOIN_RETRY_MAX_MS);
    ck_assert_int_eq(join_row_rests_ms(&row, 99000), 0); // the clock went back
}
END_TEST

// A registry's row, its phase and place.
static void put(const char *registry, enum join_phase phase, uint64_t seq, bool anew)
{
    struct join_row row = row_of(registry, seq);
    row.phase = phase;
    row.anew = anew;
    ck_assert_int_eq(join_state_set(dir, "eastus", &row), 0);
}

static bool is_there(const char *registry, struct join_row *out)
{
    return join_state_get(dir, "eastus", registry, out) == 0;
}

START_TEST(rows_are_forgotten_for_what_became_of_them)
{
    static const char *const both[] = {"done", "begun"};
    struct join_row row;
    struct feed_mark at = {.epoch = 1, .seq = 7}, place;
    begin();
    put("done", JOIN_COMPLETE, 7, false);
    put("begun", JOIN_IN_PROGRESS, 8, false);
    put("other", JOIN_IN_PROGRESS, 7, true);
    ck_assert_int_eq(join_state_place(dir, "eastus", &place), 0);
    ck_assert_uint_eq(place.seq, 8); // the highest
    ck_assert_int_eq(join_state_settle(dir, "eastus", both, 2), 0);
    ck_assert(is_there("done", &row) && !is_there("begun", &row) && is_there("other", &row));
    ck_assert(row.anew);
    at.seq = 6; // not there yet
    ck_assert_int_eq(join_state_arrived(dir, "eastus", &at), 0);
    ck_assert(is_there("other", &row) && row.anew);
    at.seq = 7;
    ck_assert_int_eq(join_state_arrived(dir, "eastus", &at), 0);
    ck_assert(is_there("other", &row) && !row.anew);
    put("begun", JOIN_IN_PROGRESS, 8, false);
    ck_assert_int_eq(join_state_forget_place(dir, "eastus", &at), 0);
    ck_assert(!is_there("done", &row) && is_there("begun", &row) && !is_there("other", &row));
    ck_assert_int_eq(join_state_forget(dir, "eastus", "begun"), 0);
    ck_assert(!is_there("begun", &row));
    ck_assert_int_eq(join_state_place(dir, "eastus", &place), ERR_NOTFOUND);
    end();
}
END_TEST

CHECK_MAIN("replication/join_state", rows_read_back, rows_behind_a_mark_are_forgotten,
           a_damaged_file_means_that_nothing_was_begun, status_says_rate_and_time_to_go,
           a_row_that_failed_rests_longer_each_time, rows_are_forgotten_for_what_became_of_them)
