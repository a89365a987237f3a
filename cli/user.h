// SPDX-License-Identifier: Apache-2.0
// What the files of `meridian user` share. Single-threaded.
#ifndef MERIDIAN_CLI_USER_H
#define MERIDIAN_CLI_USER_H

#include "cli/cli.h"

int user_import(struct cli *c, int argc, char **argv); // user_import.c

#endif
