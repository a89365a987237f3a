// SPDX-License-Identifier: Apache-2.0
// resolver/answer_route, client, route: Client Subnet and its scope (RFC 7871), tiers and weights
// in answers, and the TXT record at _route.L.D.
#include "resolver/answer/answer.h"
#include "resolver/packet/client.h"
#include "resolver/route/route.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <string.h>

static const char yaml[] =
    "version: 7\ndomain: example.io\nhostmaster: hostmaster@example.io\nregions:\n"
    "  - { name: east, peer: 192.0.2.1:8443, stamps: [{name: e-1, ipv4: [192.0.2.1]}] }\n"
    "  - { name: west, peer: 192.0.2.2:8443, stamps: [{name: w-1, ipv4: [192.0.2.2]}] }\n"
    "  - { name: asia, peer: 192.0.2.3:8443, stamps: [{name: a-1, ipv4: [192.0.2.3]}] }\n"
    "name_servers: [e-1.east]\nregistries:\n"
    "  - { name: contoso, regional_endpoints: enabled, replicas: [{region: east}, {region: west}, "
    "{region: asia}] }\n"
    "  - { name: fabrikam, replicas: [{region: east}, {region: west, weight: 50}, {region: asia, "
    "weight: 0}] }\n"
    "  - { name: asian, replicas: [{region: asia}] }\n"
    "  - { name: drained, replicas: [{region: asia, drained: true}] }\n"
    "routing:\n  order: [east, west+asia]\n  overrides:\n"
    "    - { clients: 198.51.0.0/16, order: [asia] }\n"
    "    - { clients: 198.51.100.0/25, order: [west] }\n"
    "    - { clients: 203.0.113.0/24, order: [east+west+asia] }\n"
    "    - { clients: \"2001:db8::/32\", order: [west+east, asia] }\n"
    "    - { clients: 10.0.0.0/8, order: [asia] }\n"
    "views:\n  - { name: corp, sources: [10.1.0.0/16] }\n"
    "private_endpoints:\n"
    "  - { name: pe, registry: contoso, view: corp, addresses: { registry: 10.1.0.4 } }\n";

struct reply {
    int rcode;
    bool truncated, ecs;
    uint16_t family;
    uint8_t source, scope, address[16];
    // that the CNAME leads to
    char region[HOSTNAME_REGION_SIZE];
    // its strings joined as they are, as Go's LookupTXT does
    char txt[512];
};

// `subnet`: "198.51.100.0/24", or NULL for none.
static struct reply ask(struct answer_context *c, const char *name, uint16_t type,
                        const char *subnet)
{
    static uint8_t out[ANSWER_TCP_MAX];
    uint8_t q[512];
    struct reply r = {0};
    struct answer_info info;
    size_t n = fixture_query(q, name, type, 1232);
    if (subnet) {
        struct cidr net;
        ck_assert_msg(!cidr_parse(subnet, &net), "%s", subnet);
        n = fixture_add_subnet(q, n, &net);
    }
    ldns_pkt *pkt = NULL;
    n = answer_packet(c, q, n, out, c->transport == ANSWER_UDP ? 1232 : sizeof out, &info);
    ck_assert_int_eq(ldns_wire2pkt(&pkt, out, n), LDNS_STATUS_OK);
    r.rcode = info.rcode;
    r.truncated = ldns_pkt_tc(pkt);
    ldns_rdf *edns = ldns_pkt_edns_data(pkt);
    for (size_t at = 0; edns && at + 4 <= ldns_rdf_size(edns);) {
        const uint8_t *p = ldns_rdf_data(edns) + at;
        if (p[1] == 8) {
            r.ecs = true;
            r.family = (uint16_t)(p[4] << 8 | p[5]);
            r.source = p[6];
            r.scope = p[7];
            memcpy(r.address, p + 8, (size_t)(p[3] - 4));
        }
        at += 4u + (size_t)(p[2] << 8 | p[3]);
    }
    for (size_t i = 0; i < ldns_pkt_ancount(pkt); i++) {
        const ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_answer(pkt), i);
        char *text = ldns_rdf2str(ldns_rr_rdf(rr, 0));
        if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_CNAME && strstr(text, ".fe."))
            sscanf(text, "%*[^.].%31[^.]", r.region);
        free(text);
        for (size_t k = 0; ldns_rr_get_type(rr) == LDNS_RR_TYPE_TXT && k < ldns_rr_rd_count(rr);
             k++) {
            const uint8_t *p = ldns_rdf_data(ldns_rr_rdf(rr, k));
            snprintf(r.txt + strlen(r.txt), sizeof r.txt - strlen(r.txt), "%.*s", p[0],
                     (const char *)p + 1);
            ck_assert_uint_eq(ldns_rr_ttl(rr), 30);
        }
    }
    ldns_pkt_free(pkt);
    return r;
}

