// SPDX-License-Identifier: Apache-2.0
// Join tokens as text; see join_token.h. Pure.
#include "fleet/join_token.h"

#include "base/err.h"
#include "base/mem.h"
#include "certs/joiner.h"
#include "net/json.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

int join_token_id(const char *spki_b64, char out[JOIN_TOKEN_ID_SIZE])
{
    char hex[65];
    int rc = signing_key_fingerprint(spki_b64, hex);
    if (rc)
        return rc;
    memcpy(out, hex, JOIN_TOKEN_ID_SIZE - 1);
    out[JOIN_TOKEN_ID_SIZE - 1] = 0;
    return 0;
}

int join_token_key(const struct join_token *t, struct signing_key **out)
{
    return signing_key_of_seed(t->seed, out);
}

int join_token_new(struct join_token *out)
{
    struct join_token t = {0};
    struct signing_key *key = NULL;
    int rc = random_bytes(t.seed, sizeof t.seed);
    if (!rc)
        rc = join_token_key(&t, &key);
    if (!rc)
        rc = join_token_id(signing_key_spki(key), t.id);
    signing_key_free(key);
    if (!rc)
        *out = t;
    explicit_bzero(t.seed, sizeof t.seed);
    return rc;
}

// --- the CA's certificate: PEM here, its base64 alone in the token ---

#define PEM_BEGIN "-----BEGIN CERTIFICATE-----\n"
#define PEM_END "-----END CERTIFICATE-----\n"
#define PEM_COLUMNS 64 // RFC 7468 section 2

static bool ca_from_base64(const char *text, char out[JOIN_TOKEN_CA_SIZE])
{
    AUTO_BUF struct buf b;
    buf_init(&b, JOIN_TOKEN_CA_SIZE - 1);
    char hex[65];
    size_t n = strlen(text);
    buf_str(&b, PEM_BEGIN);
    for (size_t at = 0; at < n; at += PEM_COLUMNS) {
        buf_add(&b, text + at, n - at < PEM_COLUMNS ? n - at : PEM_COLUMNS);
        buf_str(&b, "\n");
    }
    buf_str(&b, PEM_END);
    if (b.err || certs_fingerprint(bytes_of(b.p, b.n), hex))
        return false;
    memset(out, 0, JOIN_TOKEN_CA_SIZE);
    memcpy(out, b.p, b.n);
    return true;
}

// Appends what stands between the lines of the first certificate.
static void ca_to_base64(const char *pem, struct buf *out)
{
    const char *begin = strstr(pem, PEM_BEGIN), *end = NULL;
    if (begin)
        end = strstr(begin, PEM_END);
    if (!end)
        return;
    for (const char *p = begin + strlen(PEM_BEGIN); p < end; p++)
        if (*p != '\n')
            buf_u8(out, (uint8_t)*p);
}

int join_token_set_ca(struct join_token *t, struct bytes pem)
{
    AUTO_FREE char *text = mem_strndup((const char *)pem.p, pem.n);
    AUTO_BUF struct buf b;
    buf_init(&b, JOIN_TOKEN_CA_SIZE);
    if (!text)
        return ERR_NOMEM;
    ca_to_base64(text, &b);
    if (b.n && ca_from_base64(buf_cstr(&b), t->ca))
        return 0;
    return ERR_INVAL;
}

// --- writing ---

static json_t *places(const struct join_token *t)
{
    json_t *list = json_array();
    char text[ENDPOINT_TEXT_SIZE];
    for (size_t i = 0; list && i < t->n_at; i++)
        json_array_append_new(list, json_string(endpoint_format(&t->at[i], text)));
    return list;
}

int join_token_format(const struct join_token *t, struct buf *out)
{
    AUTO_BUF struct buf ca;
    buf_init(&ca, JOIN_TOKEN_CA_SIZE);
    ca_to_base64(t->ca, &ca);
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:o, s:s, s:s, s:o, s:o, s:I}", "d", t->domain, "r", t->region,
                  "i", t->id, "s", json_binary(t->seed, sizeof t->seed), "c", buf_cstr(&ca), "w",
                  t->writer, "k", json_binary(t->writer_key, sizeof t->writer_key), "a", places(t),
                  "e", (json_int_t)t->expires_ms);
    AUTO_FREE char *text = NULL;
    if (o)
        text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    if (!text)
        return ERR_NOMEM;
    size_t n = strlen(text);
    buf_str(out, JOIN_TOKEN_PREFIX);
    char *room = buf_room(out, b64_size(n));
    if (room)
        out->n += b64url_format(text, n, room);
    explicit_bzero(text, n);
    return out->err;
}

