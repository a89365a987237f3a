// SPDX-License-Identifier: Apache-2.0
// resolver/denial, answer_dnssec: an NSEC tells the truth. For every kind of name, in every view
// and with every cut, each type is asked for: what is answered stands in the bitmap of the name's
// NSEC, what is denied does not, and nothing fails.
#include "base/mem.h"
#include "resolver/packet/wire.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/signed_fixture.h"

#include <stdio.h>
#include <string.h>

#define NOW 1795478400
#define TYPES 270 // up to CAA and beyond

static const char *const names[] = {"example.io",
                                    "nobody.example.io",
                                    "x.contoso.example.io",
                                    "contoso.example.io",
                                    "plain.example.io",
                                    "drained.example.io",
                                    "contoso.privatelink.example.io",
                                    "plain.privatelink.example.io",
                                    "contoso.westeurope.geo.example.io",
                                    "contoso.eastus.geo.privatelink.example.io",
                                    "contoso.westeurope.geo.privatelink.example.io",
                                    "contoso.westeurope.data.privatelink.example.io",
                                    "fabrikam.eastus.data.example.io",
                                    "comes.example.io",
                                    "comes.eastus.geo.example.io",
                                    "leaves.example.io",
                                    "leaves.privatelink.example.io",
                                    "leaves.eastus.geo.example.io",
                                    "leaves.eastus.data.privatelink.example.io",
                                    "leaves.westeurope.geo.privatelink.example.io",
                                    "_route.comes.example.io",
                                    "_route.leaves.example.io",
                                    "geo.example.io",
                                    "eastus.geo.example.io",
                                    "privatelink.example.io",
                                    "geo.privatelink.example.io",
                                    "eastus.geo.privatelink.example.io",
                                    "_route.contoso.example.io",
                                    "_route.nobody.example.io",
                                    "_acme-challenge.example.io",
                                    "x._acme-challenge.example.io",
                                    "_acme-challenge.eastus.geo.example.io",
                                    "_acme-challenge.eastus.fe.example.io",
                                    "_acme-challenge.eastus.geo.privatelink.example.io",
                                    "fe.example.io",
                                    "eastus.fe.example.io",
                                    "eus-1.eastus.fe.example.io",
                                    "weu-1.westeurope.fe.example.io",
                                    "nobody.fe.example.io",
                                    "*.example.io",
                                    "*.contoso.example.io",
                                    "*.geo.example.io",
                                    "*.privatelink.example.io",
                                    "*.eastus.geo.privatelink.example.io"};

#define STATICS                                                                                  \
    "apex: { txt: [one, two], ipv4: [192.0.2.77], ipv6: [\"2001:db8::77\"], mx: [{ host: "       \
    "mx.example.net }], "                                                                        \
    "caa: [{ tag: issue, value: x }], acme_challenge: [{ txt: a }, { at: eastus.geo, txt: c }, " \
    "{ at: eastus.fe, txt: d }, { at: eastus.geo.privatelink, txt: f }] }\n"

struct at_name { // all answers at one name, for one client
    bool answered[TYPES];
    // as asked for; NULL: the name has none
    ldns_rr *nsec;
};

static bool says(const ldns_rr *nsec, unsigned type)
{
    return ldns_nsec_bitmap_covers_type(ldns_rr_rdf(nsec, 1), (ldns_rr_type)type);
}

// The name at which the answer ends.
static const ldns_rdf *end_of(const ldns_pkt *pkt)
{
    const ldns_rr_list *l = ldns_pkt_answer(pkt);
    const ldns_rdf *end = ldns_rr_owner(ldns_rr_list_rr(ldns_pkt_question(pkt), 0));
    for (size_t i = 0; i < ldns_rr_list_rr_count(l); i++)
        if (ldns_rr_get_type(ldns_rr_list_rr(l, i)) == LDNS_RR_TYPE_CNAME)
            end = ldns_rr_rdf(ldns_rr_list_rr(l, i), 0);
    return end;
}

