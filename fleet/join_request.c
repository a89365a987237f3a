// SPDX-License-Identifier: Apache-2.0
// Requests to join; see join_request.h. Pure.
#include "fleet/join_request.h"

#include "base/err.h"
#include "base/mem.h"
#include "net/json.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define CSR_MAX_BYTES (8u << 10)
#define KEY_ID_MAX 80

// --- writing ---

static json_t *addresses(const struct ip *list, size_t n)
{
    json_t *a = json_array();
    char text[IP_TEXT_SIZE];
    for (size_t i = 0; a && i < n; i++)
        json_array_append_new(a, json_string(ip_format(&list[i], text)));
    return a;
}

static json_t *key_json(const char *id, const char *spki)
{
    return json_pack("{s:s, s:s}", "id", id, "key", spki);
}

static json_t *text_json(const struct join_request *q, const struct region_keys *k)
{
    char peer[ENDPOINT_TEXT_SIZE];
    json_t *o = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:o, s:o, s:s, s:b, s:o, s:o, s:o, s:s}", "v", 1, "domain",
        q->domain, "token", q->token, "region", q->row.name, "stamp", q->row.stamp, "ipv4",
        addresses(q->row.ipv4, q->row.n_ipv4), "ipv6", addresses(q->row.ipv6, q->row.n_ipv6),
        "peer", endpoint_format(&q->row.peer, peer), "nameServer", (int)q->row.name_server,
        "tokenKey", key_json(region_keys_token_id(k), region_keys_token_spki(k)), "feedKey",
        key_json(region_keys_feed_id(k), region_keys_feed_spki(k)), "controlKey",
        key_json(region_keys_control_id(k), region_keys_control_spki(k)), "csr", q->csr);
    if (o && q->row.location)
        json_object_set_new(o, "location", json_string(q->row.location));
    return o;
}

static int signed_bytes(const char *text, struct buf *out)
{
    buf_str(out, JOIN_REQUEST_PREFIX);
    buf_str(out, text);
    return out->err;
}

int join_request_format(const struct join_request *q, const struct signing_key *token,
                        struct region_keys *keys, struct buf *out)
{
    AUTO_BUF struct buf text, b;
    buf_init(&text, JOIN_REQUEST_MAX_BYTES);
    buf_init(&b, JOIN_REQUEST_MAX_BYTES);
    uint8_t by_token[64], by_feed[64];
    int rc = json_text_add(text_json(q, keys), &text);
    if (!rc)
        rc = signed_bytes(buf_cstr(&text), &b);
    if (!rc)
        rc = signing_key_sign(token, b.p, b.n, by_token);
    if (!rc)
        rc = region_keys_sign_feed(keys, b.p, b.n, by_feed);
    if (rc)
        return rc;
    return json_text_add(json_pack("{s:s, s:o, s:o}", "request", buf_cstr(&text), "byToken",
                                   json_binary(by_token, sizeof by_token), "byFeed",
                                   json_binary(by_feed, sizeof by_feed)),
                         out);
}

// --- reading ---

static int refuse(struct diag *diag, const char *why)
{
    diag_add(diag, NULL, 0, "the request to join is malformed: %s", why);
    return ERR_INVAL;
}

// A text of at most `max` bytes, printable ASCII (and line ends, of PEM). NULL: it is none.
static const char *text_get(const json_t *o, const char *key, size_t max, bool lines)
{
    const char *s = json_string_value(json_object_get(o, key));
    if (!s || !*s || strlen(s) > max)
        return NULL;
    for (const char *p = s; *p; p++)
        if ((*p < ' ' || *p > '~') && !(lines && *p == '\n'))
            return NULL;
    return s;
}

