// SPDX-License-Identifier: Apache-2.0
// The token service and named tokens: what each ready-made role gets, two passwords in rotation,
// refresh tokens that are listed and revoked, the catalogue's part, scopes at their extremes.
#include "auth/issued.h"
#include "auth/passwords_priv.h"
#include "base/clock_test.h"
#include "config/password.h"
#include "tests/support/check_main.h"
#include "tests/unit/auth/service_fixture.h"

#define QUESTION_ALL                                                          \
    "/oauth2/token?scope=repository:team/app:pull,push,delete,metadata_read," \
    "metadata_write,add&scope=registry:catalog:*&scope=registry:audit:*"

static char first[TOKEN_PASSWORD_SIZE], second[TOKEN_PASSWORD_SIZE];
// and what the document has of them
static char hash[2][128], typed[128];

static void password_new(unsigned id, char out[TOKEN_PASSWORD_SIZE])
{
    ck_assert_int_eq(token_password_make(id, out), 0);
    fixture_hash(out, hash[id - 1]);
}

struct shown { // what of the token's passwords stands in the document
    bool first, second;
    // of the first; NULL: never
    const char *expires;
    const char *revoked;
};

// `ci` may refresh and pushes to team/app; `node` pulls everything, for five minutes at a time;
// one token for each role, with its name and the first password.
static size_t n_many = 1;
static const char *many_tail = "";

static struct principals *document(const struct shown *w)
{
    const char *comma = w->first && w->second ? "," : "";
    AUTO_BUF struct buf b, passwords, many;
    buf_init(&many, 0);
    for (size_t i = 0; i < n_many; i++)
        buf_printf(&many, "%s'r%zu%s'", i ? ", " : "", i, many_tail);
    buf_init(&passwords, 0);
    if (w->first)
        buf_printf(&passwords, "{id: 1, password_hash: '%s'%s%s}%s", hash[0],
                   w->expires ? ", expires: " : "", w->expires ? w->expires : "", comma);
    if (w->second)
        buf_printf(&passwords, "{id: 2, password_hash: '%s'}", hash[1]);
    buf_init(&b, 0);
    buf_printf(&b,
               "version: 1\nusers:\n  - {name: lister, password_hash: '%s', grants: ["
               "{registry: contoso, repositories: [team/*, app], actions: [pull, catalog]}, "
               "{registry: contoso, repositories: [team/web], actions: [pull]}, "
               "{registry: fabrikam, repositories: ['*'], actions: [pull, catalog]}]}\n"
               "scope_maps: [{name: many, registry: contoso, grants: [{actions: [catalog], "
               "repositories: [%s]}]}]\n"
               "tokens:\n"
               "  - {name: ci, registry: contoso, scope_map: _push, repositories: [team/app], "
               "refresh: allowed, passwords: [%s]}\n"
               "  - {name: node, registry: contoso, scope_map: _pull, repositories: ['*'], "
               "lifetime: 5m, passwords: [%s]}\n"
               "  - {name: hand, registry: contoso, scope_map: _pull, repositories: ['*'], "
               "passwords: [{id: 1, password_hash: '%s'}, {id: 2, password_hash: '%s'}]}\n",
               typed, buf_cstr(&many), buf_cstr(&passwords), buf_cstr(&passwords), hash[0], typed);
    buf_str(&b, "  - {name: crowd, registry: contoso, scope_map: many, passwords: [{id: 1, "
                "password_hash: '");
    buf_printf(&b, "%s'}]}\n", typed);
    const char *role, *purpose;
    for (size_t i = 0; (role = scope_map_role_name(i, &purpose)); i++)
        buf_printf(&b,
                   "  - {name: %s, registry: contoso, scope_map: %s, repositories: [team/app], "
                   "passwords: [{id: 1, password_hash: '%s'}]}\n",
                   role, role, hash[0]);
    if (w->revoked)
        buf_printf(&b, "revoked:\n  - {id: '%s', expires: 2027-01-15T08:15:00Z}\n", w->revoked);
    struct principals *p = NULL;
    struct diag d;
    diag_init(&d);
    int rc = principals_parse(b.p, b.n, "principals.yaml", &d, &p);
    ck_assert_msg(!rc, "%s", d.n ? d.lines[0] : "?");
    diag_done(&d);
    return p;
}

