// SPDX-License-Identifier: Apache-2.0
// resolver/answer_sign, denial, dnssec: every record of every answer is judged by ldns with the
// zones' own keys; what is denied and how, name by name; fe.D as a signed zone.
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/mem_test.h"
#include "resolver/packet/wire.h"
#include "tests/support/check_main.h"
#include "tests/support/dnssec_judge.h"
#include "tests/unit/resolver/signed_fixture.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOW 1795478400 // 2026-11-24

static struct dnssec_judge oracle_of(const struct signed_rig *g, int64_t now_s)
{
    const struct dnssec *d = g->d;
    struct dnssec_judge j = {.now_s = now_s};
    dnssec_judge_zone(&j, "example.io.",
                      dnssec_judge_records(d->main.rrs, d->main.n_rrs, T_DNSKEY));
    dnssec_judge_zone(&j, "fe.example.io.",
                      dnssec_judge_records(d->frontend.rrs, d->frontend.n_rrs, T_DNSKEY));
    return j;
}

static void judge(struct dnssec_judge *j, const ldns_rr_list *section, int64_t now_s,
                  const char *what)
{
    j->now_s = now_s;
    ck_assert_msg(dnssec_judge_section(j, section), "%s: %s", what, j->why);
}

static const char *const names[] = {"contoso.example.io",
                                    "Contoso.EASTUS.geo.example.io",
                                    "fabrikam.westeurope.data.example.io",
                                    "FABRIKAM.Example.IO",
                                    "plain.example.io",
                                    "nobody0.example.io",
                                    "contoso.privatelink.example.io",
                                    "contoso.westeurope.geo.privatelink.example.io",
                                    "contoso.southeastasia.geo.privatelink.example.io",
                                    "eus-1.eastus.fe.example.io",
                                    "weu-1.westeurope.fe.example.io",
                                    "none.eastus.fe.example.io",
                                    "deep.none.eastus.fe.example.io",
                                    "eastus.fe.example.io",
                                    "mars.fe.example.io",
                                    "geo.example.io",
                                    "eastus.geo.example.io",
                                    "privatelink.example.io",
                                    "mars.geo.example.io",
                                    "example.io",
                                    "fe.example.io",
                                    "_route.contoso.example.io",
                                    "drained.example.io",
                                    "hashed-abcdefgh01234567.example.io",
                                    "a.b.c.d.example.io",
                                    "*.example.io",
                                    "*.*.example.io",
                                    "x.*.example.io",
                                    "*.nobody.example.io",
                                    "*.contoso.example.io",
                                    "*.geo.example.io",
                                    "*.eastus.geo.example.io",
                                    "*.privatelink.example.io",
                                    "*.contoso.privatelink.example.io",
                                    "*.eastus.geo.privatelink.example.io",
                                    "*.fe.example.io",
                                    "*.eastus.fe.example.io"};
static const uint16_t types[] = {T_A,  T_AAAA,   T_NS,  T_SOA,     T_TXT,  T_CNAME, T_ANY,
                                 T_DS, T_DNSKEY, T_CDS, T_CDNSKEY, T_NSEC, 15,      65};

