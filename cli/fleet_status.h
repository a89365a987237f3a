// SPDX-License-Identifier: Apache-2.0
// How all nodes of the fleet are, as one node has heard it: `status --all`, and what `check-health`
// says of the nodes.
#ifndef MERIDIAN_CLI_FLEET_STATUS_H
#define MERIDIAN_CLI_FLEET_STATUS_H

#include "cli/cli.h"

// Asks a node, and prints: a row a region, then what is wrong with each. EXIT_FAILED: some region was
// not reached, or has a condition that holds as down.
int fleet_status(struct cli *c);

// The first end of a node's certificates; "" when it said none. Arena.
const char *fleet_certificates_until(struct cli *c, const json_t *report);
// Its clock against the node's that was asked: "+12 ms", "" when it was not compared. Arena.
const char *fleet_clock(struct cli *c, const json_t *report);

#endif
