// SPDX-License-Identifier: Apache-2.0
// The node's part in private endpoints: it leaves the addresses that its edge is to answer for the
// supervisor (daemon/private_edge.h), and asks those that wait for somebody to have heard them
// (daemon/member_probes.h), where the control feed is the source.
//
//   members_init(&m, app);        // early: a topology that comes may call members_wake
//   members_leave(&m);            // once, before the edge starts
//   rc = members_start(&m);       // a thread: what changes is left anew, and the edge reloaded
//   members_stop(&m);             // before the rooms that it calls
//
// Changes that come one after the other are looked at together, MEMBERS_REST_MS later. Owned by the
// worker; `app` outlives the thread.
#ifndef MERIDIAN_DAEMON_MEMBERS_H
#define MERIDIAN_DAEMON_MEMBERS_H

#include "daemon/app.h"
#include "daemon/member_probes.h"

#include <pthread.h>

#define MEMBERS_REST_MS 250

struct members {
    struct app *app;
    struct member_probes probes;
    pthread_t thread;
    bool runs;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    // under the lock
    bool stopping, due;
    // of the thread: the edge has to be reloaded, and the supervisor does not know yet
    bool owes_reload;
};

void members_init(struct members *m, struct app *app);
void members_leave(struct members *m);
int members_start(struct members *m);
// Another topology is in force. Any thread.
void members_wake(struct members *m);
// json_t *, for this node's report: what was heard (member_probes_json); NULL: nobody waits.
void *members_report(struct members *m);
// Returns when the thread has ended. Does nothing when it does not run.
void members_stop(struct members *m);

#endif