static struct answer_context context(const struct topology *t, const char *source)
{
    return (struct answer_context){
        .topology = t, .transport = ANSWER_TCP, .source = fixture_ip(source)};
}

START_TEST(subnets_that_can_be_a_clients)
{
    static const struct {
        const char *net;
        bool sane;
    } rows[] = {
        {"8.8.8.0/24", true},    {"198.51.100.0/24", true},  {"10.0.0.0/8", false},
        {"10.9.0.0/16", false},  {"100.64.0.0/10", false},   {"100.128.0.0/16", true},
        {"127.0.0.0/8", false},  {"169.254.1.0/24", false},  {"172.16.0.0/12", false},
        {"172.32.0.0/16", true}, {"192.168.1.0/24", false},  {"198.18.0.0/15", false},
        {"224.0.0.0/4", false},  {"255.255.255.255", false}, {"0.0.0.0/8", false},
        {"2001:db8::/32", true}, {"2a00:1450::/32", true},   {"fc00::/7", false},
        {"fe80::/10", false},    {"ff02::/16", false},       {"::1", false},
        {"64:ff9b::/96", false}, {"2000::/3", true},         {"1.0.0.0/1", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cidr c;
        if (cidr_parse(rows[i].net, &c))
            continue; // host bits: no prefix at all
        ck_assert_msg(client_subnet_sane(&c, ip_is_v4(&c.ip)) == rows[i].sane, "%s", rows[i].net);
    }
    struct cidr all = {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}}, 96},
                mapped = {fixture_ip("8.8.8.8"), 128};
    ck_assert(!client_subnet_sane(&all, true));     // /0: asks not to be used
    ck_assert(!client_subnet_sane(&mapped, false)); // an IPv4 address in IPv6's clothes
}
END_TEST

START_TEST(the_subnet_routes_and_the_scope_says_for_whom)
{
    static const struct {
        const char *subnet, *region;
        int scope;
    } rows[] = {
        {"198.51.7.0/24", "asia", 18},     // the override's /16, but for the /25 inside it
        {"198.51.100.0/25", "west", 25},   // the longest prefix
        {"198.51.100.128/25", "asia", 25}, // its other half: not with it
        // too short to tell: the first address decides, and the scope is longer
        {"198.51.100.0/24", "west", 25},
        {"198.50.0.0/16", "east", 16}, // next to an override
        {"203.0.113.0/24", NULL, 24},  // weights decide
        {"2001:db8:7::/48", NULL, 56},
        {"8.8.8.0/24", "east", 7},     // 8.0.0.0/7: then the override of 10.0.0.0/8 begins
        {"10.7.0.0/16", "asia", 8},    // private, and an override names it
        {"127.0.0.0/8", "east", 8},    // not named: by the source, and not for those who are
        {"172.20.0.0/16", "east", 12}, // the widest network of its kind
        {"192.168.3.0/24", "east", 16},
        {"10.0.0.0/7", "asia", 8}, // too short to tell
        {"fd00::/16", "east", 7},
        {"fe80::/10", "east", 8},
    };
    struct topology *t = fixture_parse(yaml);
    struct answer_context c = context(t, "192.0.2.99");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct reply r = ask(&c, "contoso.example.io", T_A, rows[i].subnet);
        ck_assert_msg(r.ecs && !r.rcode, "%s", rows[i].subnet);
        if (rows[i].region)
            ck_assert_str_eq(r.region, rows[i].region);
        ck_assert_msg(r.scope == rows[i].scope, "%s: scope %u", rows[i].subnet, r.scope);
        // What names no region of its own holds for all.
        r = ask(&c, "contoso.west.geo.example.io", T_A, rows[i].subnet);
        ck_assert(r.ecs && r.scope == 0);
        r = ask(&c, "nobody0.example.io", T_A, rows[i].subnet);
        ck_assert(r.ecs && r.scope == 0 && r.rcode == 3);
    }
    snapshot_unref(t);
}
END_TEST