static void a_mix(enum dnskey_algorithm algorithm, bool csk)
{
    static struct signed_rig g;
    static struct fixture_answer a;
    const char *const sources[] = {"192.0.2.99", "10.1.2.3", "198.51.100.7"};
    uint8_t q[512];
    unsigned waits = 0;
    signed_rig_start(&g, "", algorithm, csk, 2, NOW);
    struct dnssec_judge j = oracle_of(&g, NOW);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        for (size_t k = 0; k < ARRAY_LEN(types); k++)
            for (size_t s = 0; s < ARRAY_LEN(sources); s++) {
                char what[128];
                snprintf(what, sizeof what, "%s type %u from %s", names[i], types[k], sources[s]);
                g.c.source = fixture_ip(sources[s]);
                g.c.transport = (i + k + s) & 1 || names[i][0] == '_' ? ANSWER_TCP : ANSWER_UDP;
                waits +=
                    (unsigned)signed_ask(&g, q, signed_query(q, names[i], types[k], false), &a);
                ck_assert_msg(ldns_pkt_get_rcode(a.pkt) == LDNS_RCODE_NOERROR ||
                                  (ldns_pkt_get_rcode(a.pkt) == LDNS_RCODE_NXDOMAIN &&
                                   (strstr(names[i], ".fe.") || !strncmp(names[i], "*.", 2))),
                              "%s: rcode %d", what, a.info.rcode);
                ck_assert_msg(!ldns_pkt_tc(a.pkt), "%s", what);
                ck_assert(ldns_pkt_edns_do(a.pkt));
                unsigned before = j.n_sets;
                judge(&j, ldns_pkt_answer(a.pkt), NOW, what);
                judge(&j, ldns_pkt_authority(a.pkt), NOW, what);
                ck_assert_msg(j.n_sets > before, "%s", what);
                ck_assert_msg(dnssec_judge_denial(&j, a.pkt), "%s: %s", what, j.why);
                fixture_answer_done(&a);
            }
    ck_assert_uint_gt(j.n_sets, 1500);
    ck_assert_uint_gt(waits, 20);
    dnssec_judge_done(&j);
    signed_rig_stop(&g);
}

START_TEST(ldns_verifies_every_answer_with_ecdsa)
{
    a_mix(DNSKEY_ECDSAP256, false);
}
END_TEST

START_TEST(ldns_verifies_every_answer_with_ed25519_and_one_key)
{
    a_mix(DNSKEY_ED25519, true);
}
END_TEST

// ---- what is denied ----

static char *nsec_text(struct signed_rig *g, const char *source, const char *name, uint16_t type,
                       bool co, int *rcode)
{
    static struct fixture_answer a;
    static char out[2048];
    uint8_t q[512];
    g->c.source = fixture_ip(source);
    signed_ask(g, q, signed_query(q, name, type, co), &a);
    ldns_rr_list *l = ldns_pkt_rr_list_by_type(a.pkt, LDNS_RR_TYPE_NSEC, LDNS_SECTION_AUTHORITY);
    snprintf(out, sizeof out, "%s", fixture_text(l));
    *rcode = a.info.rcode;
    ldns_rr_list_deep_free(l);
    fixture_answer_done(&a);
    return out;
}

