// SPDX-License-Identifier: Apache-2.0
// Life of the worker, and of all; see supervisor.h. One thread: PR_SET_PDEATHSIG counts from the
// thread that forked.
#include "daemon/supervisor.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/resident.h"
#include "daemon/ports.h"
#include "daemon/preflight.h"
#include "daemon/sandbox.h"
#include "daemon/supervisor_priv.h"
#include "daemon/worker.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK_MS 200
#define REST_TICKS 10
#define PORT_WAIT_MS 5000 // a forerunner that was killed may still be ending
// beyond the drain
#define EDGE_STOP_EXTRA_MS 2500
#define WORKER_STOP_EXTRA_MS 10000

void supervisor_log_diag(struct diag *d)
{
    for (size_t i = 0; i < d->n; i++)
        log_error("%s", d->lines[i]);
    diag_done(d);
    diag_init(d);
}

static int drop_privileges(const struct identity *id)
{
    if (geteuid() == 0)
        sandbox_drop_bounding();
    if (id->switches) {
        gid_t groups[1] = {id->edge_gid};
        if (setgroups(1, groups) || setgid(id->gid) || setuid(id->uid))
            return err_from_errno(errno);
        if (setuid(0) == 0)
            return ERR_DENIED; // still root: refuse to go on
    }
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return 0;
}

// Before the process has a second thread. Without, when it was asked for, nothing starts.
static void supervisor_sandbox(const struct supervisor *s, int (*enter)(struct diag *))
{
    struct diag d;
    diag_init(&d);
    if (s->node->sandbox == SANDBOX_STRICT && enter(&d)) {
        supervisor_log_diag(&d);
        _exit(1);
    }
    diag_done(&d);
}

// In the worker: what is the supervisor's alone. The lock of data_dir is not: a worker that was
// killed with its supervisor, and still ends, holds ports and store. In a restart that is also the
// forerunner's copy of each socket, which would keep an address bound that the new settings no
// longer have, and nobody would read what comes there.
static void close_supervisors(const struct supervisor *s)
{
    const int own[] = {s->sig_fd, s->old_link};
    if (s->edge)
        edge_close(s->edge);
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        if (own[i] >= 0)
            close(own[i]);
    for (size_t i = 0; s->fds_handed && i < s->n_fds; i++)
        close(s->fds[i]);
}

int supervisor_start_worker(struct supervisor *s, bool beside)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
        return err_from_errno(errno);
    pid_t parent = getpid();
    s->worker = fork();
    if (s->worker < 0) {
        int rc = err_from_errno(errno);
        close(fds[0]);
        close(fds[1]);
        return rc;
    }
    if (s->worker == 0) {
        close(fds[0]);
        close_supervisors(s);
        setpgid(0, 0); // a Ctrl-C reaches the supervisor only: it drains in order
        int rc = drop_privileges(s->id);
        if (rc) {
            log_error("daemon: cannot become user %s: %s", s->node->user, err_text(rc));
            _exit(1);
        }
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); // after the change of user, which clears it
        if (getppid() != parent)
            _exit(1);
        supervisor_sandbox(s, sandbox_worker);
        exit(worker_run(s->node, s->paths, s->id, &s->sockets, fds[1], beside));
    }
    close(fds[1]);
    s->ipc_fd = fds[0];
    service_manager_other_worker(&s->manager);
    return 0;
}

bool supervisor_reap(pid_t pid, int *out_status)
{
    int status = 0;
    if (pid <= 0 || waitpid(pid, &status, WNOHANG) != pid)
        return false;
    if (WIFEXITED(status))
        *out_status = WEXITSTATUS(status);
    else
        *out_status = 1;
    if (WIFSIGNALED(status))
        log_error("daemon: pid %d was ended by signal %d", (int)pid, WTERMSIG(status));
    return true;
}

static bool worker_gone(struct supervisor *s, int *out_status)
{
    if (!supervisor_reap(s->worker, out_status))
        return false;
    s->worker = 0;
    return true;
}

// Few at a time, and reloads as one: a worker that talks without end must not keep us from our
// signals.
static void take_messages(struct supervisor *s)
{
    struct ipc_message m;
    int rc = 0;
    for (int i = 0; i < 64 && !rc && !s->link_ended; i++) {
        rc = ipc_receive(s->ipc_fd, &m);
        if (!rc && m.kind == IPC_READY) // the worker before may have ended ahead of IPC_RELOAD
            s->edge_due = s->ready = s->reload_due = true;
        else if (!rc && m.kind == IPC_SERVING)
            s->serving = true;
        else if (!rc && m.kind == IPC_RESTART)
            s->restart_due = true;
        else if (!rc && m.kind == IPC_RELOAD)
            s->reload_due = true;
        else if (!rc && m.kind == IPC_ALIVE)
            service_manager_answered(&s->manager);
        else if (rc == ERR_CLOSED)
            s->link_ended = true; // it is about to end, or out of its mind; polling on would spin
    }
}

