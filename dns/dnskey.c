// SPDX-License-Identifier: Apache-2.0
// Public signing keys on the wire; see dnskey.h.
#include "dns/dnskey.h"

#include "base/digest.h"

#include <string.h>
#include <time.h>

#define FLAGS_ZONE 0x0100
#define FLAGS_SEP 0x0001
#define DS_SHA256 2

size_t dnskey_public_bytes(enum dnskey_algorithm algorithm)
{
    if (algorithm == DNSKEY_ECDSAP256)
        return 64;
    if (algorithm == DNSKEY_ED25519)
        return 32;
    return 0;
}

size_t dnskey_rdata(const struct dnskey *k, uint8_t out[DNSKEY_RDATA_MAX])
{
    unsigned flags = FLAGS_ZONE | (k->role == DNSKEY_ZSK ? 0 : FLAGS_SEP);
    out[0] = (uint8_t)(flags >> 8);
    out[1] = (uint8_t)flags;
    out[2] = 3; // the protocol: always
    out[3] = (uint8_t)k->algorithm;
    memcpy(out + 4, k->public, k->public_n);
    return 4u + k->public_n;
}

uint16_t dnskey_tag(const uint8_t *rdata, size_t n)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += i & 1 ? rdata[i] : (uint32_t)rdata[i] << 8;
    return (uint16_t)(sum + (sum >> 16));
}

void dnskey_ds(const struct dnskey *k, const uint8_t *apex, size_t n, uint8_t out[DNSKEY_DS_BYTES])
{
    uint8_t all[255 + DNSKEY_RDATA_MAX];
    if (n > 255)
        n = 255; // no name is longer
    memcpy(all, apex, n);
    size_t n_rdata = dnskey_rdata(k, all + n);
    uint16_t tag = dnskey_tag(all + n, n_rdata);
    out[0] = (uint8_t)(tag >> 8);
    out[1] = (uint8_t)tag;
    out[2] = (uint8_t)k->algorithm;
    out[3] = DS_SHA256;
    sha256(all, n + n_rdata, out + 4);
}

bool dnskey_signs_zone(const struct dnskey *k)
{
    return k->role != DNSKEY_KSK && k->state == DNSKEY_ACTIVE;
}

bool dnskey_signs_keys(const struct dnskey *k)
{
    return k->role != DNSKEY_ZSK;
}

bool dnskey_has_ds(const struct dnskey *k)
{
    return k->role != DNSKEY_ZSK && k->state == DNSKEY_ACTIVE;
}

bool dnskey_id_ok(const char *s)
{
    size_t n = strlen(s);
    return n >= 1 && n <= 64 && s[0] != '-' &&
           strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

int64_t dnskey_time_parse(const char *s)
{
    struct tm tm;
    memset(&tm, 0, sizeof tm);
    const char *end = strptime(s, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (end && !*end)
        return (int64_t)timegm(&tm);
    return -1;
}

const char *dnskey_zone_name(enum dnskey_zone z)
{
    if (z == DNSKEY_ZONE_MAIN)
        return "D";
    return "fe";
}

const char *dnskey_role_name(enum dnskey_role r)
{
    if (r == DNSKEY_KSK)
        return "ksk";
    if (r == DNSKEY_ZSK)
        return "zsk";
    return "csk";
}

const char *dnskey_state_name(enum dnskey_state s)
{
    if (s == DNSKEY_PUBLISHED)
        return "published";
    if (s == DNSKEY_ACTIVE)
        return "active";
    return "retired";
}

const char *dnskey_algorithm_name(enum dnskey_algorithm a)
{
    if (a == DNSKEY_ECDSAP256)
        return "ecdsap256sha256";
    return "ed25519";
}
