// SPDX-License-Identifier: Apache-2.0
// control/principals_change: each verb on a document, what it refuses, and what goes with a registry.
#include "control/principals_change.h"

#include "base/err.h"
#include "base/mem.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

#define HASH "$2b$04$abcdefghijklmnopqrstuuQnH0m5CbLpZ6HOaB0sBBBBBBBBBBBBB"
#define OTHER "$2b$04$zzcdefghijklmnopqrstuuQnH0m5CbLpZ6HOaB0sBBBBBBBBBBBBB"
#define NOW_MS 1800000000000

static const char before[] =
    "version: 7\nusers:\n  - {name: ada, password_hash: '" HASH "', generation: 3, grants: ["
    "{registry: contoso, repositories: ['*'], actions: [pull, push]}, "
    "{registry: fabrikam, repositories: [web], actions: [pull]}]}\n"
    "  - {name: bob, password_hash: '" HASH "'}\n"
    "scope_maps:\n  - {name: releases, registry: contoso, grants: [{repositories: ['release/*'], "
    "actions: [content/read]}]}\n"
    "tokens:\n  - {name: ci, registry: contoso, scope_map: releases, passwords: [{id: 1, "
    "password_hash: '" HASH "'}]}\n"
    "  - {name: node, registry: fabrikam, scope_map: _pull, repositories: ['*'], passwords: "
    "[{id: 2, password_hash: '" HASH "'}]}\n"
    "  - {name: watcher, admin: [admin/read], regions: [eastus]}\n"
    "revoked:\n  - {id: old, expires: 2027-01-15T06:59:00Z}\n"
    "  - {id: later, expires: 2027-01-15T09:00:00Z}\n";

static bool known(void *ctx, const char *name)
{
    (void)ctx;
    return !strcmp(name, "contoso") || !strcmp(name, "fabrikam");
}

static char said[1024]; // what was done, or the first sentence of what is wrong

// `verb`: "user create"; *out NULL when it fails.
static int change(const char *text, const char *verb, const char *object, const char *arguments,
                  struct principals **out)
{
    char noun[32] = "";
    const char *space = strchr(verb, ' ');
    snprintf(noun, sizeof noun, "%.*s", (int)(space - verb), verb);
    json_t *args = NULL;
    if (arguments) {
        args = json_loads(arguments, 0, NULL);
        ck_assert_msg(args != NULL, "%s", arguments);
    }
    const struct principals_ask ask = {.noun = noun,
                                       .word = space + 1,
                                       .object = object,
                                       .arguments = args,
                                       .now_ms = NOW_MS,
                                       .registry_known = known};
    struct diag d;
    struct buf b;
    char *what = NULL;
    *out = NULL;
    diag_init(&d);
    int rc = principals_change(bytes_str(text), &ask, &d, &b, &what);
    snprintf(said, sizeof said, "%s", what ? what : d.n ? d.lines[0] : "");
    ck_assert_msg(!rc || d.n == 1 || rc == ERR_INVAL, "%s: %zu sentences", verb, d.n);
    if (!rc) {
        ck_assert_int_eq(principals_parse(b.p, b.n, "p", NULL, out), 0);
        buf_done(&b);
    }
    diag_done(&d);
    free(what);
    json_decref(args);
    return rc;
}

static struct principals *changed(const char *verb, const char *object, const char *arguments)
{
    struct principals *p;
    int rc = change(before, verb, object, arguments, &p);
    ck_assert_msg(!rc, "%s %s %s: %s", verb, object, arguments ? arguments : "", said);
    ck_assert_uint_eq(p->version, 8);
    // what has ended by itself goes with any edit, an hour after it
    ck_assert(!principals_revoked(p, "old") && principals_revoked(p, "later"));
    return p;
}

