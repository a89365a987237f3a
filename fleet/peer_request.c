// SPDX-License-Identifier: Apache-2.0
// Records and requests of a peer certificate's replacement, and the frame that names it; see
// peer_roll.h. Pure.
#include "fleet/peer_roll.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "control/identity_list.h"
#include "control/sections.h"
#include "net/json.h"

#include <jansson.h>
#include <string.h>

// --- records ---

int peer_record_format(const struct peer_record *r, struct buf *out)
{
    json_t *o = json_pack("{s:s, s:s, s:I, s:I}", "old", r->old, "next", r->next, "until",
                          (json_int_t)r->until_ms, "named", (json_int_t)r->named_ms);
    if (o && r->used_ms)
        json_object_set_new(o, "used", json_integer((json_int_t)r->used_ms));
    return json_text_add(o, out);
}

static bool print_take(const json_t *o, const char *key, char out[65])
{
    const char *s = json_string_value(json_object_get(o, key));
    uint8_t bytes[SHA256_BYTES];
    if (!s || strlen(s) != 64 || hex_parse(s, 64, bytes, sizeof bytes))
        return false;
    memcpy(out, s, 65);
    return true;
}

int peer_record_parse(const char *json, struct peer_record *out)
{
    json_t *o = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    struct peer_record r = {.until_ms = json_integer_value(json_object_get(o, "until")),
                            .named_ms = json_integer_value(json_object_get(o, "named")),
                            .used_ms = json_integer_value(json_object_get(o, "used"))};
    bool good = print_take(o, "old", r.old) && print_take(o, "next", r.next) && r.until_ms > 0 &&
                r.named_ms > 0 && r.used_ms >= 0;
    json_decref(o);
    if (!good)
        return ERR_INVAL;
    *out = r;
    return 0;
}

// --- requests ---

static const char *const step_names[] = {"next", "used"};

static int signed_bytes(const char *text, struct buf *out)
{
    buf_str(out, PEER_ROLL_PREFIX);
    buf_str(out, text);
    return out->err;
}

int peer_request_format(const struct topology *t, const char *region, const struct peer_request *q,
                        struct region_keys *keys, struct buf *out)
{
    json_t *o =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:s}", "v", 1, "domain", t->domain, "region", region,
                  "step", step_names[q->step], "nonce", q->nonce, "current", q->current);
    if (o && q->certificate)
        json_object_set_new(o, "certificate", json_string(q->certificate));
    AUTO_BUF struct buf text, b;
    buf_init(&text, PEER_ROLL_MAX_BYTES);
    buf_init(&b, PEER_ROLL_MAX_BYTES);
    uint8_t sig[64];
    int rc = json_text_add(o, &text);
    if (!rc)
        rc = signed_bytes(buf_cstr(&text), &b);
    if (!rc)
        rc = region_keys_sign_feed(keys, b.p, b.n, sig);
    if (rc)
        return rc;
    return json_text_add(json_pack("{s:s, s:s, s:o}", "request", buf_cstr(&text), "key",
                                   region_keys_feed_id(keys), "signature",
                                   json_binary(sig, sizeof sig)),
                         out);
}

static int refuse(struct diag *diag, const char *why)
{
    diag_add(diag, NULL, 0, "the request is refused: %s", why);
    return ERR_DENIED;
}

