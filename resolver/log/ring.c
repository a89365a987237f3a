// SPDX-License-Identifier: Apache-2.0
// The ring; see ring.h. Producer: a resolver worker. Consumer: the log's thread.
//
// Invariants
// 1. head and tail only grow; head - tail is at most the size. Only the producer writes head, only
//    the consumer tail.
// 2. What lies between tail and head is whole records: a length, then so many bytes, padded to 8;
//    or a length of SKIP, which means that the next record is at the beginning of the memory. A
//    record never wraps.
#include "resolver/log/ring.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdatomic.h>
#include <stdbool.h>

#define HEAD_BYTES 8
#define SKIP UINT32_MAX
#define LEAST_BYTES 4096
#define MOST_BYTES (1u << 30)

struct ring {
    size_t size;
    uint8_t *p;
    // the producer's
    _Alignas(64) _Atomic uint64_t head;
    // where a commit leads; 0: nothing is reserved
    uint64_t reserved, seen_tail;
    _Atomic uint64_t dropped;
    // the consumer's
    _Alignas(64) _Atomic uint64_t tail;
    // where a release leads
    uint64_t next;
};

int ring_new(size_t bytes, struct ring **out)
{
    size_t size = LEAST_BYTES;
    if (bytes > MOST_BYTES)
        return ERR_RANGE;
    while (size < bytes)
        size *= 2;
    struct ring *r = NULL;
    if (posix_memalign((void **)&r, 64, sizeof *r))
        return ERR_NOMEM;
    *r = (struct ring){.size = size, .p = mem_alloc(size)};
    if (!r->p) {
        free(r);
        return ERR_NOMEM;
    }
    *out = r;
    return 0;
}

void ring_free(struct ring *r)
{
    if (!r)
        return;
    free(r->p);
    free(r);
}

static uint32_t *length_at(const struct ring *r, uint64_t at)
{
    return (uint32_t *)(void *)(r->p + (at & (r->size - 1)));
}

static bool has_room(struct ring *r, uint64_t head, size_t n)
{
    if (r->size - (head - r->seen_tail) >= n)
        return true;
    r->seen_tail = atomic_load_explicit(&r->tail, memory_order_acquire);
    return r->size - (head - r->seen_tail) >= n;
}

void *ring_reserve(struct ring *r, size_t n)
{
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    size_t whole = HEAD_BYTES + ((n + 7) & ~(size_t)7), left = r->size - (head & (r->size - 1));
    size_t skip = 0;
    if (whole > left)
        skip = left;
    r->reserved = 0;
    if (n > r->size / 2 || !has_room(r, head, skip + whole)) {
        atomic_store_explicit(&r->dropped,
                              atomic_load_explicit(&r->dropped, memory_order_relaxed) + 1,
                              memory_order_relaxed);
        return NULL;
    }
    if (skip) {
        *length_at(r, head) = SKIP; // seen with the commit, not before
        head += skip;
    }
    *length_at(r, head) = (uint32_t)n;
    r->reserved = head + whole;
    return r->p + (head & (r->size - 1)) + HEAD_BYTES;
}

void ring_commit(struct ring *r)
{
    if (r->reserved)
        atomic_store_explicit(&r->head, r->reserved, memory_order_release);
    r->reserved = 0;
}

void *ring_peek(struct ring *r, size_t *out_n)
{
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    if (tail == atomic_load_explicit(&r->head, memory_order_acquire))
        return NULL;
    if (*length_at(r, tail) == SKIP)
        tail += r->size - (tail & (r->size - 1));
    uint32_t n = *length_at(r, tail);
    r->next = tail + HEAD_BYTES + ((n + 7) & ~(size_t)7);
    *out_n = n;
    return r->p + (tail & (r->size - 1)) + HEAD_BYTES;
}

void ring_release(struct ring *r)
{
    atomic_store_explicit(&r->tail, r->next, memory_order_release);
}

uint64_t ring_dropped(const struct ring *r)
{
    return atomic_load_explicit(&r->dropped, memory_order_relaxed);
}
