// SPDX-License-Identifier: Apache-2.0
// Identities: peer fingerprints and public keys by region. A key is checked to have the DER frame of its kind; whether
// its point is on the curve is for the library that verifies with it. See topology_priv.h.
#include "config/topology_priv.h"

#include "base/digest.h"
#include "base/err.h"

#include <string.h>

// RFC 5480 (P-256, uncompressed point) and RFC 8410 (Ed25519): everything before the key's own bytes.
static const uint8_t p256_head[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
                                    0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};
static const uint8_t ed25519_head[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

static const struct key_kind {
    const char *name, *list;
    const uint8_t *head;
    size_t n_head, n;
} token_kind = {"a P-256 public key", "token_keys", p256_head, sizeof p256_head, 91},
  feed_kind = {"an Ed25519 public key", "feed_keys", ed25519_head, sizeof ed25519_head, 44};

struct names { // unique in the whole topology
    struct htab *fingerprints, *keys;
};

static void say_once(struct topology_build *b, struct htab *seen, const char *s, int line, const char *what)
{
    static char first; // any address that is not NULL
    size_t n = strlen(s);
    if (htab_get(seen, s, n))
        options_error(b->ctx, line, "identities: %s %s is given twice", what, s);
    else if (htab_put(seen, s, n, &first))
        b->ctx->nomem = true;
}

static void check_key(struct topology_build *b, const struct region *r, const struct spec_key *k,
                      const struct key_kind *kind, struct names *names)
{
    uint8_t der[1024];
    size_t n = 0, nr = strlen(r->name);
    if (k->id && (strncmp(k->id, r->name, nr) || k->id[nr] != '-' || !k->id[nr + 1]))
        options_error(b->ctx, doc_key_line(k->node, "id"), "identities.%s: key id %s must begin with \"%s-\"", r->name,
                      k->id, r->name);
    if (k->id)
        say_once(b, names->keys, k->id, doc_key_line(k->node, "id"), "key id");
    if (k->key && (b64_parse(k->key, strlen(k->key), der, sizeof der, &n) || n != kind->n ||
                   memcmp(der, kind->head, kind->n_head)))
        options_error(b->ctx, doc_key_line(k->node, "key"),
                      "identities.%s.%s: expected base64 of the SubjectPublicKeyInfo of %s", r->name, kind->list,
                      kind->name);
}

static const struct public_key *build_keys(struct topology_build *b, const struct region *r,
                                           const struct spec_key *keys, size_t n, const struct key_kind *kind,
                                           struct names *names)
{
    struct public_key *out = build_array(b, n, sizeof *out);
    for (size_t i = 0; out && i < n; i++) {
        check_key(b, r, &keys[i], kind, names);
        out[i] = (struct public_key){build_string(b, keys[i].id), build_string(b, keys[i].key), r->index,
                                     keys[i].retired ? dnskey_time_parse(keys[i].retired) : 0};
    }
    return out;
}

static void build_identity(struct topology_build *b, struct region *r, const struct doc_node *v, struct names *names)
{
    struct spec_identity s = {0};
    char path[64];
    snprintf(path, sizeof path, "identities.%s", r->name);
    options_apply(b->ctx, &spec_identity_set, v, path, &s);
    const char **prints = build_array(b, s.n_fingerprints, sizeof *prints);
    for (size_t i = 0; prints && i < s.n_fingerprints; i++) {
        prints[i] = build_string(b, s.fingerprints[i]);
        if (*prints[i])
            say_once(b, names->fingerprints, prints[i], doc_item_line(v, "peer_fingerprints", i), "fingerprint");
    }
    r->peer_fingerprints = prints;
    r->n_peer_fingerprints = s.n_fingerprints;
    r->token_keys = build_keys(b, r, s.token_keys, s.n_token_keys, &token_kind, names);
    r->n_token_keys = s.n_token_keys;
    r->feed_keys = build_keys(b, r, s.feed_keys, s.n_feed_keys, &feed_kind, names);
    r->n_feed_keys = s.n_feed_keys;
}

void topology_build_identities(struct topology_build *b)
{
    const struct doc_node *map = b->s->identities;
    if (!map)
        return;
    if (map->kind != DOC_MAP) {
        options_error(b->ctx, map->key_line, "identities: expected a mapping by region, found %s", doc_kind_name(map));
        return;
    }
    struct names names = {htab_new(), htab_new()};
    if (!names.fingerprints || !names.keys)
        b->ctx->nomem = true;
    for (const struct doc_node *v = map->child; v && !b->ctx->nomem; v = v->next) {
        int r = build_find_region(b, v->key_line, "identities", v->key);
        if (r >= 0)
            build_identity(b, (struct region *)&b->t->regions[r], v, &names); // still ours: frozen after the build
    }
    htab_free(names.fingerprints);
    htab_free(names.keys);
}