static const char *member(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static int signature_judge(const struct topology *t, const struct region *from, const json_t *outer,
                           struct diag *diag)
{
    const char *text = member(outer, "request"), *id = member(outer, "key");
    uint8_t sig[64];
    if (!text || !id || !json_binary_take(outer, "signature", sig, sizeof sig))
        return refuse(diag, "it must have a text, a key and a signature");
    const struct public_key *key = topology_feed_key_in_use(t, id);
    if (!key || key->region != from->index)
        return refuse(diag, "it is not signed with a feed key of that region which is in use");
    AUTO_BUF struct buf b;
    buf_init(&b, PEER_ROLL_MAX_BYTES + sizeof PEER_ROLL_PREFIX);
    int rc = signed_bytes(text, &b);
    if (rc)
        return rc;
    if (ed25519_verify(key->spki_b64, b.p, b.n, sig))
        return refuse(diag, "its signature is not of the region's feed key");
    return 0;
}

static bool step_parse(const char *s, enum peer_step *out)
{
    for (size_t i = 0; s && i < ARRAY_LEN(step_names); i++)
        if (!strcmp(s, step_names[i])) {
            *out = (enum peer_step)i;
            return true;
        }
    return false;
}

static int text_take(const struct topology *t, const struct region *from, const json_t *o,
                     struct arena *a, struct diag *diag, struct peer_request *out)
{
    const char *domain = member(o, "domain"), *region = member(o, "region"),
               *nonce = member(o, "nonce"), *certificate = member(o, "certificate");
    struct peer_request q = {0};
    char current[65];
    if (json_integer_value(json_object_get(o, "v")) != 1 || !domain || !region || !nonce ||
        !step_parse(member(o, "step"), &q.step) || !print_take(o, "current", current) ||
        (q.step == PEER_NEXT && !certificate))
        return refuse(diag, "what was signed has a form that is not known here");
    if (strcmp(domain, t->domain) != 0)
        return refuse(diag, "it is for another domain");
    if (strcmp(region, from->name) != 0)
        return refuse(diag, "a region may ask for its own certificate only");
    q.nonce = arena_strdup(a, nonce);
    q.current = arena_strdup(a, current);
    if (q.step == PEER_NEXT)
        q.certificate = arena_strdup(a, certificate);
    if (!q.nonce || !q.current || (q.step == PEER_NEXT && !q.certificate))
        return ERR_NOMEM;
    *out = q;
    return 0;
}

int peer_request_parse(const struct topology *t, const char *from, struct bytes body,
                       struct arena *a, struct diag *diag, struct peer_request *out)
{
    const struct region *r = topology_region(t, from);
    if (!r)
        return refuse(diag, "its region has left the topology");
    if (body.n > PEER_ROLL_MAX_BYTES)
        return refuse(diag, "it is larger than 48 KiB");
    json_t *outer = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
    json_t *inner = NULL;
    int rc = signature_judge(t, r, outer, diag);
    if (!rc) {
        inner = json_loads(member(outer, "request"), JSON_REJECT_DUPLICATES, NULL);
        rc = text_take(t, r, inner, a, diag, out);
    }
    json_decref(inner);
    json_decref(outer);
    return rc;
}

// --- the topology ---

bool peer_names(const struct topology *t, const char *region, const char *fingerprint)
{
    const struct region *r = topology_region(t, region);
    for (size_t i = 0; r && i < r->n_peer_fingerprints; i++)
        if (!strcmp(r->peer_fingerprints[i], fingerprint))
            return true;
    return false;
}

int peer_frame(const struct topology *t, const char *region, const char *add, const char *drop,
               struct arena *a, struct buf *out)
{
    struct identity_list *l = arena_alloc(a, sizeof *l);
    if (!l)
        return ERR_NOMEM;
    if (!t->frame->text)
        return ERR_UNSUPPORTED;
    identity_list_init(l);
    int rc = identity_list_add_all(l, t);
    struct identity *x = identity_of_region(l, region);
    struct identity_item *item = NULL;
    if (!rc && x && drop)
        item = identity_find(x, IDENTITY_FINGERPRINT, drop);
    if (item)
        identity_remove(x, IDENTITY_FINGERPRINT, item);
    if (!rc && add)
        rc = identity_add(l, region, IDENTITY_FINGERPRINT, (struct identity_item){.id = add});
    if (rc < 0)
        return rc;
    AUTO_FREE char *was = mem_strndup(t->frame->text, t->frame->text_n);
    const struct edit_section s = {"identities", identity_list_text(l, a)};
    if (!was || !s.text)
        return ERR_NOMEM;
    edit_sections(was, &s, 1, 0, out);
    return out->err;
}
