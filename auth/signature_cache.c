// SPDX-License-Identifier: Apache-2.0
// The cache of good signatures; see signature_cache.h. A table of SHA-256 values: finding another
// (key, message, signature) with the same value is harder than forging a signature. A new value
// replaces the one in its slot; only good signatures of regions get into the table.
#include "auth/signature_cache.h"

#include "auth/signature_cache_test.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "base/err.h"
#include "certs/keys.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#define SLOTS 4096

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint8_t slots[SLOTS][SHA256_BYTES];
static bool taken[SLOTS];
static uint64_t hits;

// Every part has a length of its own or one that is fixed, so that no two triples read alike.
static int triple_digest(const char *spki_b64, const void *p, size_t n, const uint8_t sig[64],
                         struct digest *out)
{
    struct hasher *h = hasher_new(DIGEST_SHA256);
    if (!h)
        return ERR_NOMEM;
    hasher_update(h, spki_b64, strlen(spki_b64) + 1);
    hasher_update(h, sig, 64);
    hasher_update(h, p, n);
    int rc = hasher_final(h, out);
    hasher_free(h);
    return rc;
}

int es256_verify_again(const char *spki_b64, const void *p, size_t n, const uint8_t sig[64])
{
    struct digest d;
    int rc = triple_digest(spki_b64, p, n, sig, &d);
    if (rc)
        return es256_verify(spki_b64, p, n, sig);
    size_t at = (d.b[0] | (size_t)d.b[1] << 8) % SLOTS;
    pthread_mutex_lock(&lock);
    bool known = taken[at] && secret_equal(slots[at], SHA256_BYTES, d.b, SHA256_BYTES);
    hits += known;
    pthread_mutex_unlock(&lock);
    if (known)
        return 0;
    rc = es256_verify(spki_b64, p, n, sig);
    if (rc)
        return rc;
    pthread_mutex_lock(&lock);
    memcpy(slots[at], d.b, SHA256_BYTES);
    taken[at] = true;
    pthread_mutex_unlock(&lock);
    return 0;
}

uint64_t signature_cache_hits(void)
{
    pthread_mutex_lock(&lock);
    uint64_t n = hits;
    pthread_mutex_unlock(&lock);
    return n;
}
