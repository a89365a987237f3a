// SPDX-License-Identifier: Apache-2.0
// What the files of the supervisor share: supervisor.c (its loop and the worker), supervisor_edge.c
// (the edge) and restart.c (a new program takes over). One thread.
#ifndef MERIDIAN_DAEMON_SUPERVISOR_PRIV_H
#define MERIDIAN_DAEMON_SUPERVISOR_PRIV_H

#include "config/topology.h"
#include "daemon/handover.h"
#include "daemon/private_edge.h"
#include "daemon/service_manager.h"
#include "daemon/sockets.h"
#include "daemon/supervisor.h"
#include "daemon/supervisor_ipc.h"

// Of a restart, as the new program sees it. Until TAKE_YIELDING the old worker serves everything
// and can be kept.
enum take {
    TAKE_NONE,
    // the new worker reads its settings and begins to answer names beside the old one
    TAKE_STARTING,
    TAKE_YIELDING, // the old one stops reading, answers what it has, and closes the store
    TAKE_OPENING,  // the new one opens it
};

struct supervisor {
    const struct node *node;
    const struct paths *paths;
    const struct identity *id;
    // what a restart executes
    const char *program;
    char **argv;
    // for the edge's list of peers
    struct topology *topology;
    struct edge_peer *peers;
    // addresses of private endpoints here; looked at again at private_ms, mono
    struct private_edge private;
    int64_t private_ms;
    // private.why as the worker was told last
    char private_told[256];
    // the topology could not be written as the last good one
    bool unkept;
    // then: not before
    int64_t keep_ms;
    struct edge *edge;
    int lock_fd;
    // of the newest worker; the worker has copies of its own
    struct sockets sockets;
    // what is listened on, for a next restart: of `sockets`, or handed over
    int *fds;
    size_t n_fds;
    // then they are to be closed, too
    bool fds_handed;
    // last status sent to the worker
    struct edge_status told;
    pid_t worker;
    int ipc_fd, sig_fd;
    // due: the worker is ready
    bool edge_wanted, edge_due;
    // the worker asked for a reload; has closed its end
    bool reload_due, link_ended;
    int64_t edge_try_ms, reload_ms;
    // restart
    enum take take;
    // the new worker answers names; answers all; a worker asked for a restart
    bool serving, ready, restart_due;
    // for the old worker of the one before
    bool restart_waits;
    // a restart failed: the worker is of other settings than these, so the edge stays as it is
    bool edge_frozen;
    // 0: none, or gone
    pid_t old;
    // when it released the store
    bool writes_open;
    int old_link;
    int64_t take_until_ms, restart_ms;
    struct service_manager manager;
};

int supervisor_start_worker(struct supervisor *s, bool beside);

struct edge_confine supervisor_edge_confine(const struct supervisor *s);
void supervisor_edge_apply(struct supervisor *s); // starts it, or reloads it by what stands now
void supervisor_edge_turn(struct supervisor *s); // from the loop: what is due, and tells the worker

void supervisor_log_diag(struct diag *d);
bool supervisor_reap(pid_t pid, int *out_status); // has this child ended?

// at start; h's memory stays the caller's
int restart_take(struct supervisor *s, struct handover *h);
void restart_request(struct supervisor *s);     // returns when it was refused: all is as before
void restart_turn(struct supervisor *s);        // from the loop, while something is under way
void restart_worker_died(struct supervisor *s); // in TAKE_STARTING: the old one goes on

#endif
