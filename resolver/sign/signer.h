// SPDX-License-Identifier: Apache-2.0
// Signatures made while a query is pending: a cache that all workers read without a lock, and a
// bounded pool of threads that fills it (design section 3). The key of an entry is a 128-bit hash
// (SipHash) of the octets that were signed (RFC 4034 section 3.1.8.1) and of the signing key; so an
// entry stays right whatever happens to topology, health or keys.
//
//   if (!signer_get(s, SIGNER_POSITIVE, &what, now_s, sig))
//       rc = signer_ask(s, SIGNER_POSITIVE, &what, ticket);  // ERR_BUSY: answer TC, or SERVFAIL
//
// Positive answers and denials have parts and queues of their own, and denials a rate, so that a
// flood of random names neither evicts nor delays the names that exist. Invariants:
//  1. Readers take no lock and allocate nothing. A slot is read whole or not at all (its sequence
//     number is even and the same before and after).
//  2. Only the pool's threads, and signer_put, write slots, one at a time; signer_get and
//     signer_ask wait for nobody.
//  3. A job holds a reference to the keys it signs with, and its ticket is retried or failed once.
#ifndef MERIDIAN_RESOLVER_SIGN_SIGNER_H
#define MERIDIAN_RESOLVER_SIGN_SIGNER_H

#include "certs/dns_keys.h"
#include "resolver/packet/pending_query.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// octets to be signed; larger RRsets are not signed on line
#define SIGNER_DATA_MAX DNSKEY_SIGNED_MAX

enum signer_class { SIGNER_POSITIVE, SIGNER_DENIAL, SIGNER_CLASSES };

struct signer_options {
    // signatures kept; an eighth more for denials
    size_t slots;
    // 0: none, signer_ask is always ERR_BUSY
    unsigned threads;
    // 0: no limit
    unsigned denials_per_s;
};

struct signer_what {
    // RRSIG RDATA without the signature, then the RRset in canonical form
    const uint8_t *data;
    size_t n;
    const struct dns_key *key;
    // the same only for the same key
    uint64_t key_uid;
    // the snapshot that `key` belongs to
    void *keys;
    // of the signature: then its slot is free
    uint32_t expires_s;
};

struct signer_stats {
    uint64_t made[SIGNER_CLASSES], refused[SIGNER_CLASSES], failed;
    // that were still good: the cache is too small
    uint64_t evicted[SIGNER_CLASSES];
    // signatures kept, expired ones too until their slot is used
    size_t cached[SIGNER_CLASSES], slots[SIGNER_CLASSES];
    // jobs
    size_t queued[SIGNER_CLASSES];
    // jobs in both queues, and those that threads have at hand
    size_t waiting;
};

struct signer;
int signer_new(const struct signer_options *o, struct signer **out);
void signer_free(struct signer *s); // fails what waits

bool signer_get(const struct signer *s, enum signer_class c, const struct signer_what *w,
                uint8_t out[DNS_SIGNATURE_BYTES]);
// With a ticket: held, and retried when the signature is there. Without (inbox NULL): made ahead of
// need, when there is little else to do. ERR_BUSY: queue or budget exhausted; ERR_TOOBIG.
int signer_ask(struct signer *s, enum signer_class c, const struct signer_what *w,
               struct pending_ticket ticket);
// Made elsewhere.
void signer_put(struct signer *s, enum signer_class c, const struct signer_what *w,
                const uint8_t sig[DNS_SIGNATURE_BYTES]);
void signer_stats_get(struct signer *s, struct signer_stats *out);

#endif
