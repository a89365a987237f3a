// SPDX-License-Identifier: Apache-2.0
// resolver/views: by listener first, then by transport source; a stranger on a private listener is
// refused, and so is who an access list does not answer.
#include "resolver/route/views.h"

#include "base/err.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <stdio.h>
#include <string.h>

// corp and lab overlap, which listeners of their own allow; open is a listener for whoever reaches
// it; six is of IPv6 alone and has both kinds of lists, guarded only those.
static const char yaml[] =
    "version: 1\ndomain: example.io\nhostmaster: h@example.io\nregions:\n"
    "  - name: eastus\n    peer: 192.0.2.1:8443\n    stamps:\n"
    "      - { name: eus-1, ipv4: [192.0.2.1] }\n"
    "name_servers: [eus-1.eastus]\nregistries:\n  - name: contoso\n    replicas:\n"
    "      - { region: eastus, stamp: eus-1 }\nrouting: { order: [eastus] }\n"
    "views:\n"
    "  - name: corp\n    sources: [10.1.0.0/16, \"fd00:1::/32\"]\n"
    "  - name: lab\n    listeners: [\"127.0.0.9:5300\"]\n    sources: [10.1.0.0/16]\n"
    "  - name: open\n    listeners: [\"127.0.0.10:5300\", \"[::1]:5300\"]\n"
    "  - name: six\n    sources: [\"fd00:6::/32\", \"fd00:6:1::/48\"]\n"
    "    allow: [\"fd00:6:1::/48\"]\n    deny: [\"fd00:6:1:2::/64\"]\n"
    "  - name: guarded\n    listeners: [\"127.0.0.11:5300\", \"127.0.0.11:853\"]\n"
    "    allow: [10.9.0.0/16, 192.0.2.0/24]\n    deny: [192.0.2.128/25, 10.9.9.9]\n";
static const char access_yaml[] =
    "dns_access: { allow: [0.0.0.0/1, \"2001:db8::/32\"], deny: [100.64.0.0/10] }\n";

struct row {
    // view NULL: refused; "": public
    const char *listener, *source, *view;
};

static const struct row rows[] = {
    {NULL, "10.1.2.3", "corp"},
    {NULL, "10.1.255.255", "corp"},
    {NULL, "10.2.0.0", ""},
    {NULL, "fd00:1::9", "corp"},
    {NULL, "fd00:2::9", ""},
    {NULL, "192.0.2.9", ""},
    {"127.0.0.1:5300", "10.1.2.3", "corp"}, // a listener of nobody's: by source
    {"127.0.0.1:5300", "192.0.2.9", ""},
    {"127.0.0.9:53", "10.1.2.3", "corp"}, // another port is another listener
    {"127.0.0.9:5300", "10.1.2.3", "lab"},
    {"127.0.0.9:5300", "10.2.2.3", NULL},
    {"127.0.0.9:5300", "192.0.2.9", NULL},
    {"127.0.0.9:5300", "fd00:1::9", NULL}, // of a view, but not of this listener's
    {"127.0.0.10:5300", "192.0.2.9", "open"},
    {"127.0.0.10:5300", "10.1.2.3", "open"},
    {"[::1]:5300", "fd00:1::9", "open"},
    {"[::1]:53", "fd00:1::9", "corp"},
    {NULL, "fd00:6:1::9", "six"},
    {NULL, "fd00:6:2::9", NULL}, // of the view and not allowed: refused, not public
    {NULL, "fd00:6:1:2::9", NULL},
    {NULL, "fd00:6:1:3::", "six"},
    {NULL, "fd00:7::", ""},
    {"127.0.0.11:5300", "192.0.2.9", "guarded"},
    {"127.0.0.11:853", "192.0.2.9", "guarded"},
    {"127.0.0.11:5300", "192.0.2.200", NULL},
    {"127.0.0.11:5300", "10.9.9.8", "guarded"},
    {"127.0.0.11:5300", "10.9.9.9", NULL},
    {"127.0.0.11:5300", "10.1.2.3", NULL}, // corp's source, on guarded's listener
    {"127.0.0.11:5300", "2001:db8::1", NULL},
    {"127.0.0.11:5301", "10.9.9.9", ""},
};