static void publish(const struct shown *w)
{
    snapshot_publish(&principals_cell, document(w));
}

static void up(void)
{
    setup();
    clock_virtual_set(NOW_MS);
    registry_name = "contoso";
    password_new(1, first);
    password_new(2, second);
    fixture_hash("typed-by-hand", typed);
    publish(&(struct shown){.first = true, .second = true});
}

static void down(void)
{
    clock_virtual_off();
    teardown();
}

static int login_status(const char *user, const char *password)
{
    struct reply r = ask("GET", "/oauth2/token", basic(user, password), NULL, NULL);
    int status = r.status;
    reply_done(&r);
    return status;
}

// Caller frees; NULL: none was given.
static char *refresh_of(const char *user, const char *password)
{
    struct reply r =
        ask("GET", "/oauth2/token?offline_token=true", basic(user, password), NULL, NULL);
    ck_assert_int_eq(r.status, 200);
    const char *token = text_of(&r, "refresh_token");
    char *copy = token ? mem_strdup(token) : NULL;
    reply_done(&r);
    return copy;
}

static int replay(const char *refresh)
{
    AUTO_FREE char *body = mem_printf("grant_type=refresh_token&refresh_token=%s", refresh);
    struct reply r = ask("POST", "/oauth2/token", NULL, FORM, body);
    int status = r.status;
    reply_done(&r);
    return status;
}

START_TEST(passwords_that_are_made_say_which_they_are)
{
    char other[TOKEN_PASSWORD_SIZE];
    ck_assert_int_eq(token_password_make(1, first), 0);
    ck_assert_int_eq(token_password_make(1, other), 0);
    ck_assert_str_ne(first, other);
    ck_assert_uint_eq(strlen(first), 5 + 43);
    ck_assert_uint_eq(token_password_id(first), 1);
    ck_assert_int_eq(token_password_make(2, other), 0);
    ck_assert_uint_eq(token_password_id(other), 2);
    static const char *const none[] = {"", "mrd", "mrd1", "mrd3_x", "mrd0_x", "Mrd1_x", "xmrd1_"};
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        ck_assert_uint_eq(token_password_id(none[i]), 0);
}
END_TEST

START_TEST(each_role_is_granted_what_it_is_for)
{
    static const struct {
        const char *role;
        // asked for everything by its words
        unsigned repository, registry;
        // asked for "pull,push", as clients do
        const char *scope;
    } rows[] = {
        {"_pull", ACTION_PULL, 0, "repository:team/app:pull"},
        {"_push", ACTION_PULL | ACTION_PUSH | ACTION_META_READ, 0, "repository:team/app:pull,push"},
        {"_upload_only", ACTION_ADD, 0, "repository:team/app:add"},
        {"_investigate", ACTION_PULL | ACTION_META_READ, ACTION_CATALOG,
         "repository:team/app:pull"},
        {"_delete", ACTION_DELETE | ACTION_META_READ, 0, "repository:team/app:metadata_read"},
        {"_audit", 0, ACTION_AUDIT, ""},
    };
    up();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena a;
        struct access acc;
        arena_init(&a, 0);
        struct reply r = ask("GET", QUESTION_ALL, basic(rows[i].role, first), NULL, NULL);
        ck_assert_msg(r.status == 200, "%s: %d", rows[i].role, r.status);
        ck_assert_int_eq(token_verify_access(fixture_t, topology_registry(fixture_t, "contoso"),
                                             text_of(&r, "token"), NOW_MS, &a, &acc),
                         0);
        ck_assert_msg(access_actions(&acc, "team/app") == rows[i].repository, "%s: %u",
                      rows[i].role, access_actions(&acc, "team/app"));
        ck_assert_uint_eq(access_registry_actions(&acc), rows[i].registry);
        if (rows[i].registry & ACTION_CATALOG) {
            ck_assert_uint_eq(acc.n_visible, 1);
            ck_assert_str_eq(acc.visible[0], "team/app");
        }
        reply_done(&r);
        AUTO_FREE char *body = mem_printf("grant_type=password&username=%s&password=%s"
                                          "&scope=repository:team/app:pull,push",
                                          rows[i].role, first);
        r = ask("POST", "/oauth2/token", NULL, FORM, body);
        ck_assert_str_eq(text_of(&r, "scope"), rows[i].scope);
        reply_done(&r);
        r = ask("GET", "/oauth2/token?scope=repository:team/other:pull,push,delete,add",
                basic(rows[i].role, first), NULL, NULL);
        AUTO_FREE char *nothing = mem_printf("%s:", rows[i].role);
        ck_assert_str_eq(granted(&r), nothing);
        reply_done(&r);
        arena_done(&a);
    }
    down();
}
END_TEST

