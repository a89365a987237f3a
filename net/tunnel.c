// SPDX-License-Identifier: Apache-2.0
// Tunnels: start and stop, the loop, who is silent; see tunnel.h. One thread, which waits for
// sockets alone.
#include "net/tunnel_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/tunnel_test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 64
#define ACCEPTS_MAX 16
#define TICK_MS 200 // limits and the topology are looked at so often while there are tunnels
#define ACCEPT_REST_MS 200
#define QUIET_MS 200 // a drained tunnel whose answer came so long ago has all of it

static void accept_watch(struct tunnels *all, bool on)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    if (on != all->accepting &&
        !epoll_ctl(all->epoll_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, all->o.listen_fd, &ev))
        all->accepting = on;
}

static void peers_apply(struct tunnels *all)
{
    for (struct tunnel *t = all->open, *next; t; t = next) {
        next = t->next;
        if (t->state != TUNNEL_HEAD && t->state != TUNNEL_LINGER &&
            tunnels_heard(all, t->region) == HEARD_AWAY)
            tunnel_fail(t, 503, "has fallen silent");
    }
}

// --- the topology in force ---

static void topology_apply(struct tunnels *all)
{
    uint64_t generation = snapshot_generation(all->o.topology);
    if (generation == all->generation)
        return;
    all->generation = generation;
    const struct topology *topology = snapshot_reader_get(&all->reader, all->o.topology);
    for (struct tunnel *t = all->open, *next; t; t = next) {
        next = t->next;
        if (t->state == TUNNEL_OPEN && !tunnel_pin_holds(t, topology)) {
            log_warn("edge: region %s: the topology no longer pins its certificate; what was "
                     "passed on ends",
                     t->region);
            tunnel_fail(t, 503,
                        "is no longer trusted: the topology does not pin its certificate any more");
        }
    }
}

// --- the loop ---

static void accept_some(struct tunnels *all)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        if (all->n_open >= all->o.max) {
            accept_watch(all, false);
            return;
        }
        int fd = accept4(all->o.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            tunnel_accepted(all, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            accept_watch(all, false); // level-triggered: it would be told of without end
            all->accept_mono = clock_mono_ms() + ACCEPT_REST_MS;
        }
        return;
    }
}

static void limits_apply(struct tunnels *all, bool stop, int64_t now)
{
    for (struct tunnel *t = all->open, *next; t; t = next) {
        next = t->next;
        if (t->until_mono && now >= t->until_mono)
            tunnel_expired(t);
    }
    if (all->accepting || stop)
        return;
    if (all->n_open < all->o.max && now >= all->accept_mono)
        accept_watch(all, true);
}

static bool more_apply(struct tunnels *all)
{
    bool more = false;
    for (struct tunnel *t = all->open, *next; t; t = next) {
        next = t->next;
        if (t->more)
            tunnel_go_on(t);
        more = more || t->more;
    }
    return more;
}

static void dead_free(struct tunnels *all)
{
    for (struct tunnel *t = all->dead, *next; t; t = next) {
        next = t->next;
        free(t->up.p);
        free(t);
    }
    all->dead = NULL;
}

// Ends those that have had their answer. true: none is left, or time is over.
static bool drained(struct tunnels *all, int64_t now)
{
    accept_watch(all, false);
    for (struct tunnel *t = all->open, *next; t; t = next) {
        next = t->next;
        bool rests;
        if (t->state == TUNNEL_HEAD)
            rests = !t->up.n;
        else
            rests = t->state == TUNNEL_OPEN && t->talk == TUNNEL_RESTS && !t->down.n &&
                    now - t->answered_mono >= QUIET_MS;
        if (rests || now >= all->stop_mono)
            tunnel_end_now(t);
    }
    return !all->open;
}

static void events_handle(struct tunnels *all, const struct epoll_event *events, int n)
{
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == all) {
            uint64_t sum;
            ssize_t got = read(all->wake_fd, &sum, sizeof sum);
            (void)got;
        } else if (!events[i].data.ptr) {
            accept_some(all);
        } else {
            tunnel_event(events[i].data.ptr, events[i].events);
        }
    }
}

