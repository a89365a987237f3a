// SPDX-License-Identifier: Apache-2.0
// The table of DNS types; see types.h.
#include "dns/types.h"

// Ascending: NSEC bitmaps are written in this order (RFC 4034 section 4.1.2).
const struct dns_type_row dns_types[DNS_N_TYPES] = {
    {DNS_A, "A", .counted = true},
    {DNS_NS, "NS", .counted = true},
    {DNS_CNAME, "CNAME", .counted = true},
    {DNS_SOA, "SOA", .counted = true},
    {DNS_PTR, "PTR", .counted = true},
    {DNS_MX, "MX", .counted = true},
    {DNS_TXT, "TXT", .counted = true},
    {DNS_AAAA, "AAAA", .counted = true},
    {DNS_SRV, "SRV", .counted = true},
    {DNS_OPT, "OPT", .never_asked = true},
    {DNS_DS, "DS", .counted = true},
    {DNS_RRSIG, "RRSIG"},
    {DNS_NSEC, "NSEC"},
    {DNS_DNSKEY, "DNSKEY", .counted = true},
    {DNS_TLSA, "TLSA", .counted = true},
    {DNS_CDS, "CDS"},
    {DNS_CDNSKEY, "CDNSKEY"},
    {DNS_SVCB, "SVCB", .counted = true},
    {DNS_HTTPS, "HTTPS", .counted = true},
    {DNS_NXNAME, "NXNAME", .never_asked = true},
    {DNS_TKEY, "TKEY", .never_asked = true},
    {DNS_TSIG, "TSIG", .never_asked = true},
    {DNS_IXFR, "IXFR", .counted = true},
    {DNS_AXFR, "AXFR", .counted = true},
    {DNS_ANY, "ANY", .counted = true},
    {DNS_CAA, "CAA", .counted = true},
};

int dns_type_row(uint16_t type)
{
    for (int i = 0; i < DNS_N_TYPES && dns_types[i].type <= type; i++)
        if (dns_types[i].type == type)
            return i;
    return -1;
}

const char *dns_type_name(uint16_t type)
{
    int row = dns_type_row(type);
    if (row < 0)
        return NULL;
    return dns_types[row].name;
}

bool dns_type_never_asked(uint16_t type)
{
    if (!type)
        return true;
    int row = dns_type_row(type);
    return row >= 0 && dns_types[row].never_asked;
}

dns_type_set dns_type_bit(uint16_t type)
{
    int row = dns_type_row(type);
    if (row < 0)
        return 0;
    return (dns_type_set)1 << row;
}

size_t dns_type_list(dns_type_set set, uint16_t out[DNS_N_TYPES])
{
    size_t n = 0;
    for (int i = 0; i < DNS_N_TYPES; i++)
        if (set >> i & 1)
            out[n++] = dns_types[i].type;
    return n;
}
