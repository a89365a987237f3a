// SPDX-License-Identifier: Apache-2.0
// What the files of the server share: sockets (bind.c), the worker's loop (server.c), its datagrams (udp.c), its TCP
// connections (tcp.c) and the queries that wait (wait_queue.c). All of a worker's state is touched by its own thread only,
// except the counters, which it alone writes.
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
#define TCP_RCVBUF_BYTES 65536 // of the kernel, per connection: a thousand idle clients must not hold megabytes each
#define TCP_SNDBUF_BYTES 131072

struct bound { // one listening address of one worker
    struct endpoint at;
    bool tls;      // TCP only
    bool wildcard; // then the local address comes with each datagram
    int udp, tcp;  // -1: handed over or not open
};

struct resolver_sockets {
    size_t n_endpoints;
    unsigned n_workers;
    struct bound *bound; // [worker * n_endpoints + endpoint]
};

enum source_kind { SOURCE_STOP, SOURCE_UDP, SOURCE_LISTEN, SOURCE_CONN, SOURCE_PENDING };

struct asked { // where a query came from
    enum answer_transport transport;
    struct endpoint local;
    struct endpoint remote;    // the client
    struct endpoint proxy;     // UDP: who the answer goes to, if not to the client itself; else port 0
    bool unproxied;            // a trusted proxy asks, and does not say for whom
    const struct bound *bound; // UDP: its socket
    struct conn *conn;         // TCP, TLS
};

struct pending_query { // a query that waits; a slot of the worker
    bool used;
    enum pending_news news; // what has come, and could not be acted on yet
    uint8_t tries;
    uint32_t prev, next; // by age; `next` chains the free ones too. PENDING_MAX: none
    int64_t since_ms, deadline_ms;
    struct pending_query *conn_next; // of the same connection
    struct asked asked;
    uint8_t *response;        // PENDING_ANSWER
    struct endpoint upstream; // whose it is
    size_t response_n, n;
    uint8_t query[PENDING_QUERY_BYTES];
};

struct wait_queue { // all of a worker's
    struct pending_inbox *inbox;
    struct pending_query *slots; // PENDING_MAX
    uint32_t n_used, n_touched;  // slots past n_touched were never used: their memory is not there yet
    uint32_t free, oldest, newest;
};

struct conn { // kind first: epoll hands back this pointer
    enum source_kind kind;
    int fd;
    struct endpoint local, remote;
    int64_t progress_ms; // of the last whole query read, or of bytes the client took: dripping bytes in is not progress
    int64_t out_since_ms;    // something waits to be sent since then; means nothing while out_n is 0
    uint32_t events;         // what epoll watches
    bool eof, opened;        // opened: of TLS, its handshake is done
    bool fresh;              // nothing was read yet: here a PROXY header may stand
    bool trusted, unproxied; // it is a trusted proxy's; which has not said for whom it asks
    struct dot_session *tls; // NULL: plain TCP
    int64_t begun_ms;
    struct conn *prev, *next;
    struct pending_query *parked; // its queries that wait
    struct transfer *transfer;    // a zone on its way; until its end no further query is read
    size_t n_parked, in_n, out_at, out_n;
    uint8_t in[2 + TCP_IN_BYTES];
    uint8_t out[TCP_OUT_BYTES];
};

struct source { // one socket in the worker's epoll set
    enum source_kind kind;
    struct bound *bound;
    bool flooded; // it is not in the set: its datagrams are read at each turn
};

struct counters { // written by one thread
    _Atomic uint64_t udp_queries, tcp_queries, dropped, truncated, noerror, nxdomain, refused, formerr, notimp, badvers,
        servfail, badcookie, tcp_open, tcp_evicted, tls_opened, tls_failed, limited_slipped, limited_dropped, parked,
        pending_late, pending_now, proxied, unproxied;
};

