// SPDX-License-Identifier: Apache-2.0
// The file of changes beside a topology (`topology.yaml.changes`): change documents
// (control/change.h), each ended by a line `...`, one upon another. It only grows; a new document
// with a higher version supersedes what it holds. A running node follows it by
// control/change_log_reader.h.
//
//   rc = topology_file_load(path, &diag, &t);
//   rc = changes_load(path, &diag, &t, &n_applied);           // *t: with the changes
//   rc = changes_append(path, 0, text, n, "standard input", &diag, &version);
//
// `path` is the topology's, not that of the changes. Any thread.
#ifndef MERIDIAN_CONTROL_CHANGES_FILE_H
#define MERIDIAN_CONTROL_CHANGES_FILE_H

#include "base/diag.h"
#include "config/topology.h"

// The first whole document of the text: its bytes, with the line that ends it; 0: there is none
// whole yet.
size_t change_whole(const char *text, size_t n);

// Applies all whole documents of the file. Takes over *t and gives what is in force after them;
// *out_applied: how many were taken. Documents that cannot be are in diag and passed over. No file:
// no changes.
int changes_load(const char *path, struct diag *diag, struct topology **t, size_t *out_applied);

// Judges one document (without the line that ends it) by changer_apply, on the topology with its
// changes, and appends it durably. The version is filled in when the document has none, and the
// incarnation of registries that it creates (config/registry_key.h) likewise; and the time, where
// reserved names hang on it. Waits for another process that appends. `expected`: the version that must be in force (0: any), else
// ERR_CONFLICT; otherwise the errors of changer_apply, ERR_INVAL in the place of ERR_BUSY. diag
// says why.
int changes_append(const char *path, uint64_t expected, const char *text, size_t n,
                   const char *source, struct diag *diag, uint64_t *out_version);

#endif