START_TEST(absent_names_and_types_are_denied_at_the_name)
{
    static const struct {
        const char *source, *name;
        uint16_t type;
        bool co;
        int rcode;
        const char *nsec;
    } rows[] = {
        {"192.0.2.99", "nobody0.example.io", T_A, false, 0,
         "nobody0.example.io. 61 IN NSEC \\000.nobody0.example.io. RRSIG NSEC TYPE128 \n"},
        {"192.0.2.99", "nobody0.example.io", T_A, true, 3,
         "nobody0.example.io. 61 IN NSEC \\000.nobody0.example.io. RRSIG NSEC TYPE128 \n"},
        // An asterisk: from one impossible label to the next, the same for who knows compact
        // denials and who does not.
        {"192.0.2.99", "*.example.io", T_A, false, 3,
         "\\).example.io. 61 IN NSEC +.example.io. RRSIG NSEC \n"},
        {"192.0.2.99", "*.example.io", T_DS, true, 3,
         "\\).example.io. 61 IN NSEC +.example.io. RRSIG NSEC \n"},
        {"192.0.2.99", "*.EASTUS.geo.example.io", T_TXT, false, 3,
         "\\).eastus.geo.example.io. 61 IN NSEC +.eastus.geo.example.io. RRSIG NSEC \n"},
        {"192.0.2.99", "*.nobody.example.io", T_NSEC, false, 3,
         "\\).nobody.example.io. 61 IN NSEC +.nobody.example.io. RRSIG NSEC \n"},
        {"10.1.2.3", "*.contoso.privatelink.example.io", T_A, false, 3,
         "\\).contoso.privatelink.example.io. 61 IN NSEC +.contoso.privatelink.example.io. RRSIG "
         "NSEC \n"},
        {"192.0.2.99", "x.*.example.io", T_A, false, 0,
         "x.*.example.io. 61 IN NSEC \\000.x.*.example.io. RRSIG NSEC TYPE128 \n"},
        {"192.0.2.99", "geo.example.io", T_A, false, 0,
         "geo.example.io. 61 IN NSEC \\000.geo.example.io. RRSIG NSEC \n"},
        {"192.0.2.99", "eastus.geo.example.io", T_TXT, true, 0,
         "eastus.geo.example.io. 61 IN NSEC \\000.eastus.geo.example.io. RRSIG NSEC \n"},
        {"192.0.2.99", "example.io", T_TXT, false, 0,
         "example.io. 61 IN NSEC \\000.example.io. NS SOA RRSIG NSEC DNSKEY CDS CDNSKEY \n"},
        {"10.1.2.3", "contoso.example.io", T_AAAA, false, 0,
         "contoso.privatelink.example.io. 61 IN NSEC \\000.contoso.privatelink.example.io. A RRSIG "
         "NSEC \n"},
        {"10.1.2.3", "contoso.privatelink.example.io", T_TXT, false, 0,
         "contoso.privatelink.example.io. 61 IN NSEC \\000.contoso.privatelink.example.io. A RRSIG "
         "NSEC \n"},
        {"192.0.2.99", "contoso.example.io", T_TXT, false, 0,
         "eus-1.eastus.fe.example.io. 61 IN NSEC eus-2.eastus.fe.example.io. A AAAA RRSIG NSEC \n"},
        {"192.0.2.99", "fe.example.io", T_A, false, 0,
         "fe.example.io. 61 IN NSEC eus-1.eastus.fe.example.io. NS SOA RRSIG NSEC DNSKEY CDS "
         "CDNSKEY \n"},
        // an empty name: its child comes next
        {"192.0.2.99", "westeurope.fe.example.io", T_A, false, 0,
         "sea-1.southeastasia.fe.example.io. 61 IN NSEC weu-1.westeurope.fe.example.io. A RRSIG "
         "NSEC \n"},
        {"192.0.2.99", "none.eastus.fe.example.io", T_A, false, 3, // the name, and the wildcard
         "eus-2.eastus.fe.example.io. 61 IN NSEC sea-1.southeastasia.fe.example.io. A RRSIG NSEC \n"
         "fe.example.io. 61 IN NSEC eus-1.eastus.fe.example.io. NS SOA RRSIG NSEC DNSKEY CDS "
         "CDNSKEY \n"},
    };
    static struct signed_rig g;
    signed_rig_start(&g, "", DNSKEY_ECDSAP256, false, 1, NOW);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int rcode;
        char *got = nsec_text(&g, rows[i].source, rows[i].name, rows[i].type, rows[i].co, &rcode);
        ck_assert_msg(!strcmp(got, rows[i].nsec), "%s %u:\n%sexpected\n%s", rows[i].name,
                      rows[i].type, got, rows[i].nsec);
        ck_assert_msg(rcode == rows[i].rcode, "%s: rcode %d", rows[i].name, rcode);
    }
    signed_rig_stop(&g);
}
END_TEST

// RFC 4034 section 3.1.3. No owner of ours begins with one; whoever signs such an RRset all the
// same, signs it right.
START_TEST(a_leading_asterisk_is_no_label_of_a_signature)
{
    static const struct {
        const char *owner;
        uint8_t labels;
    } rows[] = {{"*.example.io", 2},  {"*.eastus.geo.example.io", 4},
                {"**.example.io", 3}, {"x.*.example.io", 4},
                {"example.io", 2},    {"*.*.example.io", 3}};
    const struct rrsig_signer by = {
        .algorithm = DNSKEY_ED25519, .apex = (const uint8_t *)"\2io", .apex_n = 4};
    struct rdata rdata = {(const uint8_t *)"\1", 1};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t owner[DNS_NAME_MAX], out[512];
        size_t n = dns_name_from_text(rows[i].owner, owner);
        struct rrset s = {owner, n, T_TXT, 60, &rdata, 1};
        ck_assert_uint_gt(
            rrset_to_sign(&s, &by, rrsig_times(RRSIG_LONG, owner, n, NOW), out, sizeof out), 0);
        ck_assert_msg(out[3] == rows[i].labels, "%s: %u", rows[i].owner, out[3]);
    }
}
END_TEST

