// SPDX-License-Identifier: Apache-2.0
// The edges of wire, edns and answer that no other test comes to: options that are nearly right,
// names and answers as long as they can be in as little room as there is, contexts that lack a
// part. With the others it makes the branch coverage of these files whole (tools/coverage).
#include "resolver/answer/answer.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "resolver/answer/priv.h"
#include "resolver/forward/forward.h"
#include "resolver/packet/cookies.h"
#include "resolver/packet/tsig.h"
#include "resolver/packet/wire.h"
#include "resolver/zone/zone.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <stdio.h>
#include <string.h>

#define T_IXFR 251
#define T_AXFR 252

// ---- queries ----

// A query whose OPT holds these octets of options.
static size_t query_with_options(uint8_t *p, const char *name, uint16_t type, const void *options,
                                 size_t n_options)
{
    size_t n = fixture_query(p, name, type, 512);
    p[n - 2] = (uint8_t)(n_options >> 8);
    p[n - 1] = (uint8_t)n_options;
    memcpy(p + n, options, n_options);
    return n + n_options;
}

START_TEST(options_that_are_nearly_right)
{
    static const struct {
        const char *o;
        size_t n;
        int rcode;
    } rows[] = {
#define ROW(text, rcode) {text, sizeof text - 1, rcode}
        ROW("\0\x08\0\x04\0\0\0\0", 0), // no address at all
        ROW("\0\x08\0\x05\0\1\x08\0\x0a", 0),
        ROW("\0\x08\0\x03\0\1\0", DNS_FORMERR),               // cut off
        ROW("\0\x08\0\x05\0\1\x08\x08\x0a", DNS_FORMERR),     // a scope in a query
        ROW("\0\x08\0\x04\0\3\0\0", DNS_FORMERR),             // a third family
        ROW("\0\x08\0\x09\0\1\x21\0\1\2\3\4\0", DNS_FORMERR), // 33 bits of IPv4
        ROW("\0\x08\0\x05\0\0\x08\0\x0a", DNS_FORMERR),       // bits of no family
        ROW("\0\x08\0\x06\0\1\x08\0\x0a\0", DNS_FORMERR),     // an octet too many
        ROW("\0\x08\0\x05\0\1\x07\0\x0b", DNS_FORMERR),       // a bit past the prefix
        ROW("\0\x08\0\x05\0\1\x07\0\x0a", 0),
        ROW("\0\x08\0\x04\0\0\0\0\0\x08\0\x04\0\3\0\0", 0), // of two the first counts
        ROW("\0\x0a\0\x08"
            "12345678",
            0),
        ROW("\0\x0a\0\x08"
            "12345678"
            "\0\x0a\0\1x",
            0),
        ROW("\0\x0a\0\x07"
            "1234567",
            DNS_FORMERR),
        ROW("\0\x0a\0\x09"
            "123456789",
            DNS_FORMERR),
        ROW("\0\x0a\0\x28"
            "1234567812345678123456781234567812345678",
            0),
        ROW("\0\x0a\0\x29"
            "12345678123456781234567812345678123456789",
            DNS_FORMERR),
        ROW("\0\x0a\0", DNS_FORMERR),
        ROW("\0\x03\0\x09", DNS_FORMERR),
#undef ROW
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t p[1024];
        struct dns_query q;
        size_t n = query_with_options(p, "contoso.example.io", T_A, rows[i].o, rows[i].n);
        ck_assert_msg(dns_query_parse(p, n, &q) == rows[i].rcode, "row %zu", i);
    }
}
END_TEST