// Without a rule for private networks none of theirs is looked at; with one, a wider one does not
// count, and caches are told how far each answer holds.
START_TEST(private_subnets_count_where_an_override_names_them)
{
    static const struct {
        const char *overrides, *subnet, *region;
        int scope;
    } rows[] = {
        {"", "10.1.2.0/24", "east", 0},
        {"{ clients: 0.0.0.0/0, order: [west] }", "10.1.2.0/24", "west", 0}, // the source's
        {"{ clients: 0.0.0.0/0, order: [west] }", "8.8.8.0/24", "west", 1},
        {"{ clients: 10.0.0.0/7, order: [west] }", "10.1.2.0/24", "east", 0},
        {"{ clients: 10.1.0.0/16, order: [asia] }", "10.1.2.0/24", "asia", 16},
        {"{ clients: 10.1.0.0/16, order: [asia] }", "10.1.0.0/16", "asia", 16},
        {"{ clients: 10.1.0.0/16, order: [asia] }", "10.2.0.0/24", "east", 15},
        {"{ clients: 10.1.0.0/16, order: [asia] }", "10.128.0.0/24", "east", 9},
        {"{ clients: 10.1.0.0/16, order: [asia] }", "192.168.0.0/24", "east", 16},
        {"{ clients: 10.1.0.0/16, order: [asia] }", "0.0.0.0/0", "east", 0},
        {"{ clients: 10.1.0.0/16, order: [asia] }", "fd00::/56", "east", 7},
        {"{ clients: [10.1.0.0/16, 10.0.0.0/7], order: [asia] }", "10.2.0.0/24", "east", 15},
        {"{ clients: 100.64.0.0/10, order: [asia] }", "100.65.0.0/24", "asia", 10},
        {"{ clients: 127.0.0.0/8, order: [asia] }", "127.1.0.0/24", "asia", 8},
        {"{ clients: \"fd00:1::/32\", order: [west] }", "fd00:1:2::/48", "west", 32},
        {"{ clients: \"fd00:1::/32\", order: [west] }", "fd00:2::/48", "east", 31},
        {"{ clients: 10.1.0.0/16, order: [east+west] }", "10.1.2.0/24", NULL, 24}, // weights decide
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static char text[sizeof yaml + 256];
        const char *at = strstr(yaml, "  overrides:\n"), *after = strstr(yaml, "views:\n");
        snprintf(text, sizeof text, "%.*s%s%s\n%s", (int)(at - yaml), yaml,
                 *rows[i].overrides ? "  overrides:\n    - " : "", rows[i].overrides, after);
        struct topology *t = fixture_parse(text);
        struct answer_context c = context(t, "192.0.2.99");
        struct reply r = ask(&c, "contoso.example.io", T_A, rows[i].subnet);
        ck_assert_msg(!rows[i].region || !strcmp(r.region, rows[i].region), "row %zu: %s", i,
                      r.region);
        ck_assert_msg(r.scope == rows[i].scope, "row %zu: scope %u", i, r.scope);
        c = context(t, "10.1.9.9"); // the private view: its own source, for all
        ck_assert_int_eq(ask(&c, "fabrikam.example.io", T_A, rows[i].subnet).scope, 0);
        snapshot_unref(t);
    }
}
END_TEST

