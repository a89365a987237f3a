// SPDX-License-Identifier: Apache-2.0
// `meridian private-endpoint export-zone`: the private names of a view in the words of another resolver
// of that network (GET /v1/private-zone: the node's own answers). In private_endpoint.c's group.
#ifndef MERIDIAN_CLI_PRIVATE_ZONE_H
#define MERIDIAN_CLI_PRIVATE_ZONE_H

#include "cli/cli.h"

int private_export_zone(struct cli *c, int argc, char **argv);

#endif