START_TEST(two_passwords_overlap_while_they_are_rotated)
{
    up();
    ck_assert_int_eq(login_status("ci", first), 200);
    ck_assert_int_eq(login_status("ci", second), 200);
    ck_assert_int_eq(login_status("ci", "mrd1_AAAA"), 401);
    ck_assert_int_eq(login_status("ci", "mrd2_AAAA"), 401);
    ck_assert_int_eq(login_status("ci", "typed"), 401);
    ck_assert_int_eq(login_status("ci", ""), 401);
    ck_assert_int_eq(login_status("nobody", first), 401);
    ck_assert_int_eq(login_status("lister", first), 401); // a token's, of a user
    // those that nobody here made are tried on both
    ck_assert_int_eq(login_status("hand", "typed-by-hand"), 200);
    ck_assert_int_eq(login_status("hand", first), 200);
    ck_assert_int_eq(login_status("hand", second), 401);
    // the first ends in a minute, and is none from that second on
    publish(&(struct shown){true, true, .expires = "2027-01-15T08:01:00Z"});
    ck_assert_int_eq(login_status("ci", first), 200);
    clock_virtual_set(NOW_MS + 59999);
    ck_assert_int_eq(login_status("ci", first), 200); // from the memory of credentials
    clock_virtual_set(NOW_MS + 60000);
    ck_assert_int_eq(login_status("ci", first), 401);
    ck_assert_int_eq(login_status("ci", second), 200);
    // and is taken away
    publish(&(struct shown){.second = true});
    ck_assert_int_eq(login_status("ci", first), 401);
    ck_assert_int_eq(login_status("ci", second), 200);
    publish(&(struct shown){0});
    ck_assert_int_eq(login_status("ci", second), 401);
    down();
}
END_TEST

START_TEST(a_token_is_of_one_registry)
{
    up();
    registry_name = "fabrikam";
    ck_assert_int_eq(login_status("ci", first), 401);
    ck_assert_int_eq(login_status("lister", "typed-by-hand"), 200); // a user is of all
    registry_name = "contoso";
    AUTO_FREE char *refresh = refresh_of("ci", first);
    ck_assert_int_eq(replay(refresh), 200);
    registry_name = "fabrikam";
    ck_assert_int_eq(replay(refresh), 401);
    registry_name = "contoso";
    down();
}
END_TEST

START_TEST(nodes_get_short_tokens_and_nothing_to_keep)
{
    up();
    struct reply r = ask("GET", "/oauth2/token?offline_token=true&scope=repository:a/b:pull,push",
                         basic("node", first), NULL, NULL);
    ck_assert_int_eq(json_integer_value(json_object_get(r.json, "expires_in")), 300);
    ck_assert_ptr_null(text_of(&r, "refresh_token"));
    ck_assert_str_eq(granted(&r), "node:a/b=1;");
    struct arena a;
    struct access acc;
    arena_init(&a, 0);
    const struct registry *contoso = topology_registry(fixture_t, "contoso");
    const char *token = text_of(&r, "token");
    int64_t ends_ms = NOW_MS + (300 + TOKEN_SKEW_S) * 1000;
    ck_assert_int_eq(token_verify_access(fixture_t, contoso, token, ends_ms - 1, &a, &acc), 0);
    ck_assert_int_eq(token_verify_access(fixture_t, contoso, token, ends_ms, &a, &acc),
                     ERR_EXPIRED);
    arena_done(&a);
    reply_done(&r);
    down();
}
END_TEST

