// SPDX-License-Identifier: Apache-2.0
// The locks of this room, each with the condition variable of what it guards, and their order.
//
//   lock_init(&p->lock, LOCK_PEER);
//   lock_take(&p->lock);
//   while (!p->due)
//       lock_wait(&p->lock, 1000);          // 1 s at most
//   lock_give(&p->lock);
//
// The room for fetches and the mender have locks that nothing is taken under, and stand outside of
// the order. Every other object of this room has one lock of its own, which guards all of its fields that its header
// does not say otherwise of. A thread holds the lock of one object at a time, except where two
// ranks stand below as a pair; it calls no other room but the fetcher and the pool, and no disk or
// network, while it holds one.
//
// Invariants (asserted in lock.c)
//   1. A thread takes a lock only while all that it holds have a lower rank. So no two threads wait
//      for each other.
//   2. A thread that waits for a condition holds no other lock of this room.
#ifndef MERIDIAN_REPLICATION_LOCK_H
#define MERIDIAN_REPLICATION_LOCK_H

#include <pthread.h>
#include <stdint.h>

// The order, lowest first. Only STREAMS and STREAM are ever held together.
enum lock_rank {
    // response_producer.c: the list of streams that are served
    LOCK_STREAMS,
    // response_producer.c: one stream
    LOCK_STREAM,
    // reading_hold.c
    LOCK_HOLD,
    // write_gate.c
    LOCK_GATE,
    // peers.c: the set, for those who add to it
    LOCK_PEERS,
    // peer.c: one region
    LOCK_PEER,
    // silence_watch.c
    LOCK_SILENCE,
    // mark_claim.c: what one region says that it has read of us
    LOCK_CLAIM,
    // absence.c
    LOCK_ABSENCES,
    // job_queue.c
    LOCK_JOBS,
    // clock_watch.c: questions under way
    LOCK_CLOCK,
    // clock_report.c
    LOCK_CLOCK_REPORT,
    // speech.c
    LOCK_SPEECH,
    // revoker.c
    LOCK_REVOKER,
    // words.c
    LOCK_WORDS,
    // comparer.c
    LOCK_COMPARER,
    // differences.c
    LOCK_DIFFERENCES,
    // life.c
    LOCK_LIFE,
    LOCK_N_RANKS
};

struct lock {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    enum lock_rank rank;
};

void lock_init(struct lock *l, enum lock_rank rank);
void lock_done(struct lock *l);
void lock_take(struct lock *l);
void lock_give(struct lock *l);
// Under the lock: wakes all who wait for it.
void lock_wake(struct lock *l);
// Under the lock: returns when somebody wakes it, after `ms`, or for no reason.
void lock_wait(struct lock *l, int64_t ms);

#endif
