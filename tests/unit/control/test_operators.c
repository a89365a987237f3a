// SPDX-License-Identifier: Apache-2.0
// control/operators: operators come and are revoked for ever; the section reads back as it was meant.
#include "control/operators.h"

#include "base/err.h"
#include "base/mem.h"
#include "control/sections.h"
#include "tests/support/check_main.h"

#include <string.h>

// public halves of RFC 8032 section 7.1, tests 1 and 2
#define ROOT "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
#define ADA "MCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw="

static const char document[] =
    "version: 1\ndomain: example.io\nregions:\n"
    "  - { name: a, peer: 10.0.0.1:8443, stamps: [{ name: s, ipv4: [192.0.2.1] }] }\n"
    "name_servers: [s.a]\ncontrol: { root: \"" ROOT "\", writer: a } # ours\n";

static struct arena arena;

static struct topology *parsed(const char *text)
{
    struct topology *t = NULL;
    struct diag d;
    diag_init(&d);
    if (topology_parse(text, strlen(text), "t", &d, &t))
        diag_print(&d, stderr);
    diag_done(&d);
    ck_assert_ptr_nonnull(t);
    return t;
}

static struct topology *with(const struct topology *was, const char *text, const char *section)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    const struct edit_section s = {"control", section};
    edit_sections(text, &s, 1, was->version + 1, &b);
    struct topology *t = parsed(buf_cstr(&b));
    char *why = NULL;
    ck_assert_msg(control_may_follow(was, t, &why), "%s", why);
    free(why);
    return t;
}

START_TEST(an_operator_comes_and_is_revoked_for_ever)
{
    arena_init(&arena, 1 << 20);
    struct topology *t = parsed(document);
    const char *text = NULL;
    unsigned rights = CONTROL_RIGHT_REGISTRIES | CONTROL_RIGHT_TOPOLOGY;
    ck_assert_int_eq(operators_add(t, "ada", ADA, rights, &arena, NULL, &text), 0);
    struct topology *two = with(t, document, text);
    const struct control_operator *ada = topology_operator(two, "ada");
    ck_assert(ada && !ada->revoked && ada->rights == rights);
    ck_assert_str_eq(ada->key, ADA);
    ck_assert_int_eq(operators_add(two, "ada", ROOT, rights, &arena, NULL, &text), ERR_EXISTS);
    ck_assert_int_eq(operators_revoke(two, "bob", &arena, NULL, &text), ERR_NOTFOUND);
    ck_assert_int_eq(operators_revoke(two, "ada", &arena, NULL, &text), 0);
    struct topology *three = with(two, document, text);
    ck_assert(topology_operator(three, "ada")->revoked);
    ck_assert_int_eq(operators_revoke(three, "ada", &arena, NULL, &text), ERR_EXISTS);
    ck_assert_int_eq(operators_add(three, "ada", ADA, rights, &arena, NULL, &text), ERR_EXISTS);
    snapshot_unref(three);
    snapshot_unref(two);
    snapshot_unref(t);
    arena_done(&arena);
}
END_TEST

START_TEST(what_is_no_operator_is_refused)
{
    arena_init(&arena, 1 << 20);
    struct topology *t = parsed(document);
    const char *text = NULL;
    ck_assert_int_eq(operators_add(t, "Ada", ADA, 1, &arena, NULL, &text), ERR_INVAL);
    // root at the admin socket owns registries under that name
    ck_assert_int_eq(operators_add(t, "root", ADA, 1, &arena, NULL, &text), ERR_INVAL);
    ck_assert_int_eq(operators_add(t, "a\", key: \"x", ADA, 1, &arena, NULL, &text), ERR_INVAL);
    t->control = NULL;
    ck_assert_int_eq(operators_add(t, "ada", ADA, 1, &arena, NULL, &text), ERR_UNSUPPORTED);
    ck_assert_int_eq(operators_revoke(t, "ada", &arena, NULL, &text), ERR_UNSUPPORTED);
    ck_assert_ptr_null(text);
    snapshot_unref(t);
    arena_done(&arena);
}
END_TEST

START_TEST(rights_have_words)
{
    static const char *const words[] = {"registries", "principals", "regions", "topology",
                                        "private-endpoints"};
    arena_init(&arena, 1 << 20);
    unsigned all = 0, one;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        ck_assert(control_right_parse(words[i], &one));
        ck_assert_str_eq(control_rights_text(one, &arena), words[i]);
        all |= one;
    }
    ck_assert_str_eq(control_rights_text(all, &arena), "all");
    ck_assert(control_right_parse("all", &one) && one == all);
    ck_assert(!control_right_parse("", &one) && !control_right_parse("regions ", &one));
    arena_done(&arena);
}
END_TEST

CHECK_MAIN("control/operators", an_operator_comes_and_is_revoked_for_ever,
           what_is_no_operator_is_refused, rights_have_words)
