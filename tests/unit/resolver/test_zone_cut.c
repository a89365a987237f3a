// SPDX-License-Identifier: Apache-2.0
// resolver/cut: with private_cut: insecure, what each side of a cut answers, and which SOA a denial
// has.
#include "resolver/zone/zone_cut.h"

#include "resolver/packet/wire.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <stdio.h>
#include <string.h>

#define SOA                                                                                        \
    "example.io. 60 IN SOA eus-1.eastus.fe.example.io. hostmaster.example.io. 7 3600 600 1209600 " \
    "60\n"
#define PL "privatelink.example.io."
#define WEU "westeurope.geo." PL
#define SOA_PL "privatelink." SOA
#define SOA_WEU "westeurope.geo.privatelink." SOA
#define C_PL "contoso." PL
#define A_EUS "eus-1.eastus.fe.example.io. 60 IN A 192.0.2.1\n"

static struct topology *zone_cut_topology(const char *rows)
{
    char text[2048];
    snprintf(
        text, sizeof text,
        "version: 7\ndomain: example.io\n%sregions:\n"
        "  - { name: eastus, peer: \"192.0.2.1:8443\", stamps: [ { name: eus-1, ipv4: [192.0.2.1] "
        "} ] }\n"
        "  - { name: westeurope, peer: \"192.0.2.2:8443\", stamps: [ { name: weu-1, ipv4: "
        "[192.0.2.2] } ] }\n"
        "name_servers: [eus-1.eastus]\n"
        "registries:\n"
        "  - { name: contoso, regional_endpoints: enabled, replicas: [ { region: eastus }, { "
        "region: westeurope } ] }\n"
        "  - { name: fabrikam, regional_endpoints: enabled, replicas: [ { region: eastus } ] }\n"
        "views:\n  - { name: corp, sources: [10.1.0.0/16] }\n"
        "private_endpoints:\n  - { name: pe, registry: contoso, view: corp, addresses: { registry: "
        "10.1.0.4, "
        "registry_westeurope: 10.1.0.5, registry_data_westeurope: 10.1.0.6 } }\n",
        rows);
    return fixture_parse(text);
}

#define AT_PRIVATELINK "private_cut: insecure\n" // the first choice of private_cut_at
#define AT_REGION "private_cut: insecure\nprivate_cut_at: region\n"

struct row {
    const char *cut, *name;
    uint16_t type;
    const char *source;
    int rcode;
    const char *answer, *authority;
};

