// SPDX-License-Identifier: Apache-2.0
// nginx's life under the supervisor; see edge.h. One thread: the supervisor's main thread, which
// must also be the one that outlives the child (the kernel's parent-death signal is tied to the
// thread that forked).
//
// Invariants
//   1. nginx.conf in the runtime folder, with the copies of certificates it names, has always
//      passed `nginx -t`: a new text is tested beside and renamed.
//   2. The master leads a process group of its own. Before its pid is reaped the group is killed,
//      so that no worker keeps a port and the number cannot have been given to anyone else.
//   3. When the supervisor dies, however it dies, the kernel ends the master; when the master dies,
//      however it dies, the kernel ends its workers, because it is the first of a process
//      namespace. Where no namespace can be had (not root), the master gets SIGTERM and ends its
//      workers itself; then only killing both at once leaves workers behind.
#include "net/edge.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/edge_priv.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define EDGE_BACKOFF_MIN_MS 100
#define EDGE_BACKOFF_MAX_MS 10000
#define EDGE_HEALTHY_MS 60000 // so long a life forgets earlier failures
#define EDGE_START_MS 8000    // nginx itself retries a taken port for 2.5 s

static int master_bury(struct edge *e)
{
    int status = edge_child_bury(e->pid);
    close(e->life_fd);
    e->life_fd = -1;
    e->pid = e->status.pid = 0;
    return status;
}

// Why it ended, for people: its own first fatal complaint, if it made one.
static void tell_end(struct edge *e, const char *what)
{
    char reason[EDGE_LOG_LINE_MAX];
    edge_log_reason(&e->log, reason, sizeof reason);
    snprintf(e->status.last_error, sizeof e->status.last_error, "%.100s%s%.400s", what,
             *reason ? ": " : "", reason);
}

static int master_start(struct edge *e)
{
    unlink(e->pid_file);
    const char *const argv[] = {e->nginx, "-p", e->runtime_dir, "-e",
                                "stderr", "-c", e->conf,        NULL};
    pid_t pid = edge_child_start(e, e->log.write_fd, argv, &e->own_space, &e->life_fd);
    if (pid < 0)
        return ERR_NOMEM;
    e->pid = e->status.pid = pid;
    e->started_ms = clock_mono_ms();
    e->status.state = EDGE_RUNNING;
    return 0;
}

static void backoff(struct edge *e)
{
    if (clock_mono_ms() - e->started_ms >= EDGE_HEALTHY_MS)
        e->backoff_ms = 0;
    if (e->backoff_ms)
        e->backoff_ms = e->backoff_ms * 2;
    else
        e->backoff_ms = EDGE_BACKOFF_MIN_MS;
    if (e->backoff_ms > EDGE_BACKOFF_MAX_MS)
        e->backoff_ms = EDGE_BACKOFF_MAX_MS;
    e->status.state = EDGE_BACKOFF;
    e->status.next_try_ms = clock_mono_ms() + e->backoff_ms;
}

static void describe_end(int status, char *out, size_t cap)
{
    if (WIFSIGNALED(status))
        snprintf(out, cap, "nginx was killed by signal %d", WTERMSIG(status));
    else
        snprintf(out, cap, "nginx ended with status %d", WEXITSTATUS(status));
}

// Of our environment nginx gets what says how to read time and OpenSSL's settings: names of sockets
// to take over, or of libraries to load first, it does not.
static bool environment_keep(struct edge *e)
{
    static const char *const names[] = {"TZ", "OPENSSL_CONF", "OPENSSL_MODULES"};
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *value = getenv(names[i]);
        if (!value)
            continue;
        e->kept[n] = mem_printf("%s=%s", names[i], value);
        e->environment[n] = e->kept[n];
        if (!e->kept[n++])
            return false;
    }
    return true;
}

static void edge_free(struct edge *e)
{
    for (size_t i = 0; i < ARRAY_LEN(e->kept); i++)
        free(e->kept[i]);
    free(e->nginx);
    free(e->runtime_dir);
    free(e->conf);
    free(e->conf_new);
    free(e->pid_file);
    edge_log_stop(&e->log);
    edge_pems_free(&e->pems);
    free(e);
}

static struct edge *edge_new(const struct edge_config *c)
{
    struct edge *e = mem_zalloc(sizeof *e);
    if (!e)
        return NULL;
    e->nginx = mem_strdup(c->nginx);
    e->runtime_dir = mem_strdup(c->runtime_dir);
    e->conf = mem_printf("%s/nginx.conf", c->runtime_dir);
    e->conf_new = mem_printf("%s/nginx.conf.new", c->runtime_dir);
    e->pid_file = mem_printf("%s/nginx.pid", c->runtime_dir);
    e->confine = c->confine;
    e->log = (struct edge_log)EDGE_LOG_NONE;
    e->life_fd = -1;
    e->status.state = EDGE_STOPPED;
    if (environment_keep(e) && e->nginx && e->runtime_dir && e->conf && e->conf_new && e->pid_file)
        return e;
    edge_free(e);
    return NULL;
}

// nginx writes its pid once its ports are open.
static bool master_ready(const struct edge *e)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 32);
    long expected = 1;
    if (!e->own_space)
        expected = (long)e->pid;
    if (file_read(e->pid_file, 32, &b))
        return false;
    return strtol(buf_cstr(&b), NULL, 10) == expected;
}

// Versions before this one had nginx write a log of its own, with the queries of signed URLs in it.
static void remove_old_logs(const struct edge *e)
{
    static const char *const names[] = {"nginx.log", "nginx.log.1"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO_FREE char *path = mem_printf("%s/%s", e->runtime_dir, names[i]);
        if (path)
            unlink(path);
    }
}

