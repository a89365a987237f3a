// SPDX-License-Identifier: Apache-2.0
// resolver/answer: every row of the answer table, in both kinds of views, judged through ldns.
#include "resolver/answer/answer.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <string.h>

#define SOA_D                                                                                      \
    "example.io. 61 IN SOA eus-1.eastus.fe.example.io. hostmaster.example.io. 7 3600 600 1209600 " \
    "61\n"
#define SOA_FE "fe." SOA_D
#define EUS "eus-1.eastus.fe.example.io."
#define WEU "weu-1.westeurope.fe.example.io."
#define A_EUS EUS " 60 IN A 192.0.2.1\n"
#define A_WEU WEU " 60 IN A 192.0.2.2\n"
#define C_PRIV "contoso.privatelink.example.io."
#define C_WEU "contoso.westeurope.geo.example.io."
#define C_WEU_PRIV "contoso.westeurope.geo.privatelink.example.io."

struct row {
    const char *name;
    uint16_t type;
    const char *source;
    int rcode;
    const char *answer, *authority;
};

static const struct row rows[] = {
    // regional and data, without a private endpoint
    {"fabrikam.westeurope.geo.example.io", T_A, "192.0.2.99", 0,
     "fabrikam.westeurope.geo.example.io. 300 IN CNAME " WEU "\n" A_WEU, ""},
    {"fabrikam.westeurope.data.example.io", T_A, "192.0.2.99", 0,
     "fabrikam.westeurope.data.example.io. 301 IN CNAME " WEU "\n" A_WEU, ""},
    {"fabrikam.eastus.geo.example.io", T_A, "192.0.2.99", 0,
     "fabrikam.eastus.geo.example.io. 300 IN CNAME eus-2.eastus.fe.example.io.\n"
     "eus-2.eastus.fe.example.io. 60 IN A 192.0.2.11\neus-2.eastus.fe.example.io. 60 IN A "
     "192.0.2.12\n",
     ""},
    // with one
    {"contoso.westeurope.geo.example.io", T_A, "192.0.2.99", 0,
     C_WEU " 300 IN CNAME " C_WEU_PRIV "\n" C_WEU_PRIV " 10 IN CNAME " WEU "\n" A_WEU, ""},
    {"contoso.eastus.data.example.io", T_AAAA, "192.0.2.99", 0,
     "contoso.eastus.data.example.io. 301 IN CNAME contoso.eastus.data.privatelink.example.io.\n"
     "contoso.eastus.data.privatelink.example.io. 10 IN CNAME " EUS "\n" EUS
     " 60 IN AAAA 2001:db8::1\n",
     ""},
    // global
    {"fabrikam.example.io", T_A, "198.51.100.1", 0,
     "fabrikam.example.io. 30 IN CNAME " WEU "\n" A_WEU, ""},
    {"contoso.example.io", T_A, "192.0.2.99", 0,
     "contoso.example.io. 30 IN CNAME " C_PRIV "\n" C_PRIV " 10 IN CNAME " EUS "\n" A_EUS, ""},
    {"hashed-abcdefgh01234567.example.io", T_A, "192.0.2.99", 0,
     "hashed-abcdefgh01234567.example.io. 30 IN CNAME " WEU "\n" A_WEU, ""},
    // the case of the question stays with its owner name and goes no further
    {"FABrikam.ExAmple.IO", T_A, "198.51.100.1", 0,
     "FABrikam.ExAmple.IO. 30 IN CNAME " WEU "\n" A_WEU, ""},
    {"CONTOSO.Example.io", T_CNAME, "192.0.2.99", 0, "CONTOSO.Example.io. 30 IN CNAME " C_PRIV "\n",
     ""},
    // private names in the public view
    {"contoso.privatelink.example.io", T_A, "192.0.2.99", 0, C_PRIV " 10 IN CNAME " EUS "\n" A_EUS,
     ""},
    {"fabrikam.privatelink.example.io", T_A, "192.0.2.99", 3, "", SOA_D},
    {"fabrikam.eastus.geo.privatelink.example.io", T_A, "192.0.2.99", 3, "", SOA_D},
    // what is not there
    {"plain.westeurope.geo.example.io", T_A, "192.0.2.99", 3, "", SOA_D},  // feature off
    {"plain.westeurope.data.example.io", T_A, "192.0.2.99", 3, "", SOA_D}, // feature off
    {"contosi.example.io", T_A, "192.0.2.99", 3, "", SOA_D},
    {"hashed.example.io", T_A, "192.0.2.99", 3, "", SOA_D},
    {"contoso-abcdefgh01234567.example.io", T_A, "192.0.2.99", 3, "", SOA_D},
    {"fabrikam.southeastasia.geo.example.io", T_A, "192.0.2.99", 3, "", SOA_D}, // no replica
    {"contoso.mars.geo.example.io", T_A, "192.0.2.99", 3, "", SOA_D},
    {"x.contoso.example.io", T_A, "192.0.2.99", 3, "", SOA_D},
    {"con_toso.example.io", T_A, "192.0.2.99", 3, "", SOA_D},
    {"_route.contoso.example.io", T_A, "192.0.2.99", 0, "", SOA_D},
    {"_route.nobody0.example.io", T_TXT, "192.0.2.99", 3, "", SOA_D},
    // other types at CNAME owners
    {"fabrikam.westeurope.geo.example.io", T_TXT, "192.0.2.99", 0,
     "fabrikam.westeurope.geo.example.io. 300 IN CNAME " WEU "\n", SOA_FE},
    {"fabrikam.westeurope.geo.example.io", T_AAAA, "192.0.2.99", 0,
     "fabrikam.westeurope.geo.example.io. 300 IN CNAME " WEU "\n", SOA_FE},
    {"fabrikam.westeurope.geo.example.io", T_ANY, "192.0.2.99", 0,
     "fabrikam.westeurope.geo.example.io. 300 IN CNAME " WEU "\n", ""},
    {"contoso.example.io", T_ANY, "192.0.2.99", 0, "contoso.example.io. 30 IN CNAME " C_PRIV "\n",
     ""},
    // frontends and their zone
    {"eus-1.eastus.fe.example.io", T_A, "192.0.2.99", 0, A_EUS, ""},
    {"eus-1.eastus.fe.example.io", T_AAAA, "192.0.2.99", 0, EUS " 60 IN AAAA 2001:db8::1\n", ""},
    {"eus-1.eastus.fe.example.io", T_ANY, "192.0.2.99", 0, A_EUS, ""},
    {"eus-1.eastus.fe.example.io", T_TXT, "192.0.2.99", 0, "", SOA_FE},
    {"eus-9.eastus.fe.example.io", T_A, "192.0.2.99", 3, "", SOA_FE},
    {"a.b.c.FE.example.io", T_A, "192.0.2.99", 3, "", SOA_FE},
    {"fe.example.io", T_A, "192.0.2.99", 0, "", SOA_FE},
    {"fe.example.io", T_DS, "192.0.2.99", 0, "", SOA_D}, // the parent's side
    // empty non-terminals
    {"geo.example.io", T_A, "192.0.2.99", 0, "", SOA_D},
    {"data.example.io", T_A, "192.0.2.99", 0, "", SOA_D},
    {"privatelink.example.io", T_ANY, "192.0.2.99", 0, "", SOA_D},
    {"geo.privatelink.example.io", T_A, "192.0.2.99", 0, "", SOA_D},
    {"eastus.geo.example.io", T_A, "192.0.2.99", 0, "", SOA_D},
    {"eastus.data.privatelink.example.io", T_A, "192.0.2.99", 0, "", SOA_D},
    {"eastus.fe.example.io", T_A, "192.0.2.99", 0, "", SOA_FE},
    {"mars.geo.example.io", T_A, "192.0.2.99", 3, "", SOA_D},
    {"mars.fe.example.io", T_A, "192.0.2.99", 3, "", SOA_FE},
    {"example.io", T_A, "192.0.2.99", 0, "", SOA_D},
    // outside
    {"example.com", T_A, "192.0.2.99", 5, "", ""},
    {"notexample.io", T_A, "192.0.2.99", 5, "", ""},
    {"io", T_A, "192.0.2.99", 5, "", ""},
    {"contoso.example.io", 252, "192.0.2.99", 5, "", ""},
    {"contoso.example.io", 251, "192.0.2.99", 5, "", ""},
    // the private view of 10.1.0.0/16
    {"contoso.example.io", T_A, "10.1.2.3", 0,
     "contoso.example.io. 30 IN CNAME " C_PRIV "\n" C_PRIV " 10 IN A 10.1.0.4\n", ""},
    {"contoso.privatelink.example.io", T_A, "10.1.2.3", 0, C_PRIV " 10 IN A 10.1.0.4\n", ""},
    {"contoso.privatelink.example.io", T_ANY, "10.1.2.3", 0, C_PRIV " 10 IN A 10.1.0.4\n", ""},
    {"contoso.privatelink.example.io", T_AAAA, "10.1.2.3", 0, "", SOA_D},
    {"contoso.privatelink.example.io", T_CNAME, "10.1.2.3", 0, "", SOA_D},
    {"contoso.westeurope.geo.example.io", T_A, "10.1.2.3", 0,
     C_WEU " 300 IN CNAME " C_WEU_PRIV "\n" C_WEU_PRIV " 10 IN A 10.1.0.5\n", ""},
    {"contoso.westeurope.data.example.io", T_A, "10.1.2.3", 0,
     "contoso.westeurope.data.example.io. 301 IN CNAME "
     "contoso.westeurope.data.privatelink.example.io.\n"
     "contoso.westeurope.data.privatelink.example.io. 10 IN A 10.1.0.6\n",
     ""},
    // not covered: on to the public frontend
    {"contoso.eastus.geo.example.io", T_A, "10.1.2.3", 0,
     "contoso.eastus.geo.example.io. 300 IN CNAME contoso.eastus.geo.privatelink.example.io.\n"
     "contoso.eastus.geo.privatelink.example.io. 10 IN CNAME " EUS "\n" A_EUS,
     ""},
    {"fabrikam.eastus.geo.example.io", T_CNAME, "10.1.2.3", 0,
     "fabrikam.eastus.geo.example.io. 300 IN CNAME eus-2.eastus.fe.example.io.\n", ""},
    // 10.2.0.0/16 has a listener of its own: elsewhere it is the public view
    {"contoso.privatelink.example.io", T_A, "10.2.0.1", 0, C_PRIV " 10 IN CNAME " EUS "\n" A_EUS,
     ""},
};

