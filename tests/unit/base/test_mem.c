// SPDX-License-Identifier: Apache-2.0
// base/mem and base/err: the countdown refuses from the n-th on; every code has its name and text.
#include "base/mem.h"

#include "base/err.h"
#include "base/mem_test.h"
#include "tests/support/check_main.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

START_TEST(countdown_refuses_from_the_nth_on)
{
    mem_fault_after(3);
    void *a = mem_alloc(1), *b = mem_zalloc(1), *c = mem_alloc(1), *d = mem_strdup("x");
    char *p = mem_printf("%d", 1);
    long hits = mem_fault_hits();
    mem_fault_after(0);
    ck_assert(a && b && !c && !d && !p);
    ck_assert_int_eq(hits, 3);
    void *e = mem_realloc(a, 100);
    ck_assert_ptr_nonnull(e);
    ck_assert_int_eq(mem_fault_hits(), 0);
    mem_fault_after(1);
    ck_assert_ptr_null(mem_realloc(e, 200)); // e stays ours
    mem_fault_after(0);
    free(e);
    free(b);
}
END_TEST

START_TEST(sizes_and_strings)
{
    ck_assert_ptr_null(mem_zalloc_array(SIZE_MAX / 2, 3));
    AUTO_FREE char *none = mem_alloc(0), *part = mem_strndup("contoso", 3),
                   *all = mem_strndup("ab", 10), *text = mem_printf("%s/%05d", "dir", 42);
    ck_assert_ptr_nonnull(none);
    ck_assert_str_eq(part, "con");
    ck_assert_str_eq(all, "ab");
    ck_assert_str_eq(text, "dir/00042");
    char *moved = take_ptr(text);
    ck_assert_ptr_null(text);
    free(moved);
}
END_TEST

START_TEST(every_code_has_name_and_text)
{
    static const struct {
        int code;
        const char *name, *text;
    } t[] = {
#define X(name, text) {ERR_##name, #name, text},
        ERR_TABLE(X)
#undef X
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        ck_assert_int_eq(t[i].code, -(int)i - 1); // negative, no two alike
        ck_assert_str_eq(err_name(t[i].code), t[i].name);
        ck_assert_str_eq(err_text(t[i].code), t[i].text);
    }
    ck_assert_str_eq(err_name(0), "OK");
    ck_assert_str_eq(err_name(1), "UNKNOWN");
    ck_assert_str_eq(err_name(-(int)ARRAY_LEN(t) - 1), "UNKNOWN");
    ck_assert_ptr_nonnull(err_text(12345));
    ck_assert_int_eq(err_from_errno(0), 0);
    ck_assert_int_eq(err_from_errno(EDQUOT), ERR_NOSPACE);
    ck_assert_int_eq(err_from_errno(ENOENT), ERR_NOTFOUND);
    for (int e = 1; e < 200; e++)
        ck_assert_int_lt(err_from_errno(e), 0); // no failure reads as success
}
END_TEST

CHECK_MAIN("base/mem", countdown_refuses_from_the_nth_on, sizes_and_strings,
           every_code_has_name_and_text)
