// SPDX-License-Identifier: Apache-2.0
// One look at a file that a node watches: whether it is another file than before, and the document
// in it, read and parsed. For control/watched_document.c.
//
//   struct signature now = watch_signature(path);
//   if (!signature_same(&now, &seen)) {
//       struct document d = {0};
//       rc = watch_parse_topology(TOPOLOGY_FULL, path, NULL, &diag, &d);
//       watch_document_done(&d);
//   }
//
// Any thread.
#ifndef MERIDIAN_CONTROL_WATCHED_FILE_H
#define MERIDIAN_CONTROL_WATCHED_FILE_H

#include "base/bytes.h"
#include "base/digest.h"
#include "config/topology.h"

#include <sys/types.h>
#include <time.h>

struct signature { // what a stat says of a file; zero when it is not there
    dev_t dev;
    ino_t ino;
    mode_t mode;
    off_t size;
    struct timespec mtime, ctime;
};

struct document { // one file, read and parsed
    // a struct topology or principals; one reference
    void *value;
    uint64_t version;
    // of the file, or of the file that a kept topology with changes began from: the two tell
    // whether a file is the same one
    uint64_t file_version;
    uint8_t hash[SHA256_BYTES];
    // the file's text; of principals in canonical form
    struct buf text;
};

struct signature watch_signature(const char *path);
bool signature_same(const struct signature *a, const struct signature *b);

// Read, parse and validate. On failure diag says why; call watch_document_done in any case.
//
// The topology at a node's own path. `last` (may be NULL): the last good version; when that began
// from this very file, *out is it, and the file is not parsed.
int watch_parse_topology(enum topology_form form, const char *path, const struct document *last,
                         struct diag *diag, struct document *out);
// The topology that a node keeps in its state directory, a copy of the one at `home`.
int watch_parse_kept(enum topology_form form, const char *path, const char *home, struct diag *diag,
                     struct document *out);
// `form` and `last` do not matter.
int watch_parse_principals(enum topology_form form, const char *path, const struct document *last,
                           struct diag *diag, struct document *out);
void watch_document_done(struct document *d);

#endif
