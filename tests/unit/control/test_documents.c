// SPDX-License-Identifier: Apache-2.0
// Trees of documents: compared, written, told in words, merged; topologies written out again.
#include "base/mem.h"
#include "config/reserved.h"
#include "control/document_merge.h"
#include "control/document_rows.h"
#include "control/document_text.h"
#include "tests/support/check_main.h"
#include "tests/unit/control/registries.h"

#include <check.h>
#include <string.h>

static struct arena arena;

static const struct doc_node *tree(const char *text)
{
    struct doc_node *root = NULL;
    struct diag d;
    if (!text)
        return NULL;
    diag_init(&d);
    int rc = doc_parse(text, strlen(text), "test", &arena, &d, &root);
    ck_assert_msg(rc == 0, "%s: %s", text, d.n ? d.lines[0] : "?");
    diag_done(&d);
    return root;
}

static const char *text_of(const struct doc_node *n)
{
    static char out[4096];
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    if (!n)
        return "(none)";
    document_put(&b, n, 0);
    snprintf(out, sizeof out, "%s", buf_cstr(&b));
    return out;
}

START_TEST(what_is_written_is_read_as_it_was)
{
    static const char *const texts[] = {
        "a: 1\nb:\n  - c: x\n    d: [1, 2, '3 4']\n  - c: \"quo\\\"ted \\\\ \"\ne: {}\nf: []\n",
        "- a\n- - b\n  - c\n- {}\n- d: {e: {f: g}}\n",
        "text: 'v=spf1 -all'\nempty: ''\ndash: '-'\ntrue: 'true'\nip: '2001:db8::1'\n"
        "cidr: 10.0.0.0/8\nstar: '*'\nkey: MCowBQYDK2VwAyEA+/==\nutf: 'é'\n",
    };
    arena_init(&arena, 0);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const struct doc_node *was = tree(texts[i]);
        char once[4096];
        snprintf(once, sizeof once, "%s", text_of(was));
        const struct doc_node *is = tree(once);
        ck_assert_msg(document_equal(was, is), "%s\nbecame\n%s", texts[i], once);
        ck_assert_str_eq(text_of(is), once);
    }
    arena_done(&arena);
}
END_TEST

START_TEST(quotes_and_the_order_of_keys_do_not_matter)
{
    arena_init(&arena, 0);
    ck_assert(document_equal(tree("a: 1\nb: 2\n"), tree("b: '2'\na: \"1\"\n")));
    ck_assert(!document_equal(tree("a: [1, 2]\n"), tree("a: [2, 1]\n")));
    ck_assert(!document_equal(tree("a: 1\n"), tree("a: 1\nb: 2\n")));
    ck_assert(!document_equal(tree("a: 1\n"), NULL));
    ck_assert(document_equal(NULL, NULL));
    arena_done(&arena);
}
END_TEST

static int put_words(void *ctx, const char *path, const char *was, const char *is)
{
    buf_printf(ctx, "%s: %s -> %s\n", path, was ? was : "(none)", is ? is : "(none)");
    return 0;
}

START_TEST(differences_are_told_by_member)
{
    AUTO_BUF struct buf b;
    arena_init(&arena, 0);
    buf_init(&b, 0);
    const struct doc_node *was = tree("name: x\nreplicas:\n  - { region: a, weight: 1 }\n"
                                      "  - { region: b }\nlist: [1]\n");
    const struct doc_node *is = tree("name: x\nreplicas:\n  - { region: a, weight: 2 }\n"
                                     "  - { region: c }\nlist: [1, 2]\nnew: { deep: yes }\n");
    ck_assert_int_eq(document_words(&arena, was, is, put_words, &b), 0);
    ck_assert_str_eq(buf_cstr(&b), "replicas/a/weight: 1 -> 2\n"
                                   "replicas/b: {region: b} -> (none)\n"
                                   "replicas/c: (none) -> {region: c}\n"
                                   "list: [1] -> [1, 2]\n"
                                   "new: (none) -> {deep: yes}\n");
    buf_clear(&b);
    ck_assert_int_eq(document_words(&arena, tree("l: [{ name: a }, { name: b }]\n"),
                                    tree("l: [{ name: b }, { name: a }]\n"), put_words, &b),
                     0);
    ck_assert_str_eq(buf_cstr(&b), "l (order): [{name: a}, {name: b}] -> [{name: b}, {name: a}]\n");
    arena_done(&arena);
}
END_TEST

