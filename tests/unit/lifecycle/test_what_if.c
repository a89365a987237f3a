// SPDX-License-Identifier: Apache-2.0
// What-if: some changes told exactly, and many at random, each of which must do what was told.
#include "lifecycle/what_if.h"

#include "base/bytes.h"
#include "base/diag.h"
#include "config/endpoints.h"
#include "control/changer.h"
#include "tests/support/check_main.h"
#include "tests/unit/control/registries.h"
#include "tests/unit/resolver/fixture.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define NOW_S 1796000000

static struct topology *changed(const struct topology *t, const char *change)
{
    struct topology *next = NULL;
    struct diag d;
    struct changer *c = changer_new();
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    buf_printf(&text, "version: %llu\n%s", (unsigned long long)t->version + 1, change);
    diag_init(&d);
    int rc = changer_apply(c, t, buf_cstr(&text), text.n, "change", 1, &d, &next);
    ck_assert_msg(rc == 0, "%s: %s", change, d.n ? d.lines[0] : "?");
    diag_done(&d);
    changer_free(c);
    return next;
}

static json_t *asked(const struct topology *before, const struct topology *after)
{
    const struct what_if_in in = {
        .before = before, .after = after, .object = "topology", .now_s = NOW_S};
    json_t *j = NULL;
    ck_assert_int_eq(what_if(&in, &j), 0);
    ck_assert_ptr_nonnull(j);
    return j;
}

// "- view name ttl type data clients" lines of the list, in its order.
static const char *lines(const json_t *j, const char *list, const char *const *keys, size_t n)
{
    static char out[8192];
    size_t i, at = 0;
    json_t *item;
    *out = 0;
    json_array_foreach(json_object_get(j, list), i, item)
    {
        for (size_t k = 0; k < n; k++) {
            const json_t *v = json_object_get(item, keys[k]);
            if (!v)
                continue;
            char number[32];
            const char *text = json_string_value(v);
            if (json_is_integer(v)) {
                snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
                text = number;
            }
            at += (size_t)snprintf(out + at, sizeof out - at, "%s%s", k ? " " : "", text);
            ck_assert_uint_lt(at, sizeof out - 1);
        }
        at += (size_t)snprintf(out + at, sizeof out - at, "\n");
    }
    return out;
}

static const char *dns_lines(const json_t *j)
{
    static const char *const keys[] = {"change", "view", "name", "ttl", "type", "data", "clients"};
    return lines(j, "dns", keys, 7);
}

static const char *change_lines(const json_t *j)
{
    static const char *const keys[] = {"change", "row", "member", "was", "is"};
    return lines(j, "changes", keys, 5);
}

static int exit_of(const json_t *j)
{
    return (int)json_integer_value(json_object_get(j, "exit"));
}

START_TEST(regional_endpoints_bring_the_names_of_all_replicas)
{
    struct topology *t = fixture_topology();
    struct topology *next =
        changed(t, "registries:\n  - name: plain\n    regional_endpoints: enabled\n    replicas:\n"
                   "      - { region: westeurope, stamp: weu-1 }\n");
    json_t *j = asked(t, next);
    ck_assert_int_eq(exit_of(j), WHAT_IF_CHANGES);
    ck_assert_str_eq(dns_lines(j), "+ corp plain.westeurope.geo.example.io 300 CNAME "
                                   "weu-1.westeurope.fe.example.io\n"
                                   "+ lab plain.westeurope.geo.example.io 300 CNAME "
                                   "weu-1.westeurope.fe.example.io\n"
                                   "+ public plain.westeurope.geo.example.io 300 CNAME "
                                   "weu-1.westeurope.fe.example.io\n");
    ck_assert_str_eq(change_lines(j), "~ registry/plain regional_endpoints disabled enabled\n");
    // *.westeurope.geo.example.io is there
    ck_assert_uint_eq(json_array_size(json_object_get(j, "certificates")), 0);
    ck_assert_uint_eq(json_array_size(json_object_get(j, "members")), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(j, "to")), (int)t->version + 1);
    json_decref(j);
    snapshot_unref(next);
    snapshot_unref(t);
}
END_TEST

