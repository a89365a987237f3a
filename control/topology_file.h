// SPDX-License-Identifier: Apache-2.0
// A topology from a file or from memory, in either form: a document (config/topology.h) or compiled
// (control/compiled.h), told apart by the magic.
//
//   rc = topology_file_load("topology.yaml", &diag, &t);   // all errors of the file are in diag
//
// Changes beside the file are control/changes_file.h's. Any thread.
#ifndef MERIDIAN_CONTROL_TOPOLOGY_FILE_H
#define MERIDIAN_CONTROL_TOPOLOGY_FILE_H

#include "config/topology.h"

// Reads, parses and validates all. On failure *out is untouched; diag says why.
int topology_file_load(const char *path, struct diag *diag, struct topology **out);
// The same from memory; `source` is the name used in messages.
int topology_file_parse(enum topology_form form, const char *text, size_t n, const char *source,
                        struct diag *diag, struct topology **out);

#endif
