// SPDX-License-Identifier: Apache-2.0
// config: private endpoints that are at the edge alone, who answers there, and which members
// somebody has to hear before DNS leads to them (config/member_probe.h).
#include "base/bytes.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "config/endpoints.h"
#include "config/member_probe.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

#define FRAME                                                                       \
    "version: 1\ndomain: example.io\nregions:\n"                                    \
    "  - { name: a, peer: 10.0.0.1:1, stamps: [{ name: s, ipv4: [192.0.2.1] }] }\n" \
    "  - { name: b, peer: 10.0.0.2:1, stamps: [{ name: s, ipv4: [192.0.2.2] }] }\n" \
    "name_servers: [s.a]\nviews:\n"                                                 \
    "  - { name: corp, sources: [10.1.0.0/16] }\n"                                  \
    "  - { name: lab, sources: [10.2.0.0/16] }\n"                                   \
    "registries:\n  - { name: fabrikam, replicas: [{ region: a }] }\n"              \
    "  - { name: contoso, "

static struct topology *topology_of(const char *row, const char *endpoints)
{
    struct diag d;
    struct topology *t = NULL;
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_printf(&b, FRAME "%s }\n%s%s", row, *endpoints ? "private_endpoints:\n" : "", endpoints);
    diag_init(&d);
    int rc = topology_parse(b.p, b.n, "t.yaml", &d, &t);
    ck_assert_msg(!rc, "%s", d.n ? d.lines[0] : "?");
    diag_done(&d);
    return t;
}

#define BOTH "replicas: [{ region: a }, { region: b }]"
#define ON "regional_endpoints: enabled, data_endpoints: enabled, "

static const char *probes(const struct topology *t)
{
    static char text[2048];
    struct member_iter it = {0};
    struct member_probe p;
    size_t n = 0;
    text[0] = 0;
    while (member_probe_next(t, &it, &p)) {
        char ip[IP_TEXT_SIZE], key[MEMBER_KEY_SIZE];
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s %s %s %s %llx", n ? "; " : "",
                              p.endpoint->name, private_member_key(t, p.member, key),
                              ip_format(&p.member->ip, ip), p.name, (unsigned long long)p.regions);
    }
    return text;
}

START_TEST(dns_knows_those_that_are_private)
{
    static const struct {
        const char *endpoints;
        bool in_dns;
    } cases[] = {
        {"", false},
        {"  - { name: p, registry: contoso, view: corp, addresses: { registry: 10.1.0.4 } }\n",
         true},
        {"  - { name: p, registry: contoso, view: corp, stage: edge, addresses: { registry: "
         "10.1.0.4 } }\n",
         false},
        {"  - { name: p, registry: contoso, view: corp, stage: edge, addresses: { registry: "
         "10.1.0.4 } }\n  - { name: q, registry: contoso, view: lab, stage: private, addresses: { "
         "registry: 10.2.0.4 } }\n",
         true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct topology *t = topology_of(BOTH, cases[i].endpoints);
        const struct catalogue_registry *r = catalogue_find_name(t->catalogue, "contoso");
        ck_assert_int_eq(registry_in_private_dns(topology_registry(t, "contoso")), cases[i].in_dns);
        ck_assert_int_eq((r->flags & CATALOGUE_PRIVATE) != 0, cases[i].in_dns);
        ck_assert_int_eq((r->flags & CATALOGUE_ENDPOINTS) != 0, *cases[i].endpoints != 0);
        r = catalogue_find_name(t->catalogue, "fabrikam");
        ck_assert_uint_eq(r->flags & (CATALOGUE_PRIVATE | CATALOGUE_ENDPOINTS), 0);
        snapshot_unref(t);
    }
}
END_TEST

START_TEST(an_endpoint_is_found_by_its_name)
{
    struct topology *t =
        topology_of(BOTH, "  - { name: p, registry: contoso, view: corp, stage: edge, answered_by: "
                          "balancer, addresses: { registry: 10.1.0.4 } }\n");
    const struct registry *r = NULL;
    const struct private_endpoint *pe = topology_private_endpoint(t, "p", &r);
    ck_assert_str_eq(r->name, "contoso");
    ck_assert_uint_eq(pe->stage, PRIVATE_AT_EDGE);
    ck_assert_str_eq(answered_by_word((enum answered_by)pe->answered_by), "balancer");
    ck_assert_ptr_null(topology_private_endpoint(t, "q", NULL));
    snapshot_unref(t);
}
END_TEST

#define ROW(more)                                                                             \
    "  - { name: p, registry: contoso, view: corp, " more "addresses: { registry: 10.1.0.4, " \
    "registry_data_b: [10.1.0.5, 'fd00::5'], registry_a: 10.1.0.6 } }\n"
#define ALL_OF_P                                               \
    "p registry 10.1.0.4 contoso.example.io 3; "               \
    "p registry_data_b 10.1.0.5 contoso.b.data.example.io 2; " \
    "p registry_data_b fd00::5 contoso.b.data.example.io 2; "  \
    "p registry_a 10.1.0.6 contoso.a.geo.example.io 1"

START_TEST(members_are_heard_before_names_lead_there)
{
    static const struct {
        const char *row, *endpoints, *want;
    } cases[] = {
        {ON BOTH, ROW("answered_by: edge, stage: edge, "), ALL_OF_P},
        {ON BOTH, ROW("answered_by: balancer, stage: edge, "), ALL_OF_P},
        // somebody else's affair
        {ON BOTH, ROW("stage: edge, "), ""},
        // in DNS already
        {ON BOTH, ROW("answered_by: edge, "), ""},
        // names that come: only theirs
        {ON "regional_stage: edge, " BOTH, ROW("answered_by: edge, "),
         "p registry_a 10.1.0.6 contoso.a.geo.example.io 1"},
        {ON "replicas: [{ region: a }, { region: b, stage: edge }]", ROW("answered_by: edge, "),
         "p registry_data_b 10.1.0.5 contoso.b.data.example.io 2; "
         "p registry_data_b fd00::5 contoso.b.data.example.io 2"},
        {ON "regional_stage: private, " BOTH, ROW("answered_by: edge, "), ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct topology *t = topology_of(cases[i].row, cases[i].endpoints);
        ck_assert_msg(!strcmp(probes(t), cases[i].want), "%zu: %s", i, probes(t));
        snapshot_unref(t);
    }
}
END_TEST

CHECK_MAIN("config/private_stage", dns_knows_those_that_are_private,
           an_endpoint_is_found_by_its_name, members_are_heard_before_names_lead_there)