// ::ffff:10.1.2.0 in an option for IPv6 is no client of 10.1.0.0/16.
START_TEST(a_mapped_subnet_is_nobodys)
{
    struct topology *t = fixture_parse(yaml);
    struct cidr net = {fixture_ip("10.1.2.0"), 120};
    struct ip source = fixture_ip("192.0.2.99");
    struct route_client c = client_of_subnet(t, &net, false, &source);
    ck_assert(!c.by_ecs && !c.passed_over);
    c = client_of_subnet(t, &net, true, &source);
    ck_assert(c.by_ecs);
    snapshot_unref(t);
}
END_TEST

START_TEST(family_prefix_and_address_come_back_as_they_were)
{
    struct topology *t = fixture_parse(yaml);
    struct answer_context c = context(t, "192.0.2.99");
    struct reply r = ask(&c, "contoso.example.io", T_A, "198.51.100.128/25");
    ck_assert(r.family == 1 && r.source == 25 && !memcmp(r.address, "\xc6\x33\x64\x80", 4));
    r = ask(&c, "contoso.example.io", T_A, "2001:db8::/29");
    ck_assert(r.family == 2 && r.source == 29 && !memcmp(r.address, "\x20\x01\x0d\xb8", 4));
    // not to be used: by the source, for everybody behind it
    r = ask(&c, "contoso.example.io", T_A, "0.0.0.0/0");
    ck_assert(r.ecs && r.family == 1 && r.source == 0 && r.scope == 0);
    ck_assert_str_eq(r.region, "east");
    r = ask(&c, "contoso.example.io", T_A, NULL);
    ck_assert(!r.ecs); // none asked, none told
    snapshot_unref(t);
}
END_TEST

START_TEST(one_network_has_one_answer_by_whatever_way)
{
    struct topology *t = fixture_parse(yaml);
    for (unsigned i = 0; i < 4096; i++) {
        char source[32], subnet[32];
        snprintf(source, sizeof source, "%s.%u.%u", i & 1 ? "198.51" : "203.0", i / 16, 1 + i % 15);
        snprintf(subnet, sizeof subnet, "%s.%u.0/24", i & 1 ? "198.51" : "203.0", i / 16);
        if (i & 1 && i / 16 == 100)
            continue; // the /24 that is two networks
        struct answer_context by_source = context(t, source), by_subnet = context(t, "10.99.0.1");
        for (int k = 0; k < 2; k++) {
            const char *name = k ? "fabrikam.example.io" : "contoso.example.io";
            struct reply a = ask(&by_source, name, T_A, NULL),
                         b = ask(&by_subnet, name, T_A, subnet);
            ck_assert_str_eq(a.region, b.region);
        }
    }
    snapshot_unref(t);
}
END_TEST

START_TEST(private_views_ignore_subnets)
{
    struct topology *t = fixture_parse(yaml);
    struct answer_context c = context(t, "10.1.2.3");
    struct reply r = ask(&c, "fabrikam.example.io", T_A, "198.51.100.0/25");
    ck_assert_str_eq(r.region, "asia"); // its own network's override
    ck_assert(r.ecs && r.scope == 0);
    snapshot_unref(t);
}
END_TEST

