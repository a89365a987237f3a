// SPDX-License-Identifier: Apache-2.0
// The edges of resolver/answer_sign: too little room, too many records, no ticket to wait with,
// keys and zones that are not those of the topology. What answers otherwise hold is test_dnssec's.
#include "base/mem.h"
#include "resolver/answer/answer.h"
#include "resolver/forward/forward.h"
#include "resolver/packet/tsig.h"
#include "resolver/packet/wire.h"
#include "resolver/zone/zone.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/signed_fixture.h"

#include <stdio.h>
#include <string.h>

#define NOW 1795478400
#define L63 "a23456789b123456789c123456789d123456789e123456789f123456789g123"

static struct signed_rig g;

static void start(void)
{
    signed_rig_start(&g, "apex: { txt: [one, two], mx: [{ host: mx.example.net }] }\n",
                     DNSKEY_ECDSAP256, false, 1, NOW);
}

static void stop(void)
{
    signed_rig_stop(&g);
}

// Another topology, with the keys of the rig's.
static struct topology *other(const char *yaml)
{
    struct topology *t = fixture_parse(yaml);
    t->dnssec = g.t->dnssec;
    return t;
}

#define REGION(ips)                                                                            \
    "version: 7\ndomain: example.io\nregions:\n  - { name: eastus, peer: \"192.0.2.1:8443\", " \
    "stamps: [ { name: " ips " } ] }\n"
#define CONTOSO "registries: [ { name: contoso, replicas: [ { region: eastus } ] } ]\n"
#define ONE REGION("eus-1, ipv4: [192.0.2.1]") "name_servers: [eus-1.eastus]\n" CONTOSO

struct asked {
    int rcode;
    bool truncated;
    uint16_t an, ns;
    size_t n_rrsig, n_nsec;
};

static struct asked ask(const char *name, uint16_t type)
{
    uint8_t q[512];
    struct fixture_answer a;
    signed_ask(&g, q, signed_query(q, name, type, true), &a);
    struct asked r = {.rcode = a.info.rcode,
                      .truncated = ldns_pkt_tc(a.pkt),
                      .an = ldns_pkt_ancount(a.pkt),
                      .ns = ldns_pkt_nscount(a.pkt)};
    for (int s = 0; s < 2; s++) {
        const ldns_rr_list *l = s ? ldns_pkt_authority(a.pkt) : ldns_pkt_answer(a.pkt);
        for (size_t i = 0; i < ldns_rr_list_rr_count(l); i++) {
            r.n_rrsig += ldns_rr_get_type(ldns_rr_list_rr(l, i)) == LDNS_RR_TYPE_RRSIG;
            r.n_nsec += ldns_rr_get_type(ldns_rr_list_rr(l, i)) == LDNS_RR_TYPE_NSEC;
        }
    }
    fixture_answer_done(&a);
    return r;
}