static void *loop_main(void *arg)
{
    struct tunnels *all = arg;
    struct epoll_event events[EVENTS_MAX];
    sigset_t pipe_only;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE); // TLS writes without MSG_NOSIGNAL
    pthread_sigmask(SIG_BLOCK, &pipe_only, NULL);
    pthread_setname_np(pthread_self(), "tunnels");
    bool more = false;
    for (;;) {
        int wait = -1;
        if (more)
            wait = 0;
        else if (all->open || !all->accepting)
            wait = TICK_MS;
        int n = epoll_wait(all->epoll_fd, events, EVENTS_MAX, wait);
        pthread_mutex_lock(&all->lock);
        bool news = all->news, stop = all->stop;
        all->news = false;
        pthread_mutex_unlock(&all->lock);
        topology_apply(all); // before a byte is believed
        if (news)
            peers_apply(all);
        events_handle(all, events, n);
        int64_t now = clock_mono_ms();
        limits_apply(all, stop, now);
        more = more_apply(all);
        bool over = stop && drained(all, now);
        dead_free(all);
        if (over)
            return NULL;
    }
}

// --- life ---

static int options_copy(const struct tunnels_options *o, struct tunnels *all)
{
    all->o = *o;
    all->o.region = mem_strdup(o->region);
    all->o.stamp = mem_strdup(o->stamp);
    all->o.ca_file = mem_strdup(o->ca_file);
    all->o.peer_pem = mem_strdup(o->peer_pem);
    if (!all->o.max)
        all->o.max = 512;
    if (!all->o.connect_ms)
        all->o.connect_ms = 5000;
    if (!all->o.linger_ms)
        all->o.linger_ms = 2000;
    if (all->o.region && all->o.stamp && all->o.ca_file && all->o.peer_pem)
        return 0;
    return ERR_NOMEM;
}

static void tunnels_free(struct tunnels *all)
{
    snapshot_reader_done(&all->reader);
    tunnel_tls_done(all);
    const int fds[] = {all->o.listen_fd, all->epoll_fd, all->wake_fd};
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free((char *)all->o.region);
    free((char *)all->o.stamp);
    free((char *)all->o.ca_file);
    free((char *)all->o.peer_pem);
    pthread_mutex_destroy(&all->lock);
    free(all);
}

static int loop_start(struct tunnels *all)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = all};
    all->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    all->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int flags = fcntl(all->o.listen_fd, F_GETFL);
    if (all->epoll_fd < 0 || all->wake_fd < 0 || flags < 0 ||
        fcntl(all->o.listen_fd, F_SETFL, flags | O_NONBLOCK) ||
        epoll_ctl(all->epoll_fd, EPOLL_CTL_ADD, all->wake_fd, &ev))
        return err_from_errno(errno);
    accept_watch(all, true);
    if (!all->accepting || pthread_create(&all->thread, NULL, loop_main, all))
        return ERR_NOMEM;
    return 0;
}

int tunnels_start(const struct tunnels_options *o, struct tunnels **out)
{
    struct tunnels *all = mem_zalloc(sizeof *all);
    if (!all) {
        close(o->listen_fd);
        return ERR_NOMEM;
    }
    all->epoll_fd = all->wake_fd = -1;
    pthread_mutex_init(&all->lock, NULL);
    int rc = options_copy(o, all);
    if (!rc)
        rc = loop_start(all);
    if (rc)
        tunnels_free(all);
    else
        *out = all;
    return rc;
}

size_t tunnels_open(struct tunnels *all)
{
    return all->n_open;
}

size_t tunnels_far(struct tunnels *all)
{
    return all->n_far;
}

void tunnels_drain(struct tunnels *all, unsigned drain_ms)
{
    if (!all)
        return;
    pthread_mutex_lock(&all->lock);
    if (!all->stop)
        all->stop_mono = clock_mono_ms() + drain_ms;
    all->stop = true;
    pthread_mutex_unlock(&all->lock);
    tunnels_wake(all);
}

void tunnels_stop(struct tunnels *all)
{
    if (!all)
        return;
    tunnels_drain(all, 0);
    pthread_join(all->thread, NULL);
    tunnels_free(all);
}
