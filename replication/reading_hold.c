// SPDX-License-Identifier: Apache-2.0
// The hold on reading while a repair runs; see reading_hold.h.
#include "replication/reading_hold.h"

#include "base/err.h"
#include "base/mem.h"
#include "replication/lock.h"

#include <assert.h>
#include <stdlib.h>

#define HANG_UP_AGAIN_MS 100

struct reading_hold {
    struct life *life;
    // repairs that run, and those that were made: written under the lock, read by anybody
    _Atomic unsigned n_paused, n_repairs;
    struct lock lock;
    // sessions
    unsigned n_reading;
};

int reading_hold_new(struct life *life, struct reading_hold **out)
{
    struct reading_hold *h = mem_zalloc(sizeof *h);
    if (!h)
        return ERR_NOMEM;
    h->life = life;
    lock_init(&h->lock, LOCK_HOLD);
    *out = h;
    return 0;
}

void reading_hold_free(struct reading_hold *h)
{
    if (!h)
        return;
    assert(!h->n_reading);
    lock_done(&h->lock);
    free(h);
}

void reading_hold_wake(struct reading_hold *h)
{
    lock_take(&h->lock);
    lock_wake(&h->lock);
    lock_give(&h->lock);
}

bool reading_hold_begin(struct reading_hold *h)
{
    lock_take(&h->lock);
    while (h->n_paused && !life_stopping(h->life))
        lock_wait(&h->lock, 1000);
    bool go = !life_stopping(h->life);
    if (go)
        h->n_reading++;
    lock_give(&h->lock);
    return go;
}

void reading_hold_end(struct reading_hold *h)
{
    lock_take(&h->lock);
    assert(h->n_reading);
    h->n_reading--;
    lock_wake(&h->lock);
    lock_give(&h->lock);
}

bool reading_hold_is_paused(const struct reading_hold *h)
{
    return h->n_paused > 0;
}

unsigned reading_hold_repairs(const struct reading_hold *h)
{
    return h->n_repairs;
}

static bool sessions_run(struct reading_hold *h)
{
    lock_take(&h->lock);
    bool any = h->n_reading > 0;
    lock_give(&h->lock);
    return any;
}

void reading_hold_pause(struct reading_hold *h, void (*hang_up)(void *ctx), void *ctx)
{
    lock_take(&h->lock);
    h->n_paused++;
    lock_give(&h->lock);
    while (sessions_run(h) && !life_stopping(h->life)) {
        hang_up(ctx);
        lock_take(&h->lock);
        if (h->n_reading)
            lock_wait(&h->lock, HANG_UP_AGAIN_MS);
        lock_give(&h->lock);
    }
    assert(life_stopping(h->life) || !sessions_run(h)); // invariant 1
}

void reading_hold_resume(struct reading_hold *h)
{
    lock_take(&h->lock);
    assert(h->n_paused);
    h->n_repairs++; // before streams may begin again: invariant 2
    h->n_paused--;
    lock_wake(&h->lock);
    lock_give(&h->lock);
}
