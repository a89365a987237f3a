// SPDX-License-Identifier: Apache-2.0
// Two short texts compared line by line, printed as `diff -u` does, without line numbers:
//
//   text_diff(&out, "registry/contoso", before, after);
//
//   --- registry/contoso (in force)
//   +++ registry/contoso (as it would be)
//    name: contoso
//   -anonymous_pull: false
//   +anonymous_pull: true
//
// Pure; any thread.
#ifndef MERIDIAN_CLI_TEXT_DIFF_H
#define MERIDIAN_CLI_TEXT_DIFF_H

#include "base/bytes.h"

// NULL: there is none on that side. Three lines around what differs are shown; "..." stands for
// others. Texts of many lines are shown whole. out->err.
int text_diff(struct buf *out, const char *name, const char *before, const char *after);

#endif
