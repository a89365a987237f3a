// SPDX-License-Identifier: Apache-2.0
// What the files of this room share. See fleet.h.
#ifndef MERIDIAN_FLEET_FLEET_PRIV_H
#define MERIDIAN_FLEET_FLEET_PRIV_H

#include "fleet/call.h"
#include "fleet/fleet.h"
#include "fleet/reports.h"

#include <pthread.h>
#include <stdatomic.h>

struct fleet {
    struct fleet_options o;
    struct fleet_caller caller;
    _Atomic bool stopping;
    // wakes threads that rest
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct reports reports;
    // asks for reports (watch.c)
    pthread_t watch;
    bool watch_runs;
};

// Rests on the calling thread; returns at once on stop. True: stopping.
bool fleet_rest(struct fleet *fl, int64_t ms);

void *fleet_watch_main(void *fleet);

#endif
