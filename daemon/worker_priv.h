// SPDX-License-Identifier: Apache-2.0
// What the worker's files share: its parts, how they start (worker_start.c, worker_rooms.c), what they
// tell each other (worker_told.c) and how they stop (worker_stop.c). The order of starting and
// stopping is worker.c's. All runs on the main thread unless a member says otherwise.
#ifndef MERIDIAN_DAEMON_WORKER_PRIV_H
#define MERIDIAN_DAEMON_WORKER_PRIV_H

#include "base/diag.h"
#include "control/feed.h"
#include "daemon/app.h"
#include "daemon/guard.h"
#include "daemon/housekeeping.h"
#include "daemon/members.h"
#include "daemon/retention.h"
#include "daemon/retire.h"
#include "daemon/sockets.h"
#include "net/tunnel.h"

struct worker {
    const struct node *node;
    const struct paths *paths;
    const struct identity *id;
    int ipc_fd;
    struct app app;
    struct vitals vitals;
    struct snapshot topology, principals, verdicts, frontend;
    struct signing *signing;
    // of fe.D; set once it runs
    _Atomic(struct zone_maintainer *) zone_maintainer;
    // app.keys, to be freed
    struct region_keys *keys;
    // app.outbound
    struct guard guard;
    // set once it runs: commits come from the writer thread before that
    _Atomic(struct replicator *) replicator;
    // held by who takes a reference of it, and by who takes it away
    pthread_mutex_t replicator_lock;
    // what the registry asks of it
    struct elsewhere others;
    // app.tasks, once it runs
    _Atomic(struct task_runner *) tasks;
    struct retention retention;
    struct retire retire;
    // those not handed to a room yet
    struct sockets *sockets;
    // set before the replicator starts, which tells of silence
    struct tunnels *tunnels;
    struct http_server *public_server, *peer_server, *admin_server, *metrics_server;
    // of the admin listener; NULL without one
    struct http_server *operator_server;
    struct pool *operator_pool;
    struct housekeeping housekeeping;
    struct members members;
    // the main thread's
    bool ready, edge_runs, told_up;
    // a forerunner still ends what it has begun
    bool beside;
    // it handed the store over with writes open
    bool continues;
    // mono; 0: no successor
    int64_t yield_ms;
};

// ---- starting: 0 or a negative code, with sentences for a human in the diag. After a failure
// worker_stop ends what was started.

// What only reads, and so can run beside a forerunner.
int worker_start_answering(struct worker *w, struct diag *d);
// What one process alone has open.
int worker_start_rooms(struct worker *w, struct diag *d);
int worker_start_servers(struct worker *w);

// ---- what rooms tell each other: callbacks of theirs, whose context is the worker

void worker_on_commit(void *ctx);
void worker_on_away(void *ctx, const char *region, bool away);
void worker_on_lost(void *ctx, const char *registry, const char *repository,
                    const struct digest *d);
void worker_on_fault(void *ctx, const char *label);
int worker_clock_ok(void *ctx, char *why, size_t cap);
enum control_clock worker_feed_clock(void *ctx, char *why, size_t cap);
void worker_clock_suspected(void *ctx, const char *region, char *out, size_t cap);
void worker_orders_of(void *ctx, const char *region, const char *label, char *out, size_t cap);
void worker_reload_edge(void *ctx);
void worker_leave_frame(struct worker *w);
void worker_on_topology(void *ctx, bool frame);

// others.c: the context is the worker
extern const struct elsewhere_ops worker_others;

// ---- stopping

// `yields`: a successor waits for the store, and what it need not have goes on for a while.
void worker_stop(struct worker *w, bool yields);

#endif
