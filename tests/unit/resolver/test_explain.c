// SPDX-License-Identifier: Apache-2.0
// resolver/explain: it tells what answer_packet answers, and no other story: whatever the name,
// client, listener and verdicts.
#include "resolver/answer/explain.h"

#include "base/clock.h"
#include "base/clock_test.h"
#include "base/err.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <jansson.h>
#include <string.h>

static json_t *explain(const struct topology *t, const struct health_verdicts *v, const char *name,
                       const struct ip *client, const struct endpoint *listener)
{
    const struct explain_query q = {
        .topology = t, .health = v, .name = name, .client = *client, .listener = listener};
    return dns_explain_json(&q);
}

static uint32_t seed = 20261124;
static uint32_t rnd(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}
#define PICK(list) (list)[rnd(sizeof(list) / sizeof((list)[0]))]

static const char *const labels[] = {
    "contoso", "fabrikam", "plain",    "hashed-abcdefgh01234567", "drained",  "hashed",
    "nobody0", "CONTOSO",  "con_toso", "_route.contoso",          "x.contoso"};
static const char *const region_names[] = {"eastus", "westeurope", "southeastasia", "mars",
                                           "EastUS"};
static const char *const plain_names[] = {"example.io",
                                          "fe.example.io",
                                          "geo.example.io",
                                          "eastus.geo.privatelink.example.io",
                                          "eus-1.eastus.fe.example.io",
                                          "eus-9.eastus.fe.example.io",
                                          "example.org",
                                          "io"};
static const char *const clients[] = {"192.0.2.99", "198.51.100.1", "198.51.100.200",
                                      "10.1.2.3",   "10.2.3.4",     "2001:db8:9::1"};

static void random_name(char *out, size_t cap)
{
    const char *l = PICK(labels), *r = PICK(region_names);
    switch (rnd(7)) {
    case 0:
        snprintf(out, cap, "%s", PICK(plain_names));
        break;
    case 1:
        snprintf(out, cap, "%s.%s.geo.example.io", l, r);
        break;
    case 2:
        snprintf(out, cap, "%s.%s.data.example.io", l, r);
        break;
    case 3:
        snprintf(out, cap, "%s.privatelink.example.io", l);
        break;
    case 4:
        snprintf(out, cap, "%s.%s.%s.privatelink.example.io", l, r, rnd(2) ? "geo" : "data");
        break;
    default:
        snprintf(out, cap, "%s.example.io", l);
    }
}

static const char *joined(json_t *list)
{
    static char out[65536];
    size_t i, at = 0;
    json_t *x;
    out[0] = 0;
    json_array_foreach(list, i, x) at +=
        (size_t)snprintf(out + at, sizeof out - at, "%s\n", json_string_value(x));
    return out;
}

static int rcode_of_name(const char *name)
{
    static const char *const names[] = {"NOERROR",  "FORMERR", "SERVFAIL",
                                        "NXDOMAIN", "OTHER",   "REFUSED"};
    for (int i = 0; i < 6; i++)
        if (!strcmp(names[i], name))
            return i;
    ck_abort_msg("rcode %s", name);
}

// Returns the answer's rcode.
static int compare(const struct answer_context *c, const char *name, uint16_t type, json_t *told)
{
    struct fixture_answer a;
    fixture_ask(c, name, type, 1232, &a);
    int rcode = ldns_pkt_get_rcode(a.pkt);
    ck_assert_int_eq(rcode_of_name(json_string_value(json_object_get(told, "rcode"))), rcode);
    ck_assert_str_eq(joined(json_object_get(told, "answer")), fixture_text(ldns_pkt_answer(a.pkt)));
    ck_assert_str_eq(joined(json_object_get(told, "authority")),
                     fixture_text(ldns_pkt_authority(a.pkt)));
    fixture_answer_done(&a);
    return rcode;
}

