// SPDX-License-Identifier: Apache-2.0
// base/arena: zeroed, aligned, bounded; big blocks among small ones; failing memory.
#include "base/arena.h"

#include "base/err.h"
#include "tests/support/check_main.h"
#include "tests/support/torture.h"

#include <stdint.h>
#include <string.h>

START_TEST(memory_is_zeroed_aligned_and_does_not_overlap)
{
    struct arena a;
    arena_init(&a, 0);
    unsigned char *p[400];
    size_t n[400];
    for (size_t i = 0; i < 400; i++) {
        n[i] = i % 17 == 0 ? 5000 + i : i * 7 % 300;
        p[i] = arena_alloc(&a, n[i]);
        ck_assert_ptr_nonnull(p[i]);
        ck_assert_uint_eq((uintptr_t)p[i] % 16, 0);
        for (size_t k = 0; k < n[i]; k++)
            ck_assert_uint_eq(p[i][k], 0);
        memset(p[i], (int)(i & 255), n[i]);
    }
    for (size_t i = 0; i < 400; i++)
        for (size_t k = 0; k < n[i]; k++)
            ck_assert_uint_eq(p[i][k], i & 255);
    arena_done(&a);
    ck_assert_uint_eq(a.used_bytes, 0);
    ck_assert_ptr_nonnull(arena_alloc(&a, 1)); // usable again
    arena_done(&a);
}
END_TEST

START_TEST(ceiling_holds)
{
    struct arena a;
    arena_init(&a, 128);
    ck_assert_ptr_nonnull(arena_alloc(&a, 100));
    ck_assert_ptr_null(arena_alloc(&a, 17)); // 112 are in use: 100 rounded up
    ck_assert_ptr_nonnull(arena_alloc(&a, 16));
    ck_assert_ptr_null(arena_alloc(&a, 0));
    ck_assert_ptr_null(arena_strdup(&a, "x"));
    arena_done(&a);
}
END_TEST

START_TEST(impossible_sizes_give_null)
{
    struct arena a;
    arena_init(&a, 0);
    ck_assert_ptr_null(arena_alloc(&a, SIZE_MAX));
    ck_assert_ptr_null(arena_array(&a, SIZE_MAX / 4, 8));
    ck_assert_ptr_null(arena_array(&a, SIZE_MAX, SIZE_MAX));
    ck_assert_ptr_nonnull(arena_array(&a, 0, 0));
    arena_done(&a);
}
END_TEST

START_TEST(strings_are_copied)
{
    struct arena a;
    arena_init(&a, 0);
    ck_assert_str_eq(arena_strdup(&a, "contoso"), "contoso");
    ck_assert_str_eq(arena_strndup(&a, "contoso", 3), "con");
    ck_assert_str_eq(arena_strndup(&a, "ab", 9), "ab");
    ck_assert_str_eq(arena_printf(&a, "%s-%04d", "x", 7), "x-0007");
    ck_assert_mem_eq(arena_copy(&a, "\0\1\2", 3), "\0\1\2", 3);
    char *big = arena_printf(&a, "%9000d", 1);
    ck_assert_uint_eq(strlen(big), 9000);
    arena_done(&a);
}
END_TEST

static int fill(void *ctx)
{
    (void)ctx;
    struct arena a;
    arena_init(&a, 0);
    int rc = 0;
    for (int i = 0; i < 20; i++)
        if (!arena_alloc(&a, 1500) || !arena_printf(&a, "%3000d", i))
            rc = ERR_NOMEM;
    arena_done(&a);
    return rc;
}

START_TEST(survives_failing_memory)
{
    ck_assert_int_gt(torture(fill, NULL), 5);
}
END_TEST

CHECK_MAIN("base/arena", memory_is_zeroed_aligned_and_does_not_overlap, ceiling_holds,
           impossible_sizes_give_null, strings_are_copied, survives_failing_memory)
