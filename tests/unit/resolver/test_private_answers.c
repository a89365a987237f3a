// SPDX-License-Identifier: Apache-2.0
// resolver/answer, answer_forward, answer_record: what clients of private views get that the public
// does not. Names outside the domain by the view's on_foreign; and of an answer that does not fit,
// the part that does.
#include "base/mem.h"
#include "config/advice.h"
#include "resolver/serve/rrl.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"
#include "tests/unit/resolver/signed_fixture.h"

#include <string.h>

#define PUBLIC "192.0.2.99"

static const char head[] =
    "version: 1\ndomain: example.io\nhostmaster: h@example.io\nregions:\n"
    "  - { name: eastus, peer: 192.0.2.1:8443, stamps: [{ name: eus-1, ipv4: [192.0.2.1] }, { "
    "name: eus-2, ipv4: [%s] "
    "}] }\n"
    "name_servers: [eus-1.eastus]\nregistries:\n"
    "  - { name: contoso, regional_endpoints: enabled, replicas: [{ region: eastus }] }\n"
    "  - { name: fabrikam, regional_endpoints: enabled, replicas: [{ region: eastus, stamp: eus-2 "
    "}] }\n"
    "views:\n"
    "  - { name: corp, sources: [10.1.0.0/16] }\n"
    "  - { name: bare, sources: [10.2.0.0/16], on_foreign: nxdomain }\n"
    "  - { name: some, sources: [10.3.0.0/16], on_foreign: nxdomain, forward: { upstreams: "
    "10.3.0.53, names: corp.test "
    "} }\n"
    "  - { name: all, sources: [10.4.0.0/16], on_foreign: forward, forward: { upstreams: 10.4.0.53 "
    "} }\n"
    "private_endpoints:\n"
    "  - { name: pe, registry: contoso, view: corp, addresses: { registry: [%s], registry_eastus: "
    "[%s] } }\n";

// "10.1.N.1, 10.1.N.2 …"
static const char *addresses(char out[2048], const char *fmt, unsigned n)
{
    size_t at = 0;
    for (unsigned i = 1; i <= n; i++) {
        at += (size_t)snprintf(out + at, 2048 - at, "%s", i > 1 ? ", " : "");
        at += (size_t)snprintf(out + at, 2048 - at, fmt, i);
    }
    return out;
}

static void write_yaml(char *out, size_t cap, unsigned n)
{
    static char a[2048], b[2048], c[2048];
    snprintf(out, cap, head, addresses(a, "198.51.100.%u", n), addresses(b, "10.1.0.%u", n),
             addresses(c, "\"fd00::%x\"", n));
}

static struct topology *topology(unsigned n)
{
    static char text[8192];
    write_yaml(text, sizeof text, n);
    return fixture_parse(text);
}

START_TEST(foreign_names_by_view)
{
    static const struct {
        const char *source, *name;
        int rcode;
    } rows[] = {
        {PUBLIC, "www.example.com", 5},
        {"10.1.2.3", "www.example.com", 5},
        {"10.2.2.3", "www.example.com", 3},
        {"10.2.2.3", "contoso.example.io.default.svc.cluster.local", 3},
        {"10.2.2.3", "com", 3},
        {"10.2.2.3", "contoso.example.io", 0},
        {"10.3.2.3", "www.example.com", 3},
        {"10.3.2.3", "www.corp.test", 2}, // would be forwarded: there is nobody here to wait for it
        {"10.4.2.3", "www.corp.test", 2},
        {"10.4.2.3", "www.example.com", 2},
        {"10.4.0.53", "www.example.com", 5}, // an upstream asks us: a loop
    };
    struct topology *t = topology(1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        static uint8_t out[1232];
        struct answer_context c = {.topology = t, .source = fixture_ip(rows[i].source)};
        uint8_t q[512];
        struct answer_info info;
        ldns_pkt *pkt = NULL;
        size_t n = fixture_query(q, rows[i].name, T_A, 1232);
        n = answer_packet(&c, q, n, out, sizeof out, &info);
        ck_assert_int_eq(ldns_wire2pkt(&pkt, out, n), LDNS_STATUS_OK);
        ck_assert_msg(info.rcode == rows[i].rcode, "row %zu: %d", i, info.rcode);
        bool ours = rows[i].rcode == 0;
        // an absent name is nobody's: no authority, no SOA, nothing to cache
        ck_assert_int_eq(ldns_pkt_aa(pkt), ours);
        ck_assert(ours || (!ldns_pkt_ancount(pkt) && !ldns_pkt_nscount(pkt)));
        ldns_pkt_free(pkt);
    }
    snapshot_unref(t);
}
END_TEST

