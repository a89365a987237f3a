// SPDX-License-Identifier: Apache-2.0
// Options before the words of a command: `meridian -o json registry show contoso`.
#ifndef MERIDIAN_CLI_ARRANGE_H
#define MERIDIAN_CLI_ARRANGE_H

#include "cli/cli.h"

// argv with the words that name the command first, and all else behind them in its order. The
// arena's, NULL-terminated, as long as argv. Which options take a value is known from all commands
// that the words so far may still be; when those disagree, the words must come first: NULL, said.
char **arrange_words(struct cli *c, int argc, char **argv);

#endif
