// SPDX-License-Identifier: Apache-2.0
// Signed URLs; see signed_url.h. The expiry and the principal travel in the value, all else is what
// the request itself says: so a value moved to another host, repository or upload does not verify.
#include "registry/signed_url.h"

#include "base/bytes.h"
#include "base/digest.h"
#include "base/err.h"
#include "config/principals.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define KID_HEX 16
#define VALUE_MAX 1024

static bool principal_ok(const char *s)
{
    return !*s || principal_subject_ok(s);
}

static bool field_ok(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 127)
            return false;
    return true;
}

// Names the key without telling it: changes when the key does.
static int key_id(const uint8_t *key, char out[KID_HEX + 1])
{
    static const char label[] = "meridian-url-key-id";
    uint8_t mac[SHA256_BYTES];
    int rc = hmac_sha256(key, SIGNED_URL_KEY_BYTES, label, sizeof label - 1, mac);
    if (!rc)
        hex_format(mac, KID_HEX / 2, out);
    return rc;
}

static int url_mac(const uint8_t *key, const struct signed_url *u, const char *kid,
                   const char *principal, int64_t expires_s, uint8_t out[SHA256_BYTES])
{
    if (!field_ok(u->kind) || !field_ok(u->methods) || !field_ok(u->host) ||
        !field_ok(u->registry) || !field_ok(u->repository) || !field_ok(u->object) ||
        !principal_ok(principal))
        return ERR_INVAL;
    AUTO_BUF struct buf b;
    buf_init(&b, 8192);
    buf_printf(&b, "meridian-url-1\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%" PRId64 "\n%s\n", u->kind,
               u->methods, u->host, u->registry, u->repository, u->object, principal, expires_s,
               kid);
    if (b.err)
        return b.err;
    return hmac_sha256(key, SIGNED_URL_KEY_BYTES, b.p, b.n, out);
}

int signed_url_make(const uint8_t key[SIGNED_URL_KEY_BYTES], const struct signed_url *u,
                    struct arena *a, const char **out_value)
{
    char kid[KID_HEX + 1], who[b64_size(PRINCIPAL_SUBJECT_MAX)], mac_text[b64_size(SHA256_BYTES)];
    uint8_t mac[SHA256_BYTES];
    if (!principal_ok(u->principal))
        return ERR_INVAL;
    int rc = key_id(key, kid);
    if (!rc)
        rc = url_mac(key, u, kid, u->principal, u->expires_s, mac);
    if (rc)
        return rc;
    b64url_format(u->principal, strlen(u->principal), who);
    b64url_format(mac, sizeof mac, mac_text);
    const char *value = arena_printf(a, "%s.%" PRId64 ".%s.%s", kid, u->expires_s, who, mac_text);
    if (!value)
        return ERR_NOMEM;
    *out_value = value;
    return 0;
}

// Splits "kid.expiry.principal.mac" in place.
static int value_split(char *text, char *part[4])
{
    for (int i = 0; i < 4; i++) {
        part[i] = text;
        char *dot = strchr(text, '.');
        if (!dot != (i == 3))
            return ERR_AUTH;
        if (dot) {
            *dot = 0;
            text = dot + 1;
        }
    }
    return 0;
}

static int expiry_parse(const char *s, int64_t *out)
{
    size_t n = strlen(s);
    if (!n || n > 15 || strspn(s, "0123456789") != n || (s[0] == '0' && n > 1))
        return ERR_AUTH;
    *out = strtoll(s, NULL, 10);
    return 0;
}

struct parts { // of a value
    const char *kid;
    int64_t expires_s;
    char who[PRINCIPAL_SUBJECT_MAX + 1];
    uint8_t mac[SHA256_BYTES];
};

// Cuts `text` up.
static int value_parse(char *text, struct parts *out)
{
    char *part[4];
    size_t n_who = 0, n_mac = 0;
    if (value_split(text, part) || expiry_parse(part[1], &out->expires_s))
        return ERR_AUTH;
    if (b64url_parse(part[2], strlen(part[2]), (uint8_t *)out->who, PRINCIPAL_SUBJECT_MAX, &n_who))
        return ERR_AUTH;
    if (b64url_parse(part[3], strlen(part[3]), out->mac, sizeof out->mac, &n_mac))
        return ERR_AUTH;
    if (n_mac != sizeof out->mac || memchr(out->who, 0, n_who))
        return ERR_AUTH;
    out->who[n_who] = 0;
    out->kid = part[0];
    return 0;
}

int signed_url_check(const uint8_t key[SIGNED_URL_KEY_BYTES], const struct signed_url *u,
                     const char *value, int64_t now_ms, struct arena *a, const char **out_principal)
{
    char kid[KID_HEX + 1];
    uint8_t mac[SHA256_BYTES];
    struct parts v;
    if (strlen(value) > VALUE_MAX)
        return ERR_AUTH;
    char *text = arena_strdup(a, value);
    if (!text)
        return ERR_NOMEM;
    int rc = value_parse(text, &v);
    if (!rc)
        rc = key_id(key, kid);
    if (rc)
        return rc;
    if (!secret_equal(kid, KID_HEX, v.kid, strlen(v.kid)))
        return ERR_AUTH;
    if (url_mac(key, u, kid, v.who, v.expires_s, mac))
        return ERR_AUTH;
    if (!secret_equal(mac, sizeof mac, v.mac, sizeof v.mac))
        return ERR_AUTH;
    if (v.expires_s <= now_ms / 1000)
        return ERR_EXPIRED;
    const char *principal = arena_strdup(a, v.who);
    if (!principal)
        return ERR_NOMEM;
    *out_principal = principal;
    return 0;
}
