// SPDX-License-Identifier: Apache-2.0
// Issuing and judging bearers of the admin listener; see admin_bearer.h.
//
// Order matters, as in verify.c: form, then the key by the topology, then the signature, and only
// then a claim is looked at.
#include "auth/admin_bearer.h"

#include "auth/token_priv.h"
#include "base/digest.h"
#include "base/err.h"

#include <string.h>

#define ADMIN_KIND "admin"

// "eastus.admin.example.io"
static const char *audience_of(const struct admin_place *at, struct arena *a)
{
    return arena_printf(a, "%s.admin.%s", at->region, at->t->domain);
}

int admin_bearer_issue(const struct region_keys *keys, const struct admin_place *at,
                       const struct principal *who, const char *by_hash, struct arena *a,
                       const char **out)
{
    char id[JTI_BYTES * 2 + 1], password[REFRESH_PASSWORD_SIZE];
    const char *audience = audience_of(at, a);
    json_int_t now_s = at->now_ms / 1000;
    if (!audience)
        return ERR_NOMEM;
    if (random_hex(id, JTI_BYTES) || refresh_password_text(by_hash, password))
        return ERR_CRYPTO;
    json_t *claims = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:s}", "iss",
                               TOKEN_ISSUER, "sub", who->name, "aud", audience, "typ", ADMIN_KIND,
                               "jti", id, "iat", now_s, "nbf", now_s, "exp", now_s + ADMIN_BEARER_S,
                               "gen", (json_int_t)who->generation, "pw", password);
    return jws_issue(keys, claims, a, out);
}

struct bearer_claims { // strings hang off the JSON
    const char *issuer, *subject, *audience, *kind, *id, *password;
    json_int_t issued_s, from_s, until_s, generation;
};

static int claims_read(json_t *root, struct bearer_claims *out)
{
    return json_unpack(root, "{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:s !}", "iss",
                       &out->issuer, "sub", &out->subject, "aud", &out->audience, "typ", &out->kind,
                       "jti", &out->id, "iat", &out->issued_s, "nbf", &out->from_s, "exp",
                       &out->until_s, "gen", &out->generation, "pw", &out->password);
}

// NULL: nothing is wrong with what it says of itself. The signature is right.
static const char *form_fault(const struct bearer_claims *c, const char *audience)
{
    if (strcmp(c->issuer, TOKEN_ISSUER) != 0 || strcmp(c->kind, ADMIN_KIND) != 0)
        return "of another kind";
    if (strcmp(c->audience, audience) != 0)
        return "for another region";
    if (!principal_name_ok(c->subject) || !principal_name_ok(c->id))
        return "malformed";
    if (c->issued_s < 0 || c->from_s < c->issued_s || c->until_s <= c->from_s)
        return "malformed";
    if (c->until_s - c->issued_s > ADMIN_BEARER_S)
        return "malformed";
    return NULL;
}

static int dates_judge(const struct bearer_claims *c, int64_t now_ms)
{
    int64_t now_s = now_ms / 1000;
    if (c->issued_s > now_s + TOKEN_SKEW_S)
        return ERR_AUTH;
    if (c->until_s + TOKEN_SKEW_S <= now_s)
        return ERR_EXPIRED;
    return 0;
}

// Anew at each call. NULL: nothing keeps the holder from its rights.
static const char *holder_fault(const struct admin_place *at, const struct principal *who,
                                const struct bearer_claims *c)
{
    if (!who || !who->token || !who->token->admin)
        return "of a token that is none of the fleet's any more";
    if (!who->enabled)
        return "of a token that is disabled";
    if (who->generation != (uint64_t)c->generation || principals_revoked(at->all, c->id))
        return "revoked since it was issued";
    if (!refresh_password_holds(who, c->password, at->now_ms / 1000))
        return "got by a password that has ended";
    if (!principal_admin_rights(who, at->region))
        return "of a token that does not name this region";
    return NULL;
}

static int claims_judge(const struct admin_place *at, json_t *root, struct arena *a,
                        struct admin_caller *out, const char **out_why)
{
    struct bearer_claims c;
    const char *audience = audience_of(at, a);
    if (!audience)
        return ERR_NOMEM;
    *out_why = "malformed";
    if (claims_read(root, &c))
        return ERR_AUTH;
    *out_why = form_fault(&c, audience);
    if (*out_why)
        return ERR_AUTH;
    *out_why = "expired, or of the future";
    int rc = dates_judge(&c, at->now_ms);
    if (rc)
        return rc;
    const struct principal *who = principals_find(at->all, c.subject);
    *out_why = holder_fault(at, who, &c);
    if (*out_why)
        return ERR_AUTH;
    *out = (struct admin_caller){.name = arena_strdup(a, who->name),
                                 .rights = principal_admin_rights(who, at->region),
                                 .id = arena_strdup(a, c.id)};
    if (!out->name || !out->id)
        return ERR_NOMEM;
    return 0;
}

int admin_bearer_judge(const struct admin_place *at, const char *bearer, struct arena *a,
                       struct admin_caller *out, const char **out_why)
{
    struct jws j;
    const struct region *here = topology_region(at->t, at->region);
    int rc = jws_parse(bearer, a, &j);
    *out_why = "not a token of ours";
    if (rc)
        return rc;
    const struct public_key *key = topology_token_key(at->t, j.kid);
    *out_why = "signed by none of this region's keys";
    if (!here || !key || key->region != here->index)
        return ERR_AUTH;
    *out_why = "with a wrong signature";
    if (es256_verify(key->spki_b64, j.signed_at, j.n_signed, j.sig))
        return ERR_AUTH;
    json_t *root = json_loadb((const char *)j.payload.p, j.payload.n, JSON_REJECT_DUPLICATES, NULL);
    rc = claims_judge(at, root, a, out, out_why);
    json_decref(root);
    return rc;
}
