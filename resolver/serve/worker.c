// SPDX-License-Identifier: Apache-2.0
// A worker's loop: its epoll set, its turns, what it does between them, and its start and end. Except
// for worker_init, worker_tell and worker_done, which the daemon calls, all is on the worker's thread.
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "resolver/packet/wire.h"
#include "resolver/serve/server_priv.h"
#include "resolver/sign/dnssec.h"
#include "resolver/zone/zone_maintainer.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define SWEEP_MS 1000
#define WAIT_QUEUE_TICK_MS 100
#define YIELD_TICK_MS 50

static void watch_listeners(struct worker *w, uint32_t events)
{
    for (size_t i = 0; i < 2 * w->n_bound; i++) {
        struct source *s = &w->sources[i];
        struct epoll_event ev = {.events = events, .data.ptr = s};
        if (s->kind == SOURCE_LISTEN && epoll_ctl(w->epoll, EPOLL_CTL_MOD, s->bound->tcp, &ev))
            log_warn("dns: cannot watch a listener: %s", err_text(err_from_errno(errno)));
    }
}

void worker_pause_accept(struct worker *w)
{
    if (w->yield_until_ms)
        return;
    static struct log_limit lim = LOG_LIMIT(60000);
    log_limited(&lim, LOG_WARN, "dns: cannot take another TCP connection: %s", strerror(errno));
    watch_listeners(w, 0);
    w->accept_again_ms = clock_mono_ms() + ACCEPT_PAUSE_MS;
}

// What is due by time alone.
static void worker_tick(struct worker *w, int64_t *swept_ms)
{
    int64_t sweep_ms = SWEEP_MS;
    if (w->yield_until_ms)
        sweep_ms = YIELD_TICK_MS;
    if (!w->n_conns && !w->accept_again_ms && !w->wait_queue.n_used)
        return;
    int64_t now = clock_mono_ms();
    if (w->accept_again_ms && now >= w->accept_again_ms) {
        w->accept_again_ms = 0;
        watch_listeners(w, EPOLLIN);
    }
    wait_queue_expire(w, now);
    if (now - *swept_ms >= sweep_ms) {
        tcp_sweep(w);
        *swept_ms = now;
    }
}

// What was published since the last turn.
static void take_snapshots(struct worker *w)
{
    const struct topology_frame *frame = NULL;
    if (w->context.topology)
        frame = w->context.topology->frame;
    uint64_t health = w->health.generation, geo = w->geo.generation;
    w->context.topology = snapshot_reader_get(&w->topology, w->topology_cell);
    w->context.health = snapshot_reader_get(&w->health, w->health_cell);
    if (w->cookies_cell)
        w->context.cookies = snapshot_reader_get(&w->cookies, w->cookies_cell);
    const struct frontend *f = NULL;
    if (w->frontend_cell)
        f = snapshot_reader_get(&w->frontend, w->frontend_cell);
    if (f) {
        w->context.history = f->history;
        w->context.frontend = f->history->zone;
    } else {
        w->context.history = NULL;
        w->context.frontend = NULL;
    }
    if (f)
        w->context.tsig_keys = f->keys;
    else
        w->context.tsig_keys = NULL;
    w->context.now_s = clock_wall_ms() / 1000;
    if (w->rrl)
        w->now_ms = clock_mono_ms();
    const struct geo *g = snapshot_reader_get(&w->geo, w->geo_cell);
    if (w->dnssec_cell)
        w->context.dnssec = snapshot_reader_get(&w->dnssec, w->dnssec_cell);
    if (w->context.dnssec) // the very records that its signatures are of
        w->context.frontend = w->context.dnssec->zone;
    // Versions of one frame differ in registries only: nothing here is made of those.
    bool same_frame = w->context.topology && w->context.topology->frame == frame;
    if (w->context.topology && (geo != w->geo.generation || !same_frame)) {
        geo_view_set(&w->geo_view, g, w->context.topology);
        w->context.geo = &w->geo_view;
    }
    if (!w->context.topology || (same_frame && health == w->health.generation))
        return;
    if (!same_frame)
        metrics_topology(w->metrics, w->names, w->context.topology);
    health_map_fill(&w->health_map, w->context.health, w->context.topology);
    w->context.health_map = &w->health_map;
}

