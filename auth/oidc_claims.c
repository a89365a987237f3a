// SPDX-License-Identifier: Apache-2.0
// What a token of another issuer says, and which rule takes it. See oidc_priv.h and
// config/issuers.h.
#include "auth/oidc_priv.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ID_MAX_BYTES 512
#define TIME_MAX_S ((int64_t)1 << 40)

static const char *string_of(const json_t *v, size_t max)
{
    if (!json_is_string(v) || json_string_length(v) > max ||
        strlen(json_string_value(v)) != json_string_length(v))
        return NULL;
    return json_string_value(v);
}

const char *claim_string(const json_t *claims, const char *name, size_t max)
{
    return string_of(json_object_get(claims, name), max);
}

// RFC 7519 section 2: a NumericDate may have a fraction.
static bool claim_time(const json_t *claims, const char *name, int64_t *out_s)
{
    const json_t *v = json_object_get(claims, name);
    double at = -1;
    if (json_is_number(v))
        at = json_number_value(v);
    if (!(at >= 0 && at <= (double)TIME_MAX_S))
        return false;
    *out_s = (int64_t)at;
    return true;
}

// One audience, and it is us: a token that is good elsewhere too could have been taken from there.
static bool audience_is(const json_t *claims, const char *service)
{
    const json_t *aud = json_object_get(claims, "aud");
    if (json_is_array(aud) && json_array_size(aud) == 1)
        aud = json_array_get(aud, 0);
    const char *text = string_of(aud, ISSUER_VALUE_MAX);
    return text && !strcmp(text, service);
}

static int dates_judge(const json_t *claims, int64_t now_s, int64_t *out_remember_s,
                       const char **why)
{
    int64_t exp, iat, nbf = 0;
    *why = "the token's dates (exp, iat, nbf) are missing or make no sense";
    if (!claim_time(claims, "exp", &exp) || !claim_time(claims, "iat", &iat) || exp <= iat)
        return ERR_AUTH;
    if (json_object_get(claims, "nbf") && !claim_time(claims, "nbf", &nbf))
        return ERR_AUTH;
    if (exp - iat > JWT_LIFETIME_MAX_S) {
        *why = "the token lives longer than a day; ask the issuer for a shorter one";
        return ERR_AUTH;
    }
    if (iat > now_s + JWT_SKEW_S || nbf > now_s + JWT_SKEW_S) {
        *why = "the token is not valid yet; are the clocks right?";
        return ERR_AUTH;
    }
    int64_t end = exp;
    if (end > iat + JWT_AGE_MAX_S)
        end = iat + JWT_AGE_MAX_S;
    *why = "the token has expired, or was issued more than an hour ago; ask the issuer for a new "
           "one";
    if (end + JWT_SKEW_S <= now_s)
        return ERR_EXPIRED;
    *out_remember_s = end + JWT_SKEW_S;
    return 0;
}

static bool subject_ok(const char *s)
{
    if (!s || !*s)
        return false;
    for (; *s; s++)
        if (*s <= ' ' || *s > '~')
            return false;
    return true;
}

// Without `jti` the token is known by all that was signed. Not by its signature: ES256 has two for
// the same.
static int id_take(const struct jwt *t, const struct issuer *i, uint8_t out[SHA256_BYTES])
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_add(&b, i->url, strlen(i->url) + 1);
    const char *jti = claim_string(t->claims, "jti", ID_MAX_BYTES);
    if (jti && *jti) {
        buf_str(&b, "jti:");
        buf_str(&b, jti);
    } else {
        buf_str(&b, "all:");
        buf_add(&b, t->signed_at, t->n_signed);
    }
    if (b.err)
        return b.err;
    sha256(b.p, b.n, out);
    return 0;
}

// --- rules ---