static void check_row(const struct answer_context *c, const struct row *r)
{
    struct fixture_answer a;
    for (int edns = -1; edns <= 1232; edns += 1233) {
        fixture_ask(c, r->name, r->type, edns, &a);
        ck_assert_msg(ldns_pkt_get_rcode(a.pkt) == (ldns_pkt_rcode)r->rcode, "%s %d: rcode %d",
                      r->name, r->type, ldns_pkt_get_rcode(a.pkt));
        ck_assert_msg(ldns_pkt_aa(a.pkt) == (r->rcode != 5), "%s: AA", r->name);
        ck_assert_msg(!strcmp(fixture_text(ldns_pkt_answer(a.pkt)), r->answer), "%s %d answers\n%s",
                      r->name, r->type, fixture_text(ldns_pkt_answer(a.pkt)));
        ck_assert_msg(!strcmp(fixture_text(ldns_pkt_authority(a.pkt)), r->authority),
                      "%s %d authority\n%s", r->name, r->type,
                      fixture_text(ldns_pkt_authority(a.pkt)));
        fixture_answer_done(&a);
    }
}

START_TEST(every_row_of_the_table)
{
    struct topology *t = fixture_topology();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer_context c = {.topology = t,
                                   .transport = i % 2 ? ANSWER_TCP : ANSWER_UDP,
                                   .source = fixture_ip(rows[i].source)};
        check_row(&c, &rows[i]);
    }
    snapshot_unref(t);
}
END_TEST