START_TEST(the_serial_of_an_ixfr_query)
{
    static const struct {
        // behind the owner, which is the question's
        const char *authority;
        size_t n;
        bool there;
    } rows[] = {
#define ROW(text, there) {text, sizeof text - 1, there}
        ROW("\0\6\0\1\0\0\0\0\0\x16\0\0\0\0\0\x2a"
            "12345678"
            "12345678",
            true),
        ROW("\0\1\0\1\0\0\0\0\0\x16\0\0\0\0\0\x2a"
            "12345678"
            "12345678",
            false), // an address
        ROW("\0\6\0\3\0\0\0\0\0\x16\0\0\0\0\0\x2a"
            "12345678"
            "12345678",
            false),                             // of class CHAOS
        ROW("\0\6\0\1\0\0\0\0\0\2\0\0", false), // without a serial
#undef ROW
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t p[512];
        struct dns_query q;
        uint32_t serial = 7;
        size_t n = fixture_query(p, "fe.example.io", T_IXFR, -1);
        p[9] = 1;
        memcpy(p + n, "\xc0\x0c", 2);
        memcpy(p + n + 2, rows[i].authority, rows[i].n);
        n += 2 + rows[i].n;
        ck_assert_int_eq(dns_query_parse(p, n, &q), 0);
        ck_assert_int_eq(dns_query_ixfr_serial(p, n, &q, &serial), rows[i].there);
        ck_assert_uint_eq(serial, rows[i].there ? 42 : 7);
    }
    uint8_t p[512];
    struct dns_query q;
    uint32_t serial;
    size_t n = fixture_query(p, "fe.example.io", T_IXFR, -1);
    ck_assert_int_eq(dns_query_parse(p, n, &q), 0);
    ck_assert(!dns_query_ixfr_serial(p, n, &q, &serial));
}
END_TEST

// ---- the writer ----

START_TEST(a_writer_without_room)
{
    uint8_t out[64], p[512];
    struct dns_writer w;
    struct dns_query q;
    ck_assert_int_eq(dns_query_parse(p, fixture_query(p, "contoso.example.io", T_A, -1), &q), 0);
    dns_writer_init(&w, out, 12 + 19); // less than header and question
    dns_write_header(&w, &q, 0, true);
    ck_assert(w.full && w.n == 0);
    dns_write_header(&w, &q, 0, true); // full already
    ck_assert(w.full && w.n == 0);
    dns_writer_init(&w, out, sizeof out);
    dns_write_u16(&w, 1);
    dns_write_header(&w, &q, 0, true); // a header stands in front
    ck_assert(w.full && w.n == 2);
    dns_writer_init(&w, out, 11);
    dns_write_rr_head_at(&w, 12, DNS_A, 1);
    ck_assert(!w.full && w.n == 10);
    dns_write_rr_head_at(&w, 12, DNS_A, 1);
    ck_assert(w.full && w.n == 10);
}
END_TEST

START_TEST(names_past_the_reach_of_a_pointer)
{
    static uint8_t out[0x4000 + 100], zero[0x4000];
    struct dns_writer w;
    uint8_t name[DNS_NAME_MAX];
    size_t n = dns_name_from_text("a.b", name);
    dns_writer_init(&w, out, sizeof out);
    dns_write_bytes(&w, zero, sizeof zero);
    dns_write_name(&w, name, n);
    dns_write_name(&w, name, n);
    ck_assert_uint_eq(w.n, sizeof zero + 2 * n); // both whole
    ck_assert_uint_eq(w.n_offsets, 0);
    dns_writer_init(&w, out, sizeof out);
    dns_write_name(&w, name, n - 1); // a name that lost its root gets one
    ck_assert_uint_eq(w.n, n);
}
END_TEST

START_TEST(a_text_without_an_error_is_not_written)
{
    uint8_t out[100];
    struct dns_writer w;
    struct dns_query q = {.edns = true};
    struct edns_response o = {.ede = EDE_NONE, .ede_text = "a text", .nsid = "ns"};
    dns_writer_init(&w, out, sizeof out);
    edns_write(&w, &q, &o);
    ck_assert_uint_eq(w.n, DNS_OPT_BYTES + 6);
}
END_TEST

// ---- answers ----

#define L63 "a23456789b123456789c123456789d123456789e123456789f123456789g123"
#define LONG_D L63 "." L63 ".abcdefghi.ab" // 140 octets, the longest there is
#define R31 "r23456789a123456789b123456789c1"
#define L50 "n23456789a123456789b123456789c123456789d123456789e"

