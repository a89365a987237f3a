// SPDX-License-Identifier: Apache-2.0
// An issuer's keys: a JWK set as JSON to keys of OpenSSL. See oidc_priv.h.
#include "auth/oidc_priv.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <string.h>

#define RSA_MIN_BITS 2048
#define RSA_MAX_BYTES 1024 // 8192 bits: what verifying costs is ours
#define EXPONENT_MAX_BYTES 4
#define EXPONENT_MIN 65537
#define COORDINATE_BYTES 32

static const char *text_of(const json_t *key, const char *name)
{
    const json_t *v = json_object_get(key, name);
    if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v))
        return NULL;
    return json_string_value(v);
}

// Absent, or that value.
static bool allows(const json_t *key, const char *name, const char *value)
{
    const char *text = text_of(key, name);
    if (!json_object_get(key, name))
        return true;
    return text && !strcmp(text, value);
}

static bool may_verify(const json_t *key)
{
    const json_t *ops = json_object_get(key, "key_ops"), *v;
    size_t i;
    if (!allows(key, "use", "sig"))
        return false;
    if (!ops)
        return true;
    json_array_foreach(ops, i, v)
    {
        if (json_is_string(v) && !strcmp(json_string_value(v), "verify"))
            return true;
    }
    return false;
}

static bool bytes_of_member(const json_t *key, const char *name, uint8_t *out, size_t cap,
                            size_t *out_n)
{
    const char *text = text_of(key, name);
    return text && strlen(text) <= 2 * cap && !b64url_parse(text, strlen(text), out, cap, out_n);
}

static EVP_PKEY *key_of(const char *kind, OSSL_PARAM *params)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);
    if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return key;
}

static EVP_PKEY *rsa_of(BIGNUM *n, BIGNUM *e)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = NULL;
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (bld && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e))
        params = OSSL_PARAM_BLD_to_param(bld);
    if (params)
        key = key_of("RSA", params);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    return key;
}

static EVP_PKEY *rsa_take(const json_t *jwk)
{
    uint8_t n_bytes[RSA_MAX_BYTES], e_bytes[EXPONENT_MAX_BYTES];
    size_t n_n, n_e;
    if (!bytes_of_member(jwk, "n", n_bytes, sizeof n_bytes, &n_n) ||
        !bytes_of_member(jwk, "e", e_bytes, sizeof e_bytes, &n_e))
        return NULL;
    EVP_PKEY *key = NULL;
    BIGNUM *n = BN_bin2bn(n_bytes, (int)n_n, NULL), *e = BN_bin2bn(e_bytes, (int)n_e, NULL);
    if (n && e && BN_num_bits(n) >= RSA_MIN_BITS && BN_is_odd(n) && BN_is_odd(e) &&
        BN_get_word(e) >= EXPONENT_MIN)
        key = rsa_of(n, e);
    BN_free(n);
    BN_free(e);
    return key;
}

// fromdata refuses a point that is not on the curve.
static EVP_PKEY *ec_take(const json_t *jwk)
{
    uint8_t point[1 + 2 * COORDINATE_BYTES] = {4};
    char group[] = "prime256v1";
    size_t n_x, n_y;
    if (!allows(jwk, "crv", "P-256") || !text_of(jwk, "crv") ||
        !bytes_of_member(jwk, "x", point + 1, COORDINATE_BYTES, &n_x) ||
        !bytes_of_member(jwk, "y", point + 1 + COORDINATE_BYTES, COORDINATE_BYTES, &n_y) ||
        n_x != COORDINATE_BYTES || n_y != COORDINATE_BYTES)
        return NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point),
        OSSL_PARAM_construct_end()};
    return key_of("EC", params);
}

// False: not a key of use here.
static bool key_take(const json_t *jwk, struct jwk *out)
{
    const char *kty = text_of(jwk, "kty"), *kid = text_of(jwk, "kid");
    if (!kty || !kid || !*kid || strlen(kid) > JWT_KID_MAX_BYTES || !may_verify(jwk))
        return false;
    if (!strcmp(kty, "RSA") && allows(jwk, "alg", "RS256")) {
        out->alg = JWT_RS256;
        out->key = rsa_take(jwk);
    } else if (!strcmp(kty, "EC") && allows(jwk, "alg", "ES256")) {
        out->alg = JWT_ES256;
        out->key = ec_take(jwk);
    }
    if (!out->key)
        return false;
    out->kid = mem_strdup(kid);
    return out->kid;
}

static void keys_take(const json_t *list, struct jwks *to)
{
    size_t i;
    const json_t *v;
    json_array_foreach(list, i, v)
    {
        struct jwk one = {0};
        if (to->n == JWKS_MAX_KEYS)
            return;
        // of two keys by one name the first counts
        if (key_take(v, &one) && !jwks_find(to, one.kid, one.alg)) {
            to->keys[to->n++] = one;
            continue;
        }
        free(one.kid);
        EVP_PKEY_free(one.key);
    }
}

int jwks_parse(const char *text, size_t n, struct jwks **out, const char **why)
{
    json_t *root = NULL;
    if (n <= JWKS_MAX_BYTES)
        root = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    const json_t *list = json_object_get(root, "keys");
    if (!json_is_array(list)) {
        json_decref(root);
        *why = "what it gives as its keys is no JWK set";
        return ERR_INVAL;
    }
    struct jwks *k = mem_zalloc(sizeof *k);
    if (k) {
        atomic_init(&k->refs, 1);
        keys_take(list, k);
    }
    json_decref(root);
    if (!k)
        return ERR_NOMEM;
    if (!k->n) {
        jwks_unref(k);
        *why = "its JWK set has no key that can be used (RSA of 2048 to 8192 bits for RS256, or "
               "P-256 for ES256, with a kid)";
        return ERR_INVAL;
    }
    *out = k;
    return 0;
}

struct jwks *jwks_ref(struct jwks *k)
{
    atomic_fetch_add(&k->refs, 1);
    return k;
}

void jwks_unref(struct jwks *k)
{
    if (!k || atomic_fetch_sub(&k->refs, 1) > 1)
        return;
    for (size_t i = 0; i < k->n; i++) {
        free(k->keys[i].kid);
        EVP_PKEY_free(k->keys[i].key);
    }
    free(k);
}

const struct jwk *jwks_find(const struct jwks *k, const char *kid, enum jwt_alg alg)
{
    for (size_t i = 0; i < k->n; i++)
        if (k->keys[i].alg == alg && !strcmp(k->keys[i].kid, kid))
            return &k->keys[i];
    return NULL;
}