static const char *answer_text(struct signed_rig *g, const char *source, const char *name,
                               uint16_t type, bool co, struct fixture_answer *a)
{
    uint8_t q[512];
    g->c.source = fixture_ip(source);
    signed_ask(g, q, signed_query(q, name, type, co), a);
    return fixture_text(ldns_pkt_answer(a->pkt));
}

// NSEC and its signature, and nothing of an alias or a denial: what a denial at that name says it
// has.
START_TEST(who_asks_for_nsec_or_signatures_gets_those_of_the_name)
{
    static const struct {
        const char *source, *name;
        bool co;
        // NULL: denied
        const char *nsec;
    } rows[] = {
        {"192.0.2.99", "example.io", false,
         "example.io. 61 IN NSEC \\000.example.io. NS SOA RRSIG NSEC DNSKEY CDS CDNSKEY \n"},
        {"192.0.2.99", "CONTOSO.example.io", true,
         "CONTOSO.example.io. 61 IN NSEC \\000.contoso.example.io. CNAME RRSIG NSEC \n"},
        {"192.0.2.99", "contoso.privatelink.example.io", false,
         "contoso.privatelink.example.io. 61 IN NSEC \\000.contoso.privatelink.example.io. CNAME "
         "RRSIG NSEC \n"},
        {"10.1.2.3", "contoso.privatelink.example.io", false,
         "contoso.privatelink.example.io. 61 IN NSEC \\000.contoso.privatelink.example.io. A RRSIG "
         "NSEC \n"},
        {"192.0.2.99", "geo.example.io", true,
         "geo.example.io. 61 IN NSEC \\000.geo.example.io. RRSIG NSEC \n"},
        {"192.0.2.99", "nobody0.example.io", false,
         "nobody0.example.io. 61 IN NSEC \\000.nobody0.example.io. RRSIG NSEC TYPE128 \n"},
        {"192.0.2.99", "nobody0.example.io", true, NULL},
        {"192.0.2.99", "fe.example.io", false,
         "fe.example.io. 61 IN NSEC eus-1.eastus.fe.example.io. NS SOA RRSIG NSEC DNSKEY CDS "
         "CDNSKEY \n"},
        {"192.0.2.99", "eus-1.eastus.fe.example.io", true,
         "eus-1.eastus.fe.example.io. 61 IN NSEC eus-2.eastus.fe.example.io. A AAAA RRSIG NSEC \n"},
        {"192.0.2.99", "eastus.fe.example.io", false, NULL}, // it has none
        {"192.0.2.99", "none.eastus.fe.example.io", false, NULL},
        {"192.0.2.99", "*.example.io", false, NULL}, // nor who is denied by another's
        {"192.0.2.99", "*.geo.example.io", true, NULL},
    };
    static struct signed_rig g;
    static struct fixture_answer a;
    signed_rig_start(&g, "", DNSKEY_ECDSAP256, false, 1, NOW);
    struct dnssec_judge o = oracle_of(&g, NOW);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *nsec = rows[i].nsec,
                   *got = answer_text(&g, rows[i].source, rows[i].name, T_NSEC, rows[i].co, &a);
        ck_assert_msg(a.info.rcode == DNS_NOERROR || (!nsec && a.info.rcode == DNS_NXDOMAIN), "%s",
                      rows[i].name);
        ck_assert_uint_eq(ldns_pkt_ancount(a.pkt), nsec ? 2 : 0);
        ck_assert_uint_eq(ldns_pkt_nscount(a.pkt) == 0, nsec != NULL);
        ck_assert_msg(!nsec || !strncmp(got, nsec, strlen(nsec)), "%s:\n%s", rows[i].name, got);
        judge(&o, ldns_pkt_answer(a.pkt), NOW, rows[i].name);
        judge(&o, ldns_pkt_authority(a.pkt), NOW, rows[i].name);
        fixture_answer_done(&a);
        answer_text(&g, rows[i].source, rows[i].name, T_RRSIG, rows[i].co, &a);
        ldns_rr_list *sigs =
            ldns_pkt_rr_list_by_type(a.pkt, LDNS_RR_TYPE_RRSIG, LDNS_SECTION_ANSWER);
        ck_assert_msg(nsec ? ldns_rr_list_rr_count(sigs) == ldns_pkt_ancount(a.pkt) &&
                                 ldns_rr_list_rr_count(sigs) > 0
                           : !sigs && !ldns_pkt_ancount(a.pkt),
                      "%s", rows[i].name);
        ck_assert_uint_eq(ldns_pkt_nscount(a.pkt) == 0, nsec != NULL);
        ldns_rr_list_deep_free(sigs);
        fixture_answer_done(&a);
    }
    dnssec_judge_done(&o);
    signed_rig_stop(&g);
}
END_TEST

