// SPDX-License-Identifier: Apache-2.0
// Changes of one registry or a few, without the whole document: a stream of small YAML documents in
// a file beside the topology (`topology.yaml.changes`), each one version further than the one
// before and ended by a line `...`:
//
//   version: 43
//   # whole rows; one replaces what has its name
//   registries: [{ name: contoso, replicas: [{ region: eastus }] }]
//   remove: [fabrikam]
//   private_endpoints: […]            # whole rows; one replaces what has its name
//   remove_private_endpoints: [name]
//   ...
//
// A change is taken whole or not at all, and judged as a whole document is. What comes out shares
// its frame with the topology it began from, and all buckets but those of the changed registries.
// One thread for a changer; any for what comes out.
#ifndef MERIDIAN_CONTROL_CHANGES_H
#define MERIDIAN_CONTROL_CHANGES_H

#include "config/topology.h"

struct changer; // remembers between changes what all private endpoints have in use
struct changer *changer_new(void); // NULL: out of memory
void changer_free(struct changer *c);

#define CHANGE_MAX_BYTES (16u << 20) // of one document

// The first whole document of the text: its bytes, with the line that ends it; 0: there is none
// whole yet.
size_t change_whole(const char *text, size_t n);
// One document, which begins on that line of `source`. ERR_EXISTS: its version is not higher than
// t's, nothing to do. ERR_CONFLICT: versions in between are missing. ERR_INVAL: it says what cannot
// be. ERR_BUSY: it comes a little before its time (a replica that moves to another stamp; clocks
// differ), to be tried again. diag says why for these three.
int changer_apply(struct changer *c, const struct topology *t, const char *text, size_t n,
                  const char *source, int first_line, struct diag *diag, struct topology **out);

// All whole documents of the file beside the topology at `path`, one on another. Takes over *t and
// gives what is in force after them; *out_applied: how many were taken. Documents that cannot be
// are in diag and passed over.
int changes_load(const char *path, struct diag *diag, struct topology **t, size_t *out_applied);
// Appends one document (without the line that ends it) to that file, durably; another process that
// does so waits. Judged first: `t` is the topology without the file. The version is filled in when
// the document has none.
int changes_append(const char *path, const char *text, size_t n, const char *source,
                   struct diag *diag, uint64_t *out_version);

const struct option_set *change_options(void); // its rows, for the manual page

#endif
