// SPDX-License-Identifier: Apache-2.0
// What the commands of users, named tokens and scope maps share: they read the principals, and change
// them by verbs (control/principals_change.h), where they are kept:
//
//   - in the file of --principals, or beside the topology: it is rewritten, whole and atomically,
//     0600; nodes that watch it follow within a second
//   - at the writer of a fleet whose nodes have the feed as their source: a request (cli/request.h)
//
// With --principals it is that file; with --server, --key or where the node whose admin socket is
// here says that its source is the feed, it is the fleet; else the file beside the topology.
//
//   const struct principals_call q = {.noun = "user", .word = "delete", .object = name, .path = path};
//   return principals_call(c, &q);
//
// Passwords are hashed here, and their hashes sent; nobody's hash is read. Single-threaded.
#ifndef MERIDIAN_CLI_PRINCIPALS_CALL_H
#define MERIDIAN_CLI_PRINCIPALS_CALL_H

#include "cli/cli.h"

struct principals_call {
    // of the verb: "token", "credential generate"
    const char *noun, *word;
    const char *object;
    // an object, taken; NULL: {}
    json_t *arguments;
    // --principals; NULL
    const char *path;
    // a verb that may make the file
    bool may_be_new;
    // once it is done, says the rest on stdout; the sentence of what was done goes to stderr then
    int (*show)(struct cli *c, void *ctx);
    void *ctx;
};

// The row that all of them have.
#define PRINCIPALS_OPT(to)                                                                      \
    {                                                                                           \
        0, "principals", "FILE", "the file (default: beside the topology, or the fleet's)", to, \
            NULL                                                                                \
    }

// "principals.yaml" beside the topology. Arena.
const char *principals_default_path(struct cli *c);
// Are they the fleet's? *out; an exit status, after saying what is wrong.
int principals_are_fleets(struct cli *c, const char *path, bool *out);
// An exit status; says what was done, or what is wrong.
int principals_call(struct cli *c, const struct principals_call *q);
// principals_view of what is there: a new reference. `may_be_absent`: without a file an empty one.
int principals_read(struct cli *c, const char *path, bool may_be_absent, json_t **out);

// Is it a registry of the topology, as far as that can be read? A grant on a misspelt one would never
// be noticed. False: said. The writer of a fleet asks by itself.
bool principals_registry_known(struct cli *c, const char *name);
// A text argument, where it was given.
void principals_argument(json_t *arguments, const char *name, const char *value);
// Texts of an array, with commas between them. Arena.
const char *principals_joined(struct cli *c, const json_t *list);

#endif
