// SPDX-License-Identifier: Apache-2.0
// base/addr: one form for both families, strict texts, prefixes.
#include "base/addr.h"

#include "base/err.h"
#include "base/mem.h"
#include "tests/support/check_main.h"

#include <string.h>

static struct ip ip_of(const char *text)
{
    struct ip ip;
    ck_assert_msg(ip_parse(text, &ip) == 0, "%s", text);
    return ip;
}

static struct cidr cidr_of(const char *text)
{
    struct cidr c;
    ck_assert_msg(cidr_parse(text, &c) == 0, "%s", text);
    return c;
}

START_TEST(addresses_go_both_ways)
{
    static const char *const same[] = {"0.0.0.0", "192.0.2.1", "255.255.255.255",
                                       "::",      "::1",       "2001:db8::1"};
    char buf[IP_TEXT_SIZE];
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        struct ip ip = ip_of(same[i]);
        ck_assert_str_eq(ip_format(&ip, buf), same[i]);
        ck_assert_int_eq(ip_is_v4(&ip), strchr(same[i], ':') == NULL);
    }
    struct ip mapped = ip_of("::ffff:192.0.2.1"), v4 = ip_of("192.0.2.1");
    ck_assert(ip_equal(&mapped, &v4));
}
END_TEST

START_TEST(bad_addresses_are_refused_and_out_is_untouched)
{
    static const char *const bad[] = {"",         "1.2.3",    "1.2.3.4.5", "1.2.3.256",
                                      "01.2.3.4", " 1.2.3.4", "1.2.3.4 ",  "fe80::1%lo",
                                      "[::1]",    ":::",      "g::1",      "1.2.3.4/8"};
    struct ip ip;
    memset(&ip, 0x55, sizeof ip);
    struct ip before = ip;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_msg(ip_parse(bad[i], &ip) == ERR_INVAL, "'%s' was taken", bad[i]);
        ck_assert_mem_eq(&ip, &before, sizeof ip);
    }
}
END_TEST

START_TEST(prefixes_are_strict)
{
    static const char *const good[] = {"10.0.0.0/8",    "0.0.0.0/0", "192.0.2.1/32",
                                       "2001:db8::/32", "::/0",      "::1/128"};
    static const char *const bad[] = {"10.0.0.1/8",   "10.0.0.0/33",        "10.0.0.0/",
                                      "10.0.0.0/08",  "10.0.0.0/-1",        "10.0.0.0/ 8",
                                      "/8",           "2001:db8::1/32",     "::/129",
                                      "10.0.0.0/8/8", "10.0.0.0/4294967304"};
    char buf[CIDR_TEXT_SIZE];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct cidr c = cidr_of(good[i]);
        ck_assert_str_eq(cidr_format(&c, buf), good[i]);
    }
    struct cidr c = cidr_of("192.0.2.7");
    ck_assert_str_eq(cidr_format(&c, buf), "192.0.2.7/32");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(cidr_parse(bad[i], &c) == ERR_INVAL, "'%s' was taken", bad[i]);
}
END_TEST

START_TEST(prefixes_contain_and_overlap)
{
    static const struct {
        const char *c, *ip;
        int in;
    } t[] = {{"10.0.0.0/8", "10.255.0.1", 1},
             {"10.0.0.0/8", "11.0.0.0", 0},
             {"10.8.0.0/13", "10.15.255.255", 1},
             {"10.8.0.0/13", "10.16.0.0", 0},
             {"0.0.0.0/0", "203.0.113.1", 1},
             {"0.0.0.0/0", "2001:db8::1", 0},
             {"2001:db8::/33", "2001:db8:7fff::1", 1},
             {"2001:db8::/33", "2001:db8:8000::1", 0},
             {"::1", "::1", 1},
             {"192.0.2.1", "192.0.2.2", 0}};
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct cidr c = cidr_of(t[i].c);
        struct ip ip = ip_of(t[i].ip);
        ck_assert_msg(cidr_contains(&c, &ip) == (t[i].in != 0), "%s in %s", t[i].ip, t[i].c);
    }
    struct cidr wide = cidr_of("10.0.0.0/8"), inner = cidr_of("10.9.0.0/16"),
                other = cidr_of("172.16.0.0/12");
    ck_assert(cidr_overlaps(&wide, &inner) && cidr_overlaps(&inner, &wide) &&
              cidr_overlaps(&wide, &wide));
    ck_assert(!cidr_overlaps(&wide, &other) && !cidr_overlaps(&other, &inner));
}
END_TEST

