// SPDX-License-Identifier: Apache-2.0
// resolver/edns: the OPT of a response and its options, what goes first when room is short, and
// which answers carry which: NSID, keepalive, Client Subnet, extended errors.
#include "resolver/packet/edns.h"

#include "resolver/answer/answer.h"
#include "tests/support/check_main.h"
#include "tests/support/signed.h"
#include "tests/unit/resolver/fixture.h"
#include "tests/unit/resolver/signed_fixture.h"

#include <string.h>

static uint8_t out[600];

static size_t write_opt(const struct dns_query *q, const struct edns_response *o, size_t max)
{
    struct dns_writer w;
    memset(out, 0xee, sizeof out);
    dns_writer_init(&w, out, max);
    edns_write(&w, q, o);
    for (size_t i = max; i < sizeof out; i++)
        ck_assert_uint_eq(out[i], 0xee);
    ck_assert_uint_eq(w.full, max < edns_response_least(o, q));
    if (!w.full)
        ck_assert_uint_eq((size_t)out[9] << 8 | out[10], w.n - DNS_OPT_BYTES);
    return w.full ? 0 : w.n;
}

// Offset of an option's value, 0 if it is not there; its length.
static size_t option(uint16_t code, size_t n, size_t *out_n)
{
    for (size_t at = DNS_OPT_BYTES; at + 4 <= n; at += 4 + ((size_t)out[at + 2] << 8 | out[at + 3]))
        if (((unsigned)out[at] << 8 | out[at + 1]) == code) {
            *out_n = (size_t)out[at + 2] << 8 | out[at + 3];
            return at + 4;
        }
    return 0;
}

START_TEST(a_record_without_options)
{
    static const uint8_t want[] = {0, 0, 41, 1232 >> 8, 1232 & 255, 1, 0, 0x80, 0, 0, 0};
    struct dns_query q = {.edns = true, .dnssec_ok = true};
    struct edns_response o = {.rcode = DNS_BADVERS, .ede = EDE_NONE};
    ck_assert_uint_eq(write_opt(&q, &o, sizeof out), sizeof want);
    ck_assert_int_eq(memcmp(out, want, sizeof want), 0);
    ck_assert_uint_eq(write_opt(&q, &o, sizeof want), sizeof want);
    ck_assert_uint_eq(write_opt(&q, &o, sizeof want - 1), 0);
}
END_TEST

