// SPDX-License-Identifier: Apache-2.0
// base/register: one total order of values, whichever field decides.
#include "base/mem.h"
#include "base/register.h"
#include "tests/support/check_main.h"

static struct register_value value(uint64_t stamp, const char *origin, uint64_t epoch,
                                   uint8_t first)
{
    struct register_value v = {stamp, origin, epoch, {.alg = DIGEST_SHA256, .n = SHA256_BYTES}};
    v.digest.b[0] = first;
    return v;
}

START_TEST(the_fields_decide_in_their_order)
{
    // From the lowest to the highest: each differs from the next in the first field that decides.
    const struct register_value v[] = {
        value(4, "westeurope", 9, 255), value(5, "", 9, 255),       value(5, "east", 9, 255),
        value(5, "eastus", 1, 255),     value(5, "eastus", 2, 0),   value(5, "eastus", 2, 1),
        value(5, "westus", 0, 0),       value(INT64_MAX, "", 0, 0), value(UINT64_MAX, "", 0, 0)};
    for (size_t i = 0; i < ARRAY_LEN(v); i++)
        for (size_t k = 0; k < ARRAY_LEN(v); k++) {
            int order = register_order(&v[i], &v[k]);
            ck_assert_msg(i < k ? order < 0 : i > k ? order > 0 : order == 0, "%zu and %zu", i, k);
        }
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

CHECK_MAIN("base/register", the_fields_decide_in_their_order, digests_go_by_algorithm_and_bytes)
