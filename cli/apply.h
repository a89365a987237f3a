// SPDX-License-Identifier: Apache-2.0
// `meridian apply FILE`, and what `topology rollback` shares with it.
#ifndef MERIDIAN_CLI_APPLY_H
#define MERIDIAN_CLI_APPLY_H

#include "cli/cli.h"
#include "cli/request.h"

#include <stdio.h>

int cmd_apply(struct cli *c, int argc, char **argv);

// The first line of a document that was exported: "# exported at version 41". Apply compares an
// edited one with that version.
#define EXPORT_MARK "# exported at version "
// Its version, and how long the line is; 0: there is none.
uint64_t export_mark_read(const char *text, size_t *out_n);

// The document that the node has in force, as text; of a version (0: now). Exit status; what is
// wrong was said.
int cli_in_force_text(struct cli *c, uint64_t version, struct buf *out);

// Asks for the verb as a what-if. `arguments` is borrowed. *out: {"whatIf","answer"}, a new
// reference, NULL when it was refused.
int change_preview(struct cli *c, const char *verb, const json_t *arguments, json_t **out);
// The same in earnest; *out: {"operation","answer"}.
int change_make(struct cli *c, const char *verb, const json_t *arguments, json_t **out);
// "version 43 is in force; westeurope takes it when it is back" of an operation.
void change_show_end(struct cli *c, const json_t *operation);
// What the writer noted: what goes, and what goes through no stages. `notes` may be NULL.
void change_show_notes(FILE *to, const json_t *notes);

#endif
