// SPDX-License-Identifier: Apache-2.0
// ENOSPC by countdown; see full_disk.h. Each function stands in for the C library's of that name
// and makes the system call itself. Counted by one atomic, so that a program's other threads may
// write as well.
// Both names of each function are defined below: neither is to be an alias of the other here.
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE

#include "tests/support/full_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static _Atomic long left, hits; // left 0: off
static _Atomic bool once, dies;
static _Atomic int with = ENOSPC;

void full_disk_from(long n)
{
    once = dies = false;
    with = ENOSPC;
    hits = 0;
    left = n;
}

void full_disk_at(long n)
{
    full_disk_from(n);
    once = true;
}

void full_disk_fails_at(long n, int error)
{
    full_disk_at(n);
    with = error;
}

void full_disk_dies_at(long n)
{
    full_disk_at(n);
    dies = true;
}

long full_disk_hits(void)
{
    return hits;
}

long full_disk_off(void)
{
    left = 0;
    return hits;
}

// True: this step finds no room.
static bool refused(void)
{
    long n = left;
    if (n == 0)
        return false;
    if (n > 1) {
        atomic_fetch_sub(&left, 1);
        return false;
    }
    if (dies)
        return true;
    if (once)
        left = 0;
    hits++;
    errno = with;
    return true;
}

static void die(void)
{
    (void)kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

// The step fails; of a process that dies here it is the last one.
static ssize_t full(void)
{
    if (dies)
        die();
    errno = with;
    return -1;
}

// Is half of a refused write done?
static bool halves(void)
{
    return dies || !once;
}

// A step that needs no room, but may fail or be the last one.
static bool lost(void)
{
    return left && (dies || with != ENOSPC) && refused();
}

static bool is_file(int fd)
{
    struct stat st;
    return left && fd > 2 && !fstat(fd, &st) && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
}

// NOLINTBEGIN: the names and types are the C library's
ssize_t write(int fd, const void *p, size_t n)
{
    if (is_file(fd) && refused())
        return halves() && n > 1 && syscall(SYS_write, fd, p, n / 2) > 0 ? (ssize_t)(n / 2)
                                                                         : full();
    return syscall(SYS_write, fd, p, n);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
    if (is_file(fd) && refused())
        return halves() && n > 1 && syscall(SYS_pwrite64, fd, p, n / 2, at) > 0 ? (ssize_t)(n / 2)
                                                                                : full();
    return syscall(SYS_pwrite64, fd, p, n, at);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    return pwrite64(fd, p, n, at);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
    if (is_file(fd) && refused())
        return full();
    return syscall(SYS_writev, fd, v, n);
}

int fsync(int fd)
{
    if (is_file(fd) && refused())
        return (int)full();
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    if (is_file(fd) && refused())
        return (int)full();
    return (int)syscall(SYS_fdatasync, fd);
}

int ftruncate64(int fd, off64_t size)
{
    struct stat st;
    if (left && !fstat(fd, &st) && size > st.st_size && refused())
        return (int)full();
    return (int)syscall(SYS_ftruncate, fd, size);
}

int ftruncate(int fd, off_t size)
{
    return ftruncate64(fd, size);
}

int posix_fallocate64(int fd, off64_t at, off64_t n)
{
    if (is_file(fd) && refused())
        return full() ? errno : 0;
    return syscall(SYS_fallocate, fd, 0, at, n) ? errno : 0;
}

int posix_fallocate(int fd, off_t at, off_t n)
{
    return posix_fallocate64(fd, at, n);
}

static int open_at(int dir, const char *path, int flags, mode_t mode)
{
    struct stat st;
    bool makes = left && (flags & O_CREAT) && fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW);
    if (makes && refused())
        return (int)full();
    return (int)syscall(SYS_openat, dir, path, flags, mode);
}

#define MODE_OF(flags)                       \
    ({                                       \
        va_list ap;                          \
        va_start(ap, flags);                 \
        mode_t mode_ = 0;                    \
        if (flags & (O_CREAT | __O_TMPFILE)) \
            mode_ = (mode_t)va_arg(ap, int); \
        va_end(ap);                          \
        mode_;                               \
    })

int open(const char *path, int flags, ...)
{
    return open_at(AT_FDCWD, path, flags, MODE_OF(flags));
}

int open64(const char *path, int flags, ...)
{
    return open_at(AT_FDCWD, path, flags | O_LARGEFILE, MODE_OF(flags));
}

int openat(int dir, const char *path, int flags, ...)
{
    return open_at(dir, path, flags, MODE_OF(flags));
}

int openat64(int dir, const char *path, int flags, ...)
{
    return open_at(dir, path, flags | O_LARGEFILE, MODE_OF(flags));
}

int mkdirat(int dir, const char *path, mode_t mode)
{
    struct stat st;
    if (left && fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) && refused())
        return (int)full();
    return (int)syscall(SYS_mkdirat, dir, path, mode);
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

int symlinkat(const char *to, int dir, const char *path)
{
    return refused() ? (int)full() : (int)syscall(SYS_symlinkat, to, dir, path);
}

int linkat(int from_dir, const char *from, int dir, const char *path, int flags)
{
    return refused() ? (int)full() : (int)syscall(SYS_linkat, from_dir, from, dir, path, flags);
}

int renameat(int from_dir, const char *from, int dir, const char *path)
{
    return refused() ? (int)full() : (int)syscall(SYS_renameat2, from_dir, from, dir, path, 0);
}

int rename(const char *from, const char *path)
{
    return renameat(AT_FDCWD, from, AT_FDCWD, path);
}

int unlinkat(int dir, const char *path, int flags)
{
    return lost() ? (int)full() : (int)syscall(SYS_unlinkat, dir, path, flags);
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}
// NOLINTEND