START_TEST(a_private_listener_takes_its_own_sources_only)
{
    struct topology *t = fixture_topology();
    struct endpoint lab = {fixture_ip("127.0.0.9"), 5300};
    struct answer_context c = {.topology = t, .source = fixture_ip("10.2.7.7"), .listener = &lab};
    check_row(&c, &(struct row){"contoso.privatelink.example.io", T_A, NULL, 0,
                                C_PRIV " 10 IN A 10.2.0.4\n", ""});
    c.source = fixture_ip("10.1.2.3");
    check_row(&c, &(struct row){"contoso.privatelink.example.io", T_A, NULL, 5, "", ""});
    lab.port = 5301; // another listener
    check_row(&c, &(struct row){"contoso.privatelink.example.io", T_A, NULL, 0,
                                C_PRIV " 10 IN A 10.1.0.4\n", ""});
    snapshot_unref(t);
}
END_TEST

START_TEST(apexes_have_soa_and_ns_with_glue)
{
    struct topology *t = fixture_topology();
    struct answer_context c = {.topology = t, .source = fixture_ip("192.0.2.99")};
    const char *const apexes[] = {"example.io", "fe.example.io"};
    for (int i = 0; i < 2; i++) {
        struct fixture_answer a;
        fixture_ask(&c, apexes[i], T_NS, -1, &a);
        ck_assert_uint_eq(ldns_pkt_ancount(a.pkt), 2);
        ck_assert_uint_eq(ldns_pkt_arcount(a.pkt), 3); // two A and one AAAA
        ck_assert_ptr_nonnull(strstr(fixture_text(ldns_pkt_answer(a.pkt)), "IN NS " WEU "\n"));
        ck_assert_str_eq(fixture_text(ldns_pkt_additional(a.pkt)),
                         A_EUS EUS " 60 IN AAAA 2001:db8::1\n" A_WEU);
        fixture_answer_done(&a);
        fixture_ask(&c, apexes[i], T_SOA, -1, &a);
        ck_assert_uint_eq(ldns_pkt_ancount(a.pkt), 1);
        ck_assert_uint_eq(ldns_pkt_nscount(a.pkt), 0);
        ck_assert_ptr_nonnull(
            strstr(fixture_text(ldns_pkt_answer(a.pkt)), " 7 3600 600 1209600 61\n"));
        fixture_answer_done(&a);
    }
    snapshot_unref(t);
}
END_TEST

