// SPDX-License-Identifier: Apache-2.0
// Identities: peer fingerprints and public keys by region. A key is checked to have the DER frame
// of its kind; whether its point is on the curve is for the library that verifies with it. See
// topology_priv.h.
#include "config/topology_priv.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"

#include <string.h>

// RFC 5480 (P-256, uncompressed point) and RFC 8410 (Ed25519): everything before the key's own
// bytes.
static const uint8_t p256_head[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};
static const uint8_t ed25519_head[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                       0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

static const struct key_kind {
    const char *name, *list;
    const uint8_t *head;
    size_t n_head, n;
} token_kind = {"a P-256 public key", "token_keys", p256_head, sizeof p256_head, 91},
  feed_kind = {"an Ed25519 public key", "feed_keys", ed25519_head, sizeof ed25519_head, 44},
  control_kind = {"an Ed25519 public key", "control_keys", ed25519_head, sizeof ed25519_head, 44};

struct names { // unique in the whole topology
    struct htab *fingerprints, *keys, *revoked;
};

static void say_once(struct topology_build *b, struct htab *seen, const char *s, int line,
                     const char *what)
{
    static char first; // any address that is not NULL
    size_t n = strlen(s);
    if (htab_get(seen, s, n))
        options_error(b->ctx, line, "identities: %s %s is given twice", what, s);
    else if (htab_put(seen, s, n, &first))
        b->ctx->nomem = true;
}

static void check_key_region(struct topology_build *b, const struct region *r, const char *id,
                             int line)
{
    size_t n = strlen(r->name);
    if (strncmp(id, r->name, n) || id[n] != '-' || !id[n + 1])
        options_error(b->ctx, line, "identities.%s: key id %s must begin with \"%s-\"", r->name, id,
                      r->name);
}

static bool key_is(const struct key_kind *kind, const char *spki_b64)
{
    uint8_t der[1024];
    size_t n = 0;
    return !b64_parse(spki_b64, strlen(spki_b64), der, sizeof der, &n) && n == kind->n &&
           !memcmp(der, kind->head, kind->n_head);
}

bool topology_ed25519_ok(const char *spki_b64)
{
    return key_is(&feed_kind, spki_b64);
}

static void check_key(struct topology_build *b, const struct region *r, const struct spec_key *k,
                      const struct key_kind *kind, struct names *names)
{
    if (k->id)
        check_key_region(b, r, k->id, doc_key_line(k->node, "id"));
    if (k->id)
        say_once(b, names->keys, k->id, doc_key_line(k->node, "id"), "key id");
    if (k->key && !key_is(kind, k->key))
        options_error(b->ctx, doc_key_line(k->node, "key"),
                      "identities.%s.%s: expected base64 of the SubjectPublicKeyInfo of %s",
                      r->name, kind->list, kind->name);
}

static const struct public_key *build_keys(struct topology_build *b, const struct region *r,
                                           const struct spec_key *keys, size_t n,
                                           const struct key_kind *kind, struct names *names)
{
    struct public_key *out = build_array(b, n, sizeof *out);
    for (size_t i = 0; out && i < n; i++) {
        check_key(b, r, &keys[i], kind, names);
        out[i] =
            (struct public_key){build_string(b, keys[i].id), build_string(b, keys[i].key), r->index,
                                keys[i].retired ? dnskey_time_parse(keys[i].retired) : 0};
    }
    return out;
}

static void build_revoked(struct topology_build *b, struct region *r, const struct spec_identity *s,
                          struct names *names)
{
    static const uint8_t zero[SHA256_BYTES];
    struct feed_revocation *out = build_array(b, s->n_revoked, sizeof *out);
    for (size_t i = 0; out && i < s->n_revoked; i++) {
        const struct spec_revoked *v = &s->revoked[i];
        out[i] = (struct feed_revocation){
            .key = build_string(b, v->key), .epoch = v->epoch, .seq = v->seq};
        if (!v->key || !v->hash ||
            hex_parse(v->hash, strlen(v->hash), out[i].hash, sizeof out[i].hash))
            continue; // said already
        int line = doc_key_line(v->node, "key");
        check_key_region(b, r, v->key, line);
        say_once(b, names->revoked, v->key, line, "revoked key");
        if ((v->seq == 0) != !memcmp(out[i].hash, zero, sizeof zero))
            options_error(b->ctx, doc_key_line(v->node, "hash"),
                          "identities.%s.revoked: the hash of seq 0, and of no other, is 64 zeros",
                          r->name);
    }
    r->revoked = out;
    r->n_revoked = s->n_revoked;
}

static void build_seal(struct topology_build *b, struct region *r, const struct spec_seal *s,
                       const struct doc_node *identity)
{
    static const uint8_t zero[SHA256_BYTES];
    const struct doc_node *map = doc_get(identity, "sealed");
    if (!map || map->kind != DOC_MAP)
        return;
    struct feed_seal *out = build_array(b, 1, sizeof *out);
    if (!out)
        return;
    *out = (struct feed_seal){.epoch = s->epoch, .seq = s->seq};
    if (!s->hash || !doc_get(map, "epoch") || !doc_get(map, "seq"))
        options_error(b->ctx, map->key_line, "identities.%s.sealed: epoch, seq and hash are needed",
                      r->name);
    else if (hex_parse(s->hash, strlen(s->hash), out->hash, sizeof out->hash))
        return; // said already
    else if ((s->seq == 0) != !memcmp(out->hash, zero, sizeof zero))
        options_error(b->ctx, map->key_line,
                      "identities.%s.sealed: the hash of seq 0, and of no other, is 64 zeros",
                      r->name);
    r->sealed = out;
}

static void build_identity(struct topology_build *b, struct region *r, const struct doc_node *v,
                           struct names *names)
{
    struct spec_identity s = {0};
    char path[64];
    snprintf(path, sizeof path, "identities.%s", r->name);
    options_apply(b->ctx, &spec_identity_set, v, path, &s);
    const char **prints = build_array(b, s.n_fingerprints, sizeof *prints);
    for (size_t i = 0; prints && i < s.n_fingerprints; i++) {
        prints[i] = build_string(b, s.fingerprints[i]);
        if (*prints[i])
            say_once(b, names->fingerprints, prints[i], doc_item_line(v, "peer_fingerprints", i),
                     "fingerprint");
    }
    r->peer_fingerprints = prints;
    r->n_peer_fingerprints = s.n_fingerprints;
    r->token_keys = build_keys(b, r, s.token_keys, s.n_token_keys, &token_kind, names);
    r->n_token_keys = s.n_token_keys;
    r->feed_keys = build_keys(b, r, s.feed_keys, s.n_feed_keys, &feed_kind, names);
    r->n_feed_keys = s.n_feed_keys;
    r->control_keys = build_keys(b, r, s.control_keys, s.n_control_keys, &control_kind, names);
    r->n_control_keys = s.n_control_keys;
    build_revoked(b, r, &s, names);
    build_seal(b, r, &s.sealed, v);
}

void topology_build_identities(struct topology_build *b)
{
    const struct doc_node *map = b->s->identities;
    if (!map)
        return;
    if (map->kind != DOC_MAP) {
        options_error(b->ctx, map->key_line, "identities: expected a mapping by region, found %s",
                      doc_kind_name(map));
        return;
    }
    struct names names = {htab_new(), htab_new(), htab_new()};
    if (!names.fingerprints || !names.keys || !names.revoked)
        b->ctx->nomem = true;
    for (const struct doc_node *v = map->child; v && !b->ctx->nomem; v = v->next) {
        int r = build_find_region(b, v->key_line, "identities", v->key);
        if (r >= 0)
            // still ours: frozen after the build
            build_identity(b, (struct region *)&b->t->regions[r], v, &names);
    }
    htab_free(names.fingerprints);
    htab_free(names.keys);
    htab_free(names.revoked);
}

const struct feed_revocation *topology_revocation(const struct topology *t, const char *kid)
{
    for (size_t i = 0; i < t->n_regions; i++)
        for (size_t k = 0; k < t->regions[i].n_revoked; k++)
            if (!strcmp(t->regions[i].revoked[k].key, kid))
                return &t->regions[i].revoked[k];
    return NULL;
}

// The same, or a stricter one.
static bool revocation_kept(const struct feed_revocation *was, const struct feed_revocation *is)
{
    if (!is || is->epoch > was->epoch)
        return false;
    if (is->epoch < was->epoch || is->seq < was->seq)
        return true;
    return is->seq == was->seq && !memcmp(is->hash, was->hash, sizeof was->hash);
}

bool topology_revocations_may_follow(const struct topology *before, const struct topology *next,
                                     char **out_why)
{
    for (size_t i = 0; i < before->n_regions; i++)
        for (size_t k = 0; k < before->regions[i].n_revoked; k++) {
            const struct feed_revocation *was = &before->regions[i].revoked[k];
            if (!topology_region(next, before->regions[i].name) ||
                revocation_kept(was, topology_revocation(next, was->key)))
                continue;
            *out_why = mem_printf("%s: identities.%s.revoked: %s was revoked after epoch %llu, seq "
                                  "%llu: that is final; "
                                  "put it back as it was (an earlier place would be taken)",
                                  next->source, before->regions[i].name, was->key,
                                  (unsigned long long)was->epoch, (unsigned long long)was->seq);
            return false;
        }
    return true;
}

// --- seals ---

region_set topology_sealed(const struct topology *t)
{
    region_set set = 0;
    for (size_t i = 0; i < t->n_regions; i++)
        if (t->regions[i].sealed)
            set |= (region_set)1 << t->regions[i].index;
    return set;
}

size_t topology_n_living(const struct topology *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n_regions; i++)
        n += !t->regions[i].sealed;
    return n;
}