// Every kind of answer in every size of room: whole with all its signatures, or without any record.
START_TEST(too_little_room)
{
    static const struct {
        const char *name;
        uint16_t type;
    } rows[] = {{"example.io", T_SOA},
                {"example.io", T_NS},
                {"example.io", T_DNSKEY},
                {"example.io", T_TXT},
                {"example.io", T_CDS},
                {"fe.example.io", T_DNSKEY},
                {"fe.example.io", T_DS},
                {"fe.example.io", T_NS},
                {"eus-1.eastus.fe.example.io", T_A},
                {"contoso.example.io", T_A},
                {"contoso.example.io", T_TXT},
                {"contoso.example.io", T_NSEC},
                {"contoso.example.io", T_RRSIG},
                {"nobody.example.io", T_A},
                {"nobody.fe.example.io", T_A},
                {"geo.example.io", T_A},
                {"eastus.fe.example.io", T_A},
                {"_route.plain.example.io", T_A},
                {L63 "." L63 "." L63 ".example.io", T_A},
                {"contoso.eastus.geo.example.io", T_AAAA}};
    size_t n_failed = 0, n_whole = 0;
    start();
    g.c.transport = ANSWER_TCP;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct asked whole = ask(rows[i].name, rows[i].type); // and all signatures are there now
        ck_assert_int_ne(whole.rcode, DNS_SERVFAIL);
        // below 512 beside a neighbour's signature
        for (size_t cap = 100; cap < 1400; cap += cap < 700 ? 1 : 7) {
            uint8_t q[512], out[1400];
            struct answer_info info;
            ldns_pkt *pkt;
            out[cap] = 0xee;
            size_t n = answer_packet(&g.c, q, signed_query(q, rows[i].name, rows[i].type, true),
                                     out, cap, &info);
            ck_assert_uint_eq(out[cap], 0xee);
            if (n == 0 && cap < 300) // not even the question
                continue;
            ck_assert_int_eq(ldns_wire2pkt(&pkt, out, n), LDNS_STATUS_OK);
            bool failed = info.rcode == DNS_SERVFAIL;
            ck_assert_uint_eq(ldns_pkt_ancount(pkt), failed ? 0 : whole.an);
            ck_assert_uint_eq(ldns_pkt_nscount(pkt), failed ? 0 : whole.ns);
            n_failed += failed;
            n_whole += !failed;
            ldns_pkt_free(pkt);
        }
    }
    ck_assert_msg(n_failed > 50 && n_whole > 1000, "%zu failed, %zu whole", n_failed, n_whole);
    stop();
}
END_TEST

START_TEST(nothing_to_wait_with)
{
    uint8_t q[512], out[DNS_UDP_CEILING];
    struct answer_info info;
    start();
    size_t n = signed_query(q, "contoso.example.io", T_A, true);
    ck_assert_uint_gt(answer_packet(&g.c, q, n, out, sizeof out, &info), 0);
    ck_assert(info.truncated && !info.pending); // the client comes again, over TCP
    g.c.transport = ANSWER_TCP;
    ck_assert_uint_gt(answer_packet(&g.c, q, n, out, sizeof out, &info), 0);
    ck_assert_int_eq(info.rcode, DNS_SERVFAIL);
    stop();
}
END_TEST

// The zone of the frontends that is signed is another one: nothing of it is said to be the
// topology's.
START_TEST(a_zone_that_is_not_the_topologys)
{
    static const struct {
        const char *yaml, *name;
        uint16_t type;
    } rows[] = {
        {REGION("eus-1, ipv4: [192.0.2.1, 192.0.2.2]") "name_servers: [eus-1.eastus]\n" CONTOSO,
         "eus-1.eastus.fe.example.io", T_A}, // one more
        {REGION("eus-1, ipv4: [192.0.2.9]") "name_servers: [eus-1.eastus]\n" CONTOSO,
         "eus-1.eastus.fe.example.io", T_A}, // another
        {REGION("eus-1, ipv4: [192.0.2.1]") "name_servers: [eus-1.eastus]\n" CONTOSO,
         "fe.example.io", T_NS},
        {REGION("eus-10, ipv4: [192.0.2.1]") "name_servers: [eus-10.eastus]\n" CONTOSO,
         "fe.example.io", T_SOA}, // another length
    };
    start();
    g.c.transport = ANSWER_TCP;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct topology *t = other(rows[i].yaml);
        g.c.topology = t;
        ck_assert_msg(ask(rows[i].name, rows[i].type).rcode == DNS_SERVFAIL, "row %zu", i);
        // the zone is being signed: it will be there when the client comes by TCP
        g.c.transport = ANSWER_UDP;
        struct asked a = ask(rows[i].name, rows[i].type);
        ck_assert_msg(a.truncated && !a.rcode && !a.an, "row %zu", i);
        g.c.transport = ANSWER_TCP;
        snapshot_unref(t);
    }
    // A zone whose signatures and denials are not there.
    struct dnssec d = *g.d;
    ck_assert_int_eq(zone_frontend_new(g.t, g.d->zone->serial, &d.zone), 0);
    g.c.topology = g.t;
    g.c.dnssec = &d;
    ck_assert_int_eq(ask("eus-1.eastus.fe.example.io", T_A).rcode, DNS_SERVFAIL);
    ck_assert_int_eq(ask("nobody.fe.example.io", T_A).rcode, DNS_SERVFAIL);
    snapshot_unref(d.zone);
    stop();
}
END_TEST