static bool key_take(const json_t *o, const char *name, const char *region, struct join_key *out)
{
    const json_t *k = json_object_get(o, name);
    size_t n = strlen(region);
    char hex[65];
    out->id = text_get(k, "id", KEY_ID_MAX, false);
    out->spki = text_get(k, "key", 256, false);
    if (!out->id || !out->spki || json_object_size(k) != 2)
        return false;
    if (strspn(out->id, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(out->id))
        return false;
    if (strncmp(out->id, region, n) != 0 || out->id[n] != '-')
        return false;
    return !signing_key_fingerprint(out->spki, hex) &&
           strspn(out->spki, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") ==
               strlen(out->spki);
}

static int addresses_take(const json_t *o, const char *key, bool v4, struct arena *a,
                          const struct ip **out, size_t *out_n)
{
    const json_t *list = json_object_get(o, key), *v;
    size_t i, n = json_array_size(list);
    if (!json_is_array(list) || n > REGION_ROW_ADDRESSES_MAX)
        return ERR_INVAL;
    struct ip *ips = arena_array(a, n + 1, sizeof *ips);
    if (!ips)
        return ERR_NOMEM;
    json_array_foreach(list, i, v)
    {
        const char *s = json_string_value(v);
        if (!s || ip_parse(s, &ips[i]) || ip_is_v4(&ips[i]) != v4)
            return ERR_INVAL;
    }
    *out = ips;
    *out_n = n;
    return 0;
}

static int row_take(const json_t *o, struct arena *a, struct diag *diag, struct region_row *row)
{
    const char *peer = text_get(o, "peer", ENDPOINT_TEXT_SIZE, false);
    row->name = text_get(o, "region", HOSTNAME_REGION_SIZE, false);
    row->stamp = text_get(o, "stamp", 63, false);
    row->name_server = json_is_true(json_object_get(o, "nameServer"));
    if (!row->name || !hostname_region_ok(row->name))
        return refuse(diag, "its region has no region's name");
    if (!row->stamp || !hostname_stamp_ok(row->stamp))
        return refuse(diag, "its stamp has no stamp's name");
    if (!json_is_boolean(json_object_get(o, "nameServer")))
        return refuse(diag, "nameServer must be true or false");
    if (!peer || endpoint_parse(peer, 0, &row->peer) || !row->peer.port)
        return refuse(diag, "peer must be an address and a port");
    row->location = text_get(o, "location", 64, false);
    if (json_object_get(o, "location") && (!row->location || strpbrk(row->location, "\"\\")))
        return refuse(diag, "location must be a latitude and a longitude");
    int rc = addresses_take(o, "ipv4", true, a, &row->ipv4, &row->n_ipv4);
    if (!rc)
        rc = addresses_take(o, "ipv6", false, a, &row->ipv6, &row->n_ipv6);
    if (rc == ERR_INVAL || (!rc && row->n_ipv4 + row->n_ipv6 == 0))
        return refuse(diag, "it must have the addresses of its frontend, 16 of a family at most");
    return rc;
}

static bool members_known(const json_t *o)
{
    static const char *const known[] = {
        "v",    "domain",   "token",      "region",   "stamp",   "ipv4",       "ipv6",
        "peer", "location", "nameServer", "tokenKey", "feedKey", "controlKey", "csr"};
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        n += json_object_get(o, known[i]) != NULL;
    return n == json_object_size(o);
}

static int text_take(json_t *o, struct arena *a, struct diag *diag, struct join_request *q)
{
    if (!json_is_object(o))
        return refuse(diag, "its text is no JSON object");
    if (json_integer_value(json_object_get(o, "v")) != 1 || !members_known(o))
        return refuse(diag, "it has a form that is not known here; the programs of the new region "
                            "and of the writer should be of one version");
    q->domain = text_get(o, "domain", JOIN_TOKEN_DOMAIN_SIZE - 1, false);
    q->token = text_get(o, "token", JOIN_TOKEN_ID_SIZE - 1, false);
    q->csr = text_get(o, "csr", CSR_MAX_BYTES, true);
    if (!q->domain || !q->token || !q->csr ||
        strspn(q->token, "0123456789abcdef") != JOIN_TOKEN_ID_SIZE - 1)
        return refuse(diag, "it must have domain, token and csr");
    int rc = row_take(o, a, diag, &q->row);
    if (rc)
        return rc;
    if (!key_take(o, "tokenKey", q->row.name, &q->token_key) ||
        !key_take(o, "feedKey", q->row.name, &q->feed_key) ||
        !key_take(o, "controlKey", q->row.name, &q->control_key))
        return refuse(diag, "it must have three keys of that region, each with id and key");
    return 0;
}

// Strings of the JSON, moved to the arena.
static int strings_keep(struct join_request *q, struct arena *a)
{
    const char **const all[] = {&q->domain,        &q->token,          &q->csr,
                                &q->row.name,      &q->row.stamp,      &q->row.location,
                                &q->token_key.id,  &q->token_key.spki, &q->feed_key.id,
                                &q->feed_key.spki, &q->control_key.id, &q->control_key.spki};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (!*all[i])
            continue;
        *all[i] = arena_strdup(a, *all[i]);
        if (!*all[i])
            return ERR_NOMEM;
    }
    return 0;
}

int join_request_parse(struct bytes body, struct arena *a, struct diag *diag,
                       struct join_request *out)
{
    struct join_request q = {0};
    if (body.n > JOIN_REQUEST_MAX_BYTES)
        return refuse(diag, "it is larger than 48 KiB");
    json_t *o = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
    const char *text = json_string_value(json_object_get(o, "request"));
    if (!text || json_object_size(o) != 3 ||
        !json_binary_take(o, "byToken", q.by_token, sizeof q.by_token) ||
        !json_binary_take(o, "byFeed", q.by_feed, sizeof q.by_feed)) {
        json_decref(o);
        return refuse(diag, "it must have a text and two signatures");
    }
    json_t *inner = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    int rc = text_take(inner, a, diag, &q);
    if (!rc)
        rc = strings_keep(&q, a);
    if (!rc) {
        q.text = arena_strdup(a, text);
        if (!q.text)
            rc = ERR_NOMEM;
    }
    json_decref(inner);
    json_decref(o);
    if (rc)
        return rc;
    *out = q;
    return 0;
}

int join_request_verify(const struct join_request *q, const char *token_spki, struct diag *diag)
{
    AUTO_BUF struct buf b;
    buf_init(&b, JOIN_REQUEST_MAX_BYTES + sizeof JOIN_REQUEST_PREFIX);
    int rc = signed_bytes(q->text, &b);
    if (rc)
        return rc;
    if (ed25519_verify(token_spki, b.p, b.n, q->by_token)) {
        diag_add(diag, NULL, 0,
                 "the request to join is refused: it is not signed with join token %s", q->token);
        return ERR_DENIED;
    }
    if (ed25519_verify(q->feed_key.spki, b.p, b.n, q->by_feed)) {
        diag_add(
            diag, NULL, 0,
            "the request to join is refused: it is not signed with the feed key that it names");
        return ERR_DENIED;
    }
    return 0;
}

int join_request_identity(const struct join_request *q, char out[65])
{
    const char *const all[] = {q->row.name, q->token_key.spki, q->feed_key.spki,
                               q->control_key.spki, q->csr};
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        buf_printf(&b, "%zu:%s\n", strlen(all[i]), all[i]);
    if (b.err)
        return b.err;
    uint8_t sum[SHA256_BYTES];
    sha256(b.p, b.n, sum);
    hex_format(sum, sizeof sum, out);
    return 0;
}
