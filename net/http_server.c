// SPDX-License-Identifier: Apache-2.0
// The server around the exchanges: its unix socket, libmicrohttpd, the timer that ends suspensions,
// and the drain. Started and stopped by the daemon's main thread.
#include "net/http.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/http_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define QUIET_TURNS 15          // of 10 ms
#define QUIET_YIELDED_TURNS 100 // a successor serves already
#define GIVE_UP_MS 2000         // bodies that did not come in the drain get their answer

// --- timer ---

static void mono_timespec(int64_t ms, struct timespec *out)
{
    out->tv_sec = (time_t)(ms / 1000);
    out->tv_nsec = (long)(ms % 1000) * 1000000;
}

static void timer_sweep(struct http_server *s) // enters and leaves with the lock
{
    int64_t now = clock_mono_ms(), next = INT64_MAX;
    struct http_exchange *release = NULL;
    for (struct http_exchange *ex = s->exchanges; ex; ex = ex->next) {
        if (!atomic_load(&ex->refs))
            continue; // being freed: waits for this lock
        bool drop = false;
        int64_t at = http_exchange_tick(ex, now, &drop);
        if (drop) {
            ex->release_next = release;
            release = ex;
        }
        if (at < next)
            next = at;
    }
    // many deadlines, few sweeps
    if (next != INT64_MAX && next < now + 20)
        s->timer_ms = now + 20;
    else
        s->timer_ms = next;
    if (!release)
        return;
    pthread_mutex_unlock(&s->lock);
    while (release) {
        struct http_exchange *ex = release;
        release = ex->release_next;
        http_exchange_unref(ex);
    }
    pthread_mutex_lock(&s->lock);
}

static void *timer_thread(void *arg)
{
    struct http_server *s = arg;
    pthread_setname_np(pthread_self(), "http-timer");
    pthread_mutex_lock(&s->lock);
    while (!s->timer_stop) {
        if (s->timer_ms == INT64_MAX)
            pthread_cond_wait(&s->timer_cond, &s->lock);
        else if (clock_mono_ms() < s->timer_ms) {
            struct timespec ts;
            mono_timespec(s->timer_ms, &ts);
            pthread_cond_timedwait(&s->timer_cond, &s->lock, &ts);
        } else {
            timer_sweep(s);
            http_linger_end(s, clock_mono_ms());
        }
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

// --- libmicrohttpd's callbacks ---

static void *on_target(void *cls, const char *uri, struct MHD_Connection *conn)
{
    (void)conn;
    return http_exchange_new(cls, uri);
}

static enum MHD_Result on_call(void *cls, struct MHD_Connection *conn, const char *url,
                               const char *method, const char *version, const char *data,
                               size_t *n_data, void **con_cls)
{
    (void)cls, (void)url;
    if (*con_cls)
        return http_exchange_call(*con_cls, conn, method, version, data, n_data);
    return MHD_NO;
}

static void on_completed(void *cls, struct MHD_Connection *conn, void **con_cls,
                         enum MHD_RequestTerminationCode why)
{
    (void)cls, (void)conn, (void)why;
    if (*con_cls)
        http_exchange_completed(take_ptr(*con_cls));
}

static size_t keep_escapes(void *cls, struct MHD_Connection *conn, char *text)
{
    (void)cls, (void)conn;
    return strlen(text); // we read the raw target; nothing is decoded behind our back
}

static void on_library_log(void *cls, const char *fmt, va_list ap)
{
    static struct log_limit lim = LOG_LIMIT(5000);
    (void)cls;
    char text[256];
    vsnprintf(text, sizeof text, fmt, ap);
    text[strcspn(text, "\r\n")] = 0;
    log_limited(&lim, LOG_DEBUG, "http: %s", text);
}

// --- start ---

int http_socket_open(const char *path, mode_t mode, uid_t uid, gid_t gid, int *out_fd)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int n = snprintf(sun.sun_path, sizeof sun.sun_path, "%s.new", path);
    if (n < 0 || (size_t)n >= sizeof sun.sun_path)
        return ERR_TOOBIG;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_from_errno(errno);
    unlink(sun.sun_path);
    // at birth: chmod would follow what someone else puts in its place
    mode_t mask = umask(0777 & ~mode);
    bool bound = !bind(fd, (struct sockaddr *)&sun, sizeof sun);
    umask(mask);
    bool owned = uid == (uid_t)-1 && gid == (gid_t)-1;
    if (!bound || listen(fd, 1024) || (!owned && lchown(sun.sun_path, uid, gid)) ||
        rename(sun.sun_path, path)) {
        int rc = err_from_errno(errno);
        if (bound)
            unlink(sun.sun_path);
        close(fd);
        return rc;
    }
    *out_fd = fd;
    return 0;
}

static struct MHD_Daemon *library_start(struct http_server *s)
{
    struct MHD_OptionItem threads[] = {{MHD_OPTION_THREAD_POOL_SIZE, s->options.n_threads, NULL},
                                       {MHD_OPTION_END, 0, NULL}};
    if (s->options.n_threads < 2)
        threads[0] = threads[1];
    return MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        on_call, s, MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL, MHD_OPTION_LISTEN_SOCKET,
        s->listen_fd, MHD_OPTION_CONNECTION_LIMIT, s->options.max_connections,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)(64 << 10), MHD_OPTION_CONNECTION_TIMEOUT,
        s->options.idle_timeout_s, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, NULL, MHD_OPTION_URI_LOG_CALLBACK, on_target, s, MHD_OPTION_UNESCAPE_CALLBACK,
        keep_escapes, NULL, MHD_OPTION_ARRAY, threads, MHD_OPTION_END);
}

