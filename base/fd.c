// SPDX-License-Identifier: Apache-2.0
// Files and descriptors; see fd.h.
#include "base/fd.h"

#include "base/err.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void fd_auto_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

int fd_take(int *fd)
{
    int keep = *fd;
    *fd = -1;
    return keep;
}

int fd_write_all(int fd, const void *p, size_t n)
{
    const char *s = p;
    while (n) {
        ssize_t w = write(fd, s, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return err_from_errno(errno);
        s += w;
        n -= (size_t)w;
    }
    return 0;
}

int fd_pwrite_all(int fd, const void *p, size_t n, off_t at)
{
    const char *s = p;
    while (n) {
        ssize_t w = pwrite(fd, s, n, at);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return err_from_errno(errno);
        s += w;
        at += w;
        n -= (size_t)w;
    }
    return 0;
}

static int read_whole(int fd, size_t max, struct buf *out)
{
    size_t before = out->n;
    if (out->err)
        return out->err;
    for (;;) {
        // Never ask for more room than either ceiling leaves; at a ceiling one probe byte tells
        // whether the file ends.
        char probe, *to = &probe;
        size_t want = 16384;
        if (max - (out->n - before) < 16384)
            want = max - (out->n - before);
        if (out->max && out->max - out->n < want)
            want = out->max - out->n;
        if (want && !(to = buf_room(out, want))) {
            int rc = out->err;
            out->err = 0;
            out->n = before;
            if (out->p)
                out->p[before] = 0;
            return rc;
        }
        ssize_t r = read(fd, to, want ? want : 1);
        if (r < 0 && errno == EINTR)
            continue;
        int rc = 0;
        if (r < 0)
            rc = err_from_errno(errno);
        if (r > 0 && !want)
            rc = ERR_TOOBIG;
        else if (r > 0)
            out->n += (size_t)r;
        if (rc)
            out->n = before;
        if (out->p)
            out->p[out->n] = 0;
        if (rc || r == 0)
            return rc;
    }
}

int file_read(const char *path, size_t max, struct buf *out)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_from_errno(errno);
    return read_whole(fd, max, out);
}

int file_read_secret(const char *path, size_t max, struct buf *out)
{
    // a pipe would wait for its writer
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st))
        return err_from_errno(errno);
    if (!S_ISREG(st.st_mode) || st.st_mode & 077)
        return ERR_DENIED;
    return read_whole(fd, max, out);
}

int dir_sync(const char *path)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd))
        return err_from_errno(errno);
    return 0;
}

int file_write_atomic(const char *path, const void *p, size_t n, mode_t mode)
{
    // two threads that replace one file must not share its temporary
    static _Atomic unsigned serial;
    AUTO_FREE char *tmp =
        mem_printf("%s.tmp.%ld.%u", path, (long)getpid(), atomic_fetch_add(&serial, 1));
    AUTO_FREE char *dir = mem_strdup(path);
    if (!tmp || !dir)
        return ERR_NOMEM;
    unlink(tmp);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return err_from_errno(errno);
    struct stat old;
    int rc;
    if (fchmod(fd, mode))
        rc = err_from_errno(errno);
    else
        rc = fd_write_all(fd, p, n);
    // Root edits files of others, the daemon's for one: they stay theirs.
    if (!rc && geteuid() == 0 && !lstat(path, &old) && S_ISREG(old.st_mode) &&
        fchown(fd, old.st_uid, old.st_gid))
        rc = err_from_errno(errno);
    if (!rc && fsync(fd))
        rc = err_from_errno(errno);
    if (close(fd) && !rc)
        rc = err_from_errno(errno);
    if (!rc && rename(tmp, path))
        rc = err_from_errno(errno);
    if (rc) {
        unlink(tmp);
        return rc;
    }
    return dir_sync(dirname(dir));
}

int dir_make(const char *path, mode_t mode)
{
    if (!*path)
        return ERR_INVAL;
    AUTO_FREE char *p = mem_strdup(path);
    if (!p)
        return ERR_NOMEM;
    for (char *s = p + 1; *s; s++) {
        if (*s != '/')
            continue;
        *s = 0;
        if (mkdir(p, 0755) && errno != EEXIST)
            return err_from_errno(errno);
        *s = '/';
    }
    if (mkdir(p, mode) && errno != EEXIST)
        return err_from_errno(errno);
    struct stat st;
    if (stat(p, &st))
        return err_from_errno(errno);
    if (S_ISDIR(st.st_mode))
        return 0;
    return ERR_EXISTS;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    if (remove(path))
        return errno;
    return 0;
}

int dir_remove_tree(const char *path)
{
    int rc = nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (rc == -1)
        rc = errno;
    return err_from_errno(rc);
}
