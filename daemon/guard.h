// SPDX-License-Identifier: Apache-2.0
// The node's guard for addresses that users name (net/outbound.h): with what the node's file allows,
// and what it must know of this registry itself.
#ifndef MERIDIAN_DAEMON_GUARD_H
#define MERIDIAN_DAEMON_GUARD_H

#include "base/snapshot.h"
#include "config/node.h"
#include "net/outbound.h"

struct guard { // embedded in the worker
    const struct node *node;
    struct snapshot *topology;
    struct outbound *outbound;
};

// Node and topology outlive it. Says in the log what it cannot judge. outbound_free ends it.
int guard_start(struct guard *g, const struct node *node, struct snapshot *topology);

#endif