// Without DO NSEC is data like any other, but no name that is not there has any; nor are signatures
// made.
START_TEST(nsec_without_do)
{
    static struct signed_rig g;
    static struct fixture_answer a;
    signed_rig_start(&g, "", DNSKEY_ECDSAP256, false, 1, NOW);
    static const struct {
        const char *name;
        uint16_t type;
        int rcode, an;
    } rows[] = {{"contoso.example.io", T_NSEC, 0, 1},
                {"eus-1.eastus.fe.example.io", T_NSEC, 0, 1},
                {"nobody0.example.io", T_NSEC, 3, 0},
                {"contoso.example.io", T_RRSIG, 0, 5},
                {"eus-1.eastus.fe.example.io", T_RRSIG, 0, 3}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fixture_ask(&g.c, rows[i].name, rows[i].type, 1232, &a);
        ck_assert_int_eq(a.info.rcode, rows[i].rcode);
        ck_assert_msg(ldns_pkt_ancount(a.pkt) == rows[i].an, "%s %u", rows[i].name, rows[i].type);
        fixture_answer_done(&a);
    }
    signed_rig_stop(&g);
}
END_TEST

// RFC 9824 section 5.1: who sends CO learns from the response that it was understood.
START_TEST(co_comes_back_where_denials_are_compact)
{
    static struct signed_rig g;
    static struct fixture_answer a;
    signed_rig_start(&g, "", DNSKEY_ECDSAP256, false, 1, NOW);
    static const char *const asked[] = {"nobody0.example.io", "contoso.example.io",
                                        "geo.example.io"};
    for (size_t i = 0; i < ARRAY_LEN(asked); i++)
        for (int co = 0; co < 2; co++) {
            answer_text(&g, "192.0.2.99", asked[i], T_A, co, &a);
            ck_assert_msg(ldns_pkt_edns_z(a.pkt) == (co ? 0xc000 : 0x8000), "%s: %x", asked[i],
                          ldns_pkt_edns_z(a.pkt));
            fixture_answer_done(&a);
        }
    struct topology *unsigned_ = fixture_topology();
    g.c.topology = unsigned_;
    answer_text(&g, "192.0.2.99", "nobody0.example.io", T_A, true, &a);
    ck_assert_uint_eq(ldns_pkt_edns_z(a.pkt), 0x8000);
    fixture_answer_done(&a);
    snapshot_unref(unsigned_);
    signed_rig_stop(&g);
}
END_TEST

