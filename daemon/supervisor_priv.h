// SPDX-License-Identifier: Apache-2.0
// What the files of the supervisor share: supervisor.c (its loop, edge and worker) and restart.c (a new program takes
// over). One thread.
#ifndef MERIDIAN_DAEMON_SUPERVISOR_PRIV_H
#define MERIDIAN_DAEMON_SUPERVISOR_PRIV_H

#include "config/topology.h"
#include "daemon/handover.h"
#include "daemon/sockets.h"
#include "daemon/supervisor.h"
#include "daemon/supervisor_ipc.h"

// Of a restart, as the new program sees it. Until TAKE_YIELDING the old worker serves everything and can be kept.
enum take {
    TAKE_NONE,
    TAKE_STARTING, // the new worker reads its settings and begins to answer names beside the old one
    TAKE_YIELDING, // the old one stops reading, answers what it has, and closes the store
    TAKE_OPENING,  // the new one opens it
};

struct supervisor {
    const struct node *node;
    const struct paths *paths;
    const struct identity *id;
    const char *program; // what a restart executes
    char **argv;
    struct topology *topology; // for the edge's list of peers
    struct edge_peer *peers;
    bool unkept;     // the topology could not be written as the last good one
    int64_t keep_ms; // then: not before
    struct edge *edge;
    int lock_fd;
    struct sockets sockets; // of the newest worker; the worker has copies of its own
    int *fds;               // what is listened on, for a next restart: of `sockets`, or handed over
    size_t n_fds;
    bool fds_handed;         // then they are to be closed, too
    struct edge_status told; // last status sent to the worker
    pid_t worker;
    int ipc_fd, sig_fd;
    bool edge_wanted, edge_due;  // due: the worker is ready
    bool reload_due, link_ended; // the worker asked for a reload; has closed its end
    int64_t edge_try_ms, reload_ms;
    // restart
    enum take take;
    bool serving, ready, restart_due; // the new worker answers names; answers all; a worker asked for a restart
    bool restart_waits;               // for the old worker of the one before
    bool edge_frozen; // a restart failed: the worker is of other settings than these, so the edge stays as it is
    pid_t old;        // 0: none, or gone
    bool writes_open; // when it released the store
    int old_link;
    int64_t take_until_ms, restart_ms;
};

int supervisor_start_worker(struct supervisor *s, bool beside);
struct edge_confine supervisor_edge_confine(const struct supervisor *s);
void supervisor_log_diag(struct diag *d);
bool supervisor_reap(pid_t pid, int *out_status); // has this child ended?

int restart_take(struct supervisor *s, struct handover *h); // at start; h's memory stays the caller's
void restart_request(struct supervisor *s);                 // returns when it was refused: all is as before
void restart_turn(struct supervisor *s);                    // from the loop, while something is under way
void restart_worker_died(struct supervisor *s);             // in TAKE_STARTING: the old one goes on

#endif
