// SPDX-License-Identifier: Apache-2.0
// resolver/forward_message, resolver/upstreams: what is asked, which responses count, what the
// client gets of them; and which upstream is asked when some do not answer.
#include "resolver/forward/forward_message.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "resolver/forward/upstreams.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <string.h>

#define NAME "WWW.example.COM"
#define NAME_N 17

static struct forward_query keep(const char *name, int edns, size_t max)
{
    uint8_t p[512];
    struct dns_query q;
    struct forward_query out;
    size_t n = fixture_query(p, name, T_A, edns);
    ck_assert_int_eq(dns_query_parse(p, n, &q), 0);
    forward_message_keep(
        &q, &(struct edns_response){.rcode = 5, .ede = EDE_OTHER, .nsid = edns >= 0 ? "ns" : NULL},
        false, max, &out);
    return out;
}

static size_t sent_of(const struct forward_query *q, uint8_t out[FORWARD_QUERY_BYTES])
{
    static const uint8_t none[DNS_NAME_MAX];
    return forward_message_query(q, 0xabcd, none, out);
}

// A response to what was sent, with records as given in hex after the question.
struct made {
    uint8_t p[4096];
    size_t n;
};

static struct made make(const uint8_t *sent, uint8_t flags, uint8_t rcode, const uint16_t counts[3],
                        const char *hex)
{
    struct made m;
    size_t n = 12;
    while (sent[n])
        n += 1u + sent[n];
    n += 5;
    memcpy(m.p, sent, n);
    m.p[2] = (uint8_t)(0x81 | flags);
    m.p[3] = (uint8_t)(0xa0 | rcode); // RA, AD
    for (size_t i = 0; i < 3; i++) {
        m.p[6 + 2 * i] = (uint8_t)(counts[i] >> 8);
        m.p[7 + 2 * i] = (uint8_t)counts[i];
    }
    for (; *hex; hex += 2) {
        unsigned b;
        ck_assert_int_eq(sscanf(hex, "%2x", &b), 1);
        m.p[n++] = (uint8_t)b;
    }
    m.n = n;
    return m;
}

#define A_RR "c00c000100010000003c0004c0000201"    // the question's name, A 192.0.2.1
#define NS_RR "c010000200010000003c0005026e73c010" // example.COM NS ns.example.COM
#define OPT_RR "00002904d0000080000000"
#define OPT_EXT "00002904d0010080000000" // extended rcode 16
#define TSIG_RR "0000fa00ff000000000000"

START_TEST(what_is_asked)
{
    uint8_t sent[FORWARD_QUERY_BYTES], mix[DNS_NAME_MAX];
    for (int edns = -1; edns < 2; edns++) {
        struct forward_query q = keep(NAME, edns ? edns * 1232 : 512, 512);
        size_t n = sent_of(&q, sent);
        ldns_pkt *pkt;
        ck_assert_int_eq(ldns_wire2pkt(&pkt, sent, n), LDNS_STATUS_OK);
        ck_assert_uint_eq(ldns_pkt_id(pkt), 0xabcd);
        ck_assert(ldns_pkt_rd(pkt) && !ldns_pkt_qr(pkt) && !ldns_pkt_cd(pkt) && !ldns_pkt_ad(pkt));
        ck_assert_int_eq(ldns_pkt_edns(pkt), edns >= 0);
        ck_assert_str_eq(fixture_text(ldns_pkt_question(pkt)), "WWW.example.COM. IN A\n");
        ldns_pkt_free(pkt);
    }
    struct forward_query q = keep("a1-b.example", 512, 512);
    q.checking_disabled = q.dnssec_ok = true;
    memset(mix, 1, sizeof mix);
    size_t n = forward_message_query(&q, 1, mix, sent);
    ldns_pkt *pkt;
    ck_assert_int_eq(ldns_wire2pkt(&pkt, sent, n), LDNS_STATUS_OK);
    ck_assert_str_eq(fixture_text(ldns_pkt_question(pkt)), "A1-B.EXAMPLE. IN A\n");
    ck_assert(ldns_pkt_cd(pkt) && ldns_pkt_edns_do(pkt));
    ldns_pkt_free(pkt);
}
END_TEST

