// SPDX-License-Identifier: Apache-2.0
// The line of an entry of the control feed; see entry.h. Bodies are in entry_body.c.
#include "control/entry.h"

#include "base/err.h"
#include "base/mem.h"
#include "certs/keys.h"
#include "certs/signing_key.h"
#include "net/json.h"

#include <stdio.h>
#include <string.h>

// ---- what is signed ----

void control_entry_signed(const struct control_entry *e, struct buf *out)
{
    char before[2 * SHA256_BYTES + 1], body[2 * SHA256_BYTES + 1];
    uint8_t digest[SHA256_BYTES];
    sha256(e->text.p, e->text.n, digest);
    hex_format(e->before, sizeof e->before, before);
    hex_format(digest, sizeof digest, body);
    buf_printf(out, "%s%llu\n%llu\n%s\n%s\n", CONTROL_ENTRY_PREFIX,
               (unsigned long long)e->place.epoch, (unsigned long long)e->place.seq, before, body);
}

int control_entry_hash(struct control_entry *e)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    control_entry_signed(e, &b);
    if (!b.err)
        sha256(b.p, b.n, e->place.hash);
    return b.err;
}

int control_entry_verify(const struct control_entry *e, const char *spki_b64)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    control_entry_signed(e, &b);
    if (b.err)
        return b.err;
    return ed25519_verify(spki_b64, b.p, b.n, e->signature);
}

int control_entry_sign(struct bytes line, const struct signing_key *root, struct diag *diag,
                       struct buf *out)
{
    struct arena a;
    struct control_entry e;
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    arena_init(&a, 0);
    int rc = control_entry_parse(line, &a, diag, &e);
    if (!rc) {
        e.key = CONTROL_KEY_ROOT;
        control_entry_signed(&e, &b);
        rc = b.err;
    }
    if (!rc)
        rc = signing_key_sign(root, b.p, b.n, e.signature);
    if (!rc) {
        control_entry_format(&e, out);
        rc = out->err;
    }
    arena_done(&a);
    return rc;
}

// ---- writing ----

void control_entry_format(const struct control_entry *e, struct buf *out)
{
    char before[2 * SHA256_BYTES + 1];
    hex_format(e->before, sizeof e->before, before);
    json_t *o = json_pack("{s:I, s:I, s:s, s:s, s:o, s:s%}", "e", (json_int_t)e->place.epoch, "s",
                          (json_int_t)e->place.seq, "p", before, "k", e->key, "g",
                          json_binary(e->signature, sizeof e->signature), "b",
                          (const char *)e->text.p, e->text.n);
    int rc = json_text_add(o, out);
    if (rc)
        out->err = rc;
    buf_str(out, "\n");
}

// ---- reading ----

static int malformed(struct diag *diag, const char *what)
{
    diag_add(diag, NULL, 0, "an entry of the control feed is malformed: %s", what);
    return ERR_INVAL;
}

static const char *string_of(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static bool number_of(const json_t *o, const char *key, uint64_t min, uint64_t *out)
{
    const json_t *v = json_object_get(o, key);
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return false;
    *out = (uint64_t)json_integer_value(v);
    return *out >= min;
}

static bool hash_of(const char *hex, uint8_t out[SHA256_BYTES])
{
    return hex && strspn(hex, "0123456789abcdef") == 2 * SHA256_BYTES &&
           strlen(hex) == 2 * SHA256_BYTES && !hex_parse(hex, strlen(hex), out, SHA256_BYTES);
}

static bool key_ok(const char *key)
{
    return key && *key && strlen(key) <= CONTROL_KEY_MAX &&
           !key[strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789-")];
}

static int read_line(const json_t *o, struct arena *a, struct diag *diag, struct control_entry *e)
{
    if (!json_is_object(o))
        return malformed(diag, "it is no JSON object");
    if (!number_of(o, "e", 1, &e->place.epoch) || !number_of(o, "s", 1, &e->place.seq))
        return malformed(diag, "e and s are not its epoch and sequence");
    if (!hash_of(string_of(o, "p"), e->before))
        return malformed(diag, "p is not the hash of the entry before");
    if (!key_ok(string_of(o, "k")))
        return malformed(diag, "k is not a key's id");
    if (!json_binary_take(o, "g", e->signature, sizeof e->signature))
        return malformed(diag, "g is not a signature");
    const json_t *body = json_object_get(o, "b");
    if (!json_is_string(body))
        return malformed(diag, "b is not its body");
    size_t n = json_string_length(body);
    char *text = arena_alloc(a, n + 1);
    e->key = arena_strdup(a, string_of(o, "k"));
    if (!text || !e->key)
        return ERR_NOMEM;
    memcpy(text, json_string_value(body), n);
    e->text = bytes_of(text, n);
    return control_entry_hash(e);
}

int control_entry_parse(struct bytes line, struct arena *a, struct diag *diag,
                        struct control_entry *out)
{
    struct control_entry e = {0};
    if (line.n > CONTROL_ENTRY_MAX_BYTES) {
        diag_add(diag, NULL, 0, "an entry of the control feed of more than %u bytes",
                 CONTROL_ENTRY_MAX_BYTES);
        return ERR_TOOBIG;
    }
    json_t *o = json_loadb((const char *)line.p, line.n, JSON_REJECT_DUPLICATES, NULL);
    int rc = read_line(o, a, diag, &e);
    json_decref(o);
    if (!rc)
        rc = control_body_parse(e.text, a, diag, &e.body);
    if (!rc)
        *out = e;
    return rc;
}