static struct topology *long_topology(void)
{
    static char yaml[16384];
    size_t n = (size_t)snprintf(yaml, sizeof yaml,
                                "version: 7\ndomain: " LONG_D "\nregions:\n  - name: " R31
                                "\n    peer: 192.0.2.1:8443\n    stamps:\n");
    for (char c = 'a'; c < 'a' + 13; c++)
        n += (size_t)snprintf(yaml + n, sizeof yaml - n,
                              "      - { name: %.62s%c, ipv4: [192.0.2.%d] }\n", L63, c, c - 96);
    n += (size_t)snprintf(yaml + n, sizeof yaml - n, "name_servers: [");
    for (char c = 'a'; c < 'a' + 13; c++)
        n += (size_t)snprintf(yaml + n, sizeof yaml - n, "%s%.62s%c." R31, c == 'a' ? "" : ", ",
                              L63, c);
    n += (size_t)snprintf(yaml + n, sizeof yaml - n,
                          "]\nregistries:\n  - { name: " L50
                          ", regional_endpoints: enabled, replicas: [ { region: " R31 " } ] }\n"
                          "ttl: { soa: 30s, negative: 60s }\n"
                          "apex: { acme_challenge: [ { txt: [");
    for (int i = 0; i < 6; i++)
        n += (size_t)snprintf(yaml + n, sizeof yaml - n, "%s\"%d" L63 L63 "\"", i ? ", " : "", i);
    snprintf(yaml + n, sizeof yaml - n,
             "] } ] }\n"
             "views: [ { name: corp, sources: [10.0.0.0/8] } ]\n"
             "private_endpoints: [ { name: pe, registry: " L50
             ", view: corp, addresses: { registry_" R31 ": 10.1.0.5 } } ]\n");
    return fixture_parse(yaml);
}

// With all that an OPT must have: a Client Subnet of 128 bits and a cookie.
static const char full_options[] =
    "\0\x08\0\x14\0\2\x80\0\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\x0a\0\x08"
    "12345678";

static void upper(uint8_t *name)
{
    for (size_t at = 0; name[at]; at += 1u + name[at])
        for (size_t i = at + 1; i <= at + name[at]; i++)
            name[i] -= name[i] >= 'a' && name[i] <= 'z' ? 0x20 : 0;
}

// Every kind of name, as long as it can be, in every size of room over UDP, with few and with many
// options, in lower and in upper case: whole, or truncated, and always a message.
START_TEST(the_longest_names_in_the_least_room)
{
    static const char secret[] = "e5e973e5a6b2a43f48e7dc849e37bfcf";
    static const char *const names[] = {LONG_D,
                                        "fe." LONG_D,
                                        L50 "." LONG_D,
                                        "_route." L50 "." LONG_D,
                                        L50 "." R31 ".geo." LONG_D,
                                        L50 "." R31 ".data." LONG_D,
                                        L50 ".privatelink." LONG_D,
                                        L50 "." R31 ".geo.privatelink." LONG_D,
                                        L50 "." R31 ".data.privatelink." LONG_D,
                                        L63 "." R31 ".fe." LONG_D,
                                        "_acme-challenge." LONG_D,
                                        "nobody." LONG_D};
    static const uint16_t types[] = {T_A, T_NS, T_CNAME, T_SOA, T_TXT, T_AAAA, T_DS, T_ANY};
    struct cookies *cookies;
    size_t n_truncated = 0, n_whole = 0, n_parts = 0;
    struct topology *t = long_topology();
    struct answer_context c = {.topology = t, .now_s = 1559731985};
    ck_assert_int_eq(cookies_parse(bytes_str(secret), "test", NULL, &cookies), 0);
    for (size_t i = 0; i < ARRAY_LEN(names) * ARRAY_LEN(types) * 8; i++) {
        uint8_t q[1024], out[DNS_UDP_CEILING + 1];
        bool private = i & 1, options = i & 2, shout = i & 4;
        const char *name = names[i / 8 % ARRAY_LEN(names)];
        uint16_t type = types[i / 8 / ARRAY_LEN(names)];
        struct answer_info info;
        ldns_pkt *pkt;
        size_t n = options
                       ? query_with_options(q, name, type, full_options, sizeof full_options - 1)
                       : fixture_query(q, name, type, -1);
        if (shout)
            upper(q + 12);
        c.source = fixture_ip(private ? "10.1.2.3" : "192.0.2.9");
        c.cookies = options ? cookies : NULL;
        out[DNS_UDP_CEILING] = 0xee;
        size_t got = answer_packet(&c, q, n, out, DNS_UDP_CEILING, &info);
        ck_assert_msg(got <= 512 && ldns_wire2pkt(&pkt, out, got) == LDNS_STATUS_OK, "%s %d", name,
                      type);
        ck_assert_int_eq(ldns_pkt_edns(pkt), options);
        ck_assert_int_eq(ldns_pkt_tc(pkt), info.truncated);
        ck_assert(!info.truncated || ldns_pkt_nscount(pkt) == 0);
        ck_assert(!info.truncated || private || ldns_pkt_ancount(pkt) == 0);
        n_parts += info.truncated && ldns_pkt_ancount(pkt);
        n_truncated += info.truncated;
        n_whole += !info.truncated;
        ldns_pkt_free(pkt);
        // in no more room than a datagram has: what does not fit is SERVFAIL
        c.transport = ANSWER_TCP;
        got = answer_packet(&c, q, n, out, 512, &info);
        ck_assert_int_eq(ldns_wire2pkt(&pkt, out, got), LDNS_STATUS_OK);
        ck_assert(!ldns_pkt_tc(pkt) && (ldns_pkt_get_rcode(pkt) != 2 || !ldns_pkt_aa(pkt)));
        ldns_pkt_free(pkt);
        c.transport = ANSWER_UDP;
    }
    ck_assert_uint_gt(n_truncated, 20);
    ck_assert_uint_gt(n_whole, 200);
    ck_assert_uint_gt(n_parts, 5);
    snapshot_unref(cookies);
    snapshot_unref(t);
}
END_TEST