START_TEST(which_responses_count)
{
    static const struct {
        uint8_t flags, rcode;
        uint16_t counts[3];
        const char *hex;
        enum forward_verdict udp, tcp;
    } rows[] = {
        {0, 0, {1, 0, 0}, A_RR, FORWARD_ANSWER, FORWARD_ANSWER},
        {4, 0, {1, 0, 0}, A_RR, FORWARD_ANSWER, FORWARD_ANSWER},
        {0, 3, {0, 0, 0}, "", FORWARD_ANSWER, FORWARD_ANSWER},
        {0, 0, {1, 1, 1}, A_RR NS_RR OPT_RR, FORWARD_ANSWER, FORWARD_ANSWER},
        {0, 0, {1, 1, 2}, A_RR NS_RR OPT_RR TSIG_RR, FORWARD_ANSWER, FORWARD_ANSWER},
        {0, 2, {0, 0, 0}, "", FORWARD_FAILED, FORWARD_FAILED},
        {0, 5, {0, 0, 0}, "", FORWARD_FAILED, FORWARD_FAILED},
        {0, 0, {0, 0, 1}, OPT_EXT, FORWARD_FAILED, FORWARD_FAILED}, // BADVERS
        {2, 0, {0, 0, 0}, "", FORWARD_TRUNCATED, FORWARD_FAILED},
        // what cannot be read
        {0, 0, {2, 0, 0}, A_RR, FORWARD_FAILED, FORWARD_FAILED},
        {0, 0, {1, 0, 0}, "c00c000100010000003c0005c0000201", FORWARD_FAILED, FORWARD_FAILED},
        {0, 0, {1, 0, 0}, "c00c000100010000003c00", FORWARD_FAILED, FORWARD_FAILED},
        // no address
        {0, 0, {1, 0, 0}, "c00c000100010000003c0005c000020100", FORWARD_FAILED, FORWARD_FAILED},
        {0, 0, {1, 0, 0}, "c00c001c00010000003c0004c0000201", FORWARD_FAILED, FORWARD_FAILED},
        {0, 0, {1, 0, 0}, "c0", FORWARD_FAILED, FORWARD_FAILED},
        // forwards
        {0, 0, {1, 0, 0}, "c0ff000100010000003c0004c0000201", FORWARD_FAILED, FORWARD_FAILED},
        // into the header
        {0, 0, {1, 0, 0}, "c00b000100010000003c0004c0000201", FORWARD_FAILED, FORWARD_FAILED},
        // to itself
        {0, 0, {1, 0, 0}, "c021000100010000003c0004c0000201", FORWARD_FAILED, FORWARD_FAILED},
        // no label
        {0, 0, {1, 0, 0}, "40000100010000003c0004c0000201", FORWARD_FAILED, FORWARD_FAILED},
        {0, 0, {1, 0, 0}, TSIG_RR, FORWARD_FAILED, FORWARD_FAILED},
        // another class's A
        {0, 0, {1, 0, 0}, "c00c000100030000003c0002abcd", FORWARD_ANSWER, FORWARD_ANSWER},
        {0, 0, {1, 0, 0}, OPT_RR, FORWARD_FAILED, FORWARD_FAILED},
        {0, 0, {0, 0, 2}, OPT_RR OPT_RR, FORWARD_FAILED, FORWARD_FAILED},
        {0,
         0,
         {0, 0, 1},
         "0161000029"
         "04d0000080000000",
         FORWARD_FAILED,
         FORWARD_FAILED}, // an OPT with an owner
        {0, 0, {0, 65535, 65535}, "", FORWARD_FAILED, FORWARD_FAILED},
        // not to this
        {0x20, 0, {1, 0, 0}, A_RR, FORWARD_NOT_OURS, FORWARD_NOT_OURS}, // another opcode
    };
    struct forward_query q = keep(NAME, 1232, 1232);
    uint8_t sent[FORWARD_QUERY_BYTES];
    size_t n = sent_of(&q, sent);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct made m = make(sent, rows[i].flags, rows[i].rcode, rows[i].counts, rows[i].hex);
        for (int tcp = 0; tcp < 2; tcp++) {
            enum forward_verdict v = forward_message_judge(&q, sent, n, m.p, m.n, false, tcp);
            ck_assert_msg(v == (tcp ? rows[i].tcp : rows[i].udp), "row %zu: %d", i, v);
        }
    }
    static const uint16_t one[3] = {1, 0, 0};
    const struct made good = make(sent, 0, 0, one, A_RR);
    for (size_t i = 0; i < 12 + NAME_N + 4; i++) { // any octet of id and question, QR, QDCOUNT
        struct made m = good;
        bool matters = i < 2 || i == 4 || i == 5 || i >= 12;
        m.p[i] ^= 0x40;
        enum forward_verdict v = forward_message_judge(&q, sent, n, m.p, m.n, false, false);
        ck_assert_msg(!matters || v == FORWARD_NOT_OURS, "octet %zu: %d", i, v);
    }
    for (size_t len = 0; len < good.n; len++)
        ck_assert_int_ne(forward_message_judge(&q, sent, n, good.p, len, false, false),
                         FORWARD_ANSWER);
    // an echo
    ck_assert_int_eq(forward_message_judge(&q, sent, n, sent, n, false, false), FORWARD_NOT_OURS);
    // Letters: any case, but as they were sent where they are a secret.
    struct made other = good;
    other.p[13] ^= 0x20;
    ck_assert_int_eq(forward_message_judge(&q, sent, n, other.p, other.n, false, false),
                     FORWARD_ANSWER);
    ck_assert_int_eq(forward_message_judge(&q, sent, n, other.p, other.n, true, false),
                     FORWARD_NOT_OURS);
    ck_assert_int_eq(forward_message_judge(&q, sent, n, good.p, good.n, true, false),
                     FORWARD_ANSWER);
    // FORMERR without a question, from a server that knows no EDNS.
    uint8_t bare[12] = {0xab, 0xcd, 0x80, 1};
    ck_assert_int_eq(forward_message_judge(&q, sent, n, bare, sizeof bare, false, false),
                     FORWARD_FAILED);
    bare[3] = 0;
    ck_assert_int_eq(forward_message_judge(&q, sent, n, bare, sizeof bare, false, false),
                     FORWARD_NOT_OURS);
    bare[3] = 1;
    uint8_t more[13];
    memcpy(more, bare, sizeof bare);
    more[12] = 0;
    ck_assert_int_eq(forward_message_judge(&q, sent, n, more, sizeof more, false, false),
                     FORWARD_NOT_OURS);
    ck_assert_int_eq(forward_message_judge(&q, sent, 20, good.p, good.n, false, false),
                     FORWARD_NOT_OURS);
}
END_TEST