// The chosen region of the table is the one that the records lead to, unless they end in a private
// address.
static bool check_choice(json_t *j)
{
    json_t *routing = json_object_get(j, "routing"), *step;
    size_t i, n_chosen = 0;
    if (!json_is_object(routing))
        return false;
    const char *chosen = json_string_value(json_object_get(routing, "chosen"));
    const char *records = joined(json_object_get(json_object_get(j, "a"), "answer"));
    ck_assert_ptr_nonnull(chosen);
    json_array_foreach(json_object_get(routing, "regions"), i,
                       step) if (json_is_true(json_object_get(step, "chosen")))
    {
        ck_assert_str_eq(json_string_value(json_object_get(step, "region")), chosen);
        n_chosen++;
    }
    ck_assert_uint_eq(n_chosen, 1);
    ck_assert_uint_eq(i, 3); // each region has its row
    if (!strstr(records, ".fe.example.io."))
        return false;
    char want[64];
    snprintf(want, sizeof want, ".%s.fe.example.io.", chosen);
    ck_assert_msg(strstr(records, want), "chosen %s, but %s", chosen, records);
    return true;
}

START_TEST(what_is_explained_is_what_is_answered)
{
    struct topology *t = fixture_topology();
    unsigned n_noerror = 0, n_chosen = 0, n_refused = 0;
    struct endpoint lab = {fixture_ip("127.0.0.9"), 5300}, other = {fixture_ip("127.0.0.8"), 5300};
    for (int i = 0; i < 4000; i++) {
        char name[128];
        random_name(name, sizeof name);
        struct health_verdicts *v = rnd(8) ? fixture_verdicts(t, rnd(8)) : NULL;
        const struct endpoint *listener = rnd(3) ? NULL : rnd(2) ? &lab : &other;
        struct answer_context c = {
            .topology = t, .health = v, .source = fixture_ip(PICK(clients)), .listener = listener};
        json_t *j = explain(t, v, name, &c.source, listener);
        ck_assert_msg(json_is_object(j), "%s", name);
        ck_assert_str_eq(json_string_value(json_object_get(j, "name")), name);
        int rcode = compare(&c, name, T_A, json_object_get(j, "a"));
        compare(&c, name, T_AAAA, json_object_get(j, "aaaa"));
        n_noerror += rcode == 0;
        n_refused += rcode == 5;
        if (rcode == 0)
            n_chosen += check_choice(j);
        json_decref(j);
        snapshot_unref(v);
    }
    ck_assert_msg(n_noerror > 400 && n_refused > 100 && n_chosen > 200, "%u %u %u", n_noerror,
                  n_refused, n_chosen);
    snapshot_unref(t);
}
END_TEST

START_TEST(the_reasons_are_told)
{
    struct topology *t = fixture_topology();
    struct health_verdicts *v = fixture_verdicts(t, 1);
    struct ip client = fixture_ip("198.51.100.200"), inside = fixture_ip("10.1.2.3");
    json_t *j = explain(t, v, "contoso.example.io", &client, NULL);
    json_t *r = json_object_get(j, "routing"), *rule = json_object_get(r, "rule");
    ck_assert_str_eq(json_string_value(json_object_get(j, "view")), "public");
    ck_assert_str_eq(json_string_value(json_object_get(rule, "kind")), "override");
    ck_assert_str_eq(json_string_value(json_object_get(rule, "clients")), "198.51.100.128/25");
    ck_assert_str_eq(json_string_value(json_object_get(r, "mode")), "healthy");
    json_t *east = json_array_get(json_object_get(r, "regions"), 2);
    ck_assert_str_eq(json_string_value(json_object_get(east, "region")), "eastus");
    ck_assert_str_eq(json_string_value(json_object_get(east, "state")), "unhealthy");
    ck_assert(json_is_false(json_object_get(east, "up")));
    json_decref(j);
    j = explain(t, v, "contoso.westeurope.geo.example.io", &inside, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(j, "view")), "corp");
    ck_assert(json_is_null(json_object_get(j, "routing")));
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(j, "parsed"), "kind")),
                     "regional");
    json_decref(j);
    struct endpoint lab = {fixture_ip("127.0.0.9"), 5300};
    j = explain(t, v, "contoso.example.io", &inside, &lab);
    ck_assert_str_eq(json_string_value(json_object_get(j, "view")), "refused");
    json_decref(j);
    snapshot_unref(v);
    snapshot_unref(t);
}
END_TEST