START_TEST(a_cut_without_ds_is_denied_by_the_parent)
{
    static struct signed_rig g;
    static struct fixture_answer a;
    uint8_t q[512];
    int rcode;
    signed_rig_start(&g, "private_cut: insecure\n", DNSKEY_ECDSAP256, false, 1, NOW);
    ck_assert_str_eq(
        nsec_text(&g, "192.0.2.99", "privatelink.example.io", T_DS, false, &rcode),
        "privatelink.example.io. 61 IN NSEC \\000.privatelink.example.io. NS RRSIG NSEC \n");
    // Below it nothing is signed, but the way there is.
    g.c.source = fixture_ip("10.1.2.3");
    signed_ask(&g, q, signed_query(q, "contoso.example.io", T_A, false), &a);
    ldns_rr_list *sigs = ldns_pkt_rr_list_by_type(a.pkt, LDNS_RR_TYPE_RRSIG, LDNS_SECTION_ANSWER);
    ck_assert_uint_eq(ldns_rr_list_rr_count(sigs), 1);
    ck_assert_uint_eq(ldns_rdf2rr_type(ldns_rr_rrsig_typecovered(ldns_rr_list_rr(sigs, 0))),
                      LDNS_RR_TYPE_CNAME);
    ldns_rr_list_deep_free(sigs);
    fixture_answer_done(&a);
    // An alias there has no NSEC: its target's is the answer.
    answer_text(&g, "192.0.2.99", "contoso.privatelink.example.io", T_NSEC, false, &a);
    ck_assert_uint_eq(ldns_pkt_ancount(a.pkt), 3);
    ck_assert_uint_eq(ldns_rr_get_type(ldns_rr_list_rr(ldns_pkt_answer(a.pkt), 1)),
                      LDNS_RR_TYPE_NSEC);
    fixture_answer_done(&a);
    signed_rig_stop(&g);
}
END_TEST

// ---- without DO, without keys, without room ----

START_TEST(without_do_nothing_changes)
{
    static struct signed_rig g;
    static const uint16_t plain[] = {T_A, T_AAAA, T_NS, T_TXT, T_CNAME, T_ANY};
    static uint8_t with[ANSWER_TCP_MAX], without[ANSWER_TCP_MAX];
    uint8_t q[512];
    struct answer_info info;
    signed_rig_start(&g, "", DNSKEY_ECDSAP256, false, 1, NOW);
    struct answer_context c = {
        .topology = fixture_topology(), .transport = ANSWER_UDP, .source = g.c.source};
    c.frontend = g.d->zone; // its serial
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        for (size_t k = 0; k < ARRAY_LEN(plain); k++)
            for (int edns = -1; edns < 2000; edns += 1233) {
                size_t n = fixture_query(q, names[i], plain[k], edns);
                size_t a = answer_packet(&g.c, q, n, with, sizeof with, &info);
                size_t b = answer_packet(&c, q, n, without, sizeof without, &info);
                ck_assert_uint_eq(a, b);
                ck_assert_msg(!memcmp(with, without, a), "%s %u", names[i], plain[k]);
            }
    snapshot_unref((void *)c.topology);
    signed_rig_stop(&g);
}
END_TEST

START_TEST(no_keys_no_unsigned_answers)
{
    static struct signed_rig g;
    static struct fixture_answer a;
    uint8_t q[512];
    signed_rig_start(&g, "", DNSKEY_ECDSAP256, false, 1, NOW);
    g.c.dnssec = NULL;
    signed_ask(&g, q, signed_query(q, "contoso.example.io", T_A, false), &a);
    ck_assert_int_eq(a.info.rcode, DNS_SERVFAIL);
    fixture_answer_done(&a);
    // who does not ask for signatures is served
    fixture_ask(&g.c, "contoso.example.io", T_A, 1232, &a);
    ck_assert_int_eq(a.info.rcode, DNS_NOERROR);
    fixture_answer_done(&a);
    signed_rig_stop(&g);
}
END_TEST

START_TEST(when_nobody_can_sign_udp_is_told_to_come_by_tcp)
{
    static struct signed_rig g;
    static struct fixture_answer a;
    uint8_t q[512];
    size_t n = signed_query(q, "contoso.example.io", T_A, false);
    signed_rig_start(&g, "", DNSKEY_ECDSAP256, false, 0, NOW);
    signed_ask(&g, q, n, &a);
    ck_assert(ldns_pkt_tc(a.pkt) && a.info.truncated && a.info.rcode == DNS_NOERROR);
    fixture_answer_done(&a);
    g.c.transport = ANSWER_TCP;
    signed_ask(&g, q, n, &a);
    ck_assert_int_eq(a.info.rcode, DNS_SERVFAIL);
    fixture_answer_done(&a);
    signed_rig_stop(&g);
}
END_TEST

