// SPDX-License-Identifier: Apache-2.0
// Whether the replicator stops, and who is inside; see life.h.
#include "replication/life.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "replication/lock.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

struct life {
    _Atomic bool stopping;
    struct lock lock;
    unsigned n_inside;
};

int life_new(struct life **out)
{
    struct life *l = mem_zalloc(sizeof *l);
    if (!l)
        return ERR_NOMEM;
    lock_init(&l->lock, LOCK_LIFE);
    *out = l;
    return 0;
}

void life_free(struct life *l)
{
    if (!l)
        return;
    assert(!l->n_inside); // invariant 2
    lock_done(&l->lock);
    free(l);
}

bool life_enter(struct life *l)
{
    lock_take(&l->lock);
    bool go = !l->stopping;
    if (go)
        l->n_inside++;
    lock_give(&l->lock);
    return go;
}

void life_leave(struct life *l)
{
    lock_take(&l->lock);
    assert(l->n_inside); // invariant 2
    l->n_inside--;
    lock_wake(&l->lock);
    lock_give(&l->lock);
}

bool life_stopping(const struct life *l)
{
    return l->stopping;
}

const _Atomic bool *life_stop_flag(const struct life *l)
{
    return &l->stopping;
}

void life_sleep(struct life *l, int64_t ms)
{
    int64_t until = clock_mono_ms() + ms;
    lock_take(&l->lock);
    while (!l->stopping) {
        int64_t left = until - clock_mono_ms();
        if (left <= 0)
            break;
        lock_wait(&l->lock, left);
    }
    lock_give(&l->lock);
}

void life_end(struct life *l)
{
    lock_take(&l->lock);
    l->stopping = true;
    lock_wake(&l->lock);
    lock_give(&l->lock);
}

void life_wait_empty(struct life *l)
{
    lock_take(&l->lock);
    assert(l->stopping);
    while (l->n_inside)
        lock_wait(&l->lock, 1000);
    lock_give(&l->lock); // invariant 1
}