START_TEST(nothing_is_nothing)
{
    struct topology *t = fixture_topology();
    json_t *j = asked(t, t);
    ck_assert_int_eq(exit_of(j), WHAT_IF_NOTHING);
    ck_assert_str_eq(dns_lines(j), "");
    ck_assert_str_eq(change_lines(j), "");
    json_decref(j);
    snapshot_unref(t);
}
END_TEST

START_TEST(weights_show_as_shares_of_clients)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_str(&b, REGISTRIES_FRAME
            "routing: { order: [a+eastus] }\n"
            "registries:\n  - name: contoso\n    replicas: [{ region: a }, { region: eastus }]\n");
    struct topology *t = registries_parse(TOPOLOGY_FULL, &b);
    struct topology *next =
        changed(t, "registries:\n  - name: contoso\n    replicas: [{ region: a }, "
                   "{ region: eastus, weight: 0 }]\n");
    json_t *j = asked(t, next);
    const char *all = dns_lines(j);
    ck_assert_msg(strstr(all, "+ public contoso.example.io 30 CNAME s1.a.fe.example.io\n") != NULL,
                  "%s", all);
    ck_assert_msg(strstr(all, "- public contoso.example.io 30 CNAME s1.a.fe.example.io 5") ||
                      strstr(all, "- public contoso.example.io 30 CNAME s1.a.fe.example.io 4"),
                  "%s", all);
    json_decref(j);
    snapshot_unref(next);
    snapshot_unref(t);
}
END_TEST

static struct topology *parsed(const char *yaml)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_str(&b, yaml);
    return registries_parse(TOPOLOGY_FULL, &b);
}

#define TWO_REGIONS                                                                     \
    "domain: example.io\nname_servers: [s1.a]\nregions:\n"                              \
    "  - { name: a, peer: 10.0.0.1:8443, stamps: [{ name: s1, ipv4: [192.0.2.1] }] }\n" \
    "  - { name: b, peer: 10.0.0.2:8443, stamps: [{ name: s1, ipv4: [192.0.2.2] }] }\n" \
    "registries:\n  - { name: contoso, replicas: [{ region: a }] }\n"

START_TEST(a_region_more_shows_its_frontends_and_certificates)
{
    struct topology *t = parsed("version: 4\n" TWO_REGIONS);
    struct topology *next = parsed(
        "version: 5\n"
        "domain: example.io\nname_servers: [s1.a]\nregions:\n"
        "  - { name: a, peer: 10.0.0.1:8443, stamps: [{ name: s1, ipv4: [192.0.2.1] }] }\n"
        "  - { name: b, peer: 10.0.0.2:8443, stamps: [{ name: s1, ipv4: [192.0.2.2] }] }\n"
        "  - { name: c, peer: 10.0.0.3:8443, stamps: [{ name: s1, ipv6: ['2001:db8::3'] }] }\n"
        "registries:\n  - { name: contoso, replicas: [{ region: a }] }\n");
    static const char *const keys[] = {"change", "region", "kind", "name"};
    json_t *j = asked(t, next);
    ck_assert_int_eq(exit_of(j), WHAT_IF_CHANGES);
    ck_assert_str_eq(dns_lines(j), "+ public s1.c.fe.example.io 60 AAAA 2001:db8::3\n");
    ck_assert_str_eq(lines(j, "certificates", keys, 4),
                     "+ c peer c.peer.example.io\n"
                     "+ c peer meridian://example.io/region/c\n"
                     "+ c region *.c.data.example.io\n"
                     "+ c region *.c.data.privatelink.example.io\n"
                     "+ c region *.c.fe.example.io\n"
                     "+ c region *.c.geo.example.io\n"
                     "+ c region *.c.geo.privatelink.example.io\n"
                     "+ c shared *.example.io\n"
                     "+ c shared *.privatelink.example.io\n");
    json_decref(j);
    snapshot_unref(next);
    snapshot_unref(t);
}
END_TEST

