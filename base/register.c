// SPDX-License-Identifier: Apache-2.0
// Pure, any thread; see register.h.
#include "base/register.h"

#include <string.h>

static int number_order(uint64_t a, uint64_t b)
{
    if (a == b)
        return 0;
    if (a < b)
        return -1;
    return 1;
}

static int flag_order(bool a, bool b)
{
    return (int)a - (int)b;
}

static int digest_order(const struct digest *a, const struct digest *b)
{
    if (a->alg != b->alg)
        return number_order(a->alg, b->alg);
    int by_bytes = memcmp(a->b, b->b, a->n < b->n ? a->n : b->n);
    if (by_bytes)
        return by_bytes;
    return number_order(a->n, b->n);
}

// Of values of one rank: among plain ones the later wins, among create-only ones the earlier.
static int stamp_order(const struct register_value *a, const struct register_value *b)
{
    int order = flag_order(a->create_only, b->create_only);
    if (order)
        return order;
    if (a->create_only)
        return number_order(b->stamp, a->stamp);
    return number_order(a->stamp, b->stamp);
}

int register_order(const struct register_value *a, const struct register_value *b)
{
    int order = number_order(register_rank(a), register_rank(b));
    if (!order)
        order = stamp_order(a, b);
    if (!order)
        order = strcmp(a->origin, b->origin);
    if (!order)
        order = number_order(a->epoch, b->epoch);
    if (!order)
        order = flag_order(a->gone, b->gone);
    // what cannot be told apart by the rules still has an order
    if (!order)
        order = number_order(a->generation, b->generation);
    if (order)
        return order;
    return digest_order(&a->digest, &b->digest);
}