// ---- merging ----

static int put_side(void *ctx, enum document_side side, const char *path,
                    const struct doc_node *base, const struct doc_node *theirs,
                    const struct doc_node *ours)
{
    static const char *const marks[] = {"ours", "theirs", "conflict"};
    (void)base;
    (void)theirs;
    (void)ours;
    buf_printf(ctx, "%s %s\n", marks[side], path);
    return 0;
}

static const struct {
    const char *base, *theirs, *ours;
    // told, and what comes out for nobody, the file, the commands
    const char *told, *nobody, *file, *commands;
} merges[] = {
    {"a: 1\n", "a: 1\n", "a: 2\n", "ours a\n", "a: 2\n", "a: 2\n", "a: 2\n"},
    {"a: 1\n", "a: 2\n", "a: 1\n", "theirs a\n", "a: 2\n", "a: 2\n", "a: 2\n"},
    {"a: 1\n", "a: 2\n", "a: 2\n", "", "a: 2\n", "a: 2\n", "a: 2\n"},
    {"a: 1\n", "a: 2\n", "a: 3\n", "conflict a\n", "a: 2\n", "a: 3\n", "a: 2\n"},
    {"a: 1\nb: 1\n", "a: 2\nb: 1\n", "a: 1\nb: 2\n", "theirs a\nours b\n", "a: 2\nb: 2\n",
     "a: 2\nb: 2\n", "a: 2\nb: 2\n"},
    // one took it away, the other changed it
    {"a: 1\nb: 1\n", "b: 1\n", "a: 2\nb: 1\n", "conflict a\n", "b: 1\n", "a: 2\nb: 1\n", "b: 1\n"},
    // both made it, otherwise
    {"b: 1\n", "b: 1\na: 1\n", "b: 1\na: 2\n", "conflict a\n", "b: 1\na: 1\n", "b: 1\na: 2\n",
     "b: 1\na: 1\n"},
    {NULL, "a: 1\n", NULL, "theirs \n", "a: 1\n", "a: 1\n", "a: 1\n"},
    {"a: 1\n", "a: 1\n", NULL, "ours \n", "(none)", "(none)", "(none)"},
    // lists by name
    {"l:\n  - region: a\n    w: 1\n", "l:\n  - region: a\n    w: 1\n  - region: b\n",
     "l:\n  - region: c\n  - region: a\n    w: 2\n", "ours l/c\nours l/a/w\ntheirs l/b\n",
     "l:\n  - region: c\n  - region: a\n    w: 2\n  - region: b\n",
     "l:\n  - region: c\n  - region: a\n    w: 2\n  - region: b\n",
     "l:\n  - region: c\n  - region: a\n    w: 2\n  - region: b\n"},
    // other lists whole
    {"l: [1]\n", "l: [1, 2]\n", "l: [3]\n", "conflict l\n", "l:\n  - 1\n  - 2\n", "l:\n  - 3\n",
     "l:\n  - 1\n  - 2\n"},
};

