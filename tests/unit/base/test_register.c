// SPDX-License-Identifier: Apache-2.0
// base/register: one total order of values, whichever field decides.
#include "base/mem.h"
#include "base/register.h"
#include "tests/support/check_main.h"

#include <stdlib.h>

static struct register_value value(uint64_t stamp, const char *origin, uint64_t epoch,
                                   uint8_t first)
{
    struct register_value v = {stamp, origin, epoch, {.alg = DIGEST_SHA256, .n = SHA256_BYTES}};
    v.digest.b[0] = first;
    return v;
}

static struct register_value created(uint64_t stamp, uint64_t generation)
{
    struct register_value v = value(stamp, "eastus", 1, 0);
    v.create_only = true;
    v.generation = generation;
    return v;
}

static struct register_value gone(struct register_value v)
{
    v.gone = true;
    v.digest = (struct digest){0};
    return v;
}

static void ascending(const struct register_value *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++) {
            int order = register_order(&v[i], &v[k]);
            int sign = (order > 0) - (order < 0), want = (i > k) - (i < k);
            ck_assert_msg(sign == want, "%zu and %zu", i, k);
        }
}

START_TEST(the_fields_decide_in_their_order)
{
    // From the lowest to the highest: each differs from the next in the first field that decides.
    const struct register_value v[] = {
        value(4, "westeurope", 9, 255), value(5, "", 9, 255),       value(5, "east", 9, 255),
        value(5, "eastus", 1, 255),     value(5, "eastus", 2, 0),   value(5, "eastus", 2, 1),
        value(5, "westus", 0, 0),       value(INT64_MAX, "", 0, 0), value(UINT64_MAX, "", 0, 0)};
    ascending(v, ARRAY_LEN(v));
}
END_TEST

START_TEST(digests_go_by_algorithm_and_bytes)
{
    struct register_value a = value(5, "eastus", 1, 9), b = value(5, "eastus", 1, 0);
    b.digest.alg = DIGEST_SHA256 + 1;
    ck_assert_int_lt(register_order(&a, &b), 0);
    b = a;
    b.digest.b[SHA256_BYTES - 1] = 1;
    ck_assert_int_lt(register_order(&a, &b), 0);
    b = a;
    b.digest.b[SHA256_BYTES] = 1; // not in use
    ck_assert_int_eq(register_order(&a, &b), 0);
}
END_TEST

START_TEST(a_tombstone_wins_over_the_value_that_it_judged_and_over_no_later_one)
{
    const struct register_value v[] = {value(4, "z", 9, 255), value(5, "eastus", 1, 255),
                                       gone(value(5, "eastus", 1, 0)), value(5, "eastus", 2, 0),
                                       value(6, "a", 1, 0)};
    ascending(v, ARRAY_LEN(v));
}
END_TEST

START_TEST(of_two_that_created_the_first_stays_until_it_is_deleted)
{
    const struct register_value v[] = {
        created(13, 0),
        created(11, 0),
        gone(created(11, 0)), // by a rule
        created(9, 0),
        value(5, "eastus", 1, 0),        // a plain write that neither had seen
        gone(value(12, "eastus", 1, 0)), // a person's delete
        created(17, 12),                 // which these two had seen
        created(15, 12),
        value(14, "eastus", 1, 0), // later than the deletion
    };
    ascending(v, ARRAY_LEN(v));
}
END_TEST

// Every value of a small world against every other two: antisymmetric, transitive, and equal only
// to itself.
START_TEST(the_order_is_total)
{
    static const char *const origins[] = {"a", "b"};
    struct register_value v[3 * 2 * 2 * 2 * 4 * 2];
    size_t n = 0;
    for (uint64_t stamp = 1; stamp <= 3; stamp++)
        for (size_t o = 0; o < 2; o++)
            for (uint64_t epoch = 1; epoch <= 2; epoch++)
                for (int is_gone = 0; is_gone < 2; is_gone++)
                    for (int g = 0; g < 4; g++)
                        for (uint8_t d = 0; d < 2; d++) {
                            struct register_value x = value(stamp, origins[o], epoch, d);
                            x.gone = is_gone;
                            x.create_only = g > 0;
                            x.generation = g > 0 ? (uint64_t)g - 1 : 0;
                            v[n++] = x;
                        }
    ck_assert_uint_eq(n, ARRAY_LEN(v));
    static int8_t order[ARRAY_LEN(v)][ARRAY_LEN(v)];
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++) {
            int o = register_order(&v[i], &v[k]);
            order[i][k] = (int8_t)((o > 0) - (o < 0));
            ck_assert_int_eq(order[i][k] == 0, i == k);
        }
    size_t n_wrong = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++) {
            n_wrong += order[i][k] != -order[k][i];
            for (size_t l = 0; l < n; l++)
                n_wrong += order[i][k] > 0 && order[k][l] > 0 && order[i][l] <= 0;
        }
    ck_assert_uint_eq(n_wrong, 0);
}
END_TEST

CHECK_MAIN("base/register", the_fields_decide_in_their_order, digests_go_by_algorithm_and_bytes,
           a_tombstone_wins_over_the_value_that_it_judged_and_over_no_later_one,
           of_two_that_created_the_first_stays_until_it_is_deleted, the_order_is_total)
