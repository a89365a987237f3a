// SPDX-License-Identifier: Apache-2.0
// A private endpoint that is at the edge alone is in DNS in no form: no private address in its view,
// no privatelink hop for anybody, nothing at _route, in explanations and in exported zones. Another
// view's is as it was.
#include "base/mem.h"
#include "resolver/answer/explain.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <jansson.h>
#include <string.h>

#define PUBLIC "198.51.100.1"
#define CORP "10.1.0.9"
#define LAB "10.2.0.9"

#define FRAME                                                                                    \
    "version: 7\ndomain: example.io\nregions:\n"                                                 \
    "  - { name: eastus, peer: 192.0.2.1:8443, stamps: [{ name: eus-1, ipv4: [192.0.2.1] }] }\n" \
    "name_servers: [eus-1.eastus]\n"                                                             \
    "views:\n  - { name: corp, sources: [10.1.0.0/16] }\n"                                       \
    "  - { name: lab, sources: [10.2.0.0/16] }\n"                                                \
    "registries:\n  - { name: contoso, regional_endpoints: enabled, data_endpoints: enabled, "   \
    "replicas: [{ region: eastus }] }\nprivate_endpoints:\n"                                     \
    "  - { name: pe, registry: contoso, view: corp, %saddresses: { registry: 10.1.0.4, "         \
    "registry_eastus: 10.1.0.5 } }\n%s"
#define LAB_PE \
    "  - { name: lab-pe, registry: contoso, view: lab, addresses: { registry: 10.2.0.4 } }\n"

static struct topology *topology_of(enum topology_form form, const char *stage, const char *more)
{
    struct topology *t = NULL;
    struct diag d;
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    diag_init(&d);
    buf_printf(&b, FRAME, stage, more);
    int rc = topology_parse_as(form, b.p, b.n, "t.yaml", &d, &t);
    ck_assert_msg(!rc, "%s", d.n ? d.lines[0] : "?");
    diag_done(&d);
    return t;
}

// The names and the address of an answer's chain, or "NX".
static const char *chain(const struct topology *t, const char *source, const char *name,
                         ldns_rr_type type)
{
    static char out[8][512];
    static unsigned at;
    char *text = out[at++ % ARRAY_LEN(out)];
    const struct answer_context c = {
        .topology = t, .transport = ANSWER_TCP, .source = fixture_ip(source)};
    struct fixture_answer a;
    size_t n = 0;
    fixture_ask(&c, name, type, 1232, &a);
    const ldns_rr_list *l = ldns_pkt_answer(a.pkt);
    snprintf(text, sizeof out[0], "%s", a.info.rcode == 3 ? "NX" : "empty");
    for (size_t i = 0; i < ldns_rr_list_rr_count(l); i++) {
        char *data = ldns_rdf2str(ldns_rr_rdf(ldns_rr_list_rr(l, i), 0));
        n += (size_t)snprintf(text + n, sizeof out[0] - n, "%s%s", n ? " " : "", data);
        free(data);
    }
    fixture_answer_done(&a);
    return text;
}

#define G "contoso.example.io"
#define GP "contoso.privatelink.example.io"
#define R "contoso.eastus.geo.example.io"
#define D "contoso.eastus.data.example.io"
#define FE "eus-1.eastus.fe.example.io."

START_TEST(at_the_edge_it_is_in_no_dns)
{
    static const struct {
        const char *stage, *more, *name, *public, *corp, *lab;
    } cases[] = {
        {"", "", G, GP ". " FE " 192.0.2.1", GP ". 10.1.0.4", GP ". " FE " 192.0.2.1"},
        {"stage: edge, ", "", G, FE " 192.0.2.1", FE " 192.0.2.1", FE " 192.0.2.1"},
        {"stage: edge, ", "", GP, "NX", "NX", "NX"},
        {"stage: edge, ", "", R, FE " 192.0.2.1", FE " 192.0.2.1", FE " 192.0.2.1"},
        {"stage: edge, ", "", D, FE " 192.0.2.1", FE " 192.0.2.1", FE " 192.0.2.1"},
        // another view's is as it was, and so is the hop that it makes
        {"", LAB_PE, G, GP ". " FE " 192.0.2.1", GP ". 10.1.0.4", GP ". 10.2.0.4"},
        {"stage: edge, ", LAB_PE, G, GP ". " FE " 192.0.2.1", GP ". " FE " 192.0.2.1",
         GP ". 10.2.0.4"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (int form = TOPOLOGY_FULL; form <= TOPOLOGY_COMPACT; form++) {
            struct topology *t =
                topology_of((enum topology_form)form, cases[i].stage, cases[i].more);
            const char *public = chain(t, PUBLIC, cases[i].name, LDNS_RR_TYPE_A);
            const char *corp = chain(t, CORP, cases[i].name, LDNS_RR_TYPE_A);
            const char *lab = chain(t, LAB, cases[i].name, LDNS_RR_TYPE_A);
            ck_assert_msg(!strcmp(public, cases[i].public), "%zu: %s", i, public);
            ck_assert_msg(!strcmp(corp, cases[i].corp), "%zu: %s", i, corp);
            ck_assert_msg(!strcmp(lab, cases[i].lab), "%zu: %s", i, lab);
            snapshot_unref(t);
        }
}
END_TEST

START_TEST(the_route_record_is_the_public_one)
{
    struct topology *t = topology_of(TOPOLOGY_FULL, "", "");
    ck_assert_ptr_nonnull(strstr(chain(t, CORP, "_route." G, LDNS_RR_TYPE_TXT), "reason=private"));
    snapshot_unref(t);
    t = topology_of(TOPOLOGY_FULL, "stage: edge, ", "");
    const char *said = chain(t, CORP, "_route." G, LDNS_RR_TYPE_TXT);
    ck_assert_msg(strstr(said, "region=eastus") != NULL, "%s", said);
    snapshot_unref(t);
}
END_TEST

START_TEST(an_explanation_says_that_it_is_at_the_edge)
{
    struct topology *t = topology_of(TOPOLOGY_FULL, "stage: edge, ", "");
    struct explain_query q = {.topology = t, .name = G, .client = fixture_ip(CORP)};
    json_t *j = dns_explain_json(&q);
    const json_t *private = json_object_get(j, "private");
    ck_assert_msg(json_is_null(json_object_get(private, "endpoint")), "%s", json_dumps(j, 0));
    const char *reason = json_string_value(json_object_get(private, "reason"));
    ck_assert_msg(strstr(reason, "private endpoint pe in view corp is at the edge alone"), "%s",
                  reason);
    json_decref(j);
    snapshot_unref(t);
}
END_TEST

CHECK_MAIN("resolver/private_stage", at_the_edge_it_is_in_no_dns,
           the_route_record_is_the_public_one, an_explanation_says_that_it_is_at_the_edge)
