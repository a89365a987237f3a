// SPDX-License-Identifier: Apache-2.0
// What `meridian topology` asks of a node: the document in force, its history, and the way back.
#ifndef MERIDIAN_CLI_TOPOLOGY_FLEET_H
#define MERIDIAN_CLI_TOPOLOGY_FLEET_H

#include "cli/cli.h"

extern const struct command topology_export_cmd, topology_history_cmd, topology_rollback_cmd;

#endif
