// SPDX-License-Identifier: Apache-2.0
// nginx.conf in the runtime folder: certificates copied, the text rendered, tested beside, renamed.
// Invariant 1 of edge.c. In the supervisor's main thread.
#include "net/edge_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define EDGE_TEST_MS 15000

// nginx's own words, line by line.
static void diag_lines(struct diag *diag, char *text)
{
    char *save = NULL;
    for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
        diag_add(diag, NULL, 0, "%s", l);
}

// What the child says, until it closes its end or time is over. Returns the length; what does not
// fit is dropped.
static size_t child_hear(int from, char *out, size_t cap)
{
    size_t n = 0;
    int64_t until = clock_mono_ms() + EDGE_TEST_MS;
    for (;;) {
        struct pollfd p = {.fd = from, .events = POLLIN};
        int64_t left = until - clock_mono_ms();
        if (left <= 0)
            break;
        int ready = poll(&p, 1, (int)left);
        if (ready == 0)
            break;
        if (ready < 0) // a signal
            continue;
        char more[512];
        ssize_t got = read(from, more, sizeof more);
        if (got == 0 || (got < 0 && errno != EINTR))
            break;
        for (ssize_t i = 0; i < got && n < cap - 1; i++)
            out[n++] = more[i];
    }
    out[n] = 0;
    return n;
}

static int conf_test(struct edge *e, struct diag *diag)
{
    int pipe_fd[2];
    AUTO_CLOSE int life = -1;
    if (pipe2(pipe_fd, O_CLOEXEC))
        return err_from_errno(errno);
    const char *const argv[] = {e->nginx, "-t",     "-q", "-p",        e->runtime_dir,
                                "-e",     "stderr", "-c", e->conf_new, NULL};
    pid_t pid = edge_child_start(e, pipe_fd[1], argv, NULL, &life);
    close(pipe_fd[1]);
    AUTO_CLOSE int from = pipe_fd[0];
    if (pid < 0)
        return ERR_NOMEM;
    char text[4096];
    size_t n = child_hear(from, text, sizeof text);
    bool ended = edge_child_wait(pid, 1000);
    int status = edge_child_bury(pid);
    if (ended && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (!n) {
        snprintf(e->status.last_error, sizeof e->status.last_error,
                 "nginx -t failed and said nothing");
        diag_add(diag, NULL, 0, "%s -t failed and said nothing", e->nginx);
        return ERR_INVAL;
    }
    snprintf(e->status.last_error, sizeof e->status.last_error, "%.500s", text);
    diag_lines(diag, text);
    return ERR_INVAL;
}

static bool conf_is(const struct edge *e, const struct buf *want)
{
    AUTO_BUF struct buf now;
    buf_init(&now, 0);
    return !file_read(e->conf, want->n + 1, &now) && now.n == want->n &&
           !memcmp(now.p, want->p, now.n);
}

// *out_same: nothing has changed; certificates have names made of their content, so that this holds
// for them, too.
static int conf_write(struct edge *e, const struct edge_config *c, const struct edge_pems *pems,
                      struct diag *diag, bool *out_same)
{
    struct edge_config mine = *c;
    mine.region_pem = pems->path[0];
    mine.shared_pem = pems->path[1];
    mine.peer_pem = pems->path[2];
    mine.ca_pem = pems->path[3];
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    int rc = edge_render(&mine, &text, diag);
    if (rc)
        return rc;
    *out_same = e->pid && conf_is(e, &text);
    if (*out_same)
        return 0;
    rc = file_write_atomic(e->conf_new, text.p, text.n, 0600);
    if (rc) {
        diag_add(diag, NULL, 0, "%s: %s", e->conf_new, err_text(rc));
        return rc;
    }
    rc = conf_test(e, diag);
    if (!rc && rename(e->conf_new, e->conf)) {
        rc = err_from_errno(errno);
        diag_add(diag, NULL, 0, "%s: %s", e->conf, err_text(rc));
    }
    return rc;
}

// Certificates copied, the text rendered, tested beside, renamed: or the old ones stay.
int edge_conf_replace(struct edge *e, const struct edge_config *c, struct diag *diag,
                      bool *out_same)
{
    struct edge_pems pems;
    struct diag why;
    diag_init(&why);
    int rc = edge_pems_copy(c, &why, &pems);
    if (rc)
        snprintf(e->status.last_error, sizeof e->status.last_error, "%.500s",
                 why.n ? why.lines[0] : err_text(rc));
    for (size_t i = 0; i < why.n; i++)
        diag_add(diag, NULL, 0, "%s", why.lines[i]);
    diag_done(&why);
    if (rc)
        return rc;
    rc = conf_write(e, c, &pems, diag, out_same);
    if (rc) {
        edge_pems_sweep(e->runtime_dir, &e->pems);
        edge_pems_free(&pems);
        return rc;
    }
    edge_pems_free(&e->pems);
    e->pems = pems;
    edge_pems_sweep(e->runtime_dir, &e->pems);
    e->status.last_error[0] = 0;
    return 0;
}
