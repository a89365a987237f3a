// SPDX-License-Identifier: Apache-2.0
// Tokens of other issuers (OpenID Connect): lowest first, jwks.c (an issuer's keys), discovery.c
// (where they are), jwt.c (a token: form, signature), oidc_claims.c (what it says, and which rule
// takes it). Pure; any thread. Nobody outside this room includes this, but for fuzz targets.
//
// Everything here comes from strangers. What is not needed is not read: keys in a token's header
// (`jwk`, `jku`, `x5u`, `x5c`) have no meaning, algorithms are RS256 and ES256 and each fits one
// kind of key only.
#ifndef MERIDIAN_AUTH_OIDC_PRIV_H
#define MERIDIAN_AUTH_OIDC_PRIV_H

#include "base/arena.h"
#include "base/bytes.h"
#include "config/issuers.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdatomic.h>

#define JWKS_MAX_BYTES (256u << 10)
#define JWKS_MAX_KEYS 64
#define DISCOVERY_MAX_BYTES (64u << 10)
#define JWT_KID_MAX_BYTES 256
#define JWT_MAX_BYTES 12288
#define JWT_AGE_MAX_S 3600       // since `iat`: a token is for the moment, not for a drawer
#define JWT_LIFETIME_MAX_S 86400 // from `iat` to `exp`
#define JWT_SKEW_S 60
#define JWT_SUBJECT_MAX_BYTES 200

enum jwt_alg { JWT_RS256, JWT_ES256 };

// --- jwks.c: RFC 7517, RFC 7518 section 6 ---
struct jwk {
    char *kid;
    enum jwt_alg alg;
    EVP_PKEY *key;
};
struct jwks { // frozen, shared
    _Atomic int refs;
    struct jwk keys[JWKS_MAX_KEYS];
    size_t n;
};
// Keys that cannot be of use here are passed over: other kinds and curves, without `kid`, not for
// signatures. ERR_INVAL with a sentence when it is no JWK set, or has no key of use.
int jwks_parse(const char *text, size_t n, struct jwks **out, const char **why);
struct jwks *jwks_ref(struct jwks *k);
void jwks_unref(struct jwks *k); // NULL: nothing
const struct jwk *jwks_find(const struct jwks *k, const char *kid, enum jwt_alg alg);

// --- discovery.c: OpenID Connect Discovery 1.0 sections 3 and 4 ---
// The URL of an issuer's document; arena. NULL: no memory.
const char *discovery_url(const char *issuer, struct arena *a);
// The document's `jwks_uri`, when its `issuer` is that one. ERR_INVAL with a sentence; ERR_NOMEM.
int discovery_parse(const char *text, size_t n, const char *issuer, struct arena *a,
                    const char **out_jwks_uri, const char **why);

// --- jwt.c: RFC 7519, RFC 7515 ---
struct jwt { // hangs off the arena, but for the claims
    enum jwt_alg alg;
    const char *kid;
    const char *signed_at;
    size_t n_signed;
    const uint8_t *sig;
    size_t n_sig;
    // not to be believed before jwt_verify
    json_t *claims;
};
// Only the form. ERR_AUTH with a sentence; ERR_NOMEM. jwt_done frees the claims in any case.
int jwt_parse(const char *token, struct arena *a, struct jwt *out, const char **why);
void jwt_done(struct jwt *t);
// ERR_AUTH: not signed by that key
int jwt_verify(const struct jwt *t, const struct jwk *key);

// --- oidc_claims.c ---
// A claim that is text, and nothing odd; NULL: absent or not so.
const char *claim_string(const json_t *claims, const char *name, size_t max);
struct oidc_caller {
    const char *subject;
    const struct issuer_rule *rule;
    // Unix time: so long must its use be remembered
    int64_t remember_s;
    // hash of what makes the token one: issuer and jti, or all that was signed
    uint8_t id[32];
};
// Issuer, audience, dates, subject, id, and the first rule that matches. The signature was checked.
// ERR_AUTH, ERR_EXPIRED or ERR_DENIED (no rule) with a sentence for whoever holds the token.
int oidc_judge(const struct jwt *t, const struct issuer *i, const char *service, int64_t now_ms,
               struct oidc_caller *out, const char **why);
bool oidc_rule_matches(const struct issuer_rule *r, const json_t *claims);
// "oidc:<issuer>:<subject>"; NULL: no memory
const char *oidc_principal_name(const struct issuer *i, const char *subject, struct arena *a);
// Whom a refresh token of "oidc:…" stands for, as the document says now: a principal with the grants
// of its rule, on the arena. NULL: nobody any more (issuer or rule are gone, or were changed).
const struct principal *oidc_principal(const struct principals *all, const char *registry,
                                       const char *name, uint64_t generation, struct arena *a);

#endif
