// SPDX-License-Identifier: Apache-2.0
// Shared secrets on the wire: requests, answers, what is sealed in them; see secrets.h. Pure but
// for reading the files that are asked for.
#include "fleet/secrets.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "net/json.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PLAIN_MAX_BYTES (SEALED_MAX_BYTES - 4096)

// --- which there are ---

static bool is_dns_key(const struct topology *t, const char *id)
{
    for (size_t i = 0; i < t->dnssec.n_keys; i++)
        if (!strcmp(t->dnssec.keys[i].id, id))
            return true;
    return false;
}

static bool is_tsig_key(const struct topology *t, const char *name)
{
    for (size_t i = 0; i < t->transfer.n_keys; i++)
        if (!strcmp(t->transfer.keys[i], name))
            return true;
    return false;
}

// Where a secret of that name is kept; false: the topology names no such secret, or this node has no
// place for it. So no name from outside ever becomes a path.
static bool path_of(const struct secrets_places *at, const struct topology *t, const char *name,
                    char *out, size_t cap)
{
    int n = -1;
    if (!strncmp(name, "dns/", 4) && is_dns_key(t, name + 4) && dnskey_id_ok(name + 4))
        n = snprintf(out, cap, "%s/%s.pem", at->dns_dir, name + 4);
    else if (!strncmp(name, "tsig/", 5) && is_tsig_key(t, name + 5))
        n = snprintf(out, cap, "%s/%s.key", at->tsig_dir, name + 5);
    else if (!strcmp(name, "cookies") && at->cookies)
        n = snprintf(out, cap, "%s", at->cookies);
    return n > 0 && (size_t)n < cap;
}

static int want_add(struct secrets_want *w, const char *name)
{
    if (!name)
        return ERR_NOMEM;
    if (w->n < SECRETS_WANT_MAX)
        w->names[w->n++] = name;
    return 0;
}

static bool file_is(const char *path, const char *sha256_hex)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    uint8_t sum[SHA256_BYTES];
    char hex[65];
    if (file_read_secret(path, SECRET_MAX_BYTES, &b))
        return false;
    sha256(b.p, b.n, sum);
    hex_format(sum, sizeof sum, hex);
    explicit_bzero(b.p, b.n);
    return !strcmp(hex, sha256_hex);
}

static bool is_here(const struct secrets_places *at, const struct topology *t, const char *name)
{
    char path[1024];
    return !path_of(at, t, name, path, sizeof path) || !access(path, F_OK);
}

int secrets_missing(const struct secrets_places *at, const struct topology *t,
                    const char *cookies_sha256, struct arena *a, struct secrets_want *out)
{
    struct secrets_want w = {0};
    int rc = 0;
    for (size_t i = 0; i < t->dnssec.n_keys && !rc; i++) {
        const char *name = arena_printf(a, "dns/%s", t->dnssec.keys[i].id);
        if (!name || !is_here(at, t, name))
            rc = want_add(&w, name);
    }
    for (size_t i = 0; i < t->transfer.n_keys && !rc; i++) {
        const char *name = arena_printf(a, "tsig/%s", t->transfer.keys[i]);
        if (!name || !is_here(at, t, name))
            rc = want_add(&w, name);
    }
    bool cookies = false;
    if (at->cookies && cookies_sha256)
        cookies = !file_is(at->cookies, cookies_sha256);
    else if (at->cookies)
        cookies = access(at->cookies, F_OK) != 0;
    if (cookies && !rc)
        rc = want_add(&w, "cookies");
    if (!rc)
        *out = w;
    return rc;
}

// --- signed texts ---

static int signed_bytes(const char *prefix, const char *text, struct buf *out)
{
    buf_str(out, prefix);
    buf_str(out, text);
    return out->err;
}

// {"<member>":TEXT,"key":…,"signature":…}
static int sign_text(const char *prefix, const char *member, const char *text,
                     struct region_keys *keys, struct buf *out)
{
    AUTO_BUF struct buf b;
    buf_init(&b, SECRETS_ANSWER_MAX_BYTES);
    uint8_t sig[64];
    int rc = signed_bytes(prefix, text, &b);
    if (!rc)
        rc = region_keys_sign_feed(keys, b.p, b.n, sig);
    if (rc)
        return rc;
    return json_text_add(json_pack("{s:s, s:s, s:o}", member, text, "key",
                                   region_keys_feed_id(keys), "signature",
                                   json_binary(sig, sizeof sig)),
                         out);
}

