// SPDX-License-Identifier: Apache-2.0
// `meridian topology`: its commands on files, one source file each, and the file that most of them
// begin with. Single-threaded.
#ifndef MERIDIAN_CLI_TOPOLOGY_H
#define MERIDIAN_CLI_TOPOLOGY_H

#include "cli/cli.h"

struct topology_loaded {
    // owned; the caller unrefs it, also where topology_load failed
    struct topology *t;
    bool compiled;
    size_t n_changes;
};

// A file with its changes: an exit status, said. One that is not EXIT_DONE may come with out->t: then
// not all changes could be taken, and the topology is without them.
int topology_load(const char *path, struct topology_loaded *out);

int topology_check(struct cli *c, int argc, char **argv);
int topology_show(struct cli *c, int argc, char **argv);
int topology_compile(struct cli *c, int argc, char **argv);
int topology_diff(struct cli *c, int argc, char **argv);
int topology_change(struct cli *c, int argc, char **argv);
int topology_pin(struct cli *c, int argc, char **argv);

#endif
