// SPDX-License-Identifier: Apache-2.0
// Stages of names in DNS: a name of a registry that comes or goes is answered where its stage says,
// in the public view and in private ones, by full and compact topologies alike; denials agree, and
// a zone written out has the same names. Reserved names are denied.
#include "base/mem.h"
#include "config/endpoints.h"
#include "resolver/answer/explain.h"
#include "resolver/route/route.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <jansson.h>
#include <string.h>

#define PUBLIC "198.51.100.1"
#define CORP "10.1.0.9"  // has addresses of contoso
#define OTHER "10.2.0.9" // has none

#define FRAME                                                                                    \
    "version: 7\ndomain: example.io\nregions:\n"                                                 \
    "  - { name: eastus, peer: 192.0.2.1:8443, stamps: [{ name: eus-1, ipv4: [192.0.2.1] }] }\n" \
    "  - { name: westus, peer: 192.0.2.2:8443, stamps: [{ name: wus-1, ipv4: [192.0.2.2] }] }\n" \
    "name_servers: [eus-1.eastus]\nrouting: { order: [westus, eastus] }\n"                       \
    "views:\n  - { name: corp, sources: [10.1.0.0/16] }\n"                                       \
    "  - { name: other, sources: [10.2.0.0/16] }\n"                                              \
    "private_endpoints:\n  - { name: pe, registry: contoso, view: corp, addresses: { registry: " \
    "10.1.0.4, registry_eastus: 10.1.0.5, registry_data_eastus: 10.1.0.6 } }\n"                  \
    "reserved: [{ name: tailspin, since: '2026-11-01T00:00:00Z', until: '2027-01-30T00:00:00Z' " \
    "}]\nregistries:\n  - { name: fabrikam, regional_endpoints: enabled, replicas: [{ region: "  \
    "eastus }, { region: westus }] }\n"                                                          \
    "  - { name: contoso, regional_endpoints: enabled, "

static struct topology *topology_of(enum topology_form form, const char *more)
{
    struct topology *t = NULL;
    struct diag d;
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    diag_init(&d);
    buf_printf(&b, FRAME "%s", more);
    int rc = topology_parse_as(form, b.p, b.n, "t.yaml", &d, &t);
    ck_assert_msg(!rc, "%s", d.n ? d.lines[0] : "?");
    diag_done(&d);
    return t;
}

// "192.0.2.1" where the name leads to, "NX" when it is denied.
static const char *leads_to(const struct topology *t, const char *source, const char *name)
{
    static char out[8][32];
    static unsigned at;
    char *text = out[at++ % ARRAY_LEN(out)];
    const struct answer_context c = {
        .topology = t, .transport = ANSWER_TCP, .source = fixture_ip(source)};
    struct fixture_answer a;
    fixture_ask(&c, name, T_A, 1232, &a);
    const ldns_rr_list *l = ldns_pkt_answer(a.pkt);
    size_t n = ldns_rr_list_rr_count(l);
    snprintf(text, 32, "%s", a.info.rcode == 3 ? "NX" : "empty");
    if (n) {
        char *ip = ldns_rdf2str(ldns_rr_rdf(ldns_rr_list_rr(l, n - 1), 0));
        snprintf(text, 32, "%s", ip);
        free(ip);
    }
    fixture_answer_done(&a);
    return text;
}

#define ALL "replicas: [{ region: eastus }, { region: westus }] }\n"
#define E(stage) "replicas: [{ region: eastus, stage: " stage " }, { region: westus }] }\n"
#define G "contoso.example.io"
#define GP "contoso.privatelink.example.io"
#define RE "contoso.eastus.geo.example.io"
#define REP "contoso.eastus.geo.privatelink.example.io"
#define RW "contoso.westus.geo.example.io"
#define DE "contoso.eastus.data.example.io"
#define DW "contoso.westus.data.example.io"
#define TXT "_route.contoso.example.io"