// With dns_access, which is of the public view and of no other.
static const struct row access_rows[] = {
    {NULL, "127.0.0.1", ""},
    {NULL, "192.0.2.9", NULL},
    {NULL, "100.127.255.255", NULL},
    {NULL, "100.128.0.0", ""},
    {NULL, "2001:db8::1", ""},
    {NULL, "2001:db9::1", NULL},
    {NULL, "fd00:1::9", "corp"},
    {"127.0.0.10:5300", "192.0.2.9", "open"},
    {"127.0.0.9:5300", "10.1.2.3", "lab"},
};

static void check_rows(const char *text, const struct row *list, size_t n)
{
    struct topology *t = fixture_parse(text);
    for (size_t i = 0; i < n; i++) {
        struct endpoint at;
        struct ip source = fixture_ip(list[i].source);
        const struct view untouched, *view = &untouched;
        if (list[i].listener)
            ck_assert_int_eq(endpoint_parse(list[i].listener, 0, &at), 0);
        int rc = view_choose(t, list[i].listener ? &at : NULL, &source, &view);
        ck_assert_msg(rc == (list[i].view ? 0 : ERR_DENIED), "row %zu: %d", i, rc);
        if (rc)
            ck_assert_ptr_eq(view, &untouched);
        else
            ck_assert_msg(!strcmp(view ? view->name : "", list[i].view), "row %zu: %s", i,
                          view ? view->name : "public");
    }
    snapshot_unref(t);
}

START_TEST(table)
{
    check_rows(yaml, rows, sizeof rows / sizeof rows[0]);
}
END_TEST

START_TEST(the_public_view_has_an_access_list_of_its_own)
{
    char text[sizeof yaml + sizeof access_yaml];
    snprintf(text, sizeof text, "%s%s", yaml, access_yaml);
    check_rows(text, access_rows, sizeof access_rows / sizeof access_rows[0]);
}
END_TEST

// Many views, each with networks of both families: the choice is that of looking at each in turn.
START_TEST(bisection_finds_what_a_walk_finds)
{
    static char text[65536];
    size_t n =
        (size_t)snprintf(text, sizeof text, "%.*s", (int)(strstr(yaml, "views:\n") - yaml), yaml);
    n += (size_t)snprintf(text + n, sizeof text - n, "views:\n");
    for (unsigned i = 0; i < 200; i++)
        n += (size_t)snprintf(
            text + n, sizeof text - n,
            "  - { name: v%u, sources: [10.%u.0.0/%u, \"fd00:%x::/%u\", 172.16.%u.0/24%s] }\n", i,
            i, 16 + i % 5, i * 16, 28 + i % 7, i, i % 3 ? "" : ", 10.250.0.0/16");
    char *twice = strstr(text, ", 10.250.0.0/16"); // once only, else views would overlap
    for (char *p = twice + 1; (p = strstr(p, ", 10.250.0.0/16"));)
        memset(p, ' ', 15);
    struct topology *t = fixture_parse(text);
    unsigned seed = 1;
    size_t found = 0;
    for (unsigned i = 0; i < 20000; i++) {
        struct ip ip = fixture_ip(i % 2 ? "10.0.0.0" : "fd00::");
        const struct view *view, *walk = NULL;
        for (size_t k = i % 2 ? 13 : 2; k < (i % 2 ? 16 : 6); k++)
            ip.b[k] = (uint8_t)((seed = seed * 1103515245 + 12345) >> 16);
        if (i % 6 == 1)
            ip.b[12] = 172, ip.b[13] = 16;
        for (size_t v = 0; v < t->n_views; v++)
            for (size_t k = 0; k < t->views[v].n_sources; k++)
                if (cidr_contains(&t->views[v].sources[k], &ip))
                    walk = &t->views[v];
        ck_assert_int_eq(view_choose(t, NULL, &ip, &view), 0);
        ck_assert_ptr_eq(view, walk);
        found += view != NULL;
    }
    ck_assert_uint_gt(found, 1000);
    ck_assert_uint_lt(found, 19000);
    snapshot_unref(t);
}
END_TEST

CHECK_MAIN("resolver/views", table, the_public_view_has_an_access_list_of_its_own,
           bisection_finds_what_a_walk_finds)
