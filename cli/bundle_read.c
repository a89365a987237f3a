// SPDX-License-Identifier: Apache-2.0
// How files and programs are read for a bundle: bounded in bytes and in time, and led astray by
// nothing that the daemon's user may have put in the place of a file. See bundle.h.
#include "cli/bundle.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int bundle_read_end(const char *path, size_t max, bool follow, struct buf *out)
{
    struct stat st;
    char piece[16384];
    size_t begin = out->n;
    AUTO_CLOSE int fd =
        open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (follow ? 0 : O_NOFOLLOW));
    if (fd < 0)
        return err_from_errno(errno);
    if (fstat(fd, &st))
        return err_from_errno(errno);
    if (!S_ISREG(st.st_mode))
        return ERR_DENIED;
    if (st.st_size > (off_t)max && lseek(fd, st.st_size - (off_t)max, SEEK_SET) < 0)
        return err_from_errno(errno);
    // files of /proc have no size
    while (out->n - begin < max) {
        size_t want = max - (out->n - begin);
        if (want > sizeof piece)
            want = sizeof piece;
        ssize_t n = read(fd, piece, want);
        if (n < 0)
            return err_from_errno(errno);
        if (!n)
            break;
        buf_add(out, piece, (size_t)n);
    }
    return out->err;
}

// Reads until the end, the ceiling or the deadline.
static int read_pipe(int fd, size_t max, int64_t until_ms, struct buf *out)
{
    char piece[16384];
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left_ms = until_ms - clock_mono_ms();
        if (left_ms <= 0)
            return ERR_TIMEOUT;
        int ready = poll(&p, 1, (int)left_ms);
        if (ready < 0 && errno != EINTR)
            return err_from_errno(errno);
        if (ready <= 0)
            continue;
        ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0)
            return err_from_errno(errno);
        if (!n)
            return 0;
        if ((size_t)n > max - out->n)
            return ERR_TOOBIG;
        buf_add(out, piece, (size_t)n);
        if (out->err)
            return out->err;
    }
}

static int start(const char *const *argv, int out_fd, pid_t *out_pid)
{
    char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", words[] = "LC_ALL=C";
    char *const environment[] = {path, words, NULL};
    posix_spawn_file_actions_t to;
    if (posix_spawn_file_actions_init(&to))
        return ERR_NOMEM;
    int e = posix_spawn_file_actions_addopen(&to, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!e)
        e = posix_spawn_file_actions_adddup2(&to, out_fd, STDOUT_FILENO);
    if (!e)
        e = posix_spawn_file_actions_adddup2(&to, out_fd, STDERR_FILENO);
    if (!e)
        e = posix_spawn(out_pid, argv[0], &to, NULL, (char *const *)argv, environment);
    posix_spawn_file_actions_destroy(&to);
    if (e)
        return err_from_errno(e);
    return 0;
}

int bundle_run(const char *const *argv, size_t max, struct buf *out)
{
    int ends[2], status = 0;
    pid_t pid;
    if (pipe2(ends, O_CLOEXEC))
        return err_from_errno(errno);
    AUTO_CLOSE int from = ends[0];
    int rc = start(argv, ends[1], &pid);
    close(ends[1]);
    if (rc)
        return rc;
    rc = read_pipe(from, max, clock_mono_ms() + BUNDLE_WAIT_MS, out);
    if (rc)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!rc && (!WIFEXITED(status) || WEXITSTATUS(status)))
        rc = ERR_IO;
    return rc;
}
