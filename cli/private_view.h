// SPDX-License-Identifier: Apache-2.0
// Private endpoints and their connections as a node has them (GET /v1/private-endpoints), printed: for
// private_endpoint.c and private_connection.c. Functions give an exit status, said.
#ifndef MERIDIAN_CLI_PRIVATE_VIEW_H
#define MERIDIAN_CLI_PRIVATE_VIEW_H

#include "cli/cli.h"

// The one of that name: *out is a new reference. `registry` NULL: of any. EXIT_UNKNOWN.
int private_get(struct cli *c, const char *name, const char *registry, json_t **out);
// Those of a registry and of a view (NULL: all): a list, a new reference.
int private_get_all(struct cli *c, const char *registry, const char *view, json_t **out);
// One as lines and tables, or as -o and --query want it. Takes the reference.
int private_print(struct cli *c, json_t *doc);
// The name that its option or the only word gives.
int private_word(struct cli *c, const char *given, int argc, char **argv, const char **out);

#endif