START_TEST(members_are_told_with_their_addresses)
{
    struct topology *t = fixture_topology();
    struct topology *next = changed(t, "remove_private_endpoints: [contoso-corp]\n");
    static const char *const keys[] = {"change", "view", "privateEndpoint", "member", "address"};
    json_t *j = asked(t, next);
    const char *all = lines(j, "members", keys, 5);
    ck_assert_msg(strstr(all, "- corp contoso-corp registry 10.1.0.4\n") != NULL, "%s", all);
    ck_assert_ptr_null(strstr(all, "+ "));
    json_decref(j);
    snapshot_unref(next);
    snapshot_unref(t);
}
END_TEST

// ---- at random ----

struct told { // of one name in one view
    const json_t *dns;
    const char *view, *name;
};

static bool is_told(const struct told *x, const char *mark, const char *record)
{
    size_t i;
    json_t *item;
    char line[600];
    json_array_foreach(x->dns, i, item)
    {
        if (strcmp(json_string_value(json_object_get(item, "view")), x->view) != 0 ||
            strcmp(json_string_value(json_object_get(item, "name")), x->name) != 0 ||
            strcmp(json_string_value(json_object_get(item, "change")), mark) != 0)
            continue;
        snprintf(line, sizeof line, "%lld %s %s",
                 (long long)json_integer_value(json_object_get(item, "ttl")),
                 json_string_value(json_object_get(item, "type")),
                 json_string_value(json_object_get(item, "data")));
        if (!strcmp(line, record))
            return true;
    }
    return false;
}

// The owner's own records, "ttl type data" on lines, as a client of that view is given them.
static void records(const struct topology *t, const char *name, const char *source, char *out,
                    size_t cap)
{
    static const uint16_t types[] = {T_A, T_AAAA};
    const struct answer_context c = {
        .topology = t, .transport = ANSWER_TCP, .source = fixture_ip(source), .now_s = NOW_S};
    size_t at = 0, n = strlen(name);
    *out = 0;
    for (size_t i = 0; i < 2; i++) {
        struct fixture_answer a;
        char text[4096];
        fixture_ask(&c, name, types[i], -1, &a);
        snprintf(text, sizeof text, "%s", fixture_text(ldns_pkt_answer(a.pkt)));
        for (char *save, *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
            // "owner. TTL IN TYPE data."
            if (strncmp(l, name, n) != 0 || l[n] != '.' || l[n + 1] != ' ')
                continue;
            char *rest = l + n + 2, *class_ = strstr(rest, " IN ");
            if (class_)
                memmove(class_ + 1, class_ + 4, strlen(class_ + 4) + 1);
            size_t k = strlen(rest);
            if (k && rest[k - 1] == '.')
                rest[k - 1] = 0;
            if (!strstr(out, rest))
                at += (size_t)snprintf(out + at, cap - at, "%s\n", rest);
        }
        fixture_answer_done(&a);
    }
}

static bool has_line(const char *all, const char *line)
{
    size_t n = strlen(line);
    for (const char *at = all; *at; at += strcspn(at, "\n") + 1)
        if (!strncmp(at, line, n) && at[n] == '\n')
            return true;
    return false;
}

