// SPDX-License-Identifier: Apache-2.0
// A topology in force by its rows, as trees and as text: a registry, a private endpoint, the
// frame (all else). Rows are written with every member, so that two registries are the same exactly
// if their rows are.
//
//   rc = document_registry(&arena, t, "contoso", &row);      // row NULL: there is none
//   rc = document_export(t, &text);                          // the whole document
//
// Of full topologies. Any thread.
#ifndef MERIDIAN_CONTROL_DOCUMENT_ROWS_H
#define MERIDIAN_CONTROL_DOCUMENT_ROWS_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/htab.h"
#include "config/document.h"
#include "config/topology.h"
#include "control/change.h"

// ERR_NOMEM. The trees live in the arena.
int document_registry(struct arena *arena, const struct topology *t, const char *name,
                      const struct doc_node **out);
// `registry`: the one that it leads to.
int document_private(struct arena *arena, const struct topology *t, const char *registry,
                     const char *name, const struct doc_node **out);
// Rows of a change in that form.
int document_spec_registry(struct arena *arena, const struct spec_registry *row,
                           const struct doc_node **out);
int document_spec_private(struct arena *arena, const struct spec_private *row,
                          const struct doc_node **out);
// The same without its incarnation, for merging: which registry of that name a document means goes
// without saying. NULL: out of memory.
const struct doc_node *document_without_incarnation(struct arena *arena,
                                                    const struct doc_node *row);
// The frame's sections; `version` is one of them. ERR_UNSUPPORTED: the document's keys do not begin
// lines of their own.
int document_frame(struct arena *arena, const struct topology *t, const struct doc_node **out);

// Do two rows say the same? An incarnation of 0 in `b` is that of `a`.
bool document_same_registry(const struct topology *ta, const struct registry *a,
                            const struct topology *tb, const struct registry *b);
bool document_same_private(const struct topology *ta, const struct private_endpoint *a,
                           const struct topology *tb, const struct private_endpoint *b);

// Which registry each private endpoint leads to: names to the names of registries, which live as
// long as the topology. NULL: out of memory.
struct htab *document_private_owners(const struct topology *t);

// Appends the whole document: the frame as it was written, with the version in force, then every
// registry, private endpoint and reserved name. ERR_UNSUPPORTED as above; out->err.
int document_export(const struct topology *t, struct buf *out);

#endif
