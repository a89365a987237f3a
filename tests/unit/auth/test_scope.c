// SPDX-License-Identifier: Apache-2.0
// auth/scope: every way clients write scopes, and what none may write.
#include "auth/token_priv.h"

#include "base/err.h"
#include "base/mem.h"
#include "tests/support/check_main.h"

#include <string.h>

struct scope_case {
    // repeated parameters
    const char *in[3];
    int rc;
    // "name=actions;…" with actions as bits
    const char *out;
    // one of them is malformed, and left out
    int malformed;
};

static const struct scope_case cases[] = {
    {{"repository:lib/app:pull"}, 0, "lib/app=1;"},                           // skopeo, ctr
    {{"repository:lib/app:pull,push"}, 0, "lib/app=3;"},                      // skopeo push
    {{"repository:lib/app:push,pull"}, 0, "lib/app=3;"},                      // docker push
    {{"repository:d/a:pull,push", "repository:s/a:pull"}, 0, "d/a=3;s/a=1;"}, // skopeo mount
    {{"repository:s/a:pull repository:d/a:pull,push"}, 0, "s/a=1;d/a=3;"},    // ctr mount
    {{"repository:a:pull", "repository:a:push"}, 0, "a=3;"},
    {{"  repository:a:pull   repository:b:delete "}, 0, "a=1;b=4;"},
    {{"repository(plugin):a/b:pull"}, 0, "a/b=1;"},
    {{"registry:catalog:*"}, 0, "*=8;"},
    {{"registry:catalog:search"}, 0, ""},
    {{"registry:other:*"}, 0, ""},
    {{"repository:a:*"}, 0, "a=7;"},
    {{"repository:a:pull,frobnicate,,push"}, 0, "a=3;"}, // unknown actions are passed over
    {{"repository:a:"}, 0, "a=0;"},
    {{"repository:a:catalog"}, 0, "a=0;"}, // catalog is not a repository's
    {{"repository:a:Pull"}, 0, "a=0;"},
    {{"host:a:pull"}, 0, ""}, // unknown types too
    {{""}, 0, ""},
    {{"repository"}, 0, "", 1},
    {{"repository:a"}, 0, "", 1},
    {{":a:pull"}, 0, "", 1},
    {{"repository::pull"}, 0, "", 1},
    {{"repository:A:pull"}, 0, "", 1},
    {{"repository:a//b:pull"}, 0, "", 1},
    {{"repository:/a:pull"}, 0, "", 1},
    {{"repository:a/:pull"}, 0, "", 1},
    {{"repository:../a:pull"}, 0, "", 1},
    {{"repository:a:5000/b:pull"}, 0, "", 1},
    {{"repository:*:pull"}, 0, "", 1},
    {{"repository:a b:pull"}, 0, "", 1},
    {{"repository:A:pull repository:b:pull"}, 0, "b=1;", 1},
    {{"repository:b:pull", "junk", "repository:c:push"}, 0, "b=1;c=2;", 1},
    {{"repository:a:metadata_read,metadata_write,add"}, 0, "a=112;"},
    {{"repository:a:audit"}, 0, "a=0;"},
    {{"registry:audit:*"}, 0, "*=128;"},
    {{"registry:audit:* registry:catalog:*"}, 0, "*=136;"},
};

START_TEST(scopes_come_out_as_one_list)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena a;
        struct scopes s = {0};
        arena_init(&a, 0);
        int rc = 0;
        for (size_t k = 0; k < 3 && cases[i].in[k] && !rc; k++)
            rc = scopes_add(&s, cases[i].in[k], &a);
        ck_assert_msg(rc == cases[i].rc, "%s: got %s", cases[i].in[0], err_name(rc));
        AUTO_BUF struct buf b;
        buf_init(&b, 0);
        for (size_t k = 0; k < s.n; k++)
            buf_printf(&b, "%s=%u;", s.items[k].repository, s.items[k].actions);
        if (!rc)
            ck_assert_str_eq(buf_cstr(&b), cases[i].out);
        ck_assert_msg(!*s.malformed == !cases[i].malformed, "%s: %s", cases[i].in[0], s.malformed);
        arena_done(&a);
    }
}
END_TEST

START_TEST(scopes_are_bounded)
{
    struct arena a;
    struct scopes s = {0};
    char text[64];
    arena_init(&a, 0);
    for (int i = 0; i < SCOPE_MAX_COUNT; i++) {
        snprintf(text, sizeof text, "repository:r%d:pull", i);
        ck_assert_int_eq(scopes_add(&s, text, &a), 0);
    }
    ck_assert_int_eq(scopes_add(&s, "repository:r1:push", &a), 0); // joins one that is there
    ck_assert_int_eq(scopes_add(&s, "repository:one-more:pull", &a), ERR_TOOBIG);
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    while (b.n <= SCOPE_MAX_BYTES)
        buf_str(&b, "repository:a:pull ");
    s = (struct scopes){0};
    ck_assert_int_eq(scopes_add(&s, b.p, &a), ERR_TOOBIG);
    arena_done(&a);
}
END_TEST

// It goes into an error and a log: printable, and no longer than a line.
START_TEST(what_is_shown_of_a_malformed_scope_is_harmless)
{
    struct arena a;
    struct scopes s = {0};
    char text[400];
    arena_init(&a, 0);
    ck_assert_int_eq(scopes_add(&s, "x\"\\\n\x1b[31m\xc3\xa9:y", &a), 0);
    ck_assert_str_eq(s.malformed, "x????[31m??:y");
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    s = (struct scopes){0};
    ck_assert_int_eq(scopes_add(&s, text, &a), 0);
    ck_assert_uint_eq(strlen(s.malformed), SCOPE_SHOWN_BYTES);
    arena_done(&a);
}
END_TEST

START_TEST(names_follow_the_distribution_specification)
{
    static const char *const good[] = {"a",    "0",   "a/b",   "a.b",         "a_b",
                                       "a__b", "a-b", "a---b", "a1/b2.c3/d-e"};
    static const char *const bad[] = {"",     "/",   "a/",  "/a",  "a//b",     "a..b", "a___b",
                                      "a._b", "-a",  "a-",  "_a",  "a_",       ".a",   "a.",
                                      "A",    "a b", "a:b", "a@b", "\xc3\xa9", "a/.b", "a/b_"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        ck_assert_msg(repository_name_ok(good[i], strlen(good[i])), "%s", good[i]);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(!repository_name_ok(bad[i], strlen(bad[i])), "%s", bad[i]);
    char max[REPOSITORY_NAME_MAX + 1];
    memset(max, 'a', sizeof max);
    ck_assert(repository_name_ok(max, REPOSITORY_NAME_MAX));
    ck_assert(!repository_name_ok(max, REPOSITORY_NAME_MAX + 1));
}
END_TEST

CHECK_MAIN("auth/scope", scopes_come_out_as_one_list, scopes_are_bounded,
           what_is_shown_of_a_malformed_scope_is_harmless,
           names_follow_the_distribution_specification)