START_TEST(each_view_sees_what_the_stage_says)
{
    static const struct {
        const char *row, *name, *public, *corp, *other;
    } cases[] = {
        {ALL, G, "192.0.2.2", "10.1.0.4", "192.0.2.2"},
        {ALL, RE, "192.0.2.1", "10.1.0.5", "192.0.2.1"},
        {ALL, RW, "192.0.2.2", "192.0.2.2", "192.0.2.2"},
        // all names of the registry
        {"stage: private, " ALL, G, "NX", "10.1.0.4", "NX"},
        {"stage: private, " ALL, GP, "NX", "10.1.0.4", "NX"},
        {"stage: private, " ALL, RE, "NX", "10.1.0.5", "NX"},
        {"stage: private, " ALL, RW, "NX", "NX", "NX"}, // the view has no address of it
        {"stage: private, " ALL, DE, "NX", "10.1.0.6", "NX"},
        {"stage: edge, " ALL, G, "NX", "NX", "NX"},
        {"stage: edge, " ALL, GP, "NX", "NX", "NX"},
        {"stage: edge, " ALL, RE, "NX", "NX", "NX"},
        {"stage: edge, " ALL, REP, "NX", "NX", "NX"},
        {"stage: edge, " ALL, DW, "NX", "NX", "NX"},
        // regional names alone: the global one works throughout
        {"regional_stage: edge, " ALL, G, "192.0.2.2", "10.1.0.4", "192.0.2.2"},
        {"regional_stage: edge, " ALL, RE, "NX", "NX", "NX"},
        {"regional_stage: edge, " ALL, DE, "192.0.2.1", "10.1.0.6", "192.0.2.1"},
        {"regional_stage: private, " ALL, RE, "NX", "10.1.0.5", "NX"},
        {"regional_stage: private, " ALL, REP, "NX", "10.1.0.5", "NX"},
        {"data_stage: private, " ALL, DE, "NX", "10.1.0.6", "NX"},
        {"data_stage: private, " ALL, DW, "NX", "NX", "NX"},
        {"data_stage: edge, " ALL, RE, "192.0.2.1", "10.1.0.5", "192.0.2.1"},
        // a replica that comes or goes: its names, and no global traffic there
        {E("edge"), RE, "NX", "NX", "NX"},
        {E("edge"), DE, "NX", "NX", "NX"},
        {E("private"), RE, "NX", "10.1.0.5", "NX"},
        {E("edge"), RW, "192.0.2.2", "192.0.2.2", "192.0.2.2"},
        {E("edge"), G, "192.0.2.2", "10.1.0.4", "192.0.2.2"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (int form = TOPOLOGY_FULL; form <= TOPOLOGY_COMPACT; form++) {
            struct topology *t = topology_of((enum topology_form)form, cases[i].row);
            const char *public = leads_to(t, PUBLIC, cases[i].name),
                       *corp = leads_to(t, CORP, cases[i].name),
                       *other = leads_to(t, OTHER, cases[i].name);
            ck_assert_msg(!strcmp(public, cases[i].public) && !strcmp(corp, cases[i].corp) &&
                              !strcmp(other, cases[i].other),
                          "%zu: %s: %s, %s, %s", i, cases[i].name, public, corp, other);
            // nobody else's names are touched
            ck_assert_str_eq(leads_to(t, PUBLIC, "fabrikam.eastus.geo.example.io"), "192.0.2.1");
            snapshot_unref(t);
        }
}
END_TEST

START_TEST(global_traffic_leaves_a_replica_that_goes)
{
    static const struct {
        const char *row, *to;
    } cases[] = {
        {"replicas: [{ region: eastus }, { region: westus }] }\n", "192.0.2.2"},
        {"replicas: [{ region: eastus }, { region: westus, stage: private }] }\n", "192.0.2.1"},
        {"replicas: [{ region: eastus, drained: true }, { region: westus, stage: edge }] }\n",
         "192.0.2.1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct topology *t = topology_of(TOPOLOGY_COMPACT, cases[i].row);
        ck_assert_str_eq(leads_to(t, PUBLIC, G), cases[i].to);
        // with every region down it still leads to no replica that is not public
        struct health_verdicts *v = fixture_verdicts(t, 3);
        const struct route_context c = {.topology = t, .health = v};
        struct route_client client = {.net = {fixture_ip(PUBLIC), 128}};
        struct route r;
        route_decide(&c, catalogue_find(t->catalogue, "contoso", 7), &client, &r);
        for (size_t k = 0; i && k < r.n_steps; k++)
            if (!strcmp(t->regions[r.steps[k].region].name, "westus"))
                ck_assert_str_eq(route_state_name(r.steps[k].state), "staged");
        ck_assert_str_eq(t->regions[r.steps[r.chosen].region].name, i ? "eastus" : "westus");
        snapshot_unref(v);
        snapshot_unref(t);
    }
}
END_TEST

START_TEST(the_route_record_goes_with_the_global_name)
{
    static const struct {
        const char *row;
        bool public, corp;
    } cases[] = {{ALL, true, true},
                 {"regional_stage: edge, " ALL, true, true},
                 {"stage: private, " ALL, false, true},
                 {"stage: edge, " ALL, false, false}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct topology *t = topology_of(TOPOLOGY_FULL, cases[i].row);
        struct fixture_answer a;
        struct answer_context c = {.topology = t, .transport = ANSWER_TCP};
        c.source = fixture_ip(PUBLIC);
        fixture_ask(&c, TXT, T_TXT, 1232, &a);
        ck_assert_int_eq(a.info.rcode == 0, cases[i].public);
        fixture_answer_done(&a);
        c.source = fixture_ip(CORP);
        fixture_ask(&c, TXT, T_TXT, 1232, &a);
        ck_assert_int_eq(a.info.rcode == 0, cases[i].corp);
        fixture_answer_done(&a);
        snapshot_unref(t);
    }
}
END_TEST

START_TEST(a_reserved_name_is_denied)
{
    struct topology *t = topology_of(TOPOLOGY_COMPACT, ALL);
    ck_assert_str_eq(leads_to(t, PUBLIC, "tailspin.example.io"), "NX");
    ck_assert_str_eq(leads_to(t, CORP, "tailspin.privatelink.example.io"), "NX");
    ck_assert_str_eq(leads_to(t, PUBLIC, "tailspin.eastus.geo.example.io"), "NX");
    ck_assert_str_eq(leads_to(t, PUBLIC, "tailspin-abcdefgh01234567.example.io"), "NX");
    snapshot_unref(t);
}
END_TEST

static const char *explained_stage(const struct topology *t, const char *name)
{
    static char out[16];
    struct explain_query q = {.topology = t, .name = name, .client = fixture_ip(PUBLIC)};
    json_t *j = dns_explain_json(&q);
    const char *stage = json_string_value(json_object_get(j, "stage"));
    snprintf(out, sizeof out, "%s", stage ? stage : "-");
    json_decref(j);
    return out;
}

START_TEST(an_explanation_names_the_stage)
{
    struct topology *t = topology_of(TOPOLOGY_FULL, "regional_stage: private, " E("edge"));
    ck_assert_str_eq(explained_stage(t, G), "-");
    ck_assert_str_eq(explained_stage(t, TXT), "-");
    ck_assert_str_eq(explained_stage(t, RE), "edge");
    ck_assert_str_eq(explained_stage(t, RW), "private");
    ck_assert_str_eq(explained_stage(t, DE), "edge");
    ck_assert_str_eq(explained_stage(t, "www.example.io"), "-");
    snapshot_unref(t);
}
END_TEST

CHECK_MAIN("resolver/stages", each_view_sees_what_the_stage_says,
           global_traffic_leaves_a_replica_that_goes, the_route_record_goes_with_the_global_name,
           a_reserved_name_is_denied, an_explanation_names_the_stage)
