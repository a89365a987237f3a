// SPDX-License-Identifier: Apache-2.0
// What makes one topology into another, row by row: what the command line sends when a document is
// applied, and what a rollback does.
//
//   rc = document_diff(in_force, file, &d);
//   if (d.frame) …                                     // sections differ: send the frame's text
//   rc = document_diff_change(&d, 0, DIFF_ALL, &text, &next);  // rows, as a change document
//   document_diff_done(&d);
//
// Both topologies outlive it. Full ones. Single-threaded.
#ifndef MERIDIAN_CONTROL_DOCUMENT_DIFF_H
#define MERIDIAN_CONTROL_DOCUMENT_DIFF_H

#include "base/arena.h"
#include "base/bytes.h"
#include "config/topology.h"
#include "control/change.h"

struct document_diff {
    struct arena arena;
    // The frames differ in more than the version. A section that machines write (sections that
    // document_section_is_machines names) and that `to` does not have is not a difference.
    bool frame;
    // sorted by name; a change with all of them, without a version
    struct change change;
};

// Sections of the frame that commands write: a document without one says nothing about it.
bool document_section_is_machines(const char *key);

// ERR_UNSUPPORTED: one of them is not in block style (document_frame); ERR_NOMEM. `out` is to be
// given to document_diff_done in any case.
int document_diff(const struct topology *from, const struct topology *to,
                  struct document_diff *out);
void document_diff_done(struct document_diff *d);
// Rows in the change, of all kinds.
size_t document_diff_rows(const struct document_diff *d);
// Appends a change document of rows `first` and later, of about `max_bytes` at most, but of one row
// at least. *out_next: the row after the last one that was written. What goes stands behind what
// comes, private endpoints behind registries (what goes, before): parts can be applied in order.
// out->err.
int document_diff_part(const struct document_diff *d, size_t first, size_t max_bytes,
                       struct buf *out, size_t *out_next);

#endif
