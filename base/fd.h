// SPDX-License-Identifier: Apache-2.0
// Files and descriptors: bounded reads, whole writes, atomic replacement, directories.
//
//   AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
//   rc = file_write_atomic(path, pem, n, 0600);   // written beside, fsynced, renamed, directory
//                                                 // fsynced
#ifndef MERIDIAN_BASE_FD_H
#define MERIDIAN_BASE_FD_H

#include "base/bytes.h"

#include <stddef.h>
#include <sys/types.h>

void fd_auto_close(int *fd);
#define AUTO_CLOSE __attribute__((cleanup(fd_auto_close)))
// Hands it over: *fd is -1 now, nothing is closed here.
int fd_take(int *fd);

int fd_write_all(int fd, const void *p, size_t n); // retries EINTR and short writes
int fd_pwrite_all(int fd, const void *p, size_t n, off_t at);
// appends; ERR_TOOBIG past max; out untouched on failure
int file_read(const char *path, size_t max, struct buf *out);
// The same of a file that its owner alone may read: ERR_DENIED for others, and for what is no
// regular file.
int file_read_secret(const char *path, size_t max, struct buf *out);
int file_write_atomic(const char *path, const void *p, size_t n, mode_t mode);
int dir_make(const char *path, mode_t mode); // with parents (0755); an existing directory is fine
int dir_sync(const char *path);              // fsync of a directory
int dir_remove_tree(const char *path);       // follows no symlink; ERR_NOTFOUND if it was not there

#endif
