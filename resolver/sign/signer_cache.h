// SPDX-License-Identifier: Apache-2.0
// The slots of the signer: a set-associative table of signatures with two sets for each, read
// without locks; see signer.h. Part of signer.c.
#ifndef MERIDIAN_RESOLVER_SIGN_SIGNER_CACHE_H
#define MERIDIAN_RESOLVER_SIGN_SIGNER_CACHE_H

#include "resolver/sign/signer.h"

#include <stdatomic.h>

#define CACHE_WAYS 8

struct cache_hash {
    // never both 0
    uint64_t a, b;
};

struct cache_set; // CACHE_WAYS tags, and as many slots
struct signer_cache {
    struct cache_set *sets;
    // a power of two
    size_t n_sets;
    uint64_t secret[2];
    // the writer's: slots that were ever written to
    size_t used;
    // which slot of two full sets goes next
    unsigned turn;
    // signatures that went before their time
    uint64_t evicted;
};

int signer_cache_init(struct signer_cache *c, size_t slots, const uint64_t secret[2]);
void signer_cache_done(struct signer_cache *c);
struct cache_hash signer_cache_hash(const struct signer_cache *c, uint64_t uid, const uint8_t *p,
                                    size_t n);
bool signer_cache_get(const struct signer_cache *c, struct cache_hash h,
                      uint8_t out[DNS_SIGNATURE_BYTES]);
// One writer at a time.
void signer_cache_put(struct signer_cache *c, struct cache_hash h, uint32_t expires_s,
                      uint32_t now_s, const uint8_t sig[DNS_SIGNATURE_BYTES]);

#endif
