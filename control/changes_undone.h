// SPDX-License-Identifier: Apache-2.0
// What a document undoes of the changes beside it (control/changes_file.h). A document with a
// higher version supersedes the changes that came before it, and nodes do not ask whether it has
// taken them over: one that was made from an older text brings back what they had changed.
//
//   rc = topology_file_load(path, &diag, &t);
//   rc = changes_load(path, &diag, &t, &n);
//   rc = changes_undone(path, t, &diag);                 // a sentence for each member that differs
//
// Of each row the last change counts. Any thread.
#ifndef MERIDIAN_CONTROL_CHANGES_UNDONE_H
#define MERIDIAN_CONTROL_CHANGES_UNDONE_H

#include "base/diag.h"
#include "config/topology.h"

// ERR_NOMEM, or an error of reading the file, which diag names. No file: nothing is undone.
int changes_undone(const char *path, const struct topology *t, struct diag *diag);

#endif
