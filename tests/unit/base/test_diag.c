// SPDX-License-Identifier: Apache-2.0
// base/diag: sentences with their place, the ceiling and its count, "did you mean".
#include "base/diag.h"

#include "base/err.h"
#include "tests/support/check_main.h"
#include "tests/support/torture.h"

#include <string.h>

START_TEST(sentences_carry_their_place)
{
    struct diag d;
    diag_init(&d);
    char *none = diag_text(&d);
    ck_assert_str_eq(none, "");
    free(none);
    diag_add(&d, "t.yaml", 12, "no %s", "region");
    diag_add(&d, "t.yaml", 0, "empty");
    diag_add(&d, NULL, 7, "100%%");
    char *text = diag_text(&d);
    ck_assert_str_eq(text, "t.yaml:12: no region\nt.yaml: empty\n100%");
    free(text);
    diag_done(&d);
    ck_assert_uint_eq(diag_count(&d), 0);
}
END_TEST

START_TEST(past_the_ceiling_only_counted)
{
    struct diag d;
    diag_init(&d);
    for (int i = 0; i < DIAG_MAX + 5; i++)
        diag_add(&d, NULL, 0, "error %d", i);
    ck_assert_uint_eq(d.n, DIAG_MAX);
    ck_assert_uint_eq(diag_count(&d), DIAG_MAX + 5);
    char *text = diag_text(&d), *printed = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&printed, &n);
    diag_print(&d, f);
    fclose(f);
    ck_assert_ptr_nonnull(strstr(text, "error 199\n… and 5 more"));
    ck_assert_int_eq(strncmp(printed, text, strlen(text)), 0);
    ck_assert_str_eq(printed + strlen(text), "\n");
    free(printed);
    free(text);
    diag_done(&d);
}
END_TEST

START_TEST(null_records_nothing)
{
    diag_init(NULL);
    diag_add(NULL, "x", 1, "y");
    ck_assert_uint_eq(diag_count(NULL), 0);
    diag_print(NULL, stderr);
    char *text = diag_text(NULL);
    ck_assert_str_eq(text, "");
    free(text);
    diag_done(NULL);
}
END_TEST

static int add_and_join(void *ctx)
{
    (void)ctx;
    struct diag d;
    diag_init(&d);
    diag_add(&d, "f", 1, "first");
    diag_add(&d, NULL, 0, "second");
    ck_assert_uint_eq(diag_count(&d), 2); // counted even when it could not be kept
    char *text = diag_text(&d);
    int rc = text && d.n == 2 ? 0 : ERR_NOMEM;
    free(text);
    diag_done(&d);
    return rc;
}

START_TEST(survives_failing_memory)
{
    ck_assert_int_gt(torture(add_and_join, NULL), 2);
}
END_TEST

START_TEST(nearest)
{
    static const char *const keys[] = {"region", "registry", "data_directory", "ttl", "id"};
    static const struct {
        const char *word, *want;
    } t[] = {{"regoin", "region"},
             {"registery", "registry"},
             {"data_dir", "data_directory"},
             {"tll", "ttl"},
             {"Region", "region"},
             {"xyz", NULL},
             {"x", NULL},
             {"", NULL},
             {"id", "id"},
             {"ix", "id"},
             {"qq", NULL},
             {"zzzzzzzz", NULL},
             {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        const char *got = diag_nearest(t[i].word, keys, ARRAY_LEN(keys));
        ck_assert_msg(got == t[i].want || (got && t[i].want && !strcmp(got, t[i].want)), "%s: %s",
                      t[i].word, got ? got : "none");
    }
    ck_assert_ptr_null(diag_nearest("region", NULL, 0));
}
END_TEST

CHECK_MAIN("base/diag", sentences_carry_their_place, past_the_ceiling_only_counted,
           null_records_nothing, survives_failing_memory, nearest)
