// SPDX-License-Identifier: Apache-2.0
// What the files of the forwarder share: its slots (slot.c), one try of a question at one upstream
// (attempt.c), its queue and its thread (forward.c). All but the queue is of the forwarder's thread.
//
// Invariants
// 1. A slot is active if and only if its number stands in the first n_active of `active`, once, at the
//    place that the slot has as `at`.
// 2. An active slot has a ticket that was held and not yet answered; it is answered exactly once,
//    when the slot is given back.
// 3. A slot has at most one socket; an event is of it only if the generation in the event is the
//    slot's.
#ifndef MERIDIAN_RESOLVER_FORWARD_FORWARD_PRIV_H
#define MERIDIAN_RESOLVER_FORWARD_FORWARD_PRIV_H

#include "resolver/forward/forward.h"
#include "resolver/forward/upstreams.h"

#include <pthread.h>
#include <stdatomic.h>

#define FORWARD_TCP_BYTES (2 + 65535)

struct ask { // as a worker hands it over
    char view[64];
    struct ip client;
    // a copy: the topology may go; `names` is not looked at
    struct view_forward settings;
    struct forward_query query;
    struct pending_ticket ticket;
};

struct slot {
    struct ask ask;
    // -1: none
    int fd;
    uint32_t generation;
    // place in `active`
    size_t at;
    int upstream;
    // upstreams, by number, that answered that they cannot
    uint8_t refused;
    unsigned tries, forged;
    // the last failure was one
    bool network_error;
    int64_t try_until_ms, give_up_ms;
    // behind the length that TCP needs
    uint8_t sent[2 + FORWARD_QUERY_BYTES];
    // without it
    size_t sent_n;
    // FORWARD_TCP_BYTES; NULL: over UDP
    uint8_t *tcp;
    size_t tcp_out, tcp_in;
};

struct forwarder {
    pthread_t thread;
    int epoll, wake;
    struct endpoint *own;
    size_t n_own;
    // of the queue
    pthread_mutex_t lock;
    struct ask queue[FORWARD_QUEUE];
    size_t queue_at, queue_n;
    bool stopping;
    // The thread's own.
    struct slot slots[FORWARD_MAX];
    // the first n_active; the others are free
    uint32_t active[FORWARD_MAX];
    size_t n_active, n_tcp;
    struct upstreams upstreams;
    _Atomic uint64_t asked, answered, failed, limited, ignored;
    // asks that were taken over and not given back
    _Atomic uint64_t under_way;
};

static inline void forward_count(_Atomic uint64_t *c)
{
    atomic_fetch_add_explicit(c, 1, memory_order_relaxed);
}

// slot.c
// A free slot becomes active for this question. There is one: the queue's bounds are lower.
struct slot *slot_take(struct forwarder *f, const struct ask *a);
void slot_close(struct forwarder *f, struct slot *s); // its socket; it stays active
// Both answer the slot's ticket and give the slot back.
void slot_fail(struct forwarder *f, struct slot *s);
void slot_answer(struct forwarder *f, struct slot *s, const uint8_t *got, size_t n);
// A question that gets no slot.
void ask_refuse(struct forwarder *f, const struct ask *a);

// attempt.c
// Asks the next upstream, and others until one can be asked; or gives up and fails the slot.
void ask_next(struct forwarder *f, struct slot *s);
void upstream_failed(struct forwarder *f, struct slot *s);
void attempt_event(struct forwarder *f, uint64_t id); // `id` as epoll gives it

#endif
