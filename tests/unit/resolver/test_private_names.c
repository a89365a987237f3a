// SPDX-License-Identifier: Apache-2.0
// resolver/answer/private_names: what other resolvers are given for a view is what this one answers
// there, name by name; nothing of other views, nothing that is not in DNS.
#include "resolver/answer/private_names.h"

#include "base/err.h"
#include "base/mem.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <jansson.h>
#include <string.h>

#define FRAME                                                                                    \
    "version: 7\ndomain: example.io\nttl: { private: 11s }\n%sregions:\n"                        \
    "  - { name: eastus, peer: 192.0.2.1:8443, stamps: [{ name: eus-1, ipv4: [192.0.2.1] }] }\n" \
    "  - { name: westus, peer: 192.0.2.2:8443, stamps: [{ name: wus-1, ipv4: [192.0.2.2] }] }\n" \
    "name_servers: [eus-1.eastus, wus-1.westus]\n"                                               \
    "views:\n  - { name: corp, sources: [10.1.0.0/16] }\n"                                       \
    "  - { name: lab, sources: [10.2.0.0/16], listeners: [\"127.0.0.9:5300\"] }\n"               \
    "registries:\n"                                                                              \
    "  - { name: contoso, regional_endpoints: enabled, data_endpoints: enabled, replicas: [{ "   \
    "region: eastus }, { region: westus }] }\n"                                                  \
    "  - { name: fabrikam, data_endpoints: enabled, replicas: [{ region: eastus }] }\n"          \
    "  - { name: plain, replicas: [{ region: eastus }] }\n"                                      \
    "private_endpoints:\n"                                                                       \
    "  - { name: pe, registry: contoso, view: corp, addresses: { registry: [10.1.0.4, "          \
    "\"fd00::4\", 10.1.0.3], registry_eastus: 10.1.0.5, registry_data_westus: 10.1.0.6 } }\n"    \
    "  - { name: fab, registry: fabrikam, view: corp, addresses: { registry: 10.1.0.8 } }\n"     \
    "  - { name: lab-pe, registry: contoso, view: lab, addresses: { registry: 10.2.0.4 } }\n"    \
    "  - { name: edge-pe, registry: fabrikam, view: lab, stage: edge, addresses: { registry: "   \
    "10.2.0.5 } }\n"

static struct topology *topology_of(const char *more)
{
    AUTO_FREE char *text = mem_printf(FRAME, more);
    return fixture_parse(text);
}

static json_t *document_of(const struct topology *t, const char *view, const char *registry)
{
    void *doc = NULL;
    ck_assert_int_eq(dns_private_names_json(t, topology_view(t, view), registry, &doc), 0);
    return doc;
}

// "zone name private ttl addresses" a line.
static const char *lines_of(const struct topology *t, const char *view, const char *registry)
{
    static char out[4096];
    size_t n = 0, i, k;
    json_t *doc = document_of(t, view, registry), *one, *ip;
    out[0] = 0;
    json_array_foreach(json_object_get(doc, "names"), i, one)
    {
        const char *zone, *name, *private;
        json_int_t ttl;
        json_t *list;
        ck_assert(!json_unpack(one, "{s:s, s:s, s:s, s:I, s:o}", "zone", &zone, "name", &name,
                               "privateName", &private, "ttl", &ttl, "addresses", &list));
        n +=
            (size_t)snprintf(out + n, sizeof out - n, "%s %s %s %d", zone, name, private, (int)ttl);
        json_array_foreach(list, k, ip) n +=
            (size_t)snprintf(out + n, sizeof out - n, " %s", json_string_value(ip));
        n += (size_t)snprintf(out + n, sizeof out - n, "\n");
    }
    json_decref(doc);
    return out;
}

#define ZONE "privatelink.example.io"
#define GLOBAL \
    ZONE " contoso.example.io contoso.privatelink.example.io 11 10.1.0.3 10.1.0.4 fd00::4\n"
#define DATA                                                                                   \
    ZONE " contoso.westus.data.example.io contoso.westus.data.privatelink.example.io 11 10.1." \
         "0.6\n"
#define REGIONAL(zone)                                                                         \
    zone " contoso.eastus.geo.example.io contoso.eastus.geo.privatelink.example.io 11 10.1.0." \
         "5\n"
#define FABRIKAM ZONE " fabrikam.example.io fabrikam.privatelink.example.io 11 10.1.0.8\n"

START_TEST(a_views_names_are_listed)
{
    struct topology *t = topology_of("");
    ck_assert_str_eq(lines_of(t, "corp", NULL), REGIONAL(ZONE) GLOBAL DATA FABRIKAM);
    ck_assert_str_eq(lines_of(t, "corp", "contoso"), REGIONAL(ZONE) GLOBAL DATA);
    ck_assert_str_eq(lines_of(t, "corp", "fabrikam"), FABRIKAM);
    ck_assert_str_eq(lines_of(t, "corp", "plain"), "");
    ck_assert_str_eq(lines_of(t, "corp", "fab"), "");
    // a view with listeners of its own, and what is at the edge alone
    ck_assert_str_eq(lines_of(t, "lab", NULL),
                     ZONE " contoso.example.io contoso.privatelink.example.io 11 10.2.0.4\n");
    snapshot_unref(t);
    // the compact form is what nodes with the resolver's role alone have
    AUTO_FREE char *text = mem_printf(FRAME, "");
    ck_assert_int_eq(topology_parse_as(TOPOLOGY_COMPACT, text, strlen(text), "t.yaml", NULL, &t),
                     0);
    ck_assert_str_eq(lines_of(t, "corp", NULL), REGIONAL(ZONE) GLOBAL DATA FABRIKAM);
    snapshot_unref(t);
}
END_TEST

