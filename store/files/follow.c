// SPDX-License-Identifier: Apache-2.0
// Reading an upload's file while another thread, or another process, writes to it. The file says all
// that is to be known: its length, and where its name has gone. Nothing is told to the writer, and
// nothing is kept for it.
//
// Invariants
//   1. The file's length covers no byte that was not written: writes append (upload.c).
//   2. A commit moves the file and a drop removes its last name. So a file whose name has gone is a
//      blob while it has another one.
#include "store/files/files_priv.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int file_follow_open(struct blob_store *bs, const char *id, struct blob_reader **out)
{
    struct file_store *fs = file_store_of(bs);
    AUTO_CLOSE int fd = openat(fs->uploads_fd, id, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    if (fd < 0 && errno == ELOOP)
        return ERR_CORRUPT;
    if (fd < 0 || fstat(fd, &st))
        return err_from_errno(errno);
    if (!S_ISREG(st.st_mode))
        return ERR_CORRUPT;
    struct file_reader *r = mem_zalloc(sizeof *r);
    if (!r)
        return ERR_NOMEM;
    r->base = (struct blob_reader){.backend = bs->backend, .size = (uint64_t)st.st_size};
    r->dir_fd = fs->uploads_fd;
    snprintf(r->name, sizeof r->name, "%s", id);
    r->fd = fd;
    fd = -1;
    *out = &r->base;
    return 0;
}

// Does the name lead to the file still?
static bool has_its_name(const struct file_reader *r, const struct stat *st)
{
    struct stat now;
    if (fstatat(r->dir_fd, r->name, &now, AT_SYMLINK_NOFOLLOW))
        return false;
    return now.st_dev == st->st_dev && now.st_ino == st->st_ino;
}

int file_follow_look(struct blob_reader *br, enum blob_growth *out)
{
    struct file_reader *r = (struct file_reader *)br;
    enum blob_growth growth = BLOB_GROWS;
    struct stat st;
    if (fstat(r->fd, &st))
        return err_from_errno(errno);
    if (!has_its_name(r, &st)) {
        // nobody writes to it any more: this length is the last
        if (fstat(r->fd, &st))
            return err_from_errno(errno);
        growth = BLOB_IS_DROPPED;
        if (st.st_nlink) // invariant 2
            growth = BLOB_IS_WHOLE;
    }
    br->size = (uint64_t)st.st_size;
    *out = growth;
    return 0;
}
