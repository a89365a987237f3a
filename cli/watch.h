// SPDX-License-Identifier: Apache-2.0
// --watch: the command is run again and again, in a process of its own, and what it prints
// is shown when that has changed. On a terminal in the place of what stood there, else below it.
#ifndef MERIDIAN_CLI_WATCH_H
#define MERIDIAN_CLI_WATCH_H

#include "cli/cli.h"

// Returns 0 in each of those processes, where the command goes on as without --watch. The process
// that was started stays here until it is interrupted, or `looks` times (0: for ever), and ends
// with the status of the last one; at once, if the first one fails and prints nothing. EXIT_USAGE: said why it cannot be.
int watch_begin(struct cli *c, int64_t every_ms, int64_t looks);

#endif
