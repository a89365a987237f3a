// SPDX-License-Identifier: Apache-2.0
// What is below `meridian replication`, by the file that has it.
#ifndef MERIDIAN_CLI_REPLICATION_H
#define MERIDIAN_CLI_REPLICATION_H

#include "cli/cli.h"

// replication_change.c
int replication_show(struct cli *c, int argc, char **argv);
int replication_create(struct cli *c, int argc, char **argv);
int replication_update(struct cli *c, int argc, char **argv);
int replication_delete(struct cli *c, int argc, char **argv);

// replication_rows.c: rows of a registry that each of its regions is asked for.
struct replication_rows {
    // what --region is for, in the help
    const char *region_help;
    // Adds those that this region has to `all`; returns the exit status for it.
    int (*add)(struct cli *c, const struct registry *r, const struct region *at,
               const char *repository, json_t *all);
    void (*print)(struct cli *c, const json_t *all);
    // The exit status for all of them when no region failed; NULL: EXIT_DONE.
    int (*judge)(const json_t *all);
};
// With -r REGISTRY, --region and --repository; the worst exit status.
int replication_rows_run(struct cli *c, const struct replication_rows *w, int argc, char **argv);
// Each object of the document's array `name`, with the region's name, goes to `all`.
void replication_rows_take(const json_t *doc, const char *name, const struct region *at,
                           json_t *all);
const char *replication_text(const json_t *o, const char *member); // "-": none, or an empty one

#endif
