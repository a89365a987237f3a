// SPDX-License-Identifier: Apache-2.0
// An issuer's keys: whatever comes is refused with a reason, or is a bounded set of keys that each
// have a name, fit their algorithm, and are found by both.
#include "auth/oidc_priv.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge_key(const struct jwks *k, const struct jwk *one)
{
    if (!*one->kid || strlen(one->kid) > JWT_KID_MAX_BYTES ||
        jwks_find(k, one->kid, one->alg) != one)
        abort();
    bool rsa = EVP_PKEY_is_a(one->key, "RSA");
    if (rsa != (one->alg == JWT_RS256) || rsa == EVP_PKEY_is_a(one->key, "EC"))
        abort();
    if (rsa && (EVP_PKEY_get_bits(one->key) < 2048 || EVP_PKEY_get_bits(one->key) > 8192))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jwks *k = NULL;
    const char *why = NULL;
    int rc = jwks_parse((const char *)data, size, &k, &why);
    if (!rc != !!k || (rc && !why))
        abort();
    if (k && (!k->n || k->n > JWKS_MAX_KEYS))
        abort();
    for (size_t i = 0; k && i < k->n; i++)
        judge_key(k, &k->keys[i]);
    jwks_unref(k);
    return 0;
}
