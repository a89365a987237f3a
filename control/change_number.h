// SPDX-License-Identifier: Apache-2.0
// Numbers a change document (control/change.h): who writes one leaves its version out, and whoever
// takes it knows the version in force.
//
//   rc = change_number(text, n, t->version + 1, t, &out, &front);
//
// Any thread.
#ifndef MERIDIAN_CONTROL_CHANGE_NUMBER_H
#define MERIDIAN_CONTROL_CHANGE_NUMBER_H

#include "base/bytes.h"
#include "config/topology.h"

// Appends the document with its version in front if it has none, and likewise the incarnation of
// registries that it creates beside those of `t` (config/registry_key.h). *out_front: lines that
// were added in front. What is no document at all stays as it is: control/changer.h says so.
// out->err.
int change_number(const char *text, size_t n, uint64_t version, const struct topology *t,
                  struct buf *out, int *out_front);

#endif
