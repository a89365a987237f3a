// SPDX-License-Identifier: Apache-2.0
// Publish before use: every name of a replica that moves leads to its old stamp until the time in
// the document, on all nodes that have that document, whenever they read it; never to a stamp that
// the node's own fe.D has not; and where a name leads, fe.D of every node that is up has had it for
// the negative TTL.
#include "base/clock.h"
#include "base/clock_test.h"
#include "base/mem.h"
#include "resolver/answer/explain.h"
#include "resolver/route/route.h"
#include "resolver/zone/zone.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <jansson.h>
#include <string.h>

#define NOW 1800000000 // 2027-01-15T08:00:00Z
#define SINCE "2027-01-15T08:10:00Z"
#define SINCE_S (NOW + 600)
#define NEGATIVE_S 60

#define HEAD(version, stamps)                                                                      \
    "version: " version "\ndomain: example.io\nregions:\n"                                         \
    "  - { name: eastus, peer: 192.0.2.1:8443, stamps: [{ name: eus-1, ipv4: [192.0.2.1] }" stamps \
    "] }\n"                                                                                        \
    "  - { name: westeurope, peer: 192.0.2.2:8443, stamps: [{ name: weu-1, ipv4: [192.0.2.9] }] "  \
    "}\n"                                                                                          \
    "name_servers: [eus-1.eastus, weu-1.westeurope]\nviews: [{ name: corp, sources: [10.0.0.0/8] " \
    "}]\n"                                                                                         \
    "private_endpoints: [{ name: pe, registry: contoso, view: corp, addresses: { registry: "       \
    "10.0.0.4 } }]\n"                                                                              \
    "registries:\n  - name: contoso\n    regional_endpoints: enabled\n    data_endpoints: "        \
    "enabled\n"                                                                                    \
    "    replicas:\n      - { region: westeurope }\n"
#define NEW ", { name: eus-11, ipv4: [192.0.2.11], ipv6: ['2001:db8::11'] }"
#define AT_OLD "      - { region: eastus, stamp: eus-1 }\n"
#define AT_NEW \
    "      - { region: eastus, stamp: eus-11, stamp_was: eus-1, stamp_since: '" SINCE "' }\n"
#define V41 HEAD("41", "") AT_OLD
#define V42 HEAD("42", NEW) AT_OLD
#define V43 HEAD("43", NEW) AT_NEW

static struct answer_context context(const struct topology *t, int64_t now_s)
{
    return (struct answer_context){.topology = t,
                                   .transport = ANSWER_TCP,
                                   .source = fixture_ip("198.51.100.1"),
                                   .now_s = now_s};
}

// The answer section's text, in a static buffer.
static const char *answers(const struct answer_context *c, const char *name, uint16_t type)
{
    static char out[4096];
    struct fixture_answer a;
    fixture_ask(c, name, type, 1232, &a);
    snprintf(out, sizeof out, "%s", fixture_text(ldns_pkt_answer(a.pkt)));
    fixture_answer_done(&a);
    return out;
}

static bool leads_to(const struct answer_context *c, const char *name, const char *stamp)
{
    char want[64];
    snprintf(want, sizeof want, "CNAME %s.eastus.fe.example.io.", stamp);
    return strstr(answers(c, name, T_A), want) != NULL;
}

static const char *const names[] = {
    "contoso.example.io",
    "contoso.eastus.geo.example.io",
    "contoso.eastus.data.example.io",
    "contoso.privatelink.example.io",
    "contoso.eastus.geo.privatelink.example.io",
    "contoso.eastus.data.privatelink.example.io",
};