START_TEST(nothing_to_sign_with)
{
    uint8_t apex[DNS_NAME_MAX];
    start();
    struct dnssec d = *g.d;
    ck_assert_int_eq(ask("contoso.example.io", T_A).rcode, 0);
    g.c.dnssec = &d;
    d.main.apex = apex; // keys of another domain: of another length, and of the same
    d.main.apex_n = dns_name_from_text("example.com", apex);
    ck_assert_int_eq(ask("contoso.example.io", T_A).rcode, DNS_SERVFAIL);
    d.main.apex_n = dns_name_from_text("example.oi", apex);
    ck_assert_int_eq(ask("contoso.example.io", T_A).rcode, DNS_SERVFAIL);
    g.c.dnssec = g.d;
    g.c.signer = NULL;
    ck_assert_int_eq(ask("contoso.example.io", T_A).rcode, DNS_SERVFAIL);
    g.c.dnssec = NULL;
    ck_assert_int_eq(ask("contoso.example.io", T_A).rcode, DNS_SERVFAIL);
    ck_assert_int_eq(ask("example.io", T_DNSKEY).rcode, DNS_SERVFAIL);
    ck_assert_int_eq(ask("fe.example.io", T_DS).rcode, DNS_SERVFAIL);
    ck_assert_int_eq(ask("contoso.example.io", T_NSEC).rcode, DNS_SERVFAIL);
    ck_assert_int_eq(ask("www.example.com", T_A).rcode, DNS_REFUSED); // not ours: nothing to sign
    g.c.topology = NULL;
    ck_assert_int_eq(ask("contoso.example.io", T_A).rcode, DNS_SERVFAIL);
    stop();
}
END_TEST

// The name after a denied one always has room, but for one name that is the last of its length.
START_TEST(the_last_name_there_is)
{
    // too long: shortened below
    static const char *const name = L63 "." L63 "." L63 "." L63 ".example.io";
    uint8_t q[512], last[DNS_NAME_MAX];
    struct fixture_answer a;
    start();
    for (size_t len = 240; len <= 253; len++) {
        struct asked r = ask(name + strlen(name) - len, T_A);
        ck_assert(r.rcode == 3 && r.n_nsec == 1);
    }
    ck_assert_uint_eq(dns_name_from_text(name + strlen(name) - 253, last), sizeof last);
    memset(last, 'a', 51 + 64 + 64);
    last[0] = last[64] = last[128] = 63;
    last[192] = 50;
    memset(last + 193, 'a', 50);
    memcpy(last + 243, "\7example\2io", 12);
    memset(last + 1, 0xff, 63);
    size_t n = signed_query(q, name + strlen(name) - 253, T_A, true);
    memcpy(q + 12, last, sizeof last);
    signed_ask(&g, q, n, &a);
    ck_assert_int_eq(a.info.rcode, DNS_SERVFAIL);
    fixture_answer_done(&a);
    stop();
}
END_TEST

// Below an insecure cut nothing is signed or denied, on the way there everything is.
START_TEST(an_insecure_cut)
{
    start();
    struct topology *t =
        other("private_cut: insecure\n" ONE "views: [ { name: corp, sources: [192.0.2.0/24] } ]\n"
              "private_endpoints: [ { name: pe, registry: contoso, view: corp, addresses: { "
              "registry: 10.1.0.4 } } ]\n");
    g.c.topology = t;
    struct asked a = ask("contoso.example.io", T_A);
    ck_assert(a.rcode == 0 && a.an == 3 && a.n_rrsig == 1); // CNAME and its signature, the address
    a = ask("contoso.privatelink.example.io", T_AAAA);
    ck_assert(a.rcode == 0 && a.ns == 1 && a.n_rrsig == 0 && a.n_nsec == 0);
    a = ask("nobody.privatelink.example.io", T_A);
    ck_assert(a.rcode == 3 && a.ns == 1);
    a = ask("privatelink.example.io", T_NS);
    ck_assert(a.rcode == 0 && a.an == 1 && a.n_rrsig == 0);
    a = ask("privatelink.example.io", T_DNSKEY);
    ck_assert(a.rcode == 0 && a.an == 0 && a.ns == 1);
    a = ask("privatelink.example.io", T_DS); // that there is none is D's to say
    ck_assert(a.rcode == 0 && a.an == 0 && a.n_nsec == 1 && a.n_rrsig == 2);
    snapshot_unref(t);
    stop();
}
END_TEST