// Of the answer over TCP, the first records that fit; whatever the limit.
static void check_fit(struct answer_context *c, const char *name, uint16_t type, int edns)
{
    static struct fixture_answer whole, cut;
    c->transport = ANSWER_TCP;
    fixture_ask(c, name, type, edns, &whole);
    c->transport = ANSWER_UDP;
    fixture_ask(c, name, type, edns, &cut);
    size_t max = edns < 512 ? 512 : (size_t)edns, n = ldns_pkt_ancount(cut.pkt),
           all = ldns_pkt_ancount(whole.pkt);
    size_t opt = edns >= 0 ? 11 : 0, each = type == T_A ? 16 : 28;
    ck_assert_uint_le(cut.n, max);
    ck_assert_int_eq(ldns_pkt_tc(cut.pkt), n < all);
    ck_assert_int_eq(cut.info.truncated, n < all);
    ck_assert(ldns_pkt_aa(cut.pkt) && cut.info.rcode == 0);
    ck_assert_uint_eq(ldns_pkt_nscount(cut.pkt), 0);
    ck_assert_msg(n == all || cut.n + each > max, "%s: one more fits %d", name, edns);
    // the same octets, as far as they go
    ck_assert(!memcmp(cut.wire + 12, whole.wire + 12, cut.n - 12 - opt));
    fixture_answer_done(&whole);
    fixture_answer_done(&cut);
}

START_TEST(in_private_views_what_fits_is_sent)
{
    struct topology *t = topology(32);
    struct answer_context c = {.topology = t, .source = fixture_ip("10.1.2.3")};
    static struct fixture_answer a;
    for (int edns = -1; edns <= 1232; edns = edns < 511 ? 512 : edns + 7) {
        check_fit(&c, "contoso.example.io", T_A, edns);
        check_fit(&c, "CONTOSO.example.io", T_A, edns);
        check_fit(&c, "contoso.EXAMPLE.io", T_A, edns); // names that cannot be pointed to
        check_fit(&c, "contoso.eastus.geo.example.io", T_AAAA, edns);
        check_fit(&c, "contoso.privatelink.example.io", T_A, edns);
        // the public frontend, as this view sees it
        check_fit(&c, "fabrikam.example.io", T_A, edns);
    }
    fixture_ask(&c, "contoso.example.io", T_A, -1, &a);
    ck_assert_uint_eq(ldns_pkt_ancount(a.pkt), 28); // an alias, and 27 of 32
    fixture_answer_done(&a);
    // In public a truncated answer is empty, as ever.
    c.source = fixture_ip(PUBLIC);
    fixture_ask(&c, "fabrikam.example.io", T_A, -1, &a);
    ck_assert(ldns_pkt_tc(a.pkt) && !ldns_pkt_ancount(a.pkt));
    fixture_answer_done(&a);
    snapshot_unref(t);
}
END_TEST

// A part of a signed set proves nothing: a validator comes by TCP. Who sets no DO gets the part
// from a signed domain too.
START_TEST(signed_answers_are_whole_or_empty)
{
    static struct signed_rig g;
    static struct fixture_answer a;
    static char text[8192];
    uint8_t q[512];
    write_yaml(text, sizeof text, 32);
    signed_rig_start_on(&g, text, DNSKEY_ED25519, false, 1, 1795478400);
    g.c.source = fixture_ip("10.1.2.3");
    g.c.transport = ANSWER_UDP;
    size_t n = signed_query(q, "contoso.privatelink.example.io", T_A, false);
    q[n - 8] = q[n - 7] = 0; // its size: as 512
    signed_ask(&g, q, n, &a);
    ck_assert(ldns_pkt_tc(a.pkt) && !ldns_pkt_ancount(a.pkt) && a.info.truncated);
    fixture_answer_done(&a);
    check_fit(&g.c, "contoso.privatelink.example.io", T_A, 512);
    signed_rig_stop(&g);
}
END_TEST