static void defaults(struct http_server_options *o)
{
    if (!o->n_threads)
        o->n_threads = 1;
    if (!o->max_connections)
        o->max_connections = 4096;
    if (!o->sink_window_bytes)
        o->sink_window_bytes = 512 << 10;
    if (!o->uploads_budget_bytes)
        o->uploads_budget_bytes = 16 << 20;
    // more than the edge keeps an idle connection
    if (!o->idle_timeout_s)
        o->idle_timeout_s = 120;
    if (!o->body_window_ms)
        o->body_window_ms = 30000;
    if (!o->slow_body_ms)
        o->slow_body_ms = 15000;
    if (!o->run_deadline_ms)
        o->run_deadline_ms = 300000;
}

static void server_release(struct http_server *s)
{
    http_spare_free(s);
    share_free(s->share);
    pthread_mutex_destroy(&s->spare_lock);
    pthread_cond_destroy(&s->timer_cond);
    pthread_cond_destroy(&s->idle_cond);
    pthread_mutex_destroy(&s->lock);
    free(s->socket_path);
    free(s);
}

static void timer_end(struct http_server *s)
{
    pthread_mutex_lock(&s->lock);
    s->timer_stop = true;
    pthread_cond_signal(&s->timer_cond);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->timer, NULL);
}

static void listen_unlink(const struct http_server *s)
{
    if (s->socket_path)
        unlink(s->socket_path);
}

static void listen_close(struct http_server *s)
{
    listen_unlink(s);
    close(s->listen_fd);
}

static int listen_open(struct http_server *s)
{
    const struct http_server_options *o = &s->options;
    s->listen_fd = o->listen_fd; // taken over, also when it fails
    if (o->listener == LISTENER_PUBLIC) {
        s->share = share_new(o->max_connections);
        if (!s->share) {
            if (o->listen_fd)
                close(o->listen_fd);
            return ERR_NOMEM;
        }
    }
    if (o->listen_fd)
        return 0;
    s->socket_path = mem_strdup(o->socket_path);
    if (!s->socket_path)
        return ERR_NOMEM;
    return http_socket_open(o->socket_path, o->socket_mode, (uid_t)-1, (gid_t)o->socket_gid,
                            &s->listen_fd);
}

int http_server_start(const struct http_server_options *o, const struct http_app *app,
                      struct http_server **out)
{
    struct http_server *s = mem_zalloc(sizeof *s);
    if (!s) {
        if (o->listen_fd)
            close(o->listen_fd);
        return ERR_NOMEM;
    }
    s->options = *o;
    defaults(&s->options);
    s->app = *app;
    s->timer_ms = INT64_MAX;
    s->listen_fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->spare_lock, NULL);
    pthread_condattr_t mono;
    pthread_condattr_init(&mono);
    pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
    pthread_cond_init(&s->timer_cond, &mono);
    pthread_cond_init(&s->idle_cond, &mono);
    pthread_condattr_destroy(&mono);
    int rc = listen_open(s);
    if (rc) {
        server_release(s);
        return rc;
    }
    if (pthread_create(&s->timer, NULL, timer_thread, s)) {
        listen_close(s);
        server_release(s);
        return ERR_NOMEM;
    }
    s->daemon = library_start(s);
    if (!s->daemon) {
        timer_end(s);
        listen_close(s);
        server_release(s);
        return ERR_IO;
    }
    *out = s;
    return 0;
}

