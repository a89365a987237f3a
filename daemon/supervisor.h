// SPDX-License-Identifier: Apache-2.0
// The supervisor: the process that an operator starts and stops. It binds the DNS ports, starts the worker without
// privileges and nginx as the edge, watches both, hands status between them, and drains on stop. It reads nothing from
// the network. If it is killed, worker and nginx die with it; if the worker dies, it ends the edge and exits.
#ifndef MERIDIAN_DAEMON_SUPERVISOR_H
#define MERIDIAN_DAEMON_SUPERVISOR_H

#include "config/node.h"
#include "daemon/paths.h"

int supervisor_run(const struct node *n, const struct paths *p, const struct identity *id); // the exit status

#endif
