// SPDX-License-Identifier: Apache-2.0
// What the commands of `meridian user` share. Single-threaded.
#ifndef MERIDIAN_CLI_USER_H
#define MERIDIAN_CLI_USER_H

#include "cli/cli.h"
#include "config/principals.h"

// Words of --registry, --repositories and --actions; the two lists are cut up. An exit status, after
// saying what is wrong.
int user_grant_parse(struct cli *c, const char *registry, char *repositories, char *actions,
                     struct grant *out);

int user_import(struct cli *c, int argc, char **argv); // user_import.c

#endif
