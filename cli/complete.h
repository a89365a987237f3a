// SPDX-License-Identifier: Apache-2.0
// Completion in a shell: `meridian completion SHELL` prints a script, which asks
// `meridian __complete WORD …` at each TAB. That is told all words up to the one at the cursor,
// which is the last and may be empty, and prints a candidate a line, with a tab and a description
// where there is one; the line ":files" or ":dirs" says that the shell's own are wanted. Regions,
// registries and stamps come from the topology file, if it can be read.
#ifndef MERIDIAN_CLI_COMPLETE_H
#define MERIDIAN_CLI_COMPLETE_H

#include "cli/cli.h"

#define COMPLETE_COMMAND "__complete"

int cmd_completion(struct cli *c, int argc, char **argv);
// `words` without the program and COMPLETE_COMMAND.
int complete_words(struct cli *c, int n, char **words);

#endif
