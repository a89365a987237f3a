// SPDX-License-Identifier: Apache-2.0
// See changes.h.
//
// Invariants
//   1. A number is odd exactly while a commit that may change its shard is under way.
//   2. Numbers only grow, so the sum of two is what it was only if both are.
#include "store/changes.h"

#include <assert.h>
#include <stdatomic.h>

_Static_assert(CHANGES_SHARDS == 1 << 10, "shard_of_repo takes 10 bits");

void changes_init(struct changes *c)
{
    atomic_store(&c->all, 2); // 0 is no number
}

uint64_t changes_number(const struct changes *c, unsigned shard)
{
    uint64_t all = atomic_load(&c->all);
    uint64_t own = atomic_load(&c->shards[shard]);
    if ((all | own) & 1) // 1
        return 0;
    return all + own; // 2
}

void touched_add(struct touched *t, unsigned shard)
{
    if (t->all)
        return;
    for (unsigned i = 0; i < t->n; i++)
        if (t->list[i] == shard)
            return;
    if (t->n == TOUCHED_MAX)
        t->all = true;
    else
        t->list[t->n++] = (uint16_t)shard;
}

static void move(struct changes *c, const struct touched *t)
{
    if (t->all) {
        atomic_fetch_add(&c->all, 1);
        return;
    }
    for (unsigned i = 0; i < t->n; i++)
        atomic_fetch_add(&c->shards[t->list[i]], 1);
}

void changes_begin(struct changes *c, struct touched *t)
{
    assert(!t->open);
    t->open = true;
    move(c, t);
}

void changes_end(struct changes *c, struct touched *t)
{
    if (t->open)
        move(c, t);
    *t = (struct touched){0};
}
