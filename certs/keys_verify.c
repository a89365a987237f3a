// SPDX-License-Identifier: Apache-2.0
// Verification with the topology's public keys: ES256 for tokens, Ed25519 for feed entries; see
// keys.h. Any thread.
//
// Parsing a key costs as much as using it, so each thread keeps the parsed keys it met, in a small
// direct-mapped table by SPKI text: no lock, and a key that left the topology is at worst
// remembered, never trusted, because trust is the caller's lookup in the topology.
#include "certs/keys.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "certs/pem_priv.h"

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <string.h>

#define CACHE_SLOTS 64
#define SPKI_MAX_BYTES 512

struct parsed_key {
    char *spki_b64;
    EVP_PKEY *pkey;
};

static pthread_key_t cache_key;
static pthread_once_t cache_once = PTHREAD_ONCE_INIT;
static bool cache_usable;

static void cache_free(void *p)
{
    struct parsed_key *slots = p;
    for (size_t i = 0; i < CACHE_SLOTS; i++) {
        free(slots[i].spki_b64);
        EVP_PKEY_free(slots[i].pkey);
    }
    free(slots);
}

static void cache_make(void)
{
    cache_usable = pthread_key_create(&cache_key, cache_free) == 0;
}

static struct parsed_key *cache_slot(const char *spki_b64)
{
    pthread_once(&cache_once, cache_make);
    if (!cache_usable)
        return NULL;
    struct parsed_key *slots = pthread_getspecific(cache_key);
    if (!slots) {
        slots = mem_zalloc_array(CACHE_SLOTS, sizeof *slots);
        if (!slots || pthread_setspecific(cache_key, slots)) {
            free(slots);
            return NULL;
        }
    }
    uint32_t h = 2166136261u; // FNV-1a: the keys are the operator's, not an attacker's
    for (const char *p = spki_b64; *p; p++)
        h = (h ^ (uint8_t)*p) * 16777619u;
    return &slots[h % CACHE_SLOTS];
}

static EVP_PKEY *key_parse(const char *spki_b64)
{
    uint8_t der[SPKI_MAX_BYTES];
    size_t n, len = strlen(spki_b64);
    if (!len || b64_parse(spki_b64, len, der, sizeof der, &n))
        return NULL;
    const uint8_t *at = der;
    EVP_PKEY *k = d2i_PUBKEY(NULL, &at, (long)n);
    ERR_clear_error();
    if (k && at != der + n) {
        EVP_PKEY_free(k);
        return NULL;
    }
    return k;
}

// A reference of the caller's own, or NULL.
static EVP_PKEY *key_get(const char *spki_b64)
{
    struct parsed_key *slot = cache_slot(spki_b64);
    if (slot && slot->spki_b64 && !strcmp(slot->spki_b64, spki_b64)) {
        if (EVP_PKEY_up_ref(slot->pkey))
            return slot->pkey;
        return NULL;
    }
    EVP_PKEY *k = key_parse(spki_b64);
    char *copy = NULL;
    if (k && slot)
        copy = mem_strdup(spki_b64);
    if (copy && EVP_PKEY_up_ref(k)) {
        free(slot->spki_b64);
        EVP_PKEY_free(slot->pkey);
        *slot = (struct parsed_key){copy, k};
    } else {
        free(copy);
    }
    return k;
}

static int verify(EVP_PKEY *key, const EVP_MD *md, const void *p, size_t n, const uint8_t *sig,
                  size_t n_sig)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int rc = ERR_CRYPTO;
    if (ctx && EVP_DigestVerifyInit(ctx, NULL, md, NULL, key) == 1) {
        if (EVP_DigestVerify(ctx, sig, n_sig, p, n) == 1)
            rc = 0;
        else
            rc = ERR_AUTH;
    }
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return rc;
}

// r || s to DER; the number of bytes, 0 on failure.
static size_t jose_to_der(const uint8_t sig[64], uint8_t out[80])
{
    ECDSA_SIG *s = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(sig, 32, NULL), *t = BN_bin2bn(sig + 32, 32, NULL);
    if (!s || !r || !t || !ECDSA_SIG_set0(s, r, t)) {
        BN_free(r);
        BN_free(t);
        ECDSA_SIG_free(s);
        return 0;
    }
    uint8_t *to = out;
    int n = i2d_ECDSA_SIG(s, NULL);
    if (n > 0 && n <= 80)
        n = i2d_ECDSA_SIG(s, &to);
    else
        n = 0;
    ECDSA_SIG_free(s);
    if (n > 0)
        return (size_t)n;
    return 0;
}

int es256_verify(const char *spki_b64, const void *p, size_t n, const uint8_t sig[64])
{
    AUTO_PKEY EVP_PKEY *key = key_get(spki_b64);
    uint8_t der[80];
    if (!pem_key_is_p256(key))
        return ERR_CRYPTO;
    size_t n_der = jose_to_der(sig, der);
    if (n_der)
        return verify(key, EVP_sha256(), p, n, der, n_der);
    return ERR_CRYPTO;
}

int ed25519_verify(const char *spki_b64, const void *p, size_t n, const uint8_t sig[64])
{
    AUTO_PKEY EVP_PKEY *key = key_get(spki_b64);
    if (!key || !EVP_PKEY_is_a(key, "ED25519"))
        return ERR_CRYPTO;
    return verify(key, NULL, p, n, sig, 64);
}