// The claim of that name, or what the parts between slashes lead to.
static const json_t *claim_at(const json_t *claims, const char *name)
{
    const json_t *v = json_object_get(claims, name);
    if (v)
        return v;
    v = claims;
    for (const char *p = name;;) {
        size_t n = strcspn(p, "/");
        AUTO_FREE char *part = mem_strndup(p, n);
        if (part)
            v = json_object_get(v, part);
        if (!part || !v)
            return NULL;
        if (!p[n])
            return v;
        p += n + 1;
    }
}

// Text as it is, numbers and booleans as JSON writes them. NULL: what no value matches.
static const char *claim_text(const json_t *v, char number[24])
{
    if (json_is_integer(v)) {
        snprintf(number, 24, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        return number;
    }
    if (json_is_boolean(v))
        return json_is_true(v) ? "true" : "false";
    return string_of(v, ISSUER_VALUE_MAX);
}

static bool match_holds(const struct claim_match *m, const json_t *claims)
{
    char number[24];
    const char *text = claim_text(claim_at(claims, m->claim), number);
    for (size_t i = 0; text && i < m->n_values; i++)
        if (claim_value_matches(m->claim, m->values[i], text))
            return true;
    return false;
}

bool oidc_rule_matches(const struct issuer_rule *r, const json_t *claims)
{
    for (size_t i = 0; i < r->n_matches; i++)
        if (!match_holds(&r->matches[i], claims))
            return false;
    return r->n_matches > 0;
}

static const struct issuer_rule *rule_of(const struct issuer *i, const json_t *claims)
{
    for (size_t k = 0; k < i->n_rules; k++)
        if (oidc_rule_matches(&i->rules[k], claims))
            return &i->rules[k];
    return NULL;
}

// --- the whole ---

int oidc_judge(const struct jwt *t, const struct issuer *i, const char *service, int64_t now_ms,
               struct oidc_caller *out, const char **why)
{
    const char *iss = claim_string(t->claims, "iss", ISSUER_URL_MAX),
               *subject = claim_string(t->claims, "sub", JWT_SUBJECT_MAX_BYTES);
    if (!iss || strcmp(iss, i->url)) {
        *why = "the token is another issuer's";
        return ERR_AUTH;
    }
    if (!audience_is(t->claims, service)) {
        *why = "the token must be for this registry's global name alone (claim aud)";
        return ERR_AUTH;
    }
    int rc = dates_judge(t->claims, now_ms / 1000, &out->remember_s, why);
    if (rc)
        return rc;
    if (!subject_ok(subject)) {
        *why = "the token's sub is missing, longer than 200 bytes, or not printable";
        return ERR_AUTH;
    }
    out->subject = subject;
    out->rule = rule_of(i, t->claims);
    if (!out->rule) {
        *why = "no rule of the registry for this issuer takes the token's claims";
        return ERR_DENIED;
    }
    return id_take(t, i, out->id);
}

const char *oidc_principal_name(const struct issuer *i, const char *subject, struct arena *a)
{
    return arena_printf(a, PRINCIPAL_OIDC "%s:%s", i->name, subject);
}

const struct principal *oidc_principal(const struct principals *all, const char *registry,
                                       const char *name, uint64_t generation, struct arena *a)
{
    char issuer_name[ISSUER_NAME_MAX + 1];
    const char *from = name + strlen(PRINCIPAL_OIDC), *colon;
    if (strncmp(name, PRINCIPAL_OIDC, strlen(PRINCIPAL_OIDC)))
        return NULL;
    colon = strchr(from, ':');
    if (!colon || (size_t)(colon - from) > ISSUER_NAME_MAX)
        return NULL;
    snprintf(issuer_name, sizeof issuer_name, "%.*s", (int)(colon - from), from);
    const struct issuer *i = issuer_by_name(all, registry, issuer_name);
    const struct issuer_rule *r = NULL;
    if (i)
        r = issuer_rule_by_fingerprint(i, generation);
    struct principal *p = NULL;
    if (r)
        p = arena_alloc(a, sizeof *p);
    if (!p)
        return NULL;
    *p = (struct principal){.name = name,
                            .generation = generation,
                            .enabled = true,
                            .grants = r->grants,
                            .n_grants = r->n_grants};
    return p;
}
