// SPDX-License-Identifier: Apache-2.0
// All commands and their options, as they declare them: each row is run with `c->declared` set, in
// which case opt_parse and command_group note what they are given and do nothing. Help, completion,
// the man page and the test that walks all commands read this and nothing else.
//
//   struct declared *all = declared_all(c);      // once; lives in the arena
//   for (size_t i = 0; i < all->n; i++)
//       puts(all->v[i].path);
#ifndef MERIDIAN_CLI_DECLARED_H
#define MERIDIAN_CLI_DECLARED_H

#include "cli/cli.h"

#define DECLARED_MAX 256

struct declared_command {
    // "token credential generate"
    const char *path;
    struct command row;
    // it is a noun with commands below it, and has no options
    bool group;
    // its own first, then the shared ones that it takes
    const struct opt *opts;
    size_t n_own, n_opts;
};

struct declared {
    // groups before what is below them
    struct declared_command v[DECLARED_MAX];
    size_t n;
};

struct declared *declared_all(struct cli *c);
// By path; NULL: there is none.
const struct declared_command *declared_find(struct cli *c, const char *path);
// For opt_parse and command_group.
void declared_leaf(struct cli *c, const struct opt *opts, size_t n_own, size_t n_opts);
void declared_group(struct cli *c, const struct command *cmds, size_t n);

#endif