struct batch;
struct worker {
    pthread_t thread;
    bool started;
    int epoll, stop; // stop: eventfd
    struct snapshot *topology_cell, *health_cell;
    struct snapshot *geo_cell;
    struct snapshot_reader geo;
    struct geo_view geo_view;       // of it and of the topology
    struct snapshot *cookies_cell;  // NULL: off
    struct snapshot *frontend_cell; // NULL: none
    struct snapshot *identity_cell; // of DNS over TLS
    struct snapshot *dnssec_cell;   // NULL: nothing is signed
    struct snapshot_reader topology, health, cookies, frontend, identity, dnssec;
    const struct node_dns *settings;
    struct answer_context context; // topology and health of this turn
    struct health_map health_map;  // of both
    struct source *sources;        // 2 per bound address, the stop event, and the parked ones' news
    size_t n_flooded;              // sources that are read without waiting
    struct bound *bound;
    size_t n_bound;
    struct batch *batch;
    struct wait_queue wait_queue;
    struct rrl *rrl;    // NULL: no limits
    int64_t now_ms;     // monotonic, of this turn, for them
    struct conn *conns; // newest first
    size_t n_conns, n_transfers;
    int64_t accept_again_ms; // monotonic; 0: listeners are watched
    struct counters n;
    _Atomic uint32_t yield_ms;   // a successor reads the sockets: end within so long; 0: no
    int64_t yield_until_ms;      // monotonic; 0: reads on
    struct metrics_names *names; // shared by all workers
    struct metrics *metrics;
    struct journal_writer writer;
};

static inline void counter_add(_Atomic uint64_t *c, uint64_t d)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + d, memory_order_relaxed);
}

// One query to one response. Returns its length; 0: nothing is to be sent, or (info->pending) the query waits in a
// slot, in `again` if it did already.
size_t worker_answer(struct worker *w, const struct asked *from, struct pending_query *again, const uint8_t *query,
                     size_t n, uint8_t *out, size_t cap, struct answer_info *info);
// What of the context is of one query: where it came from. Before any of the others.
void worker_about(struct worker *w, const struct asked *from);
// Is it one that says by PROXY protocol whose queries these are?
bool worker_trusts(const struct worker *w, const struct ip *peer);
void worker_count(struct worker *w, const struct answer_info *info);
// For the logs; `again` as above.
void worker_note(struct worker *w, const struct asked *from, const struct pending_query *again, const uint8_t *query,
                 size_t n, const uint8_t *out, size_t got, const struct answer_info *info);
void worker_pause_accept(struct worker *w); // for ACCEPT_PAUSE_MS: epoll would report the waiting client without end

int wait_queue_init(struct wait_queue *q);
void wait_queue_done(struct wait_queue *q);
// A ticket of the slot that the next query would wait in, or of its own; none if it cannot wait.
struct pending_ticket wait_queue_ticket(const struct wait_queue *q, const struct pending_query *again, size_t n_query);
void wait_queue_park(struct worker *w, const struct asked *from, const uint8_t *query, size_t n); // a ticket was there
void wait_queue_leave(struct worker *w, struct pending_query *p);
// The response to a parked query whose news have come, which leaves the queue, unless (false) it goes on waiting.
bool wait_queue_answer(struct worker *w, struct pending_query *p, uint8_t *out, size_t cap, size_t *out_n);
void wait_queue_news(struct worker *w);                // all that has come
void wait_queue_expire(struct worker *w, int64_t now); // those whose time is up

int udp_batch_new(struct batch **out); // free()
#define UDP_TURN_MAX 256
size_t udp_serve(struct worker *w, const struct bound *b);   // returns how many it read: at most UDP_TURN_MAX
void udp_send(const struct asked *to, uint8_t *p, size_t n); // one response by itself; UDP may lose it

void tcp_accept(struct worker *w, const struct bound *b);
void tcp_event(struct worker *w, struct conn *c, uint32_t events); // 0: news of a parked query
void tcp_sweep(struct worker *w);                                  // closes what made no progress for too long
void tcp_close_all(struct worker *w);

#endif
