// SPDX-License-Identifier: Apache-2.0
// Signed requests on the wire; see signed_request.h. Any thread; no state.
#include "certs/signed_request.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "net/json.h"

#include <jansson.h>
#include <string.h>

// --- writing ---

static int text_sign(const char *text, struct region_keys *keys, uint8_t out[64])
{
    AUTO_BUF struct buf b;
    buf_init(&b, SIGNED_REQUEST_MAX_BYTES);
    buf_str(&b, SIGNED_REQUEST_PREFIX);
    buf_str(&b, text);
    if (b.err)
        return b.err;
    return region_keys_sign_feed(keys, b.p, b.n, out);
}

int signed_request_format(const struct signed_request *q, struct region_keys *keys, struct buf *out)
{
    uint8_t sig[64];
    AUTO_BUF struct buf text;
    buf_init(&text, SIGNED_REQUEST_MAX_BYTES);
    json_t *root =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:s}", "v", 1, "domain", q->domain, "region",
                  q->region, "kind", cert_kind_name(q->kind), "nonce", q->nonce, "csr", q->csr);
    int rc = json_text_add(root, &text);
    if (!rc)
        rc = text_sign(buf_cstr(&text), keys, sig);
    if (rc)
        return rc;
    return json_text_add(json_pack("{s:s, s:s, s:o}", "request", buf_cstr(&text), "key",
                                   region_keys_feed_id(keys), "signature",
                                   json_binary(sig, sizeof sig)),
                         out);
}

// --- reading ---

static int refuse(struct diag *diag, const char *why)
{
    diag_add(diag, NULL, 0, "the request is refused: %s", why);
    return ERR_DENIED;
}

static const char *member(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

// Who signed it is a region of the topology, and the one that asks.
static int signature_judge(const struct topology *t, const struct region *from, const json_t *outer,
                           struct diag *diag)
{
    const char *text = member(outer, "request"), *id = member(outer, "key");
    uint8_t sig[64];
    if (!text || !id || !json_binary_take(outer, "signature", sig, sizeof sig))
        return refuse(diag, "it must have a text, a key and a signature");
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
    buf_init(&b, SIGNED_REQUEST_MAX_BYTES + sizeof SIGNED_REQUEST_PREFIX);
    buf_str(&b, SIGNED_REQUEST_PREFIX);
    buf_str(&b, text);
    if (b.err)
        return b.err;
    if (ed25519_verify(key->spki_b64, b.p, b.n, sig))
        return refuse(diag, "its signature is not of the region's feed key");
    return 0;
}

static int text_take(const struct topology *t, const struct region *from, const json_t *o,
                     struct arena *a, struct diag *diag, struct signed_request *out)
{
    const char *domain = member(o, "domain"), *region = member(o, "region"),
               *kind = member(o, "kind"), *nonce = member(o, "nonce"), *csr = member(o, "csr");
    enum cert_kind k;
    if (json_integer_value(json_object_get(o, "v")) != 1 || !domain || !region || !kind || !nonce ||
        !csr)
        return refuse(diag, "what was signed is no request of a form that is known here");
    if (strcmp(domain, t->domain) != 0)
        return refuse(diag, "it is for another domain");
    if (strcmp(region, from->name) != 0)
        return refuse(diag, "a region may ask for its own certificates only");
    if (cert_kind_parse(kind, &k))
        return refuse(diag, "kind is region, shared or peer");
    struct signed_request q = {.domain = t->domain, .kind = k, .region = arena_strdup(a, region)};
    q.nonce = arena_strdup(a, nonce);
    q.csr = arena_strdup(a, csr);
    if (!q.region || !q.nonce || !q.csr)
        return ERR_NOMEM;
    *out = q;
    return 0;
}

int signed_request_parse(const struct topology *t, const char *from, struct bytes text,
                         struct arena *a, struct diag *diag, struct signed_request *out)
{
    const struct region *r = topology_region(t, from);
    if (!r)
        return refuse(diag, "its region has left the topology");
    json_t *outer = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(outer)) {
        json_decref(outer);
        diag_add(diag, NULL, 0,
                 "the request is refused: it is not signed with the feed key of %s, as this "
                 "version asks for; upgrade "
                 "meridiand there",
                 from);
        return ERR_DENIED;
    }
    int rc = signature_judge(t, r, outer, diag);
    const char *inner_text = member(outer, "request");
    json_t *inner = NULL;
    if (!rc) {
        inner = json_loads(inner_text, JSON_REJECT_DUPLICATES, NULL);
        rc = text_take(t, r, inner, a, diag, out);
    }
    json_decref(inner);
    json_decref(outer);
    return rc;
}
