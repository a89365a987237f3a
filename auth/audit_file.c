// SPDX-License-Identifier: Apache-2.0
// The file of the audit log: appended to by whole lines, renamed when it is full; see audit.h. Two
// processes may append to it for a while (a restart): each writes whole lines at the file's end, and
// one that finds the file renamed by the other goes on in the new one.
#include "auth/audit_priv.h"

#include "base/err.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void audit_file_init(struct audit_file *f, const char *path, uint64_t max_bytes, unsigned keep)
{
    *f = (struct audit_file){.max_bytes = max_bytes, .keep = keep, .fd = -1};
    snprintf(f->path, sizeof f->path, "%s", path);
    if (!f->keep)
        f->keep = 1;
}

const char *audit_file_name(const char *path, unsigned i, char out[AUDIT_PATH_MAX + 16])
{
    if (i)
        snprintf(out, AUDIT_PATH_MAX + 16, "%s.%u", path, i);
    else
        snprintf(out, AUDIT_PATH_MAX + 16, "%s", path);
    return out;
}

// Does it end inside a line? A process before this one may have been killed in mid-write.
static bool ends_torn(int fd, off_t size)
{
    char last = '\n';
    if (size <= 0)
        return false;
    return pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

int audit_file_open(struct audit_file *f)
{
    struct stat st;
    if (f->fd >= 0)
        return 0;
    int fd =
        open(f->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW,
             0600);
    if (fd < 0)
        return err_from_errno(errno);
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        return ERR_INVAL;
    }
    if ((st.st_mode & 077) && fchmod(fd, 0600))
        log_warn("audit: %s may be read by others than its owner, and its mode cannot be changed: "
                 "%s",
                 f->path, strerror(errno));
    f->torn = ends_torn(fd, st.st_size);
    f->fd = fd;
    return 0;
}

void audit_file_close(struct audit_file *f)
{
    if (f->fd < 0)
        return;
    audit_file_sync(f);
    close(f->fd);
    f->fd = -1;
}

void audit_file_sync(struct audit_file *f)
{
    if (f->fd >= 0 && f->dirty && fdatasync(f->fd))
        log_warn("audit: %s: %s", f->path, strerror(errno));
    f->dirty = false;
}

// PATH.2 becomes PATH.3, and so on; the oldest goes.
static void shift(const struct audit_file *f)
{
    char from[AUDIT_PATH_MAX + 16], to[AUDIT_PATH_MAX + 16];
    for (unsigned i = f->keep; i-- > 0;) {
        audit_file_name(f->path, i, from);
        audit_file_name(f->path, i + 1, to);
        if (rename(from, to) && errno != ENOENT)
            log_warn("audit: %s cannot be renamed to %s: %s", from, to, strerror(errno));
    }
}

static bool is_ours(const struct audit_file *f, const struct stat *st)
{
    struct stat there;
    return !stat(f->path, &there) && there.st_dev == st->st_dev && there.st_ino == st->st_ino;
}

// 0 also when it cannot be rotated: then it grows.
static int make_room(struct audit_file *f, size_t n)
{
    struct stat st;
    if (!f->max_bytes || fstat(f->fd, &st) || st.st_size == 0)
        return 0;
    if ((uint64_t)st.st_size + n <= f->max_bytes)
        return 0;
    if (is_ours(f, &st))
        shift(f);
    audit_file_close(f);
    return audit_file_open(f);
}

static int write_some(int fd, const char *p, size_t n, size_t *out_n)
{
    size_t at = 0;
    int rc = 0;
    while (at < n && !rc) {
        ssize_t k = write(fd, p + at, n - at);
        if (k > 0)
            at += (size_t)k;
        else if (k == 0 || errno != EINTR)
            rc = k == 0 ? ERR_IO : err_from_errno(errno);
    }
    *out_n = at;
    return rc;
}

int audit_file_append(struct audit_file *f, const char *lines, size_t n, size_t *out_n)
{
    size_t at = 0;
    *out_n = 0;
    int rc = audit_file_open(f);
    if (!rc)
        rc = make_room(f, n);
    if (!rc && f->torn) {
        rc = write_some(f->fd, "\n", 1, &at);
        f->torn = rc != 0;
    }
    if (rc)
        return rc;
    rc = write_some(f->fd, lines, n, &at);
    f->dirty = f->dirty || at;
    if (!rc) {
        *out_n = n;
        return 0;
    }
    f->torn = at && lines[at - 1] != '\n';
    while (at && lines[at - 1] != '\n')
        at--;
    *out_n = at;
    return rc;
}