static bool seal_kept(const struct feed_seal *was, const struct feed_seal *is)
{
    if (is->epoch != was->epoch)
        return is->epoch > was->epoch;
    if (is->seq != was->seq)
        return is->seq > was->seq;
    return !memcmp(is->hash, was->hash, sizeof was->hash);
}

// Other keys go on: those of before verify what they signed, and nothing more.
static bool keys_ended(const struct region *was, const struct topology *next)
{
    for (size_t i = 0; i < was->n_feed_keys; i++) {
        const struct public_key *is = topology_feed_key(next, was->feed_keys[i].id);
        if (!is || (!is->retired_s && !topology_revocation(next, is->id)))
            return false;
    }
    return true;
}

bool topology_seals_may_follow(const struct topology *before, const struct topology *next,
                               char **out_why)
{
    for (size_t i = 0; i < before->n_regions; i++) {
        const struct region *was = &before->regions[i], *is = topology_region(next, was->name);
        if (!was->sealed || (is && is->sealed && seal_kept(was->sealed, is->sealed)))
            continue;
        if (is && !is->sealed && keys_ended(was, next))
            continue;
        *out_why = mem_printf(
            "%s: identities.%s.sealed: the region was forgotten, and counts up to epoch %llu, seq "
            "%llu: that can only be raised, and the region stays listed; `meridian region replace "
            "%s` uses its name again",
            next->source, was->name, (unsigned long long)was->sealed->epoch,
            (unsigned long long)was->sealed->seq, was->name);
        return false;
    }
    return true;
}
