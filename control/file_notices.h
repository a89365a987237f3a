// SPDX-License-Identifier: Apache-2.0
// What inotify says of the directories of the files that are watched. It only says when to look: a
// directory may be a mount that tells nothing, or a chain of symbolic links, so that the files are
// looked at now and then without a notice too.
//
//   file_notices_open(&n);
//   file_notices_watch(&n, "/etc/meridian/topology.yaml");   // its directory
//   … poll n.fd, which is -1 where the kernel gives no notices …
//   struct noticed what = file_notices_read(&n, "topology.yaml.changes");
//   file_notices_close(&n);
//
// One thread.
#ifndef MERIDIAN_CONTROL_FILE_NOTICES_H
#define MERIDIAN_CONTROL_FILE_NOTICES_H

#include <stdbool.h>

struct file_notices {
    int fd;
};

struct noticed {
    // the file of that name grew or moved
    bool log;
    // others did
    bool others;
};

void file_notices_open(struct file_notices *n);
void file_notices_close(struct file_notices *n);
void file_notices_watch(struct file_notices *n, const char *path);
// What happened since the last call. `log_name`: a file that grows, without its directory. Of
// others a write that goes on is no notice: its end is.
struct noticed file_notices_read(struct file_notices *n, const char *log_name);

#endif
