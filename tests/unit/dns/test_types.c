// SPDX-License-Identifier: Apache-2.0
// dns/types: the table is ascending and complete, and sets give back what was put in.
#include "dns/types.h"

#include "tests/support/check_main.h"

#include <string.h>

START_TEST(rows_ascend_and_are_found)
{
    for (int i = 0; i < DNS_N_TYPES; i++) {
        ck_assert(!i || dns_types[i - 1].type < dns_types[i].type);
        ck_assert_int_eq(dns_type_row(dns_types[i].type), i);
        ck_assert_str_eq(dns_type_name(dns_types[i].type), dns_types[i].name);
        ck_assert(!(dns_types[i].counted && dns_types[i].never_asked));
    }
    const uint16_t unknown[] = {0, 3, 256, 258, 512, 65535};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        ck_assert_int_eq(dns_type_row(unknown[i]), -1);
        ck_assert_ptr_null(dns_type_name(unknown[i]));
        ck_assert_uint_eq(dns_type_bit(unknown[i]), 0);
    }
}
END_TEST

START_TEST(sets_list_their_types_in_order)
{
    uint16_t list[DNS_N_TYPES];
    dns_type_set s = dns_type_bit(DNS_CAA) | dns_type_bit(DNS_A) | dns_type_bit(DNS_NSEC);
    ck_assert_uint_eq(dns_type_list(s, list), 3);
    ck_assert(list[0] == DNS_A && list[1] == DNS_NSEC && list[2] == DNS_CAA);
    ck_assert_uint_eq(dns_type_list(0, list), 0);
    dns_type_set all = 0;
    for (int i = 0; i < DNS_N_TYPES; i++)
        all |= dns_type_bit(dns_types[i].type);
    ck_assert_uint_eq(dns_type_list(all, list), DNS_N_TYPES);
}
END_TEST

START_TEST(questions_that_are_never_asked)
{
    const uint16_t never[] = {0, DNS_OPT, DNS_TKEY, DNS_TSIG, DNS_NXNAME};
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
        ck_assert(dns_type_never_asked(never[i]));
    ck_assert(!dns_type_never_asked(DNS_A) && !dns_type_never_asked(DNS_ANY));
    ck_assert(!dns_type_never_asked(DNS_AXFR) && !dns_type_never_asked(65280));
}
END_TEST

CHECK_MAIN("dns/types", rows_ascend_and_are_found, sets_list_their_types_in_order,
           questions_that_are_never_asked)
