// SPDX-License-Identifier: Apache-2.0
// Compact JWS with ES256 and nothing else (RFC 7515, RFC 7518 section 3.4); see token_priv.h. Pure;
// any thread.
//
// Every token we are shown we once made, so nothing of JOSE's choices is honoured: the algorithm is
// not looked up by what the token says, and a header member that we do not write is refused.
#include "auth/token_priv.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"

#include <string.h>

static bool header_member_ok(const char *key, const char *value, const char **out_kid)
{
    if (!strcmp(key, "alg"))
        return !strcmp(value, "ES256");
    if (!strcmp(key, "typ"))
        return !strcmp(value, "JWT");
    if (strcmp(key, "kid") || !*value || strlen(value) > KID_MAX_BYTES)
        return false;
    *out_kid = value;
    return true;
}

// The header's kid, if all of it is what we write; it hangs off the JSON.
static const char *header_kid(json_t *root)
{
    const char *key, *kid = NULL;
    json_t *value;
    if (!json_is_object(root) || !json_object_get(root, "alg"))
        return NULL;
    json_object_foreach(root, key, value)
    {
        if (!json_is_string(value))
            return NULL;
        if (!header_member_ok(key, json_string_value(value), &kid))
            return NULL;
    }
    return kid;
}

static int header_judge(const uint8_t *p, size_t n, struct arena *a, const char **out_kid)
{
    json_t *root = json_loadb((const char *)p, n, JSON_REJECT_DUPLICATES, NULL);
    const char *kid = header_kid(root), *copy = NULL;
    bool found = kid;
    if (found)
        copy = arena_strdup(a, kid);
    json_decref(root);
    if (!found)
        return ERR_AUTH;
    if (!copy)
        return ERR_NOMEM;
    *out_kid = copy;
    return 0;
}

int jws_parse(const char *token, struct arena *a, struct jws *out)
{
    size_t n = strnlen(token, TOKEN_MAX_BYTES + 1), n_bytes;
    if (n > TOKEN_MAX_BYTES)
        return ERR_AUTH;
    const char *dot = strchr(token, '.');
    if (!dot)
        return ERR_AUTH;
    const char *dot2 = strchr(dot + 1, '.');
    if (!dot2 || strchr(dot2 + 1, '.'))
        return ERR_AUTH;
    struct jws j = {.signed_at = token, .n_signed = (size_t)(dot2 - token)};
    size_t n_sig = (size_t)(token + n - dot2 - 1);
    if (b64url_parse(dot2 + 1, n_sig, j.sig, sizeof j.sig, &n_bytes))
        return ERR_AUTH;
    if (n_bytes != sizeof j.sig)
        return ERR_AUTH;
    uint8_t *bytes = arena_alloc(a, n);
    if (!bytes)
        return ERR_NOMEM;
    if (b64url_parse(token, (size_t)(dot - token), bytes, n, &n_bytes))
        return ERR_AUTH;
    int rc = header_judge(bytes, n_bytes, a, &j.kid);
    if (rc)
        return rc;
    if (b64url_parse(dot + 1, (size_t)(dot2 - dot - 1), bytes, n, &n_bytes))
        return ERR_AUTH;
    j.payload = bytes_of(bytes, n_bytes);
    *out = j;
    return 0;
}

int jws_issue(const struct region_keys *keys, json_t *claims, struct arena *a, const char **out)
{
    if (!claims)
        return ERR_NOMEM;
    AUTO_FREE char *payload = json_dumps(claims, JSON_COMPACT);
    json_decref(claims);
    AUTO_FREE char *header = mem_printf("{\"alg\":\"ES256\",\"kid\":\"%s\",\"typ\":\"JWT\"}",
                                        region_keys_token_id(keys));
    if (!payload || !header)
        return ERR_NOMEM;
    size_t n_header = strlen(header), n_payload = strlen(payload);
    if (n_payload > TOKEN_MAX_BYTES)
        return ERR_TOOBIG;
    char *text = arena_alloc(a, b64_size(n_header) + b64_size(n_payload) + b64_size(64) + 2);
    if (!text)
        return ERR_NOMEM;
    size_t at = b64url_format(header, n_header, text);
    text[at++] = '.';
    at += b64url_format(payload, n_payload, text + at);
    uint8_t sig[64];
    int rc = region_keys_sign_token(keys, text, at, sig);
    if (rc)
        return rc;
    text[at++] = '.';
    at += b64url_format(sig, sizeof sig, text + at);
    if (at > TOKEN_MAX_BYTES)
        return ERR_TOOBIG;
    *out = text;
    return 0;
}
