// SPDX-License-Identifier: Apache-2.0
// Commands of `meridian identities` that have a file of their own. Exit statuses.
#ifndef MERIDIAN_CLI_IDENTITIES_H
#define MERIDIAN_CLI_IDENTITIES_H

#include "cli/cli.h"

int identities_add(struct cli *c, int argc, char **argv);

#endif
