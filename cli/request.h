// SPDX-License-Identifier: Apache-2.0
// A change of the fleet, from the command line: signs the request (control/request.h), sends it to
// a node, waits for the operation and shows what became of it. Every verb's command is one call:
//
//   return cli_request(c, &(struct request){.verb = "registry update", .object = name,
//                                           .arguments = args, .show = show_registry});
//
// The row of the command has USES_CHANGE, which gives it --what-if, --if-version, --no-wait,
// --timeout, --operator, --key, --fleet, --admin and --server.
//
// Who asks: with --key FILE (MERIDIAN_OPERATOR_KEY) the request carries that operator's signature,
// and any node hands it on to the writer. Without, it goes bare to the writer's own admin socket,
// which only root can open.
//
// What comes back:
//   --what-if        the changes are shown; exit 0 nothing, 10 changes, 1 refused
//   nothing to do    said so; exit 0
//   --no-wait        the operation as it stands; exit 0
//   else             waits (progress on stderr), then `show`, or the operation if that is NULL;
//                    exit 0 Succeeded (or what `end` says), 1 Failed or Canceled, 3 when --timeout
//                    has run out
// Single-threaded.
#ifndef MERIDIAN_CLI_REQUEST_H
#define MERIDIAN_CLI_REQUEST_H

#include "cli/cli.h"

struct request {
    // as the writer's table of verbs has it: "registry update"
    const char *verb;
    // "contoso", "contoso/eastus"; "" where there is nothing to name
    const char *object;
    // an object; taken. NULL: {}
    json_t *arguments;
    // Prints what is there now, after it Succeeded: the exit status. `answer` is the writer's, with
    // the operation as it ended: {"operation":{…},"answer":{…}}; borrowed.
    int (*show)(struct cli *c, const json_t *answer, void *ctx);
    void *ctx;
    // The state that the operation is meant to end in; NULL: "Succeeded".
    const char *end;
    // What the writer notes of the change (as its what-if says it) goes to stderr, before it is
    // waited for.
    bool says_notes;
};

int cli_request(struct cli *c, const struct request *q);
// The same, unless `rc` says that the arguments could not be had: then they are released, and it is
// the status.
int cli_request_if(struct cli *c, int rc, const struct request *q);

// The whole of a command without options of its own whose only word is the object.
int cli_request_word(struct cli *c, const char *verb, int argc, char **argv);

// The same without showing anything: *out_answer is the body of the answer (new reference), with the
// operation as it ended; NULL when there is none. An exit status; what is wrong was said.
int cli_request_answer(struct cli *c, const struct request *q, json_t **out_answer);

#endif
