// SPDX-License-Identifier: Apache-2.0
// resolver/wire: packets that no good client sends, and the answer each must get.
#include "resolver/answer/answer.h"

#include "base/digest.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <string.h>

#define DROP (-1)
#define FORMERR 1
#define NOTIMP 4
#define REFUSED 5
#define BADVERS 16
#define H "123401000001000000000000"                 // one question
#define HA "123401000001000000000001"                // and one additional record
#define N "07636f6e746f736f076578616d706c6502696f00" // contoso.example.io
#define Q N "00010001"
#define OPT "00002904d0000000000000"
#define L63                                                                                        \
    "3f616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161" \
    "61616161616161616161"                                                                         \
    "6161616161616161"

// echo: the question comes back; opt: so does an OPT record.
static const struct bad {
    const char *what, *hex;
    int rcode;
    bool echo, opt;
} rows[] = {
    {"nothing", "", DROP, false, false},
    {"one byte", "12", DROP, false, false},
    {"eleven bytes", "1234010000010000000000", DROP, false, false},
    {"a response", "123481000001000000000000" Q, DROP, false, false},
    {"a response without a question", "123481000000000000000000", DROP, false, false},
    {"a response of another opcode", "1234a8000001000000000000" Q, DROP, false, false},
    {"header alone, no question", "123401000000000000000000", FORMERR, false, false},
    {"header alone, one question promised", H, FORMERR, false, false},
    {"two questions", "123401000002000000000000" Q Q, FORMERR, false, false},
    {"65535 questions", "12340100ffff000000000000" Q, FORMERR, false, false},
    {"no question, but bytes", "123401000000000000000000" Q, FORMERR, false, false},
    {"no question, an OPT", "123401000000000000000001" OPT, FORMERR, false, true},
    {"name without an end", H "07636f6e746f736f", FORMERR, false, false},
    {"label past the packet", H "3f636f6e746f736f", FORMERR, false, false},
    {"name only", H N, FORMERR, false, false},
    {"no class", H N "0001", FORMERR, false, false},
    {"half a class", H N "000100", FORMERR, false, false},
    {"question compressed to itself", H "c00c00010001", FORMERR, false, false},
    {"question compressed to the header", H "c00000010001", FORMERR, false, false},
    {"question compressed forward", H "c01200010001076578616d706c6502696f00", FORMERR, false,
     false},
    {"question ends in a pointer", H "07636f6e746f736fc00c00010001", FORMERR, false, false},
    {"half a pointer", H "c0", FORMERR, false, false},
    {"label type 01",
     H "41"
       "00"
       "00010001",
     FORMERR, false, false},
    {"label type 10",
     H "81"
       "00"
       "00010001",
     FORMERR, false, false},
    {"name of 257 octets",
     H L63 L63 L63 L63 "00"
                       "00010001",
     FORMERR, false, false},
    {"name of 256 octets", H L63 L63 L63 "3e" L63 "00010001", FORMERR, false, false},
    {"one byte of junk", H Q "00", FORMERR, true, false},
    {"a second question uncounted", H Q Q, FORMERR, true, false},
    {"an answer record", "123401000001000100000000" Q "c00c000100010000003c0004c0000201", FORMERR,
     true, false},
    {"an authority record", "123401000001000000010000" Q "c00c000100010000003c0004c0000201",
     FORMERR, true, false},
    {"an answer promised", "123401000001000100000000" Q, FORMERR, true, false},
    {"an additional record promised", HA Q, FORMERR, true, false},
    {"additional record cut in its name", HA Q "07636f", FORMERR, true, false},
    {"additional record cut in its head", HA Q "00002904d0", FORMERR, true, false},
    {"OPT cut in its length", HA Q "00002904d00000000000", FORMERR, true, false},
    {"OPT shorter than its length", HA Q "00002904d0000000000004000a", FORMERR, true, false},
    {"OPT with a name", HA Q "016100002904d0000000000000", FORMERR, true, false},
    {"OPT with a pointer for a name", HA Q "c00c002904d0000000000000", FORMERR, true, false},
    {"two OPTs", "123401000001000000000002" Q OPT OPT, FORMERR, true, true},
    {"OPT and junk", HA Q OPT "ff", FORMERR, true, true},
    {"OPT option cut", HA Q "00002904d0000000000003000a00", FORMERR, true, true},
    {"OPT option longer than the record", HA Q "00002904d0000000000004000a0001", FORMERR, true,
     true},
    {"three OPTs, one counted", HA Q OPT OPT OPT, FORMERR, true, true},
    {"EDNS version 1", HA Q "00002904d0000100000000", BADVERS, true, true},
    {"EDNS version 255", HA Q "00002904d000ff00000000", BADVERS, true, true},
    {"EDNS version 1, options of its own", HA Q "00002904d0000100000003ffffff", BADVERS, true,
     true},
    {"EDNS flags of the future", HA Q "00002904d000007fff0000", 0, true, true},
    {"unknown EDNS option", HA Q "00002904d0000000000007fde90003616263", 0, true, true},
    {"EDNS size 0", HA Q "0000290000000000000000", 0, true, true},
    {"additional record that is no OPT", HA Q "c00c000100010000003c0004c0000201", 0, true, false},
    {"inverse query", "123409000001000000000000" Q, NOTIMP, false, false},
    {"status", "123411000001000000000000" Q, NOTIMP, false, false},
    {"notify", "123421000001000000000000" Q, NOTIMP, false, false},
    {"update", "123429000001000000000000" Q, NOTIMP, false, false},
    {"opcode 15", "123479000001000000000000" Q, NOTIMP, false, false},
    {"opcode 15 with junk", "123479000009000900090009ffff", NOTIMP, false, false},
    {"class CH", H N "00100003", REFUSED, true, false},
    {"version.bind", H "0776657273696f6e0462696e640000100003", REFUSED, true, false},
    {"id.server",
     H "0269640673657276657200"
       "00100003",
     REFUSED, true, false},
    {"class 0", H N "00010000", REFUSED, true, false},
    {"class ANY", H N "000100ff", REFUSED, true, false},
    {"AXFR", H N "00fc0001", REFUSED, true, false},
    {"IXFR with its SOA",
     "123401000001000000010000" N "00fb0001"
     "c00c0006000100000000001600000000000100000000000000000000000000000000",
     REFUSED, true, false},
    {"the root",
     H "00"
       "00010001",
     REFUSED, true, false},
    {"type 0", H N "00000001", FORMERR, true, false},
    {"type OPT", H N "00290001", FORMERR, true, false},
    {"type TSIG", H N "00fa0001", FORMERR, true, false},
    {"type TKEY", H N "00f90001", FORMERR, true, false},
    {"type NXNAME", H N "00800001", FORMERR, true, false},
    {"reserved bits, TC, AD, CD and RA set", "123407f00001000000000000" Q, 0, true, false},
    {"a zero byte in a label",
     H "07636f6e0000736f076578616d706c6502696f00"
       "00010001",
     3, true, false},
    {"a dot in a label",
     H "07636f6e2e6f736f076578616d706c6502696f00"
       "00010001",
     3, true, false},
    {"bytes above 127 in a label",
     H "07ffff6e746f736f076578616d706c6502696f00"
       "00010001",
     3, true, false},
    {"the domain inside one label",
     H "12636f6e746f736f2e6578616d706c652e696f00"
       "00010001",
     REFUSED, true, false},
};

