// SPDX-License-Identifier: Apache-2.0
// Keys and tokens of a made-up issuer, for the tests of auth/ and for fuzz targets. Header only.
#ifndef MERIDIAN_TESTS_OIDC_FIXTURE_H
#define MERIDIAN_TESTS_OIDC_FIXTURE_H

#include "auth/oidc_priv.h"
#include "base/digest.h"
#include "base/mem.h"

#include <check.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

struct foreign_key {
    const char *kid;
    bool rsa;
    EVP_PKEY *key;
};

static inline struct foreign_key foreign_rsa(const char *kid, unsigned bits)
{
    return (struct foreign_key){kid, true, EVP_RSA_gen(bits)};
}

static inline struct foreign_key foreign_ec(const char *kid, const char *curve)
{
    return (struct foreign_key){kid, false, EVP_EC_gen(curve)};
}

static inline char *foreign_b64(const void *p, size_t n)
{
    char *s = mem_alloc(b64_size(n));
    b64url_format(p, n, s);
    return s;
}

static inline char *foreign_bn(EVP_PKEY *key, const char *name, int n_bytes)
{
    BIGNUM *v = NULL;
    uint8_t bytes[1024];
    ck_assert_int_eq(EVP_PKEY_get_bn_param(key, name, &v), 1);
    int n = n_bytes;
    if (n)
        BN_bn2binpad(v, bytes, n);
    else
        n = BN_bn2bin(v, bytes);
    BN_free(v);
    return foreign_b64(bytes, (size_t)n);
}

// The public half as a JWK; `more` as in ",\"use\":\"sig\"". The caller frees it.
static inline char *foreign_jwk(const struct foreign_key *k, const char *more)
{
    if (k->rsa) {
        AUTO_FREE char *n = foreign_bn(k->key, OSSL_PKEY_PARAM_RSA_N, 0),
                       *e = foreign_bn(k->key, OSSL_PKEY_PARAM_RSA_E, 0);
        return mem_printf("{\"kty\":\"RSA\",\"kid\":\"%s\",\"n\":\"%s\",\"e\":\"%s\"%s}", k->kid, n,
                          e, more);
    }
    AUTO_FREE char *x = foreign_bn(k->key, OSSL_PKEY_PARAM_EC_PUB_X, 32),
                   *y = foreign_bn(k->key, OSSL_PKEY_PARAM_EC_PUB_Y, 32);
    return mem_printf(
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"%s}", k->kid, x,
        y, more);
}

static inline char *foreign_jwks(const struct foreign_key *keys, size_t n)
{
    struct buf b;
    buf_init(&b, 0);
    buf_str(&b, "{\"keys\":[");
    for (size_t i = 0; i < n; i++) {
        AUTO_FREE char *one = foreign_jwk(&keys[i], ",\"use\":\"sig\"");
        buf_printf(&b, "%s%s", i ? "," : "", one);
    }
    buf_str(&b, "]}");
    return buf_take(&b);
}

// The signature of text, as JOSE has it: base64url.
static inline char *foreign_signature(const struct foreign_key *k, const char *text)
{
    uint8_t sig[1100], jose[64];
    size_t n = sizeof sig;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    ck_assert_int_eq(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, k->key), 1);
    ck_assert_int_eq(EVP_DigestSign(ctx, sig, &n, (const uint8_t *)text, strlen(text)), 1);
    EVP_MD_CTX_free(ctx);
    if (k->rsa)
        return foreign_b64(sig, n);
    const uint8_t *at = sig;
    ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &at, (long)n);
    BN_bn2binpad(ECDSA_SIG_get0_r(s), jose, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(s), jose + 32, 32);
    ECDSA_SIG_free(s);
    return foreign_b64(jose, sizeof jose);
}

// header NULL: the key's own
static inline char *foreign_token(const struct foreign_key *k, const char *header,
                                  const char *payload)
{
    AUTO_FREE char *own = mem_printf("{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":\"JWT\"}",
                                     k->rsa ? "RS256" : "ES256", k->kid);
    if (!header)
        header = own;
    AUTO_FREE char *h = foreign_b64(header, strlen(header)),
                   *p = foreign_b64(payload, strlen(payload));
    AUTO_FREE char *text = mem_printf("%s.%s", h, p);
    AUTO_FREE char *sig = foreign_signature(k, text);
    return mem_printf("%s.%s", text, sig);
}

#endif