// Names so long that not even the aliases fit, asked for in letters that no target can point to:
// those that are whole.
START_TEST(long_names_leave_whole_aliases_or_nothing)
{
#define N46 "a234567890123456789012345678901234567890123456"
#define LABEL63 "b23456789012345678901234567890123456789012345678901234567890123"
#define LONG_D LABEL63 "." LABEL63 ".x.example.io"
#define R31 "r234567890123456789012345678901"
    static const char yaml[] =
        "version: 1\ndomain: " LONG_D "\nhostmaster: h@example.io\nregions:\n"
        "  - { name: " R31 ", peer: 192.0.2.1:8443, stamps: [{ name: s-1, ipv4: [192.0.2.1] }] }\n"
        "name_servers: [s-1." R31 "]\nregistries:\n"
        "  - { name: " N46 ", hash: abcdefgh01234567, regional_endpoints: enabled, "
        "replicas: [{ region: " R31 " }] }\n"
        "views: [{ name: corp, sources: [10.1.0.0/16] }]\nprivate_endpoints:\n"
        "  - { name: pe, registry: " N46 ", view: corp, addresses: { registry: 10.1.0.4 } }\n";
    static const struct {
        const char *name;
        bool tc;
        unsigned n;
    } rows[] = {
        {N46 "-abcdefgh01234567." R31 ".geo." LONG_D, false, 3},
        {N46 "-abcdefgh01234567." R31 ".geo." LABEL63 "." LABEL63 ".x.example.IO", true, 0},
        {N46 "-abcdefgh01234567.privatelink." LABEL63 "." LABEL63 ".x.example.IO", false, 1},
        {N46 "-abcdefgh01234567." R31 ".geo.privatelink." LABEL63 "." LABEL63 ".x.example.IO",
         false, 2}};
    struct topology *t = fixture_parse(yaml);
    struct answer_context c = {.topology = t, .source = fixture_ip("10.1.2.3")};
    static struct fixture_answer a;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fixture_ask(&c, rows[i].name, T_A, -1, &a);
        ck_assert_msg(ldns_pkt_tc(a.pkt) == rows[i].tc && ldns_pkt_ancount(a.pkt) == rows[i].n,
                      "row %zu: %d, %u", i, ldns_pkt_tc(a.pkt), ldns_pkt_ancount(a.pkt));
        ck_assert(a.n <= 512 && a.info.rcode == 0);
        fixture_answer_done(&a);
    }
    snapshot_unref(t);
}
END_TEST

// A rate limit still sees the answers that are cut to fit.
START_TEST(a_part_counts_as_an_answer)
{
    struct topology *t = topology(32);
    struct answer_context c = {.topology = t, .source = fixture_ip("10.1.2.3")};
    struct node_dns_rrl settings = {.answers = 1, .burst_s = 1, .slip = 0};
    static struct fixture_answer a;
    struct rrl *r;
    ck_assert_int_eq(rrl_new(&settings, &r), 0);
    fixture_ask(&c, "contoso.example.io", T_A, -1, &a);
    ck_assert(a.info.truncated);
    ck_assert_int_eq(rrl_judge(r, &c.source, &a.info, a.wire, a.n, 1000), RRL_SEND);
    ck_assert_int_eq(rrl_judge(r, &c.source, &a.info, a.wire, a.n, 1000), RRL_DROP);
    fixture_answer_done(&a);
    rrl_free(r);
    snapshot_unref(t);
}
END_TEST

// The author is told of what does not fit, with the number that does: the one that is sent.
START_TEST(topology_check_says_what_does_not_fit)
{
    static const unsigned counts[] = {1, 13, 14, 15, 16, 26, 27, 28, 32};
    static struct fixture_answer a;
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        struct topology *t = topology(counts[i]);
        struct answer_context c = {.topology = t, .source = fixture_ip("10.1.2.3")};
        struct diag d;
        size_t told = 0;
        diag_init(&d);
        topology_advise(t, "t.yaml", &d);
        static const struct {
            const char *name, *source;
            uint16_t type;
        } asked[] = {{"contoso.example.io", "10.1.2.3", T_A},
                     {"contoso.eastus.geo.example.io", "10.1.2.3", T_AAAA},
                     {"fabrikam.eastus.geo.example.io", PUBLIC, T_A}};
        for (size_t k = 0; k < ARRAY_LEN(asked); k++) {
            c.source = fixture_ip(asked[k].source);
            fixture_ask(&c, asked[k].name, asked[k].type, -1, &a);
            told += ldns_pkt_tc(a.pkt);
            bool said = false;
            for (size_t m = 0; m < d.n; m++)
                said |= strstr(d.lines[m], asked[k].name) != NULL;
            ck_assert_msg(said == ldns_pkt_tc(a.pkt), "%u at %s", counts[i], asked[k].name);
            fixture_answer_done(&a);
        }
        ck_assert_uint_eq(diag_count(&d), told);
        if (counts[i] == 32)
            ck_assert_msg(strstr(d.lines[0], "in which 27 fit"), "%s", d.lines[0]);
        diag_done(&d);
        snapshot_unref(t);
    }
}
END_TEST

CHECK_MAIN("resolver/private_answers", foreign_names_by_view, in_private_views_what_fits_is_sent,
           signed_answers_are_whole_or_empty, long_names_leave_whole_aliases_or_nothing,
           a_part_counts_as_an_answer, topology_check_says_what_does_not_fit)