// How long to wait when nothing happens: until something is due by time alone.
static int turn_ms(const struct worker *w)
{
    if (w->yield_until_ms)
        return YIELD_TICK_MS;
    if (w->wait_queue.n_used)
        return WAIT_QUEUE_TICK_MS;
    if (w->accept_again_ms)
        return ACCEPT_PAUSE_MS;
    if (w->n_conns)
        return SWEEP_MS;
    return -1;
}

// A successor has the same sockets: what is in their queues is its to read. Here goes on what was
// begun: queries that wait, and connections, whose clients are told to leave (RFC 7828 section
// 3.3.2: a timeout of 0).
static void yield_begin(struct worker *w, uint32_t limit_ms)
{
    w->yield_until_ms = clock_mono_ms() + limit_ms;
    w->accept_again_ms = 0;
    w->context.idle_ms = 1;
    w->n_flooded = 0;
    for (size_t i = 0; i < 2 * w->n_bound; i++) {
        struct source *s = &w->sources[i];
        s->flooded = false;
        if (s->kind == SOURCE_UDP || s->kind == SOURCE_LISTEN)
            (void)epoll_ctl(w->epoll, EPOLL_CTL_DEL,
                            s->kind == SOURCE_UDP ? s->bound->udp : s->bound->tcp, NULL);
    }
}

static bool yield_done(const struct worker *w)
{
    return w->yield_until_ms &&
           ((!w->n_conns && !w->wait_queue.n_used) || clock_mono_ms() >= w->yield_until_ms);
}

// The eventfd spoke. Returns false when the worker is to stop.
static bool worker_told(struct worker *w)
{
    uint64_t n;
    uint32_t limit_ms = atomic_load(&w->yield_ms);
    if (!limit_ms || w->yield_until_ms || read(w->stop, &n, sizeof n) < 0)
        return false;
    yield_begin(w, limit_ms);
    return true;
}

// A handshake costs as much as hundreds of answers, and so does what one TCP client may ask at
// once. What came by datagram meanwhile goes first, before the next of them has its turn.
static void serve_datagrams(struct worker *w)
{
    for (size_t i = 0; i < w->n_bound && !w->yield_until_ms; i++)
        if (!w->bound[i].tls)
            udp_serve(w, &w->bound[i]);
}

// As long as datagrams come faster than a turn takes them, their socket stands outside of the epoll
// set and is read at each turn: in the set, every answer that the kernel has sent off would look
// for somebody to wake. A tenth of all work under full load was that.
static void flood_begin(struct worker *w, struct source *s)
{
    if (epoll_ctl(w->epoll, EPOLL_CTL_DEL, s->bound->udp, NULL))
        return;
    s->flooded = true;
    w->n_flooded++;
}

static void serve_flooded(struct worker *w)
{
    for (size_t i = 0; i < 2 * w->n_bound && w->n_flooded; i++) {
        struct source *s = &w->sources[i];
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = s};
        // Where it cannot be watched again (no memory) it is read on without waiting.
        if (!s->flooded || udp_serve(w, s->bound) ||
            epoll_ctl(w->epoll, EPOLL_CTL_ADD, s->bound->udp, &ev))
            continue;
        s->flooded = false;
        w->n_flooded--;
    }
}

