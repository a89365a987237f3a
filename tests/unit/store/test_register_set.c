// SPDX-License-Identifier: Apache-2.0
// store/register_set: each register once, whatever names it; manifests before tags.
#include "store/register_set.h"

#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

static struct digest digest_str(const char *s)
{
    struct digest d = {.alg = DIGEST_SHA256, .n = SHA256_BYTES};
    sha256(s, strlen(s), d.b);
    return d;
}

static struct feed_entry tag_entry(const char *registry, const char *repository, const char *tag,
                                   const char *text)
{
    return (struct feed_entry){.kind = ENTRY_TAG,
                               .registry = registry,
                               .repository = repository,
                               .tag = tag,
                               .digest = digest_str(text)};
}

static struct feed_entry manifest_entry(const char *registry, const char *repository,
                                        const char *text)
{
    return (struct feed_entry){.kind = ENTRY_MANIFEST,
                               .registry = registry,
                               .repository = repository,
                               .tag = "",
                               .digest = digest_str(text)};
}

static struct register_row *add(struct register_set *set, struct feed_entry e)
{
    struct register_name name = register_of(&e);
    struct register_row *row;
    ck_assert_int_eq(register_set_add(set, &name, &row), 0);
    return row;
}

START_TEST(a_register_comes_once)
{
    struct arena a;
    struct register_set set;
    char tag[] = "v1";
    arena_init(&a, 0);
    register_set_init(&set, &a);
    add(&set, tag_entry("contoso", "app", tag, "{1}"))->stamp = 7;
    ck_assert_uint_eq(add(&set, tag_entry("contoso", "app", "v1", "{2}"))->stamp, 7);
    add(&set, manifest_entry("contoso", "app", "{1}"))->stamp = 8;
    ck_assert_uint_eq(add(&set, manifest_entry("contoso", "app", "{1}"))->stamp, 8);
    ck_assert_uint_eq(add(&set, manifest_entry("contoso", "app", "{2}"))->stamp, 0);
    ck_assert_uint_eq(add(&set, tag_entry("contoso", "app2", "v1", "{1}"))->stamp, 0);
    ck_assert_uint_eq(add(&set, tag_entry("fabrikam", "app", "v1", "{1}"))->stamp, 0);
    ck_assert_uint_eq(set.n, 5);
    tag[1] = '9'; // the set keeps names of its own
    ck_assert_str_eq(set.rows[0].name.tag, "v1");
    register_set_done(&set);
    arena_done(&a);
}
END_TEST

START_TEST(rows_are_sorted_manifests_first)
{
    struct arena a;
    struct register_set set;
    arena_init(&a, 0);
    register_set_init(&set, &a);
    add(&set, tag_entry("fabrikam", "app", "v1", "{1}"));
    for (int i = 99; i >= 0; i--) {
        char tag[16];
        snprintf(tag, sizeof tag, "t%02d", i);
        add(&set, tag_entry("contoso", "app", tag, "{1}"))->id = i + 1;
    }
    add(&set, manifest_entry("contoso", "app", "{1}"));
    ck_assert_uint_eq(set.n, 102);
    register_set_sort(&set);
    ck_assert(!register_is_tag(&set.rows[0].name));
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(set.rows[1 + i].id, i + 1); // with what the caller keeps
    ck_assert_str_eq(set.rows[101].name.registry, "fabrikam");
    register_set_done(&set);
    arena_done(&a);
}
END_TEST

CHECK_MAIN("store/register_set", a_register_comes_once, rows_are_sorted_manifests_first)
