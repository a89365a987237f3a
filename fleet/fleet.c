// SPDX-License-Identifier: Apache-2.0
// The life of the fleet's threads; see fleet.h.
#include "fleet/fleet_priv.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/thread.h"
#include "base/wait.h"

#define REPORTS_EVERY_MS 5000

int fleet_new(const struct fleet_options *o, struct fleet **out)
{
    struct fleet *fl = mem_zalloc(sizeof *fl);
    if (!fl)
        return ERR_NOMEM;
    fl->o = *o;
    if (!fl->o.every_ms)
        fl->o.every_ms = REPORTS_EVERY_MS;
    fl->caller = (struct fleet_caller){.fetcher = o->fetcher,
                                       .ca_file = o->ca_file,
                                       .peer_pem = o->peer_pem,
                                       .region = o->region,
                                       .stop = &fl->stopping,
                                       .dial_socket = o->dial_socket,
                                       .dial_ctx = o->dial_ctx};
    pthread_mutex_init(&fl->lock, NULL);
    wait_cond_init(&fl->wake);
    reports_init(&fl->reports);
    *out = fl;
    return 0;
}

int fleet_start(struct fleet *fl)
{
    int rc = thread_start(&fl->watch, fleet_watch_main, fl);
    fl->watch_runs = rc == 0;
    return rc;
}

void fleet_stop(struct fleet *fl)
{
    if (!fl)
        return;
    pthread_mutex_lock(&fl->lock);
    atomic_store(&fl->stopping, true);
    pthread_cond_broadcast(&fl->wake);
    pthread_mutex_unlock(&fl->lock);
    if (fl->watch_runs)
        pthread_join(fl->watch, NULL);
    fl->watch_runs = false;
}

void fleet_free(struct fleet *fl)
{
    if (!fl)
        return;
    fleet_stop(fl);
    reports_done(&fl->reports);
    pthread_cond_destroy(&fl->wake);
    pthread_mutex_destroy(&fl->lock);
    free(fl);
}

bool fleet_rest(struct fleet *fl, int64_t ms)
{
    pthread_mutex_lock(&fl->lock);
    if (!atomic_load(&fl->stopping))
        wait_cond(&fl->wake, &fl->lock, ms);
    bool stopping = atomic_load(&fl->stopping);
    pthread_mutex_unlock(&fl->lock);
    return stopping;
}
