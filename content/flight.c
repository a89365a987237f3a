// SPDX-License-Identifier: Apache-2.0
// Who takes part in a fetch, and how far it came; see flight.h.
#include "content/flight.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wait.h"

#include <assert.h>

struct flight {
    struct flights *all;
    struct digest digest;
    _Atomic bool stop, urgent;
    // something of `progress` changed; `progress.ended` did
    pthread_cond_t changed, ended;

    // Under all->lock.

    struct flight *next;
    bool durable;
    unsigned n_waiters;
    struct flight_progress progress;
};

struct flights {
    size_t max;
    pthread_mutex_t lock;

    // Under the lock.

    bool stopping;
    // that run
    struct flight *first;
    size_t n;
};

int flights_new(size_t max, struct flights **out)
{
    struct flights *fs = mem_zalloc(sizeof *fs);
    if (!fs)
        return ERR_NOMEM;
    fs->max = max;
    pthread_mutex_init(&fs->lock, NULL);
    *out = fs;
    return 0;
}

void flights_free(struct flights *fs)
{
    if (!fs)
        return;
    assert(!fs->first);
    pthread_mutex_destroy(&fs->lock);
    free(fs);
}

static void wake_all(struct flight *f)
{
    pthread_cond_broadcast(&f->changed);
    pthread_cond_broadcast(&f->ended);
}

void flights_stop(struct flights *fs)
{
    pthread_mutex_lock(&fs->lock);
    fs->stopping = true;
    for (struct flight *f = fs->first; f; f = f->next) {
        f->stop = true;
        wake_all(f);
    }
    pthread_mutex_unlock(&fs->lock);
}

// Under the lock.
static struct flight *flight_find(const struct flights *fs, const struct digest *d)
{
    struct flight *f = fs->first;
    while (f && !digest_equal(&f->digest, d))
        f = f->next;
    return f;
}

bool flights_have(struct flights *fs, const struct digest *d)
{
    pthread_mutex_lock(&fs->lock);
    bool have = flight_find(fs, d) != NULL;
    pthread_mutex_unlock(&fs->lock);
    return have;
}

// Under the lock.
static int flight_start(struct flights *fs, const struct digest *d, struct flight **out)
{
    assert(!flight_find(fs, d)); // invariant 1
    if (fs->n == fs->max)
        return ERR_FULL;
    struct flight *f = mem_zalloc(sizeof *f);
    if (!f)
        return ERR_NOMEM;
    f->all = fs;
    f->digest = *d;
    wait_cond_init(&f->changed);
    wait_cond_init(&f->ended);
    f->next = fs->first;
    fs->first = f;
    fs->n++;
    *out = f;
    return 0;
}

int flight_join(struct flights *fs, const struct digest *d, enum flight_kind kind,
                struct flight **out, bool *out_leads)
{
    int rc = 0;
    pthread_mutex_lock(&fs->lock);
    struct flight *f = flight_find(fs, d);
    bool leads = !f;
    if (fs->stopping)
        rc = ERR_CANCELED;
    else if (leads)
        rc = flight_start(fs, d, &f);
    if (!rc) {
        f->n_waiters++;
        if (kind == FLIGHT_DURABLE)
            f->durable = true;
        *out = f;
        *out_leads = leads;
    }
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

static void flight_free(struct flight *f)
{
    pthread_cond_destroy(&f->ended);
    pthread_cond_destroy(&f->changed);
    free(f);
}

void flight_leave(struct flight *f)
{
    struct flights *fs = f->all;
    pthread_mutex_lock(&fs->lock);
    assert(f->n_waiters > 0);
    f->n_waiters--;
    bool last = f->n_waiters == 0;
    bool ended = f->progress.ended;
    if (last && !ended && !f->durable) // invariant 3
        f->stop = true;
    pthread_mutex_unlock(&fs->lock);
    if (last && ended)
        flight_free(f);
}

// Under the lock. Has it come further, or begun again, or ended, since `p`?
static bool has_changed(const struct flight *f, const struct flight_progress *p)
{
    const struct flight_progress *now = &f->progress;
    return now->ended != p->ended || now->bytes != p->bytes || now->n_restarts != p->n_restarts;
}

void flight_wait(struct flight *f, struct flight_progress *p, int64_t ms)
{
    struct flights *fs = f->all;
    int64_t until = clock_mono_ms() + ms;
    pthread_mutex_lock(&fs->lock);
    while (!has_changed(f, p) && !fs->stopping) {
        int64_t left = until - clock_mono_ms();
        if (left <= 0)
            break;
        wait_cond(&f->changed, &fs->lock, left);
    }
    *p = f->progress;
    pthread_mutex_unlock(&fs->lock);
}

bool flight_wait_end(struct flight *f, int64_t ms)
{
    struct flights *fs = f->all;
    int64_t until = clock_mono_ms() + ms;
    pthread_mutex_lock(&fs->lock);
    while (!f->progress.ended && !fs->stopping) {
        int64_t left = until - clock_mono_ms();
        if (left <= 0)
            break;
        wait_cond(&f->ended, &fs->lock, left);
    }
    bool ended = f->progress.ended;
    pthread_mutex_unlock(&fs->lock);
    return ended;
}

void flight_hurry(struct flight *f)
{
    f->urgent = true;
}

void flights_hurry(struct flights *fs, const struct digest *d)
{
    pthread_mutex_lock(&fs->lock);
    struct flight *f = flight_find(fs, d);
    if (f)
        flight_hurry(f);
    pthread_mutex_unlock(&fs->lock);
}

const _Atomic bool *flight_urgent(const struct flight *f)
{
    return &f->urgent;
}

const _Atomic bool *flight_stop(const struct flight *f)
{
    return &f->stop;
}

void flight_arrived(struct flight *f, uint64_t bytes)
{
    pthread_mutex_lock(&f->all->lock);
    assert(!f->progress.ended); // invariant 2
    if (bytes < f->progress.bytes)
        f->progress.n_restarts++; // invariant 4
    f->progress.bytes = bytes;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->all->lock);
}

// Under the lock.
static void flight_unlink(struct flights *fs, struct flight *f)
{
    struct flight **at = &fs->first;
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    fs->n--;
}

void flight_end(struct flight *f, int rc)
{
    struct flights *fs = f->all;
    pthread_mutex_lock(&fs->lock);
    assert(!f->progress.ended); // invariant 2
    f->progress.ended = true;
    f->progress.rc = rc;
    flight_unlink(fs, f);
    bool left = f->n_waiters == 0;
    wake_all(f);
    pthread_mutex_unlock(&fs->lock);
    if (left)
        flight_free(f);
}
