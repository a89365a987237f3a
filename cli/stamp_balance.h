// SPDX-License-Identifier: Apache-2.0
// `meridian stamp balance`, which `meridian stamp` has as a row. Single-threaded.
#ifndef MERIDIAN_CLI_STAMP_BALANCE_H
#define MERIDIAN_CLI_STAMP_BALANCE_H

#include "cli/cli.h"

int stamp_balance(struct cli *c, int argc, char **argv);

#endif