START_TEST(a_regional_name_answers_the_same_when_its_region_is_down_and_says_so)
{
    struct topology *t = fixture_topology();
    struct health_verdicts *v = fixture_verdicts(t, 1); // eastus
    struct answer_context c = {.topology = t, .source = fixture_ip("192.0.2.99")};
    struct fixture_answer up, down;
    fixture_ask(&c, "fabrikam.eastus.geo.example.io", T_A, -1, &up);
    c.health = v;
    fixture_ask(&c, "fabrikam.eastus.geo.example.io", T_A, -1, &down);
    ck_assert_uint_eq(up.n, down.n);
    ck_assert(!memcmp(up.wire, down.wire, up.n));
    fixture_answer_done(&down);
    fixture_ask(&c, "fabrikam.eastus.geo.example.io", T_A, 1232, &down);
    ck_assert_uint_eq(ldns_pkt_ancount(down.pkt), 3);
    const uint8_t code[] = {0, 15, 0}; // option 15, and a length below 256
    uint8_t *ede = memmem(down.wire, down.n, code, sizeof code);
    ck_assert_ptr_nonnull(ede);
    ck_assert_ptr_nonnull(memmem(ede + 4, 40, "\0\0region eastus is down", 23));
    fixture_answer_done(&up);
    fixture_answer_done(&down);
    // the global name moves, and has nothing to explain
    fixture_ask(&c, "fabrikam.example.io", T_A, 1232, &down);
    ck_assert_ptr_nonnull(strstr(fixture_text(ldns_pkt_answer(down.pkt)), A_WEU));
    ck_assert_ptr_null(memmem(down.wire, down.n, "is down", 7));
    fixture_answer_done(&down);
    snapshot_unref(v);
    snapshot_unref(t);
}
END_TEST

