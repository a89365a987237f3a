// SPDX-License-Identifier: Apache-2.0
// One RRset and the octets that a signature of it covers: RRSIG RDATA without the signature, then
// every record in canonical form and order (RFC 4034 sections 3.1.8.1 and 6). Pure; any thread;
// allocates nothing.
//
//   struct rrset s = {.owner = w, .owner_n = n, .type = DNS_A, .ttl = 60, .rdata = list, .n = 2};
//   struct rrsig_times times = rrsig_times(RRSIG_SHORT, &s, now_s);
//   size_t n = rrset_to_sign(&s, &signer, times, out, sizeof out);     // 0: larger than that
#ifndef MERIDIAN_RESOLVER_ZONE_RRSET_H
#define MERIDIAN_RESOLVER_ZONE_RRSET_H

#include "dns/types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RRSET_MAX 128       // records of an RRset that is signed
#define RRSIG_HEAD_BYTES 18 // RRSIG RDATA before the signer's name

struct rdata {
    // canonical: names lower case, not compressed
    const uint8_t *p;
    uint16_t n;
};

struct rrset {
    // wire form, lower case
    const uint8_t *owner;
    size_t owner_n;
    uint16_t type;
    uint32_t ttl;
    // sorted by rrset_sort
    struct rdata *rdata;
    size_t n;
};

struct rrsig_signer {
    uint8_t algorithm;
    uint16_t tag;
    const uint8_t *apex;
    size_t apex_n;
};

struct rrsig_times { // seconds; the low 32 bits are what goes on the wire (RFC 1982)
    int64_t inception, expiration;
    // of the window they belong to
    int64_t period;
    // the window is in its first half: what was made for the one before still does
    bool young;
};

// How long signatures live. Their times are those of fixed windows, shifted for each owner so that
// not all end at once, and the same on all resolvers. They begin an hour before their window: a
// validator's clock may be that much behind (and a resolver's own that much ahead).
enum rrsig_life {
    RRSIG_SHORT, // 40 to 60 minutes from now: global names and denials
    RRSIG_LONG,  // 3 to 4 days
    // fe.D: 21 to 28 days, made anew every 7: a copy holds until its SOA expires (14). Not shifted
    RRSIG_ZONE
};

struct rrsig_times rrsig_times(enum rrsig_life life, const uint8_t *owner, size_t n, int64_t now_s);
struct rrsig_times rrsig_times_before(struct rrsig_times t); // of the window before

void rrset_sort(struct rrset *s); // RFC 4034 section 6.3
size_t rrset_to_sign(const struct rrset *s, const struct rrsig_signer *by, struct rrsig_times t,
                     uint8_t *out, size_t cap);
// The same octets for other times.
void rrset_retime(uint8_t *to_sign, struct rrsig_times t);
size_t name_labels(const uint8_t *name, size_t n); // without the root
// its first label is an asterisk alone (RFC 4592 section 2.1.1)
bool name_is_wildcard(const uint8_t *name, size_t n);
// Lower case, in place or from `from`.
void name_lower(uint8_t *out, const uint8_t *from, size_t n);

// NSEC RDATA (RFC 4034 section 4.1): next owner and the types. Returns its length, 0 when cap leaves
// no room for the largest bitmap.
size_t nsec_rdata(const uint8_t *next, size_t next_n, dns_type_set types, uint8_t *out, size_t cap);
// The name right after this one, as far as a zone of ours can tell (RFC 4470 section 3.1, 9824):
// \000 in front, or when that would be too long, the leftmost label made greater. 0: there is none.
size_t nsec_next_name(const uint8_t *name, size_t n, uint8_t out[256]);

#endif
