// SPDX-License-Identifier: Apache-2.0
// A token of another issuer: its form and its signature, RS256 or ES256 (RFC 7515, RFC 7518 sections
// 3.3 and 3.4). See oidc_priv.h.
#include "auth/oidc_priv.h"

#include "base/digest.h"
#include "base/err.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <string.h>

#define SIG_MAX_BYTES 1024
#define ES256_BYTES 64

static const char *header_text(const json_t *root, const char *name)
{
    const json_t *v = json_object_get(root, name);
    if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v))
        return NULL;
    return json_string_value(v);
}

// `crit` would name members that we must understand, and we understand none beyond these.
static bool header_take(const json_t *root, struct arena *a, struct jwt *t, const char **why)
{
    const char *alg = header_text(root, "alg"), *kid = header_text(root, "kid");
    if (!alg || json_object_get(root, "crit") || json_object_get(root, "b64")) {
        *why = "the token's header is not one";
        return false;
    }
    if (!strcmp(alg, "RS256")) {
        t->alg = JWT_RS256;
    } else if (!strcmp(alg, "ES256")) {
        t->alg = JWT_ES256;
    } else {
        *why = "the token must be signed with RS256 or ES256";
        return false;
    }
    if (!kid || !*kid || strlen(kid) > JWT_KID_MAX_BYTES) {
        *why = "the token's header names no key (kid)";
        return false;
    }
    t->kid = arena_strdup(a, kid);
    return true;
}

static int part_parse(const char *p, size_t n, struct arena *a, uint8_t **out, size_t *out_n)
{
    uint8_t *to = arena_alloc(a, n + 1);
    if (!to)
        return ERR_NOMEM;
    if (b64url_parse(p, n, to, n + 1, out_n))
        return ERR_AUTH;
    *out = to;
    return 0;
}

static int header_parse(const char *p, size_t n, struct arena *a, struct jwt *t, const char **why)
{
    uint8_t *text;
    size_t n_text;
    int rc = part_parse(p, n, a, &text, &n_text);
    if (rc)
        return rc;
    json_t *root = json_loadb((char *)text, n_text, JSON_REJECT_DUPLICATES, NULL);
    bool ok = header_take(root, a, t, why);
    json_decref(root);
    if (!ok)
        return ERR_AUTH;
    if (!t->kid)
        return ERR_NOMEM;
    return 0;
}

static int parts_parse(const char *token, size_t n, struct arena *a, struct jwt *t,
                       const char **why)
{
    const char *dot = memchr(token, '.', n), *dot2 = NULL;
    if (dot)
        dot2 = strchr(dot + 1, '.');
    if (!dot2 || strchr(dot2 + 1, '.'))
        return ERR_AUTH;
    uint8_t *payload, *sig;
    size_t n_payload;
    int rc = header_parse(token, (size_t)(dot - token), a, t, why);
    if (!rc)
        rc = part_parse(dot + 1, (size_t)(dot2 - dot - 1), a, &payload, &n_payload);
    if (!rc)
        rc = part_parse(dot2 + 1, n - (size_t)(dot2 + 1 - token), a, &sig, &t->n_sig);
    if (rc)
        return rc;
    if (!t->n_sig || t->n_sig > SIG_MAX_BYTES)
        return ERR_AUTH;
    t->sig = sig;
    t->signed_at = token;
    t->n_signed = (size_t)(dot2 - token);
    t->claims = json_loadb((char *)payload, n_payload, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(t->claims))
        return 0;
    return ERR_AUTH;
}

int jwt_parse(const char *token, struct arena *a, struct jwt *out, const char **why)
{
    *out = (struct jwt){0};
    *why = "the token is not a signed JWT in its compact form";
    size_t n = strnlen(token, JWT_MAX_BYTES + 1);
    if (n > JWT_MAX_BYTES) {
        *why = "the token is too long";
        return ERR_AUTH;
    }
    return parts_parse(token, n, a, out, why);
}

void jwt_done(struct jwt *t)
{
    json_decref(t->claims);
    t->claims = NULL;
}

// r || s to DER; 0: none.
static size_t es256_der(const uint8_t *sig, size_t n, uint8_t out[80])
{
    int n_der = 0;
    if (n != ES256_BYTES)
        return 0;
    ECDSA_SIG *s = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(sig, 32, NULL), *t = BN_bin2bn(sig + 32, 32, NULL);
    if (s && r && t && ECDSA_SIG_set0(s, r, t)) {
        r = NULL;
        t = NULL;
        n_der = i2d_ECDSA_SIG(s, NULL);
    }
    if (n_der > 0 && n_der <= 80) {
        uint8_t *to = out;
        n_der = i2d_ECDSA_SIG(s, &to);
    } else {
        n_der = 0;
    }
    BN_free(r);
    BN_free(t);
    ECDSA_SIG_free(s);
    if (n_der > 0)
        return (size_t)n_der;
    return 0;
}

static bool verify(EVP_PKEY *key, const struct jwt *t, const uint8_t *sig, size_t n_sig)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new(); // RSA pads by PKCS#1 v1.5 unless told otherwise
    bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestVerify(ctx, sig, n_sig, (const uint8_t *)t->signed_at, t->n_signed) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}

int jwt_verify(const struct jwt *t, const struct jwk *key)
{
    uint8_t der[80];
    const uint8_t *sig = t->sig;
    size_t n = t->n_sig;
    if (key->alg != t->alg)
        return ERR_AUTH;
    if (t->alg == JWT_ES256) {
        n = es256_der(t->sig, t->n_sig, der);
        sig = der;
    }
    if (!n || !verify(key->key, t, sig, n))
        return ERR_AUTH;
    return 0;
}
