// SPDX-License-Identifier: Apache-2.0
// A cache of good signatures. A client sends the same token with every request, and verifying its
// signature is most of the cost of such a request. The cache keeps one fact only: "this signature
// over these bytes verifies under this key". Callers judge keys, dates, audience and claims anew
// each time, so a revoked key or an expired token counts at once. Bounded; any thread.
//
//   rc = es256_verify_again(key->spki_b64, signed_at, n_signed, sig);
#ifndef MERIDIAN_AUTH_SIGNATURE_CACHE_H
#define MERIDIAN_AUTH_SIGNATURE_CACHE_H

#include <stddef.h>
#include <stdint.h>

// as es256_verify
int es256_verify_again(const char *spki_b64, const void *p, size_t n, const uint8_t sig[64]);

#endif
