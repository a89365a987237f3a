// SPDX-License-Identifier: Apache-2.0
// What the files of the server share: sockets (bind.c), the worker's loop and its datagrams (server.c), and TCP
// connections (tcp.c). All of a worker's state is touched by its own thread only, except the counters, which it alone
// writes.
#ifndef MERIDIAN_RESOLVER_SERVER_PRIV_H
#define MERIDIAN_RESOLVER_SERVER_PRIV_H

#include "base/snapshot.h"
#include "resolver/answer.h"
#include "resolver/metrics.h"
#include "resolver/resolver.h"

#include <stdatomic.h>

#define WORKERS_MAX 256
#define TCP_IN_BYTES 4096 // longest query taken over TCP
#define TCP_OUT_BYTES (2 * (ANSWER_TCP_MAX + 2))
#define TCP_CONNS_MAX 256 // per worker; then the one idle longest goes
#define TCP_IDLE_MS 10000
#define TCP_DRAIN_MS 60000     // what waits to be sent is taken by then, however slowly
#define ACCEPT_PAUSE_MS 250    // without descriptors or memory for one more
#define TCP_RCVBUF_BYTES 65536 // of the kernel, per connection: a thousand idle clients must not hold megabytes each
#define TCP_SNDBUF_BYTES 131072

struct bound { // one listening address of one worker
    struct endpoint at;
    bool wildcard; // then the local address comes with each datagram
    int udp, tcp;  // -1: handed over or not open
};

struct resolver_sockets {
    size_t n_endpoints;
    unsigned n_workers;
    struct bound *bound; // [worker * n_endpoints + endpoint]
};

enum source_kind { SOURCE_STOP, SOURCE_UDP, SOURCE_LISTEN, SOURCE_CONN };

struct conn { // kind first: epoll hands back this pointer
    enum source_kind kind;
    int fd;
    struct endpoint local, remote;
    int64_t progress_ms; // of the last whole query read, or of bytes the client took: dripping bytes in is not progress
    int64_t out_since_ms; // something waits to be sent since then; means nothing while out_n is 0
    uint32_t events;      // what epoll watches
    bool eof;
    struct conn *prev, *next;
    size_t in_n, out_at, out_n;
    uint8_t in[2 + TCP_IN_BYTES];
    uint8_t out[TCP_OUT_BYTES];
};

struct source { // one socket in the worker's epoll set
    enum source_kind kind;
    struct bound *bound;
};

struct counters { // written by one thread
    _Atomic uint64_t udp_queries, tcp_queries, dropped, truncated, noerror, nxdomain, refused, formerr, notimp, badvers,
        servfail, tcp_open;
};

struct batch;
struct worker {
    pthread_t thread;
    bool started;
    int epoll, stop; // stop: eventfd
    struct snapshot *topology_cell, *health_cell;
    struct snapshot_reader topology, health;
    struct answer_context context; // topology and health of this turn
    struct health_map health_map;  // of both
    struct source *sources;        // 2 per bound address, and the stop event
    struct bound *bound;
    size_t n_bound;
    struct batch *batch;
    struct conn *conns; // newest first
    size_t n_conns;
    int64_t accept_again_ms; // monotonic; 0: listeners are watched
    struct counters n;
    struct metrics_names *names; // shared by all workers
    struct metrics *metrics;
};

static inline void counter_add(_Atomic uint64_t *c, uint64_t d)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + d, memory_order_relaxed);
}

void worker_count(struct worker *w, const struct answer_info *info);
void worker_pause_accept(struct worker *w); // for ACCEPT_PAUSE_MS: epoll would report the waiting client without end

void tcp_accept(struct worker *w, int listen_fd);
void tcp_event(struct worker *w, struct conn *c);
void tcp_sweep(struct worker *w); // closes what made no progress for too long
void tcp_close_all(struct worker *w);

#endif
