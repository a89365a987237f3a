// SPDX-License-Identifier: Apache-2.0
// Commands that rewrite the topology's text: whole sections at the margin, in place, with
// everything else and its comments as it was. What comes out is judged as a node judges it, and
// written beside and renamed, or not at all.
//
//   const struct edit_section s = {"dnssec", text};            // "" takes the section out
//   rc = edit_commit(c, &s, 1, holds, ctx);                    // an exit status, after saying why
#ifndef MERIDIAN_CLI_EDIT_H
#define MERIDIAN_CLI_EDIT_H

#include "base/digest.h"
#include "cli/cli.h"
#include "control/sections.h"

// Where the document is that is to be rewritten: the file, or, where no file is named and the node
// takes its topology from the control feed, what is in force there. c->topo is loaded from it. What
// comes out then goes to the writer, as a document that is applied, if nothing has changed
// meanwhile. With --what-if nothing is written, and EXIT_CHANGES is the status. An exit status.
int edit_begin(struct cli *c);
// For messages: the file, or "the topology in force".
const char *edit_name(const struct cli *c);
// The section that pins the serial of fe.D (`serial` 0: does not) and has the offset; "" when there
// is nothing to say. NULL: out of memory.
const char *edit_zone_serial(struct cli *c, uint64_t serial, const uint8_t content[SHA256_BYTES],
                             uint32_t offset);
// May this text, of the file that edit_begin has read, be rewritten as a document? Says why not.
bool edit_allowed(const struct cli *c, const struct buf *text);
// Rewrites the document that edit_begin has read, one version up. A pin whose content goes by this is
// made anew, so that none of old stays that could come to hold again. `holds` says whether the
// outcome is what the command meant; if not, the document is written so that its sections cannot be
// told apart.
int edit_commit(struct cli *c, const struct edit_section *list, size_t n,
                bool (*holds)(const struct topology *t, const void *ctx), const void *ctx);
// The same with the whole text as it is to be, one version up. `what` was rewritten in it. Nodes
// that have the version before must be able to take it.
int edit_commit_text(struct cli *c, const struct buf *now, const char *what,
                     bool (*holds)(const struct topology *t, const void *ctx), const void *ctx);

#endif