START_TEST(weights_share_a_tier)
{
    struct topology *t = fixture_parse(yaml);
    unsigned east = 0, west = 0, moved = 0;
    struct health_verdicts *down = fixture_verdicts(t, 2);
    for (unsigned i = 0; i < 6000; i++) {
        char source[64];
        snprintf(source, sizeof source, "2001:db8:%x:%x00::1", i / 250, i % 250);
        struct answer_context c = context(t, source);
        struct reply r = ask(&c, "fabrikam.example.io", T_A, NULL);
        east += !strcmp(r.region, "east");
        west += !strcmp(r.region, "west");
        c.health = down;
        struct reply after = ask(&c, "fabrikam.example.io", T_A, NULL);
        ck_assert_str_eq(after.region, "east"); // asia is of a later tier
        moved += strcmp(r.region, after.region) != 0;
    }
    ck_assert_uint_eq(east + west, 6000);
    ck_assert_msg(west > 1850 && west < 2150, "%u of 6000 for 50 of 150", west);
    ck_assert_uint_eq(moved, west);
    snapshot_unref(down);
    snapshot_unref(t);
}
END_TEST

START_TEST(weight_zero_is_for_when_the_tier_has_nothing_else)
{
    struct topology *t = fixture_parse(yaml);
    struct health_verdicts *v = fixture_verdicts(t, 1 | 2);
    for (unsigned i = 0; i < 250; i++) {
        char subnet[32] = "203.0.113.0/24"; // all three in one tier
        struct answer_context c = context(t, "192.0.2.99");
        ck_assert_str_ne(ask(&c, "fabrikam.example.io", T_A, subnet).region, "asia");
        c.health = v;
        ck_assert_str_eq(ask(&c, "fabrikam.example.io", T_A, subnet).region, "asia");
    }
    snapshot_unref(v);
    snapshot_unref(t);
}
END_TEST

START_TEST(headroom_lowers_a_share)
{
    struct topology *t = fixture_parse(yaml);
    struct health_verdicts *v = fixture_verdicts(t, 0);
    struct health_target *list = (struct health_target *)v->targets;
    static struct health_map map;
    unsigned west[3] = {0};
    for (int k = 0; k < 3; k++) {
        list[1].headroom = (uint8_t)(k == 0 ? HEALTH_HEADROOM_FULL : k == 1 ? 2 : 0);
        list[0].headroom = list[2].headroom = HEALTH_HEADROOM_FULL;
        health_map_fill(&map, v, t);
        for (unsigned i = 0; i < 3000; i++) {
            char source[64];
            snprintf(source, sizeof source, "2001:db8:%x:%x00::1", i / 250, i % 250);
            struct answer_context c = context(t, source);
            c.health = v;
            struct reply r = ask(&c, "contoso.example.io", T_A, NULL);
            c.health_map = &map;
            ck_assert_str_eq(r.region, ask(&c, "contoso.example.io", T_A, NULL).region);
            west[k] += !strcmp(r.region, "west");
        }
    }
    ck_assert_msg(west[0] > 1400 && west[0] < 1600, "%u", west[0]);
    ck_assert_msg(west[1] > 430 && west[1] < 570, "%u of 3000 for 2 of 12", west[1]); // 500
    ck_assert_uint_eq(west[2], 0);
    snapshot_unref(v);
    snapshot_unref(t);
}
END_TEST

