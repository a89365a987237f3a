// SPDX-License-Identifier: Apache-2.0
// The section `control` of a document as a value that commands change: who writes, and whose
// requests the writer takes. And the section's text from it.
//
//   rc = operators_add(t->control, "ada", spki, CONTROL_RIGHTS_ALL, &arena, &text);
//   const struct edit_section s = {"control", control_section_text(t, …)};
//
// Pure; any thread.
#ifndef MERIDIAN_CONTROL_OPERATORS_H
#define MERIDIAN_CONTROL_OPERATORS_H

#include "base/arena.h"
#include "base/diag.h"
#include "config/topology_control.h"

// "registries", "principals", "regions", "topology", "all" to bits; false: no such right.
bool control_right_parse(const char *word, unsigned *out);
// "all", or the words, comma between two. Arena.
const char *control_rights_text(unsigned rights, struct arena *a);

// The section's whole text, its own line included; `writer` is a region's name. NULL: out of
// memory.
const char *control_section_text(const char *root, const char *writer,
                                 const struct control_operator *operators, size_t n,
                                 struct arena *a);
// The section of `t` with one more operator, or with one revoked, for ever. ERR_EXISTS: of that name
// there is one, or it is revoked already; ERR_NOTFOUND; ERR_FULL; ERR_INVAL: no name of an operator,
// or root; ERR_UNSUPPORTED: `t` has no section `control`. With a sentence.
int operators_add(const struct topology *t, const char *name, const char *key, unsigned rights,
                  struct arena *a, struct diag *diag, const char **out_text);
int operators_revoke(const struct topology *t, const char *name, struct arena *a, struct diag *diag,
                     const char **out_text);

#endif
