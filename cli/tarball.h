// SPDX-License-Identifier: Apache-2.0
// A compressed archive of a few small files, made in memory: ustar (POSIX.1-2017, pax, "ustar
// Interchange Format") in gzip (RFC 1952, by zlib). Every member is a regular file of root's, 0600.
//
//   struct tarball t;
//   rc = tarball_begin(&t, "meridian-bundle", 64 << 20, clock_wall_ms() / 1000);
//   rc = tarball_add(&t, "status.json", bytes_str(text));
//   rc = tarball_end(&t, &out);                      // also after a failure; appends the archive
//
// What would make the members larger than the ceiling together is refused whole (ERR_TOOBIG), and
// the archive stays good. One thread.
#ifndef MERIDIAN_CLI_TARBALL_H
#define MERIDIAN_CLI_TARBALL_H

#include "base/bytes.h"

#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

#define TARBALL_NAME_MAX 99 // bytes of "folder/name"

struct tarball {
    // stands before every name, with a slash
    const char *folder;
    // of the members' contents: so far, and the ceiling
    size_t n_bytes, max_bytes;
    // when all members were changed, Unix time
    int64_t time_s;
    // latched: what has gone wrong with the archive as a whole; 0 nothing
    int err;
    z_stream z;
    struct buf out;
};

// `folder` is borrowed until the end. ERR_NOMEM: nothing may be added then, tarball_end is called
// all the same.
int tarball_begin(struct tarball *t, const char *folder, size_t max_bytes, int64_t time_s);
// ERR_TOOBIG: it does not fit; ERR_INVAL: the name is too long or empty; ERR_NOMEM: of no use any more.
int tarball_add(struct tarball *t, const char *name, struct bytes content);
// Frees all. The archive is appended to `out` if nothing failed.
int tarball_end(struct tarball *t, struct buf *out);

#endif
