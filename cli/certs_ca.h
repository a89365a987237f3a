// SPDX-License-Identifier: Apache-2.0
// The command of `meridian certs` that has a file of its own. An exit status.
#ifndef MERIDIAN_CLI_CERTS_CA_H
#define MERIDIAN_CLI_CERTS_CA_H

#include "cli/cli.h"

int certs_create_ca(struct cli *c, int argc, char **argv);

#endif
