// SPDX-License-Identifier: Apache-2.0
// Answers to requests to join; see join_answer.h. Pure.
#include "fleet/join_answer.h"

#include "base/err.h"
#include "base/mem.h"
#include "certs/joiner.h"
#include "net/json.h"

#include <jansson.h>
#include <string.h>

static int signed_bytes(const char *text, struct buf *out)
{
    buf_str(out, JOIN_ANSWER_PREFIX);
    buf_str(out, text);
    return out->err;
}

int join_answer_format(const struct join_answer *w, const struct region_keys *writer,
                       struct buf *out)
{
    json_t *o = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "v", 1, "domain", w->domain,
                          "token", w->token, "region", w->region, "joiner", w->joiner, "ca", w->ca,
                          "certificate", w->certificate, "topology", w->topology);
    AUTO_BUF struct buf text, b;
    buf_init(&text, JOIN_ANSWER_MAX_BYTES);
    buf_init(&b, JOIN_ANSWER_MAX_BYTES);
    uint8_t sig[64];
    int rc = json_text_add(o, &text);
    if (!rc)
        rc = signed_bytes(buf_cstr(&text), &b);
    if (!rc)
        rc = region_keys_sign_control(writer, b.p, b.n, sig);
    if (rc)
        return rc;
    return json_text_add(json_pack("{s:s, s:s, s:o}", "answer", buf_cstr(&text), "spki",
                                   region_keys_control_spki(writer), "signature",
                                   json_binary(sig, sizeof sig)),
                         out);
}

static int malformed(struct diag *diag)
{
    diag_add(diag, NULL, 0, "what came back is no answer to a request to join");
    return ERR_INVAL;
}

static int false_writer(const struct join_token *t, struct diag *diag, const char *why)
{
    diag_add(
        diag, NULL, 0,
        "this is not the writer %s that the join token names: %s. Nothing was taken over. If a "
        "takeover has made another region the writer, make another token there",
        t->writer, why);
    return ERR_AUTH;
}

// Its key is the token's, and its signature that key's.
static int signature_judge(const json_t *o, const struct join_token *t, struct diag *diag)
{
    const char *text = json_string_value(json_object_get(o, "answer")),
               *spki = json_string_value(json_object_get(o, "spki"));
    uint8_t sig[64], key[SHA256_BYTES];
    char hex[65];
    if (!text || !spki || !json_binary_take(o, "signature", sig, sizeof sig))
        return malformed(diag);
    if (signing_key_fingerprint(spki, hex) || hex_parse(hex, 64, key, sizeof key) ||
        memcmp(key, t->writer_key, sizeof key) != 0)
        return false_writer(t, diag, "its control key is another one");
    AUTO_BUF struct buf b;
    buf_init(&b, JOIN_ANSWER_MAX_BYTES);
    int rc = signed_bytes(text, &b);
    if (rc)
        return rc;
    if (ed25519_verify(spki, b.p, b.n, sig))
        return false_writer(t, diag, "the signature is not its control key's");
    return 0;
}

static const char *text_get(const json_t *o, const char *key, struct arena *a)
{
    const char *s = json_string_value(json_object_get(o, key));
    if (!s || !*s)
        return NULL;
    return arena_strdup(a, s);
}

static int text_take(const json_t *o, const struct join_token *t, const char *joiner,
                     struct arena *a, struct diag *diag, struct join_answer *w)
{
    const struct {
        const char *key, **to;
    } rows[] = {{"domain", &w->domain},    {"token", &w->token}, {"region", &w->region},
                {"joiner", &w->joiner},    {"ca", &w->ca},       {"certificate", &w->certificate},
                {"topology", &w->topology}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        *rows[i].to = text_get(o, rows[i].key, a);
        if (!*rows[i].to)
            return malformed(diag);
    }
    if (json_integer_value(json_object_get(o, "v")) != 1)
        return malformed(diag);
    if (strcmp(w->domain, t->domain) != 0 || strcmp(w->token, t->id) != 0 ||
        strcmp(w->region, t->region) != 0 || strcmp(w->joiner, joiner) != 0)
        return false_writer(t, diag, "it answers another request");
    char ours[65], theirs[65];
    if (certs_fingerprint(bytes_str(t->ca), ours) || certs_fingerprint(bytes_str(w->ca), theirs) ||
        strcmp(ours, theirs) != 0)
        return false_writer(t, diag, "its CA is another one");
    return 0;
}

int join_answer_parse(struct bytes body, const struct join_token *t, const char *joiner,
                      struct arena *a, struct diag *diag, struct join_answer *out)
{
    struct join_answer w = {0};
    if (body.n > JOIN_ANSWER_MAX_BYTES)
        return malformed(diag);
    json_t *o = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
    int rc = signature_judge(o, t, diag);
    json_t *inner = NULL;
    if (!rc) {
        inner = json_loads(json_string_value(json_object_get(o, "answer")), JSON_REJECT_DUPLICATES,
                           NULL);
        rc = text_take(inner, t, joiner, a, diag, &w);
    }
    json_decref(inner);
    json_decref(o);
    if (rc)
        return rc;
    *out = w;
    return 0;
}
