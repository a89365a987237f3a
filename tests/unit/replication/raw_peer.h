// SPDX-License-Identifier: Apache-2.0
// A region of the test world that is no region: bytes over its sockets, by a script, below HTTP where
// it likes. For tests.
//
//   raw_peer_start(&p, east);                 // where west and south reach eastus
//   … p.n_hits[1] …                           // requests of west's whose path counts
//   raw_peer_stop(&p);
//
// Threads: one that accepts and one for each connection; `answer` runs on these, and returns when
// the connection is to end, or soon after p.stop is true.
#ifndef MERIDIAN_TESTS_REPLICATION_RAW_PEER_H
#define MERIDIAN_TESTS_REPLICATION_RAW_PEER_H

#include "tests/unit/replication/regions.h"

#include <pthread.h>

#define RAW_CONNECTIONS_MAX 400

struct raw_peer;
// `from`: the region that asks; `target`: path and query of the request. false: the connection ends; true: another request may come.
typedef bool (*raw_answer_fn)(struct raw_peer *p, int fd, size_t from, const char *target);

struct raw_peer {
    struct test_region *at;
    raw_answer_fn answer;
    const void *ctx;
    // Of each region that asks: the paths that count, how often they were asked for, and what else
    // `answer` counts.
    const char *counts[N_REGIONS];
    _Atomic unsigned n_hits[N_REGIONS], n_good[N_REGIONS];
    _Atomic bool stop;
    int listeners[N_REGIONS];
    pthread_t acceptor;
    pthread_t connections[RAW_CONNECTIONS_MAX];
    // the acceptor's
    size_t n_connections;
};

// `answer`, `ctx` and `counts` are set.
void raw_peer_start(struct raw_peer *p, struct test_region *at);
void raw_peer_stop(struct raw_peer *p);

// Sends all, or as much as the other side takes before p.stop. false: it is gone.
bool raw_send(struct raw_peer *p, int fd, const void *data, size_t n);
bool raw_text(struct raw_peer *p, int fd, const char *text);
// A byte each `ms` until p.stop, or the other side is gone.
void raw_drip(struct raw_peer *p, int fd, char byte, unsigned ms);
// Holds the connection until p.stop, or the other side is gone.
void raw_hold(struct raw_peer *p, int fd);

#endif
