// SPDX-License-Identifier: Apache-2.0
// registry/visible: pages of what a caller may see are right at every place where one may begin, in
// order, without repetition, and cost no more reads than they say.
#include "registry/visible.h"

#include "base/mem.h"
#include "config/grants.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

static const char *const all[] = {
    "a",      "a-b",    "a.b",      "a/b",     "a/b/c",    "a/b0", "a/c", "a0",
    "ab",     "app",    "app-one",  "app/one", "app/oned", "app0", "b",   "team",
    "team-a", "team/a", "team/web", "team0",   "z",        "z/z",  "zz",
};

struct world {
    const char *const *read;
    size_t n_reads, n_entries;
    const char *taken[64];
    size_t n_taken;
};

static int world_read(void *ctx, const char *after, size_t n, size_t *out_n)
{
    struct world *w = ctx;
    size_t i = 0;
    while (after && i < ARRAY_LEN(all) && strcmp(all[i], after) <= 0)
        i++;
    w->read = all + i;
    *out_n = ARRAY_LEN(all) - i < n ? ARRAY_LEN(all) - i : n;
    w->n_reads++;
    w->n_entries += *out_n;
    return 0;
}

static const char *world_name(void *ctx, size_t i)
{
    return ((struct world *)ctx)->read[i];
}

static void world_take(void *ctx, size_t i)
{
    struct world *w = ctx;
    ck_assert_uint_lt(w->n_taken, ARRAY_LEN(w->taken));
    w->taken[w->n_taken++] = w->read[i];
}

static bool is_seen(const char *const *patterns, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (pattern_matches(patterns[i], name))
            return true;
    return false;
}

// Every page of every size, from every name and from between names.
static void judge(const char *const *patterns, size_t n_patterns)
{
    const struct access acc = {.visible = patterns, .n_visible = n_patterns};
    for (size_t from = 0; from <= 2 * ARRAY_LEN(all); from++)
        for (size_t want = 1; want < 9; want++) {
            char last[32] = "";
            struct arena a;
            struct world w = {0};
            const struct visible_list list = {world_read, world_name, world_take, &w};
            if (from)
                snprintf(last, sizeof last, "%s%s", all[(from - 1) / 2], from % 2 ? "" : "!");
            arena_init(&a, 0);
            ck_assert_int_eq(visible_page(&acc, from ? last : NULL, want, &a, &list), 0);
            size_t k = 0;
            for (size_t i = 0; i < ARRAY_LEN(all) && k < want; i++) {
                bool behind = !from || strcmp(all[i], last) > 0;
                if (!behind || !is_seen(patterns, n_patterns, all[i]))
                    continue;
                ck_assert_msg(k < w.n_taken && w.taken[k] == all[i], "%s behind \"%s\": %s",
                              patterns[0], last, k < w.n_taken ? w.taken[k] : "nothing");
                k++;
            }
            ck_assert_uint_eq(w.n_taken, k);
            ck_assert_uint_le(w.n_reads, n_patterns + k);
            ck_assert_uint_le(w.n_entries, (n_patterns + 1) * want);
            arena_done(&a);
        }
}

START_TEST(pages_hold_what_is_visible_and_nothing_else)
{
    static const char *const rows[][5] = {
        {"*"},
        {"a"},
        {"a/*"},
        {"team/*", "app"},
        {"app", "app/*", "a", "z"},
        {"z", "a/b", "team/*", "b", "nothing"},
        {"a/b/*", "a/*"}, // one in the other: no name comes twice
        {"a/b", "a/*", "*"},
        {"app-one", "app/oned", "zz"},
        {"nothing/*", "0"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t n = 0;
        while (n < 5 && rows[i][n])
            n++;
        judge(rows[i], n);
    }
}
END_TEST

START_TEST(who_sees_nothing_reads_nothing)
{
    struct arena a;
    struct world w = {0};
    const struct visible_list list = {world_read, world_name, world_take, &w};
    arena_init(&a, 0);
    ck_assert_int_eq(visible_page(&(struct access){0}, NULL, 100, &a, &list), 0);
    ck_assert_uint_eq(w.n_taken + w.n_reads, 0);
    arena_done(&a);
}
END_TEST

CHECK_MAIN("registry/visible", pages_hold_what_is_visible_and_nothing_else,
           who_sees_nothing_reads_nothing)
