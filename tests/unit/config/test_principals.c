// SPDX-License-Identifier: Apache-2.0
// config/principals: what is read, what is refused, who may do what, and the way back to a file.
#include "config/principals.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/mem_test.h"
#include "tests/support/check_main.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HASH "$2b$05$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234"
#define YESCRYPT "$y$j9T$abcdefghijklmnop$ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefg"
#define GOOD                                                                           \
    "version: 3\nusers:\n  - name: ada\n    password_hash: \"" HASH "\"\n"             \
    "    generation: 2\n    grants:\n"                                                 \
    "      - {registry: contoso, repositories: [\"team/*\"], actions: [pull, push]}\n" \
    "      - {registry: contoso, repositories: [app], actions: [pull, catalog]}\n"     \
    "  - name: bob\\\"\n    password_hash: '" YESCRYPT "'\n    enabled: false\n"

static struct principals *parse_ok(const char *text)
{
    struct diag d;
    struct principals *p = NULL;
    diag_init(&d);
    int rc = principals_parse(text, strlen(text), "p.yaml", &d, &p);
    ck_assert_msg(rc == 0, "%s", d.n ? d.lines[0] : "?");
    diag_done(&d);
    return p;
}

START_TEST(users_and_grants_are_read)
{
    struct principals *p = parse_ok(GOOD);
    ck_assert_uint_eq(p->version, 3);
    ck_assert_uint_eq(p->n_users, 2);
    const struct principal *ada = principals_find(p, "ada");
    ck_assert_uint_eq(ada->generation, 2);
    ck_assert(ada->enabled);
    ck_assert_str_eq(ada->password_hash, HASH);
    ck_assert(!p->users[1].enabled);
    ck_assert_ptr_null(principals_find(p, "Ada"));
    ck_assert_uint_eq(principal_actions(ada, "contoso", "team/web"),
                      ACTION_PULL | ACTION_PUSH | ACTION_CATALOG);
    ck_assert_uint_eq(principal_actions(ada, "contoso", "app"), ACTION_PULL | ACTION_CATALOG);
    ck_assert_uint_eq(principal_actions(ada, "contoso", "other"), ACTION_CATALOG);
    ck_assert_uint_eq(principal_actions(ada, "fabrikam", "app"), 0);
    snapshot_unref(p);
}
END_TEST

START_TEST(patterns)
{
    ck_assert(pattern_matches("*", "a/b/c"));
    ck_assert(pattern_matches("a/*", "a/b"));
    ck_assert(pattern_matches("a/*", "a/b/c"));
    ck_assert(!pattern_matches("a/*", "a"));
    ck_assert(!pattern_matches("a/*", "a/"));
    ck_assert(!pattern_matches("a/*", "ab/c"));
    ck_assert(pattern_matches("a/b", "a/b"));
    ck_assert(!pattern_matches("a/b", "a/b/c"));
    unsigned a = 77;
    ck_assert_int_eq(action_parse("push,", 4, &a), 0);
    ck_assert_uint_eq(a, ACTION_PUSH);
    ck_assert_int_eq(action_parse("pus", 3, &a), ERR_INVAL);
    ck_assert_int_eq(action_parse("*", 1, &a), ERR_INVAL);
    ck_assert_uint_eq(a, ACTION_PUSH);
}
END_TEST

#define USER(name, hash, grants) \
    "users:\n  - {name: " name ", password_hash: '" hash "', grants: [" grants "]}\n"
#define GRANT(reg, repo, act) "{registry: " reg ", repositories: [" repo "], actions: [" act "]}"