static int refuse(struct diag *diag, int rc, const char *why)
{
    diag_add(diag, NULL, 0, "%s", why);
    return rc;
}

// Is it signed with a feed key of that region, which is in use?
static int signature_judge(const struct topology *t, const char *region, const json_t *o,
                           const char *prefix, const char *text, struct diag *diag)
{
    const struct region *r = topology_region(t, region);
    const char *id = json_string_value(json_object_get(o, "key"));
    uint8_t sig[64];
    if (!r || !id || !json_binary_take(o, "signature", sig, sizeof sig))
        return refuse(diag, ERR_AUTH, "it has no signature of a region");
    const struct public_key *key = topology_feed_key_in_use(t, id);
    AUTO_BUF struct buf b;
    buf_init(&b, SECRETS_ANSWER_MAX_BYTES);
    int rc = signed_bytes(prefix, text, &b);
    if (rc)
        return rc;
    if (key && key->region == r->index && !ed25519_verify(key->spki_b64, b.p, b.n, sig))
        return 0;
    diag_add(diag, NULL, 0, "it is not signed with a feed key of %s that the topology here has",
             region);
    return ERR_AUTH;
}

static void hash_of(const char *text, char out[65])
{
    uint8_t sum[SHA256_BYTES];
    sha256(text, strlen(text), sum);
    hex_format(sum, sizeof sum, out);
}

static int context_of(const struct topology *t, const char *asker, const char *asked,
                      const char *request_hash, struct buf *out)
{
    buf_printf(out, "meridian secrets 1\n%s\n%s\n%s\n%s\n", t->domain, asker, asked, request_hash);
    return out->err;
}

// --- asking ---

int secrets_request_format(const struct topology *t, struct region_keys *keys, const char *region,
                           const char *to, const struct sealed_box *box,
                           const struct secrets_want *want, char out_hash[65], struct buf *out)
{
    json_t *names = json_array();
    for (size_t i = 0; names && i < want->n; i++)
        json_array_append_new(names, json_string(want->names[i]));
    json_t *o = json_pack("{s:i, s:s, s:s, s:s, s:o, s:o}", "v", 1, "domain", t->domain, "region",
                          region, "to", to, "box",
                          json_binary(sealed_box_key(box), SEALED_KEY_BYTES), "want", names);
    AUTO_BUF struct buf text;
    buf_init(&text, SECRETS_ANSWER_MAX_BYTES);
    int rc = json_text_add(o, &text);
    if (rc)
        return rc;
    hash_of(buf_cstr(&text), out_hash);
    return sign_text(SECRETS_REQUEST_PREFIX, "request", buf_cstr(&text), keys, out);
}

static bool box_take(const json_t *o, uint8_t out[SEALED_KEY_BYTES])
{
    return json_binary_take(o, "box", out, SEALED_KEY_BYTES);
}

static bool text_is(const json_t *o, const char *key, const char *want)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s && !strcmp(s, want);
}

// The JSON that was sealed.
static int plain_visit(struct bytes plain, struct diag *diag,
                       int (*visit)(void *ctx, const char *name, struct bytes data), void *ctx)
{
    json_t *o = json_loadb((const char *)plain.p, plain.n, JSON_REJECT_DUPLICATES, NULL);
    const json_t *list = json_object_get(o, "secrets"), *v;
    size_t i;
    int rc = 0;
    if (!json_is_array(list) || json_array_size(list) > SECRETS_WANT_MAX)
        rc = refuse(diag, ERR_PROTO, "what was sealed is no list of secrets");
    json_array_foreach(list, i, v)
    {
        uint8_t data[SECRET_MAX_BYTES];
        size_t n = 0;
        const char *name = json_string_value(json_object_get(v, "name")),
                   *text = json_string_value(json_object_get(v, "data"));
        if (rc)
            break;
        if (name && text && !b64_parse(text, strlen(text), data, sizeof data, &n) && n)
            rc = visit(ctx, name, bytes_of(data, n));
        else
            rc = refuse(diag, ERR_PROTO, "what was sealed is no list of secrets");
        explicit_bzero(data, n);
    }
    json_decref(o);
    return rc;
}

