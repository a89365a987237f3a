// SPDX-License-Identifier: Apache-2.0
// Beats of the writer region; see beat.h.
#include "fleet/beat.h"

#include "base/digest.h"
#include "base/err.h"
#include "certs/keys.h"
#include "config/topology_control.h"
#include "net/json.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define SIGNED_MAX 512

static void signed_text(const struct beat *b, const char *prefix, struct buf *out)
{
    char hex[2 * SHA256_BYTES + 1];
    hex_format(b->place.hash, sizeof b->place.hash, hex);
    buf_printf(out, "%s%" PRIu64 "\n%" PRIu64 "\n%s\n%" PRId64 "\n", prefix, b->place.epoch,
               b->place.seq, hex, b->time_ms);
}

static void answer_text(const struct beat *b, struct buf *out)
{
    char hex[2 * BEAT_NONCE_BYTES + 1];
    hex_format(b->nonce, sizeof b->nonce, hex);
    signed_text(b, BEAT_ANSWER_PREFIX, out);
    buf_printf(out, "%s\n", hex);
}

// A number that is no less than 0.
static int number(const json_t *of, const char *member, int64_t *out)
{
    const json_t *v = json_object_get(of, member);
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return ERR_INVAL;
    *out = json_integer_value(v);
    return 0;
}

static int read_place(const json_t *said, struct beat *b)
{
    int64_t e = 0, s = 0;
    const char *hash = json_string_value(json_object_get(said, "p"));
    if (number(said, "e", &e) || number(said, "s", &s) || number(said, "time", &b->time_ms))
        return ERR_INVAL;
    b->place.epoch = (uint64_t)e;
    b->place.seq = (uint64_t)s;
    if (!hash)
        return ERR_INVAL;
    return hex_parse(hash, strlen(hash), b->place.hash, sizeof b->place.hash);
}

static int read_key(const json_t *doc, struct beat *b)
{
    const char *key = json_string_value(json_object_get(doc, "k"));
    if (!key || !*key || strlen(key) > CONTROL_KEY_MAX)
        return ERR_INVAL;
    memcpy(b->key, key, strlen(key) + 1);
    if (!json_binary_take(doc, "g", b->signature, CONTROL_SIGNATURE_BYTES))
        return ERR_INVAL;
    return 0;
}

// It may have none.
static int read_answer(const json_t *doc, struct beat *b)
{
    const json_t *n = json_object_get(doc, "n");
    const char *nonce = json_string_value(n);
    if (!n)
        return 0;
    if (!nonce || hex_parse(nonce, strlen(nonce), b->nonce, sizeof b->nonce))
        return ERR_INVAL;
    b->has_answer = true;
    if (!json_binary_take(doc, "a", b->answer, CONTROL_SIGNATURE_BYTES))
        return ERR_INVAL;
    return 0;
}

int beat_parse(struct bytes line, struct beat *out)
{
    struct beat b = {.time_ms = 0};
    if (!line.n || line.n > BEAT_LINE_MAX)
        return ERR_INVAL;
    json_t *doc = json_loadb((const char *)line.p, line.n, JSON_REJECT_DUPLICATES, NULL);
    int rc = read_place(json_object_get(doc, "beat"), &b);
    if (!rc)
        rc = read_key(doc, &b);
    if (!rc)
        rc = read_answer(doc, &b);
    json_decref(doc);
    if (rc)
        return ERR_INVAL;
    *out = b;
    return 0;
}

void beat_format(const struct beat *b, struct buf *out)
{
    char hex[2 * SHA256_BYTES + 1], text[b64_size(CONTROL_SIGNATURE_BYTES)];
    hex_format(b->place.hash, sizeof b->place.hash, hex);
    b64url_format(b->signature, sizeof b->signature, text);
    buf_printf(out,
               "{\"beat\":{\"e\":%" PRIu64 ",\"s\":%" PRIu64 ",\"p\":\"%s\",\"time\":%" PRId64
               "},\"k\":\"%s\",\"g\":\"%s\"",
               b->place.epoch, b->place.seq, hex, b->time_ms, b->key, text);
    if (b->has_answer) {
        hex_format(b->nonce, sizeof b->nonce, hex);
        b64url_format(b->answer, sizeof b->answer, text);
        buf_printf(out, ",\"n\":\"%s\",\"a\":\"%s\"", hex, text);
    }
    buf_str(out, "}\n");
}

int beat_sign(const struct region_keys *keys, const struct control_place *place, int64_t time_ms,
              struct beat *out)
{
    const char *id = NULL;
    if (keys)
        id = region_keys_control_id(keys);
    if (!id)
        return ERR_NOTFOUND;
    struct beat b = {.place = *place, .time_ms = time_ms};
    snprintf(b.key, sizeof b.key, "%s", id);
    AUTO_BUF struct buf text;
    buf_init(&text, SIGNED_MAX);
    signed_text(&b, BEAT_PREFIX, &text);
    if (text.err)
        return text.err;
    int rc = region_keys_sign_control(keys, text.p, text.n, b.signature);
    if (!rc)
        *out = b;
    return rc;
}

int beat_answer(const struct region_keys *keys, const uint8_t nonce[BEAT_NONCE_BYTES],
                struct beat *b)
{
    const char *id = NULL;
    if (keys)
        id = region_keys_control_id(keys);
    if (!id || strcmp(id, b->key) != 0)
        return ERR_NOTFOUND;
    struct beat with = *b;
    AUTO_BUF struct buf text;
    buf_init(&text, SIGNED_MAX);
    with.has_answer = true;
    memcpy(with.nonce, nonce, sizeof with.nonce);
    answer_text(&with, &text);
    if (text.err)
        return text.err;
    int rc = region_keys_sign_control(keys, text.p, text.n, with.answer);
    if (!rc)
        *b = with;
    return rc;
}

static int verify(const struct beat *b, const struct topology *t, const struct buf *text,
                  const uint8_t signature[CONTROL_SIGNATURE_BYTES])
{
    const struct public_key *key = topology_control_key(t, b->key);
    const struct region *writer = topology_writer(t);
    if (!key || !writer || key->region != writer->index)
        return ERR_AUTH;
    if (text->err)
        return text->err;
    return ed25519_verify(key->spki_b64, text->p, text->n, signature);
}

int beat_verify(const struct beat *b, const struct topology *t)
{
    AUTO_BUF struct buf text;
    buf_init(&text, SIGNED_MAX);
    signed_text(b, BEAT_PREFIX, &text);
    return verify(b, t, &text, b->signature);
}

int beat_answers(const struct beat *b, const uint8_t nonce[BEAT_NONCE_BYTES],
                 const struct topology *t)
{
    if (!b->has_answer || memcmp(b->nonce, nonce, sizeof b->nonce) != 0)
        return ERR_AUTH;
    AUTO_BUF struct buf text;
    buf_init(&text, SIGNED_MAX);
    answer_text(b, &text);
    return verify(b, t, &text, b->answer);
}