START_TEST(without_a_topology_all_is_servfail)
{
    struct answer_context c = {.source = fixture_ip("192.0.2.99")};
    struct fixture_answer a;
    fixture_ask(&c, "contoso.example.io", T_A, 1232, &a);
    ck_assert_int_eq(ldns_pkt_get_rcode(a.pkt), LDNS_RCODE_SERVFAIL);
    ck_assert(!ldns_pkt_aa(a.pkt));
    fixture_answer_done(&a);
}
END_TEST

START_TEST(what_does_not_fit_is_truncated_over_udp_and_whole_over_tcp)
{
    char yaml[32768];
    size_t at = (size_t)snprintf(
        yaml, sizeof yaml,
        "version: 1\ndomain: example.io\nhostmaster: h@example.io\nregions:\n"
        "  - name: eastus\n    peer: 192.0.2.1:8443\n    stamps:\n      - { name: eus-1, ipv6: [");
    for (int i = 1; i <= 32; i++)
        at += (size_t)snprintf(yaml + at, sizeof yaml - at, "%s\"2001:db8::%x\"", i > 1 ? ", " : "",
                               i);
    snprintf(yaml + at, sizeof yaml - at,
             "] }\nname_servers: [eus-1.eastus]\nregistries:\n  - name: contoso\n    replicas:\n"
             "      - { region: eastus, stamp: eus-1 }\nrouting: { order: [eastus] }\n");
    struct topology *t = fixture_parse(yaml);
    struct answer_context c = {.topology = t, .source = fixture_ip("192.0.2.99")};
    struct fixture_answer a;
    const struct {
        int edns;
        bool tc;
    } cases[] = {{-1, true}, {0, true}, {512, true}, {900, true}, {1232, false}, {4096, false}};
    for (size_t i = 0; i < 6; i++) { // 32 addresses take about 980 octets
        fixture_ask(&c, "contoso.example.io", T_AAAA, cases[i].edns, &a);
        ck_assert_int_eq(ldns_pkt_tc(a.pkt), cases[i].tc);
        ck_assert_int_eq(a.info.truncated, cases[i].tc);
        ck_assert_uint_eq(ldns_pkt_ancount(a.pkt), cases[i].tc ? 0 : 33);
        ck_assert_uint_le(a.n, cases[i].edns <= 512   ? 512
                               : cases[i].edns > 1232 ? 1232
                                                      : cases[i].edns);
        fixture_answer_done(&a);
    }
    c.transport = ANSWER_TCP;
    fixture_ask(&c, "contoso.example.io", T_AAAA, -1, &a);
    ck_assert(!ldns_pkt_tc(a.pkt));
    ck_assert_uint_eq(ldns_pkt_ancount(a.pkt), 33);
    fixture_answer_done(&a);
    c.transport = ANSWER_UDP; // glue that does not fit is left out without a word
    fixture_ask(&c, "example.io", T_NS, -1, &a);
    ck_assert(!ldns_pkt_tc(a.pkt));
    ck_assert_uint_eq(ldns_pkt_arcount(a.pkt), 0);
    fixture_answer_done(&a);
    snapshot_unref(t);
}
END_TEST