START_TEST(a_soa_that_lives_shorter_than_absence)
{
    struct topology *t = long_topology();
    struct answer_context c = {.topology = t, .source = fixture_ip("192.0.2.9")};
    struct fixture_answer a;
    fixture_ask(&c, "nobody." LONG_D, T_A, 1232, &a);
    // RFC 2308 section 3
    ck_assert_uint_eq(ldns_rr_ttl(ldns_rr_list_rr(ldns_pkt_authority(a.pkt), 0)), 30);
    fixture_answer_done(&a);
    snapshot_unref(t);
}
END_TEST

START_TEST(a_private_network_that_covers_other_names_only)
{
    struct topology *t = long_topology();
    struct answer_context c = {
        .topology = t, .transport = ANSWER_TCP, .source = fixture_ip("10.1.2.3")};
    struct fixture_answer a;
    // the global name leaves the network
    fixture_ask(&c, "_route." L50 "." LONG_D, T_TXT, 1232, &a);
    ck_assert_ptr_nonnull(strstr(fixture_text(ldns_pkt_answer(a.pkt)), "reason=healthy"));
    fixture_answer_done(&a);
    snapshot_unref(t);
}
END_TEST

// The query, with a cookie that is good, signed by a key; `out` has room for 2,048 octets.
static size_t signed_with_cookie(const struct answer_context *c, const char *name, uint16_t type,
                                 const struct tsig_key *key, uint8_t *out)
{
    uint8_t options[sizeof full_options + 16] = {0};
    struct dns_query q;
    struct tsig s;
    memcpy(options, full_options, sizeof full_options - 1);
    size_t n = query_with_options(out, name, type, options, sizeof full_options - 1);
    ck_assert_int_eq(dns_query_parse(out, n, &q), 0);
    ck_assert(!cookies_check(c->cookies, &q, &c->source, c->now_s,
                             options + sizeof full_options - 1 - 8));
    options[sizeof full_options - 1 - 9] = EDNS_COOKIE_BYTES;
    n = query_with_options(out, name, type, options, sizeof full_options - 1 + 16);
    tsig_begin(key, 0x1234, &s);
    n = tsig_sign(&s, out, n, 2048, c->now_s);
    ck_assert_uint_gt(n, 0);
    return n;
}