START_TEST(what_is_no_name_is_said_to_be_none)
{
    struct topology *t = fixture_topology();
    struct ip client = fixture_ip("192.0.2.99");
    char longest[400];
    memset(longest, 'a', sizeof longest);
    longest[399] = 0;
    const char *const bad[] = {"", ".", "a..example.io", ".example.io", longest};
    for (size_t i = 0; i < 5; i++) {
        json_t *j = explain(t, NULL, bad[i], &client, NULL);
        ck_assert_msg(json_is_object(j), "case %zu", i);
        if (i > 1) // "" and "." are the root
            ck_assert_ptr_nonnull(json_string_value(json_object_get(j, "error")));
        json_decref(j);
    }
    // as people write it in zone files
    json_t *j = explain(t, NULL, "contoso.example.io.", &client, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(j, "a"), "rcode")),
                     "NOERROR");
    json_decref(j);
    snapshot_unref(t);
}
END_TEST

START_TEST(forwarded_names_name_their_upstreams)
{
    struct topology *t = fixture_parse("version: 7\ndomain: example.io\nregions:\n"
                                       "  - { name: eastus, peer: \"192.0.2.1:8443\", stamps: [ { "
                                       "name: eus-1, ipv4: [192.0.2.1] } ] }\n"
                                       "name_servers: [eus-1.eastus]\nregistries: [ { name: "
                                       "contoso, replicas: [ { region: eastus } ] } ]\n"
                                       "views:\n  - { name: corp, sources: [10.0.0.0/8], forward: "
                                       "{ upstreams: [10.0.0.53, 10.1.0.53], names: "
                                       "corp.test } }\n");
    struct ip in = fixture_ip("10.1.2.3"), out = fixture_ip("192.0.2.9");
    json_t *j = explain(t, NULL, "Host.corp.test", &in, NULL);
    json_t *to = json_object_get(j, "forwardedTo");
    ck_assert_uint_eq(json_array_size(to), 2);
    ck_assert_str_eq(json_string_value(json_array_get(to, 1)), "10.1.0.53:53");
    ck_assert_str_eq(json_string_value(json_object_get(j, "view")), "corp");
    json_decref(j);
    const struct {
        const struct ip *client;
        const char *name;
    } rows[] = {{&in, "other.test"}, {&out, "host.corp.test"}, {&in, "contoso.example.io"}};
    for (size_t i = 0; i < 3; i++) {
        j = explain(t, NULL, rows[i].name, rows[i].client, NULL);
        ck_assert_ptr_null(json_object_get(j, "forwardedTo"));
        ck_assert_ptr_nonnull(json_object_get(j, "a"));
        json_decref(j);
    }
    snapshot_unref(t);
}
END_TEST

// With a Client Subnet the same region is told, by the table and by the records.
START_TEST(a_subnet_is_explained_as_it_is_answered)
{
    struct topology *t = fixture_topology();
    struct cidr net;
    ck_assert_int_eq(cidr_parse("198.51.100.128/25", &net), 0);
    struct explain_query q = {.topology = t,
                              .name = "contoso.example.io",
                              .client = fixture_ip("192.0.2.1"),
                              .subnet = &net,
                              .geo_error = "x"};
    json_t *j = dns_explain_json(&q), *r = json_object_get(j, "routing"),
           *n = json_object_get(r, "network");
    ck_assert_str_eq(json_string_value(json_object_get(j, "subnet")), "198.51.100.128/25");
    ck_assert_str_eq(json_string_value(json_object_get(n, "via")), "ecs");
    ck_assert_int_eq(json_integer_value(json_object_get(n, "scope")), 25);
    ck_assert_str_eq(json_string_value(json_object_get(r, "chosen")), "southeastasia");
    ck_assert_str_eq(json_string_value(json_object_get(r, "filesRefused")), "x");
    ck_assert(check_choice(j));
    json_t *first = json_array_get(json_object_get(r, "regions"), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(first, "tier")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(first, "weight")), 100);
    ck_assert_int_eq(json_integer_value(json_object_get(first, "headroom")), 100);
    ck_assert(json_is_real(json_object_get(first, "score")));
    json_decref(j);
    q.client = fixture_ip("10.1.2.3"); // a private view: the subnet does not count
    q.name = "fabrikam.example.io";    // which has no private endpoint there
    j = dns_explain_json(&q);
    n = json_object_get(json_object_get(j, "routing"), "network");
    ck_assert_str_eq(json_string_value(json_object_get(n, "via")), "source");
    json_decref(j);
    snapshot_unref(t);
}
END_TEST

