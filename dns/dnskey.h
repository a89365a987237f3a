// SPDX-License-Identifier: Apache-2.0
// A zone's signing keys as the topology states them, and what DNS says of a public key: DNSKEY, DS
// and CDS (RFC 4034 sections 2 and 5, RFC 6605, RFC 8080, RFC 7344). Public halves only: private
// keys are files on the resolvers (certs/dns_keys.h).
//
//   struct dnskey k = t->dnssec.keys[i];
//   uint8_t rdata[DNSKEY_RDATA_MAX];
//   size_t n = dnskey_rdata(&k, rdata);
//
// What a state means (RFC 6781 section 4.1, RFC 7583):
//
//                          a ZSK, or a CSK,   a KSK, or a CSK,   in DS, CDS,
//   state      in DNSKEY   signs the zone     signs DNSKEY       CDNSKEY
//   published  yes         no                 yes                no
//   active     yes         yes                yes                yes
//   retired    yes         no                 yes                no
//
// so a ZSK is rolled by publishing before use, a KSK by two signatures, and the DS is changed in
// between. Pure; any thread; allocates nothing.
#ifndef MERIDIAN_DNS_DNSKEY_H
#define MERIDIAN_DNS_DNSKEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dnskey_zone { DNSKEY_ZONE_MAIN, DNSKEY_ZONE_FRONTEND }; // D, fe.D
enum dnskey_role { DNSKEY_KSK, DNSKEY_ZSK, DNSKEY_CSK };
enum dnskey_algorithm { DNSKEY_ECDSAP256 = 13, DNSKEY_ED25519 = 15 };
enum dnskey_state { DNSKEY_PUBLISHED, DNSKEY_ACTIVE, DNSKEY_RETIRED };

#define DNSKEY_PUBLIC_MAX 64
#define DNSKEY_RDATA_MAX (4 + DNSKEY_PUBLIC_MAX)
#define DNSKEY_DS_BYTES 36     // tag, algorithm, digest type 2, SHA-256
#define DNSKEY_KEYS_MAX 32     // in a topology
#define DNSKEY_SIGNED_MAX 4096 // octets that one signature covers; a larger RRset cannot be signed

struct dnskey {
    // "d-ksk-1a2b3c4d": the private key's file
    const char *id;
    enum dnskey_zone zone;
    enum dnskey_role role;
    enum dnskey_algorithm algorithm;
    enum dnskey_state state;
    // wall clock: when it came into that state
    int64_t since_s;
    uint8_t public[DNSKEY_PUBLIC_MAX];
    uint8_t public_n;
    uint16_t tag;
};

struct dnssec_settings {
    // none: the zones are not signed
    const struct dnskey *keys;
    size_t n_keys;
    // of DNSKEY, CDS and CDNSKEY, seconds
    uint32_t ttl;
};

size_t dnskey_public_bytes(enum dnskey_algorithm algorithm); // 64, 32; 0 for others
size_t dnskey_rdata(const struct dnskey *k, uint8_t out[DNSKEY_RDATA_MAX]);
uint16_t dnskey_tag(const uint8_t *rdata, size_t n); // RFC 4034 appendix B
// `apex` in wire form, lower case.
void dnskey_ds(const struct dnskey *k, const uint8_t *apex, size_t n, uint8_t out[DNSKEY_DS_BYTES]);
bool dnskey_signs_zone(const struct dnskey *k);
bool dnskey_signs_keys(const struct dnskey *k);
bool dnskey_has_ds(const struct dnskey *k);
bool dnskey_id_ok(const char *s);         // it becomes a file's name
int64_t dnskey_time_parse(const char *s); // "2026-11-23T19:58:50Z" to seconds; -1

const char *dnskey_zone_name(enum dnskey_zone z); // "D", "fe"
const char *dnskey_role_name(enum dnskey_role r);
const char *dnskey_state_name(enum dnskey_state s);
const char *dnskey_algorithm_name(enum dnskey_algorithm a);

#endif
