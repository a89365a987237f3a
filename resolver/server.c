// SPDX-License-Identifier: Apache-2.0
// The DNS server: workers, each one thread with an epoll set and its own sockets (design section 14). Datagrams go in
// batches of 32 through recvmmsg and sendmmsg. See resolver.h; started and stopped by the daemon, off the workers.
#include "resolver/resolver.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/exposition.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "resolver/server_priv.h"
#include "resolver/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 32
#define BATCHES_PER_EVENT 8
#define UDP_IN_BYTES 4096
#define UDP_IN_STRIDE (UDP_IN_BYTES + 64) // not a power of two: the batch must not share one set of the cache
#define SWEEP_MS 1000

struct batch {
    struct mmsghdr in[BATCH], out[BATCH];
    struct iovec in_iov[BATCH], out_iov[BATCH];
    struct sockaddr_storage from[BATCH];
    union {
        struct cmsghdr align;
        uint8_t b[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    } control[BATCH];
    uint8_t in_bytes[BATCH][UDP_IN_STRIDE];
    uint8_t out_bytes[BATCH][DNS_UDP_CEILING];
};

struct resolver {
    struct resolver_sockets *sockets;
    struct worker *workers;
    unsigned n_workers;
    struct metrics_names *names;
};

static _Atomic uint64_t *rcode_counter(struct counters *n, int rcode)
{
    switch (rcode) {
    case DNS_NOERROR:
        return &n->noerror;
    case DNS_NXDOMAIN:
        return &n->nxdomain;
    case DNS_REFUSED:
        return &n->refused;
    case DNS_FORMERR:
        return &n->formerr;
    case DNS_NOTIMP:
        return &n->notimp;
    case DNS_BADVERS:
        return &n->badvers;
    case DNS_SERVFAIL:
        return &n->servfail;
    default:
        return &n->dropped;
    }
}

void worker_count(struct worker *w, const struct answer_info *info)
{
    counter_add(rcode_counter(&w->n, info->rcode), 1);
    if (info->truncated)
        counter_add(&w->n.truncated, 1);
    metrics_count(w->metrics, &w->context, info);
}

// The address a datagram came to: on a wildcard socket it is in the control data. The control data is then sent back as
// it is, so that the answer leaves from that address.
static struct endpoint local_of(const struct bound *b, struct msghdr *m)
{
    struct endpoint e = b->at;
    struct sockaddr_storage sa;
    for (struct cmsghdr *c = b->wildcard ? CMSG_FIRSTHDR(m) : NULL; c; c = CMSG_NXTHDR(m, c)) {
        struct endpoint got;
        memset(&sa, 0, sizeof sa);
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo *pi = (struct in_pktinfo *)CMSG_DATA(c);
            struct sockaddr_in *in = (struct sockaddr_in *)&sa;
            in->sin_family = AF_INET;
            in->sin_addr = pi->ipi_addr;
            pi->ipi_spec_dst = pi->ipi_addr;
            pi->ipi_ifindex = 0;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&sa;
            in6->sin6_family = AF_INET6;
            struct in6_pktinfo *pi = (struct in6_pktinfo *)CMSG_DATA(c);
            in6->sin6_addr = pi->ipi6_addr;
            if (!IN6_IS_ADDR_LINKLOCAL(&pi->ipi6_addr))
                pi->ipi6_ifindex = 0; // the way back is the routing table's
        } else {
            continue;
        }
        if (!endpoint_from_sockaddr((struct sockaddr *)&sa, sizeof sa, &got))
            e.ip = got.ip;
    }
    return e;
}

// Answers one datagram into slot `to` of the outgoing half. Returns false when nothing is to be sent.
static bool answer_datagram(struct worker *w, const struct bound *b, size_t from, size_t to)
{
    struct batch *x = w->batch;
    struct msghdr *m = &x->in[from].msg_hdr;
    struct endpoint local = local_of(b, m), remote;
    struct answer_info info = {.rcode = DNS_DROP};
    size_t n = 0;
    counter_add(&w->n.udp_queries, 1);
    // Port 0 cannot be answered; a datagram longer than the buffer is no query.
    if (!endpoint_from_sockaddr(m->msg_name, m->msg_namelen, &remote) && remote.port && !(m->msg_flags & MSG_TRUNC)) {
        w->context.transport = ANSWER_UDP;
        w->context.source = remote.ip;
        w->context.listener = &local;
        n = answer_packet(&w->context, x->in_bytes[from], x->in[from].msg_len, x->out_bytes[to], DNS_UDP_CEILING,
                          &info);
    }
    worker_count(w, &info);
    if (n == 0)
        return false;
    x->out_iov[to] = (struct iovec){x->out_bytes[to], n};
    x->out[to].msg_hdr = (struct msghdr){
        .msg_name = m->msg_name, .msg_namelen = m->msg_namelen, .msg_iov = &x->out_iov[to], .msg_iovlen = 1};
    if (b->wildcard && m->msg_controllen && !(m->msg_flags & MSG_CTRUNC)) {
        x->out[to].msg_hdr.msg_control = m->msg_control;
        x->out[to].msg_hdr.msg_controllen = m->msg_controllen;
    }
    return true;
}

