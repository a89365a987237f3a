// SPDX-License-Identifier: Apache-2.0
// See housekeeping.h. One thread, one lock: the lock covers `stopping` and `identity_due`; all else
// belongs to the thread once it runs.
#include "daemon/housekeeping.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "daemon/auditing.h"
#include "daemon/headroom.h"
#include "daemon/joining.h"
#include "daemon/judge.h"
#include "net/refusals.h"

#include <assert.h>
#include <errno.h>

#define VITALS_EVERY_MS 2000

void housekeeping_init(struct housekeeping *h, struct app *app)
{
    *h = (struct housekeeping){.app = app};
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->wake, &attr);
    pthread_condattr_destroy(&attr);
}

static unsigned headroom(const struct housekeeping *h)
{
    struct load l = {.waiting = pool_waiting(h->app->pool),
                     .waiting_max = h->app->node->pool_queue,
                     .active_max = h->requests_max};
    if (h->requests)
        l.active = http_server_active(h->requests);
    struct space_view disk;
    app_disk_get(h->app, &disk);
    l.disk_room_bytes = disk.room_bytes;
    l.disk_bytes = disk.disk.total_bytes;
    headroom_measure(&l);
    return headroom_percent(&l);
}

void housekeeping_judge(struct housekeeping *h)
{
    struct app *app = h->app;
    judge_store(app);
    judge_blobs(app);
    judge_agreement(app);
    judge_token_signing(app);
    app_judge_writes(app);
    judge_clocks(app);
    auditing_judge(app);
    joining_judge(app);
    judge_issuers(app);
    judge_fleet(app);
    judge_orders(app);
    atomic_store(&app->vitals->headroom, headroom(h));
    atomic_store(&app->vitals->checked_ms, clock_wall_ms());
    if (clock_mono_ms() < h->identity_at_ms)
        return;
    h->identity_at_ms = clock_mono_ms() + JUDGE_EVERY_MS;
    judge_identity(app);
}

// True: the thread must end.
static bool wait_for_work(struct housekeeping *h)
{
    int64_t until_us = clock_mono_us() + VITALS_EVERY_MS * 1000;
    struct timespec ts = {until_us / 1000000, until_us % 1000000 * 1000};
    int rc = 0;
    pthread_mutex_lock(&h->lock);
    while (!h->stopping && !h->identity_due && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&h->wake, &h->lock, &ts);
    bool stop = h->stopping;
    if (h->identity_due)
        h->identity_at_ms = 0;
    h->identity_due = false;
    pthread_mutex_unlock(&h->lock);
    return stop;
}

static void discard_idle_uploads(struct app *app)
{
    size_t n = 0;
    int rc = registry_uploads_expire(app->registry, (int64_t)app->node->upload_idle_s * 1000, &n);
    if (rc)
        log_warn("daemon: idle uploads could not be discarded: %s", err_text(rc));
    else if (n)
        log_info("daemon: discarded %zu idle uploads", n);
}

static void *housekeeping_main(void *ctx)
{
    struct housekeeping *h = ctx;
    int64_t expire_at = clock_mono_ms();
    while (!wait_for_work(h)) {
        housekeeping_judge(h);
        refusals_tell();
        if (!h->app->registry)
            continue;
        registry_uploads_rest(h->app->registry);
        if (clock_mono_ms() < expire_at)
            continue;
        expire_at = clock_mono_ms() + registry_uploads_sweep_ms(h->app->node->upload_idle_s);
        discard_idle_uploads(h->app);
    }
    return NULL;
}

int housekeeping_start(struct housekeeping *h)
{
    assert(!h->runs);
    if (pthread_create(&h->thread, NULL, housekeeping_main, h))
        return ERR_NOMEM;
    h->runs = true;
    return 0;
}

void housekeeping_wake(struct housekeeping *h)
{
    pthread_mutex_lock(&h->lock);
    h->identity_due = true;
    pthread_cond_broadcast(&h->wake);
    pthread_mutex_unlock(&h->lock);
}

void housekeeping_stop(struct housekeeping *h)
{
    if (!h->runs)
        return;
    pthread_mutex_lock(&h->lock);
    h->stopping = true;
    pthread_cond_broadcast(&h->wake);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->thread, NULL);
    h->runs = false;
}
