// SPDX-License-Identifier: Apache-2.0
// The table of DNS types; see types.h.
#include "dns/types.h"

enum what { PLAIN, COUNTED, NEVER };

// NSEC bitmaps are written in this order (RFC 4034 section 4.1.2).
const struct dns_type_row dns_types[DNS_N_TYPES] = {
#define ROW(type, number, what) {number, #type, (what) == COUNTED, (what) == NEVER},
    DNS_TYPES(ROW)
#undef ROW
};

int dns_type_row(uint16_t type)
{
    switch (type) {
#define CASE(type, number, what) \
    case number:                 \
        return DNS_ROW_##type;
        DNS_TYPES(CASE)
#undef CASE
    default:
        return -1;
    }
}

const char *dns_type_name(uint16_t type)
{
    int row = dns_type_row(type);
    if (row < 0)
        return NULL;
    return dns_types[row].name;
}

bool dns_type_is_meta(uint16_t type)
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
