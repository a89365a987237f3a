// SPDX-License-Identifier: Apache-2.0
// Hot restart: the supervisor becomes the program that now stands at its path, in the same process,
// and a new worker takes the listening sockets over without a lost query. Called from the
// supervisor's loop.
//
//   old program: is the new one good (--check with what will be handed over)? No: a line in the
//                log, nothing changes. Yes: exec. Worker and nginx do not notice: they are children
//                of the same process.
//   new program: starts its worker on duplicates of the same sockets. It answers names beside the
//                old one, since both read the same queues. Then the old worker is told to yield: it
//                answers what it has read, ends what runs, hands the store over and says so; what
//                comes meanwhile over HTTP waits in the sockets, for a second or so. The new one
//                opens the store, serves HTTP, and the edge is reloaded if its configuration has
//                changed. Uploads whose bodies are under way end in the old one, which has `drain`
//                for that.
//   The new worker ends, or is not there in time: the old one goes on, and the log says why.
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/supervisor_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK_MS 60000 // a large topology takes seconds to read
#define START_MS 60000
#define YIELD_EXTRA_MS 15000 // beyond the drain
#define RESTART_EVERY_MS 2000

static void tell_failed(struct supervisor *s, const char *why)
{
    struct ipc_message m = {.kind = IPC_FAILED};
    snprintf(m.edge.last_error, sizeof m.edge.last_error, "%s", why);
    log_error("daemon: restart: %s; the running worker goes on", why);
    (void)ipc_send(s->ipc_fd, &m);
}

// ---- the old program ----

// "--check" of the new program, with the record. 0: it is good.
static int check_new(struct supervisor *s)
{
    pid_t pid = fork();
    if (pid < 0)
        return err_from_errno(errno);
    if (pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        int null = open("/dev/null", O_RDWR);
        if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
            _exit(126);
        execl(s->program, s->argv[0], "--config", s->node->source, "--check", (char *)NULL);
        _exit(127);
    }
    int status = 0;
    int64_t until = clock_mono_ms() + CHECK_MS;
    while (!supervisor_reap(pid, &status)) {
        if (clock_mono_ms() >= until) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
            return ERR_TIMEOUT;
        }
        service_manager_vouch(&s->manager, clock_mono_ms());
        clock_sleep_ms(10);
    }
    if (status == 0)
        return 0;
    if (status == 127)
        return ERR_NOTFOUND;
    return ERR_INVAL;
}

static void become_new(struct supervisor *s, struct handover *h, int record)
{
    char number[16];
    snprintf(number, sizeof number, "%d", record);
    handover_keep(h, true);
    int rc = ERR_NOMEM;
    if (!setenv(HANDOVER_ENV, number, 1))
        rc = check_new(s);
    if (!rc) {
        log_info("daemon: restart: becoming %s", s->program);
        service_manager_reloading(&s->manager, "another program takes over");
        if (s->edge)
            edge_before_exec(s->edge);
        execv(s->program, s->argv);
        rc = err_from_errno(errno);
    }
    unsetenv(HANDOVER_ENV);
    handover_keep(h, false);
    char why[600];
    const char *says = err_text(rc);
    if (rc == ERR_INVAL)
        says = "refuses: the log of meridiand says why (journalctl -u meridiand)";
    else if (rc == ERR_NOTFOUND)
        says = "cannot be executed";
    snprintf(why, sizeof why, "%.400s --check %s", s->program, says);
    tell_failed(s, why);
}

void restart_request(struct supervisor *s)
{
    if (s->take != TAKE_NONE) {
        s->restart_due = false;
        log_warn("daemon: restart: one is under way");
        return;
    }
    if (s->old || clock_mono_ms() < s->restart_ms) { // the loop asks again
        if (!s->restart_waits)
            log_info(
                "daemon: restart: waits until the worker of the one before has ended its uploads");
        s->restart_waits = true;
        return;
    }
    s->restart_due = s->restart_waits = false;
    s->restart_ms = clock_mono_ms() + RESTART_EVERY_MS;
    struct diag d;
    diag_init(&d);
    int record = -1, rc = path_trusted(s->program, s->id, &d);
    struct handover h = {.data_dir = (char *)(uintptr_t)s->node->data_dir,
                         .runtime_dir = (char *)(uintptr_t)s->node->runtime_dir,
                         .lock_fd = s->lock_fd,
                         .worker = s->worker,
                         .ipc_fd = s->ipc_fd,
                         .edge = {.life_fd = -1, .log_write_fd = -1, .log_read_fd = -1},
                         .fds = s->fds,
                         .n_fds = s->n_fds};
    if (s->edge)
        edge_handover(s->edge, &h.edge);
    if (!rc)
        rc = handover_write(&h, &record);
    supervisor_log_diag(&d);
    diag_done(&d);
    if (rc) {
        tell_failed(s, err_text(rc));
        return;
    }
    become_new(s, &h, record); // returns only when that failed
    close(record);
}

// ---- the new program ----

static void keep_old(struct supervisor *s, const char *why)
{
    sockets_close(&s->sockets);
    if (s->old) {
        if (s->ipc_fd >= 0)
            close(s->ipc_fd);
        s->worker = s->old;
        s->ipc_fd = s->old_link;
        s->old = 0;
        service_manager_other_worker(&s->manager);
        s->old_link = -1;
    }
    s->take = TAKE_NONE;
    s->link_ended = false;
    s->edge_frozen = s->edge_due = true;
    tell_failed(s, why);
}

static bool is_child(pid_t pid)
{
    siginfo_t si;
    return pid > 1 && !waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT);
}

