// SPDX-License-Identifier: Apache-2.0
// The frame of a topology: its document without registries and private endpoints, which are the
// many. Where a fleet carries its topology by itself, the frame travels as text and the registries
// as changes (control/change.h). A new frame keeps the registries that are in force: what they refer
// to (regions, stamps, views) is found again by its name.
//
//   rc = frame_text(t, &text);                          // to be edited
//   rc = frame_replace(t, bytes_of(text.p, text.n), "the new frame", form, &diag, &next);
//
// All registries are judged anew, which takes as long as starting from the compiled form (half a
// million: about half a second). Any thread.
#ifndef MERIDIAN_CONTROL_FRAME_H
#define MERIDIAN_CONTROL_FRAME_H

#include "base/bytes.h"
#include "base/diag.h"
#include "config/topology.h"

#define FRAME_MAX_BYTES (8u << 20)

// Appends the text. ERR_UNSUPPORTED: the document's keys do not begin lines of their own, so that
// the registries cannot be cut out of it.
int frame_text(const struct topology *t, struct buf *out);

// The topology with that frame. Its version is the one in the text; its content hash is made of the
// hash before and the text. ERR_INVAL: diag says what is wrong: with the text, or which registry
// refers to what is there no more. ERR_NOMEM.
int frame_replace(const struct topology *t, struct bytes text, const char *source,
                  enum topology_form form, struct diag *diag, struct topology **out);

#endif
