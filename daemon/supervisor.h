// SPDX-License-Identifier: Apache-2.0
// The supervisor: the process that an operator starts and stops. It opens the listening sockets,
// starts the worker without privileges and nginx as the edge, watches both, tells each how the
// other is, and drains both on stop. It reads nothing from the network. If it is killed, worker and
// nginx die with it; if the worker dies, it ends the edge and exits. On SIGUSR2 it becomes the
// program that now stands at its path (daemon/restart.c).
#ifndef MERIDIAN_DAEMON_SUPERVISOR_H
#define MERIDIAN_DAEMON_SUPERVISOR_H

#include "config/node.h"
#include "daemon/handover.h"
#include "daemon/paths.h"

struct supervisor_options {
    const struct node *node;
    const struct paths *paths;
    const struct identity *id;
    // its own path
    const char *program;
    // its own arguments
    char **argv;
    // NULL: a first start
    struct handover *handover;
};

int supervisor_run(const struct supervisor_options *o); // the exit status

#endif
