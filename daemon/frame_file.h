// SPDX-License-Identifier: Apache-2.0
// The topology's frame, which is the document without registries, in a file: the worker that follows
// the control feed leaves it there, and the supervisor reads it for the edge's configuration (domain,
// regions), as does a start that checks before it begins. Where files are the source, both read the
// operator's file instead.
//
//   rc = frame_file_write(paths->frame, topology);            // the worker, before it asks for a reload
//   rc = frame_file_read(paths->frame, id->uid, &text);       // the supervisor
//
// The supervisor may be root while the file belongs to the daemon's user: it is opened without
// following links or waiting, bounded, and parsed as strictly as any document. What comes of it are
// names that keep their grammar. Any thread.
#ifndef MERIDIAN_DAEMON_FRAME_FILE_H
#define MERIDIAN_DAEMON_FRAME_FILE_H

#include "base/bytes.h"
#include "config/topology.h"

#include <sys/types.h>

#define FRAME_FILE_MAX_BYTES (16u << 20)

// ERR_UNSUPPORTED: this topology has no frame that can be cut out.
int frame_file_write(const char *path, const struct topology *t);
// Appends it. ERR_DENIED: it is no regular file, or neither the caller's nor the owner's.
// ERR_TOOBIG, ERR_NOTFOUND.
int frame_file_read(const char *path, uid_t owner, struct buf *out);
// Reads and parses it, compact. NULL: there is none that is good.
struct topology *frame_file_topology(const char *path, uid_t owner);

#endif