static void take_edge(struct supervisor *s, const struct handover *h)
{
    const struct edge_config c = {.nginx = s->node->nginx,
                                  .runtime_dir = s->paths->edge_dir,
                                  .confine = supervisor_edge_confine(s),
                                  .access = s->node->access_requests,
                                  .access_file = s->node->access_file,
                                  .access_max_bytes = s->node->access_max_bytes};
    if (!is_child(h->edge.pid)) {
        const int unused[] = {h->edge.life_fd, h->edge.log_write_fd, h->edge.log_read_fd};
        for (size_t i = 0; i < ARRAY_LEN(unused); i++)
            if (unused[i] > STDERR_FILENO)
                close(unused[i]);
        return;
    }
    int rc = edge_adopt(&c, &h->edge, &s->edge);
    if (rc) { // another is started once this one is gone
        log_error("edge: the running nginx cannot be taken over: %s", err_text(rc));
        kill(h->edge.pid, SIGKILL);
        waitpid(h->edge.pid, NULL, 0);
    }
}

int restart_take(struct supervisor *s, struct handover *h)
{
    s->lock_fd = h->lock_fd;
    s->worker = h->worker;
    s->ipc_fd = h->ipc_fd;
    s->fds = take_ptr(h->fds);
    s->n_fds = h->n_fds;
    s->fds_handed = true;
    if (!is_child(s->worker)) {
        log_error("daemon: restart: the worker that was handed over is none of ours");
        return ERR_CORRUPT;
    }
    take_edge(s, h);
    struct diag d;
    diag_init(&d);
    int rc = paths_prepare(s->node, s->paths, s->id, &s->lock_fd, &d);
    if (!rc)
        rc = sockets_open(s->node, s->paths, s->id, s->fds, s->n_fds, 0, &d, &s->sockets);
    if (!rc) {
        s->old = s->worker;
        s->old_link = s->ipc_fd;
        s->ipc_fd = -1;
        rc = supervisor_start_worker(s, true);
    }
    supervisor_log_diag(&d);
    diag_done(&d);
    if (rc) {
        keep_old(s, err_text(rc));
        return 0;
    }
    s->take = TAKE_STARTING;
    s->take_until_ms = clock_mono_ms() + START_MS;
    return 0;
}

void restart_worker_died(struct supervisor *s)
{
    keep_old(s, "the new worker ended before it answered");
}

static void yield_begin(struct supervisor *s)
{
    s->writes_open = false;
    ipc_send(s->old_link, &(struct ipc_message){.kind = IPC_YIELD});
    s->take = TAKE_YIELDING;
    s->take_until_ms = clock_mono_ms() + s->node->drain_s * 1000 + YIELD_EXTRA_MS;
}

static void opening_begin(struct supervisor *s)
{
    ipc_send(s->ipc_fd, &(struct ipc_message){.kind = s->writes_open ? IPC_GO_ON : IPC_ALONE});
    s->writes_open = false;
    s->take = TAKE_OPENING;
}

static void finish(struct supervisor *s)
{
    size_t n = sockets_count(&s->sockets);
    int *fds = mem_zalloc_array(n + 1, sizeof *fds);
    if (fds) { // else the old ones stay open: they are the same sockets
        for (size_t i = 0; s->fds_handed && i < s->n_fds; i++)
            close(s->fds[i]);
        free(s->fds);
        sockets_fds(&s->sockets, fds);
        s->fds = fds;
        s->n_fds = n;
        s->fds_handed = false;
    }
    s->take = TAKE_NONE;
    s->edge_due = s->reload_due = true;
    if (s->edge && !s->edge_wanted) {
        edge_stop(s->edge, s->node->drain_s * 1000);
        s->edge = NULL;
    }
    log_info("daemon: restart: the new worker, pid %d, has taken over", (int)s->worker);
}

static bool old_released(struct supervisor *s)
{
    struct ipc_message m;
    int rc;
    while (s->old && !(rc = ipc_receive(s->old_link, &m)))
        if (m.kind == IPC_OPEN)
            s->writes_open = true;
        else if (m.kind == IPC_RELEASED)
            return true;
    // a closed link alone says nothing: it may still hold the store until it is reaped
    return !s->old;
}

static void old_turn(struct supervisor *s)
{
    int status;
    if (s->old && s->take != TAKE_STARTING && clock_mono_ms() >= s->take_until_ms) {
        log_error("daemon: restart: the old worker did not stop in time and is killed");
        kill(s->old, SIGKILL);
        waitpid(s->old, NULL, 0);
        s->old = 0;
    } else if (s->old && supervisor_reap(s->old, &status)) {
        s->old = 0;
    }
    if (!s->old && s->old_link >= 0) {
        close(s->old_link);
        s->old_link = -1;
    }
}

void restart_turn(struct supervisor *s)
{
    bool released = s->take == TAKE_YIELDING && old_released(s);
    old_turn(s);
    switch (s->take) {
    case TAKE_NONE:
        break;
    case TAKE_STARTING:
        if (s->serving && s->old) {
            yield_begin(s);
        } else if (s->serving) { // it died by itself
            opening_begin(s);
        } else if (clock_mono_ms() >= s->take_until_ms) {
            kill(s->worker, SIGKILL);
            waitpid(s->worker, NULL, 0);
            s->worker = 0;
            if (s->old)
                keep_old(s, "the new worker did not answer in time");
        }
        break;
    case TAKE_YIELDING:
        if (released || !s->old)
            opening_begin(s);
        break;
    case TAKE_OPENING:
        if (s->ready)
            finish(s);
    }
}
