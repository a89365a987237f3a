// SPDX-License-Identifier: Apache-2.0
// The `dnssec` section: public keys of D and fe.D, by role and state. Both zones are signed, or
// neither is; a zone's keys are of one algorithm, and always enough to sign with. See
// topology_priv.h and dnskey.h.
#include "config/topology_priv.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"

#include <string.h>

static bool time_ok(const char *s)
{
    return dnskey_time_parse(s) >= 0;
}

static const struct option_word zone_words[] = {{"D", DNSKEY_ZONE_MAIN},
                                                {"fe", DNSKEY_ZONE_FRONTEND}};
static const struct option_word role_words[] = {
    {"ksk", DNSKEY_KSK}, {"zsk", DNSKEY_ZSK}, {"csk", DNSKEY_CSK}};
static const struct option_word algorithm_words[] = {{"ecdsap256sha256", DNSKEY_ECDSAP256},
                                                     {"ed25519", DNSKEY_ED25519}};
static const struct option_word state_words[] = {
    {"published", DNSKEY_PUBLISHED}, {"active", DNSKEY_ACTIVE}, {"retired", DNSKEY_RETIRED}};

#define KEY_AT(member) OPT_AT(struct spec_dnskey, member)
static const struct option key_rows[] = {
    {"id", OPT_STRING, KEY_AT(id), .required = true, .check = dnskey_id_ok,
     .expect = "a key id: lower-case letters, digits, hyphens",
     .help = "the key's id, the name of its file"},
    {"zone", OPT_ENUM, KEY_AT(zone), .required = true, OPT_WORDS(zone_words),
     .help = "the zone it signs"},
    {"role", OPT_ENUM, KEY_AT(role), .required = true, OPT_WORDS(role_words),
     .help = "whether it signs the keys, the zone, or both"},
    {"algorithm", OPT_ENUM, KEY_AT(algorithm), .required = true, OPT_WORDS(algorithm_words),
     .help = "its algorithm"},
    {"state", OPT_ENUM, KEY_AT(state), .required = true, OPT_WORDS(state_words),
     .help = "where it stands in its life: published, active, retired"},
    {"since", OPT_STRING, KEY_AT(since), .required = true, .check = time_ok,
     .expect = "a time in UTC, as in 2026-11-23T19:58:50Z", .help = "when it came into that state"},
    {"key", OPT_STRING, KEY_AT(key), .required = true, .max = 128,
     .help = "the public key in base64, as in the DNSKEY record"},
};
static const struct option_set key_set = {key_rows, ARRAY_LEN(key_rows), sizeof(struct spec_dnskey),
                                          offsetof(struct spec_dnskey, node)};

static const struct option rows[] = {
    {"ttl", OPT_DURATION, OPT_AT(struct spec_dnssec, ttl), .def = "1h", .min = 1000,
     .max = 86400000, .unit_ms = 1000, .help = "TTL of the keys"},
    {"keys", OPT_LIST, OPT_ARRAY_AT(struct spec_dnssec, keys, n_keys), .max = DNSKEY_KEYS_MAX,
     .sub = &key_set, .help = "public keys; meridian dns keys writes them"},
};
const struct option_set spec_dnssec_set = {rows, ARRAY_LEN(rows), sizeof(struct spec_dnssec),
                                           offsetof(struct spec_dnssec, node)};

static void build_key(struct topology_build *b, const struct spec_dnskey *s, struct dnskey *out)
{
    uint8_t rdata[DNSKEY_RDATA_MAX];
    size_t n = 0;
    *out = (struct dnskey){.id = build_string(b, s->id),
                           .zone = (enum dnskey_zone)s->zone,
                           .role = (enum dnskey_role)s->role,
                           .algorithm = (enum dnskey_algorithm)s->algorithm,
                           .state = (enum dnskey_state)s->state,
                           .since_s = s->since ? dnskey_time_parse(s->since) : 0};
    if (s->key && s->algorithm &&
        (b64_parse(s->key, strlen(s->key), out->public, sizeof out->public, &n) ||
         n != dnskey_public_bytes(out->algorithm))) {
        options_error(b->ctx, doc_key_line(s->node, "key"),
                      "dnssec.keys: expected base64 of a public key of %zu bytes",
                      dnskey_public_bytes(out->algorithm));
        n = 0;
    }
    out->public_n = (uint8_t)n;
    out->tag = dnskey_tag(rdata, dnskey_rdata(out, rdata));
}