START_TEST(three_trees_are_merged)
{
    arena_init(&arena, 0);
    for (size_t i = 0; i < ARRAY_LEN(merges); i++) {
        const char *want[] = {merges[i].nobody, merges[i].file, merges[i].commands};
        for (unsigned wins = 0; wins < 3; wins++) {
            AUTO_BUF struct buf told;
            const struct doc_node *out;
            buf_init(&told, 0);
            struct document_merge m = {.arena = &arena,
                                       .wins = (enum document_winner)wins,
                                       .tell = put_side,
                                       .ctx = &told};
            ck_assert_int_eq(document_merge(&m, tree(merges[i].base), tree(merges[i].theirs),
                                            tree(merges[i].ours), &out),
                             0);
            ck_assert_str_eq(buf_cstr(&told), merges[i].told);
            ck_assert_str_eq(text_of(out), want[wins]);
            ck_assert_int_eq(m.n_conflicts > 0, strstr(merges[i].told, "conflict") != NULL);
        }
    }
    arena_done(&arena);
}
END_TEST

// ---- topologies ----

START_TEST(an_exported_document_is_the_same_topology)
{
    AUTO_BUF struct buf b, out, again;
    buf_init(&b, 0);
    buf_init(&out, 0);
    buf_init(&again, 0);
    registries_document(&b, 300, 3);
    buf_str(&b, "reserved:\n  - { name: wingtip, owner: ada, since: '2026-01-01T00:00:00Z', until: "
                "'2026-04-01T00:00:00Z', incarnation: 3 }\n");
    // moves from stamps that are gone mean nothing any more, and are not written
    struct topology *first = registries_parse(TOPOLOGY_FULL, &b);
    ck_assert_int_eq(document_export(first, &out), 0);
    struct topology *t = registries_parse(TOPOLOGY_FULL, &out);
    snapshot_unref(first);
    ck_assert_int_eq(document_export(t, &again), 0);
    ck_assert(!strcmp(buf_cstr(&out), buf_cstr(&again)));
    struct topology *u = registries_parse(TOPOLOGY_FULL, &again);
    registries_equal(t, u);
    ck_assert_uint_eq(t->version, u->version);
    ck_assert_str_eq(topology_reserved(u, "wingtip")->owner, "ada");
    struct catalogue_iter it = {0};
    for (const struct registry *r; (r = topology_next(t, &it));)
        ck_assert(document_same_registry(t, r, u, topology_registry(u, r->name)));
    snapshot_unref(t);
    snapshot_unref(u);
}
END_TEST

START_TEST(rows_are_found_and_told_apart)
{
    AUTO_BUF struct buf b;
    const struct doc_node *row;
    char name[64];
    arena_init(&arena, 0);
    buf_init(&b, 0);
    registries_document(&b, 10, 5);
    struct topology *t = registries_parse(TOPOLOGY_FULL, &b);
    struct htab *owners = document_private_owners(t);
    ck_assert_uint_eq(htab_count(owners), 2);
    const char *owner = htab_get(owners, "pe5", 3);
    ck_assert_str_eq(owner, registries_name(5, name));
    ck_assert_int_eq(document_private(&arena, t, owner, "pe5", &row), 0);
    ck_assert_str_eq(doc_get(row, "view")->text, "corp");
    ck_assert_int_eq(document_private(&arena, t, owner, "pe0", &row), 0);
    ck_assert_ptr_null(row);
    ck_assert_int_eq(document_registry(&arena, t, "nosuch", &row), 0);
    ck_assert_ptr_null(row);
    ck_assert_int_eq(document_registry(&arena, t, name, &row), 0);
    ck_assert_str_eq(doc_get(row, "name")->text, name);
    ck_assert_int_eq(document_frame(&arena, t, &row), 0);
    ck_assert_ptr_nonnull(doc_get(row, "regions"));
    ck_assert_ptr_null(doc_get(row, "registries"));
    htab_free(owners);
    snapshot_unref(t);
    arena_done(&arena);
}
END_TEST

CHECK_MAIN("control/documents", what_is_written_is_read_as_it_was,
           quotes_and_the_order_of_keys_do_not_matter, differences_are_told_by_member,
           three_trees_are_merged, an_exported_document_is_the_same_topology,
           rows_are_found_and_told_apart)
