// SPDX-License-Identifier: Apache-2.0
// NSEC records for answers; see denial.h.
#include "resolver/answer/denial.h"

#include "resolver/zone/rrset.h"

#include <string.h>

size_t denial_main(const struct answer *a, const uint8_t *name, size_t n, bool absent,
                   uint8_t out[DENIAL_RDATA_MAX])
{
    uint8_t next[256];
    dns_type_set types = 0;
    size_t next_n = nsec_next_name(name, n, next);
    if (!next_n)
        return 0;
    if (absent)
        types = dns_type_bit(DNS_NXNAME);
    else if (zone_cut_of(a->t, name, n) != ZONE_MAIN)
        types = dns_type_bit(DNS_NS); // a child's apex, of which D has the delegation only
    else
        name_types(a, name, n, &types);
    types |= dns_type_bit(DNS_RRSIG) | dns_type_bit(DNS_NSEC);
    return nsec_rdata(next, next_n, types, out, DENIAL_RDATA_MAX);
}

size_t denial_of_wildcard(const uint8_t *name, size_t n, uint8_t out_owner[DNS_NAME_MAX],
                          uint8_t out[DENIAL_RDATA_MAX])
{
    uint8_t next[DNS_NAME_MAX];
    memcpy(next, name, n);
    next[1] = '*' + 1;
    memcpy(out_owner, name, n);
    out_owner[1] = '*' - 1;
    return nsec_rdata(next, n, dns_type_bit(DNS_RRSIG) | dns_type_bit(DNS_NSEC), out,
                      DENIAL_RDATA_MAX);
}

// ---- fe.D ----

static const struct zone_rr *nsec_at(const struct zone *z, const uint8_t *name, size_t n)
{
    const struct zone_rr *at = zone_at_or_before(z, name, n), *nsec;
    if (at && zone_rrset(z, at->owner, at->owner_n, DNS_NSEC, &nsec) == 1)
        return nsec;
    return NULL;
}

// Octets at the end that two names share, in whole labels.
static size_t common(const uint8_t *a, size_t a_n, const uint8_t *b, size_t b_n)
{
    for (size_t at = 0; at < a_n; at += 1u + a[at]) {
        size_t left = a_n - at;
        if (left <= b_n && !memcmp(a + at, b + b_n - left, left)) {
            for (size_t k = 0; k < b_n; k += 1u + b[k])
                if (k == b_n - left)
                    return left;
        }
        if (!a[at])
            break;
    }
    return 0;
}

static size_t rdata_name_n(const struct zone_rr *nsec)
{
    size_t at = 0;
    while (at < nsec->rdata_n && nsec->rdata[at])
        at += 1u + nsec->rdata[at];
    return at + 1;
}

size_t denial_zone(const struct zone *z, const uint8_t *name, size_t n, uint16_t type, bool absent,
                   const struct zone_rr *out[2])
{
    const struct zone_rr *first = nsec_at(z, name, n), *set;
    if (!first)
        return 0;
    bool exact = first->owner_n == n && !memcmp(first->owner, name, n);
    if ((absent && exact) || (exact && zone_rrset(z, name, n, type, &set)))
        return 0;
    out[0] = first;
    if (!absent)
        return 1; // at the name; or over an empty one, whose child comes next
    size_t by_owner = common(name, n, first->owner, first->owner_n);
    size_t by_next = common(name, n, first->rdata, rdata_name_n(first));
    size_t encloser = by_next;
    if (by_owner > by_next)
        encloser = by_owner;
    uint8_t wildcard[DNS_NAME_MAX];
    if (encloser + 2 > sizeof wildcard)
        return 1; // no wildcard could stand there
    memcpy(wildcard, "\1*", 2);
    memcpy(wildcard + 2, name + n - encloser, encloser);
    out[1] = nsec_at(z, wildcard, encloser + 2);
    if (out[1] && out[1] != first)
        return 2;
    return 1;
}
