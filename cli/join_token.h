// SPDX-License-Identifier: Apache-2.0
// Making a join token and showing it: for `meridian join-token create` and `meridian region replace`.
#ifndef MERIDIAN_CLI_JOIN_TOKEN_H
#define MERIDIAN_CLI_JOIN_TOKEN_H

#include "cli/cli.h"

// `valid`: as the user wrote it, or NULL. An exit status; said.
int join_token_make(struct cli *c, const char *region, const char *valid, bool replace);

#endif