#define KEY(id, zone, key)                                           \
    "    - { id: " id ", zone: " zone                                \
    ", role: csk, algorithm: ed25519, state: active, since: \"2026-" \
    "11-23T19:58:50Z\", key: \"" key "\" }\n"

// The SOA of a signed fe.D counts the weeks, in an explanation as in an answer.
START_TEST(the_serial_of_a_signed_zone_is_that_of_its_answers)
{
    char yaml[8192];
    snprintf(
        yaml, sizeof yaml,
        "%sdnssec:\n  keys:\n" KEY("d-csk-1", "D", "l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=")
            KEY("fe-csk-1", "fe", "uyXwPeDdyVKObfaQn3nzW95dnK5YDQJzyWhBYwzBDd0="),
        fixture_yaml());
    struct topology *t = fixture_parse(yaml);
    clock_virtual_set(1795478400000);
    struct answer_context c = {
        .topology = t, .source = fixture_ip("192.0.2.99"), .now_s = clock_wall_ms() / 1000};
    json_t *j = explain(t, NULL, "nosuch.fe.example.io", &c.source, NULL);
    compare(&c, "nosuch.fe.example.io", T_A, json_object_get(j, "a"));
    ck_assert_ptr_nonnull(
        strstr(joined(json_object_get(json_object_get(j, "a"), "authority")), " 2975 3600 "));
    json_decref(j);
    clock_virtual_off();
    snapshot_unref(t);
}
END_TEST

// Down by probes, forced, impaired or drained: each by its own name.
START_TEST(what_operators_ordered_is_named)
{
    static const struct health_exception exceptions[] = {
        {HEALTH_DRAINED, "westeurope", ""}, {HEALTH_IMPAIRED, "southeastasia", "contoso"}};
    struct topology *t = fixture_topology();
    struct health_verdicts *v = fixture_verdicts(t, 1);
    struct ip client = fixture_ip("192.0.2.99");
    v->exceptions = exceptions;
    v->n_exceptions = 2;
    static const char *const rows[][2] = {{"eastus", "down"},
                                          {"westeurope", "drained by an operator"},
                                          {"southeastasia", "impaired for this registry"}};
    for (size_t k = 0; k < 2; k++) {
        json_t *j = explain(t, v, "contoso.example.io", &client, NULL);
        const json_t *regions = json_object_get(json_object_get(j, "routing"), "regions");
        for (size_t i = 0; i < json_array_size(regions); i++) {
            const json_t *one = json_array_get(regions, i);
            const char *reason = json_string_value(json_object_get(one, "reason"));
            for (size_t n = 0; n < 3; n++)
                if (!strcmp(json_string_value(json_object_get(one, "region")), rows[n][0]))
                    ck_assert_str_eq(reason, k && !n ? "forced down by an operator" : rows[n][1]);
        }
        json_decref(j);
        for (size_t i = 0; i < v->n_targets; i++) // and then forced
            if (!strcmp(v->targets[i].region, "eastus"))
                ((struct health_target *)(uintptr_t)&v->targets[i])->force = HEALTH_FORCE_DOWN;
    }
    static const struct health_exception drill[] = {{HEALTH_DRILLED, "westeurope", ""}};
    v->exceptions = drill;
    v->n_exceptions = 1;
    json_t *j = explain(t, v, "contoso.example.io", &client, NULL);
    const json_t *regions = json_object_get(json_object_get(j, "routing"), "regions");
    size_t n_drilled = 0;
    for (size_t i = 0; i < json_array_size(regions); i++) {
        const json_t *one = json_array_get(regions, i);
        if (strcmp(json_string_value(json_object_get(one, "state")), "drilled") != 0)
            continue;
        n_drilled++;
        ck_assert_str_eq(json_string_value(json_object_get(one, "region")), "westeurope");
        ck_assert_str_eq(json_string_value(json_object_get(one, "reason")),
                         "taken out by a fault drill");
    }
    ck_assert_uint_eq(n_drilled, 1);
    json_decref(j);
    v->n_exceptions = 0;
    snapshot_unref(v);
    snapshot_unref(t);
}
END_TEST

