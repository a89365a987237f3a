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
                           .began_ms = 1000,
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
    ck_assert(back.began_ms == 1000 && back.wrote_ms == 3000);
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
        "{\"v\":2,\"origins\":{}}",
        "{\"v\":1,\"origins\":[]}",
        "{\"v\":1,\"origins\":{\"eastus\":{\"contoso\":{\"state\":\"DONE\",\"at\":\"\","
        "\"next\":\"\",\"error\":\"\"}}}}",
        "{\"v\":1,\"origins\":{\"eastus\":{\"contoso\":{\"state\":\"COMPLETE\",\"at\":\"x\","
        "\"next\":\"\",\"error\":\"\"}}}}",
        "{\"v\":1,\"origins\":{\"eastus\":{\"contoso\":{\"state\":\"COMPLETE\",\"at\":\"\","
        "\"next\":\"a&at=\",\"error\":\"\"}}}}",
    };
    begin();
    AUTO_FREE char *path = mem_printf("%s/joining.json", dir);
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
    json_decref(o);
    row.wrote_ms = row.began_ms; // no rate is known yet
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

CHECK_MAIN("replication/join_state", rows_read_back, rows_behind_a_mark_are_forgotten,
           a_damaged_file_means_that_nothing_was_begun, status_says_rate_and_time_to_go)
