// SPDX-License-Identifier: Apache-2.0
// control/principals_follow: what was revoked stays revoked from one document to the next.
#include "control/principals_follow.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "tests/support/check_main.h"

#include <string.h>

#define NOW 1795478400 // 2026-11-24
#define HASH \
    "password_hash: \"$y$j9T$abcdefghijklmnop$0123456789012345678901234567890123456789012\""

static struct principals *principals_of(const char *text)
{
    struct principals *p = NULL;
    struct diag d;
    diag_init(&d);
    int rc = principals_parse(text, strlen(text), "p.yaml", &d, &p);
    ck_assert_msg(!rc, "%s", d.n ? d.lines[0] : "?");
    diag_done(&d);
    return p;
}

#define ADA(generation) "users:\n  - { name: ada, " HASH ", generation: " generation " }\n"
#define BOB "  - { name: bob, " HASH " }\n"
#define ID "0123456789abcdef0123456789abcdef"
#define REVOKED "revoked: [{ id: " ID ", expires: '2026-12-24T00:00:00Z' }]\n"
#define ENDED "revoked: [{ id: " ID ", expires: '2026-11-23T00:00:00Z' }]\n"

START_TEST(what_was_revoked_stays_so)
{
    static const struct {
        const char *before, *next, *why;
    } cases[] = {
        {ADA("3"), ADA("3"), NULL},
        {ADA("3"), ADA("4"), NULL},
        {ADA("3") BOB, ADA("3"), NULL}, // who is gone gets nothing
        {ADA("3"), ADA("3") REVOKED, NULL},
        {ADA("3") REVOKED, ADA("3") REVOKED, NULL},
        {ADA("3") ENDED, ADA("3"), NULL},
        {ADA("3"), ADA("2"), "p.yaml: user ada: generation 2 is below 3, which is in force"},
        {ADA("3") REVOKED, ADA("3"),
         "the token " ID " is not listed any more, and ends by itself "
         "only at 2026-12-24T00:00:00Z"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct principals *before = principals_of(cases[i].before),
                          *next = principals_of(cases[i].next);
        struct diag d;
        diag_init(&d);
        bool ok = principals_may_follow(before, next, NOW, &d);
        AUTO_FREE char *why = diag_text(&d);
        ck_assert_msg(ok == !cases[i].why && (ok || strstr(why, cases[i].why)), "%zu: %s", i, why);
        diag_done(&d);
        snapshot_unref(before);
        snapshot_unref(next);
    }
}
END_TEST

CHECK_MAIN("control/principals_follow", what_was_revoked_stays_so)