static void end_old(struct supervisor *s, int64_t until)
{
    int status;
    while (s->old && !supervisor_reap(s->old, &status)) {
        if (clock_mono_ms() >= until) {
            kill(s->old, SIGKILL);
            waitpid(s->old, NULL, 0);
            break;
        }
        clock_sleep_ms(20);
    }
    s->old = 0;
}

// How long stop_all takes at most.
static int64_t stop_within_ms(const struct supervisor *s)
{
    int64_t drain_ms = (int64_t)s->node->drain_s * 1000, within_ms = 0;
    if (s->edge && s->worker)
        within_ms += drain_ms + EDGE_STOP_EXTRA_MS;
    if (s->worker)
        within_ms += drain_ms + WORKER_STOP_EXTRA_MS;
    if (s->old)
        within_ms += drain_ms + WORKER_STOP_EXTRA_MS;
    return within_ms;
}

static int stop_all(struct supervisor *s, int status)
{
    unsigned drain_ms = s->node->drain_s * 1000;
    service_manager_stopping(&s->manager, status ? "the worker died" : NULL, stop_within_ms(s));
    if (s->old)
        kill(s->old, SIGTERM);
    if (s->edge && s->worker)
        ipc_send(s->ipc_fd, &(struct ipc_message){.kind = IPC_DRAIN});
    if (s->edge)
        // requests in flight end while the worker still answers
        edge_stop(s->edge, s->worker ? drain_ms : 0);
    if (s->worker) {
        kill(s->worker, SIGTERM);
        int64_t until = clock_mono_ms() + drain_ms + WORKER_STOP_EXTRA_MS;
        while (!worker_gone(s, &status) && clock_mono_ms() < until)
            clock_sleep_ms(20);
        if (s->worker) {
            log_error("daemon: the worker did not stop in time and is killed");
            kill(s->worker, SIGKILL);
            waitpid(s->worker, NULL, 0);
            status = 1;
        }
    }
    end_old(s, clock_mono_ms() + drain_ms + WORKER_STOP_EXTRA_MS);
    close(s->ipc_fd);
    close(s->sig_fd);
    sockets_close(&s->sockets);
    unlink(s->paths->public_sock);
    unlink(s->paths->peer_sock);
    unlink(s->paths->tunnel_sock);
    unlink(s->paths->admin_sock);
    unlink(s->paths->operator_sock);
    snapshot_unref(s->topology);
    private_edge_done(&s->private);
    free(s->peers);
    free(s->fds);
    return status;
}

// Nothing happened for a tick. After a few of them, what was done last has left memory behind.
static void rest(unsigned *n_quiet)
{
    if (++*n_quiet == REST_TICKS)
        resident_release();
}

static void tell_manager(struct supervisor *s)
{
    struct service_state now = {.phase = SERVICE_STARTING,
                                .region = s->node->region,
                                .stamp = s->node->stamp,
                                .edge_wanted = s->edge_wanted,
                                .edge_runs = s->edge && s->told.state == EDGE_RUNNING,
                                .edge_error = s->told.last_error};
    if (s->take != TAKE_NONE)
        now.phase = SERVICE_RESTARTING;
    else if (s->edge_due) // the worker serves: a first one, a new one, or one that is kept
        now.phase = SERVICE_SERVING;
    int64_t now_ms = clock_mono_ms();
    service_manager_turn(&s->manager, &now, now_ms);
    if (s->take != TAKE_NONE) // a new worker opens the store, which takes its time
        service_manager_vouch(&s->manager, now_ms);
    else if (service_manager_ask(&s->manager, now_ms))
        (void)ipc_send(s->ipc_fd, &(struct ipc_message){.kind = IPC_PING});
}

static void look_again(struct supervisor *s)
{
    service_manager_reloading(&s->manager, "looking at topology, certificates and logs");
    if (s->old)
        kill(s->old, SIGHUP);
    kill(s->worker, SIGHUP);
    if (s->edge)
        edge_reopen_logs(s->edge);
    if (s->edge && !s->edge_frozen && s->take == TAKE_NONE)
        supervisor_edge_apply(s);
}