START_TEST(a_refresh_token_ends_with_the_password_that_got_it)
{
    up();
    AUTO_FREE char *by_first = refresh_of("ci", first), *by_second = refresh_of("ci", second);
    ck_assert_int_eq(replay(by_first), 200);
    ck_assert_int_eq(replay(by_second), 200);
    publish(&(struct shown){true, true, .expires = "2027-01-15T08:01:00Z"});
    ck_assert_int_eq(replay(by_first), 200);
    clock_virtual_set(NOW_MS + 60000);
    ck_assert_int_eq(replay(by_first), 401);
    publish(&(struct shown){.second = true});
    ck_assert_int_eq(replay(by_first), 401);
    ck_assert_int_eq(replay(by_second), 200);
    // another password in its place is another one
    password_new(1, first);
    publish(&(struct shown){true, true});
    ck_assert_int_eq(replay(by_first), 401);
    ck_assert_int_eq(replay(by_second), 200);
    down();
}
END_TEST

// The token is taken away, and a user comes who has its name.
START_TEST(a_name_that_is_given_again_takes_no_refresh_tokens_over)
{
    up();
    AUTO_FREE char *before = refresh_of("ci", first);
    ck_assert_int_eq(replay(before), 200);
    AUTO_FREE char *text =
        mem_printf("users:\n  - {name: ci, password_hash: '%s', grants: [{registry: contoso, "
                   "repositories: ['*'], actions: [pull, push, delete]}]}\n",
                   typed);
    struct principals *p = NULL;
    ck_assert_int_eq(principals_parse(text, strlen(text), "p.yaml", NULL, &p), 0);
    snapshot_publish(&principals_cell, p);
    ck_assert_int_eq(replay(before), 401);
    AUTO_FREE char *own = refresh_of("ci", "typed-by-hand");
    ck_assert_int_eq(replay(own), 200);
    down();
}
END_TEST

static char *id_of(const char *token)
{
    struct arena a;
    struct jws j;
    arena_init(&a, 0);
    ck_assert_int_eq(jws_parse(token, &a, &j), 0);
    json_t *claims = json_loadb((const char *)j.payload.p, j.payload.n, 0, NULL);
    char *id = mem_strdup(json_string_value(json_object_get(claims, "jti")));
    json_decref(claims);
    arena_done(&a);
    return id;
}

// The region that judges need not be the one that issued: the list travels with the principals.
START_TEST(a_revoked_refresh_token_is_refused_in_every_region)
{
    up();
    AUTO_FREE char *token = refresh_of("ci", first), *other = refresh_of("ci", first);
    AUTO_FREE char *id = id_of(token);
    struct auth_service *here = service, *there;
    const struct auth_service_options o = {.topology = &topology_cell,
                                           .principals = &principals_cell,
                                           .keys = fixture_keys[1],
                                           .region = "westeurope"};
    ck_assert_int_eq(auth_service_start(&o, &there), 0);
    struct auth_service *regions[] = {here, there};
    for (size_t i = 0; i < ARRAY_LEN(regions); i++) {
        service = regions[i];
        ck_assert_int_eq(replay(token), 200);
    }
    publish(&(struct shown){true, true, .revoked = id});
    for (size_t i = 0; i < ARRAY_LEN(regions); i++) {
        service = regions[i];
        for (int k = 0; k < 3; k++) // replayed
            ck_assert_int_eq(replay(token), 401);
        ck_assert_int_eq(replay(other), 200); // the one beside it is untouched
        struct reply r = ask("GET", "/oauth2/token",
                             basic("00000000-0000-0000-0000-000000000000", token), NULL, NULL);
        ck_assert_int_eq(r.status, 401);
        reply_done(&r);
    }
    auth_service_stop(there);
    service = here;
    down();
}
END_TEST

static const char *state_of(const json_t *doc, const char *id)
{
    size_t i;
    const json_t *t;
    json_array_foreach(json_object_get(doc, "tokens"), i,
                       t) if (!strcmp(json_string_value(json_object_get(t, "id")),
                                      id)) return json_string_value(json_object_get(t, "state"));
    return "not listed";
}

