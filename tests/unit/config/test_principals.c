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
                      ACTION_PULL | ACTION_PUSH | ACTION_META_READ);
    ck_assert_uint_eq(principal_actions(ada, "contoso", "app"),
                      ACTION_PULL | ACTION_META_READ | ACTION_CATALOG);
    ck_assert_uint_eq(principal_actions(ada, "contoso", "other"), 0);
    ck_assert_uint_eq(principal_registry_actions(ada, "contoso"), ACTION_CATALOG);
    ck_assert_uint_eq(principal_registry_actions(ada, "fabrikam"), 0);
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

#define TIMES "created: 2026-11-30T10:00:00Z, expires: '2027-11-30T10:00:00Z'"
#define TOKENS                                                                               \
    "version: 4\nusers:\n  - {name: ada, password_hash: '" HASH "'}\n"                       \
    "scope_maps:\n  - name: releases\n    registry: contoso\n    grants:\n"                  \
    "      - {repositories: [\"release/*\", app], actions: [content/read, metadata/read]}\n" \
    "      - {repositories: [evidence], actions: [content/add, audit/read]}\n"               \
    "tokens:\n  - {name: ci, registry: contoso, scope_map: releases, refresh: allowed, "     \
    "generation: 3}\n"                                                                       \
    "  - name: web\n    registry: contoso\n    scope_map: releases\n"                        \
    "    repositories: [\"release/web/*\", other]\n    lifetime: 5m\n    passwords:\n"       \
    "      - {id: 2, password_hash: '" YESCRYPT "', " TIMES "}\n"                            \
    "      - {id: 1, password_hash: '" HASH "'}\n"                                           \
    "  - {name: node, registry: contoso, scope_map: _pull, repositories: [\"*\"], enabled: " \
    "false}\n"                                                                               \
    "revoked:\n  - {id: 00ff, expires: 2026-12-01T00:00:00Z}\n"

static void tokens_judge(const struct principals *p)
{
    const struct principal *ci = principals_find(p, "ci"), *web = principals_find(p, "web"),
                           *node = principals_find(p, "node");
    const unsigned reads = ACTION_PULL | ACTION_META_READ;
    ck_assert_uint_eq(p->n_users, 1);
    ck_assert_uint_eq(p->n_tokens, 3);
    ck_assert(ci->token->refreshes && ci->enabled && !node->enabled && !node->password_hash);
    ck_assert_uint_eq(ci->generation, 3);
    ck_assert_uint_eq(principal_actions(ci, "contoso", "release/a/b"), reads);
    ck_assert_uint_eq(principal_actions(ci, "contoso", "evidence"), ACTION_ADD | ACTION_AUDIT);
    ck_assert_uint_eq(principal_actions(ci, "fabrikam", "app"), 0);
    ck_assert_uint_eq(principal_actions(web, "contoso", "release/web/ui"), reads);
    ck_assert_uint_eq(principal_actions(web, "contoso", "release/api"), 0);
    ck_assert_uint_eq(principal_actions(web, "contoso", "app"), 0);
    ck_assert_uint_eq(principal_actions(web, "contoso", "other"), 0); // not in the map
    // the audit log is in a rule of which the token's repositories leave nothing
    ck_assert_uint_eq(principal_registry_actions(ci, "contoso"), ACTION_AUDIT);
    ck_assert_uint_eq(principal_registry_actions(web, "contoso"), 0);
    ck_assert_uint_eq(principal_lifetime_s(web), 300);
    ck_assert_uint_eq(principal_lifetime_s(ci), ACCESS_LIFETIME_S);
    ck_assert(!principal_refreshes(web) && principal_refreshes(ci));
    ck_assert_uint_eq(web->token->n_passwords, 2);
    ck_assert_uint_eq(p->passwords_max, 2);
    ck_assert_uint_eq(web->token->passwords[0].id, 2);
    ck_assert_int_eq(web->token->passwords[0].expires_s, 1827568800);
    ck_assert_int_eq(web->token->passwords[1].expires_s, 0);
    ck_assert_uint_eq(principal_actions(node, "contoso", "any"), ACTION_PULL);
    ck_assert(principals_revoked(p, "00ff") && !principals_revoked(p, "00fe"));
}