static void send_batch(int fd, struct batch *x, size_t n)
{
    for (size_t at = 0; at < n;) {
        int sent = sendmmsg(fd, x->out + at, (unsigned)(n - at), 0);
        if (sent > 0)
            at += (size_t)sent;
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            return; // the socket's buffer is full: UDP may lose
        else if (errno != EINTR)
            at++; // this one cannot be sent (no route, refused by a filter): the rest can
    }
}

// At 500,000 registries a lookup waits for memory twice; a batch waits for all its lookups at once.
static void fetch_ahead(const struct worker *w, int got)
{
    const struct topology *t = w->context.topology;
    uint64_t hints[BATCH];
    if (!t)
        return;
    for (int i = 0; i < got; i++)
        hints[i] = answer_hint(t, w->batch->in_bytes[i], w->batch->in[i].msg_len);
    for (int i = 0; i < got; i++)
        catalogue_hint_follow(t->catalogue, hints[i]);
}

static void serve_udp(struct worker *w, const struct bound *b)
{
    struct batch *x = w->batch;
    size_t used = BATCH; // slots that the last round wrote to
    for (int round = 0; round < BATCHES_PER_EVENT; round++) {
        for (size_t i = 0; i < used; i++) {
            x->in_iov[i] = (struct iovec){x->in_bytes[i], UDP_IN_BYTES};
            x->in[i].msg_hdr = (struct msghdr){.msg_name = &x->from[i],
                                               .msg_namelen = sizeof x->from[i],
                                               .msg_iov = &x->in_iov[i],
                                               .msg_iovlen = 1,
                                               .msg_control = b->wildcard ? &x->control[i] : NULL,
                                               .msg_controllen = b->wildcard ? sizeof x->control[i] : 0};
        }
        int got = recvmmsg(b->udp, x->in, BATCH, MSG_DONTWAIT, NULL);
        size_t n = 0;
        used = got > 0 ? (size_t)got : 0;
        bool timed = used && metrics_due(w->metrics);
        int64_t began_us = timed ? clock_mono_us() : 0;
        fetch_ahead(w, got);
        for (int i = 0; i < got; i++)
            n += answer_datagram(w, b, (size_t)i, n);
        send_batch(b->udp, x, n);
        if (timed)
            metrics_batch(w->metrics, (unsigned)got, clock_mono_us() - began_us);
        if (got < BATCH)
            return;
    }
}

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
    static struct log_limit lim = LOG_LIMIT(60000);
    log_limited(&lim, LOG_WARN, "dns: cannot take another TCP connection: %s", strerror(errno));
    watch_listeners(w, 0);
    w->accept_again_ms = clock_mono_ms() + ACCEPT_PAUSE_MS;
}

// What is due by time alone.
static void worker_tick(struct worker *w, int64_t *swept_ms)
{
    if (!w->n_conns && !w->accept_again_ms)
        return;
    int64_t now = clock_mono_ms();
    if (w->accept_again_ms && now >= w->accept_again_ms) {
        w->accept_again_ms = 0;
        watch_listeners(w, EPOLLIN);
    }
    if (now - *swept_ms >= SWEEP_MS) {
        tcp_sweep(w);
        *swept_ms = now;
    }
}

// What was published since the last turn.
static void take_snapshots(struct worker *w)
{
    uint64_t topology = w->topology.generation, health = w->health.generation;
    w->context.topology = snapshot_reader_get(&w->topology, w->topology_cell);
    w->context.health = snapshot_reader_get(&w->health, w->health_cell);
    if (!w->context.topology || (topology == w->topology.generation && health == w->health.generation))
        return;
    if (topology != w->topology.generation)
        metrics_topology(w->metrics, w->names, w->context.topology);
    health_map_fill(&w->health_map, w->context.health, w->context.topology);
    w->context.health_map = &w->health_map;
}

// Returns false when the worker is to stop.
static bool worker_turn(struct worker *w)
{
    struct epoll_event ev; // one at a time: serving one source may close another
    int n = epoll_wait(w->epoll, &ev, 1, w->accept_again_ms ? ACCEPT_PAUSE_MS : w->n_conns ? SWEEP_MS : -1);
    if (n < 0)
        return errno == EINTR;
    take_snapshots(w);
    if (n == 0)
        return true;
    struct source *s = ev.data.ptr;
    switch (*(enum source_kind *)ev.data.ptr) {
    case SOURCE_STOP:
        return false;
    case SOURCE_UDP:
        serve_udp(w, s->bound);
        break;
    case SOURCE_LISTEN:
        tcp_accept(w, s->bound->tcp);
        break;
    case SOURCE_CONN:
        tcp_event(w, ev.data.ptr);
    }
    return true;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    int64_t swept_ms = clock_mono_ms();
    while (worker_turn(w))
        worker_tick(w, &swept_ms);
    tcp_close_all(w);
    snapshot_reader_done(&w->topology);
    snapshot_reader_done(&w->health);
    return NULL;
}