static json_t *list(const char *principal)
{
    json_t *doc = NULL;
    struct principals *all = snapshot_get(&principals_cell);
    const struct issued_ask o = {.registry = "contoso", .principal = principal, .n = 100};
    ck_assert_int_eq(issued_read(issued, &o, all, &doc), 0);
    snapshot_unref(all);
    ck_assert_str_eq(json_string_value(json_object_get(doc, "region")), "eastus");
    return doc;
}

START_TEST(refresh_tokens_are_listed_with_what_became_of_them)
{
    char dir[] = "issued-test-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(issued_open(dir, "eastus", NULL, &issued), 0);
    up();
    AUTO_FREE char *by_first = refresh_of("ci", first), *by_second = refresh_of("ci", second),
                   *user = refresh_of("lister", "typed-by-hand");
    AUTO_FREE char *a = id_of(by_first), *b = id_of(by_second), *u = id_of(user);
    AUTO_FREE char *none = refresh_of("node", first);
    ck_assert_ptr_null(none);
    ck_assert_int_eq(replay(by_first), 200); // gives the same one back: no new line
    json_t *doc = list(NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(doc, "tokens")), 3);
    ck_assert_str_eq(state_of(doc, a), "valid");
    ck_assert_str_eq(state_of(doc, b), "valid");
    ck_assert_str_eq(state_of(doc, u), "valid");
    AUTO_FREE char *text = json_dumps(doc, 0);
    ck_assert_ptr_null(strstr(text, first));
    ck_assert_ptr_null(strstr(text, by_first));
    json_decref(doc);
    publish(&(struct shown){.second = true, .revoked = b});
    doc = list("ci");
    ck_assert_uint_eq(json_array_size(json_object_get(doc, "tokens")), 2);
    ck_assert_str_eq(state_of(doc, a), "ended");
    ck_assert_str_eq(state_of(doc, b), "revoked");
    json_decref(doc);
    clock_virtual_advance((int64_t)REFRESH_LIFETIME_S * 1000);
    doc = list("lister");
    ck_assert_str_eq(state_of(doc, u), "expired");
    json_decref(doc);
    down();
    issued_close(take_ptr(issued));
    dir_remove_tree(dir);
}
END_TEST

START_TEST(the_catalogue_carries_what_the_caller_may_see)
{
    up();
    struct arena a;
    struct access acc;
    arena_init(&a, 0);
    struct reply r = ask("GET", "/oauth2/token?scope=registry:catalog:*",
                         basic("lister", "typed-by-hand"), NULL, NULL);
    ck_assert_int_eq(token_verify_access(fixture_t, topology_registry(fixture_t, "contoso"),
                                         text_of(&r, "token"), NOW_MS, &a, &acc),
                     0);
    ck_assert_uint_eq(acc.n_visible, 2); // team/web is in team/*
    ck_assert_str_eq(acc.visible[0], "team/*");
    ck_assert_str_eq(acc.visible[1], "app");
    ck_assert(!access_sees_all(&acc));
    arena_done(&a);
    reply_done(&r);
    down();
}
END_TEST

// Of a rule with very many repositories a token carries as many as fit, or none.
START_TEST(a_catalogue_that_no_token_can_carry_is_refused)
{
    static const char catalog[] = "/oauth2/token?scope=registry:catalog:*";
    static const char plain[] = "/oauth2/token?scope=repository:a:pull";
    static const struct {
        size_t n;
        const char *tail;
        int status;
    } rows[] = {{VISIBLE_MAX, "", 200},
                {VISIBLE_MAX + 1, "", 400},
                {VISIBLE_MAX, "/with-a-name-of-some-length", 400},
                {1000, "/*", 400}};
    up();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        n_many = rows[i].n;
        many_tail = rows[i].tail;
        publish(&(struct shown){true, true});
        struct reply r = ask("GET", catalog, basic("crowd", "typed-by-hand"), NULL, NULL);
        ck_assert_msg(r.status == rows[i].status, "%zu%s: %d", rows[i].n, rows[i].tail, r.status);
        reply_done(&r);
        r = ask("GET", plain, basic("crowd", "typed-by-hand"), NULL, NULL);
        ck_assert_int_eq(r.status, 200);
        reply_done(&r);
    }
    down();
}
END_TEST