START_TEST(named_tokens_and_scope_maps_are_read_and_written_back)
{
    struct principals *p = parse_ok(TOKENS);
    tokens_judge(p);
    struct buf text, again;
    ck_assert_int_eq(principals_format(p, &text), 0);
    struct principals *q = parse_ok(buf_cstr(&text));
    tokens_judge(q);
    ck_assert_int_eq(principals_format(q, &again), 0);
    ck_assert_str_eq(buf_cstr(&text), buf_cstr(&again));
    buf_done(&text);
    buf_done(&again);
    snapshot_unref(p);
    snapshot_unref(q);
}
END_TEST

// What the release before wrote is written by this one as it was, so that it can go back.
START_TEST(a_document_without_tokens_is_written_as_it_always_was)
{
    static const char before[] = "version: 3\nusers:\n  - name: \"ada\"\n    password_hash: \"" HASH
                                 "\"\n    generation: 2\n    enabled: true\n    grants:\n"
                                 "      - registry: \"contoso\"\n        repositories: [\"*\"]\n"
                                 "        actions: [pull, push, delete, catalog]\n";
    struct principals *p = parse_ok(before);
    struct buf text;
    ck_assert_int_eq(principals_format(p, &text), 0);
    ck_assert_str_eq(buf_cstr(&text), before);
    buf_done(&text);
    snapshot_unref(p);
}
END_TEST

#define FLEET(more) "users: []\ntokens:\n  - {name: t, " more "}\n"

START_TEST(tokens_of_the_fleet_have_rights_in_their_regions_and_in_no_registry)
{
    struct principals *p = parse_ok(
        FLEET("admin: [admin/read], regions: [eastus, north]") "  - "
                                                               "{name: d, admin: [admin/drain, "
                                                               "admin/read], regions: [eastus], "
                                                               "enabled: false}\n");
    struct buf text;
    ck_assert_int_eq(principals_format(p, &text), 0);
    struct principals *q = parse_ok(buf_cstr(&text));
    const struct principal *t = principals_find(q, "t"), *d = principals_find(q, "d");
    ck_assert_uint_eq(principal_admin_rights(t, "eastus"), ADMIN_MAY_READ);
    ck_assert_uint_eq(principal_admin_rights(t, "north"), ADMIN_MAY_READ);
    ck_assert_uint_eq(principal_admin_rights(t, "nort"), 0);
    ck_assert_uint_eq(principal_admin_rights(t, ""), 0);
    ck_assert_uint_eq(principal_admin_rights(d, "eastus"), 0);
    ck_assert_uint_eq(d->token->admin, ADMIN_MAY_READ | ADMIN_MAY_DRAIN);
    ck_assert_uint_eq(principal_actions(t, "", "any"), 0);
    ck_assert_uint_eq(principal_registry_actions(t, ""), 0);
    ck_assert_str_eq(t->token->registry, "");
    buf_done(&text);
    snapshot_unref(q);
    snapshot_unref(p);
}
END_TEST

START_TEST(words_of_admin_rights_are_their_own)
{
    unsigned bit;
    struct buf b;
    buf_init(&b, 0);
    admin_words_format(ADMIN_MAY_READ | ADMIN_MAY_DRAIN, ",", &b);
    ck_assert_str_eq(buf_cstr(&b), "admin/read,admin/drain");
    buf_done(&b);
    ck_assert_int_eq(admin_word_parse("admin/drain", &bit), 0);
    ck_assert_uint_eq(bit, ADMIN_MAY_DRAIN);
    ck_assert_int_eq(admin_word_parse("admin/write", &bit), ERR_INVAL);
    ck_assert_int_eq(grant_word_parse("admin/read", &bit), ERR_INVAL);
}
END_TEST