// Every listed address is in the answer to the private name as well, and no other.
START_TEST(what_is_listed_is_what_is_answered)
{
    struct topology *t = topology_of("");
    json_t *doc = document_of(t, "corp", NULL), *one;
    const struct answer_context c = {
        .topology = t, .transport = ANSWER_TCP, .source = fixture_ip("10.1.0.9")};
    size_t i;
    json_array_foreach(json_object_get(doc, "names"), i, one)
    {
        size_t n = 0;
        const json_t *list = json_object_get(one, "addresses");
        for (int six = 0; six < 2; six++) {
            struct fixture_answer a;
            fixture_ask(&c, json_string_value(json_object_get(one, "privateName")),
                        six ? T_AAAA : T_A, 1232, &a);
            n += ldns_rr_list_rr_count(ldns_pkt_answer(a.pkt));
            for (size_t k = 0; k < json_array_size(list); k++) {
                const char *ip = json_string_value(json_array_get(list, k));
                bool is = !strchr(ip, ':') == !six;
                ck_assert(!is || strstr(fixture_text(ldns_pkt_answer(a.pkt)), ip));
            }
            fixture_answer_done(&a);
        }
        ck_assert_uint_eq(n, json_array_size(list));
    }
    ck_assert_uint_eq(i, 4);
    json_decref(doc);
    snapshot_unref(t);
}
END_TEST

static const char *apexes(const struct topology *t)
{
    static char out[512];
    size_t n = 0, i;
    json_t *doc = document_of(t, "corp", NULL), *one;
    out[0] = 0;
    json_array_foreach(json_object_get(doc, "zones"), i, one)
    {
        const json_t *soa = json_object_get(one, "soa"), *ns = json_object_get(one, "ns");
        ck_assert_int_eq(json_integer_value(json_object_get(soa, "serial")), 7);
        ck_assert_str_eq(json_string_value(json_object_get(soa, "mname")),
                         "eus-1.eastus.fe.example.io");
        ck_assert_uint_eq(json_array_size(json_object_get(ns, "names")), 2);
        n += (size_t)snprintf(out + n, sizeof out - n, "%s ",
                              json_string_value(json_object_get(one, "apex")));
    }
    json_decref(doc);
    return out;
}

START_TEST(zones_are_those_that_the_topology_cuts)
{
    struct topology *t = topology_of("");
    ck_assert_str_eq(apexes(t), ZONE " ");
    snapshot_unref(t);
    t = topology_of("private_cut: insecure\n");
    ck_assert_str_eq(apexes(t), ZONE " ");
    ck_assert_str_eq(lines_of(t, "corp", NULL), REGIONAL(ZONE) GLOBAL DATA FABRIKAM);
    snapshot_unref(t);
    t = topology_of("private_cut: insecure\nprivate_cut_at: region\n");
    ck_assert_str_eq(apexes(t), ZONE " eastus.geo.privatelink.example.io "
                                     "westus.geo.privatelink.example.io ");
    ck_assert_str_eq(lines_of(t, "corp", NULL),
                     REGIONAL("eastus.geo.privatelink.example.io") GLOBAL DATA FABRIKAM);
    snapshot_unref(t);
}
END_TEST

// ---- what goes wrong ----

static unsigned allocations_left;

static void *scarce(size_t n)
{
    if (!allocations_left)
        return NULL;
    allocations_left--;
    return malloc(n);
}

// Out of memory is told from a view that is not answered.
START_TEST(each_allocation_may_fail)
{
    struct topology *t = topology_of("");
    void *doc = NULL;
    unsigned n = 0;
    int rc = ERR_NOMEM;
    for (; rc && n < 100000; n++) {
        allocations_left = n;
        json_set_alloc_funcs(scarce, free);
        rc = dns_private_names_json(t, topology_view(t, "corp"), NULL, &doc);
        json_set_alloc_funcs(malloc, free);
        ck_assert_msg(!rc || (rc == ERR_NOMEM && !doc), "%u: %d", n, rc);
    }
    ck_assert_int_eq(rc, 0);
    ck_assert_uint_gt(n, 50);
    ck_assert_uint_eq(json_array_size(json_object_get(doc, "names")), 4);
    json_decref(doc);
    snapshot_unref(t);
}
END_TEST

START_TEST(a_view_that_is_not_answered_is_told_so)
{
    AUTO_FREE char *text = mem_printf(FRAME, "");
    static const char sources[] = "sources: [10.1.0.0/16]";
    const char *at = strstr(text, sources);
    AUTO_FREE char *denied = mem_printf("%.*s%s, deny: [10.1.0.0/16]%s", (int)(at - text), text,
                                        sources, at + strlen(sources));
    struct topology *t = fixture_parse(denied);
    void *doc = NULL;
    ck_assert_int_eq(dns_private_names_json(t, topology_view(t, "corp"), NULL, &doc), ERR_DENIED);
    ck_assert_ptr_null(doc);
    snapshot_unref(t);
}
END_TEST

CHECK_MAIN("resolver/private_names", a_views_names_are_listed, what_is_listed_is_what_is_answered,
           zones_are_those_that_the_topology_cuts, each_allocation_may_fail,
           a_view_that_is_not_answered_is_told_so)
