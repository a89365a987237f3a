// SPDX-License-Identifier: Apache-2.0
// Help, from the rows of commands and options.
#ifndef MERIDIAN_CLI_HELP_H
#define MERIDIAN_CLI_HELP_H

#include "cli/cli.h"

#include <stdio.h>

// Of the program: nouns and exit statuses.
void help_program(const struct cli *c, FILE *out);
// Of a noun: the commands below it.
void help_group(const struct cli *c, const struct command *cmds, size_t n, FILE *out);
// Of one command: its own options, then the shared ones that it takes, then its examples.
void help_command(const struct cli *c, const struct opt *opts, size_t n_own, size_t n_opts,
                  FILE *out);
// `meridian help [COMMAND …]`; with -o json all of it as a document.
int cmd_help(struct cli *c, int argc, char **argv);
int cmd_version(struct cli *c, int argc, char **argv);

#endif
