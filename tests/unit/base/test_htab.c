// SPDX-License-Identifier: Apache-2.0
// base/htab: many keys through every operation, iteration, failing memory.
#include "base/htab.h"

#include "base/err.h"
#include "tests/support/check_main.h"
#include "tests/support/torture.h"

#include <stdio.h>
#include <string.h>

#define N 20000

static int values[N];

static size_t key_of(int i, char buf[32])
{
    return (size_t)snprintf(buf, 32, i % 3 ? "repo/%d" : "%d-a-rather-longer-key", i);
}

START_TEST(many_keys)
{
    struct htab *t = htab_new();
    char key[32];
    void *old;
    for (int i = 0; i < N; i++) {
        size_t n = key_of(i, key);
        ck_assert_ptr_null(htab_get(t, key, n));
        ck_assert_int_eq(htab_put(t, key, n, &values[i]), 0);
        ck_assert_int_eq(htab_put(t, key, n, &values[0]), ERR_EXISTS);
    }
    ck_assert_uint_eq(htab_count(t), N);
    for (int i = 0; i < N; i++) {
        size_t n = key_of(i, key);
        ck_assert_ptr_eq(htab_get(t, key, n), &values[i]);
        ck_assert_int_eq(htab_set(t, key, n, &values[N - 1 - i], &old), 0);
        ck_assert_ptr_eq(old, &values[i]);
    }
    for (int i = 0; i < N; i += 2) {
        size_t n = key_of(i, key);
        ck_assert_ptr_eq(htab_del(t, key, n), &values[N - 1 - i]);
        ck_assert_ptr_null(htab_del(t, key, n));
    }
    ck_assert_uint_eq(htab_count(t), N / 2);
    for (int i = 0; i < N; i++) {
        size_t n = key_of(i, key);
        ck_assert_ptr_eq(htab_get(t, key, n), i % 2 ? &values[N - 1 - i] : NULL);
    }
    htab_free(t);
    htab_free(NULL);
}
END_TEST

START_TEST(keys_are_bytes)
{
    struct htab *t = htab_new();
    int a, b, c;
    ck_assert_int_eq(htab_put(t, "x\0y", 3, &a), 0);
    ck_assert_int_eq(htab_put(t, "x\0z", 3, &b), 0);
    ck_assert_int_eq(htab_put(t, NULL, 0, &c), 0);
    ck_assert_ptr_eq(htab_get(t, "x\0y", 3), &a);
    ck_assert_ptr_eq(htab_get(t, "x\0z", 3), &b);
    ck_assert_ptr_eq(htab_get(t, "", 0), &c);
    ck_assert_ptr_null(htab_get(t, "x", 1));
    htab_free(t);
}
END_TEST

static int build(void *ctx)
{
    (void)ctx;
    struct htab *t = htab_new();
    if (!t)
        return ERR_NOMEM;
    int rc = 0;
    char key[32];
    for (int i = 0; i < 60 && !rc; i++) {
        size_t n = key_of(i, key);
        rc = htab_put(t, key, n, &values[i]);
        if (!rc && htab_get(t, key, n) != &values[i])
            abort();
    }
    htab_free(t);
    return rc;
}

START_TEST(survives_failing_memory)
{
    ck_assert_int_gt(torture(build, NULL), 60);
}
END_TEST

CHECK_MAIN("base/htab", many_keys, keys_are_bytes, survives_failing_memory)