static int watch(struct supervisor *s)
{
    int status = 0;
    unsigned n_quiet = 0;
    for (;;) {
        struct pollfd fds[3] = {
            {.fd = s->sig_fd, .events = POLLIN},
            {.fd = s->link_ended ? -1 : s->ipc_fd, .events = POLLIN},
            {.fd = s->take == TAKE_YIELDING ? s->old_link : -1, .events = POLLIN}};
        int n_ready = poll(fds, 3, TICK_MS);
        if (n_ready < 0 && errno != EINTR)
            return stop_all(s, 1);
        if (n_ready == 0)
            rest(&n_quiet);
        else
            n_quiet = 0;
        struct signalfd_siginfo si;
        if (fds[0].revents && read(s->sig_fd, &si, sizeof si) == (ssize_t)sizeof si) {
            if (si.ssi_signo == SIGTERM || si.ssi_signo == SIGINT)
                return stop_all(s, 0);
            if (si.ssi_signo == SIGHUP)
                look_again(s);
            if (si.ssi_signo == SIGUSR2)
                s->restart_due = true;
        }
        if (worker_gone(s, &status)) {
            if (s->take != TAKE_STARTING || !s->old)
                return stop_all(s, status ? status : 1);
            restart_worker_died(s);
        }
        take_messages(s);
        restart_turn(s);
        if (!s->worker)
            return stop_all(s, 1);
        if (s->restart_due)
            restart_request(s);
        supervisor_edge_turn(s);
        tell_manager(s);
    }
}

static int start_first(struct supervisor *s, struct diag *d)
{
    const struct node *n = s->node;
    struct diag odd;
    diag_init(&odd);
    if (preflight_kernel_tls(n, &odd))
        log_warn("%s", odd.lines[0]);
    diag_done(&odd);
    int rc = preflight_edge_program(n, d);
    if (!rc)
        rc = paths_prepare(n, s->paths, s->id, &s->lock_fd, d);
    int64_t until_ms = clock_mono_ms() + PORT_WAIT_MS;
    if (!rc && s->edge_wanted)
        rc = ports_free(n->https, n->n_https, until_ms, d);
    if (!rc && s->edge_wanted)
        rc = ports_free(n->https_proxied, n->n_https_proxied, until_ms, d);
    if (!rc && s->edge_wanted)
        rc = ports_free(&n->peer, 1, until_ms, d);
    if (!rc && s->edge_wanted && n->admin.port)
        rc = ports_free(&n->admin, 1, until_ms, d);
    if (!rc)
        rc = sockets_open(n, s->paths, s->id, NULL, 0, until_ms, d, &s->sockets);
    if (!rc && n->sandbox == SANDBOX_STRICT)
        rc = sandbox_sockets_open(d);
    if (rc)
        return rc;
    s->n_fds = sockets_count(&s->sockets);
    s->fds = mem_zalloc_array(s->n_fds + 1, sizeof *s->fds);
    if (!s->fds)
        return ERR_NOMEM;
    sockets_fds(&s->sockets, s->fds);
    return supervisor_start_worker(s, false);
}

int supervisor_run(const struct supervisor_options *o)
{
    const struct node *n = o->node;
    struct supervisor s = {.node = n,
                           .paths = o->paths,
                           .id = o->id,
                           .program = o->program,
                           .argv = o->argv,
                           .ipc_fd = -1,
                           .old_link = -1,
                           .lock_fd = -1,
                           .sockets = SOCKETS_NONE};
    s.edge_wanted = edge_wanted(n);
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGUSR2};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        sigaddset(&set, signals[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    s.sig_fd = signalfd(-1, &set, SFD_CLOEXEC);

    // the filter brings it too, and not everybody has the filter
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    // A restart is under the filter of before; but the exec made it a process that dumps core
    // again.
    supervisor_sandbox(&s, o->handover ? sandbox_no_core_dumps : sandbox_supervisor);
    service_manager_init(&s.manager, o->handover != NULL);
    struct diag d;
    diag_init(&d);
    int rc;
    if (o->handover)
        rc = restart_take(&s, o->handover);
    else
        rc = start_first(&s, &d);
    if (rc)
        service_manager_failed(&s.manager, d.n ? d.lines[0] : err_text(rc));
    supervisor_log_diag(&d);
    diag_done(&d);
    if (rc) {
        log_error("daemon: cannot start: %s", err_text(rc));
        close(s.sig_fd);
        return 1;
    }
    return watch(&s);
}
