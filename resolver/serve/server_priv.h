// SPDX-License-Identifier: Apache-2.0
// What the files of the server share: the sockets (bind.c), the whole (server.c) and its counters
// (stats.c), a worker's loop (worker.c), one query (query.c), its datagrams (udp.c), its TCP
// connections (tcp.c) and the queries that wait (wait_queue.c).
//
// Invariants of a worker:
//   1. Its thread alone touches its state. Others write `stop` and `yield_ms` and read the counters.
//   2. A slot of the wait queue is used, or it is in the list of free ones; used slots are in one list
//      by age, oldest first, and n_used is their number.
//   3. A used slot of a connection is in that connection's list, and n_parked is its length; a closed
//      connection has none.
//   4. An answer that waits to be sent lies in out[out_at, out_n) of its connection.
#ifndef MERIDIAN_RESOLVER_SERVE_SERVER_PRIV_H
#define MERIDIAN_RESOLVER_SERVE_SERVER_PRIV_H

#include "base/snapshot.h"
#include "resolver/answer/answer.h"
#include "resolver/log/journal.h"
#include "resolver/log/metrics.h"
#include "resolver/packet/pending_query.h"
#include "resolver/serve/dot.h"
#include "resolver/serve/resolver.h"
#include "resolver/serve/rrl.h"

#include <stdatomic.h>

#define WORKERS_MAX 256
#define TCP_IN_BYTES 4096 // longest query taken over TCP
#define TCP_OUT_BYTES (2 * (ANSWER_TCP_MAX + 2))
#define TCP_YIELD_IDLE_MS 1000 // while a successor takes over
#define TCP_DRAIN_MS 60000     // what waits to be sent is taken by then, however slowly
#define TLS_HANDSHAKE_MS 5000  // then a client that has not finished goes
#define ACCEPT_PAUSE_MS 250    // without descriptors or memory for one more
#define UDP_RCVBUF_BYTES 1048576
// of the kernel, per connection: a thousand idle clients must not hold megabytes each
#define TCP_RCVBUF_BYTES 65536
#define TCP_SNDBUF_BYTES 131072

struct bound { // one listening address of one worker
    struct endpoint at;
    // TCP only
    bool tls;
    // then the local address comes with each datagram
    bool wildcard;
    // -1: handed over or not open
    int udp, tcp;
};

struct resolver_sockets {
    size_t n_endpoints;
    unsigned n_workers;
    // [worker * n_endpoints + endpoint]
    struct bound *bound;
};

enum source_kind { SOURCE_STOP, SOURCE_UDP, SOURCE_LISTEN, SOURCE_CONN, SOURCE_PENDING };

struct asked { // where a query came from
    enum answer_transport transport;
    struct endpoint local;
    // the client
    struct endpoint remote;
    // UDP: who the answer goes to, if not to the client itself; else port 0
    struct endpoint proxy;
    // a trusted proxy asks, and does not say for whom
    bool unproxied;
    // UDP: its socket
    const struct bound *bound;
    // TCP, TLS
    struct conn *conn;
};

struct pending_query { // a query that waits; a slot of the worker
    bool used;
    // what has come, and could not be acted on yet
    enum pending_news news;
    uint8_t tries;
    // by age; `next` chains the free ones too. PENDING_MAX: none
    uint32_t prev, next;
    int64_t since_ms, deadline_ms;
    // of the same connection
    struct pending_query *conn_next;
    struct asked asked;
    // PENDING_ANSWER
    uint8_t *response;
    // whose it is
    struct endpoint upstream;
    size_t response_n, n;
    uint8_t query[PENDING_QUERY_BYTES];
};

struct wait_queue { // all of a worker's
    struct pending_inbox *inbox;
    // PENDING_MAX
    struct pending_query *slots;
    // slots past n_touched were never used: their memory is not there yet
    uint32_t n_used, n_touched;
    uint32_t free, oldest, newest;
};

struct conn { // kind first: epoll hands back this pointer
    enum source_kind kind;
    int fd;
    struct endpoint local, remote;
    // of the last whole query read, or of bytes the client took: dripping bytes in is not progress
    int64_t progress_ms;
    // something waits to be sent since then; means nothing while out_n is 0
    int64_t out_since_ms;
    // what epoll watches
    uint32_t events;
    // opened: of TLS, its handshake is done
    bool eof, opened;
    // nothing was read yet: here a PROXY header may stand
    bool fresh;
    // it is a trusted proxy's; which has not said for whom it asks
    bool trusted, unproxied;
    // NULL: plain TCP
    struct dot_session *tls;
    int64_t begun_ms;
    struct conn *prev, *next;
    // its queries that wait
    struct pending_query *parked;
    // a zone on its way; until its end no further query is read
    struct transfer *transfer;
    size_t n_parked, in_n, out_at, out_n;
    uint8_t in[2 + TCP_IN_BYTES];
    uint8_t out[TCP_OUT_BYTES];
};

struct source { // one socket in the worker's epoll set
    enum source_kind kind;
    struct bound *bound;
    // it is not in the set: its datagrams are read at each turn
    bool flooded;
};

