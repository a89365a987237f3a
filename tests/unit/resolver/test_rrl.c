// SPDX-License-Identifier: Apache-2.0
// resolver/rrl: rates, bursts and slips by network and kind of answer, with times of the test's
// own; what a slipped answer looks like.
#include "resolver/serve/rrl.h"

#include "resolver/packet/cookies.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <string.h>

static struct topology *t;
static uint8_t out[1232];
static size_t out_n;
static struct answer_info info;

static void ask(const char *name, uint16_t type)
{
    uint8_t q[512];
    struct answer_context c = {.topology = t, .source = fixture_ip("192.0.2.99")};
    if (!t)
        t = fixture_topology();
    c.topology = t;
    size_t n = fixture_query(q, name, type, 1232);
    out_n = answer_packet(&c, q, n, out, sizeof out, &info);
    ck_assert_uint_gt(out_n, 0);
}

static struct {
    unsigned sent, slipped, dropped;
} got;

static void judge(struct rrl *r, const char *client, unsigned times, int64_t now_ms)
{
    struct ip ip = fixture_ip(client);
    memset(&got, 0, sizeof got);
    for (unsigned i = 0; i < times; i++) {
        enum rrl_verdict v = rrl_judge(r, &ip, &info, out, out_n, now_ms);
        *(v == RRL_SEND ? &got.sent : v == RRL_SLIP ? &got.slipped : &got.dropped) += 1;
    }
}

#define ck_got(s, l, d)                    \
    do {                                   \
        ck_assert_uint_eq(got.sent, s);    \
        ck_assert_uint_eq(got.slipped, l); \
        ck_assert_uint_eq(got.dropped, d); \
    } while (0)

START_TEST(a_network_gets_its_rate_and_its_burst)
{
    const struct node_dns_rrl s = {.answers = 10, .burst_s = 2, .slip = 2};
    struct rrl *r;
    ck_assert_int_eq(rrl_new(&s, &r), 0);
    ask("contoso.example.io", T_A);
    judge(r, "198.51.100.1", 30, 1000);
    ck_got(20, 5, 5);
    judge(r, "198.51.100.200", 4, 1000); // the same /24
    ck_got(0, 2, 2);
    judge(r, "198.51.101.1", 4, 1000); // another
    ck_got(4, 0, 0);
    judge(r, "198.51.100.1", 10, 1500);
    ck_got(5, 2, 3);
    judge(r, "198.51.100.1", 100, 1000000); // no more is saved up than a burst
    ck_got(20, 40, 40);
    judge(r, "2001:db8:1:200::1", 25, 1000);
    ck_assert_uint_eq(got.sent, 20);
    judge(r, "2001:db8:1:2ff::9", 2, 1000); // the same /56
    ck_assert_uint_eq(got.sent, 0);
    judge(r, "2001:db8:1:300::1", 2, 1000);
    ck_assert_uint_eq(got.sent, 2);
    rrl_free(r);
}
END_TEST

START_TEST(kinds_have_accounts_of_their_own)
{
    const struct node_dns_rrl s = {.answers = 5, .absent = 3, .errors = 2, .burst_s = 1};
    struct rrl *r;
    ck_assert_int_eq(rrl_new(&s, &r), 0);
    ask("contoso.example.io", T_A);
    judge(r, "198.51.100.1", 10, 1000);
    ck_got(5, 0, 5);                // slip 0: silence
    ask("CONTOSO.example.io", T_A); // the same name
    judge(r, "198.51.100.1", 10, 1000);
    ck_got(0, 0, 10);
    ask("contoso.example.io", T_AAAA); // another question
    judge(r, "198.51.100.1", 10, 1000);
    ck_got(5, 0, 5);
    ask("nobody1.example.io", T_A);
    judge(r, "198.51.100.1", 2, 1000);
    ck_got(2, 0, 0);
    ask("nobody2.example.io", T_A); // absent names share one account, and absent types with them
    judge(r, "198.51.100.1", 1, 1000);
    ck_got(1, 0, 0);
    ask("contoso.eastus.geo.example.io", 99);
    ck_assert_int_eq(info.rcode, 0);
    ask("geo.example.io", T_A);
    judge(r, "198.51.100.1", 2, 1000);
    ck_got(0, 0, 2);
    ask("example.org", T_A);
    judge(r, "198.51.100.1", 1, 1000);
    ck_got(1, 0, 0);
    ask("example.com", T_A);
    judge(r, "198.51.100.1", 2, 1000);
    ck_got(1, 0, 1);
    rrl_free(r);
}
END_TEST

