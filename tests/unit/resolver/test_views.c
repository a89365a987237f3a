// SPDX-License-Identifier: Apache-2.0
// resolver/views: by listener first, then by transport source; a stranger on a private listener is refused.
#include "resolver/views.h"

#include "base/err.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <string.h>

// corp and lab overlap, which listeners of their own allow; open is a listener for whoever reaches it.
static const char yaml[] = "version: 1\ndomain: example.io\nhostmaster: h@example.io\nregions:\n"
                           "  - name: eastus\n    peer: 192.0.2.1:8443\n    stamps:\n"
                           "      - { name: eus-1, ipv4: [192.0.2.1] }\n"
                           "name_servers: [eus-1.eastus]\nregistries:\n  - name: contoso\n    replicas:\n"
                           "      - { region: eastus, stamp: eus-1 }\nrouting: { order: [eastus] }\n"
                           "views:\n"
                           "  - name: corp\n    sources: [10.1.0.0/16, \"fd00:1::/32\"]\n"
                           "  - name: lab\n    listeners: [\"127.0.0.9:5300\"]\n    sources: [10.1.0.0/16]\n"
                           "  - name: open\n    listeners: [\"127.0.0.10:5300\", \"[::1]:5300\"]\n";

static const struct {
    const char *listener, *source, *view; // view NULL: refused; "": public
} rows[] = {
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
};

START_TEST(table)
{
    struct topology *t = fixture_parse(yaml);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct endpoint at;
        struct ip source = fixture_ip(rows[i].source);
        const struct view untouched, *view = &untouched;
        if (rows[i].listener)
            ck_assert_int_eq(endpoint_parse(rows[i].listener, 0, &at), 0);
        int rc = view_choose(t, rows[i].listener ? &at : NULL, &source, &view);
        ck_assert_msg(rc == (rows[i].view ? 0 : ERR_DENIED), "row %zu: %d", i, rc);
        if (rc)
            ck_assert_ptr_eq(view, &untouched);
        else
            ck_assert_msg(!strcmp(view ? view->name : "", rows[i].view), "row %zu: %s", i,
                          view ? view->name : "public");
    }
    snapshot_unref(t);
}
END_TEST

CHECK_MAIN("resolver/views", table)