START_TEST(one_malformed_scope_does_not_spoil_the_others)
{
    static const struct {
        const char *query, *granted;
        // NULL: no error
        const char *error;
    } rows[] = {
        {"scope=repository:BAD:pull&scope=repository:team/app:pull", "ci:team/app=17;", NULL},
        {"scope=junk&scope=repository:team/app:push&scope=:::", "ci:team/app=2;", NULL},
        {"scope=repository:team/app:pull%20repository:..:pull", "ci:team/app=17;", NULL},
        {"scope=junk&scope=host:a:pull", "ci:", NULL}, // of a type that nobody knows: well formed
        {"scope=repository:BAD:pull", NULL, "\"repository:BAD:pull\" is malformed"},
        {"scope=junk&scope=", NULL, "\"junk\" is malformed"},
        {"scope=%1b%5b31m%22", NULL, "\"?[31m?\" is malformed"},
        {"scope=", "ci:", NULL},
    };
    up();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *target = mem_printf("/oauth2/token?%s", rows[i].query);
        struct reply r = ask("GET", target, basic("ci", first), NULL, NULL);
        if (rows[i].granted)
            ck_assert_msg(!strcmp(granted(&r), rows[i].granted), "%s: %s", target, granted(&r));
        AUTO_FREE char *text = json_dumps(r.json, JSON_ENSURE_ASCII);
        const json_t *first_error = json_array_get(json_object_get(r.json, "errors"), 0);
        const char *message = json_string_value(json_object_get(first_error, "message"));
        ck_assert_msg((r.status == 400) == (rows[i].error != NULL), "%s: %d", target, r.status);
        ck_assert_msg(!rows[i].error || strstr(message, rows[i].error), "%s: %s", target, text);
        reply_done(&r);
    }
    down();
}
END_TEST

START_TEST(questions_at_their_extremes_are_answered_or_refused_whole)
{
    up();
    AUTO_BUF struct buf q;
    buf_init(&q, 0);
    buf_str(&q, "/oauth2/token?scope=");
    for (int i = 0; i < SCOPE_MAX_COUNT; i++)
        buf_printf(&q, "repository:r%d:pull%%20", i);
    struct reply r = ask("GET", buf_cstr(&q), basic("node", first), NULL, NULL);
    ck_assert_int_eq(r.status, 200);
    ck_assert_ptr_nonnull(strstr(granted(&r), "r49=1;"));
    reply_done(&r);
    buf_str(&q, "repository:one-more:pull");
    r = ask("GET", buf_cstr(&q), basic("node", first), NULL, NULL);
    ck_assert_int_eq(r.status, 400);
    reply_done(&r);
    // the longest name, and one byte more
    char name[REPOSITORY_NAME_MAX + 2];
    memset(name, 'a', sizeof name);
    name[REPOSITORY_NAME_MAX + 1] = 0;
    for (int more = 1; more >= 0; more--) {
        name[REPOSITORY_NAME_MAX + more] = 0;
        AUTO_FREE char *target = mem_printf("/oauth2/token?scope=repository:%s:pull", name);
        r = ask("GET", target, basic("node", first), NULL, NULL);
        ck_assert_int_eq(r.status, more ? 400 : 200);
        reply_done(&r);
    }
    down();
}
END_TEST

CHECK_MAIN("auth/named_tokens", passwords_that_are_made_say_which_they_are,
           each_role_is_granted_what_it_is_for, two_passwords_overlap_while_they_are_rotated,
           a_token_is_of_one_registry, nodes_get_short_tokens_and_nothing_to_keep,
           a_refresh_token_ends_with_the_password_that_got_it,
           a_name_that_is_given_again_takes_no_refresh_tokens_over,
           a_revoked_refresh_token_is_refused_in_every_region,
           refresh_tokens_are_listed_with_what_became_of_them,
           the_catalogue_carries_what_the_caller_may_see,
           a_catalogue_that_no_token_can_carry_is_refused,
           one_malformed_scope_does_not_spoil_the_others,
           questions_at_their_extremes_are_answered_or_refused_whole)