static void check_denial(const struct fixture_answer *a, unsigned type, const char *what)
{
    const ldns_rr_list *l = ldns_pkt_authority(a->pkt);
    for (size_t i = 0; i < ldns_rr_list_rr_count(l); i++) {
        const ldns_rr *n = ldns_rr_list_rr(l, i);
        if (ldns_rr_get_type(n) != LDNS_RR_TYPE_NSEC ||
            ldns_dname_compare(ldns_rr_owner(n), end_of(a->pkt)))
            continue;
        ck_assert_msg(!says(n, type) && !says(n, T_CNAME), "%s: the NSEC has what it denies", what);
    }
}

static bool is_question(unsigned type)
{
    return type != DNS_OPT && type != DNS_NXNAME && (type < DNS_TKEY || type > DNS_AXFR);
}

// Lies the name in D whatever the cuts, where absent names are NOERROR?
static bool is_compact(const char *name)
{
    return !strstr(name, ".fe.") && !strstr(name, "privatelink") && name[0] != '*';
}

static void ask_all(struct signed_rig *g, const char *name, struct at_name *out)
{
    static struct fixture_answer a;
    uint8_t q[512];
    memset(out, 0, sizeof *out);
    for (unsigned type = 1; type < TYPES; type++) {
        char what[160];
        if (!is_question(type))
            continue;
        snprintf(what, sizeof what, "%s type %u", name, type);
        signed_ask(g, q, signed_query(q, name, (uint16_t)type, false), &a);
        ck_assert_msg(a.info.rcode == DNS_NOERROR ||
                          (a.info.rcode == DNS_NXDOMAIN && !is_compact(name)),
                      "%s: rcode %d", what, a.info.rcode);
        const ldns_rr_list *l = ldns_pkt_answer(a.pkt);
        const ldns_rr *first = ldns_rr_list_rr_count(l) ? ldns_rr_list_rr(l, 0) : NULL;
        out->answered[type] = first && ldns_rr_get_type(first) == type;
        check_denial(&a, type, what);
        if (type == T_NSEC && out->answered[type])
            out->nsec = ldns_rr_clone(first);
        fixture_answer_done(&a);
    }
}

static void check_bitmap(const struct at_name *x, const char *name)
{
    for (unsigned type = 1; x->nsec && type < TYPES; type++) {
        if (type == T_DS && !strcmp(name, "fe.example.io")) // the parent's: not of this NSEC's zone
            continue;
        if (is_question(type))
            ck_assert_msg(says(x->nsec, type) == x->answered[type], "%s: type %u", name, type);
    }
}

static void every_name(const char *extra)
{
    static struct signed_rig g;
    static const char *const sources[] = {"192.0.2.99", "10.1.2.3", "10.2.0.1"};
    struct endpoint lab = {fixture_ip("127.0.0.9"), 5300};
    size_t n_nsec = 0;
    signed_rig_start(&g, extra, DNSKEY_ED25519, false, 2, NOW);
    g.c.transport = ANSWER_TCP;
    for (size_t s = 0; s < ARRAY_LEN(sources); s++)
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
            struct at_name x;
            g.c.source = fixture_ip(sources[s]);
            g.c.listener = s == 2 ? &lab : NULL;
            ask_all(&g, names[i], &x);
            check_bitmap(&x, names[i]);
            n_nsec += x.nsec != NULL;
            ldns_rr_free(x.nsec);
        }
    ck_assert_uint_gt(n_nsec, 50); // most: absent names of fe.D and unsigned zones have none
    signed_rig_stop(&g);
}

START_TEST(without_a_cut)
{
    every_name(STATICS);
}
END_TEST

START_TEST(with_a_cut_at_privatelink)
{
    every_name("private_cut: insecure\n" STATICS);
}
END_TEST

START_TEST(with_a_cut_in_each_region)
{
    every_name("private_cut: insecure\nprivate_cut_at: region\n" STATICS);
}
END_TEST

CHECK_MAIN("resolver/denial", without_a_cut, with_a_cut_at_privatelink, with_a_cut_in_each_region)