START_TEST(a_missing_private_key_is_named)
{
    static struct signed_rig g;
    struct dnssec *d = NULL;
    struct diag diag;
    char path[160];
    signed_rig_start(&g, "", DNSKEY_ECDSAP256, false, 1, NOW);
    snprintf(path, sizeof path, "%s/%s.pem", g.dir, g.t->dnssec.keys[1].id);
    ck_assert_int_eq(unlink(path), 0);
    diag_init(&diag);
    ck_assert_int_ne(dnssec_new(g.t, g.dir, NOW, g.memo, NULL, &diag, &d), 0);
    ck_assert_ptr_null(d);
    ck_assert_ptr_nonnull(strstr(diag.lines[0], g.t->dnssec.keys[1].id));
    diag_done(&diag);
    signed_rig_stop(&g);
}
END_TEST

// ---- time ----

static void all_made(struct signer *s)
{
    struct signer_stats n;
    for (signer_stats_get(s, &n); n.waiting; signer_stats_get(s, &n))
        sched_yield(); // Check ends who waits too long
}

START_TEST(signatures_are_renewed_ahead_of_their_end)
{
    static struct signed_rig g;
    static struct fixture_answer a;
    uint8_t q[512];
    size_t n = signed_query(q, "contoso.example.io", T_A, false);
    signed_rig_start(&g, "", DNSKEY_ECDSAP256, false, 1, NOW);
    struct dnssec_judge o = oracle_of(&g, NOW);
    for (int64_t t = NOW; t < NOW + 20000; t += 100) {
        g.c.now_s = t;
        int waits = signed_ask(&g, q, n, &a);
        ck_assert_msg(t == NOW || waits == 0, "waited at %lld", (long long)(t - NOW));
        const uint8_t *found = a.info.lookups[SIGNER_POSITIVE];
        ck_assert(a.info.looked_up && found[LOOKUP_HIT] + found[LOOKUP_BEFORE] > 0 &&
                  !found[LOOKUP_MISS]);
        judge(&o, ldns_pkt_answer(a.pkt), t, "now");
        judge(&o, ldns_pkt_answer(a.pkt), t - 3000, "a clock behind");
        judge(&o, ldns_pkt_answer(a.pkt), t + (int64_t)g.t->ttl.global, "until the TTL ends");
        // At most an hour for what leads where health says.
        ldns_rr_list *sigs =
            ldns_pkt_rr_list_by_type(a.pkt, LDNS_RR_TYPE_RRSIG, LDNS_SECTION_ANSWER);
        int64_t end = ldns_rdf2native_time_t(ldns_rr_rrsig_expiration(ldns_rr_list_rr(sigs, 0)));
        ck_assert_int_le(end - t, 3600);
        ck_assert_int_ge(end - t, 1200);
        ldns_rr_list_deep_free(sigs);
        fixture_answer_done(&a);
        all_made(g.signer); // also what is made ahead
    }
    dnssec_judge_done(&o);
    signed_rig_stop(&g);
}
END_TEST

// ---- fe.D ----

