// SPDX-License-Identifier: Apache-2.0
// The worker's main thread: starts the rooms, waits for signals and messages from the supervisor,
// stops the rooms; see worker.h. Housekeeping has a thread of its own, and the rooms bring theirs.
#include "daemon/worker.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/resident.h"
#include "control/source.h"
#include "daemon/judge.h"
#include "daemon/preflight.h"
#include "daemon/supervisor_ipc.h"
#include "daemon/worker_priv.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

// Once all is served: names by this process, the rest through the edge.
static void tell_up(struct worker *w)
{
    if (w->told_up || !w->ready || (edge_wanted(w->node) && !w->edge_runs))
        return;
    w->told_up = true;
    log_info("daemon: region %s, stamp %s is up", w->node->region, w->node->stamp);
}

static void take_message(struct worker *w, const struct ipc_message *m)
{
    pthread_mutex_lock(&w->vitals.lock);
    if (m->kind == IPC_EDGE) {
        w->vitals.edge = m->edge;
        w->edge_runs = m->edge.state == EDGE_RUNNING;
    } else if (m->kind == IPC_FAILED)
        memcpy(w->vitals.restart_error, m->edge.last_error, sizeof w->vitals.restart_error);
    pthread_mutex_unlock(&w->vitals.lock);
    tell_up(w);
    if (m->kind == IPC_PRIVATE)
        judge_private_addresses(&w->app, m->edge.last_error);
    else if (m->kind == IPC_DRAIN)
        replicator_drain(w->app.replicator);
    else if (m->kind == IPC_PING)
        ipc_send(w->ipc_fd, &(struct ipc_message){.kind = IPC_ALIVE});
}

// Names are answered; the forerunner has the rest until the supervisor says otherwise.
// ERR_CANCELED: told to end.
static int wait_alone(struct worker *w, int sig_fd)
{
    ipc_send(w->ipc_fd, &(struct ipc_message){.kind = IPC_SERVING});
    for (;;) {
        struct pollfd fds[2] = {{.fd = sig_fd, .events = POLLIN},
                                {.fd = w->ipc_fd, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return err_from_errno(errno);
        struct signalfd_siginfo si;
        if (fds[0].revents && read(sig_fd, &si, sizeof si) == (ssize_t)sizeof si &&
            si.ssi_signo != SIGHUP)
            return ERR_CANCELED;
        struct ipc_message m;
        int rc = ERR_BUSY;
        if (fds[1].revents)
            rc = ipc_receive(w->ipc_fd, &m);
        w->continues = !rc && m.kind == IPC_GO_ON;
        if (rc == ERR_CLOSED || w->continues || (!rc && m.kind == IPC_ALONE))
            return rc;
        if (!rc)
            take_message(w, &m);
    }
}

// Waits for SIGTERM, SIGINT, SIGHUP and the supervisor's messages. True: a successor serves
// already.
static bool wait_for_end(struct worker *w, int sig_fd)
{
    for (;;) {
        struct pollfd fds[2] = {{.fd = sig_fd, .events = POLLIN},
                                {.fd = w->ipc_fd, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return false;
        struct signalfd_siginfo si;
        if (fds[0].revents && read(sig_fd, &si, sizeof si) == (ssize_t)sizeof si) {
            if (si.ssi_signo != SIGHUP)
                return false;
            topology_source_look(w->app.source);
            resolver_reopen_logs(w->app.resolver);
            audit_reopen(w->app.audit);
        }
        struct ipc_message m;
        int rc = ERR_BUSY;
        if (fds[1].revents)
            rc = ipc_receive(w->ipc_fd, &m);
        if (rc == ERR_CLOSED)
            return false; // the supervisor is gone
        if (!rc && m.kind == IPC_YIELD)
            return true;
        if (!rc)
            take_message(w, &m);
    }
}

int worker_run(const struct node *n, const struct paths *p, const struct identity *id,
               struct sockets *sockets, int ipc_fd, bool beside)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_SETMASK, &set, NULL);
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    int sig_fd = signalfd(-1, &set, SFD_CLOEXEC);

    struct worker w = {.node = n, .paths = p, .id = id, .sockets = sockets, .ipc_fd = ipc_fd};
    pthread_mutex_init(&w.vitals.lock, NULL);
    pthread_mutex_init(&w.replicator_lock, NULL);
    housekeeping_init(&w.housekeeping, &w.app);
    members_init(&w.members, &w.app);
    w.app.members = &w.members;
    impairment_init(&w.vitals.impairment);
    conditions_init(&w.vitals.conditions);
    w.app.node = n;
    w.app.topology = &w.topology;
    w.app.principals = &w.principals;
    w.app.verdicts = &w.verdicts;
    w.app.vitals = &w.vitals;
    w.app.ipc_fd = ipc_fd;
    w.app.paths = p;
    w.app.started_ms = clock_wall_ms();
    struct diag d;
    diag_init(&d);
    bool yields = false;
    int rc = worker_start_answering(&w, &d);
    w.beside = beside;
    if (!rc && beside)
        rc = wait_alone(&w, sig_fd);
    if (!rc)
        rc = worker_start_rooms(&w, &d);
    if (!rc) {
        housekeeping_judge(&w.housekeeping); // before anybody asks
        rc = worker_start_servers(&w);
    }
    if (!rc)
        rc = housekeeping_start(&w.housekeeping);
    if (!rc)
        rc = members_start(&w.members);
    for (size_t i = 0; i < d.n; i++)
        log_error("%s", d.lines[i]);
    diag_done(&d);
    if (!rc) {
        if (edge_wanted(n) && !w.edge_runs)
            log_info("daemon: region %s, stamp %s is ready, and waits for its edge", n->region,
                     n->stamp);
        w.ready = true;
        tell_up(&w);
        resident_release();
        ipc_send(ipc_fd, &(struct ipc_message){.kind = IPC_READY});
        yields = wait_for_end(&w, sig_fd);
        log_info("daemon: %s", yields ? "a new worker takes over" : "stopping");
    } else {
        log_error("daemon: cannot start: %s", err_text(rc));
    }
    worker_stop(&w, yields);
    sockets_close(sockets);
    close(sig_fd);
    if (rc)
        return 1;
    return 0;
}