// Thirteen name servers of 64 addresses each: more glue than a pointer reaches.
START_TEST(a_response_larger_than_pointers_reach_is_whole)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 1 << 20);
    buf_str(&b, "version: 1\ndomain: example.io\nhostmaster: h@example.io\nregions:\n");
    for (int i = 0; i < 13; i++) {
        buf_printf(&b,
                   "  - name: region%d\n    peer: 192.0.2.%d:8443\n    stamps:\n      - { name: a, "
                   "ipv6: [",
                   i, i + 1);
        for (int k = 1; k <= 32; k++)
            buf_printf(&b, "%s\"2001:db8:%x::%x\"", k > 1 ? ", " : "", i + 1, k);
        buf_str(&b, "], ipv4: [");
        for (int k = 1; k <= 32; k++)
            buf_printf(&b, "%s192.0.%d.%d", k > 1 ? ", " : "", i + 1, k);
        buf_str(&b, "] }\n");
    }
    buf_str(&b, "name_servers: [a.region0");
    for (int i = 1; i < 13; i++)
        buf_printf(&b, ", a.region%d", i);
    buf_str(
        &b,
        "]\nregistries:\n  - name: contoso\n    replicas:\n      - { region: region0, stamp: a }\n"
        "routing: { order: [region0");
    for (int i = 1; i < 13; i++)
        buf_printf(&b, ", region%d", i);
    buf_str(&b, "] }\n");
    struct topology *t = fixture_parse(buf_cstr(&b));
    struct answer_context c = {
        .topology = t, .transport = ANSWER_TCP, .source = fixture_ip("192.0.2.99")};
    struct fixture_answer a;
    fixture_ask(&c, "example.io", T_NS, 4096, &a);
    ck_assert(!ldns_pkt_tc(a.pkt) && a.info.rcode == 0);
    ck_assert_uint_eq(ldns_pkt_ancount(a.pkt), 13);
    ck_assert_uint_gt(a.n, 0x4000);
    size_t n_glue = ldns_rr_list_rr_count(ldns_pkt_additional(a.pkt));
    ck_assert_uint_eq(n_glue, 13 * 64);
    for (size_t i = 0; i < n_glue; i++) {
        char want[64];
        ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_additional(a.pkt), i);
        AUTO_FREE char *owner = ldns_rdf2str(ldns_rr_owner(rr));
        snprintf(want, sizeof want, "a.region%zu.fe.example.io.", i / 64);
        ck_assert_str_eq(owner, want);
        ck_assert_uint_eq(ldns_rdf_data(ldns_rr_rdf(rr, 0))[i % 64 < 32 ? 2 : 5], i / 64 + 1);
    }
    fixture_answer_done(&a);
    // over UDP: the name servers fit or TC, the glue as it fits
    for (int edns = -1; edns <= 1232; edns += 77) {
        c.transport = ANSWER_UDP;
        fixture_ask(&c, "example.io", T_NS, edns, &a);
        ck_assert_uint_le(a.n, edns < 512 ? 512 : (size_t)edns);
        ck_assert_uint_eq(ldns_pkt_ancount(a.pkt), ldns_pkt_tc(a.pkt) ? 0 : 13);
        ck_assert_uint_eq(ldns_rr_list_rr_count(ldns_pkt_additional(a.pkt)) % 32, 0);
        fixture_answer_done(&a);
    }
    snapshot_unref(t);
}
END_TEST

