// SPDX-License-Identifier: Apache-2.0
// The worker: the process that does the work, without privileges. Wires the rooms together in the
// order in which they depend on each other, and takes them apart in the reverse order.
#ifndef MERIDIAN_DAEMON_WORKER_H
#define MERIDIAN_DAEMON_WORKER_H

#include "config/node.h"
#include "daemon/paths.h"
#include "daemon/sockets.h"

// Runs until SIGTERM, or until the supervisor tells it to yield or is gone. `sockets` is taken
// over. `beside`: a forerunner still serves; names are answered at once, the rest when the
// supervisor says that it is alone. Returns the exit status of the process.
int worker_run(const struct node *n, const struct paths *p, const struct identity *id,
               struct sockets *sockets, int ipc_fd, bool beside);

#endif
