// SPDX-License-Identifier: Apache-2.0
// Jobs for the signer's threads: a bounded ring without a lock (after D. Vyukov's bounded queue),
// because a worker must not wait for a thread that was descheduled while it held a lock. Any number
// of threads on either side. Part of signer.c.
//
//   struct signer_job *j = signer_queue_begin(&q, &at);  // NULL: full
//   …fill j…
//   signer_queue_end(&q, at);                            // now it can be taken
//   if (signer_queue_take(&q, &job)) …                   // false: empty, or the next one is still
//                                                        // being filled
#ifndef MERIDIAN_RESOLVER_SIGN_SIGNER_QUEUE_H
#define MERIDIAN_RESOLVER_SIGN_SIGNER_QUEUE_H

#include "resolver/sign/signer.h"
#include "resolver/sign/signer_cache.h"

struct signer_job {
    struct cache_hash hash;
    const struct dns_key *key;
    // a reference
    void *keys;
    uint32_t expires_s;
    // held; inbox NULL: nobody waits
    struct pending_ticket ticket;
    size_t n;
    uint8_t data[SIGNER_DATA_MAX];
};

struct signer_cell {
    // equal to a place: free for it; one more: filled
    _Atomic size_t turn;
    struct signer_job job;
};

struct signer_queue {
    struct signer_cell *cells;
    // a power of two
    size_t cap;
    _Atomic size_t tail;
    // writers and readers do not share a cache line
    char apart[64];
    _Atomic size_t head;
};

int signer_queue_init(struct signer_queue *q, size_t cap);
void signer_queue_done(struct signer_queue *q); // what is in it is the caller's to take first
size_t signer_queue_n(const struct signer_queue *q);
struct signer_job *signer_queue_begin(struct signer_queue *q, size_t *out_at);
void signer_queue_end(struct signer_queue *q, size_t at);
bool signer_queue_take(struct signer_queue *q, struct signer_job *out);

#endif