START_TEST(the_signed_zone_holds_together)
{
    static struct signed_rig g;
    signed_rig_start(&g, "", DNSKEY_ED25519, false, 1, NOW);
    struct dnssec_judge o = oracle_of(&g, NOW);
    const struct zone *z = g.d->zone;
    ck_assert(z->is_signed);
    ck_assert_uint_eq(z->serial, 7 + NOW / 604800);
    ldns_rr_list *all = dnssec_judge_records(z->rrs, z->n_rrs, 0);
    const uint8_t *next = z->apex;
    size_t n_nsec = 0, next_n = z->apex_n;
    for (size_t i = 0; i < z->n_rrs; i++) {
        const struct zone_rr *r = &z->rrs[i];
        if (r->type != T_NSEC)
            continue;
        ck_assert(r->owner_n == next_n && !memcmp(r->owner, next, next_n)); // a chain
        next = r->rdata;
        for (next_n = 0; next[next_n]; next_n += 1u + next[next_n])
            ;
        next_n++;
        n_nsec++;
    }
    ck_assert(next_n == z->apex_n && !memcmp(next, z->apex, next_n)); // that closes
    ck_assert_uint_eq(n_nsec, 5);
    judge(&o, all, NOW, "fe.D");
    ldns_rr_list_deep_free(all);
    dnssec_judge_done(&o);
    // Made again for the same period, nothing is signed anew: Ed25519 would hide it, so by identity
    // of the memo.
    struct dnssec *again;
    ck_assert_int_eq(dnssec_new(g.t, g.dir, NOW + 10, g.memo, NULL, NULL, &again), 0);
    ck_assert_uint_eq(again->zone->n_rrs, z->n_rrs);
    for (size_t i = 0; i < z->n_rrs; i++)
        ck_assert_int_eq(zone_rr_compare(&z->rrs[i], &again->zone->rrs[i]), 0);
    snapshot_unref(again);
    // Nor is it another zone for the zone maintainer: a document that pins the serial costs no file
    // and no message.
    ck_assert_int_eq(dnssec_new(g.t, g.dir, NOW + 10, g.memo, z, NULL, &again), 0);
    ck_assert_ptr_eq(again->zone, z);
    snapshot_unref(again);
    signed_rig_stop(&g);
}
END_TEST

START_TEST(out_of_memory_leaves_nothing_behind)
{
    static struct signed_rig g;
    signed_rig_start(&g, "", DNSKEY_ECDSAP256, false, 1, NOW);
    for (long i = 1;; i++) {
        struct dnssec *d = NULL;
        mem_fault_after(i);
        int rc = dnssec_new(g.t, g.dir, NOW, g.memo, NULL, NULL, &d);
        bool hit = mem_fault_hits() > 0;
        mem_fault_after(0);
        if (!rc && !hit) {
            snapshot_unref(d);
            break;
        }
        ck_assert_int_lt(rc, 0);
        ck_assert_ptr_null(d);
    }
    signed_rig_stop(&g);
}
END_TEST

// ---- names at their limits ----

START_TEST(the_next_name_is_greater_and_a_name)
{
    uint8_t name[256], out[256];
    for (size_t total = 250; total <= 255; total++)
        for (int last = 0; last < 3; last++) {
            size_t n = 0, tail = total - 1 - 3 * 64;
            for (int i = -1; i < 3; i++) { // a first label of what is left, then three of 63
                size_t len = i < 0 ? tail - 1 : 63;
                name[n++] = (uint8_t)len;
                memset(name + n, 'a', len);
                if (i < 0)
                    name[n + len - 1] = last == 0 ? 'z' : last == 1 ? 0xff : '@';
                n += len;
            }
            name[n++] = 0;
            ck_assert_uint_eq(n, total);
            size_t k = nsec_next_name(name, n, out);
            ck_assert_uint_gt(k, 0);
            ck_assert_uint_le(k, 255);
            ck_assert_int_gt(zone_name_compare(out, k, name, n), 0);
        }
}
END_TEST

CHECK_MAIN("resolver/dnssec", ldns_verifies_every_answer_with_ecdsa,
           ldns_verifies_every_answer_with_ed25519_and_one_key,
           absent_names_and_types_are_denied_at_the_name,
           a_leading_asterisk_is_no_label_of_a_signature,
           who_asks_for_nsec_or_signatures_gets_those_of_the_name, nsec_without_do,
           co_comes_back_where_denials_are_compact, a_cut_without_ds_is_denied_by_the_parent,
           without_do_nothing_changes, no_keys_no_unsigned_answers,
           when_nobody_can_sign_udp_is_told_to_come_by_tcp, a_missing_private_key_is_named,
           signatures_are_renewed_ahead_of_their_end, the_signed_zone_holds_together,
           out_of_memory_leaves_nothing_behind, the_next_name_is_greater_and_a_name)
