// SPDX-License-Identifier: Apache-2.0
// The life of the fleet's threads; see fleet.h.
#include "fleet/fleet_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/thread.h"
#include "base/wait.h"
#include "control/feed.h"

#define REPORTS_EVERY_MS 5000

int fleet_new(const struct fleet_options *o, struct fleet **out)
{
    struct fleet *fl = mem_zalloc(sizeof *fl);
    if (!fl)
        return ERR_NOMEM;
    fl->o = *o;
    if (!fl->o.every_ms)
        fl->o.every_ms = REPORTS_EVERY_MS;
    if (!fl->o.beat_ms)
        fl->o.beat_ms = FLEET_BEAT_MS;
    if (!fl->o.silent_ms)
        fl->o.silent_ms = FLEET_SILENT_MS;
    fl->caller = (struct fleet_caller){.fetcher = o->fetcher,
                                       .ca_file = o->ca_file,
                                       .peer_pem = o->peer_pem,
                                       .region = o->region,
                                       .stop = &fl->stopping,
                                       .dial_socket = o->dial_socket,
                                       .dial_ctx = o->dial_ctx};
    pthread_mutex_init(&fl->lock, NULL);
    wait_cond_init(&fl->wake);
    pthread_mutex_init(&fl->carry_lock, NULL);
    wait_cond_init(&fl->carry_wake);
    reports_init(&fl->reports);
    for (unsigned i = 0; i < 2; i++)
        fl->lanes[i] = (struct lane){.fl = fl, .index = i};
    if (o->feed)
        fl->fresh_path = mem_printf("%s/fleet.fresh", o->state_dir);
    if (o->feed && !fl->fresh_path) {
        fleet_free(fl);
        return ERR_NOMEM;
    }
    if (o->feed)
        fleet_words_open(fl);
    *out = fl;
    return 0;
}

static int carrying_start(struct fleet *fl)
{
    fl->words.heard.began_ms = clock_mono_ms();
    int rc = control_feed_tell(fl->o.feed, fleet_carrier_poke, fl);
    if (!rc)
        rc = thread_start(&fl->carrier, fleet_carrier_main, fl);
    fl->carrier_runs = rc == 0;
    for (size_t i = 0; !rc && i < 2; i++) {
        rc = thread_start(&fl->lanes[i].thread, fleet_lane_main, &fl->lanes[i]);
        fl->lanes[i].runs = rc == 0;
    }
    return rc;
}

int fleet_start(struct fleet *fl)
{
    int rc = 0;
    if (fl->o.feed)
        rc = carrying_start(fl);
    if (!rc)
        rc = thread_start(&fl->watch, fleet_watch_main, fl);
    fl->watch_runs = rc == 0;
    return rc;
}

static void join(pthread_t thread, bool *runs)
{
    if (*runs)
        pthread_join(thread, NULL);
    *runs = false;
}

void fleet_stop(struct fleet *fl)
{
    if (!fl || atomic_exchange(&fl->stopping, true))
        return;
    if (fl->o.feed)
        control_feed_untell(fl->o.feed, fleet_carrier_poke, fl);
    pthread_mutex_lock(&fl->lock);
    for (size_t i = 0; i < 2; i++)
        atomic_store(&fl->lanes[i].give_up, true);
    pthread_cond_broadcast(&fl->wake);
    pthread_mutex_unlock(&fl->lock);
    fleet_carrier_poke(fl);
    join(fl->watch, &fl->watch_runs);
    for (size_t i = 0; i < 2; i++)
        join(fl->lanes[i].thread, &fl->lanes[i].runs);
    join(fl->carrier, &fl->carrier_runs);
    if (fl->o.feed)
        fleet_words_close(fl);
}

void fleet_free(struct fleet *fl)
{
    if (!fl)
        return;
    fleet_stop(fl);
    fleet_polls_drop(fl);
    reports_done(&fl->reports);
    free(fl->fresh_path);
    pthread_cond_destroy(&fl->carry_wake);
    pthread_mutex_destroy(&fl->carry_lock);
    pthread_cond_destroy(&fl->wake);
    pthread_mutex_destroy(&fl->lock);
    free(fl);
}
