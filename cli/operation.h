// SPDX-License-Identifier: Apache-2.0
// Operations, as the writer records them: {"id","verb","object","by","from","to","state","phases",
// "created","updated","error","later"}. Every node has the record; a node that is asked may be a
// little behind.
#ifndef MERIDIAN_CLI_OPERATION_H
#define MERIDIAN_CLI_OPERATION_H

#include "cli/cli.h"

// The operation when it has ended, with what goes on told on a terminal. A node that does not
// answer meanwhile is asked again. EXIT_DONE: it ended as `wanted` (NULL: "Succeeded"); EXIT_FAILED:
// otherwise; EXIT_NOT_YET: the time is over; said. *out: new reference, NULL if nothing was heard.
int cli_operation_wait(struct cli *c, const char *id, const char *wanted, int64_t timeout_ms,
                       json_t **out);
// One of them, whole. Takes the reference.
int cli_operation_print(struct cli *c, json_t *operation);
// "public-dns, waits for westeurope"; "" when none runs. Arena.
const char *operation_phase(struct cli *c, const json_t *operation);

int cmd_operation(struct cli *c, int argc, char **argv);

#endif