START_TEST(users_are_made_changed_and_taken_away)
{
    struct principals *p =
        changed("user create", "carl",
                "{\"passwordHash\":\"" HASH "\",\"registry\":\"contoso\",\"actions\":[\"pull\"]}");
    const struct principal *u = principals_find(p, "carl");
    // above that of an earlier carl, whose refresh tokens may still be about
    ck_assert_uint_eq(u->generation, 8);
    ck_assert_uint_eq(principal_actions(u, "contoso", "any"), ACTION_PULL | ACTION_META_READ);
    snapshot_unref(p);
    p = changed("user passwd", "ada", "{\"passwordHash\":\"" OTHER "\"}");
    u = principals_find(p, "ada");
    ck_assert_str_eq(u->password_hash, OTHER);
    ck_assert_uint_eq(u->generation, 4);
    snapshot_unref(p);
    p = changed("user grant", "bob", "{\"registry\":\"fabrikam\",\"repositories\":\"a,b/*\"}");
    u = principals_find(p, "bob");
    ck_assert_uint_eq(u->generation, 1); // nothing was taken away
    ck_assert_uint_eq(principal_actions(u, "fabrikam", "b/c"),
                      ACTION_PULL | ACTION_META_READ | ACTION_PUSH);
    ck_assert_uint_eq(principal_actions(u, "fabrikam", "c"), 0);
    snapshot_unref(p);
    p = changed("user revoke", "ada", NULL);
    u = principals_find(p, "ada");
    ck_assert_uint_eq(u->generation, 4);
    ck_assert_uint_eq(u->n_grants, 2);
    snapshot_unref(p);
    p = changed("user revoke", "ada", "{\"registry\":\"contoso\"}");
    u = principals_find(p, "ada");
    ck_assert_uint_eq(u->n_grants, 1);
    ck_assert_uint_eq(u->generation, 4);
    snapshot_unref(p);
    p = changed("user update", "ada", "{\"enabled\":false}");
    u = principals_find(p, "ada");
    ck_assert(!u->enabled);
    ck_assert_uint_eq(u->generation, 4);
    snapshot_unref(p);
    p = changed("user delete", "ada", NULL);
    ck_assert_ptr_null(principals_find(p, "ada"));
    ck_assert_ptr_nonnull(principals_find(p, "bob"));
    ck_assert_str_eq(said, "user ada removed");
    snapshot_unref(p);
    p = changed("user import", "",
                "{\"users\":[{\"name\":\"bob\",\"passwordHash\":\"" OTHER
                "\"},{\"name\":\"ci\",\"passwordHash\":\"" OTHER
                "\"},{\"name\":\"dora\",\"passwordHash\":\"" OTHER "\"}]}");
    ck_assert_str_eq(said, "1 users taken over, 2 were there already");
    ck_assert_str_eq(principals_find(p, "bob")->password_hash, HASH);
    ck_assert_str_eq(principals_find(p, "dora")->password_hash, OTHER);
    snapshot_unref(p);
}
END_TEST