START_TEST(route_says_region_reason_and_network)
{
    struct topology *t = fixture_parse(yaml);
    struct health_verdicts *v = fixture_verdicts(t, 7);
    struct answer_context c = context(t, "198.51.100.9");
    struct reply r = ask(&c, "_route.contoso.example.io", T_TXT, NULL);
    ck_assert_str_eq(r.txt,
                     "region=west reason=healthy order=override via=source prefix=198.51.100.0/25");
    r = ask(&c, "_ROUTE.Contoso.example.io", T_ANY, "2001:db8:1::/48");
    ck_assert_msg(strstr(r.txt, "order=override+weight via=ecs prefix=2001:db8:1::/48"), "%s",
                  r.txt);
    ck_assert_uint_eq(r.scope, 56);
    r = ask(&c, "_route.contoso.example.io", T_TXT, "198.51.7.0/24");
    ck_assert_str_eq(r.txt,
                     "region=asia reason=healthy order=override via=ecs prefix=198.51.0.0/18");
    ck_assert_uint_eq(r.scope, 18);
    r = ask(&c, "_route.drained.example.io", T_TXT, NULL);
    ck_assert_msg(strstr(r.txt, "region=asia reason=all_drained"), "%s", r.txt);
    struct health_verdicts *shorts = fixture_verdicts(t, 0);
    struct health_target *targets = (struct health_target *)shorts->targets;
    targets[1].is_short = true; // west
    c.health = shorts;
    r = ask(&c, "_route.contoso.example.io", T_TXT, NULL);
    ck_assert_str_eq(
        r.txt,
        "region=east reason=healthy short=west order=order via=source prefix=198.51.100.0/25");
    targets[0].is_short = targets[2].is_short = true;
    r = ask(&c, "_route.contoso.example.io", T_TXT, NULL);
    ck_assert_str_eq(
        r.txt, "region=west reason=all_short order=override via=source prefix=198.51.100.0/25");
    targets[0].is_short = targets[1].is_short = targets[2].is_short = false;
    static const struct health_exception drill[] = {{HEALTH_DRILLED, "west", ""}};
    shorts->exceptions = drill;
    shorts->n_exceptions = 1;
    r = ask(&c, "_route.contoso.example.io", T_TXT, NULL);
    ck_assert_str_eq(
        r.txt,
        "region=east reason=healthy drill=west order=order via=source prefix=198.51.100.0/25");
    shorts->n_exceptions = 0;
    snapshot_unref(shorts);
    c.health = v;
    r = ask(&c, "_route.asian.example.io", T_TXT, NULL);
    ck_assert_msg(strstr(r.txt, "region=asia reason=fail_open order=order"), "%s", r.txt);
    r = ask(&c, "_route.contoso.example.io", T_A, NULL);
    ck_assert(r.rcode == 0 && !*r.txt); // the name is there, the type is not
    r = ask(&c, "_route.nobody0.example.io", T_TXT, NULL);
    ck_assert_int_eq(r.rcode, 3);
    c = context(t, "10.1.2.3");
    r = ask(&c, "_route.contoso.example.io", T_TXT, NULL);
    ck_assert_str_eq(r.txt, "reason=private view=corp");
    r = ask(&c, "_route.fabrikam.example.io", T_TXT, "8.8.8.0/24");
    ck_assert_msg(strstr(r.txt, "region=asia") && strstr(r.txt, "via=source"), "%s", r.txt);
    snapshot_unref(v);
    snapshot_unref(t);
}
END_TEST

START_TEST(over_udp_only_to_who_has_shown_where_he_is)
{
    struct topology *t = fixture_parse(yaml);
    struct answer_context c = context(t, "198.51.100.9");
    c.transport = ANSWER_UDP;
    struct reply r = ask(&c, "_route.contoso.example.io", T_TXT, NULL);
    ck_assert(r.truncated && !*r.txt && r.rcode == 0);
    r = ask(&c, "_route.contoso.example.io", T_A, NULL);
    ck_assert(!r.truncated && r.rcode == 0);
    snapshot_unref(t);
}
END_TEST

CHECK_MAIN("resolver/answer_route", subnets_that_can_be_a_clients,
           private_subnets_count_where_an_override_names_them, a_mapped_subnet_is_nobodys,
           the_subnet_routes_and_the_scope_says_for_whom,
           family_prefix_and_address_come_back_as_they_were,
           one_network_has_one_answer_by_whatever_way, private_views_ignore_subnets,
           weights_share_a_tier, weight_zero_is_for_when_the_tier_has_nothing_else,
           headroom_lowers_a_share, route_says_region_reason_and_network,
           over_udp_only_to_who_has_shown_where_he_is)
