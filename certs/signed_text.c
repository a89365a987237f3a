// SPDX-License-Identifier: Apache-2.0
// See signed_text.h.
#include "certs/signed_text.h"

#include "base/digest.h"
#include "base/err.h"
#include "net/json.h"

#include <string.h>

// --- writing ---

static int signed_bytes(const char *prefix, const char *text, struct buf *out)
{
    buf_init(out, SIGNED_TEXT_MAX_BYTES + strlen(prefix));
    buf_str(out, prefix);
    buf_str(out, text);
    return out->err;
}

int signed_text_format(const char *prefix, json_t *o, struct region_keys *keys, struct buf *out)
{
    uint8_t sig[64];
    AUTO_BUF struct buf text, b;
    buf_init(&text, SIGNED_TEXT_MAX_BYTES);
    buf_init(&b, 0);
    int rc = json_text_add(o, &text);
    if (!rc)
        rc = signed_bytes(prefix, buf_cstr(&text), &b);
    if (!rc)
        rc = region_keys_sign_feed(keys, b.p, b.n, sig);
    if (rc)
        return rc;
    return json_text_add(json_pack("{s:s, s:s, s:o}", "request", buf_cstr(&text), "key",
                                   region_keys_feed_id(keys), "signature",
                                   json_binary(sig, sizeof sig)),
                         out);
}

// --- reading ---

int signed_text_refuse(struct diag *diag, const char *why)
{
    diag_add(diag, NULL, 0, "the request is refused: %s", why);
    return ERR_DENIED;
}

const char *signed_text_member(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

// Who signed it is a region of the topology, and the one that asks.
static int signature_judge(const struct topology *t, const struct region *from, const char *prefix,
                           const json_t *outer, struct diag *diag)
{
    const char *text = signed_text_member(outer, "request"), *id = signed_text_member(outer, "key");
    uint8_t sig[64];
    if (!text || !id || !json_binary_take(outer, "signature", sig, sizeof sig))
        return signed_text_refuse(diag, "it must have a text, a key and a signature");
    const struct public_key *key = topology_feed_key_in_use(t, id);
    if (!key || key->region != from->index) {
        diag_add(diag, NULL, 0,
                 "the request is refused: the topology here has no feed key \"%.80s\" of %s that "
                 "is in use; see `meridian "
                 "identities show %s`, and add it with `meridian init`",
                 id, from->name, from->name);
        return ERR_DENIED;
    }
    AUTO_BUF struct buf b;
    int rc = signed_bytes(prefix, text, &b);
    if (rc)
        return rc;
    if (ed25519_verify(key->spki_b64, b.p, b.n, sig))
        return signed_text_refuse(diag, "its signature is not of the region's feed key");
    return 0;
}

static int inner_judge(const struct topology *t, const struct region *from, const json_t *o,
                       struct diag *diag)
{
    const char *domain = signed_text_member(o, "domain"), *region = signed_text_member(o, "region");
    if (json_integer_value(json_object_get(o, "v")) != 1 || !domain || !region)
        return signed_text_refuse(diag,
                                  "what was signed is no request of a form that is known here");
    if (strcmp(domain, t->domain) != 0)
        return signed_text_refuse(diag, "it is for another domain");
    if (strcmp(region, from->name) != 0)
        return signed_text_refuse(diag, "a region may ask for its own certificates only");
    return 0;
}

int signed_text_parse(const struct topology *t, const char *from, const char *prefix,
                      struct bytes body, struct diag *diag, json_t **out)
{
    const struct region *r = topology_region(t, from);
    if (!r)
        return signed_text_refuse(diag, "its region has left the topology");
    if (body.n > SIGNED_TEXT_MAX_BYTES)
        return signed_text_refuse(diag, "it is larger than 48 KiB");
    json_t *outer = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(outer)) {
        json_decref(outer);
        diag_add(diag, NULL, 0,
                 "the request is refused: it is not signed with the feed key of %s, as this "
                 "version asks for; upgrade "
                 "meridiand there",
                 from);
        return ERR_DENIED;
    }
    json_t *inner = NULL;
    int rc = signature_judge(t, r, prefix, outer, diag);
    if (!rc) {
        inner = json_loads(signed_text_member(outer, "request"), JSON_REJECT_DUPLICATES, NULL);
        rc = inner_judge(t, r, inner, diag);
    }
    json_decref(outer);
    if (rc) {
        json_decref(inner);
        return rc;
    }
    *out = inner;
    return 0;
}