struct counters { // written by one thread
    _Atomic uint64_t udp_queries, tcp_queries, dropped, truncated, noerror, nxdomain, refused,
        formerr, notimp, badvers, servfail, badcookie, tcp_open, tcp_evicted, tls_opened,
        tls_failed, limited_slipped, limited_dropped, parked, pending_late, pending_now, proxied,
        unproxied;
};

struct batch;
struct worker {
    pthread_t thread;
    bool started;
    // stop: eventfd
    int epoll, stop;
    struct snapshot *topology_cell, *health_cell;
    struct snapshot *geo_cell;
    struct snapshot_reader geo;
    // of it and of the topology
    struct geo_view geo_view;
    // NULL: off
    struct snapshot *cookies_cell;
    // NULL: none
    struct snapshot *frontend_cell;
    // of DNS over TLS
    struct snapshot *identity_cell;
    // NULL: nothing is signed
    struct snapshot *dnssec_cell;
    struct snapshot_reader topology, health, cookies, frontend, identity, dnssec;
    const struct node_dns *settings;
    // topology and health of this turn
    struct answer_context context;
    // of both
    struct health_map health_map;
    // 2 per bound address, the stop event, and the parked ones' news
    struct source *sources;
    // sources that are read without waiting
    size_t n_flooded;
    struct bound *bound;
    size_t n_bound;
    struct batch *batch;
    struct wait_queue wait_queue;
    // NULL: no limits
    struct rrl *rrl;
    // monotonic, of this turn, for them
    int64_t now_ms;
    // newest first
    struct conn *conns;
    size_t n_conns, n_transfers;
    // monotonic; 0: listeners are watched
    int64_t accept_again_ms;
    struct counters n;
    // a successor reads the sockets: end within so long; 0: no
    _Atomic uint32_t yield_ms;
    // monotonic; 0: reads on
    int64_t yield_until_ms;
    // shared by all workers
    struct metrics_names *names;
    struct metrics *metrics;
    struct journal_writer writer;
};

struct resolver {
    struct resolver_sockets *sockets;
    struct worker *workers;
    unsigned n_workers;
    struct metrics_names *names;
    struct journal journal;
    struct node_dns settings;
    struct secret_reload *secret_reload;
    struct forwarder *forwarder;
    struct geo_watch *geo;
    struct signing *signing;
};

static inline void counter_add(_Atomic uint64_t *c, uint64_t d)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + d,
                          memory_order_relaxed);
}

// worker.c. Starts the worker's thread on its sockets; what is left of a failed start is for
// worker_done.
int worker_init(struct worker *w, const struct resolver_options *o, struct bound *bound, size_t n);
void worker_tell(struct worker *w); // it is to look at what it was told: to stop, or to yield
void worker_done(struct worker *w);

// query.c. One query to one response. Returns its length; 0: nothing is to be sent, or (info->pending) the
// query waits in a slot, in `again` if it did already.
size_t worker_answer(struct worker *w, const struct asked *from, struct pending_query *again,
                     const uint8_t *query, size_t n, uint8_t *out, size_t cap,
                     struct answer_info *info);
// What of the context is of one query: where it came from. Before any of the others.
void worker_about(struct worker *w, const struct asked *from);
// Is it one that says by PROXY protocol whose queries these are?
bool worker_trusts(const struct worker *w, const struct ip *peer);
void worker_count(struct worker *w, const struct answer_info *info);
// For the logs; `again` as above.
void worker_note(struct worker *w, const struct asked *from, const struct pending_query *again,
                 const uint8_t *query, size_t n, const uint8_t *out, size_t got,
                 const struct answer_info *info);
// for ACCEPT_PAUSE_MS: epoll would report the waiting client without end
void worker_pause_accept(struct worker *w);

int wait_queue_init(struct wait_queue *q);
void wait_queue_done(struct wait_queue *q);
// A ticket of the slot that the next query would wait in, or of its own; none if it cannot wait.
struct pending_ticket wait_queue_ticket(const struct wait_queue *q,
                                        const struct pending_query *again, size_t n_query);
// a ticket was there
void wait_queue_park(struct worker *w, const struct asked *from, const uint8_t *query, size_t n);
void wait_queue_leave(struct worker *w, struct pending_query *p);
// The response to a parked query whose news have come, which leaves the queue, unless (false) it
// goes on waiting.
bool wait_queue_answer(struct worker *w, struct pending_query *p, uint8_t *out, size_t cap,
                       size_t *out_n);
void wait_queue_news(struct worker *w);                // all that has come
void wait_queue_expire(struct worker *w, int64_t now); // those whose time is up

int udp_batch_new(struct batch **out); // free()
#define UDP_TURN_MAX 256
// returns how many it read: at most UDP_TURN_MAX
size_t udp_serve(struct worker *w, const struct bound *b);
// one response by itself; UDP may lose it
void udp_send(const struct asked *to, uint8_t *p, size_t n);

void tcp_accept(struct worker *w, const struct bound *b);
void tcp_event(struct worker *w, struct conn *c, uint32_t events); // 0: news of a parked query
void tcp_sweep(struct worker *w); // closes what made no progress for too long
void tcp_close_all(struct worker *w);

#endif