// Two keys of one tag in a zone would do, but make every validator try both.
static void check_twice(struct topology_build *b, const struct dnskey *keys, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (!strcmp(keys[k].id, keys[i].id))
            options_error(b->ctx, doc_key_line(b->s->dnssec.keys[i].node, "id"),
                          "dnssec.keys: id %s is given twice", keys[i].id);
        else if (keys[k].zone == keys[i].zone && keys[k].tag == keys[i].tag)
            options_error(b->ctx, doc_key_line(b->s->dnssec.keys[i].node, "key"),
                          "dnssec.keys: %s and %s have the same key tag, %u; make another key",
                          keys[k].id, keys[i].id, keys[i].tag);
    }
}

static void check_zone(struct topology_build *b, const struct dnskey *keys, size_t n,
                       enum dnskey_zone zone)
{
    bool signs_zone = false, has_ds = false;
    int line = 0;
    if (b->s->dnssec.node)
        line = b->s->dnssec.node->key_line;
    const struct dnskey *first = NULL;
    for (size_t i = 0; i < n; i++) {
        if (keys[i].zone != zone)
            continue;
        if (!first)
            first = &keys[i];
        signs_zone |= dnskey_signs_zone(&keys[i]);
        has_ds |= dnskey_has_ds(&keys[i]);
        if (keys[i].algorithm != first->algorithm)
            options_error(b->ctx, doc_key_line(b->s->dnssec.keys[i].node, "algorithm"),
                          "dnssec.keys: %s and %s of zone %s have different algorithms; a zone has "
                          "one, and changes it "
                          "by going unsigned in between",
                          first->id, keys[i].id, dnskey_zone_name(zone));
    }
    if (!signs_zone)
        options_error(b->ctx, line, "dnssec.keys: zone %s has no active zsk or csk to sign it",
                      dnskey_zone_name(zone));
    else if (!has_ds)
        options_error(b->ctx, line,
                      "dnssec.keys: zone %s has no active ksk or csk to sign its keys",
                      dnskey_zone_name(zone));
}

#define SIGNED_HEAD 18    // of what is signed, before the zone's name (RFC 4034 section 3.1)
#define SIGNED_RR_HEAD 10 // of each record, after its owner

// What could not be signed could not be answered with DNSSEC, and in fe.D would keep the whole zone
// from being signed.
static void check_statics(struct topology_build *b)
{
    size_t domain = strlen(b->t->domain) + 2;
    for (size_t i = 0; i < b->t->n_statics; i++) {
        const struct static_name *s = &b->t->statics[i];
        size_t owner = s->labels_n + domain, n = 0;
        for (size_t k = 0; k < s->n_records; k++) {
            bool another = k && s->records[k].type != s->records[k - 1].type;
            n = (k && !another ? n : SIGNED_HEAD + owner) + owner + SIGNED_RR_HEAD +
                s->records[k].rdata_n;
            if (n <= DNSKEY_SIGNED_MAX)
                continue;
            options_error(
                b->ctx, b->s->apex.node ? b->s->apex.node->key_line : 0,
                "apex: records of type %u at %s take more than the %d bytes that can be signed",
                s->records[k].type, s->labels_n ? "a challenge" : "the domain", DNSKEY_SIGNED_MAX);
            break;
        }
    }
}

void topology_build_dnssec(struct topology_build *b)
{
    const struct spec_dnssec *s = &b->s->dnssec;
    struct dnskey *keys = build_array(b, s->n_keys, sizeof *keys);
    b->t->dnssec.ttl = s->ttl;
    for (size_t i = 0; keys && i < s->n_keys; i++) {
        build_key(b, &s->keys[i], &keys[i]);
        if (!b->ctx->n_errors)
            check_twice(b, keys, i);
    }
    if (!keys || !s->n_keys)
        return;
    if (!b->ctx->n_errors) {
        check_zone(b, keys, s->n_keys, DNSKEY_ZONE_MAIN);
        check_zone(b, keys, s->n_keys, DNSKEY_ZONE_FRONTEND);
        check_statics(b);
    }
    b->t->dnssec.keys = keys;
    b->t->dnssec.n_keys = s->n_keys;
}
