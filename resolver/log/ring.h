// SPDX-License-Identifier: Apache-2.0
// A ring of records between a resolver worker and the thread that writes a log: one producer, one
// consumer, no lock. When it is full the producer goes on without the record and counts it: answers
// never wait for a log.
//
//   void *p = ring_reserve(r, n);             // worker: NULL when there is no room
//   if (p) { memcpy(p, …); ring_commit(r); }
//   while ((p = ring_peek(r, &n))) { …; ring_release(r); }    // writer
//
// Records are whole and side by side, aligned to 8 bytes. Memory is given once, at start.
#ifndef MERIDIAN_RESOLVER_LOG_RING_H
#define MERIDIAN_RESOLVER_LOG_RING_H

#include <stddef.h>
#include <stdint.h>

struct ring;
// rounded up to a power of two, from 4 KiB on; ERR_RANGE, ERR_NOMEM
int ring_new(size_t bytes, struct ring **out);
void ring_free(struct ring *r); // NULL is fine
// The producer's. A reserved record that is not committed is forgotten with the next reservation.
void *ring_reserve(struct ring *r, size_t n);
void ring_commit(struct ring *r);
// The consumer's. The record is borrowed until it is released.
void *ring_peek(struct ring *r, size_t *out_n);
void ring_release(struct ring *r);
uint64_t ring_dropped(const struct ring *r); // records that found no room; any thread

#endif
