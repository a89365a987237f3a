// SPDX-License-Identifier: Apache-2.0
// What an apply or a rollback does, as the writer tells it: {"rows","nRows","kept","nKept","removed",
// "nRemoved","commentsLost"} (lifecycle/topology_verbs.c), one of them for each part.
#ifndef MERIDIAN_CLI_APPLY_SHOW_H
#define MERIDIAN_CLI_APPLY_SHOW_H

#include "cli/cli.h"

// Differences as `diff -u` shows them.
void apply_show_diff(const json_t *answer);
// "registry/contoso changed", one to a line.
void apply_show_rows(const json_t *answer);
// What stays though the document, or the old version, says otherwise.
void apply_show_kept(const json_t *answer);
// "3 registries go: a, b, c." NULL: none do. Arena.
const char *apply_removed(struct cli *c, const json_t *answer);

#endif