// As a client of a view asks: at the view's own listener, if it has one.
static json_t *explain_in(const struct topology *t, const char *name, const char *view,
                          const char *client)
{
    struct endpoint usual = {fixture_ip("192.0.2.1"), 53};
    struct explain_query q = {.topology = t,
                              .name = name,
                              .client = fixture_ip(client ? client : "127.0.0.1"),
                              .listener = &usual};
    ck_assert_int_eq(explain_place(&q, view, client != NULL), 0);
    return dns_explain_json(&q);
}

START_TEST(a_private_view_is_explained_by_its_addresses)
{
    static const struct {
        const char *name, *view, *client, *want_view, *address, *reason;
    } rows[] = {
        {"contoso.example.io", "corp", NULL, "corp", "10.1.0.4",
         "private endpoint contoso-corp has this name in view corp"},
        {"contoso.example.io", NULL, "10.1.2.3", "corp", "10.1.0.4",
         "private endpoint contoso-corp has this name"},
        {"contoso.privatelink.example.io", "corp", NULL, "corp", "10.1.0.4",
         "private endpoint contoso-corp has this"},
        {"contoso.westeurope.geo.example.io", "corp", NULL, "corp", "10.1.0.5",
         "private endpoint contoso-corp has"},
        {"contoso.eastus.geo.example.io", "corp", NULL, "corp", NULL,
         "contoso-corp in view corp has no address for this"},
        {"fabrikam.example.io", "corp", NULL, "corp", NULL,
         "fabrikam has no private endpoint in view corp"},
        {"contoso.example.io", "lab", NULL, "lab", "10.2.0.4",
         "private endpoint contoso-lab has this name in view lab"},
        // by its listener
        {"contoso.example.io", NULL, "10.2.3.4", "lab", "10.2.0.4", "private endpoint contoso-lab"},
        // whom that listener refuses
        {"contoso.example.io", "lab", "10.1.2.3", "refused", NULL, NULL},
        {"contoso.example.io", NULL, "192.0.2.99", "public", NULL, NULL},
        {"contoso.example.io", "public", "10.2.3.4", "public", NULL, NULL},
        {"contoso.fe.example.io", "corp", NULL, "corp", NULL, NULL},
    };
    struct topology *t = fixture_topology();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *j = explain_in(t, rows[i].name, rows[i].view, rows[i].client);
        const json_t *private = json_object_get(j, "private"),
                     *addresses = json_object_get(private, "addresses");
        char *text = json_dumps(json_object_get(j, "a"), 0);
        ck_assert_str_eq(json_string_value(json_object_get(j, "view")), rows[i].want_view);
        if (rows[i].address) { // what is explained is what is answered
            ck_assert_msg(json_array_size(addresses) >= 1, "case %zu", i);
            ck_assert_str_eq(json_string_value(json_array_get(addresses, 0)), rows[i].address);
            ck_assert_ptr_nonnull(strstr(text, rows[i].address));
            ck_assert(json_is_null(json_object_get(j, "routing"))); // health leads nobody here
        } else {
            ck_assert_uint_eq(json_array_size(addresses), 0);
        }
        const char *reason = json_string_value(json_object_get(private, "reason"));
        ck_assert_msg(rows[i].reason ? reason && strstr(reason, rows[i].reason) != NULL : !reason,
                      "case %zu: %s", i, reason);
        free(text);
        json_decref(j);
    }
    struct explain_query q = {.topology = t, .name = "contoso.example.io"};
    ck_assert_int_eq(explain_place(&q, "nowhere", false), ERR_NOTFOUND);
    snapshot_unref(t);
}
END_TEST

CHECK_MAIN("resolver/explain", what_operators_ordered_is_named,
           a_private_view_is_explained_by_its_addresses, forwarded_names_name_their_upstreams,
           what_is_explained_is_what_is_answered, the_reasons_are_told,
           a_subnet_is_explained_as_it_is_answered, what_is_no_name_is_said_to_be_none,
           the_serial_of_a_signed_zone_is_that_of_its_answers)
