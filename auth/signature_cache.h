// SPDX-License-Identifier: Apache-2.0
// Signatures that were found good a moment ago: a client shows the same token with every request,
// and the arithmetic is most of what such a request costs. Remembered is one fact of pure
// mathematics, "this signature over these bytes verifies under this key", and nothing else: the
// topology's keys, the dates, the audience and every claim are judged anew each time, so that
// revoking a key or a token's end counts at once. Bounded; safe on HTTP threads.
#ifndef MERIDIAN_AUTH_SIGNATURE_CACHE_H
#define MERIDIAN_AUTH_SIGNATURE_CACHE_H

#include <stddef.h>
#include <stdint.h>

// as es256_verify
int es256_verify_again(const char *spki_b64, const void *p, size_t n, const uint8_t sig[64]);
uint64_t signature_cache_hits(void); // answered from memory

#endif