// A chain of pointers, each to the one before: as many as there may be, and one more.
START_TEST(pointers_end)
{
    struct forward_query q = keep(NAME, -1, 1232);
    uint8_t sent[FORWARD_QUERY_BYTES];
    size_t n = sent_of(&q, sent), at = 12 + NAME_N + 4;
    for (int most = 1; most < 90; most++) {
        struct made m = make(sent, 0, 0, (const uint16_t[]){2, 0, 0}, "c00c0010000100000000");
        m.p[m.n++] = 0;
        m.p[m.n++] = (uint8_t)(2 * most);
        size_t to = 12;
        for (int i = 0; i < most; i++, m.n += 2) {
            m.p[m.n] = (uint8_t)(0xc0 | to >> 8);
            m.p[m.n + 1] = (uint8_t)to;
            to = m.n;
        }
        memcpy(m.p + m.n,
               (uint8_t[]){(uint8_t)(0xc0 | to >> 8), (uint8_t)to, 0, 16, 0, 1, 0, 0, 0, 0, 0, 0},
               12);
        m.n += 12;
        enum forward_verdict v = forward_message_judge(&q, sent, n, m.p, m.n, false, false);
        ck_assert_msg(v == (most < 64 ? FORWARD_ANSWER : FORWARD_FAILED),
                      "%d pointers after %zu: %d", most, at, v);
    }
}
END_TEST

static ldns_pkt *answered(const struct forward_query *q, const struct made *m, size_t cap,
                          size_t *out_n)
{
    uint8_t out[65535];
    ldns_pkt *pkt;
    *out_n = forward_message_answer(q, m->p, m->n, out, cap);
    ck_assert_uint_gt(*out_n, 0);
    ck_assert_int_eq(ldns_wire2pkt(&pkt, out, *out_n), LDNS_STATUS_OK);
    ck_assert(ldns_pkt_qr(pkt) && ldns_pkt_ra(pkt) && ldns_pkt_rd(pkt) && !ldns_pkt_aa(pkt) &&
              !ldns_pkt_ad(pkt));
    ck_assert_str_eq(fixture_text(ldns_pkt_question(pkt)), "WWW.example.COM. IN A\n");
    ck_assert_int_eq(ldns_pkt_edns(pkt), q->edns);
    return pkt;
}