// RFC 9077: what an NSEC may be cached for is what the SOA says, by either of its numbers.
START_TEST(the_ttl_of_an_nsec)
{
    static const struct {
        const char *ttl;
        uint32_t nsec;
    } rows[] = {{"ttl: { negative: 61s, soa: 300s }\n", 61},
                {"ttl: { negative: 300s, soa: 30s }\n", 30}};
    start();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char yaml[1024];
        uint8_t q[512];
        struct fixture_answer a;
        snprintf(yaml, sizeof yaml, "%s%s", ONE, rows[i].ttl);
        struct topology *t = other(yaml);
        g.c.topology = t;
        for (int asked = 0; asked < 2; asked++) { // for it, and for another type
            signed_ask(&g, q, signed_query(q, "geo.example.io", asked ? T_NSEC : T_A, false), &a);
            ldns_rr_list *l =
                ldns_pkt_rr_list_by_type(a.pkt, LDNS_RR_TYPE_NSEC, LDNS_SECTION_ANY_NOQUESTION);
            ck_assert_uint_eq(ldns_rr_list_rr_count(l), 1);
            ck_assert_uint_eq(ldns_rr_ttl(ldns_rr_list_rr(l, 0)), rows[i].nsec);
            ldns_rr_list_deep_free(l);
            fixture_answer_done(&a);
        }
        snapshot_unref(t);
    }
    stop();
}
END_TEST

#define R31 "r23456789a123456789b123456789c1"
#define L50 "n23456789a123456789b123456789c123456789d123456789e"
#define LONG_REGION                                                                            \
    "version: 7\ndomain: example.io\nregions:\n  - { name: " R31                               \
    ", peer: \"192.0.2.1:8443\", stamps: [ { name: s, ipv4: [192.0.2.1] } ] }\nname_servers: " \
    "[s." R31 "]\n"                                                                            \
    "registries: [ { name: " L50 ", replicas: [ { region: " R31 " } ] } ]\n"

static struct topology *many_addresses(const char *member, int n)
{
    static char yaml[16384];
    size_t at = (size_t)snprintf(yaml, sizeof yaml,
                                 LONG_REGION "views: [ { name: corp, sources: [192.0.2.0/24] } ]\n"
                                             "private_endpoints: [ { name: pe, registry: " L50
                                             ", view: corp, addresses: { %s: [",
                                 member);
    for (int i = 0; i < n; i++)
        at += (size_t)snprintf(yaml + at, sizeof yaml - at, "%s\"2001:db8::%d\"", i ? ", " : "",
                               1 + i);
    snprintf(yaml + at, sizeof yaml - at, "] } } ]\n");
    return other(yaml);
}

// As many as a member may have can be signed, but not if the names are as long as they can be.
START_TEST(more_records_than_can_be_signed)
{
    static const char global[] = L50 ".privatelink.example.io",
                      data[] = L50 "." R31 ".data.privatelink.example.io";
    static const struct {
        const char *member, *name;
        int n, rcode;
    } rows[] = {{"registry", global, 32, 0},
                {"registry_data_" R31, data, 24, 0},
                {"registry_data_" R31, data, 32, DNS_SERVFAIL}};
    start();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct topology *t = many_addresses(rows[i].member, rows[i].n);
        g.c.topology = t;
        g.c.transport = ANSWER_TCP;
        struct asked a = ask(rows[i].name, T_AAAA);
        ck_assert_msg(a.rcode == rows[i].rcode && a.an == (a.rcode ? 0 : rows[i].n + 1), "%zu: %d",
                      i, a.rcode);
        g.c.transport = ANSWER_UDP;
        a = ask(rows[i].name, T_AAAA);
        // to come by TCP
        ck_assert(a.truncated == (rows[i].rcode != 0) && (a.an == 0) == a.truncated);
        snapshot_unref(t);
    }
    stop();
}
END_TEST