START_TEST(tokens_and_scope_maps_likewise)
{
    struct principals *p = changed(
        "token create", "shop",
        "{\"registry\":\"contoso\",\"scopeMap\":\"releases\",\"repositories\":[\"release/shop\"],"
        "\"lifetime\":\"5m\",\"passwords\":[{\"id\":1,\"passwordHash\":\"" HASH
        "\",\"expires\":\"2027-05-01T00:00:00Z\"}]}");
    const struct principal *t = principals_find(p, "shop");
    ck_assert_uint_eq(t->token->lifetime_s, 300);
    ck_assert_uint_eq(t->token->passwords[0].created_s, NOW_MS / 1000);
    ck_assert_uint_eq(principal_actions(t, "contoso", "release/shop"), ACTION_PULL);
    snapshot_unref(p);
    p = changed("token create", "drainer",
                "{\"admin\":[\"admin/read\",\"admin/drain\"],\"regions\":[\"eastus\"],"
                "\"passwords\":[{\"id\":1,\"passwordHash\":\"" HASH "\"}]}");
    t = principals_find(p, "drainer");
    ck_assert_uint_eq(principal_admin_rights(t, "eastus"), ADMIN_MAY_READ | ADMIN_MAY_DRAIN);
    snapshot_unref(p);
    p = changed("token update", "watcher", "{\"regions\":\"eastus,north\",\"enabled\":false}");
    t = principals_find(p, "watcher");
    ck_assert_uint_eq(t->token->n_regions, 2);
    ck_assert(!t->enabled);
    snapshot_unref(p);
    p = changed("token update", "ci", "{\"scopeMap\":\"_push\",\"repositories\":[\"a\"]}");
    t = principals_find(p, "ci");
    ck_assert(principal_actions(t, "contoso", "a") & ACTION_PUSH);
    ck_assert_uint_eq(t->token->n_passwords, 1);
    snapshot_unref(p);
    p = changed("token credential generate", "ci", "{\"id\":2,\"passwordHash\":\"" OTHER "\"}");
    ck_assert_uint_eq(principals_find(p, "ci")->token->n_passwords, 2);
    snapshot_unref(p);
    p = changed("token credential delete", "ci", "{\"id\":1}");
    ck_assert_uint_eq(principals_find(p, "ci")->token->n_passwords, 0);
    snapshot_unref(p);
    p = changed("token delete", "ci", NULL);
    ck_assert_ptr_null(principals_find(p, "ci"));
    snapshot_unref(p);
    p = changed("token revoke", "9f86", "{\"expires\":\"2027-02-01T00:00:00Z\"}");
    ck_assert(principals_revoked(p, "9f86"));
    snapshot_unref(p);
    p = changed("token revoke", "9f86", "{\"expires\":\"2099-02-01T00:00:00Z\"}");
    ck_assert_int_eq(p->revoked[p->n_revoked - 1].expires_s, NOW_MS / 1000 + 90 * 86400);
    snapshot_unref(p);
    p = changed("scope-map create", "logs",
                "{\"registry\":\"contoso\",\"repositories\":\"logs\",\"actions\":\"content/add\"}");
    ck_assert_ptr_nonnull(principals_scope_map(p, "contoso", "logs"));
    snapshot_unref(p);
    p = changed("scope-map update", "releases",
                "{\"registry\":\"contoso\",\"repositories\":\"x\",\"actions\":\"metadata/read\"}");
    ck_assert_uint_eq(principals_scope_map(p, "contoso", "releases")->n_grants, 2);
    snapshot_unref(p);
}
END_TEST

