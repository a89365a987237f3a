// SPDX-License-Identifier: Apache-2.0
// DNS types as data (RFC 1035 section 3.2.2 and later; the IANA registry "DNS parameters"): one table
// that every part reads which has to name a type, to count it, or to say which types a name has.
//
//   dns_type_name(DNS_AAAA)                          // "AAAA"; NULL for a type that has no row
//   dns_type_set s = dns_type_bit(DNS_A) | dns_type_bit(DNS_NSEC);
//   size_t n = dns_type_list(s, list);               // their numbers, ascending
//
// A new type is one value of the enum and one row of the table. Pure; any thread.
#ifndef MERIDIAN_DNS_TYPES_H
#define MERIDIAN_DNS_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dns_type {
    DNS_A = 1,
    DNS_NS = 2,
    DNS_CNAME = 5,
    DNS_SOA = 6,
    DNS_PTR = 12,
    DNS_MX = 15,
    DNS_TXT = 16,
    DNS_AAAA = 28,
    DNS_SRV = 33,
    DNS_OPT = 41,
    DNS_DS = 43,
    DNS_RRSIG = 46,
    DNS_NSEC = 47,
    DNS_DNSKEY = 48,
    DNS_TLSA = 52,
    DNS_CDS = 59,
    DNS_CDNSKEY = 60,
    DNS_SVCB = 64,
    DNS_HTTPS = 65,
    DNS_NXNAME = 128,
    DNS_TKEY = 249,
    DNS_TSIG = 250,
    DNS_IXFR = 251,
    DNS_AXFR = 252,
    DNS_ANY = 255,
    DNS_CAA = 257
};

struct dns_type_row {
    uint16_t type;
    const char *name;
    // Queries for it have a counter of their own; others are counted together.
    bool counted;
    // No query may ask for it (RFC 6891, 8945, 2930, 9824, 6895).
    bool never_asked;
};

#define DNS_N_TYPES 26
extern const struct dns_type_row dns_types[DNS_N_TYPES]; // ascending by number

// The row of a type; -1: it has none.
int dns_type_row(uint16_t type);
const char *dns_type_name(uint16_t type);
bool dns_type_never_asked(uint16_t type);

typedef uint32_t dns_type_set; // bit i: dns_types[i]
_Static_assert(DNS_N_TYPES <= 8 * sizeof(dns_type_set), "a set has a bit for each row");

// The set of one type; 0 for a type that has no row.
dns_type_set dns_type_bit(uint16_t type);
// Their numbers, ascending. Returns how many.
size_t dns_type_list(dns_type_set set, uint16_t out[DNS_N_TYPES]);

#endif