START_TEST(all_names_switch_at_the_time)
{
    clock_virtual_set((int64_t)NOW * 1000);
    struct topology *t = fixture_parse(V43 "routing: { order: [eastus, westeurope] }\n");
    const struct {
        int64_t now_s;
        const char *stamp, *address;
    } rows[] = {{NOW, "eus-1", "A 192.0.2.1\n"},
                {SINCE_S - 1, "eus-1", "A 192.0.2.1\n"},
                {SINCE_S, "eus-11", "A 192.0.2.11\n"},
                {SINCE_S + 100000, "eus-11", "A 192.0.2.11\n"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct answer_context c = context(t, rows[i].now_s);
        for (size_t k = 0; k < ARRAY_LEN(names); k++) {
            ck_assert_msg(leads_to(&c, names[k], rows[i].stamp), "%s: %s", names[k],
                          answers(&c, names[k], T_A));
            ck_assert_ptr_nonnull(strstr(answers(&c, names[k], T_A), rows[i].address));
        }
        // In the view the private address stands before all that; a replica beside it does not
        // move.
        struct answer_context corp = c;
        corp.source = fixture_ip("10.0.0.7");
        ck_assert_str_eq(strstr(answers(&corp, "contoso.example.io", T_A), "A 10."),
                         "A 10.0.0.4\n");
        ck_assert_ptr_nonnull(
            strstr(answers(&c, "contoso.westeurope.geo.example.io", T_A), "weu-1.westeurope.fe"));
        // TTLs are what they always are: the old stamp serves on for as long.
        ck_assert_ptr_nonnull(
            strstr(answers(&c, "contoso.eastus.geo.example.io", T_A), "example.io. 300 IN CNAME"));
    }
    snapshot_unref(t);
}
END_TEST

START_TEST(the_health_of_where_it_leads_counts)
{
    clock_virtual_set((int64_t)NOW * 1000);
    struct topology *t = fixture_parse(V43 "routing: { order: [eastus, westeurope] }\n");
    const char *down[] = {"eus-1", "eus-11"};
    for (int late = 0; late < 2; late++)
        for (int k = 0; k < 2; k++) {
            struct health_verdicts *v = fixture_verdicts(t, 0);
            for (size_t i = 0; i < v->n_targets; i++)
                if (!strcmp(v->targets[i].stamp, down[k]))
                    ((struct health_target *)v->targets)[i].up = false;
            struct answer_context c = context(t, late ? SINCE_S : NOW);
            c.health = v;
            bool elsewhere = strstr(answers(&c, "contoso.example.io", T_A), "weu-1") != NULL;
            ck_assert_int_eq(elsewhere, k == late);
            const char *told = strstr(answers(&c, "_route.contoso.example.io", T_TXT), "region=");
            ck_assert(told && !strncmp(told, elsewhere ? "region=westeurope" : "region=eastus",
                                       elsewhere ? 17 : 13));
            // never elsewhere
            ck_assert(leads_to(&c, "contoso.eastus.geo.example.io", late ? "eus-11" : "eus-1"));
            snapshot_unref(v);
        }
    snapshot_unref(t);
}
END_TEST

START_TEST(never_to_what_its_own_zone_lacks)
{
    clock_virtual_set((int64_t)NOW * 1000);
    struct topology *before = fixture_parse(V41), *t = fixture_parse(V43);
    struct zone *old, *new;
    ck_assert_int_eq(zone_frontend_new(before, 41, &old), 0);
    ck_assert_int_eq(zone_frontend_new(t, 43, &new), 0);
    struct answer_context c = context(t, SINCE_S + 1);
    c.frontend = old;
    for (size_t k = 1; k < 3; k++)
        ck_assert(leads_to(&c, names[k], "eus-1"));
    c.frontend = new;
    for (size_t k = 1; k < 3; k++)
        ck_assert(leads_to(&c, names[k], "eus-11"));
    snapshot_unref(old);
    snapshot_unref(new);
    snapshot_unref(before);
    snapshot_unref(t);
}
END_TEST

static json_t *explained(const struct topology *t, const struct zone *z, const char *name)
{
    const struct explain_query q = {
        .topology = t, .frontend = z, .name = name, .client = fixture_ip("198.51.100.1")};
    json_t *doc = dns_explain_json(&q);
    ck_assert_ptr_nonnull(doc);
    return doc;
}

static void expect_move(const struct topology *t, const struct zone *z, const char *leads,
                        const char *reason)
{
    json_t *doc = explained(t, z, "contoso.eastus.geo.example.io");
    json_t *m = json_array_get(json_object_get(doc, "moves"), 0);
    ck_assert_uint_eq(json_array_size(json_object_get(doc, "moves")), 1);
    ck_assert_str_eq(json_string_value(json_object_get(m, "region")), "eastus");
    ck_assert_str_eq(json_string_value(json_object_get(m, "was")), "eus-1");
    ck_assert_str_eq(json_string_value(json_object_get(m, "stamp")), "eus-11");
    ck_assert_str_eq(json_string_value(json_object_get(m, "since")), SINCE);
    ck_assert_str_eq(json_string_value(json_object_get(m, "leadsTo")), leads);
    ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(m, "reason")), reason));
    char *a = json_dumps(json_object_get(doc, "a"), 0);
    ck_assert_ptr_nonnull(strstr(a, leads));
    free(a);
    json_decref(doc);
}