START_TEST(courtesies_go_one_by_one_when_room_is_short)
{
    static const uint8_t cookie[EDNS_COOKIE_BYTES] = {1, 2, 3};
    struct dns_query q = {.edns = true, .ecs = true, .ecs_family = 1, .ecs_bits = 20};
    memcpy(q.ecs_net.ip.b, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x33\x60", 15);
    struct edns_response o = {.ede = EDE_OTHER,
                              .ede_text = "a text",
                              .nsid = "ns1.eastus",
                              .cookie = cookie,
                              .keepalive = true,
                              .keepalive_100ms = 100,
                              .ecs_scope = 24};
    size_t least = edns_response_least(&o, &q), n;
    ck_assert_uint_eq(least, DNS_OPT_BYTES + 28 + 6 + 4 + 4 + 3);
    for (size_t max = 0; max < 200; max++) {
        size_t n_opt, got = write_opt(&q, &o, max);
        if (max < least) {
            ck_assert_uint_eq(got, 0);
            continue;
        }
        size_t ecs = option(EDNS_CLIENT_SUBNET, got, &n_opt), ede, nsid, left = max - least;
        ck_assert_uint_eq(n_opt, 7);
        ck_assert_int_eq(memcmp(out + ecs, "\0\1\x14\x18\xc6\x33\x60", 7), 0);
        ck_assert_int_eq(memcmp(out + option(EDNS_COOKIE, got, &n), cookie, sizeof cookie), 0);
        ck_assert_int_eq(memcmp(out + option(EDNS_TCP_KEEPALIVE, got, &n), "\0\x64", 2), 0);
        ede = option(EDNS_EDE, got, &n_opt);
        nsid = option(EDNS_NSID, got, &n);
        ck_assert_int_eq(ede > 0, left >= 6);
        ck_assert_int_eq(nsid > 0, left >= 6 + 14);
        if (ede)
            ck_assert_uint_eq(n_opt, left >= 6 + 14 + 6 || (left >= 12 && !nsid) ? 8 : 2);
        if (nsid)
            ck_assert_int_eq(memcmp(out + nsid, "ns1.eastus", n), 0);
    }
}
END_TEST

START_TEST(a_prefix_comes_back_in_its_family)
{
    struct dns_query q = {.edns = true, .ecs = true, .ecs_family = 2, .ecs_bits = 56};
    struct edns_response o = {.ede = EDE_NONE, .ecs_scope = 48};
    size_t n, got;
    memcpy(q.ecs_net.ip.b, "\x20\x01\x0d\xb8\1\2\3", 7);
    got = write_opt(&q, &o, sizeof out);
    ck_assert_int_eq(
        memcmp(out + option(EDNS_CLIENT_SUBNET, got, &n), "\0\2\x38\x30\x20\x01\x0d\xb8\1\2\3", 11),
        0);
    ck_assert_uint_eq(n, 11);
    q = (struct dns_query){.edns = true, .ecs = true};
    o.ecs_scope = 0;
    got = write_opt(&q, &o, sizeof out);
    ck_assert_int_eq(memcmp(out + option(EDNS_CLIENT_SUBNET, got, &n), "\0\0\0\0", 4), 0);
    ck_assert_uint_eq(n, 4);
}
END_TEST

// A query with the options given, and its answer.
static size_t ask(const struct answer_context *c, const char *name, uint16_t type,
                  const void *options, size_t n_options, struct answer_info *info)
{
    uint8_t query[512];
    size_t n = fixture_query(query, name, type, 1232), got, at = n - DNS_OPT_BYTES;
    query[n - 1] = (uint8_t)n_options;
    memcpy(query + n, options, n_options);
    static uint8_t response[ANSWER_TCP_MAX];
    got = answer_packet(c, query, n + n_options, response, sizeof response, info);
    ldns_pkt *pkt = NULL;
    ck_assert_int_eq(ldns_wire2pkt(&pkt, response, got), LDNS_STATUS_OK);
    ldns_pkt_free(pkt);
    static const uint8_t opt[] = {0, 0, 41, 1232 >> 8, 1232 & 255};
    uint8_t *p = memmem(response + at, got - at, opt, sizeof opt);
    ck_assert_ptr_nonnull(p);
    memcpy(out, p, got - (size_t)(p - response)); // the last record
    return got - (size_t)(p - response);
}

START_TEST(who_asks_for_the_servers_name_gets_it)
{
    struct topology *t = fixture_topology();
    struct answer_context c = {.topology = t, .source = fixture_ip("192.0.2.99"), .nsid = "ns1"};
    struct answer_info info;
    size_t n, got = ask(&c, "contoso.example.io", T_A, "\0\3\0\0", 4, &info),
              at = option(EDNS_NSID, got, &n);
    ck_assert_uint_eq(n, 3);
    ck_assert_int_eq(memcmp(out + at, "ns1", 3), 0);
    got = ask(&c, "contoso.example.io", T_A, "", 0, &info);
    ck_assert_uint_eq(option(EDNS_NSID, got, &n), 0);
    c.nsid = NULL;
    got = ask(&c, "contoso.example.io", T_A, "\0\3\0\0", 4, &info);
    ck_assert_uint_eq(option(EDNS_NSID, got, &n), 0);
    snapshot_unref(t);
}
END_TEST

START_TEST(the_idle_time_is_told_over_streams_only)
{
    struct topology *t = fixture_topology();
    struct answer_context c = {.topology = t, .source = fixture_ip("192.0.2.99"), .idle_ms = 12345};
    struct answer_info info;
    size_t n, got = ask(&c, "contoso.example.io", T_A, "\0\13\0\0", 4, &info);
    ck_assert_uint_eq(option(EDNS_TCP_KEEPALIVE, got, &n), 0);
    for (c.transport = ANSWER_TCP; c.transport <= ANSWER_TLS; c.transport++) {
        got = ask(&c, "contoso.example.io", T_A, "\0\13\0\0", 4, &info);
        ck_assert_int_eq(memcmp(out + option(EDNS_TCP_KEEPALIVE, got, &n), "\0\x7b", 2), 0);
        got = ask(&c, "contoso.example.io", T_A, "", 0, &info);
        ck_assert_uint_eq(option(EDNS_TCP_KEEPALIVE, got, &n), 0);
    }
    c.transport = ANSWER_TCP;
    c.idle_ms = 100000000;
    got = ask(&c, "contoso.example.io", T_A, "\0\13\0\0", 4, &info);
    ck_assert_int_eq(memcmp(out + option(EDNS_TCP_KEEPALIVE, got, &n), "\xff\xff", 2), 0);
    snapshot_unref(t);
}
END_TEST

START_TEST(a_client_subnet_comes_back_whatever_the_answer)
{
    struct topology *t = fixture_topology();
    struct answer_context c = {.topology = t, .source = fixture_ip("192.0.2.99")};
    static const char *const names[] = {"contoso.eastus.geo.example.io", "nobody0.example.io",
                                        "example.org", "example.io"};
    struct answer_info info;
    for (size_t i = 0; i < 4; i++) {
        size_t n, got = ask(&c, names[i], T_A, "\0\10\0\7\0\1\x18\0\xcb\0\x71", 11, &info);
        size_t at = option(EDNS_CLIENT_SUBNET, got, &n);
        ck_assert_uint_eq(n, 7);
        // scope 0: the same for all
        ck_assert_int_eq(memcmp(out + at, "\0\1\x18\0\xcb\0\x71", 7), 0);
    }
    snapshot_unref(t);
}
END_TEST

static int extended_error(const struct answer_context *c, const char *name, uint16_t type,
                          int *out_rcode)
{
    struct answer_info info;
    size_t n, got = ask(c, name, type, "", 0, &info), at = option(EDNS_EDE, got, &n);
    *out_rcode = info.rcode;
    return at ? out[at] << 8 | out[at + 1] : -1;
}

START_TEST(refusals_say_why)
{
    struct topology *t = fixture_topology();
    struct endpoint lab = {fixture_ip("127.0.0.9"), 5300};
    struct answer_context c = {.topology = t, .source = fixture_ip("192.0.2.99")};
    int rcode;
    ck_assert_int_eq(extended_error(&c, "contoso.example.io", T_A, &rcode), -1);
    ck_assert_int_eq(rcode, DNS_NOERROR);
    ck_assert_int_eq(extended_error(&c, "nobody0.example.io", T_A, &rcode), -1);
    ck_assert_int_eq(rcode, DNS_NXDOMAIN);
    ck_assert_int_eq(extended_error(&c, "example.org", T_A, &rcode), EDE_NOT_AUTHORITATIVE);
    ck_assert_int_eq(rcode, DNS_REFUSED);
    ck_assert_int_eq(extended_error(&c, "example.io", 252, &rcode), EDE_NOT_SUPPORTED);
    ck_assert_int_eq(rcode, DNS_REFUSED);
    ck_assert_int_eq(extended_error(&c, "contoso.example.io", DNS_NXNAME, &rcode),
                     EDE_INVALID_TYPE);
    ck_assert_int_eq(rcode, DNS_FORMERR);
    c.listener = &lab;
    ck_assert_int_eq(extended_error(&c, "contoso.example.io", T_A, &rcode), EDE_PROHIBITED);
    ck_assert_int_eq(rcode, DNS_REFUSED);
    c.listener = NULL;
    c.unproxied = true; // from a trusted proxy that does not say whose query it is
    ck_assert_int_eq(extended_error(&c, "contoso.example.io", T_A, &rcode), EDE_PROHIBITED);
    ck_assert_int_eq(rcode, DNS_REFUSED);
    c = (struct answer_context){.source = c.source};
    ck_assert_int_eq(extended_error(&c, "contoso.example.io", T_A, &rcode), EDE_NOT_READY);
    ck_assert_int_eq(rcode, DNS_SERVFAIL);
    snapshot_unref(t);
}
END_TEST

// ---- padding: RFC 7830, 8467 ----

START_TEST(padding_goes_to_the_next_multiple_and_never_past_the_limit)
{
    static const struct {
        size_t n, max, padding;
    } rows[] = {{100, 65535, 368}, {464, 65535, 4},  {465, 65535, 471}, {468, 65535, 468},
                {932, 65535, 4},   {100, 300, 200},  {100, 104, 4},     {100, 103, 0},
                {464, 468, 4},     {465, 469, 4},    {65516, 65535, 4}, {65517, 65535, 18},
                {65531, 65535, 4}, {65532, 65535, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg(edns_padding(rows[i].n, rows[i].max) == rows[i].padding, "row %zu", i);
    struct dns_query q = {.edns = true};
    struct edns_response o = {.ede = EDE_NONE, .nsid = "ns1", .padded = true, .tail = 99};
    for (size_t max = DNS_OPT_BYTES; max < sizeof out; max++) {
        size_t n_opt, got = write_opt(&q, &o, max), at = option(EDNS_PADDING, got, &n_opt);
        if (max < DNS_OPT_BYTES + 4) // no room for anything
            ck_assert(!at);
        else if (at)
            ck_assert(got + o.tail == EDNS_PAD_BYTES || got == max);
        if (at)
            ck_assert_uint_eq(at + n_opt, got); // the last option
        for (size_t i = at; at && i < got; i++)
            ck_assert_uint_eq(out[i], 0);
    }
}
END_TEST

#define PADDING "\0\14\0\5\0\0\0\0\0"
static const char *const padded_names[] = {
    "contoso.example.io",      "nobody.example.io", "contoso.eastus.geo.example.io",
    "_route.plain.example.io", "www.example.com",   "example.io"};

static size_t padded_query(uint8_t *q, const char *name, uint16_t type, bool dnssec, bool padding)
{
    size_t n = fixture_query(q, name, type, 1232);
    q[n - 4] = dnssec ? 0x80 : 0;
    if (!padding)
        return n;
    q[n - 1] = sizeof PADDING - 1;
    memcpy(q + n, PADDING, sizeof PADDING - 1);
    return n + sizeof PADDING - 1;
}

static size_t answer_to(struct answer_context *c, struct pending_inbox *inbox, const uint8_t *q,
                        size_t n, uint8_t *response, size_t cap, struct answer_info *info)
{
    size_t got = 0;
    int waits;
    if (c->signer)
        ck_assert_int_eq(signed_answer(c, inbox, q, n, response, cap, info, &got, &waits), 0);
    else
        got = answer_packet(c, q, n, response, cap, info);
    ldns_pkt *pkt = NULL;
    ck_assert_int_eq(ldns_wire2pkt(&pkt, response, got), LDNS_STATUS_OK);
    ldns_pkt_free(pkt);
    return got;
}

// The answers in every room from `least` up: as without padding, but for their OPT.
static void check_padded(struct answer_context *c, struct pending_inbox *inbox, bool dnssec)
{
    static uint8_t padded[ANSWER_TCP_MAX], plain[ANSWER_TCP_MAX];
    for (size_t i = 0; i < sizeof padded_names / sizeof *padded_names; i++)
        for (size_t cap = sizeof padded; cap >= 512; cap = cap > 2000 ? 2000 : cap - 61) {
            uint8_t q[512];
            struct answer_info info, other;
            c->transport = ANSWER_TLS;
            size_t n = padded_query(q, padded_names[i], i % 2 ? T_TXT : T_A, dnssec, true);
            size_t got = answer_to(c, inbox, q, n, padded, cap, &info);
            n = padded_query(q, padded_names[i], i % 2 ? T_TXT : T_A, dnssec, false);
            size_t bare = answer_to(c, inbox, q, n, plain, cap, &other);
            ck_assert_msg(got == bare + edns_padding(bare, cap), "%s in %zu: %zu, %zu",
                          padded_names[i], cap, got, bare);
            ck_assert(got % EDNS_PAD_BYTES == 0 || got == cap || got + 4 > cap);
            ck_assert(!memcmp(padded, plain, info.opt_at) && info.opt_at == other.opt_at);
            for (c->transport = ANSWER_UDP; c->transport <= ANSWER_TCP;
                 c->transport++) { // in the clear: as asked without
                n = padded_query(q, padded_names[i], T_A, dnssec, true);
                got = answer_to(c, inbox, q, n, padded, sizeof padded, &info);
                n = padded_query(q, padded_names[i], T_A, dnssec, false);
                ck_assert_uint_eq(got, answer_to(c, inbox, q, n, plain, sizeof plain, &info));
            }
        }
}

START_TEST(answers_over_tls_are_padded_when_the_query_was)
{
    static struct signed_rig g;
    struct topology *t = fixture_topology();
    struct answer_context c = {.topology = t, .source = fixture_ip("192.0.2.99"), .nsid = "ns1"};
    check_padded(&c, NULL, false);
    snapshot_unref(t);
    signed_rig_start(&g, "", DNSKEY_ECDSAP256, false, 1, 1795478400);
    check_padded(&g.c, g.inbox, true);
    signed_rig_stop(&g);
}
END_TEST

CHECK_MAIN("resolver/edns", padding_goes_to_the_next_multiple_and_never_past_the_limit,
           answers_over_tls_are_padded_when_the_query_was, a_record_without_options,
           courtesies_go_one_by_one_when_room_is_short, a_prefix_comes_back_in_its_family,
           who_asks_for_the_servers_name_gets_it, the_idle_time_is_told_over_streams_only,
           a_client_subnet_comes_back_whatever_the_answer, refusals_say_why)