// A key's name may be long too, and its record stands beside the answer: then there is less room
// than anywhere else.
START_TEST(signed_answers_in_what_room_a_long_key_leaves)
{
    static const char secret[] = "e5e973e5a6b2a43f48e7dc849e37bfcf";
    static const char *const names[] = {LONG_D, "_route." L50 "." LONG_D,
                                        L50 "." R31 ".geo.privatelink." LONG_D,
                                        L63 "." L63 "." L63 "." L63 + 2, "a.b"};
    static const char *const key_names[] = {"k", L63, L63 "." L63, L63 "." L63 "." L63,
                                            L63 "." L63 "." L63 "." L63 + 2};
    struct topology *t = long_topology();
    struct answer_context c = {
        .topology = t, .now_s = 1559731985, .source = fixture_ip("192.0.2.9")};
    struct cookies *cookies;
    size_t n_bare = 0, n_whole = 0, n_truncated = 0;
    ck_assert_int_eq(cookies_parse(bytes_str(secret), "test", NULL, &cookies), 0);
    c.cookies = cookies;
    for (size_t k = 0; k < ARRAY_LEN(key_names); k++) {
        char text[400];
        struct tsig_key *key;
        size_t n = (size_t)snprintf(
            text, sizeof text,
            "hmac-sha512:%s:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", key_names[k]);
        ck_assert_int_eq(tsig_key_parse(text, n, key_names[k], &key), 0);
        struct tsig_keys keys = {.n = 1, .keys = &key};
        c.tsig_keys = &keys;
        for (size_t i = 0; i < ARRAY_LEN(names) * 2; i++) {
            uint8_t q[2048], out[DNS_UDP_CEILING];
            struct answer_info info;
            ldns_pkt *pkt;
            n = signed_with_cookie(&c, names[i / 2], i % 2 ? T_TXT : T_SOA, key, q);
            size_t got = answer_packet(&c, q, n, out, sizeof out, &info);
            ck_assert_msg(got > 0 && got <= 512 && ldns_wire2pkt(&pkt, out, got) == LDNS_STATUS_OK,
                          "%s %s", key_names[k], names[i / 2]);
            ck_assert(ldns_pkt_tsig(pkt) && (ldns_pkt_edns(pkt) || ldns_pkt_tc(pkt)));
            n_bare += !ldns_pkt_edns(pkt);
            n_truncated += ldns_pkt_tc(pkt);
            n_whole += !ldns_pkt_tc(pkt);
            ldns_pkt_free(pkt);
        }
        tsig_key_free(key);
    }
    ck_assert(n_bare > 0 && n_whole > 5 && n_truncated > n_bare);
    snapshot_unref(cookies);
    snapshot_unref(t);
}
END_TEST

// ---- what a context lacks ----

static int rcode_of(const struct answer_context *c, const uint8_t *q, size_t n)
{
    uint8_t out[DNS_UDP_CEILING];
    struct answer_info info;
    size_t got = answer_packet(c, q, n, out, sizeof out, &info);
    ck_assert_uint_ge(got, 12);
    return info.rcode;
}

START_TEST(a_transfer_that_cannot_be_read)
{
    struct topology *t = fixture_topology();
    uint8_t q[512];
    struct answer_context c = {
        .topology = t, .transport = ANSWER_TCP, .source = fixture_ip("192.0.2.9")};
    size_t n = fixture_query(q, "fe.example.io", T_AXFR, 512);
    q[n - 5] = 1; // EDNS version 1
    ck_assert_int_eq(rcode_of(&c, q, n), DNS_BADVERS);
    q[n - 5] = 0;
    ck_assert_int_eq(rcode_of(&c, q, n), DNS_REFUSED);
    static const uint8_t tsig[] = {0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 0};
    // signed, and of a version that we do not know
    n = fixture_query(q, "fe.example.io", T_SOA, 512);
    q[n - 5] = 1;
    q[11] = 2;
    memcpy(q + n, tsig, sizeof tsig);
    ck_assert_int_eq(rcode_of(&c, q, n + sizeof tsig), DNS_BADVERS);
    snapshot_unref(t);
}
END_TEST

START_TEST(ixfr_over_udp_needs_all_of_it)
{
    struct topology *t = fixture_topology();
    struct zone *z;
    uint8_t p[512];
    struct dns_query q;
    ck_assert_int_eq(zone_frontend_new(t, 7, &z), 0);
    struct answer_context c = {.topology = t, .frontend = z, .source = fixture_ip("192.0.2.9")};
    const struct {
        const char *name;
        bool topology;
        enum answer_transport transport;
    } rows[] = {{"fe.example.io", true, ANSWER_UDP},
                {"ef.example.io", true, ANSWER_UDP},
                {"example.io", true, ANSWER_UDP},
                {"fe.example.io", false, ANSWER_UDP},
                {"fe.example.io", true, ANSWER_TCP}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        c.transport = rows[i].transport;
        ck_assert_int_eq(dns_query_parse(p, fixture_query(p, rows[i].name, T_IXFR, -1), &q), 0);
        struct answer a = {.c = &c, .t = rows[i].topology ? t : NULL, .q = &q};
        ck_assert(!answer_ixfr_ok(&a)); // the first: nobody may
    }
    snapshot_unref(z);
    snapshot_unref(t);
}
END_TEST