static const struct row rows[] = {
    // the child's side of the apex, and the parent's
    {AT_PRIVATELINK, "privatelink.example.io", T_NS, "192.0.2.9", 0,
     PL " 3600 IN NS eus-1.eastus.fe.example.io.\n", ""},
    {AT_PRIVATELINK, "PrivateLink.example.io", T_A, "192.0.2.9", 0, "", SOA_PL},
    {AT_PRIVATELINK, "privatelink.example.io", T_DS, "192.0.2.9", 0, "", SOA},
    {AT_PRIVATELINK, "geo.privatelink.example.io", T_A, "192.0.2.9", 0, "", SOA_PL},
    {AT_PRIVATELINK, "westeurope.geo.privatelink.example.io", T_NS, "192.0.2.9", 0, "", SOA_PL},
    {AT_PRIVATELINK, "westeurope.data.privatelink.example.io", T_DS, "192.0.2.9", 0, "", SOA_PL},
    {AT_PRIVATELINK, "mars.geo.privatelink.example.io", T_A, "192.0.2.9", 3, "", SOA_PL},
    {AT_PRIVATELINK, "fabrikam.privatelink.example.io", T_A, "192.0.2.9", 3, "", SOA_PL},
    {AT_PRIVATELINK, "nobody.eastus.geo.example.io", T_A, "192.0.2.9", 3, "", SOA},
    {AT_PRIVATELINK, "example.io", T_TXT, "192.0.2.9", 0, "", SOA},
    // from D into the child and out again, in one response
    {AT_PRIVATELINK, "contoso.example.io", T_A, "192.0.2.9", 0,
     "contoso.example.io. 30 IN CNAME " C_PL "\n" C_PL
     " 10 IN CNAME eus-1.eastus.fe.example.io.\n" A_EUS,
     ""},
    {AT_PRIVATELINK, "contoso.example.io", T_A, "10.1.9.9", 0,
     "contoso.example.io. 30 IN CNAME " C_PL "\n" C_PL " 10 IN A 10.1.0.4\n", ""},
    {AT_PRIVATELINK, "contoso.example.io", T_TXT, "10.1.9.9", 0,
     "contoso.example.io. 30 IN CNAME " C_PL "\n", SOA_PL},
    {AT_PRIVATELINK, "contoso.privatelink.example.io", T_AAAA, "10.1.9.9", 0, "", SOA_PL},
    {AT_PRIVATELINK, "contoso.privatelink.example.io", T_DS, "10.1.9.9", 0, "", SOA_PL},
    {AT_PRIVATELINK, "contoso.westeurope.geo.example.io", T_TXT, "10.1.9.9", 0,
     "contoso.westeurope.geo.example.io. 300 IN CNAME contoso." WEU "\n", SOA_PL},
    {AT_PRIVATELINK, "contoso.westeurope.data.privatelink.example.io", T_AAAA, "10.1.9.9", 0, "",
     SOA_PL},
    // a zone for each region: the names around them stay in D
    {AT_REGION, "westeurope.geo.privatelink.example.io", T_NS, "192.0.2.9", 0,
     WEU " 3600 IN NS eus-1.eastus.fe.example.io.\n", ""},
    {AT_REGION, "westeurope.geo.privatelink.example.io", T_A, "192.0.2.9", 0, "", SOA_WEU},
    {AT_REGION, "WestEurope.Geo.Privatelink.example.io", T_DS, "192.0.2.9", 0, "", SOA},
    {AT_REGION, "privatelink.example.io", T_NS, "192.0.2.9", 0, "", SOA},
    {AT_REGION, "geo.privatelink.example.io", T_A, "192.0.2.9", 0, "", SOA},
    {AT_REGION, "mars.geo.privatelink.example.io", T_A, "192.0.2.9", 3, "", SOA},
    {AT_REGION, "west-1.geo.privatelink.example.io", T_A, "192.0.2.9", 3, "", SOA},
    {AT_REGION, "contoso.mars.geo.privatelink.example.io", T_A, "192.0.2.9", 3, "", SOA},
    {AT_REGION, "a234567890b234567890c234567890d234567890.geo.privatelink.example.io", T_A,
     "192.0.2.9", 3, "", SOA},
    {AT_REGION, "westeurope.data.privatelink.example.io", T_NS, "192.0.2.9", 0, "", SOA},
    {AT_REGION, "westeurope.xgeo.privatelink.example.io", T_NS, "192.0.2.9", 3, "", SOA},
    {AT_REGION, "fabrikam.westeurope.geo.privatelink.example.io", T_A, "192.0.2.9", 3, "", SOA_WEU},
    {AT_REGION, "a.b.c.westeurope.geo.privatelink.example.io", T_A, "192.0.2.9", 3, "", SOA_WEU},
    {AT_REGION, "contoso.westeurope.geo.example.io", T_TXT, "10.1.9.9", 0,
     "contoso.westeurope.geo.example.io. 300 IN CNAME contoso." WEU "\n", SOA_WEU},
    {AT_REGION, "contoso.westeurope.geo.example.io", T_A, "10.1.9.9", 0,
     "contoso.westeurope.geo.example.io. 300 IN CNAME contoso." WEU "\ncontoso." WEU
     " 10 IN A 10.1.0.5\n",
     ""},
    {AT_REGION, "contoso.example.io", T_TXT, "10.1.9.9", 0,
     "contoso.example.io. 30 IN CNAME " C_PL "\n", SOA},
    {AT_REGION, "contoso.westeurope.data.privatelink.example.io", T_AAAA, "10.1.9.9", 0, "", SOA},
    // no cut
    {"", "privatelink.example.io", T_NS, "192.0.2.9", 0, "", SOA},
    {"", "westeurope.geo.privatelink.example.io", T_NS, "192.0.2.9", 0, "", SOA},
    {"", "contoso.example.io", T_TXT, "10.1.9.9", 0, "contoso.example.io. 30 IN CNAME " C_PL "\n",
     SOA},
};