// Each of them brings the aliases of the name and a SOA: they are denials, whatever the type.
START_TEST(a_type_for_each_query_opens_no_account_for_each)
{
    const struct node_dns_rrl s = {.answers = 5, .absent = 3, .burst_s = 1, .slip = 1};
    struct rrl *r;
    unsigned sent = 0;
    ck_assert_int_eq(rrl_new(&s, &r), 0);
    for (uint16_t type = 1000; type < 2000; type++) {
        ask("contoso.example.io", type);
        ck_assert_int_gt(out[7], 0);
        judge(r, "198.51.100.1", 1, 1000);
        sent += got.sent;
    }
    ck_assert_uint_eq(sent, 3);
    ask("contoso.example.io", T_A);
    judge(r, "198.51.100.1", 10, 1000);
    ck_got(5, 5, 0);
    rrl_free(r);
}
END_TEST

START_TEST(no_limit_no_table_and_networks_without_one)
{
    struct cidr lab;
    ck_assert_int_eq(cidr_parse("198.51.100.0/25", &lab), 0);
    struct node_dns_rrl s = {.burst_s = 5, .slip = 2, .exempt = &lab, .n_exempt = 1};
    struct rrl *r;
    ck_assert_int_eq(rrl_new(&s, &r), 0);
    ck_assert_ptr_null(r);
    s.errors = 1;
    ck_assert_int_eq(rrl_new(&s, &r), 0);
    ask("contoso.example.io", T_A);
    judge(r, "192.0.2.1", 1000, 1000); // no limit on answers
    ck_got(1000, 0, 0);
    ask("example.org", T_A);
    judge(r, "198.51.100.1", 1000, 1000);
    ck_got(1000, 0, 0);
    judge(r, "198.51.100.128", 105, 1000);
    ck_got(0, 52, 53); // their neighbours used it up: one account to a /24
    rrl_free(r);
}
END_TEST

START_TEST(more_networks_than_the_table_holds)
{
    const struct node_dns_rrl s = {.answers = 1, .burst_s = 1, .slip = 1};
    struct rrl *r;
    ck_assert_int_eq(rrl_new(&s, &r), 0);
    ask("contoso.example.io", T_A);
    char ip[IP_TEXT_SIZE];
    // each is new, and let through: strangers are not held against each other
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(ip, sizeof ip, "%u.%u.%u.1", 1 + i / 65536, i / 256 % 256, i % 256);
        judge(r, ip, 1, 1000 + i / 100);
        ck_got(1, 0, 0);
    }
    judge(r, ip, 1, 2000);
    ck_got(0, 1, 0);
    rrl_free(r);
}
END_TEST

START_TEST(a_slipped_answer_is_truncated_and_keeps_its_opt)
{
    static const char *const names[] = {"contoso.example.io", "nobody.example.io", "example.org",
                                        "example.io"};
    for (size_t i = 0; i < 4; i++) {
        ask(names[i], i == 3 ? T_NS : T_A);
        size_t n = rrl_slip(out, &info);
        ldns_pkt *pkt = NULL;
        ck_assert_uint_le(n, out_n);
        ck_assert_int_eq(ldns_wire2pkt(&pkt, out, n), LDNS_STATUS_OK);
        ck_assert(ldns_pkt_tc(pkt) && ldns_pkt_edns(pkt) &&
                  ldns_pkt_get_rcode(pkt) == (ldns_pkt_rcode)info.rcode);
        ck_assert_uint_eq(ldns_pkt_qdcount(pkt), 1);
        ck_assert_uint_eq(ldns_pkt_ancount(pkt) + ldns_pkt_nscount(pkt), 0);
        ldns_pkt_free(pkt);
    }
}
END_TEST

CHECK_MAIN("resolver/rrl", a_network_gets_its_rate_and_its_burst, kinds_have_accounts_of_their_own,
           a_type_for_each_query_opens_no_account_for_each,
           no_limit_no_table_and_networks_without_one, more_networks_than_the_table_holds,
           a_slipped_answer_is_truncated_and_keeps_its_opt)