// --- stop ---

void http_server_resume_all(struct http_server *s, bool cut) // under the lock
{
    for (struct http_exchange *ex = s->exchanges; ex; ex = ex->next)
        if (atomic_load(&ex->refs))
            http_exchange_resume(ex, cut);
}

static bool is_busy(const struct http_server *s, bool all) // under the lock
{
    if (all)
        return s->exchanges;
    return atomic_load(&s->active) > 0;
}

// Waits until nothing is left of what `done` counts, or the deadline; nudges what is suspended
// meanwhile, because a stream may fall asleep just after it was woken.
static void wait_idle(struct http_server *s, int64_t until_ms, bool all)
{
    pthread_mutex_lock(&s->lock);
    while (is_busy(s, all) && clock_mono_ms() < until_ms) {
        http_server_resume_all(s, all);
        struct timespec ts;
        mono_timespec(clock_mono_ms() + 20, &ts);
        pthread_cond_timedwait(&s->idle_cond, &s->lock, &ts);
    }
    pthread_mutex_unlock(&s->lock);
}

// A successor listens on the same socket: an edge that keeps connections open learns with each
// answer that this one closes. Those it does not use are only closed once nothing was asked for a
// while.
static void wait_quiet(struct http_server *s, int64_t until_ms)
{
    int turns = QUIET_TURNS;
    if (atomic_load(&s->yielded))
        turns = QUIET_YIELDED_TURNS;
    for (int quiet = 0; quiet < turns && clock_mono_ms() < until_ms; quiet++) {
        clock_sleep_ms(10);
        if (atomic_load(&s->active)) {
            wait_idle(s, until_ms, false);
            quiet = 0;
        }
    }
}

static void bodies_give_up(struct http_server *s)
{
    if (!atomic_load(&s->active))
        return;
    pthread_mutex_lock(&s->lock);
    for (struct http_exchange *ex = s->exchanges; ex; ex = ex->next)
        if (atomic_load(&ex->refs))
            http_exchange_give_up(ex, 503);
    pthread_mutex_unlock(&s->lock);
    wait_idle(s, clock_mono_ms() + GIVE_UP_MS, false);
}

static bool any_suspended(struct http_server *s)
{
    bool suspended = false;
    pthread_mutex_lock(&s->lock);
    http_server_resume_all(s, true);
    for (struct http_exchange *ex = s->exchanges; ex; ex = ex->next) {
        pthread_mutex_lock(&ex->lock);
        suspended = suspended || (ex->suspended && ex->conn);
        pthread_mutex_unlock(&ex->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return suspended;
}

// A suspended connection must be resumed before the library stops; those whose request is with the
// pool end when their job does, since the job holds the memory.
static void all_resume(struct http_server *s)
{
    int64_t patience = clock_mono_ms() + 2000;
    while (any_suspended(s) && clock_mono_ms() <= patience)
        clock_sleep_ms(5);
}

void http_server_stop(struct http_server *s, unsigned drain_ms)
{
    if (!s)
        return;
    if (!atomic_load(&s->yielded))
        MHD_quiesce_daemon(s->daemon);
    listen_unlink(s);
    atomic_store(&s->draining, true);
    int64_t until = clock_mono_ms() + drain_ms;
    wait_idle(s, until, false);
    bodies_give_up(s);
    if (s->options.listen_fd &&
        (s->options.listener == LISTENER_PUBLIC || s->options.listener == LISTENER_PEER))
        wait_quiet(s, until);
    atomic_store(&s->closing, true);
    all_resume(s);
    MHD_stop_daemon(s->daemon); // completes every request
    close(s->listen_fd);
    wait_idle(s, INT64_MAX, true);
    timer_end(s);
    http_linger_end(s, INT64_MAX);
    server_release(s);
}

size_t http_server_active(const struct http_server *s)
{
    return atomic_load(&s->active);
}
