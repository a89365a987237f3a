// SPDX-License-Identifier: Apache-2.0
// Running a command again and again; see watch.h.
#include "cli/watch.h"

#include "base/bytes.h"
#include "base/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WATCH_MAX_BYTES (64u << 20)

static volatile sig_atomic_t stopped;

static void on_stop(int sig)
{
    (void)sig;
    stopped = 1;
}

static void show(const struct buf *now, bool first)
{
    if (isatty(STDOUT_FILENO))
        fputs("\033[H\033[2J", stdout);
    else if (!first)
        putchar('\n');
    fwrite(buf_cstr(now), 1, now->n, stdout);
    fflush(stdout);
}

static void read_all(int fd, struct buf *out)
{
    char chunk[16384];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR && !stopped)
            continue;
        if (n <= 0)
            return;
        buf_add(out, chunk, (size_t)n);
    }
}

// In the child: true, with standard output led into the pipe. In the parent: what it printed, and
// its exit status.
static bool run_once(struct buf *out, int *out_status)
{
    int fds[2], how;
    *out_status = EXIT_FAILED;
    if (pipe(fds))
        return false;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        sigaction(SIGINT, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
        sigaction(SIGTERM, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
        dup2(fds[1], STDOUT_FILENO);
        close(fds[0]);
        close(fds[1]);
        return true;
    }
    close(fds[1]);
    if (pid > 0)
        read_all(fds[0], out);
    close(fds[0]);
    if (pid > 0 && waitpid(pid, &how, 0) == pid && WIFEXITED(how))
        *out_status = WEXITSTATUS(how);
    return false;
}

int watch_begin(struct cli *c, int64_t every_ms, int64_t looks)
{
    AUTO_BUF struct buf last, now;
    buf_init(&last, WATCH_MAX_BYTES);
    buf_init(&now, WATCH_MAX_BYTES);
    if (c->username && !c->password_file)
        return cli_fail(EXIT_USAGE, "%s: --watch asks again and again: give --password-file",
                        c->path);
    sigaction(SIGINT, &(struct sigaction){.sa_handler = on_stop}, NULL);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_stop}, NULL);
    int last_status = EXIT_DONE;
    int64_t n = 0;
    for (bool first = true; !stopped; first = false) {
        int status;
        buf_clear(&now);
        if (run_once(&now, &status))
            return 0;
        if (stopped)
            break;
        bool same = now.n == last.n && (!now.n || !memcmp(now.p, last.p, now.n));
        if (first || !same)
            show(&now, first);
        buf_clear(&last);
        buf_add(&last, now.p, now.n);
        if (status == EXIT_USAGE || (first && status != EXIT_DONE && !now.n))
            exit(status);
        last_status = status;
        if (looks && ++n == looks)
            break;
        clock_sleep_ms(every_ms);
    }
    exit(last_status);
}
