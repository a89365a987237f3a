// SPDX-License-Identifier: Apache-2.0
// The commands of `meridian certs` about the private CA. Exit statuses.
#ifndef MERIDIAN_CLI_CERTS_CA_H
#define MERIDIAN_CLI_CERTS_CA_H

#include "cli/cli.h"

int certs_create_ca(struct cli *c, int argc, char **argv);
int certs_roll_ca(struct cli *c, int argc, char **argv);
// A line for people about the CA that is being replaced; "" when none is, or nothing is known. Arena.
const char *certs_ca_line(struct cli *c);

#endif