#define TOKEN(more) "users: []\ntokens:\n  - {name: t, registry: contoso, " more "}\n"
#define MAP(more) "users: []\nscope_maps:\n  - {name: m, registry: contoso, " more "}\n"
#define G "grants: [{repositories: [a], actions: [content/read]}]"

START_TEST(bad_tokens_say_why)
{
    static const struct {
        const char *text, *fragment;
    } rows[] = {
        {TOKEN("scope_map: m"), "token t: scope_map: registry contoso has no scope map m"},
        {FLEET("scope_map: _pull"), "token t: registry and scope_map: missing (or admin"},
        {FLEET("admin: [], regions: [eastus]"), "admin: has 0 items"},
        {FLEET("admin: [admin/read]"), "token t: regions: missing"},
        {FLEET("admin: [admin/read], regions: []"), "token t: regions: missing"},
        {FLEET("admin: [admin/write], regions: [eastus]"), "expected admin/read or admin/drain"},
        {FLEET("admin: [admin/read], regions: [East]"), "expected a region"},
        {FLEET("admin: [admin/read], regions: [eastus], refresh: allowed"), "no refresh tokens"},
        {TOKEN("admin: [admin/read], regions: [eastus]"), "admin stands in the place of registry"},
        {TOKEN("scope_map: _pull, repositories: [a], regions: [eastus]"),
         "token t: regions: only a token of the fleet"},
        {MAP("grants: [{repositories: [a], actions: [admin/read]}]"), "actions[0]: expected"},
        {TOKEN("scope_map: _pul"), "_pul is none of the ready-made ones: _pull,"},
        {TOKEN("scope_map: _pull"), "token t: repositories: missing"},
        {TOKEN("scope_map: _pull, repositories: [A]"), "expected a repository"},
        {TOKEN("scope_map: _pull, repositories: [a], lifetime: 2h"), "lifetime"},
        {TOKEN("scope_map: _pull, repositories: [a], lifetime: 59s"), "lifetime"},
        {TOKEN("scope_map: _pull, repositories: [a], refresh: maybe"), "refresh: expected"},
        {TOKEN("scope_map: _pull, repositories: [a], passwords: [{id: 3, password_hash: '" HASH
               "'}]"),
         "passwords[0].id"},
        {TOKEN("scope_map: _pull, repositories: [a], passwords: [{id: 1, password_hash: secret}]"),
         "token t: password_hash: expected a yescrypt"},
        {TOKEN("scope_map: _pull, repositories: [a], passwords: [{id: 1, password_hash: '" HASH
               "'}, {id: 1, password_hash: '" HASH "'}]"),
         "token t: password 1 is given twice"},
        {TOKEN("scope_map: _pull, repositories: [a], passwords: [{id: 1, password_hash: '" HASH
               "', expires: 2026-02-30T00:00:00Z}]"),
         "expires: expected a time in UTC"},
        {TOKEN("scope_map: _pull, repositories: [a], passwords: [{id: 1, password_hash: '" HASH
               "', expires: 1970-01-01T00:00:00Z}]"),
         "expires: expected a time in UTC"},
        {"users:\n  - {name: t, password_hash: '" HASH "'}\ntokens:\n"
         "  - {name: t, registry: contoso, scope_map: _pull, repositories: [a]}\n",
         "p.yaml:4: token t: a user has this name"},
        {MAP(G) "  - {name: m, registry: contoso, " G "}\n",
         "scope map m of registry contoso is given twice"},
        {MAP(G) "  - {name: _m, registry: contoso, " G "}\n", "the first no \"_\""},
        {MAP("grants: []"), "grants: has 0 items"},
        {MAP("grants: [{repositories: [a], actions: [pull]}]"), "actions[0]"},
        {"users: []\nrevoked:\n  - {id: x, expires: soon}\n", "expires: expected a time in UTC"},
        {"users: []\nrevoked:\n  - {id: a b, expires: 2026-12-01T00:00:00Z}\n",
         "revoked[0].id: expected"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct diag d;
        struct principals *p = NULL;
        diag_init(&d);
        ck_assert_msg(principals_parse(rows[i].text, strlen(rows[i].text), "p.yaml", &d, &p) ==
                          ERR_INVAL,
                      "row %zu", i);
        ck_assert_msg(d.n == 1 && strstr(d.lines[0], rows[i].fragment), "row %zu: %s", i,
                      d.n ? d.lines[0] : "?");
        ck_assert(!strstr(d.lines[0], "secret"));
        diag_done(&d);
    }
}
END_TEST

START_TEST(patterns_meet_and_are_gathered)
{
    static const struct {
        const char *a, *b, *both;
    } rows[] = {
        {"*", "a/*", "a/*"},   {"a/*", "*", "a/*"},   {"a/*", "a/b/*", "a/b/*"},
        {"a/*", "a/b", "a/b"}, {"a", "a", "a"},       {"a/*", "a/*", "a/*"},
        {"a", "a/*", NULL},    {"a/*", "ab/*", NULL}, {"a/b", "a/c", NULL},
        {"ab/*", "a/*", NULL}, {"*", "*", "*"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *both = pattern_common(rows[i].a, rows[i].b);
        ck_assert_msg(!both == !rows[i].both && (!both || !strcmp(both, rows[i].both)),
                      "row %zu: %s", i, both ? both : "nothing");
    }
    const char *list[2];
    size_t n = 0;
    ck_assert(patterns_add(list, &n, 2, "a/b"));
    ck_assert(patterns_add(list, &n, 2, "a/c"));
    ck_assert(patterns_add(list, &n, 2, "a/c"));
    ck_assert(!patterns_add(list, &n, 2, "d"));
    ck_assert(patterns_add(list, &n, 2, "a/*")); // in the place of both
    ck_assert_uint_eq(n, 1);
    ck_assert(patterns_add(list, &n, 2, "a/d"));
    ck_assert_uint_eq(n, 1);
}
END_TEST

// A region may meet a token of a principal that no document names: one from an issuer of identities.
START_TEST(subjects_of_tokens)
{
    char longest[300];
    snprintf(longest, sizeof longest, "oidc:gh:%0*d", 255 - 8, 1);
    ck_assert(principal_subject_ok("ada") && principal_subject_ok(longest));
    ck_assert(principal_subject_ok("oidc:gh:repo:org/app:ref:refs/heads/main"));
    static const char *const bad[] = {"",         "peer:eastus", "oidc:",      "oidc:gh",
                                      "oidc:gh:", "oidc::sub",   "oidc:gh:a b"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(!principal_subject_ok(bad[i]), "%s", bad[i]);
    snprintf(longest, sizeof longest, "oidc:gh:%0*d", 256 - 8, 1);
    ck_assert(!principal_subject_ok(longest));
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

static void memory_ends(const char *text)
{
    int rc = ERR_NOMEM;
    for (long i = 1; rc; i++) {
        struct principals *p = NULL;
        mem_fault_after(i);
        rc = principals_parse(text, strlen(text), "p.yaml", NULL, &p);
        mem_fault_after(0);
        ck_assert(rc == 0 || rc == ERR_NOMEM);
        ck_assert((rc == 0) == (p != NULL));
        snapshot_unref(p);
        ck_assert_int_lt(i, 10000);
    }
}

START_TEST(memory_may_end_anywhere)
{
    memory_ends(GOOD);
    memory_ends(TOKENS);
}
END_TEST

CHECK_MAIN("config/principals", users_and_grants_are_read, patterns, bad_documents_say_why,
           named_tokens_and_scope_maps_are_read_and_written_back,
           tokens_of_the_fleet_have_rights_in_their_regions_and_in_no_registry,
           words_of_admin_rights_are_their_own,
           a_document_without_tokens_is_written_as_it_always_was, bad_tokens_say_why,
           patterns_meet_and_are_gathered, subjects_of_tokens, file_must_be_private_and_writes_back,
           memory_may_end_anywhere)