START_TEST(forwarding_without_a_forwarder)
{
    struct topology *t = fixture_parse("version: 7\ndomain: example.io\nregions:\n"
                                       "  - { name: eastus, peer: \"192.0.2.1:8443\", stamps: [ { "
                                       "name: eus-1, ipv4: [192.0.2.1] } ] }\n"
                                       "name_servers: [eus-1.eastus]\nregistries: [ { name: "
                                       "contoso, replicas: [ { region: eastus } ] } ]\n"
                                       "views: [ { name: corp, sources: [10.0.0.0/8], forward: { "
                                       "upstreams: [10.0.0.53], names: . } } ]\n");
    struct forwarder *f;
    uint8_t q[512];
    size_t n = fixture_query(q, "www.example.com", T_A, 512);
    ck_assert_int_eq(forwarder_start(NULL, 0, &f), 0);
    struct answer_context c = {.topology = t, .source = fixture_ip("10.1.2.3")};
    ck_assert_int_eq(rcode_of(&c, q, n), DNS_SERVFAIL);
    c.forwarder = f; // and no ticket: it has waited
    ck_assert_int_eq(rcode_of(&c, q, n), DNS_SERVFAIL);
    // Signed by a neighbour: what it signed would be lost.
    static const uint8_t tsig[] = {0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 0};
    struct tsig_key *key;
    static const char text[] = "hmac-sha256:k:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    ck_assert_int_eq(tsig_key_parse(text, sizeof text - 1, "k", &key), 0);
    n = fixture_query(q, "www.example.com", T_A, -1);
    memcpy(q + n, tsig, sizeof tsig);
    q[11] = 1;
    c.tsig_key = key;
    ck_assert_int_eq(rcode_of(&c, q, n + sizeof tsig), DNS_REFUSED);
    tsig_key_free(key);
    forwarder_stop(f);
    snapshot_unref(t);
}
END_TEST

// Question and name of the key are as long as they can be: the refusal fits a datagram without the
// question only.
START_TEST(a_refusal_beside_the_longest_names)
{
    struct topology *t = fixture_topology();
    uint8_t q[2048], out[DNS_UDP_CEILING], key[DNS_NAME_MAX];
    struct answer_info info;
    struct answer_context c = {.topology = t, .source = fixture_ip("192.0.2.9"), .now_s = 1000};
    size_t n_key = dns_name_from_text(L63 "." L63 "." L63 "." L63 + 2, key);
    ck_assert_uint_gt(n_key, 250);
    for (int round = 0; round < 2; round++) {
        size_t n = round ? query_with_options(q, L63 "." L63 "." L63 "." L63 + 2, T_A, full_options,
                                              sizeof full_options - 1)
                         : fixture_query(q, "contoso.example.io", T_A, 512);
        static const uint8_t rest[] =
            "\0\xfa\0\xff\0\0\0\0\0\x3d\x0bhmac-sha256\0\0\0\0\0\3\xe8\1\x2c\0\x20"
            "12345678123456781234567812345678\x12\x34\0\0\0\0";
        q[11] = 2;
        memcpy(q + n, key, n_key);
        memcpy(q + n + n_key, rest, sizeof rest - 1);
        size_t got = answer_packet(&c, q, n + n_key + sizeof rest - 1, out, sizeof out, &info);
        ck_assert_int_eq(info.rcode, 9); // NOTAUTH: no such key
        ck_assert_uint_gt(got, 12);
        ck_assert_int_eq(out[2] >> 1 & 1, round); // TC
        ck_assert_uint_eq(out[5], !round);
    }
    snapshot_unref(t);
}
END_TEST

CHECK_MAIN("resolver/edges", options_that_are_nearly_right, the_serial_of_an_ixfr_query,
           a_writer_without_room, names_past_the_reach_of_a_pointer,
           a_text_without_an_error_is_not_written, the_longest_names_in_the_least_room,
           a_soa_that_lives_shorter_than_absence, a_private_network_that_covers_other_names_only,
           signed_answers_in_what_room_a_long_key_leaves, a_transfer_that_cannot_be_read,
           ixfr_over_udp_needs_all_of_it, forwarding_without_a_forwarder,
           a_refusal_beside_the_longest_names)