static size_t unhex(const char *s, uint8_t *out)
{
    size_t n = 0;
    char pair[3] = {0};
    for (int k = 0; *s; s++) {
        if (*s == ' ')
            continue;
        pair[k++] = *s;
        if (k == 2) {
            ck_assert_int_eq(hex_parse(pair, 2, out + n++, 1), 0);
            k = 0;
        }
    }
    return n;
}

static void check_response(const struct bad *r, const uint8_t *in, const uint8_t *out, size_t n)
{
    ldns_pkt *pkt;
    ck_assert_msg(ldns_wire2pkt(&pkt, out, n) == LDNS_STATUS_OK, "%s: ldns cannot read it",
                  r->what);
    int rcode = ldns_pkt_get_rcode(pkt) | ldns_pkt_edns_extended_rcode(pkt) << 4;
    ck_assert_msg(rcode == r->rcode, "%s: rcode %d", r->what, rcode);
    ck_assert_msg(ldns_pkt_qr(pkt) && !ldns_pkt_ra(pkt) && !ldns_pkt_ad(pkt) && !ldns_pkt_tc(pkt),
                  "%s: flags", r->what);
    ck_assert_msg(!(out[3] & 0x70), "%s: Z", r->what);
    ck_assert_msg((out[2] & 0x79) == (in[2] & 0x79), "%s: opcode and RD", r->what);
    ck_assert_msg(!memcmp(in, out, 2), "%s: id", r->what);
    ck_assert_msg(ldns_pkt_qdcount(pkt) == r->echo, "%s: question", r->what);
    ck_assert_msg(ldns_pkt_edns(pkt) == r->opt, "%s: OPT", r->what);
    if (rcode == FORMERR || rcode == NOTIMP || rcode == BADVERS || rcode == REFUSED)
        ck_assert_msg(!ldns_pkt_ancount(pkt) && !ldns_pkt_nscount(pkt) && !ldns_pkt_aa(pkt),
                      "%s: records", r->what);
    ldns_pkt_free(pkt);
}