START_TEST(endpoints_and_sockaddrs_go_both_ways)
{
    static const struct {
        const char *in, *out;
    } t[] = {{"1.2.3.4:53", "1.2.3.4:53"},
             {"1.2.3.4", "1.2.3.4:9"},
             {"[::1]:443", "[::1]:443"},
             {"[::1]", "[::1]:9"},
             {"::1", "[::1]:9"}};
    static const char *const bad[] = {"1.2.3.4:", "1.2.3.4:0",   "1.2.3.4:65536", "[::1",
                                      "[::1]x",   "1.2.3.4:053", ":53",           "localhost:53",
                                      "[]:53",    "1.2.3.4:+5"};
    char buf[ENDPOINT_TEXT_SIZE];
    struct endpoint e, back;
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        ck_assert_int_eq(endpoint_parse(t[i].in, 9, &e), 0);
        ck_assert_str_eq(endpoint_format(&e, buf), t[i].out);
        struct sockaddr_storage ss;
        socklen_t n = endpoint_to_sockaddr(&e, &ss);
        ck_assert_int_eq(ss.ss_family, ip_is_v4(&e.ip) ? AF_INET : AF_INET6);
        ck_assert_int_eq(endpoint_from_sockaddr((struct sockaddr *)&ss, n, &back), 0);
        ck_assert(ip_equal(&e.ip, &back.ip) && e.port == back.port);
        ck_assert_int_eq(endpoint_from_sockaddr((struct sockaddr *)&ss, n - 1, &back), ERR_INVAL);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(endpoint_parse(bad[i], 9, &e) == ERR_INVAL, "'%s' was taken", bad[i]);
}
END_TEST

START_TEST(sets_are_sorted_without_what_another_holds)
{
    static const char *const given[] = {"192.0.2.0/24", "10.1.0.0/16",  "fd00::/8", "10.0.0.0/8",
                                        "10.0.0.0/9",   "192.0.2.0/24", "fd00::1"};
    static const struct {
        const char *ip;
        bool in;
    } rows[] = {{"10.0.0.0", true},  {"10.255.255.255", true}, {"9.255.255.255", false},
                {"11.0.0.0", false}, {"192.0.2.255", true},    {"192.0.3.0", false},
                {"fd00::1", true},   {"fdff::", true},         {"fcff:ffff::", false},
                {"::", false},       {"ffff::", false}};
    struct cidr list[ARRAY_LEN(given)];
    struct ip ip;
    for (size_t i = 0; i < ARRAY_LEN(given); i++)
        ck_assert_int_eq(cidr_parse(given[i], &list[i]), 0);
    size_t n = cidr_set_make(list, ARRAY_LEN(given));
    ck_assert_uint_eq(n, 3);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_int_eq(ip_parse(rows[i].ip, &ip), 0);
        ck_assert_msg(cidr_set_contains(list, n, &ip) == rows[i].in, "%s", rows[i].ip);
    }
    ck_assert_uint_eq(cidr_set_make(list, 0), 0);
    ck_assert(!cidr_set_contains(list, 0, &ip));
}
END_TEST

START_TEST(blocks_that_no_client_comes_from)
{
    static const struct {
        const char *ip;
        bool v4;
        uint8_t bits;
    } rows[] = {{"8.8.8.8", true, 0},          {"10.1.2.3", true, 104},
                {"9.255.255.255", true, 0},    {"11.0.0.0", true, 0},
                {"172.31.255.255", true, 108}, {"172.32.0.0", true, 0},
                {"192.168.3.4", true, 112},    {"100.127.0.1", true, 106},
                {"192.0.2.1", true, 0},        {"127.0.0.1", true, 104},
                {"224.0.0.1", true, 99},       {"255.255.255.255", true, 99},
                {"10.1.2.3", false, 8},        {"2001:db8::1", false, 0},
                {"3fff::1", false, 0},         {"fd12::1", false, 7},
                {"fe80::1", false, 8},         {"ff02::1", false, 8},
                {"4000::", false, 8},          {"::1", false, 8}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ip ip;
        ck_assert_int_eq(ip_parse(rows[i].ip, &ip), 0);
        ck_assert_msg(ip_special_bits(&ip, rows[i].v4) == rows[i].bits, "%s: %u", rows[i].ip,
                      ip_special_bits(&ip, rows[i].v4));
    }
}
END_TEST

CHECK_MAIN("base/addr", blocks_that_no_client_comes_from,
           sets_are_sorted_without_what_another_holds, addresses_go_both_ways,
           bad_addresses_are_refused_and_out_is_untouched, prefixes_are_strict,
           prefixes_contain_and_overlap, endpoints_and_sockaddrs_go_both_ways)