START_TEST(table)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *r = &rows[i];
        struct topology *t = zone_cut_topology(r->cut);
        struct answer_context c = {.topology = t, .source = fixture_ip(r->source)};
        struct fixture_answer a;
        fixture_ask(&c, r->name, r->type, 1232, &a);
        ck_assert_msg(ldns_pkt_get_rcode(a.pkt) == (ldns_pkt_rcode)r->rcode, "row %zu: rcode %d", i,
                      ldns_pkt_get_rcode(a.pkt));
        ck_assert_msg(ldns_pkt_aa(a.pkt), "row %zu: AA", i);
        ck_assert_msg(!strcmp(fixture_text(ldns_pkt_answer(a.pkt)), r->answer),
                      "row %zu answers\n%s", i, fixture_text(ldns_pkt_answer(a.pkt)));
        ck_assert_msg(!strcmp(fixture_text(ldns_pkt_authority(a.pkt)), r->authority),
                      "row %zu authority\n%s", i, fixture_text(ldns_pkt_authority(a.pkt)));
        fixture_answer_done(&a);
        snapshot_unref(t);
    }
}
END_TEST

START_TEST(apexes_have_soa_and_glue)
{
    const char *const cuts[][2] = {{AT_PRIVATELINK, "privatelink.example.io"},
                                   {AT_REGION, "eastus.geo.privatelink.example.io"}};
    for (size_t i = 0; i < 2; i++) {
        struct topology *t = zone_cut_topology(cuts[i][0]);
        struct answer_context c = {.topology = t, .source = fixture_ip("10.1.9.9")};
        struct fixture_answer a;
        fixture_ask(&c, cuts[i][1], T_SOA, -1, &a);
        ck_assert_uint_eq(ldns_pkt_ancount(a.pkt), 1);
        ck_assert_uint_eq(ldns_pkt_nscount(a.pkt), 0);
        ck_assert_ptr_nonnull(
            strstr(fixture_text(ldns_pkt_answer(a.pkt)), " 7 3600 600 1209600 60\n"));
        fixture_answer_done(&a);
        fixture_ask(&c, cuts[i][1], T_NS, -1, &a);
        ck_assert_str_eq(fixture_text(ldns_pkt_additional(a.pkt)), A_EUS);
        fixture_answer_done(&a);
        snapshot_unref(t);
    }
}
END_TEST

// Names, zones and apexes, as those who sign ask for them.
START_TEST(zones_of_names)
{
    const struct {
        const char *cut, *name;
        int zone;
        bool apex;
    } names[] = {
        {"", "example.io", ZONE_MAIN, true},
        {"", "privatelink.example.io", ZONE_MAIN, false},
        {"", "a.fe.example.io", ZONE_FRONTEND, false},
        {"", "FE.example.io", ZONE_FRONTEND, true},
        {AT_PRIVATELINK, "privatelink.example.io", ZONE_PRIVATELINK, true},
        {AT_PRIVATELINK, "x.y.PRIVATElink.example.io", ZONE_PRIVATELINK, false},
        {AT_PRIVATELINK, "privatelink.x.example.io", ZONE_MAIN, false},
        {AT_REGION, "eastus.geo.privatelink.example.io", ZONE_REGION, true},
        {AT_REGION, "c.westeurope.geo.privatelink.example.io", ZONE_REGION + 1, false},
        {AT_REGION, "geo.privatelink.example.io", ZONE_MAIN, false},
        {AT_REGION, "c.privatelink.example.io", ZONE_MAIN, false},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct topology *t = zone_cut_topology(names[i].cut);
        uint8_t wire[DNS_NAME_MAX];
        size_t n = dns_name_from_text(names[i].name, wire);
        enum answer_zone zone = zone_cut_of(t, wire, n);
        ck_assert_msg((int)zone == names[i].zone, "%s: %d", names[i].name, (int)zone);
        ck_assert_msg(zone_cut_is_apex(t, zone, n) == names[i].apex, "%s: apex", names[i].name);
        ck_assert_int_eq(zone_cut_is_insecure(zone), zone != ZONE_MAIN && zone != ZONE_FRONTEND);
        snapshot_unref(t);
    }
    struct topology *t = zone_cut_topology(AT_REGION);
    ck_assert_int_eq(zone_cut_of_private(t, NAME_REGIONAL, 1), ZONE_REGION + 1);
    ck_assert_int_eq(zone_cut_of_private(t, NAME_REGIONAL_PRIVATE, 0), ZONE_REGION);
    ck_assert_int_eq(zone_cut_of_private(t, NAME_GLOBAL, REGION_NONE), ZONE_MAIN);
    ck_assert_int_eq(zone_cut_of_private(t, NAME_DATA, 0), ZONE_MAIN);
    snapshot_unref(t);
}
END_TEST

CHECK_MAIN("resolver/cut", table, apexes_have_soa_and_glue, zones_of_names)