START_TEST(explain_says_so)
{
    clock_virtual_set((int64_t)NOW * 1000);
    struct topology *before = fixture_parse(V41), *t = fixture_parse(V43);
    struct zone *old;
    ck_assert_int_eq(zone_frontend_new(before, 41, &old), 0);
    expect_move(t, NULL, "eus-1", "its time has not come");
    clock_virtual_advance(600000);
    expect_move(t, NULL, "eus-11", "names lead to the new stamp");
    expect_move(t, old, "eus-1", "own fe.D has not got the new stamp's name");
    json_t *doc = explained(t, NULL, "contoso.westeurope.geo.example.io");
    ck_assert_uint_eq(json_array_size(json_object_get(doc, "moves")), 0);
    json_decref(doc);
    doc = explained(before, NULL, "contoso.eastus.geo.example.io");
    ck_assert_ptr_null(json_object_get(doc, "moves"));
    json_decref(doc);
    snapshot_unref(old);
    snapshot_unref(before);
    snapshot_unref(t);
}
END_TEST

// ---- two nodes, and a resolver that remembers denials ----

struct node {
    const struct topology *in_force;
    // since when its fe.D has eus-11; INT64_MAX: it has not
    int64_t has_new_s;
};

static bool answers_for(const struct node *n, int64_t now_s, const char *stamp)
{
    char name[64];
    struct answer_context c = context(n->in_force, now_s);
    snprintf(name, sizeof name, "%s.eastus.fe.example.io", stamp);
    return *answers(&c, name, T_A) != 0;
}

static const char *led_by(const struct node *n, int64_t now_s)
{
    struct answer_context c = context(n->in_force, now_s);
    return leads_to(&c, "contoso.eastus.geo.example.io", "eus-11") ? "eus-11" : "eus-1";
}

// N1 reads each version at once, N2 `lag_s` later. The move is written as the command does: once
// both have answered with the name, for the negative TTL after that. Returns for how many seconds
// some name led where a denial could be remembered.
static int64_t wrong_seconds(struct topology *const v[3], int64_t lag_s, int64_t written_s,
                             int64_t *out_switched_s)
{
    int64_t wrong = 0;
    struct node n[2] = {{v[0], INT64_MAX}, {v[0], INT64_MAX}};
    *out_switched_s = 0;
    for (int64_t now = NOW; now < SINCE_S + lag_s + 100; now++) {
        for (int k = 0; k < 2; k++) {
            int64_t then = now - (k ? lag_s : 0);
            n[k].in_force = then < NOW + 10 ? v[0] : then < written_s ? v[1] : v[2];
            bool has = answers_for(&n[k], now, "eus-11");
            n[k].has_new_s = !has ? INT64_MAX : n[k].has_new_s == INT64_MAX ? now : n[k].has_new_s;
        }
        // one that has just come, with nothing but the version of now, leads nowhere else
        const struct node fresh = {n[0].in_force, now};
        ck_assert_str_eq(led_by(&fresh, now), led_by(&n[0], now));
        bool new = !strcmp(led_by(&n[0], now), "eus-11") || !strcmp(led_by(&n[1], now), "eus-11");
        bool forgotten = n[0].has_new_s <= now - NEGATIVE_S && n[1].has_new_s <= now - NEGATIVE_S;
        wrong += new && !forgotten;
        if (!strcmp(led_by(&n[0], now), "eus-11") && !*out_switched_s)
            *out_switched_s = now;
    }
    return wrong;
}

START_TEST(two_nodes_read_at_different_times)
{
    clock_virtual_set((int64_t)NOW * 1000);
    struct topology *v[3] = {fixture_parse(V41), fixture_parse(V42), fixture_parse(V43)};
    int64_t switched_s;
    for (int64_t lag_s = 0; lag_s <= 300; lag_s += 100) {
        // then the command may write, at the latest so that SINCE is 60 s away
        int64_t both_have_s = NOW + 10 + lag_s;
        for (int64_t written_s = both_have_s; written_s <= SINCE_S - NEGATIVE_S; written_s += 115) {
            ck_assert_int_eq(wrong_seconds(v, lag_s, written_s, &switched_s), 0);
            ck_assert_int_eq(switched_s, SINCE_S);
        }
    }
    // The same steps without the fields, to know that this sees the fault: one edit that adds the
    // stamp and moves.
    struct topology *naive =
        fixture_parse(HEAD("42", NEW) "      - { region: eastus, stamp: eus-11 }\n");
    struct topology *at_once[3] = {v[0], naive, naive};
    ck_assert_int_gt(wrong_seconds(at_once, 300, NOW + 10, &switched_s), 300);
    for (int i = 0; i < 3; i++)
        snapshot_unref(v[i]);
    snapshot_unref(naive);
}
END_TEST

CHECK_MAIN("resolver/moves", all_names_switch_at_the_time, the_health_of_where_it_leads_counts,
           never_to_what_its_own_zone_lacks, explain_says_so, two_nodes_read_at_different_times)
