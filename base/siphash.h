// SPDX-License-Identifier: Apache-2.0
// SipHash-2-4 (Aumasson and Bernstein, 2012) with 64 bits: a keyed hash of short inputs that who
// does not know the key cannot steer, fast enough for every packet. Allocates nothing; any thread.
//
//   struct siphash_key k = siphash_key_of(secret);       // 16 octets
//   uint64_t h = siphash24(&k, p, n);                    // siphash_put(h, out) for its octets on
//                                                        // the wire
#ifndef MERIDIAN_BASE_SIPHASH_H
#define MERIDIAN_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#define SIPHASH_KEY_BYTES 16

struct siphash_key {
    uint64_t k0, k1;
};

struct siphash_key siphash_key_of(const uint8_t secret[SIPHASH_KEY_BYTES]);
uint64_t siphash24(const struct siphash_key *k, const void *p, size_t n);
// SipHash-1-3, half the work: for places in tables, whose hashes nobody sees.
uint64_t siphash13(const struct siphash_key *k, const void *p, size_t n);
void siphash_put(uint64_t h, uint8_t out[8]); // in the reference's order: least octet first

#endif
