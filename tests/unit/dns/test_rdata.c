// SPDX-License-Identifier: Apache-2.0
// dns/rdata, dns/name: wire form and text of each type, at the bounds.
#include "dns/rdata.h"

#include "base/mem.h"
#include "tests/support/check_main.h"

#include <string.h>

static void check_text(enum dns_type type, const void *rdata, size_t n, const char *want)
{
    struct buf b AUTO_BUF;
    buf_init(&b, 0);
    rdata_text(type, rdata, n, &b);
    ck_assert_str_eq(buf_cstr(&b), want);
}

START_TEST(addresses)
{
    check_text(DNS_A, "\xc0\x00\x02\x07", 4, "192.0.2.7");
    check_text(DNS_AAAA, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16, "2001:db8::1");
}
END_TEST

START_TEST(mail)
{
    uint8_t rdata[RDATA_MX_MAX];
    size_t n = rdata_mx(10, "mx.example", rdata);
    ck_assert_uint_eq(n, 2 + 12);
    ck_assert_mem_eq(rdata, "\0\012\2mx\7example\0", 14);
    check_text(DNS_MX, rdata, n, "10 mx.example.");
    n = rdata_mx(0, ".", rdata);
    ck_assert_uint_eq(n, 3);
    check_text(DNS_MX, rdata, n, "0 .");
    char longest[300];
    memset(longest, 'a', sizeof longest);
    longest[64] = 0;
    ck_assert_uint_eq(rdata_mx(1, longest, rdata), 0);
    ck_assert_uint_eq(rdata_mx(1, "a..b", rdata), 0);
}
END_TEST

START_TEST(texts)
{
    char text[600];
    uint8_t rdata[RDATA_TXT_MAX(sizeof text)];
    memset(text, 'x', sizeof text);
    ck_assert_uint_eq(rdata_txt(text, 0, rdata), 0);
    ck_assert_uint_eq(rdata_txt(text, 255, rdata), 256);
    size_t n = rdata_txt(text, 256, rdata);
    ck_assert_uint_eq(n, 258);
    ck_assert(rdata[0] == 255 && rdata[256] == 1 && rdata[257] == 'x');
    ck_assert_uint_le(rdata_txt(text, sizeof text, rdata), sizeof rdata);
    n = rdata_txt("a\"\\\x01\xff", 5, rdata);
    check_text(DNS_TXT, rdata, n, "\"a\\\"\\\\\\001\\255\"");
}
END_TEST

START_TEST(authorization)
{
    uint8_t rdata[RDATA_CAA_MAX(32)];
    size_t n = rdata_caa(true, "issue", "ca.example", rdata);
    ck_assert_uint_eq(n, 2 + 5 + 10);
    check_text(DNS_CAA, rdata, n, "128 issue \"ca.example\"");
    n = rdata_caa(false, "iodef", "", rdata);
    check_text(DNS_CAA, rdata, n, "0 iodef \"\"");
}
END_TEST

START_TEST(names)
{
    uint8_t name[DNS_NAME_MAX];
    ck_assert_uint_eq(dns_name_from_text("", name), 1);
    ck_assert_uint_eq(dns_name_from_text("a.b", name), 5);
    ck_assert_mem_eq(name, "\1a\1b\0", 5);
    ck_assert_uint_eq(dns_name_from_mailbox("first.last@b", name), 14);
    ck_assert_mem_eq(name, "\012first.last\1b\0", 14);
    ck_assert_uint_eq(dns_name_from_mailbox("@b", name), 0);
    char text[256];
    for (size_t i = 0; i < 255; i++)
        text[i] = i % 2 ? '.' : 'a';
    text[253] = 0; // 127 labels: 254 octets and the root
    ck_assert_uint_eq(dns_name_from_text(text, name), 255);
    text[253] = '.';
    text[255] = 0;
    ck_assert_uint_eq(dns_name_from_text(text, name), 0);
}
END_TEST

CHECK_MAIN("dns/rdata", addresses, mail, texts, authorization, names)