// Every size a client may offer, for answers of 1 to 32 addresses: whole and the same as over TCP,
// or TC and empty.
START_TEST(whole_or_truncated_at_every_size)
{
    unsigned n_whole = 0, n_cut = 0;
    for (int n = 1; n <= 32; n += 3) {
        char yaml[8192];
        size_t at =
            (size_t)snprintf(yaml, sizeof yaml,
                             "version: 1\ndomain: example.io\nhostmaster: h@example.io\nregions:\n"
                             "  - name: eastus\n    peer: 192.0.2.1:8443\n    stamps:\n      - { "
                             "name: eus-1, ipv6: [");
        for (int i = 1; i <= n; i++)
            at += (size_t)snprintf(yaml + at, sizeof yaml - at, "%s\"2001:db8::%x\"",
                                   i > 1 ? ", " : "", i);
        snprintf(yaml + at, sizeof yaml - at,
                 "] }\nname_servers: [eus-1.eastus]\nregistries:\n  - name: contoso\n    "
                 "regional_endpoints: enabled\n"
                 "    replicas:\n      - { region: eastus, stamp: eus-1 }\nrouting: { order: "
                 "[eastus] }\n");
        struct topology *t = fixture_parse(yaml);
        struct health_verdicts *v = fixture_verdicts(t, 1); // down: an EDE text wants room too
        struct answer_context c = {.topology = t, .health = v, .source = fixture_ip("192.0.2.99")};
        for (int edns = 500; edns <= 1300; edns += 7) {
            struct fixture_answer a;
            fixture_ask(&c, "contoso.eastus.geo.example.io", T_AAAA, edns, &a);
            ck_assert_uint_le(a.n, edns < 512 ? 512 : edns > 1232 ? 1232 : (size_t)edns);
            bool cut = ldns_pkt_tc(a.pkt);
            ck_assert_uint_eq(ldns_pkt_ancount(a.pkt), cut ? 0 : (unsigned)n + 1);
            n_cut += cut;
            n_whole += !cut;
            fixture_answer_done(&a);
        }
        snapshot_unref(v);
        snapshot_unref(t);
    }
    ck_assert(n_cut > 100 && n_whole > 100);
}
END_TEST

// The SOA of an absent name says the same whether it is written by pointers into the question or in
// full.
START_TEST(the_soa_of_a_denial_is_the_same_in_any_case_and_for_any_mailbox)
{
    static const struct {
        const char *address, *rname;
    } boxes[] = {{"ops@example.io", "ops.example.io."},
                 {"dns@ops.example.net", "dns.ops.example.net."}};
    static const char *const names[] = {"nosuch.example.io", "nosuch.eXample.io"};
    for (size_t i = 0; i < ARRAY_LEN(boxes); i++) {
        char yaml[1024], expected[256];
        snprintf(yaml, sizeof yaml,
                 "version: 9\ndomain: example.io\nhostmaster: %s\nregions:\n"
                 "  - { name: eastus, peer: \"192.0.2.1:8443\", stamps: [{ name: eus-1, ipv4: "
                 "[192.0.2.1] }] }\n"
                 "name_servers: [eus-1.eastus]\nrouting: { order: [eastus] }\n",
                 boxes[i].address);
        snprintf(expected, sizeof expected,
                 "example.io. 60 IN SOA eus-1.eastus.fe.example.io. %s 9 3600 600 1209600 60\n",
                 boxes[i].rname);
        struct topology *t = fixture_parse(yaml);
        struct answer_context c = {.topology = t, .source = fixture_ip("192.0.2.99")};
        for (size_t k = 0; k < ARRAY_LEN(names); k++) {
            struct fixture_answer a;
            fixture_ask(&c, names[k], T_A, 1232, &a);
            ck_assert_int_eq(a.info.rcode, 3);
            ck_assert_str_eq(fixture_text(ldns_pkt_authority(a.pkt)), expected);
            fixture_answer_done(&a);
        }
        snapshot_unref(t);
    }
}
END_TEST

CHECK_MAIN("resolver/answer", every_row_of_the_table, a_private_listener_takes_its_own_sources_only,
           apexes_have_soa_and_ns_with_glue,
           a_regional_name_answers_the_same_when_its_region_is_down_and_says_so,
           without_a_topology_all_is_servfail,
           what_does_not_fit_is_truncated_over_udp_and_whole_over_tcp,
           a_response_larger_than_pointers_reach_is_whole, whole_or_truncated_at_every_size,
           the_soa_of_a_denial_is_the_same_in_any_case_and_for_any_mailbox)