START_TEST(what_is_wrong_is_refused_with_its_reason)
{
    static const struct {
        const char *verb, *object, *arguments;
        int rc;
        const char *fragment;
    } rows[] = {
        {"user rename", "ada", NULL, ERR_INVAL, "there is no verb user rename"},
        {"user create", "ada", "{\"passwordHash\":\"" HASH "\"}", ERR_CONFLICT, "there already"},
        {"user create", "ci", "{\"passwordHash\":\"" HASH "\"}", ERR_CONFLICT, "named token"},
        {"user create", "a b", "{\"passwordHash\":\"" HASH "\"}", ERR_INVAL, "name"},
        {"user create", "new", NULL, ERR_INVAL, "passwordHash: missing"},
        {"user create", "new", "{\"passwordHash\":\"hunter2 in clear\"}", ERR_INVAL,
         "passwordHash"},
        {"user create", "new", "{\"passwordHash\":\"" HASH "\",\"password\":\"x\"}", ERR_INVAL,
         "password: user create does not know it"},
        {"user create", "new", "{\"passwordHash\":\"" HASH "\",\"actions\":\"pull\"}", ERR_INVAL,
         "registry: missing"},
        {"user grant", "ada", "{\"registry\":\"nothere\"}", ERR_NOTFOUND, "no registry nothere"},
        {"user grant", "ada", "{\"registry\":\"contoso\",\"actions\":\"fly\"}", ERR_INVAL,
         "fly is"},
        {"user grant", "ada", "{\"registry\":\"contoso\",\"repositories\":\"A\"}", ERR_INVAL,
         "repositories: expected a repository"},
        {"user grant", "ada", "{\"registry\":\"contoso\",\"repositories\":[]}", ERR_INVAL,
         "give both"},
        {"user grant", "ada", "{\"registry\":\"contoso\\\"\\n  - x\"}", ERR_INVAL, "printable"},
        {"user grant", "ada", "{\"registry\":\"x\\\", y: \\\"z\"}", ERR_INVAL,
         "registry: expected"},
        {"user grant", "nobody", "{\"registry\":\"contoso\"}", ERR_NOTFOUND, "no user nobody"},
        {"user grant", "ada", "{\"registry\":\"contoso\"}", ERR_EXISTS, "nothing would change"},
        {"user revoke", "bob", "{\"registry\":\"contoso\"}", ERR_NOTFOUND, "no grant on contoso"},
        {"user update", "ada", "{\"enabled\":true}", ERR_EXISTS, "nothing would change"},
        {"user update", "ada", "{\"enabled\":\"maybe\"}", ERR_INVAL, "enabled: expected"},
        {"user import", "", "{\"users\":[{\"name\":\"x\"}]}", ERR_INVAL, "passwordHash: missing"},
        {"user import", "", "{\"users\":[]}", ERR_EXISTS, "nothing would change"},
        {"token create", "t", "{\"registry\":\"contoso\",\"passwords\":[]}", ERR_INVAL,
         "scopeMap: missing"},
        {"token create", "t",
         "{\"registry\":\"contoso\",\"scopeMap\":\"releases\",\"admin\":\"admin/read\","
         "\"regions\":\"eastus\",\"passwords\":[]}",
         ERR_INVAL, "registry: not of a token of the fleet"},
        {"token create", "t", "{\"admin\":\"admin/write\",\"regions\":\"eastus\",\"passwords\":[]}",
         ERR_INVAL, "admin/write"},
        {"token create", "t", "{\"admin\":\"admin/read\",\"passwords\":[]}", ERR_INVAL, "regions"},
        {"token create", "t", "{\"registry\":\"contoso\",\"scopeMap\":\"none\",\"passwords\":[]}",
         ERR_INVAL, "no scope map none"},
        {"token create", "t",
         "{\"registry\":\"contoso\",\"scopeMap\":\"_pull\",\"repositories\":\"a\",\"passwords\":"
         "[{\"id\":1,\"passwordHash\":\"" HASH "\",\"expires\":\"2020-01-01T00:00:00Z\"}]}",
         ERR_INVAL, "a time to come"},
        {"token create", "ada", "{\"passwords\":[]}", ERR_CONFLICT, "a user has the name"},
        {"token update", "ci", "{\"regions\":\"eastus\"}", ERR_INVAL, "regions: not of a token of"},
        {"token update", "watcher", "{\"refresh\":\"allowed\"}", ERR_INVAL, "refresh: not of"},
        {"token update", "ci", "{\"registry\":\"fabrikam\"}", ERR_INVAL, "registry stays"},
        {"token update", "ci", "{\"lifetime\":\"2h\"}", ERR_INVAL, "from 1m to 1h"},
        {"token credential generate", "ci", "{\"id\":3,\"passwordHash\":\"" HASH "\"}", ERR_INVAL,
         "1 or 2"},
        {"token credential delete", "ci", "{\"id\":2}", ERR_NOTFOUND, "no such password"},
        {"token revoke", "later", NULL, ERR_EXISTS, "is revoked already"},
        {"scope-map create", "releases",
         "{\"registry\":\"contoso\",\"repositories\":\"a\",\"actions\":\"content/read\"}",
         ERR_CONFLICT, "use update"},
        {"scope-map create", "x",
         "{\"registry\":\"contoso\",\"repositories\":\"a\",\"actions\":"
         "\"pull\"}",
         ERR_INVAL, "not an action of a scope map"},
        {"scope-map create", "x",
         "{\"registry\":\"contoso\",\"repositories\":\"a\",\"actions\":\"admin/read\"}", ERR_INVAL,
         "not an action"},
        {"scope-map update", "_pull",
         "{\"registry\":\"contoso\",\"repositories\":\"a\",\"actions\":\"content/read\"}",
         ERR_CONFLICT, "ready-made"},
        {"scope-map delete", "releases", "{\"registry\":\"contoso\"}", ERR_CONFLICT,
         "token ci has the scope map releases"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct principals *p;
        int rc = change(before, rows[i].verb, rows[i].object, rows[i].arguments, &p);
        ck_assert_msg(rc == rows[i].rc && strstr(said, rows[i].fragment), "row %zu: %d: %s", i, rc,
                      said);
        ck_assert(!strstr(said, "hunter2") && !strstr(said, "$2b$04"));
    }
}
END_TEST

START_TEST(the_first_user_makes_the_document)
{
    struct principals *p;
    ck_assert_int_eq(change("", "user create", "ada", "{\"passwordHash\":\"" HASH "\"}", &p), 0);
    ck_assert_uint_eq(p->version, 1);
    ck_assert_uint_eq(p->n_users, 1);
    snapshot_unref(p);
    ck_assert_int_eq(change("users: [", "user delete", "ada", NULL, &p), ERR_INVAL);
    ck_assert(principals_verb_known("token", "credential generate"));
    ck_assert(!principals_verb_known("token", "credential"));
}
END_TEST

START_TEST(grants_go_with_their_registry)
{
    struct buf b;
    json_t *gone = NULL;
    ck_assert_int_eq(principals_without_registry(bytes_str(before), "contoso", NULL, &b, &gone), 0);
    struct principals *p;
    ck_assert_int_eq(principals_parse(b.p, b.n, "p", NULL, &p), 0);
    ck_assert_uint_eq(p->version, 8);
    ck_assert_uint_eq(principal_actions(principals_find(p, "ada"), "contoso", "x"), 0);
    ck_assert_uint_eq(principals_find(p, "ada")->n_grants, 1);
    ck_assert_ptr_null(principals_find(p, "ci"));
    ck_assert_ptr_nonnull(principals_find(p, "node"));
    ck_assert_ptr_nonnull(principals_find(p, "watcher"));
    ck_assert_uint_eq(p->n_scope_maps, 0);
    ck_assert(principals_revoked(p, "old"));
    ck_assert_uint_eq(json_array_size(gone), 3);
    ck_assert_str_eq(json_string_value(json_array_get(gone, 0)), "the grants of user ada");
    json_decref(gone);
    struct buf again;
    ck_assert_int_eq(principals_without_registry(bytes_of(b.p, b.n), "contoso", NULL, &again, NULL),
                     ERR_NOTFOUND);
    snapshot_unref(p);
    buf_done(&b);
}
END_TEST

START_TEST(a_view_shows_no_hash)
{
    struct principals *p;
    ck_assert_int_eq(principals_parse(before, strlen(before), "p", NULL, &p), 0);
    json_t *doc = principals_view(p);
    char *text = json_dumps(doc, 0);
    ck_assert(!strstr(text, "$2b$") && !strstr(text, "ash"));
    ck_assert_uint_eq(json_array_size(json_object_get(doc, "users")), 2);
    ck_assert_uint_eq(json_array_size(json_object_get(doc, "tokens")), 3);
    ck_assert_ptr_nonnull(strstr(text, "\"admin\": \"admin/read\""));
    free(text);
    json_decref(doc);
    snapshot_unref(p);
}
END_TEST

CHECK_MAIN("control/principals_change", users_are_made_changed_and_taken_away,
           tokens_and_scope_maps_likewise, what_is_wrong_is_refused_with_its_reason,
           the_first_user_makes_the_document, grants_go_with_their_registry, a_view_shows_no_hash)
