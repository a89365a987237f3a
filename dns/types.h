// SPDX-License-Identifier: Apache-2.0
// DNS types as data (RFC 1035 section 3.2.2 and later; the IANA registry "DNS parameters"): one table
// that every part reads which has to name a type, to count it, or to say which types a name has.
//
//   dns_type_name(DNS_AAAA)                          // "AAAA"; NULL for a type that has no row
//   dns_type_set s = dns_type_bit(DNS_A) | dns_type_bit(DNS_NSEC);
//   size_t n = dns_type_list(s, list);               // their numbers, ascending
//
// A new type is one row of DNS_TYPES. Pure; any thread.
#ifndef MERIDIAN_DNS_TYPES_H
#define MERIDIAN_DNS_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The table: X(type, number, what), ascending by number. `what` is one of
//   COUNTED  queries for it have a counter of their own; others are counted together
//   NEVER    no query may ask for it (RFC 6891, 8945, 2930, 9824, 6895)
//   PLAIN    neither
#define DNS_TYPES(X)       \
    X(A, 1, COUNTED)       \
    X(NS, 2, COUNTED)      \
    X(CNAME, 5, COUNTED)   \
    X(SOA, 6, COUNTED)     \
    X(PTR, 12, COUNTED)    \
    X(MX, 15, COUNTED)     \
    X(TXT, 16, COUNTED)    \
    X(AAAA, 28, COUNTED)   \
    X(SRV, 33, COUNTED)    \
    X(OPT, 41, NEVER)      \
    X(DS, 43, COUNTED)     \
    X(RRSIG, 46, PLAIN)    \
    X(NSEC, 47, PLAIN)     \
    X(DNSKEY, 48, COUNTED) \
    X(TLSA, 52, COUNTED)   \
    X(CDS, 59, PLAIN)      \
    X(CDNSKEY, 60, PLAIN)  \
    X(SVCB, 64, COUNTED)   \
    X(HTTPS, 65, COUNTED)  \
    X(NXNAME, 128, NEVER)  \
    X(TKEY, 249, NEVER)    \
    X(TSIG, 250, NEVER)    \
    X(IXFR, 251, COUNTED)  \
    X(AXFR, 252, COUNTED)  \
    X(ANY, 255, COUNTED)   \
    X(CAA, 257, COUNTED)

enum dns_type {
#define DNS_TYPE_VALUE(type, number, what) DNS_##type = number,
    DNS_TYPES(DNS_TYPE_VALUE)
#undef DNS_TYPE_VALUE
};

// The rows, by place.
enum dns_type_place {
#define DNS_TYPE_PLACE(type, number, what) DNS_ROW_##type,
    DNS_TYPES(DNS_TYPE_PLACE)
#undef DNS_TYPE_PLACE
        DNS_N_TYPES
};

struct dns_type_row {
    uint16_t type;
    const char *name;
    // Queries for it have a counter of their own; others are counted together.
    bool counted;
    // No query may ask for it (RFC 6891, 8945, 2930, 9824, 6895).
    bool never_asked;
};

extern const struct dns_type_row dns_types[DNS_N_TYPES]; // ascending by number

// The row of a type; -1: it has none.
int dns_type_row(uint16_t type);
const char *dns_type_name(uint16_t type);
bool dns_type_is_meta(uint16_t type);

// May no query ask for it? Most queries are below the lowest of these types.
static inline bool dns_type_never_asked(uint16_t type)
{
    if (type && type < DNS_OPT)
        return false;
    return dns_type_is_meta(type);
}

typedef uint32_t dns_type_set; // bit i: dns_types[i]
_Static_assert(DNS_N_TYPES <= 8 * sizeof(dns_type_set), "a set has a bit for each row");

// The set of one type; 0 for a type that has no row.
dns_type_set dns_type_bit(uint16_t type);
// Their numbers, ascending. Returns how many.
size_t dns_type_list(dns_type_set set, uint16_t out[DNS_N_TYPES]);

#endif
