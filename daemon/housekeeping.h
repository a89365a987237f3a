// SPDX-License-Identifier: Apache-2.0
// The node's housekeeping: every 2 s a thread of its own judges how the node is (daemon/judge.h,
// daemon/headroom.h), closes uploads that rest too long, and reports refusals that were not logged
// one by one.
//
//   housekeeping_init(&h, app);     // early: rooms that start may call housekeeping_wake
//   housekeeping_judge(&h);         // once, on the starting thread, before anybody can ask
//   rc = housekeeping_start(&h);
//   housekeeping_stop(&h);          // before the rooms that it calls
//
// Owned by the worker; `app` and the server outlive the thread.
#ifndef MERIDIAN_DAEMON_HOUSEKEEPING_H
#define MERIDIAN_DAEMON_HOUSEKEEPING_H

#include "daemon/app.h"

#include <pthread.h>

struct housekeeping {
    struct app *app;
    // whose requests count against the headroom; NULL until it runs
    struct http_server *requests;
    unsigned requests_max;
    pthread_t thread;
    bool runs;
    // when the node's identity is judged next, mono; the thread's own
    int64_t identity_at_ms;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    // under the lock
    bool stopping, identity_due;
};

void housekeeping_init(struct housekeeping *h, struct app *app);
void housekeeping_judge(struct housekeeping *h);
int housekeeping_start(struct housekeeping *h);
// Judges at once, the identity too: another topology may name other keys. Any thread.
void housekeeping_wake(struct housekeeping *h);
// Returns when the thread has ended. Does nothing when it does not run.
void housekeeping_stop(struct housekeeping *h);

#endif