static int sealed_take(const struct topology *t, const char *region, const char *from,
                       const struct sealed_box *box, const char *request_hash, const json_t *o,
                       struct diag *diag, struct buf *out_plain)
{
    uint8_t theirs[SEALED_KEY_BYTES];
    const char *text = json_string_value(json_object_get(o, "sealed"));
    if (json_integer_value(json_object_get(o, "v")) != 1 || !text || !box_take(o, theirs))
        return refuse(diag, ERR_PROTO, "it has a form that is not known here");
    if (!text_is(o, "domain", t->domain) || !text_is(o, "region", from) ||
        !text_is(o, "to", region) || !text_is(o, "request", request_hash))
        return refuse(diag, ERR_AUTH, "it answers another request");
    size_t n_text = strlen(text), n = 0;
    AUTO_BUF struct buf sealed, context;
    buf_init(&sealed, 0);
    buf_init(&context, 0);
    char *room = NULL;
    if (n_text <= b64_size(SEALED_MAX_BYTES + SEALED_MORE_BYTES))
        room = buf_room(&sealed, n_text);
    if (!room || b64url_parse(text, n_text, (uint8_t *)room, n_text, &n))
        return refuse(diag, ERR_PROTO, "it has a form that is not known here");
    int rc = context_of(t, region, from, request_hash, &context);
    if (!rc)
        rc = sealed_open(box, theirs, bytes_of(context.p, context.n), bytes_of(room, n), out_plain);
    if (rc == ERR_AUTH)
        return refuse(diag, rc, "what was sealed cannot be opened");
    return rc;
}

int secrets_open(const struct topology *t, const char *region, const char *from,
                 const struct sealed_box *box, const char *request_hash, struct bytes body,
                 struct diag *diag, int (*visit)(void *ctx, const char *name, struct bytes data),
                 void *ctx)
{
    if (body.n > SECRETS_ANSWER_MAX_BYTES)
        return refuse(diag, ERR_TOOBIG, "it is larger than 2 MiB");
    json_t *o = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
    const char *text = json_string_value(json_object_get(o, "answer"));
    json_t *inner = NULL;
    int rc;
    if (text)
        rc = signature_judge(t, from, o, SECRETS_ANSWER_PREFIX, text, diag);
    else
        rc = refuse(diag, ERR_PROTO, "it has a form that is not known here");
    AUTO_BUF struct buf plain;
    buf_init(&plain, SEALED_MAX_BYTES);
    if (!rc) {
        inner = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        rc = sealed_take(t, region, from, box, request_hash, inner, diag, &plain);
    }
    if (!rc)
        rc = plain_visit(bytes_of(plain.p, plain.n), diag, visit, ctx);
    if (plain.p)
        explicit_bzero(plain.p, plain.n);
    json_decref(inner);
    json_decref(o);
    return rc;
}

// --- answering ---

static int request_judge(const struct topology *t, const char *region, const char *peer,
                         const json_t *o, struct diag *diag)
{
    if (json_integer_value(json_object_get(o, "v")) != 1)
        return refuse(diag, ERR_INVAL, "the request for secrets has a form that is not known here");
    if (!text_is(o, "domain", t->domain) || !text_is(o, "region", peer) ||
        !text_is(o, "to", region))
        return refuse(diag, ERR_DENIED,
                      "the request for secrets is not from the region whose connection brought it, "
                      "or not for this one");
    const json_t *want = json_object_get(o, "want");
    if (!json_is_array(want) || json_array_size(want) > SECRETS_WANT_MAX)
        return refuse(diag, ERR_INVAL, "the request for secrets must name them, 128 at most");
    return 0;
}

