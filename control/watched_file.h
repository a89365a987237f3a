// SPDX-License-Identifier: Apache-2.0
// One look at one of the files that are watched: is it another one than before, and what is in it.
// For control/watched_document.c.
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

struct document { // one read and parsed file
    // embeds a snapshot_head; one reference
    void *value;
    uint64_t version;
    // with the version, what tells one file from another
    uint8_t hash[SHA256_BYTES];
    // to be kept as the last good one; empty: the value's compiled form is
    struct buf text;
    // Of a topology that was kept with changes in it: the file it began from.
    uint64_t file_version;
};

struct signature watch_signature(const char *path);
bool signature_same(const struct signature *a, const struct signature *b);

// Read, parsed and judged. `last` (may be NULL): the last good one; if the file is what that began
// from, that is it.
//
// at a node's own path
int watch_parse_topology(enum topology_form form, const char *path, const struct document *last,
                         struct diag *diag, struct document *out);
// of its state directory; `home`: the path that it is a copy of
int watch_parse_kept(enum topology_form form, const char *path, const char *home, struct diag *diag,
                     struct document *out);
int watch_parse_principals(enum topology_form form, const char *path, const struct document *last,
                           struct diag *diag, struct document *out);
void watch_document_done(struct document *d);

#endif