// --- reading ---

static bool text_take(const json_t *o, const char *key, char *out, size_t cap)
{
    const char *s = json_string_value(json_object_get(o, key));
    if (!s || !*s || strlen(s) >= cap)
        return false;
    memcpy(out, s, strlen(s) + 1);
    return true;
}

static bool places_take(const json_t *list, struct join_token *t)
{
    if (!json_is_array(list) || !json_array_size(list) ||
        json_array_size(list) > JOIN_TOKEN_PLACES_MAX)
        return false;
    size_t i;
    const json_t *v;
    json_array_foreach(list, i, v)
    {
        const char *s = json_string_value(v);
        if (!s || endpoint_parse(s, 0, &t->at[i]) || !t->at[i].port)
            return false;
    }
    t->n_at = json_array_size(list);
    return true;
}

static bool domain_ok(const char *s)
{
    return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") == strlen(s) && strlen(s) <= 253;
}

// The id must be that of the seed: a letter that was changed on the way is noticed here.
static bool id_holds(const struct join_token *t)
{
    struct signing_key *key = NULL;
    char id[JOIN_TOKEN_ID_SIZE] = "";
    if (join_token_key(t, &key))
        return false;
    int rc = join_token_id(signing_key_spki(key), id);
    signing_key_free(key);
    return !rc && !strcmp(id, t->id);
}

static bool token_take(const json_t *o, struct join_token *t)
{
    const json_t *expires = json_object_get(o, "e");
    const char *ca = json_string_value(json_object_get(o, "c"));
    if (!text_take(o, "d", t->domain, sizeof t->domain) || !domain_ok(t->domain) ||
        !text_take(o, "r", t->region, sizeof t->region) || !hostname_region_ok(t->region) ||
        !text_take(o, "i", t->id, sizeof t->id) ||
        !text_take(o, "w", t->writer, sizeof t->writer) || !hostname_region_ok(t->writer))
        return false;
    if (!json_binary_take(o, "s", t->seed, sizeof t->seed) || !ca || !ca_from_base64(ca, t->ca) ||
        !json_binary_take(o, "k", t->writer_key, sizeof t->writer_key) ||
        !places_take(json_object_get(o, "a"), t))
        return false;
    t->expires_ms = json_integer_value(expires);
    return json_is_integer(expires) && t->expires_ms > 0 && id_holds(t);
}

int join_token_parse(const char *text, size_t n, struct diag *diag, struct join_token *out)
{
    static const char blanks[] = " \t\r\n";
    while (n && memchr(blanks, *text, sizeof blanks - 1))
        text++, n--;
    while (n && memchr(blanks, text[n - 1], sizeof blanks - 1))
        n--;
    size_t n_prefix = strlen(JOIN_TOKEN_PREFIX), n_json = 0;
    uint8_t json[JOIN_TOKEN_MAX_BYTES];
    struct join_token t = {0};
    bool good = n > n_prefix && n <= JOIN_TOKEN_MAX_BYTES &&
                !memcmp(text, JOIN_TOKEN_PREFIX, n_prefix) &&
                !b64url_parse(text + n_prefix, n - n_prefix, json, sizeof json, &n_json);
    json_t *o = NULL;
    if (good)
        o = json_loadb((const char *)json, n_json, JSON_REJECT_DUPLICATES, NULL);
    good = json_is_object(o) && token_take(o, &t);
    json_decref(o);
    explicit_bzero(json, n_json);
    if (good)
        *out = t;
    else
        diag_add(diag, NULL, 0,
                 "this is no join token, or not a whole one: it begins with \"" JOIN_TOKEN_PREFIX
                 "\" and is one line, as `meridian join-token create` prints it");
    explicit_bzero(t.seed, sizeof t.seed);
    if (good)
        return 0;
    return ERR_INVAL;
}