START_TEST(each_gets_its_answer)
{
    struct topology *t = fixture_topology();
    ck_assert_uint_ge(sizeof rows / sizeof rows[0], 40);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer_context c = {.topology = t, .source = fixture_ip("192.0.2.99")};
        struct answer_info info;
        uint8_t in[1024], out[1232];
        size_t n = unhex(rows[i].hex, in);
        uint8_t *exact = malloc(n ? n : 1); // so that a sanitizer sees a read past the end
        memcpy(exact, in, n);
        size_t got = answer_packet(&c, exact, n, out, sizeof out, &info);
        ck_assert_msg(info.rcode == rows[i].rcode, "%s: counted as %d", rows[i].what, info.rcode);
        ck_assert_msg((got == 0) == (rows[i].rcode == DROP), "%s: %zu bytes", rows[i].what, got);
        if (got)
            check_response(&rows[i], exact, out, got);
        free(exact);
    }
    snapshot_unref(t);
}
END_TEST

// Every prefix of a good query, and every one of its bytes changed: an answer ldns can read, or
// none.
START_TEST(no_cut_and_no_flipped_byte_breaks_the_answer)
{
    struct topology *t = fixture_topology();
    struct answer_context c = {.topology = t, .source = fixture_ip("192.0.2.99")};
    struct answer_info info;
    uint8_t good[512], q[512], out[1232];
    size_t n = fixture_query(good, "contoso.westeurope.geo.example.io", T_A, 1232), n_answers = 0;
    for (size_t cut = 0; cut <= n; cut++)
        for (int flip = 0; flip < 256; flip += 5) {
            ldns_pkt *pkt;
            memcpy(q, good, n);
            if (flip && cut < n)
                q[cut] ^= (uint8_t)flip;
            size_t got = answer_packet(&c, q, flip ? n : cut, out, sizeof out, &info);
            if (!got)
                continue;
            n_answers++;
            ck_assert_msg(ldns_wire2pkt(&pkt, out, got) == LDNS_STATUS_OK, "byte %zu flip %d", cut,
                          flip);
            ldns_pkt_free(pkt);
        }
    ck_assert_uint_gt(n_answers, n);
    snapshot_unref(t);
}
END_TEST

CHECK_MAIN("resolver/malformed", each_gets_its_answer, no_cut_and_no_flipped_byte_breaks_the_answer)
