// SPDX-License-Identifier: Apache-2.0
// resolver/proxied: the header of the PROXY protocol. That of a real proxy, whole, in pieces, and
// every kind that is not taken.
#include "resolver/packet/proxied.h"

#include "base/err.h"
#include "tests/support/check_main.h"

#include <string.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define IPV4 SIGNATURE "\x21\x12\0\14\xc0\0\2\11\177\0\0\1\x30\x39\0\65"
#define IPV6                                                                                  \
    SIGNATURE                                                                                 \
    "\x21\x21\0\51" /* with a type-length-value of 5 octets */                                \
    "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\2\x30\x39\0\65" \
    "\4\0\2\0\0"

static int parse(const char *p, size_t n, struct proxied *out)
{
    memset(out, 0xa5, sizeof *out);
    return proxied_parse((const uint8_t *)p, n, out);
}

static void expect_client(const char *p, size_t n, const char *client)
{
    struct proxied who;
    char text[ENDPOINT_TEXT_SIZE], query[512] = {0};
    memcpy(query, p, n);
    ck_assert_int_eq(parse(query, sizeof query, &who), 0); // with a query behind it
    ck_assert_uint_eq(who.n, n);
    ck_assert(!who.local);
    ck_assert_str_eq(endpoint_format(&who.client, text), client);
    for (size_t i = 0; i < n; i++) {
        ck_assert(proxied_begins((const uint8_t *)p, i));
        ck_assert_int_eq(parse(p, i, &who), ERR_TRUNC);
    }
}

START_TEST(clients_are_named)
{
    expect_client(IPV4, sizeof IPV4 - 1, "192.0.2.9:12345");
    expect_client(IPV6, sizeof IPV6 - 1, "[2001:db8::1]:12345");
}
END_TEST

// IPv4 in IPv6 is the IPv4 client, so that no view is missed for the form of its address.
START_TEST(a_mapped_address_is_ipv4)
{
    char header[] = IPV6;
    memset(header + 16, 0, 10);
    memcpy(header + 26, "\xff\xff\12\1\2\3", 6);
    expect_client(header, sizeof header - 1, "10.1.2.3:12345");
}
END_TEST

START_TEST(a_proxy_asks_for_itself)
{
    struct proxied who;
    char header[] = IPV4;
    header[12] = 0x20;
    ck_assert_int_eq(parse(header, sizeof header - 1, &who), 0);
    ck_assert(who.local && who.n == sizeof header - 1);
    ck_assert_int_eq(parse(SIGNATURE "\x20\0\0\0", 16, &who), 0);
    ck_assert(who.local && who.n == 16);
}
END_TEST

START_TEST(what_is_not_taken)
{
    static const struct {
        size_t at;
        uint8_t to;
    } rows[] = {
        {0, 'x'},   // no signature
        {11, 0},    // nor here
        {12, 0x11}, // version 1
        {12, 0x22}, // another command
        {12, 0x31}, // version 3
        {13, 0},    // a client without an address
        {13, 0x31}, // of a unix socket
        {14, 4},    // longer than any that we take
        {15, 11},   // shorter than its addresses
    };
    struct proxied who;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char header[] = IPV4;
        header[rows[i].at] = (char)rows[i].to;
        ck_assert_msg(parse(header, sizeof header - 1, &who) == ERR_PROTO, "row %zu", i);
        ck_assert_uint_eq(who.n, 0xa5a5a5a5a5a5a5a5u); // untouched
    }
    char header[] = IPV6;
    header[15] = 35;
    ck_assert_int_eq(parse(header, sizeof header - 1, &who), ERR_PROTO);
}
END_TEST

CHECK_MAIN("resolver/proxied", clients_are_named, a_mapped_address_is_ipv4, a_proxy_asks_for_itself,
           what_is_not_taken)
