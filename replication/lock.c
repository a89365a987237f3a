// SPDX-License-Identifier: Apache-2.0
// Locks with an order; see lock.h.
#include "replication/lock.h"

#include "base/wait.h"

#include <assert.h>

// The ranks that this thread holds, a bit each.
static _Thread_local uint32_t held;

_Static_assert(LOCK_N_RANKS <= 32, "a bit each");

void lock_init(struct lock *l, enum lock_rank rank)
{
    pthread_mutex_init(&l->mutex, NULL);
    wait_cond_init(&l->changed);
    l->rank = rank;
}

void lock_done(struct lock *l)
{
    pthread_mutex_destroy(&l->mutex);
    pthread_cond_destroy(&l->changed);
}

void lock_take(struct lock *l)
{
    uint32_t mine = (uint32_t)1 << l->rank;
    assert(held < mine); // invariant 1
    pthread_mutex_lock(&l->mutex);
    held |= mine;
}

void lock_give(struct lock *l)
{
    uint32_t mine = (uint32_t)1 << l->rank;
    assert(held & mine);
    held &= ~mine;
    pthread_mutex_unlock(&l->mutex);
}

void lock_wake(struct lock *l)
{
    pthread_cond_broadcast(&l->changed);
}

void lock_wait(struct lock *l, int64_t ms)
{
    assert(held == (uint32_t)1 << l->rank); // invariant 2
    wait_cond(&l->changed, &l->mutex, ms);
}
