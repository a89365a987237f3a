// SPDX-License-Identifier: Apache-2.0
// See company.h.
#include "store/sqlite/company.h"

size_t company_expected(const struct company *c)
{
    if (c->expected)
        return c->expected;
    return 1;
}

void company_learn(struct company *c, size_t n, bool in_vain)
{
    size_t both = n < c->last ? n : c->last;
    c->last = n;
    if (in_vain) {
        c->expected = n;
        c->hold = COMPANY_HOLD;
        return;
    }
    if (c->hold) {
        c->hold--;
        return;
    }
    if (both < 2)
        return;
    if (c->expected < both)
        c->expected = both;
    if (c->expected <= n)
        c->expected = n + 1;
}