// What one side gives and the other does not has been told, and nothing else has.
static void judge_name(const json_t *j, const struct topology *t, const struct topology *next,
                       const char *name, const char *view, const char *source)
{
    char before[4096], after[4096], copy[4096];
    const struct told x = {json_object_get(j, "dns"), view, name};
    records(t, name, source, before, sizeof before);
    records(next, name, source, after, sizeof after);
    snprintf(copy, sizeof copy, "%s", before);
    for (char *save, *l = strtok_r(copy, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
        ck_assert_msg(is_told(&x, "-", l) == !has_line(after, l), "%s in %s: - %s", name, view, l);
    snprintf(copy, sizeof copy, "%s", after);
    for (char *save, *l = strtok_r(copy, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
        ck_assert_msg(is_told(&x, "+", l) == !has_line(before, l), "%s in %s: + %s", name, view, l);
}

static void judge_registry(const json_t *j, const struct topology *t, const struct topology *next,
                           const struct registry *r)
{
    static const struct {
        const char *view, *source;
    } from[] = {{"public", "203.0.113.5"}, {"corp", "10.1.0.0"}, {"lab", "10.2.0.0"}};
    char name[HOSTNAME_TEXT_SIZE];
    for (size_t region = 0; region < t->n_regions; region++)
        for (unsigned k = 0; k < 6; k++) {
            static const enum name_kind kinds[] = {
                NAME_GLOBAL,         NAME_REGIONAL,         NAME_DATA,
                NAME_GLOBAL_PRIVATE, NAME_REGIONAL_PRIVATE, NAME_DATA_PRIVATE};
            if (hostname_format(kinds[k], t->domain, r->label, t->regions[region].name, NULL, name))
                ck_abort_msg("no name of kind %u", k);
            size_t v = (region + k + t->version) % 3; // each view for one name in three
            judge_name(j, t, next, name, from[v].view, from[v].source);
        }
}

static void random_change(const struct topology *t, struct buf *b)
{
    unsigned i = registries_random(30);
    char name[64];
    const struct registry *r = topology_registry(t, registries_name(i, name));
    if (r && !r->n_private_endpoints && t->n_registries > 3 && registries_random(4) == 0) {
        buf_printf(b, "remove: [%s]\n", name);
        return;
    }
    if (r && r->n_private_endpoints) { // rows at random may not fit their addresses
        buf_printf(b, "remove_private_endpoints: [pe%u]\n", i);
        return;
    }
    if (r && registries_random(3) == 0) {
        buf_str(b, "private_endpoints:\n");
        buf_printf(b,
                   "  - { name: pe%u, registry: %s, view: %s, addresses: { registry: 10.%u.%u.9 "
                   "} }\n",
                   i, name, i % 2 ? "corp" : "lab", i % 2 ? 1 : 2, i + 1);
        return;
    }
    buf_str(b, "registries:\n");
    registries_row(b, i);
}

START_TEST(a_thousand_changes_do_what_was_told)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_str(&b, REGISTRIES_FRAME "routing: { order: [a, eastus, southeastasia2] }\nregistries:\n");
    for (unsigned i = 0; i < 12; i++)
        registries_row(&b, i);
    struct topology *t = registries_parse(TOPOLOGY_FULL, &b);
    struct changer *c = changer_new();
    unsigned refused = 0;
    for (unsigned i = 0; i < 1000; i++) {
        AUTO_BUF struct buf text;
        struct topology *next = NULL;
        struct diag d;
        buf_init(&text, 0);
        buf_printf(&text, "version: %llu\n", (unsigned long long)t->version + 1);
        random_change(t, &text);
        diag_init(&d);
        int rc = changer_apply(c, t, buf_cstr(&text), text.n, "change", 1, &d, &next);
        diag_done(&d);
        if (rc) { // a move of a stamp, say
            refused++;
            continue;
        }
        json_t *j = asked(t, next);
        char name[64];
        const struct registry *any = NULL;
        for (unsigned k = 0; k < 30; k++) {
            const struct registry *was = topology_registry(t, registries_name(k, name));
            const struct registry *is = topology_registry(next, name);
            if (was != is || (i + k) % 37 == 0) {
                any = is ? is : was;
                if (any)
                    judge_registry(j, t, next, any);
            }
        }
        json_decref(j);
        snapshot_unref(t);
        t = next;
    }
    ck_assert_uint_lt(refused, 700);
    changer_free(c);
    snapshot_unref(t);
}
END_TEST

CHECK_MAIN("lifecycle/what_if", regional_endpoints_bring_the_names_of_all_replicas,
           nothing_is_nothing, weights_show_as_shares_of_clients,
           a_region_more_shows_its_frontends_and_certificates,
           members_are_told_with_their_addresses, a_thousand_changes_do_what_was_told)