// nginx makes them itself when they are not there, and gives them to its workers: for which it
// would need a capability.
static int temps_make(const struct edge_config *c, struct diag *diag)
{
    for (size_t i = 0; c->user && i < ARRAY_LEN(edge_temps); i++) {
        AUTO_FREE char *path = mem_printf("%s/tmp-%s", c->runtime_dir, edge_temps[i]);
        if (!path)
            return ERR_NOMEM;
        if ((mkdir(path, 0700) && errno != EEXIST) || chown(path, c->worker_uid, (gid_t)-1)) {
            diag_add(diag, NULL, 0, "%s: cannot be made for nginx's workers: %s", path,
                     strerror(errno));
            return err_from_errno(errno);
        }
    }
    return 0;
}

static struct edge_log_options log_options(const struct edge_config *c)
{
    return (struct edge_log_options){.become = c->confine.log_user,
                                     .confine = c->confine.log,
                                     .ctx = c->confine.ctx,
                                     .access_file =
                                         c->access == ACCESS_LOG_NONE ? NULL : c->access_file,
                                     .access_max_bytes = c->access_max_bytes};
}

int edge_start(const struct edge_config *c, struct diag *diag, struct edge **out)
{
    if (!c->nginx || !c->runtime_dir)
        return ERR_INVAL;
    struct edge *e = edge_new(c);
    if (!e)
        return ERR_NOMEM;
    remove_old_logs(e);
    const struct edge_log_options o = log_options(c);
    bool same;
    int rc = edge_log_start(&e->log, &o);
    if (!rc)
        rc = temps_make(c, diag);
    if (!rc)
        rc = edge_conf_replace(e, c, diag, &same);
    if (!rc && (rc = master_start(e)))
        diag_add(diag, NULL, 0, "nginx cannot be started: %s", err_text(rc));
    if (rc) {
        edge_free(e);
        return rc;
    }
    int64_t until = clock_mono_ms() + EDGE_START_MS;
    while (!master_ready(e)) {
        bool ended = edge_child_ended(e->pid);
        if (!ended && clock_mono_ms() < until) {
            clock_sleep_ms(5);
            continue;
        }
        master_bury(e);
        tell_end(e, ended ? "nginx did not start" : "nginx was not ready in time");
        diag_add(diag, NULL, 0, "%s", e->status.last_error);
        edge_free(e);
        return ERR_IO;
    }
    *out = e;
    return 0;
}

void edge_handover(const struct edge *e, struct edge_handover *out)
{
    *out = (struct edge_handover){.pid = e->pid,
                                  .life_fd = e->life_fd,
                                  .own_space = e->own_space,
                                  .log_write_fd = e->log.write_fd,
                                  .log_read_fd = e->log.read_fd};
}

void edge_before_exec(struct edge *e)
{
    edge_log_end_reader(&e->log);
}

void edge_close(const struct edge *e)
{
    if (e->life_fd >= 0)
        close(e->life_fd);
    edge_log_close(&e->log);
}

int edge_adopt(const struct edge_config *c, const struct edge_handover *h, struct edge **out)
{
    struct edge *e = edge_new(c);
    if (!e)
        return ERR_NOMEM;
    const struct edge_log_options o = log_options(c);
    int rc = edge_log_adopt(&e->log, h->log_write_fd, h->log_read_fd, &o);
    if (rc) {
        edge_free(e);
        return rc;
    }
    e->pid = e->status.pid = h->pid;
    e->life_fd = h->life_fd;
    e->own_space = h->own_space;
    e->started_ms = clock_mono_ms();
    e->status.state = EDGE_RUNNING;
    *out = e;
    return 0;
}

int edge_reload(struct edge *e, const struct edge_config *c, struct diag *diag)
{
    bool same = false;
    int rc = edge_conf_replace(e, c, diag, &same);
    if (!rc && e->pid && !same) // a reload would close connections that clients keep
        kill(e->pid, SIGHUP);   // when it is down just now, the next start reads the new text
    return rc;
}

void edge_reopen_logs(struct edge *e)
{
    edge_log_reopen(&e->log);
}

void edge_tick(struct edge *e)
{
    edge_log_tick(&e->log);
    if (e->status.state == EDGE_RUNNING && edge_child_ended(e->pid)) {
        char why[64];
        describe_end(master_bury(e), why, sizeof why);
        tell_end(e, why);
        backoff(e);
        log_error("edge: %s; next try in %u ms", e->status.last_error, e->backoff_ms);
    } else if (e->status.state == EDGE_BACKOFF && clock_mono_ms() >= e->status.next_try_ms) {
        int rc = master_start(e);
        e->status.n_restarts++;
        if (rc) {
            e->started_ms = clock_mono_ms();
            snprintf(e->status.last_error, sizeof e->status.last_error,
                     "nginx cannot be started: %s", err_text(rc));
            backoff(e);
        } else
            log_info("edge: nginx started again, pid %d", (int)e->pid);
    }
}

void edge_status(const struct edge *e, struct edge_status *out)
{
    *out = e->status;
}

void edge_stop(struct edge *e, unsigned drain_ms)
{
    if (!e)
        return;
    if (e->pid) {
        kill(e->pid, SIGQUIT);
        if (!edge_child_wait(e->pid, drain_ms)) {
            kill(e->pid, SIGTERM);
            edge_child_wait(e->pid, 2000);
        }
        master_bury(e);
    }
    edge_free(e);
}