static int watch_source(struct worker *w, struct source *s, int fd, enum source_kind kind, struct bound *b)
{
    *s = (struct source){kind, b};
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = s};
    return epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &ev) ? err_from_errno(errno) : 0;
}

static int worker_init(struct worker *w, const struct resolver_options *o, struct bound *bound, size_t n)
{
    w->topology_cell = o->topology;
    w->health_cell = o->health;
    w->context.nsid = o->settings ? o->settings->nsid : NULL;
    w->context.idle_ms = TCP_IDLE_MS;
    w->bound = bound;
    w->n_bound = n;
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->sources = mem_zalloc_array(2 * n + 1, sizeof *w->sources);
    w->batch = mem_zalloc(sizeof *w->batch);
    w->metrics = mem_zalloc(sizeof *w->metrics);
    if (w->epoll < 0 || w->stop < 0)
        return err_from_errno(errno);
    if (!w->sources || !w->batch || !w->metrics)
        return ERR_NOMEM;
    int rc = watch_source(w, &w->sources[2 * n], w->stop, SOURCE_STOP, NULL);
    for (size_t i = 0; i < n && !rc; i++) {
        rc = watch_source(w, &w->sources[2 * i], bound[i].udp, SOURCE_UDP, &bound[i]);
        if (!rc)
            rc = watch_source(w, &w->sources[2 * i + 1], bound[i].tcp, SOURCE_LISTEN, &bound[i]);
    }
    if (!rc && pthread_create(&w->thread, NULL, worker_main, w))
        rc = ERR_NOMEM;
    w->started = !rc;
    return rc;
}

static void worker_done(struct worker *w)
{
    uint64_t one = 1;
    if (w->started) {
        if (write(w->stop, &one, sizeof one) != sizeof one)
            abort(); // an eventfd that never counted cannot be full
        pthread_join(w->thread, NULL);
    }
    if (w->epoll >= 0)
        close(w->epoll);
    if (w->stop >= 0)
        close(w->stop);
    free(w->sources);
    free(w->batch);
    free(w->metrics);
}

int resolver_start(const struct resolver_options *o, struct resolver_sockets *s, struct resolver **out)
{
    struct resolver *r = mem_zalloc(sizeof *r);
    if (r) {
        r->workers = mem_zalloc_array(s->n_workers, sizeof *r->workers);
        r->names = metrics_names_new();
    }
    if (!r || !r->workers || !r->names) {
        if (r) {
            metrics_names_free(r->names);
            free(r->workers);
        }
        free(r);
        resolver_sockets_free(s); // taken over, also when it fails
        return ERR_NOMEM;
    }
    r->sockets = s;
    for (unsigned i = 0; i < s->n_workers; i++) {
        r->workers[i].epoll = r->workers[i].stop = -1;
        r->workers[i].names = r->names;
        r->n_workers++;
        int rc = worker_init(&r->workers[i], o, s->bound + i * s->n_endpoints, s->n_endpoints);
        if (rc) {
            resolver_stop(r);
            return rc;
        }
    }
    *out = r;
    return 0;
}

void resolver_stop(struct resolver *r)
{
    if (!r)
        return;
    for (unsigned i = 0; i < r->n_workers; i++)
        worker_done(&r->workers[i]);
    resolver_sockets_free(r->sockets);
    metrics_names_free(r->names);
    free(r->workers);
    free(r);
}

void resolver_stats_get(const struct resolver *r, struct resolver_stats *out)
{
    struct resolver_stats s = {0};
    for (unsigned i = 0; i < r->n_workers; i++) {
        const struct counters *n = &r->workers[i].n;
#define SUM(f) s.f += atomic_load_explicit(&n->f, memory_order_relaxed)
        SUM(udp_queries);
        SUM(tcp_queries);
        SUM(dropped);
        SUM(truncated);
        SUM(noerror);
        SUM(nxdomain);
        SUM(refused);
        SUM(formerr);
        SUM(notimp);
        SUM(badvers);
        SUM(servfail);
        SUM(tcp_open);
#undef SUM
    }
    *out = s;
}

// What is counted by the server rather than by the answer: one row, one metric.
static const struct {
    size_t offset; // in struct resolver_stats
    const char *name, *type, *help;
} stats_rows[] = {
    {offsetof(struct resolver_stats, tcp_open), "meridian_dns_tcp_connections", "gauge", "TCP connections now open."},
};

void resolver_metrics_write(const struct resolver *r, struct buf *out)
{
    const struct metrics *list[WORKERS_MAX];
    struct resolver_stats s;
    for (unsigned i = 0; i < r->n_workers; i++)
        list[i] = r->workers[i].metrics;
    metrics_write(r->names, list, r->n_workers, out);
    resolver_stats_get(r, &s);
    for (size_t i = 0; i < ARRAY_LEN(stats_rows); i++)
        exposition_single(out, stats_rows[i].name, stats_rows[i].type, stats_rows[i].help,
                          (double)*(const uint64_t *)((const char *)&s + stats_rows[i].offset));
}