START_TEST(bad_documents_say_why)
{
    static const struct {
        const char *text, *fragment;
    } rows[] = {
        {USER("ada", "secret", ""), "p.yaml:2: user ada: password_hash: expected a yescrypt"},
        {USER("ada", "$6$abc$def", ""), "expected a yescrypt"},
        {USER("ada", "$1$abcdefgh$0123456789012345678901", ""), "expected a yescrypt"},
        {USER("ada", "$2b$05$short", ""), "expected a yescrypt"},
        {USER("'a:b'", HASH, ""), "users[0].name: expected 1 to 128 printable"},
        {USER("'a b'", HASH, ""), "users[0].name: expected"},
        {USER("''", HASH, ""), "users[0].name: expected"},
        {USER("ada", HASH, "") "  - {name: ada, password_hash: '" HASH "'}\n",
         "p.yaml:3: user ada is given twice"},
        {USER("ada", HASH, GRANT("cont", "app", "pull")),
         "users[0].grants[0].registry: expected a registry name"},
        {USER("ada", HASH, GRANT("contoso", "\"a*\"", "pull")),
         "repositories[0]: expected a repository, a prefix"},
        {USER("ada", HASH, GRANT("contoso", "\"*/a\"", "pull")),
         "repositories[0]: expected a repository"},
        {USER("ada", HASH, GRANT("contoso", "\"a/*/b\"", "pull")),
         "repositories[0]: expected a repository"},
        {USER("ada", HASH, GRANT("contoso", "\"/*\"", "pull")),
         "repositories[0]: expected a repository"},
        {USER("ada", HASH, GRANT("contoso", "App", "pull")),
         "repositories[0]: expected a repository"},
        {USER("ada", HASH, GRANT("contoso", "app", "pul")), "did you mean pull?"},
        {USER("ada", HASH, GRANT("contoso", "app", "")), "actions: has 0 items"},
        {"user: []\n", "user: unknown key; did you mean users?"},
        {"", "the file is empty"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct diag d;
        struct principals *p = NULL;
        diag_init(&d);
        ck_assert_int_eq(principals_parse(rows[i].text, strlen(rows[i].text), "p.yaml", &d, &p),
                         ERR_INVAL);
        ck_assert_ptr_null(p);
        ck_assert_msg(d.n == 1 && strstr(d.lines[0], rows[i].fragment), "row %zu: %s", i,
                      d.n ? d.lines[0] : "?");
        ck_assert(!strstr(d.lines[0], "secret"));
        diag_done(&d);
    }
}
END_TEST

START_TEST(file_must_be_private_and_writes_back)
{
    char dir[] = "/tmp/principals.XXXXXX", path[64];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/p.yaml", dir);
    ck_assert_int_eq(file_write_atomic(path, GOOD, strlen(GOOD), 0640), 0);
    struct diag d;
    struct principals *p = NULL, *q = NULL;
    diag_init(&d);
    ck_assert_int_eq(principals_load(path, &d, &p), ERR_DENIED);
    ck_assert_ptr_nonnull(strstr(d.lines[0], "run: chmod 600 "));
    ck_assert_int_eq(chmod(path, 0400), 0);
    ck_assert_int_eq(principals_load(path, &d, &p), 0);
    ck_assert_int_eq(principals_write(p, path), 0);
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(principals_load(path, &d, &q), 0);
    ck_assert_uint_eq(q->version, p->version);
    ck_assert_uint_eq(q->n_users, p->n_users);
    for (size_t i = 0; i < p->n_users; i++) {
        const struct principal *a = &p->users[i], *b = &q->users[i];
        ck_assert_str_eq(a->name, b->name);
        ck_assert_str_eq(a->password_hash, b->password_hash);
        ck_assert_uint_eq(a->generation, b->generation);
        ck_assert_int_eq(a->enabled, b->enabled);
        ck_assert_uint_eq(a->n_grants, b->n_grants);
        for (size_t k = 0; k < a->n_grants; k++) {
            ck_assert_uint_eq(a->grants[k].actions, b->grants[k].actions);
            ck_assert_str_eq(a->grants[k].repositories[0], b->grants[k].repositories[0]);
        }
    }
    struct principals bad = *p;
    struct principal user = {.name = "eve", .password_hash = "plain"};
    bad.users = &user;
    bad.n_users = 1;
    ck_assert_int_eq(principals_write(&bad, path), ERR_INVAL);
    struct principals *still = NULL;
    ck_assert_int_eq(principals_load(path, &d, &still), 0);
    ck_assert_uint_eq(still->n_users, 2);
    snapshot_unref(still);
    snapshot_unref(p);
    snapshot_unref(q);
    diag_done(&d);
    ck_assert_int_eq(dir_remove_tree(dir), 0);
}
END_TEST

START_TEST(memory_may_end_anywhere)
{
    int rc = ERR_NOMEM;
    for (long i = 1; rc; i++) {
        struct principals *p = NULL;
        mem_fault_after(i);
        rc = principals_parse(GOOD, strlen(GOOD), "p.yaml", NULL, &p);
        mem_fault_after(0);
        ck_assert(rc == 0 || rc == ERR_NOMEM);
        ck_assert((rc == 0) == (p != NULL));
        snapshot_unref(p);
        ck_assert_int_lt(i, 10000);
    }
}
END_TEST

CHECK_MAIN("config/principals", users_and_grants_are_read, patterns, bad_documents_say_why,
           file_must_be_private_and_writes_back, memory_may_end_anywhere)