// What the topology lets pass can be signed: to the octet at D, and in fe.D, where it would take
// the zone with it.
START_TEST(the_largest_records_of_a_topology)
{
    static char yaml[16384];
    char text[2004];
    // with seven more lengths 2011 octets: 30 + 2 * (22 + 2011) = 4096 to sign
    memset(text, 'x', 2003);
    text[2003] = 0;
    snprintf(yaml, sizeof yaml,
             "apex:\n  txt: [a%s, b%s]\n  acme_challenge: [{ at: eastus.fe, txt: [c%s, %s] }]\n",
             text + 1, text + 1, text + 100, text + 100);
    signed_rig_start(&g, yaml, DNSKEY_ED25519, true, 1, NOW);
    g.c.transport = ANSWER_TCP;
    struct asked a = ask("example.io", T_TXT);
    ck_assert(a.rcode == 0 && a.an == 3 && a.n_rrsig == 1);
    a = ask("_acme-challenge.eastus.fe.example.io", T_TXT);
    ck_assert(a.rcode == 0 && a.an == 3 && a.n_rrsig == 1);
    stop();
}
END_TEST

START_TEST(a_query_that_waits_for_an_upstream)
{
    struct forwarder *f;
    uint8_t q[512], out[DNS_UDP_CEILING];
    struct answer_info info;
    start();
    struct topology *t = other(ONE "views: [ { name: corp, sources: [192.0.2.0/24], forward: { "
                                   "upstreams: \"127.0.0.1:9\", names: . } } ]\n");
    ck_assert_int_eq(forwarder_start(NULL, 0, &f), 0);
    g.c.topology = t;
    g.c.forwarder = f;
    g.c.ticket = pending_ticket_of(g.inbox, 0);
    ck_assert_uint_eq(answer_packet(&g.c, q, signed_query(q, "www.example.com", T_A, true), out,
                                    sizeof out, &info),
                      0);
    ck_assert(info.pending);
    forwarder_stop(f);
    snapshot_unref(t);
    stop();
}
END_TEST

// It is signed by both: the answer, once its signatures are there, and the message around it.
START_TEST(a_neighbours_query_waits_for_a_signature)
{
    static const char text[] = "hmac-sha256:k:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    struct tsig_key *key;
    struct tsig s;
    struct fixture_answer a;
    uint8_t q[512], out[DNS_UDP_CEILING];
    struct answer_info info;
    start();
    ck_assert_int_eq(tsig_key_parse(text, sizeof text - 1, "k", &key), 0);
    const struct tsig_keys keys = {.n = 1, .keys = &key};
    g.c.tsig_keys = &keys;
    size_t n = signed_query(q, "contoso.example.io", T_A, true);
    tsig_begin(key, 0x1234, &s);
    n = tsig_sign(&s, q, n, sizeof q, NOW);
    g.c.ticket = pending_ticket_of(g.inbox, 0);
    ck_assert_uint_eq(answer_packet(&g.c, q, n, out, sizeof out, &info), 0);
    ck_assert(info.pending && info.rcode != DNS_DROP);
    signed_ask(&g, q, n, &a);
    ck_assert(ldns_pkt_tsig(a.pkt) && ldns_pkt_ancount(a.pkt) > 2);
    fixture_answer_done(&a);
    tsig_key_free(key);
    stop();
}
END_TEST

CHECK_MAIN("resolver/sign_edges", too_little_room, nothing_to_wait_with,
           a_zone_that_is_not_the_topologys, nothing_to_sign_with, the_last_name_there_is,
           an_insecure_cut, more_records_than_can_be_signed, the_ttl_of_an_nsec,
           the_largest_records_of_a_topology, a_query_that_waits_for_an_upstream,
           a_neighbours_query_waits_for_a_signature)