START_TEST(what_the_client_gets)
{
    static const struct {
        uint16_t counts[3], an, ns, ar;
        const char *hex;
    } rows[] = {
        {{1, 0, 0}, 1, 0, 0, A_RR},
        {{1, 1, 0}, 1, 1, 0, A_RR NS_RR},
        {{1, 1, 1}, 1, 1, 0, A_RR NS_RR OPT_RR}, // the upstream's OPT stays there
        {{1, 1, 2}, 1, 1, 1, A_RR NS_RR A_RR OPT_RR},
        {{1, 1, 3}, 1, 1, 1, A_RR NS_RR A_RR OPT_RR TSIG_RR},
        {{1, 1, 2}, 1, 1, 0, A_RR NS_RR OPT_RR A_RR}, // in the middle: no additional section
        {{1, 0, 0}, 1, 0, 0, A_RR "deadbeef"},        // octets after the end
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (int edns = -1; edns <= 1232; edns += 1233) {
            struct forward_query q = keep(NAME, edns, 1232);
            uint8_t sent[FORWARD_QUERY_BYTES], upper[DNS_NAME_MAX];
            memset(upper, 1, sizeof upper);
            size_t n = forward_message_query(&q, 7, upper, sent), got;
            struct made m = make(sent, 4, 0, rows[i].counts, rows[i].hex);
            ck_assert_int_eq(forward_message_judge(&q, sent, n, m.p, m.n, true, false),
                             FORWARD_ANSWER);
            ldns_pkt *pkt = answered(&q, &m, 1232, &got);
            ck_assert_uint_eq(ldns_pkt_ancount(pkt), rows[i].an);
            ck_assert_uint_eq(ldns_pkt_nscount(pkt), rows[i].ns);
            ck_assert_uint_eq(ldns_pkt_arcount(pkt), rows[i].ar); // ldns does not count the OPT
            ck_assert_str_eq(fixture_text(ldns_pkt_answer(pkt)),
                             "WWW.example.COM. 60 IN A 192.0.2.1\n");
            ldns_pkt_free(pkt);
        }
}
END_TEST

// For a client of DNS over TLS; without an OPT, or room, as it is.
START_TEST(answers_are_padded)
{
    struct forward_query q = keep(NAME, 1232, 65535), bare = keep(NAME, -1, 65535);
    uint8_t sent[FORWARD_QUERY_BYTES], p[4096];
    (void)sent_of(&q, sent);
    struct made m = make(sent, 4, 0, (const uint16_t[]){1, 1, 2}, A_RR NS_RR A_RR OPT_RR);
    size_t n = forward_message_answer(&q, m.p, m.n, p, sizeof p);
    for (size_t cap = n; cap < 1000; cap++) {
        uint8_t padded[1000];
        ldns_pkt *pkt = NULL;
        memcpy(padded, p, n);
        size_t got = forward_message_pad(padded, n, cap);
        ck_assert(got == (cap < 468 ? (cap < n + 4 ? n : cap) : 468));
        ck_assert_int_eq(ldns_wire2pkt(&pkt, padded, got), LDNS_STATUS_OK);
        ck_assert_uint_eq(ldns_pkt_ancount(pkt), 1);
        ldns_pkt_free(pkt);
    }
    n = forward_message_error(&q, EDE_NETWORK_ERROR, p);
    ck_assert_uint_eq(forward_message_pad(p, n, sizeof p), 468);
    n = forward_message_error(&bare, EDE_NETWORK_ERROR, p);
    ck_assert_uint_eq(forward_message_pad(p, n, sizeof p), n);
    m = make(sent, 4, 0, (const uint16_t[]){1, 0, 0}, A_RR);
    ck_assert_uint_eq(forward_message_pad(m.p, m.n, sizeof m.p), m.n); // the last record is another
    ck_assert_uint_eq(forward_message_pad(m.p, m.n - 1, sizeof m.p), m.n - 1);
    m = make(sent, 4, 0, (const uint16_t[]){0, 0, 1}, OPT_RR "00");
    ck_assert_uint_eq(forward_message_pad(m.p, m.n, sizeof m.p), m.n); // it is not the end
}
END_TEST

START_TEST(what_does_not_fit_is_cut)
{
    char hex[4096] = "";
    for (int i = 0; i < 34; i++)
        strcat(hex, A_RR);
    struct forward_query q = keep(NAME, -1, 512);
    uint8_t sent[FORWARD_QUERY_BYTES];
    size_t got;
    (void)sent_of(&q, sent);
    struct made m = make(sent, 0, 0, (const uint16_t[]){29, 0, 5}, hex);
    ldns_pkt *pkt = answered(&q, &m, 4096, &got); // without the additional section it fits
    ck_assert(!ldns_pkt_tc(pkt) && ldns_pkt_ancount(pkt) == 29 && ldns_pkt_arcount(pkt) == 0 &&
              got <= 512);
    ldns_pkt_free(pkt);
    for (int i = 34; i < 40; i++)
        strcat(hex, A_RR);
    m = make(sent, 0, 0, (const uint16_t[]){40, 0, 0}, hex);
    pkt = answered(&q, &m, 4096, &got);
    size_t fit = (512 - 12 - NAME_N - 4) / 16; // records of 16 octets, whole ones
    ck_assert(ldns_pkt_tc(pkt) && ldns_pkt_ancount(pkt) == fit &&
              got == 12 + NAME_N + 4 + 16 * fit);
    ldns_pkt_free(pkt);
    q.dnssec_ok = true; // a part of a signed set proves nothing
    pkt = answered(&q, &m, 4096, &got);
    ck_assert(ldns_pkt_tc(pkt) && ldns_pkt_ancount(pkt) == 0 && got == 12 + NAME_N + 4);
    ldns_pkt_free(pkt);
    q.dnssec_ok = false;
    // all answers do, what is beside them does not
    m = make(sent, 0, 0, (const uint16_t[]){2, 38, 0}, hex);
    pkt = answered(&q, &m, 4096, &got);
    ck_assert(ldns_pkt_tc(pkt) && ldns_pkt_ancount(pkt) == 2 && ldns_pkt_nscount(pkt) == 0);
    ldns_pkt_free(pkt);
    m = make(sent, 0, 0, (const uint16_t[]){40, 0, 0}, hex);
    q.max = 65535;
    pkt = answered(&q, &m, 4096, &got);
    ck_assert(!ldns_pkt_tc(pkt) && ldns_pkt_ancount(pkt) == 40);
    ldns_pkt_free(pkt);
    uint8_t out[4096];
    ck_assert_uint_eq(forward_message_answer(&q, m.p, m.n, out, FORWARD_ERROR_BYTES - 1), 0);
}
END_TEST

START_TEST(a_failure_says_why)
{
    uint8_t out[FORWARD_ERROR_BYTES];
    for (int edns = -1; edns <= 512; edns += 513) {
        struct forward_query q = keep(NAME, edns, 512);
        q.checking_disabled = edns < 0;
        size_t n = forward_message_error(&q, EDE_NETWORK_ERROR, out);
        ldns_pkt *pkt;
        ck_assert_int_eq(ldns_wire2pkt(&pkt, out, n), LDNS_STATUS_OK);
        ck_assert_int_eq(ldns_pkt_get_rcode(pkt), 2);
        ck_assert_uint_eq(ldns_pkt_ancount(pkt), 0);
        ck_assert_int_eq(ldns_pkt_cd(pkt), edns < 0);
        ck_assert_int_eq(ldns_pkt_edns(pkt), edns >= 0);
        if (edns >= 0) { // NSID "ns", then EDE 23
            static const uint8_t want[] = {0, 3, 0, 2, 'n', 's', 0, 15, 0, 2, 0, 23};
            ck_assert(!memcmp(out + n - sizeof want, want, sizeof want));
            ck_assert_uint_eq(out[n - sizeof want - 1], sizeof want);
        }
        ldns_pkt_free(pkt);
    }
    struct forward_query q = keep(NAME, 512, 512);
    q.opt_n = FORWARD_OPT_BYTES; // no room in the record: the failure stays, its reason goes
    memset(q.opt, 0, sizeof q.opt);
    ck_assert_uint_eq(forward_message_error(&q, EDE_NETWORK_ERROR, out),
                      12 + NAME_N + 4 + FORWARD_OPT_BYTES);
    uint8_t junk[40] = {0};
    junk[7] = 1;
    ck_assert_uint_eq(forward_message_answer(&q, junk, sizeof junk, out, sizeof out), 0);
}
END_TEST

static struct endpoint endpoint(const char *text)
{
    struct endpoint e;
    ck_assert_int_eq(endpoint_parse(text, 53, &e), 0);
    return e;
}

START_TEST(upstreams_rest_and_come_back)
{
    static struct upstreams u;
    const struct endpoint list[] = {endpoint("192.0.2.1"), endpoint("192.0.2.2"),
                                    endpoint("192.0.2.1:54")};
    ck_assert_uint_eq(upstreams_choose(&u, list, 3, -1, 0, 0), 0);
    ck_assert_uint_eq(upstreams_choose(&u, list, 3, 0, 0, 0), 1); // not the same again
    ck_assert_uint_eq(upstreams_choose(&u, list, 1, 0, 0, 0), 0); // but for want of another
    ck_assert(!upstreams_failed(&u, &list[0], 0));
    ck_assert(!upstreams_failed(&u, &list[0], 0));
    ck_assert_uint_eq(upstreams_choose(&u, list, 3, -1, 0, 0), 0);
    ck_assert(upstreams_failed(&u, &list[0], 0));
    ck_assert_uint_eq(upstreams_choose(&u, list, 3, -1, 0, 999), 1);
    ck_assert_uint_eq(upstreams_choose(&u, list, 1, 0, 0, 999), 0);   // all rest
    ck_assert_uint_eq(upstreams_choose(&u, list, 3, -1, 0, 1000), 0); // one query tries it
    ck_assert_uint_eq(upstreams_choose(&u, list, 3, -1, 0, 1000), 1);
    ck_assert(!upstreams_failed(&u, &list[0], 1100)); // still: twice as long
    ck_assert_uint_eq(upstreams_choose(&u, list, 3, -1, 0, 3099), 1);
    ck_assert_uint_eq(upstreams_choose(&u, list, 3, -1, 0, 3100), 0);
    for (int i = 0; i < 100; i++)
        ck_assert(!upstreams_failed(&u, &list[0], 4000));
    ck_assert_uint_eq(upstreams_choose(&u, list, 3, -1, 0, 4000 + UPSTREAM_REST_MAX_MS - 1), 1);
    upstreams_good(&u, &list[0], 5000);
    ck_assert_uint_eq(upstreams_choose(&u, list, 3, -1, 0, 5000), 0);
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++)
            upstreams_failed(&u, &list[k], 6000 + 100 * k);
    // all rest: the one that rests least long
    ck_assert_uint_eq(upstreams_choose(&u, list, 3, 0, 0, 6300), 0);
    ck_assert_uint_eq(upstreams_choose(&u, list, 3, 0, 1, 6300), 1);
    // its own rest is over, but it was asked last
    ck_assert_uint_eq(upstreams_choose(&u, list, 2, 0, 0, 7150), 1);
}
END_TEST

START_TEST(more_upstreams_than_there_is_room_for)
{
    static struct upstreams u;
    struct endpoint e = endpoint("192.0.2.1:1");
    for (int i = 0; i < 3; i++)
        upstreams_failed(&u, &e, 10);
    for (uint16_t i = 2; i < UPSTREAMS_MAX + 10; i++) {
        struct endpoint x = e;
        x.port = i;
        ck_assert_uint_eq(upstreams_choose(&u, &x, 1, -1, 0, i + 10), 0);
    }
    ck_assert_uint_eq(u.n, UPSTREAMS_MAX);
    const struct endpoint two[] = {e, endpoint("192.0.2.1:300")};
    ck_assert_uint_eq(upstreams_choose(&u, two, 2, -1, 0, 400), 0); // forgotten
}
END_TEST

CHECK_MAIN("resolver/forward_message", what_is_asked, which_responses_count, what_the_client_gets,
           answers_are_padded, what_does_not_fit_is_cut, pointers_end, a_failure_says_why,
           upstreams_rest_and_come_back, more_upstreams_than_there_is_room_for)