// Those of the list that are here, as the JSON that is sealed.
static int plain_make(const struct secrets_places *at, const struct topology *t, const json_t *want,
                      struct buf *out, size_t *out_n)
{
    size_t i, n = 0;
    const json_t *v;
    buf_str(out, "{\"secrets\":[");
    json_array_foreach(want, i, v)
    {
        const char *name = json_string_value(v);
        char path[1024], text[b64_size(SECRET_MAX_BYTES)];
        AUTO_BUF struct buf b;
        buf_init(&b, SECRET_MAX_BYTES);
        if (!name || !path_of(at, t, name, path, sizeof path) ||
            file_read_secret(path, SECRET_MAX_BYTES, &b) || !b.n)
            continue;
        b64_format(b.p, b.n, text);
        // the name is one of the topology's: no character in it needs an escape
        buf_printf(out, "%s{\"name\":\"%s\",\"data\":\"%s\"}", n++ ? "," : "", name, text);
        explicit_bzero(text, sizeof text);
        explicit_bzero(b.p, b.n);
    }
    buf_str(out, "]}");
    *out_n = n;
    return out->err;
}

static int answer_make(const struct secrets_places *at, const struct topology *t,
                       struct region_keys *keys, const char *region, const char *peer,
                       const json_t *o, const char *request_hash, struct diag *diag,
                       struct buf *out)
{
    uint8_t theirs[SEALED_KEY_BYTES], ours[SEALED_KEY_BYTES];
    AUTO_BUF struct buf plain, context, sealed, text;
    buf_init(&plain, PLAIN_MAX_BYTES);
    buf_init(&context, 0);
    buf_init(&sealed, 0);
    buf_init(&text, 0);
    size_t n = 0;
    if (!box_take(o, theirs))
        return refuse(diag, ERR_INVAL, "the request for secrets has no box");
    int rc = plain_make(at, t, json_object_get(o, "want"), &plain, &n);
    if (!rc && !n)
        rc = refuse(diag, ERR_NOTFOUND, "none of these secrets is here");
    if (!rc)
        rc = context_of(t, peer, region, request_hash, &context);
    if (!rc)
        rc = sealed_seal(theirs, bytes_of(context.p, context.n), bytes_of(plain.p, plain.n), ours,
                         &sealed);
    if (plain.p)
        explicit_bzero(plain.p, plain.n);
    char *room = NULL;
    if (!rc)
        room = buf_room(&text, b64_size(sealed.n));
    if (!rc && !room)
        rc = ERR_NOMEM;
    if (rc)
        return rc;
    b64url_format(sealed.p, sealed.n, room);
    AUTO_BUF struct buf whole;
    buf_init(&whole, SECRETS_ANSWER_MAX_BYTES);
    rc = json_text_add(json_pack("{s:i, s:s, s:s, s:s, s:s, s:o, s:s}", "v", 1, "domain", t->domain,
                                 "region", region, "to", peer, "request", request_hash, "box",
                                 json_binary(ours, sizeof ours), "sealed", room),
                       &whole);
    if (rc)
        return rc;
    return sign_text(SECRETS_ANSWER_PREFIX, "answer", buf_cstr(&whole), keys, out);
}

int secrets_answer(const struct secrets_places *at, const struct topology *t,
                   struct region_keys *keys, const char *region, const char *peer,
                   struct bytes body, struct diag *diag, struct buf *out)
{
    if (body.n > SECRETS_REQUEST_MAX_BYTES)
        return refuse(diag, ERR_INVAL, "the request for secrets is larger than 32 KiB");
    json_t *o = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
    const char *text = json_string_value(json_object_get(o, "request"));
    json_t *inner = NULL;
    int rc = ERR_INVAL;
    if (text)
        rc = signature_judge(t, peer, o, SECRETS_REQUEST_PREFIX, text, diag);
    else
        refuse(diag, rc, "this is no request for secrets");
    if (rc == ERR_AUTH)
        rc = ERR_DENIED;
    if (!rc) {
        inner = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        rc = request_judge(t, region, peer, inner, diag);
    }
    if (!rc) {
        char hash[65];
        hash_of(text, hash);
        rc = answer_make(at, t, keys, region, peer, inner, hash, diag, out);
    }
    json_decref(inner);
    json_decref(o);
    return rc;
}