// Returns false when the worker is to stop.
static bool worker_turn(struct worker *w)
{
    struct epoll_event ev; // one at a time: serving one source may close another
    int n = epoll_wait(w->epoll, &ev, 1, w->n_flooded ? 0 : turn_ms(w));
    if (n < 0)
        return errno == EINTR;
    take_snapshots(w);
    serve_flooded(w);
    if (n == 0)
        return true;
    struct source *s = ev.data.ptr;
    switch (*(enum source_kind *)ev.data.ptr) {
    case SOURCE_STOP:
        return worker_told(w);
    case SOURCE_UDP:
        if (udp_serve(w, s->bound) == UDP_TURN_MAX)
            flood_begin(w, s);
        break;
    case SOURCE_LISTEN:
        tcp_accept(w, s->bound);
        serve_datagrams(w);
        break;
    case SOURCE_CONN:
        tcp_event(w, ev.data.ptr, ev.events);
        serve_datagrams(w);
        break;
    case SOURCE_PENDING:
        wait_queue_news(w);
    }
    return true;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    int64_t swept_ms = clock_mono_ms();
    sigset_t pipe; // of a client that has gone, while TLS writes to it
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, NULL);
    while (!yield_done(w) && worker_turn(w))
        worker_tick(w, &swept_ms);
    tcp_close_all(w);
    snapshot_reader_done(&w->topology);
    snapshot_reader_done(&w->health);
    snapshot_reader_done(&w->geo);
    snapshot_reader_done(&w->dnssec);
    snapshot_reader_done(&w->cookies);
    snapshot_reader_done(&w->frontend);
    snapshot_reader_done(&w->identity);
    return NULL;
}

static int watch_source(struct worker *w, struct source *s, int fd, enum source_kind kind,
                        struct bound *b)
{
    *s = (struct source){kind, b};
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = s};
    if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &ev))
        return err_from_errno(errno);
    return 0;
}

static int watch_sockets(struct worker *w)
{
    size_t n = w->n_bound;
    int rc = watch_source(w, &w->sources[2 * n], w->stop, SOURCE_STOP, NULL);
    if (rc)
        return rc;
    rc = watch_source(w, &w->sources[2 * n + 1], pending_inbox_fd(w->wait_queue.inbox),
                      SOURCE_PENDING, NULL);
    for (size_t i = 0; i < n && !rc; i++) {
        struct bound *b = &w->bound[i];
        if (!b->tls)
            rc = watch_source(w, &w->sources[2 * i], b->udp, SOURCE_UDP, b);
        if (!rc)
            rc = watch_source(w, &w->sources[2 * i + 1], b->tcp, SOURCE_LISTEN, b);
    }
    return rc;
}

int worker_init(struct worker *w, const struct resolver_options *o, struct bound *bound, size_t n)
{
    w->topology_cell = o->topology;
    w->health_cell = o->health;
    w->frontend_cell = o->frontend;
    w->context.nsid = w->settings->nsid;
    w->context.idle_ms = w->settings->tcp.idle_ms;
    w->bound = bound;
    w->n_bound = n;
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->sources = mem_zalloc_array(2 * n + 2, sizeof *w->sources);
    w->metrics = mem_zalloc(sizeof *w->metrics);
    if (w->epoll < 0 || w->stop < 0)
        return err_from_errno(errno);
    if (!w->sources || !w->metrics)
        return ERR_NOMEM;
    int rc = udp_batch_new(&w->batch);
    if (rc)
        return rc;
    rc = wait_queue_init(&w->wait_queue);
    if (rc)
        return rc;
    rc = rrl_new(&w->settings->rate_limit, &w->rrl);
    if (rc)
        return rc;
    rc = watch_sockets(w);
    if (rc)
        return rc;
    if (pthread_create(&w->thread, NULL, worker_main, w))
        return ERR_NOMEM;
    w->started = true;
    return 0;
}

void worker_tell(struct worker *w)
{
    uint64_t one = 1;
    if (write(w->stop, &one, sizeof one) != sizeof one)
        abort(); // an eventfd that counted twice at most cannot be full
}

void worker_done(struct worker *w)
{
    if (w->started) {
        if (!atomic_load(&w->yield_ms)) // else it ends by itself
            worker_tell(w);
        pthread_join(w->thread, NULL);
    }
    if (w->epoll >= 0)
        close(w->epoll);
    if (w->stop >= 0)
        close(w->stop);
    free(w->sources);
    free(w->batch);
    free(w->metrics);
    wait_queue_done(&w->wait_queue);
    rrl_free(w->rrl);
}
