// SPDX-License-Identifier: Apache-2.0
// What is below `meridian replication`, by the file that has it.
#ifndef MERIDIAN_CLI_REPLICATION_H
#define MERIDIAN_CLI_REPLICATION_H

#include "cli/cli.h"

// replication_change.c
int replication_show(struct cli *c, int argc, char **argv);
int replication_create(struct cli *c, int argc, char **argv);
int replication_update(struct cli *c, int argc, char **argv);
int replication_delete(struct cli *c, int argc, char **argv);

#endif
