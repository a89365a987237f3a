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
// Fills the cells of one; what they hold lives as long as the list, or in the arena.
typedef void private_row_fn(struct cli *c, const json_t *one, const char **cells);
// A table of them, or as -o and --query want it. Takes the reference.
int private_print_list(struct cli *c, json_t *list, private_row_fn *row, const char *const *head,
                       size_t n_cols);

#endif
