// SPDX-License-Identifier: Apache-2.0
// What the service manager (systemd, podman) hears of this node, by base/notify.h: whether it is up,
// what it is at, and that it is alive. The supervisor owns it, on its only thread, and shows it the
// state of things in each turn; what is told, and when, is decided here.
//
//   READY=1      once all is served: names by the worker, the rest by the edge. An edge that cannot
//                start holds that up for half a minute only, so that nobody takes a node down that
//                answers names; STATUS says what is wrong with it.
//   RELOADING=1  SIGHUP, and a restart in the same process; READY=1 ends it, whether it succeeded.
//   STOPPING=1   with the time that a stop may take, so that it need not be in two settings.
//   STATUS=      one line for people, sent when it changes.
//   WATCHDOG=1   four times in the interval, as long as the worker's main thread answers.
#ifndef MERIDIAN_DAEMON_SERVICE_MANAGER_H
#define MERIDIAN_DAEMON_SERVICE_MANAGER_H

#include "base/notify.h"

#include <stdbool.h>
#include <stdint.h>

enum service_phase {
    SERVICE_STARTING, // the worker does not serve yet
    SERVICE_SERVING,
    SERVICE_RESTARTING, // another program takes over
};

struct service_state {
    enum service_phase phase;
    const char *region, *stamp;
    bool edge_wanted, edge_runs;
    // why it does not, "" when nobody knows
    const char *edge_error;
};

struct service_manager {
    struct notify to;
    bool told_ready, reloading;
    // since when names are answered; 0: not yet. mono
    int64_t serving_ms;
    // when the worker is asked next, mono
    int64_t ask_ms;
    // this worker has answered; one of a version before this does not
    bool answers;
    char status[600];
};

// `restarted`: this program took over from another one, which told of a reload. A socket that
// cannot be used is logged, and nothing is told.
void service_manager_init(struct service_manager *m, bool restarted);
// In each turn of the supervisor's loop.
void service_manager_turn(struct service_manager *m, const struct service_state *s, int64_t now_ms);
// A reload begins; the turn after it, or after the restart, ends it.
void service_manager_reloading(struct service_manager *m, const char *what);
// It ends within `within_ms`; why: NULL when it was told to.
void service_manager_stopping(struct service_manager *m, const char *why, int64_t within_ms);
// It could not start.
void service_manager_failed(struct service_manager *m, const char *why);

// ---- watchdog: asks for a sign of life of the worker, and passes it on

// True: ask the worker now (IPC_PING). One that has never answered is vouched for.
bool service_manager_ask(struct service_manager *m, int64_t now_ms);
void service_manager_answered(struct service_manager *m);
// While the supervisor itself is busy with something that it bounds.
void service_manager_vouch(struct service_manager *m, int64_t now_ms);
void service_manager_other_worker(struct service_manager *m);

#endif
