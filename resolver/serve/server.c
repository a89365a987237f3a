// SPDX-License-Identifier: Apache-2.0
// The DNS server: workers, each one thread with an epoll set and its own sockets (design section
// 14). See resolver.h; started and stopped by the daemon, off the workers.
#include "resolver/serve/resolver.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/exposition.h"
#include "base/log.h"
#include "base/mem.h"
#include "resolver/forward/forward.h"
#include "resolver/packet/wire.h"
#include "resolver/route/geo_watch.h"
#include "resolver/serve/secret_reload.h"
#include "resolver/serve/server_priv.h"
#include "resolver/sign/dnssec.h"
#include "resolver/sign/signing.h"
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
#define LOT_TICK_MS 100
#define YIELD_TICK_MS 50

struct resolver {
    struct resolver_sockets *sockets;
    struct worker *workers;
    unsigned n_workers;
    struct metrics_names *names;
    struct journal journal;
    struct node_dns settings;
    struct secret_reload *upkeep;
    struct forwarder *forwarder;
    struct geo_watch *geo;
    struct signing *signing;
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
    case DNS_BADCOOKIE:
        return &n->badcookie;
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

static size_t limit_rate(struct worker *w, const struct asked *from, uint8_t *out, size_t n,
                         const struct answer_info *info)
{
    switch (rrl_judge(w->rrl, &from->remote.ip, info, out, n, w->now_ms)) {
    case RRL_SLIP:
        counter_add(&w->n.limited_slipped, 1);
        return rrl_slip(out, info);
    case RRL_DROP:
        counter_add(&w->n.limited_dropped, 1);
        return 0;
    default:
        return n;
    }
}

bool worker_trusts(const struct worker *w, const struct ip *peer)
{
    const struct node_dns *s = w->settings;
    for (size_t i = 0; i < s->n_trusted_proxies; i++)
        if (cidr_contains(&s->trusted_proxies[i], peer))
            return true;
    return false;
}

void worker_about(struct worker *w, const struct asked *from)
{
    w->context.transport = from->transport;
    w->context.source = from->remote.ip;
    w->context.unproxied = from->unproxied;
    w->context.listener = &from->local;
}

void worker_note(struct worker *w, const struct asked *from, const struct pending_query *again,
                 const uint8_t *query, size_t n, const uint8_t *out, size_t got,
                 const struct answer_info *info)
{
    struct journal_wait wait = {0};
    if (again)
        wait = (struct journal_wait){(uint32_t)(clock_mono_ms() - again->since_ms),
                                     info->kind == NAME_FOREIGN, again->upstream};
    const struct log_event e = {.metrics = w->metrics,
                                .client = &from->remote,
                                .listener = w->context.listener,
                                .transport = w->context.transport,
                                .query = query,
                                .query_n = n,
                                .response = out,
                                .response_n = got,
                                .info = info,
                                .wait = again ? &wait : NULL};
    journal_note(&w->writer, &e);
}

size_t worker_answer(struct worker *w, const struct asked *from, struct pending_query *again,
                     const uint8_t *query, size_t n, uint8_t *out, size_t cap,
                     struct answer_info *info)
{
    worker_about(w, from);
    w->context.ticket = wait_queue_ticket(&w->wait_queue, again, n);
    size_t got = answer_packet(&w->context, query, n, out, cap, info);
    if (info->pending && w->context.ticket.inbox) {
        metrics_lookups(w->metrics, info);
        if (!again)
            wait_queue_park(w, from, query, n);
        return 0;
    }
    info->pending = false;
    worker_count(w, info);
    if (w->rrl && got && from->transport == ANSWER_UDP && !info->cookie_valid && !info->neighbour)
        got = limit_rate(w, from, out, got, info);
    if (w->writer.writes)
        worker_note(w, from, again, query, n, out, got, info);
    return got;
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
        return LOT_TICK_MS;
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

// All addresses that this program listens at, so that it does not forward to itself.
static int start_forwarder(struct resolver *r, const struct resolver_sockets *s)
{
    AUTO_FREE struct endpoint *own = mem_zalloc_array(s->n_endpoints + 1, sizeof *own);
    if (!own)
        return ERR_NOMEM;
    for (size_t i = 0; i < s->n_endpoints; i++)
        own[i] = s->bound[i].at;
    return forwarder_start(own, s->n_endpoints, &r->forwarder);
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

static int worker_init(struct worker *w, const struct resolver_options *o, struct bound *bound,
                       size_t n)
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
    if (!rc)
        rc = wait_queue_init(&w->wait_queue);
    if (!rc)
        rc = rrl_new(&w->settings->rate_limit, &w->rrl);
    if (!rc)
        rc = watch_source(w, &w->sources[2 * n], w->stop, SOURCE_STOP, NULL);
    if (!rc)
        rc = watch_source(w, &w->sources[2 * n + 1], pending_inbox_fd(w->wait_queue.inbox),
                          SOURCE_PENDING, NULL);
    for (size_t i = 0; i < n && !rc; i++) {
        if (!bound[i].tls)
            rc = watch_source(w, &w->sources[2 * i], bound[i].udp, SOURCE_UDP, &bound[i]);
        if (!rc)
            rc = watch_source(w, &w->sources[2 * i + 1], bound[i].tcp, SOURCE_LISTEN, &bound[i]);
    }
    if (!rc && pthread_create(&w->thread, NULL, worker_main, w))
        rc = ERR_NOMEM;
    w->started = !rc;
    return rc;
}

static void worker_tell(struct worker *w)
{
    uint64_t one = 1;
    if (write(w->stop, &one, sizeof one) != sizeof one)
        abort(); // an eventfd that counted twice at most cannot be full
}

static void worker_done(struct worker *w)
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

static int start_workers(struct resolver *r, const struct resolver_options *o)
{
    struct resolver_sockets *s = r->sockets;
    for (unsigned i = 0; i < s->n_workers; i++) {
        struct worker *w = &r->workers[i];
        w->epoll = w->stop = -1;
        w->names = r->names;
        w->context.forwarder = r->forwarder;
        w->settings = &r->settings;
        w->geo_cell = geo_watch_cell(r->geo);
        if (o->signing)
            w->dnssec_cell = signing_cell(o->signing);
        else
            w->dnssec_cell = NULL;
        if (o->signing)
            w->context.signer = signing_signer(o->signing);
        else
            w->context.signer = NULL;
        journal_writer_init(&r->journal, &r->settings, i, &w->writer);
        if (r->settings.cookies.enabled)
            w->cookies_cell = secret_reload_cookies(r->upkeep);
        else
            w->cookies_cell = NULL;
        w->identity_cell = secret_reload_identity(r->upkeep);
        r->n_workers++;
        int rc = worker_init(w, o, s->bound + i * s->n_endpoints, s->n_endpoints);
        if (rc)
            return rc;
    }
    return 0;
}

int resolver_start(const struct resolver_options *o, struct resolver_sockets *s,
                   struct resolver **out)
{
    struct resolver *r = mem_zalloc(sizeof *r);
    if (!r) {
        resolver_sockets_free(s); // taken over, also when it fails
        return ERR_NOMEM;
    }
    r->sockets = s;
    r->signing = o->signing;
    r->workers = mem_zalloc_array(s->n_workers, sizeof *r->workers);
    r->names = metrics_names_new();
    int rc = ERR_NOMEM;
    if (r->workers && r->names)
        rc = 0;
    if (!rc && o->settings)
        r->settings = *o->settings;
    else if (!rc)
        rc = node_dns_defaults(&r->settings);
    if (!rc)
        rc = secret_reload_start(&r->settings, o->pem, o->look_ms, o->diag, &r->upkeep);
    if (!rc)
        rc = start_forwarder(r, s);
    if (!rc)
        rc = geo_watch_start(o->topology, o->look_ms, &r->geo);
    if (!rc)
        rc = journal_start(&r->settings, r->names, s->n_workers, o->diag, &r->journal);
    if (!rc)
        rc = start_workers(r, o);
    if (rc)
        resolver_stop(r);
    else
        *out = r;
    return rc;
}

void resolver_drain(struct resolver *r, unsigned limit_ms)
{
    for (unsigned i = 0; r && i < r->n_workers; i++) {
        atomic_store(&r->workers[i].yield_ms, limit_ms ? limit_ms : 1);
        worker_tell(&r->workers[i]);
    }
}

void resolver_reopen_logs(struct resolver *r)
{
    if (r)
        journal_reopen(&r->journal);
}

void resolver_stop(struct resolver *r)
{
    if (!r)
        return;
    assert(r->workers || !r->n_workers);
    for (unsigned i = 0; i < r->n_workers; i++)
        worker_done(&r->workers[i]);
    forwarder_stop(r->forwarder); // no worker asks any more
    secret_reload_stop(r->upkeep);
    geo_watch_stop(r->geo);
    journal_stop(&r->journal); // what the workers left in their rings is written
    resolver_sockets_free(r->sockets);
    metrics_names_free(r->names);
    free(r->workers);
    free(r);
}

struct zone *resolver_frontend(const struct resolver *r)
{
    struct zone *z = NULL;
    const struct worker *w = &r->workers[0]; // all have the same cells
    struct dnssec *d = NULL;
    if (w->dnssec_cell)
        d = snapshot_get(w->dnssec_cell);
    struct frontend *f = NULL;
    if (!d && w->frontend_cell)
        f = snapshot_get(w->frontend_cell);
    if (d)
        z = snapshot_ref(d->zone);
    else if (f)
        z = snapshot_ref(f->history->zone);
    snapshot_unref(d);
    snapshot_unref(f);
    return z;
}

struct geo_watch *resolver_geo(struct resolver *r)
{
    return r->geo;
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
        SUM(badcookie);
        SUM(tcp_open);
        SUM(tcp_evicted);
        SUM(tls_opened);
        SUM(tls_failed);
        SUM(limited_slipped);
        SUM(limited_dropped);
        SUM(parked);
        SUM(pending_late);
        SUM(pending_now);
        SUM(proxied);
        SUM(unproxied);
#undef SUM
    }
    struct forward_stats f;
    forwarder_stats_get(r->forwarder, &f);
    s.forwarded = f.asked;
    s.forward_failed = f.failed;
    s.forward_limited = f.limited;
    s.forward_ignored = f.ignored;
    s.forward_answered = f.answered;
    s.forward_now = f.under_way;
    *out = s;
}

// What is counted by the server rather than by the answer: one row, one metric.
static const struct {
    // in struct resolver_stats
    size_t offset;
    const char *name, *type, *help;
} stats_rows[] = {
    {offsetof(struct resolver_stats, tcp_open), "meridian_dns_tcp_connections", "gauge",
     "TCP connections now open."},
    {offsetof(struct resolver_stats, tcp_evicted), "meridian_dns_tcp_evicted_total", "counter",
     "TCP connections closed to make room for newer ones."},
    {offsetof(struct resolver_stats, tls_opened), "meridian_dns_tls_handshakes_total", "counter",
     "DNS over TLS: handshakes that came to an end."},
    {offsetof(struct resolver_stats, tls_failed), "meridian_dns_tls_failures_total", "counter",
     "DNS over TLS: connections closed before their handshake was done."},
    {offsetof(struct resolver_stats, limited_slipped), "meridian_dns_limited_slipped_total",
     "counter", "Answers over a rate limit that were sent truncated."},
    {offsetof(struct resolver_stats, limited_dropped), "meridian_dns_limited_dropped_total",
     "counter", "Answers over a rate limit that were not sent."},
    {offsetof(struct resolver_stats, parked), "meridian_dns_parked_total", "counter",
     "Queries that waited for a signature or an upstream."},
    {offsetof(struct resolver_stats, pending_late), "meridian_dns_parked_late_total", "counter",
     "Queries whose wait ended by its time limit."},
    {offsetof(struct resolver_stats, pending_now), "meridian_dns_parked", "gauge",
     "Queries that wait now, for a signature or an upstream."},
    {offsetof(struct resolver_stats, proxied), "meridian_dns_proxied_total", "counter",
     "PROXY headers read: one for each datagram and each connection of a trusted proxy."},
    {offsetof(struct resolver_stats, unproxied), "meridian_dns_proxied_refused_total", "counter",
     "Datagrams and connections of trusted proxies whose PROXY header was missing or damaged."},
    {offsetof(struct resolver_stats, forward_now), "meridian_dns_forward_under_way", "gauge",
     "Queries that the forwarder has now, those that wait to be taken up included."},
    {offsetof(struct resolver_stats, forward_answered), "meridian_dns_forward_answers_total",
     "counter", "Forwarded queries that an upstream answered."},
    {offsetof(struct resolver_stats, forwarded), "meridian_dns_forwarded_total", "counter",
     "Queries of private views that were handed to the forwarder."},
    {offsetof(struct resolver_stats, forward_failed), "meridian_dns_forward_failures_total",
     "counter", "Forwarded queries that no upstream answered in time."},
    {offsetof(struct resolver_stats, forward_limited), "meridian_dns_forward_limited_total",
     "counter", "Queries that were not forwarded because too many were under way."},
    {offsetof(struct resolver_stats, forward_ignored), "meridian_dns_forward_ignored_total",
     "counter", "Packets from upstreams that match no question: forged, or late."},
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
    if (r->signing)
        signing_metrics(r->signing, out);
    journal_metrics(&r->journal, out);
}
