// SPDX-License-Identifier: Apache-2.0
// resolver/answer_static: records that the topology gives word for word, at the apex and at names
// of ACME challenges.
#include "resolver/answer/answer.h"

#include "resolver/packet/cookies.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <string.h>

#define SOA_D                                                                                      \
    "example.io. 60 IN SOA eus-1.eastus.fe.example.io. hostmaster.example.io. 1 3600 600 1209600 " \
    "60\n"
#define T_MX 15
#define T_CAA 257

static const char yaml[] =
    "version: 1\ndomain: example.io\nregions:\n"
    "  - name: eastus\n    peer: 192.0.2.1:8443\n    stamps:\n"
    "      - { name: eus-1, ipv4: [192.0.2.1] }\n"
    "name_servers: [eus-1.eastus]\n"
    "registries: [{ name: contoso, replicas: [{ region: eastus }] }]\n"
    "apex:\n  ttl: 77s\n  ipv4: [192.0.2.80, 192.0.2.81]\n"
    "  mx: [{ host: mx.example.net }]\n  txt: [\"v=spf1 -all\", \"two\"]\n"
    "  caa: [{ tag: issue, value: ca.test }]\n"
    "  acme_challenge: [{ txt: [a, b] }, { at: eastus.geo, txt: c }, { at: eastus.fe, txt: d }]\n";

static const struct {
    const char *name;
    uint16_t type;
    int rcode;
    const char *answer, *authority;
} rows[] = {
    {"example.io", T_A, 0, "example.io. 77 IN A 192.0.2.80\nexample.io. 77 IN A 192.0.2.81\n", ""},
    {"example.io", T_AAAA, 0, "", SOA_D},
    {"EXAMPLE.io", T_MX, 0, "EXAMPLE.io. 77 IN MX 10 mx.example.net.\n", ""},
    {"example.io", T_TXT, 0,
     "example.io. 77 IN TXT \"v=spf1 -all\"\nexample.io. 77 IN TXT \"two\"\n", ""},
    {"example.io", T_CAA, 0, "example.io. 77 IN CAA 0 issue \"ca.test\"\n", ""},
    {"example.io", 33, 0, "", SOA_D},
    {"fe.example.io", T_TXT, 0, "", "fe." SOA_D},
    {"_acme-challenge.example.io", T_TXT, 0,
     "_acme-challenge.example.io. 77 IN TXT \"a\"\n_acme-challenge.example.io. 77 IN TXT \"b\"\n",
     ""},
    {"_acme-challenge.example.io", T_ANY, 0,
     "_acme-challenge.example.io. 77 IN TXT \"a\"\n_acme-challenge.example.io. 77 IN TXT \"b\"\n",
     ""},
    {"_acme-challenge.example.io", T_A, 0, "", SOA_D},
    {"_ACME-challenge.EASTUS.geo.example.io", T_TXT, 0,
     "_ACME-challenge.EASTUS.geo.example.io. 77 IN TXT \"c\"\n", ""},
    {"_acme-challenge.eastus.fe.example.io", T_TXT, 0,
     "_acme-challenge.eastus.fe.example.io. 77 IN TXT \"d\"\n", ""},
    {"_acme-challenge.eastus.fe.example.io", T_A, 0, "", "fe." SOA_D},
    {"_acme-challenge.eastus.data.example.io", T_TXT, 3, "", SOA_D},
    {"_acme-challengX.example.io", T_TXT, 3, "", SOA_D},
    {"x._acme-challenge.example.io", T_TXT, 3, "", SOA_D},
};

START_TEST(test_rows)
{
    static struct fixture_answer a;
    struct topology *t = fixture_parse(yaml);
    const struct answer_context c = {
        .topology = t, .transport = ANSWER_UDP, .source = fixture_ip("192.0.2.99")};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fixture_ask(&c, rows[i].name, rows[i].type, 1232, &a);
        ck_assert_msg(a.info.rcode == rows[i].rcode, "%s: rcode %d", rows[i].name, a.info.rcode);
        ck_assert_msg(ldns_pkt_aa(a.pkt), "%s", rows[i].name);
        ck_assert_str_eq(fixture_text(ldns_pkt_answer(a.pkt)), rows[i].answer);
        ck_assert_str_eq(fixture_text(ldns_pkt_authority(a.pkt)), rows[i].authority);
        fixture_answer_done(&a);
    }
    snapshot_unref(t);
}
END_TEST

// A query of 40 octets with the address of somebody else must not bring that one a thousand: over
// UDP what is more than a client without EDNS takes goes to who shows a cookie.
START_TEST(test_large_texts_go_to_proven_clients)
{
    static char text[3000], name[256];
    struct answer_info info;
    struct cookies *k;
    uint8_t q[512], out[4096], cookie[EDNS_COOKIE_BYTES];
    memset(name, 'x', 200);
    snprintf(text, sizeof text,
             "%.*s  acme_challenge: [{ at: eastus.geo, txt: [\"1%s\", \"2%s\", \"3%s\"] }, { txt: "
             "\"%s\" }]\n",
             (int)(strstr(yaml, "  acme") - yaml), yaml, name, name, name, name);
    struct topology *t = fixture_parse(text);
    ck_assert_int_eq(cookies_new_random(&k), 0);
    struct answer_context c = {.topology = t,
                               .transport = ANSWER_UDP,
                               .source = fixture_ip("192.0.2.99"),
                               .cookies = k,
                               .now_s = 1700000000};
    for (int large = 0; large < 2; large++) {
        const char *asked =
            large ? "_acme-challenge.eastus.geo.example.io" : "_acme-challenge.example.io";
        size_t n = fixture_query(q, asked, T_TXT, 1232), got;
        c.transport = ANSWER_UDP;
        got = answer_packet(&c, q, n, out, sizeof out, &info);
        ck_assert_int_eq(info.truncated, large);
        ck_assert_uint_le(got, large ? n : DNS_UDP_LEAST);
        c.transport = ANSWER_TCP;
        got = answer_packet(&c, q, n, out, sizeof out, &info);
        ck_assert(!info.truncated && (got > DNS_UDP_LEAST) == large);
        c.transport = ANSWER_UDP;
        struct dns_query parsed = {.cookie = (const uint8_t *)"8 octets", .cookie_n = 8};
        cookies_check(k, &parsed, &c.source, c.now_s, cookie);
        q[n - 1] = 4 + sizeof cookie;
        memcpy(q + n, "\0\12\0\30", 4);
        memcpy(q + n + 4, cookie, sizeof cookie);
        got = answer_packet(&c, q, n + 4 + sizeof cookie, out, sizeof out, &info);
        ck_assert(!info.truncated && info.cookie_valid && (got > DNS_UDP_LEAST) == large);
    }
    snapshot_unref(k);
    snapshot_unref(t);
}
END_TEST

CHECK_MAIN("resolver/answer_static", test_rows, test_large_texts_go_to_proven_clients)
