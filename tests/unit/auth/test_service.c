// SPDX-License-Identifier: Apache-2.0
// auth/service and auth/passwords: the token endpoint as real clients use it (skopeo, podman, ctr,
// docker), and as they must not.
#include "auth/service.h"

#include "auth/passwords_priv.h"
#include "base/clock_test.h"
#include "config/policy.h"
#include "net/http_test.h"
#include "registry/oci_error.h"
#include "tests/support/check_main.h"
#include "tests/unit/auth/service_fixture.h"

#include <pthread.h>

struct shape { // a question as a real client puts it
    const char *client, *method, *target;
    // Basic
    const char *user, *password;
    // form
    const char *body;
    // a refresh token must come
    bool refresh;
    const char *granted;
};

static const struct shape shapes[] = {
    {"skopeo pull", "GET", "/oauth2/token?account=ada&scope=repository%3Alib%2Fapp%3Apull&" S,
     "ada", "ada-secret", NULL, false, "ada:lib/app=17;"},
    {"skopeo push", "GET",
     "/oauth2/token?account=ada&scope=repository%3Alib%2Fapp%3Apull%2Cpush&" S, "ada", "ada-secret",
     NULL, false, "ada:lib/app=19;"},
    {"podman mount", "GET",
     "/oauth2/token?account=ada&scope=repository:d/a:pull,push&scope=repository:s/a:pull&" S, "ada",
     "ada-secret", NULL, false, "ada:d/a=19;s/a=17;"},
    {"skopeo anonymous", "GET", "/oauth2/token?scope=repository:lib/app:pull&" S, NULL, NULL, NULL,
     false, ":"},
    {"docker login", "GET", "/oauth2/token?account=ada&client_id=docker&offline_token=true&" S,
     "ada", "ada-secret", NULL, true, "ada:"},
    {"docker push", "GET", "/oauth2/token?account=ada&scope=repository:lib/app:push,pull&" S, "ada",
     "ada-secret", NULL, false, "ada:lib/app=19;"},
    {"ctr pull", "POST", "/oauth2/token", NULL, NULL,
     "client_id=containerd-client&grant_type=password&password=ada-secret&scope=repository%3Alib%"
     "2Fapp%3Apull&" S "&username=ada",
     false, "ada:lib/app=17;"},
    {"ctr mount", "POST", "/oauth2/token", NULL, NULL,
     "client_id=containerd-client&grant_type=password&password=ada-secret&scope=repository%3As%2Fa%"
     "3Apull+repository%3A"
     "d%2Fa%3Apull%2Cpush&" S "&username=ada",
     false, "ada:s/a=17;d/a=19;"},
    {"ctr anonymous", "GET", "/oauth2/token?scope=repository%3Alib%2Fapp%3Apull&" S, NULL, NULL,
     NULL, false, ":"},
    {"POST offline", "POST", "/oauth2/token", NULL, NULL,
     "grant_type=password&username=ada&password=ada-secret&access_type=offline&" S, true, "ada:"},
    {"catalogue", "GET", "/oauth2/token?scope=registry:catalog:*&" S, "ada", "ada-secret", NULL,
     false, "ada:*=8;"},
    {"catalogue not held", "GET", "/oauth2/token?scope=registry:catalog:*&" S, "bob", "bob-secret",
     NULL, false, "bob:"},
    {"no service", "GET", "/oauth2/token?scope=repository:lib/app:delete", "ada", "ada-secret",
     NULL, false, "ada:lib/app=36;"},
    {"less than asked", "GET", "/oauth2/token?scope=repository:team/x:pull,push&" S, "bob",
     "bob-secret", NULL, false, "bob:team/x=17;"},
    {"nothing of what is asked", "GET", "/oauth2/token?scope=repository:lib/app:pull&" S, "bob",
     "bob-secret", NULL, false, "bob:"},
};

START_TEST(real_clients_get_what_they_expect)
{
    setup();
    for (size_t i = 0; i < ARRAY_LEN(shapes) * 2; i++) { // twice: the second time from the memory
        const struct shape *s = &shapes[i % ARRAY_LEN(shapes)];
        struct reply r = ask(s->method, s->target, s->user ? basic(s->user, s->password) : NULL,
                             s->body ? FORM : NULL, s->body);
        ck_assert_msg(r.status == 200, "%s: status %d", s->client, r.status);
        ck_assert_msg(!strcmp(granted(&r), s->granted), "%s: granted %s", s->client, granted(&r));
        ck_assert_str_eq(text_of(&r, "token"), text_of(&r, "access_token"));
        ck_assert_int_eq(json_integer_value(json_object_get(r.json, "expires_in")),
                         ACCESS_LIFETIME_S);
        ck_assert_ptr_nonnull(strchr(text_of(&r, "issued_at"), 'T'));
        ck_assert_msg((text_of(&r, "refresh_token") != NULL) == s->refresh, "%s: refresh token",
                      s->client);
        ck_assert_str_eq(r.cache, "no-store");
        reply_done(&r);
    }
    teardown();
}
END_TEST

START_TEST(anonymous_pull_is_granted_to_everyone_where_the_registry_allows_it)
{
    setup();
    registry_name = "openlib";
    struct reply r =
        ask("GET", "/oauth2/token?scope=repository:a/b:pull,push&service=openlib.meridian.test",
            NULL, NULL, NULL);
    ck_assert_str_eq(granted(&r), ":a/b=17;");
    reply_done(&r);
    r = ask("GET", "/oauth2/token?scope=repository:a/b:pull,push", basic("bob", "bob-secret"), NULL,
            NULL);
    ck_assert_str_eq(granted(&r), "bob:a/b=17;");
    reply_done(&r);
    teardown();
}
END_TEST

struct refused_case {
    const char *what, *method, *target, *authorization, *type, *body;
    int status;
    // OAuth error of a POST, or OCI code of a GET
    const char *error;
};

static const struct refused_case refusals[] = {
    {"wrong password", "GET", "/oauth2/token", "Basic YWRhOndyb25n", NULL, NULL, 401,
     "UNAUTHORIZED"},
    {"unknown user", "GET", "/oauth2/token", "Basic bm9ib2R5OngK", NULL, NULL, 401, "UNAUTHORIZED"},
    {"disabled user", "GET", "/oauth2/token", "Basic Y2FybDpjYXJsLXNlY3JldA==", NULL, NULL, 401,
     "UNAUTHORIZED"},
    {"empty password", "GET", "/oauth2/token", "Basic YWRhOg==", NULL, NULL, 401, "UNAUTHORIZED"},
    {"Basic without a colon", "GET", "/oauth2/token", "Basic YWRh", NULL, NULL, 401,
     "UNAUTHORIZED"},
    {"Basic with a NUL", "GET", "/oauth2/token", "Basic YWRhOmFkYQBzZWNyZXQ=", NULL, NULL, 401,
     "UNAUTHORIZED"},
    {"Basic not base64", "GET", "/oauth2/token", "Basic !!!", NULL, NULL, 401, "UNAUTHORIZED"},
    {"a Bearer", "GET", "/oauth2/token", "Bearer x", NULL, NULL, 401, "UNAUTHORIZED"},
    {"an empty Authorization", "GET", "/oauth2/token", "", NULL, NULL, 401, "UNAUTHORIZED"},
    {"zero user, junk", "GET", "/oauth2/token",
     "Basic MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwOngueS56", NULL, NULL, 401,
     "UNAUTHORIZED"},
    {"another service", "GET", "/oauth2/token?service=fabrikam.meridian.test", NULL, NULL, NULL,
     400, "UNSUPPORTED"},
    {"malformed scope", "GET", "/oauth2/token?scope=repository:UPPER:pull", NULL, NULL, NULL, 400,
     "NAME_INVALID"},
    {"HEAD", "HEAD", "/oauth2/token", NULL, NULL, NULL, 405, "UNSUPPORTED"},
    {"PUT", "PUT", "/oauth2/token", NULL, NULL, NULL, 405, "UNSUPPORTED"},
    {"DELETE", "DELETE", "/oauth2/token", NULL, NULL, NULL, 405, "UNSUPPORTED"},
    {"another path", "GET", "/oauth2/tokens", NULL, NULL, NULL, 404, "UNSUPPORTED"},
    {"wrong type", "POST", "/oauth2/token", NULL, "application/json", "{}", 400, "invalid_request"},
    {"no type", "POST", "/oauth2/token", NULL, NULL, "grant_type=password", 400, "invalid_request"},
    {"type with a tail", "POST", "/oauth2/token", NULL, FORM "x", "grant_type=password", 400,
     "invalid_request"},
    {"empty body", "POST", "/oauth2/token", NULL, FORM, "", 400, "invalid_request"},
    {"no grant type", "POST", "/oauth2/token", NULL, FORM, "username=ada", 400, "invalid_request"},
    {"other grant type", "POST", "/oauth2/token", NULL, FORM, "grant_type=client_credentials", 400,
     "unsupported_grant_type"},
    {"grant type twice", "POST", "/oauth2/token", NULL, FORM,
     "grant_type=password&grant_type=refresh_token", 400, "invalid_request"},
    {"user twice", "POST", "/oauth2/token", NULL, FORM,
     "grant_type=password&username=ada&username=bob&password=ada-secret", 400, "invalid_request"},
    {"no password", "POST", "/oauth2/token", NULL, FORM, "grant_type=password&username=ada", 400,
     "invalid_request"},
    {"no refresh token", "POST", "/oauth2/token", NULL, FORM, "grant_type=refresh_token", 400,
     "invalid_request"},
    {"POST wrong password", "POST", "/oauth2/token", NULL, FORM,
     "grant_type=password&username=ada&password=x", 401, "invalid_grant"},
    {"POST junk refresh token", "POST", "/oauth2/token", NULL, FORM,
     "grant_type=refresh_token&refresh_token=a.b.c", 401, "invalid_grant"},
    {"POST other service", "POST", "/oauth2/token", NULL, FORM,
     "grant_type=password&username=ada&password=ada-secret&service=evil", 400, "invalid_request"},
    {"POST malformed scope", "POST", "/oauth2/token", NULL, FORM,
     "grant_type=password&username=ada&password=ada-secret&scope=repository", 400, "invalid_scope"},
};

START_TEST(bad_questions_are_refused_in_the_words_of_their_protocol)
{
    setup();
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        const struct refused_case *f = &refusals[i];
        struct reply r = ask(f->method, f->target, f->authorization, f->type, f->body);
        ck_assert_msg(r.status == f->status, "%s: status %d", f->what, r.status);
        const json_t *first = json_array_get(json_object_get(r.json, "errors"), 0);
        const char *code = json_string_value(json_object_get(first, "code")),
                   *error = text_of(&r, "error");
        ck_assert_msg(code != NULL, "%s: no OCI code", f->what);
        ck_assert_msg(!strcmp(error ? error : code, f->error), "%s: said %s", f->what,
                      error ? error : code);
        if (r.status == 401)
            ck_assert_str_eq(r.www, "Basic realm=\"contoso.meridian.test\"");
        if (r.status == 405)
            ck_assert_str_eq(r.allow, "GET, POST");
        reply_done(&r);
    }
    AUTO_FREE char *big = mem_zalloc(70000);
    memset(big, 'a', 69999);
    struct reply r = ask("POST", "/oauth2/token", NULL, FORM, big);
    ck_assert_int_eq(r.status, 413);
    reply_done(&r);
    teardown();
}
END_TEST

static char *login(const char *user, const char *password)
{
    struct reply r =
        ask("GET", "/oauth2/token?offline_token=true", basic(user, password), NULL, NULL);
    char *token = text_of(&r, "refresh_token") ? mem_strdup(text_of(&r, "refresh_token")) : NULL;
    reply_done(&r);
    return token;
}

static int refresh_status(const char *token, const char *expect_granted)
{
    AUTO_FREE char *body =
        mem_printf("grant_type=refresh_token&client_id=containers/image&refresh_token=%s"
                   "&scope=repository:lib/app:pull",
                   token);
    struct reply r = ask("POST", "/oauth2/token", NULL, FORM "; charset=utf-8", body);
    int status = r.status;
    if (status == 200)
        ck_assert_str_eq(granted(&r), expect_granted);
    reply_done(&r);
    r = ask("GET", "/oauth2/token?scope=repository:lib/app:pull",
            basic("00000000-0000-0000-0000-000000000000", token), NULL, NULL);
    ck_assert_int_eq(r.status, status); // both ways agree
    reply_done(&r);
    return status;
}

START_TEST(refresh_tokens_work_until_they_are_revoked)
{
    setup();
    AUTO_FREE char *token = login("ada", "ada-secret");
    ck_assert_ptr_nonnull(token);
    ck_assert_int_eq(refresh_status(token, "ada:lib/app=17;"), 200);
    struct arena a;
    struct access acc;
    arena_init(&a, 0);
    ck_assert_int_eq(token_verify_access(fixture_t, topology_registry(fixture_t, "contoso"), token,
                                         clock_wall_ms(), &a, &acc),
                     ERR_AUTH); // not a Bearer
    const char *access;
    access = fixture_access(0, "contoso.meridian.test", 0, NULL, 0, clock_wall_ms(), &a);
    ck_assert_int_eq(refresh_status(access, ""), 401); // nor the reverse
    registry_name = "fabrikam";
    ck_assert_int_eq(refresh_status(token, ""), 401); // another registry
    registry_name = "contoso";
    snapshot_publish(&principals_cell, fixture_principals(1, "ada-secret", false));
    ck_assert_int_eq(refresh_status(token, ""), 401);
    snapshot_publish(&principals_cell, fixture_principals(1, "ada-secret", true));
    ck_assert_int_eq(refresh_status(token, "ada:lib/app=17;"), 200);
    snapshot_publish(&principals_cell, fixture_principals(2, "ada-secret", true));
    ck_assert_int_eq(refresh_status(token, ""), 401); // generation raised
    clock_virtual_set(clock_wall_ms());
    AUTO_FREE char *second = login("ada", "ada-secret");
    clock_virtual_advance((int64_t)REFRESH_LIFETIME_S * 1000 + 59000);
    ck_assert_int_eq(refresh_status(second, "ada:lib/app=17;"), 200);
    clock_virtual_advance(2000);
    ck_assert_int_eq(refresh_status(second, ""), 401);
    arena_done(&a);
    teardown();
}
END_TEST

START_TEST(a_changed_password_is_forgotten_at_once)
{
    setup();
    AUTO_FREE char *first = login("ada", "ada-secret");
    ck_assert_ptr_nonnull(first);
    snapshot_publish(&principals_cell, fixture_principals(1, "other-secret", true));
    ck_assert_ptr_null(login("ada", "ada-secret"));
    AUTO_FREE char *second = login("ada", "other-secret");
    ck_assert_ptr_nonnull(second);
    snapshot_publish(&principals_cell, fixture_principals(1, "other-secret", false));
    ck_assert_ptr_null(login("ada", "other-secret"));
    teardown();
}
END_TEST

START_TEST(regions_cut_off_for_too_long_or_without_the_registry_issue_nothing)
{
    setup();
    ck_assert(!auth_principals_stale(86400000, 86400));
    ck_assert(auth_principals_stale(86400001, 86400));
    principals_age = (int64_t)fixture_t->max_stale_s * 1000 + 1;
    struct reply r = ask("GET", "/oauth2/token", basic("ada", "ada-secret"), NULL, NULL);
    ck_assert_int_eq(r.status, 503);
    ck_assert_ptr_nonnull(r.retry);
    reply_done(&r);
    principals_age = 0;
    auth_service_stop(service);
    const struct auth_service_options o = {.topology = &topology_cell,
                                           .principals = &principals_cell,
                                           .keys = fixture_keys[2],
                                           .region = "southeastasia"};
    ck_assert_int_eq(auth_service_start(&o, &service), 0);
    registry_name = "fabrikam";
    r = ask("GET", "/oauth2/token", NULL, NULL, NULL);
    ck_assert_int_eq(r.status, 421);
    reply_done(&r);
    teardown();
}
END_TEST

// What the HTTP thread makes of a request: the answer's status, or 0 when a hash must be computed
// first.
static int at_once(const char *method, const char *authorization, const char *body,
                   const char **out_name)
{
    static char name[64];
    struct http_request *req =
        http_request_test_new(method, "/oauth2/token", "contoso.meridian.test");
    struct http_plan plan = {0};
    if (authorization)
        http_request_test_header(req, "Authorization", authorization);
    if (body)
        http_request_test_header(req, "Content-Type", FORM);
    if (body)
        http_request_test_body(req, body, strlen(body));
    begin(NULL, req, &plan);
    req->ctx = plan.ctx;
    if (body) {
        ck_assert_int_eq(plan.kind, HTTP_PLAN_COLLECT);
        plan.collected(req, &plan);
    }
    int status = plan.kind == HTTP_PLAN_REPLY ? plan.response.status : 0;
    if (!status) {
        ck_assert_int_eq(plan.busy_status, 429);
        ck_assert_ptr_nonnull(plan.pool);
        ck_assert(plan.for_answer);
        snprintf(name, sizeof name, "%s", plan.name);
        *out_name = name;
    }
    if (plan.done)
        plan.done(req);
    http_request_test_free(req);
    return status;
}

START_TEST(only_what_needs_a_hash_waits_for_one)
{
    setup();
    AUTO_FREE char *refresh = login("ada", "ada-secret"); // and ada is known from now on
    AUTO_FREE char *by_refresh = mem_printf("grant_type=refresh_token&refresh_token=%s", refresh);
    AUTO_FREE char *zero = mem_strdup(basic("00000000-0000-0000-0000-000000000000", refresh));
    AUTO_FREE char *ada = mem_strdup(basic("ada", "ada-secret")),
                   *bob = mem_strdup(basic("bob", "bob-secret"));
    AUTO_FREE char *wrong = mem_strdup(basic("ada", "x")),
                   *nobody = mem_strdup(basic("nobody", "x"));
    const struct {
        const char *what, *method, *authorization, *body;
        int status;
        // of the queue, when it waits
        const char *name;
    } rows[] = {
        {"anonymous", "GET", NULL, NULL, 200, NULL},
        {"known by GET", "GET", ada, NULL, 200, NULL},
        {"known by POST", "POST", NULL, "grant_type=password&username=ada&password=ada-secret", 200,
         NULL},
        {"refresh by GET", "GET", zero, NULL, 200, NULL},
        {"refresh by POST", "POST", NULL, by_refresh, 200, NULL},
        {"junk by GET", "GET", basic("00000000-0000-0000-0000-000000000000", "x.y.z"), NULL, 401,
         NULL},
        {"junk by POST", "POST", NULL, "grant_type=refresh_token&refresh_token=x.y.z", 401, NULL},
        {"no sense by POST", "POST", NULL, "grant_type=password", 400, NULL},
        {"not seen yet by GET", "GET", bob, NULL, 0, "bob"},
        {"not seen yet by POST", "POST", NULL,
         "grant_type=password&username=bob&password=bob-secret", 0, "bob"},
        {"wrong by GET", "GET", wrong, NULL, 0, "ada"},
        {"nobody by GET", "GET", nobody, NULL, 0, "nobody"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *name = NULL;
        int status = at_once(rows[i].method, rows[i].authorization, rows[i].body, &name);
        ck_assert_msg(status == rows[i].status, "%s: %d", rows[i].what, status);
        ck_assert_msg(!name == !rows[i].name && (!name || !strcmp(name, rows[i].name)),
                      "%s: waits as %s", rows[i].what, name ? name : "nobody");
    }
    teardown();
}
END_TEST

// The newest line of the audit log has all of `want`, and nothing of the file a password.
static void event_is(const char *file, const char *want[], size_t n)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    ck_assert_int_eq(audit_flush(events, 5000), 0);
    ck_assert_int_eq(file_read(file, 1 << 20, &text), 0);
    ck_assert_ptr_null(strstr(buf_cstr(&text), "secret"));
    const char *line = buf_cstr(&text), *last = memrchr(line, '\n', text.n - 1);
    if (last)
        line = last + 1;
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(strstr(line, want[i]), "%s is not in %s", want[i], line);
}
#define EVENT_IS(...)                                       \
    do {                                                    \
        const char *want[] = {__VA_ARGS__};                 \
        event_is(file, want, sizeof want / sizeof want[0]); \
    } while (0)

static void asked(const char *target, const char *authorization, int status)
{
    struct reply r = ask("GET", target, authorization, NULL, NULL);
    ck_assert_int_eq(r.status, status);
    reply_done(&r);
}

START_TEST(grants_logins_and_refusals_are_events)
{
    char file[64];
    snprintf(file, sizeof file, "/tmp/meridian-grants-%d.log", (int)getpid());
    unlink(file);
    const struct audit_options o = {.path = file, .region = "eastus", .stamp = "eus-1"};
    ck_assert_int_eq(audit_start(&o, NULL, &events), 0);
    setup();
    const char *ada = basic("ada", "ada-secret");
    asked("/oauth2/token?scope=repository:lib/app:pull&" S, ada, 200);
    EVENT_IS("\"what\":\"grant\",\"outcome\":\"done\",\"registry\":\"contoso\"",
             "\"principal\":\"ada\"", "\"detail\":\"repository:lib/app:pull\"");
    asked("/oauth2/token?offline_token=true&" S, ada, 200);
    EVENT_IS("\"what\":\"login\",\"outcome\":\"done\"", "\"principal\":\"ada\"");
    asked("/oauth2/token?" S, basic("ada", "wrong-secret"), 401);
    EVENT_IS("\"what\":\"login\",\"outcome\":\"refused\"", "\"code\":\"UNAUTHORIZED\"",
             "a login of ada, with a wrong password");
    asked("/oauth2/token?" S, basic("ada-secret", "x"), 401); // a password typed as a name
    EVENT_IS("a login of an unknown user");
    asked("/oauth2/token?" S, basic("00000000-0000-0000-0000-000000000000", "x.y.z"), 401);
    EVENT_IS("\"what\":\"grant\",\"outcome\":\"refused\"");
    asked("/oauth2/token?scope=repository:lib/app:pull&" S, NULL, 200);
    EVENT_IS("\"what\":\"grant\",\"outcome\":\"done\"");
    teardown();
    audit_stop(take_ptr(events));
    unlink(file);
}
END_TEST

START_TEST(questions_are_limited_by_network_and_by_who_is_known)
{
    throttle = throttle_new();
    setup();
    clock_virtual_set(NOW_MS);
    const char *pull = "/oauth2/token?scope=repository:lib/app:pull&" S;
    // wrong passwords are the network's, and cost the user himself nothing
    rates = (struct rates){
        .per_minute = {[RATE_NETWORK][REQUEST_TOKEN] = 6, [RATE_IDENTITY][REQUEST_TOKEN] = 2}};
    for (unsigned i = 0; i < 3; i++)
        asked(pull, basic("ada", "wrong"), 401);
    asked(pull, basic("ada", "ada-secret"), 200);
    asked(pull, basic("ada", "ada-secret"), 200);
    struct reply r = ask("GET", pull, basic("ada", "ada-secret"), NULL, NULL);
    ck_assert_int_eq(r.status, 429); // his own two are used
    ck_assert_str_eq(r.retry, "30");
    ck_assert_ptr_null(text_of(&r, "token"));
    reply_done(&r);
    r = ask("GET", pull, basic("bob", "bob-secret"), NULL, NULL);
    ck_assert_int_eq(r.status, 429); // and the network's six
    ck_assert_str_eq(r.retry, "10");
    reply_done(&r);
    r = ask("POST", "/oauth2/token", NULL, FORM,
            "grant_type=password&username=bob&password=bob-secret&" S);
    ck_assert_int_eq(r.status, 429);
    ck_assert_str_eq(r.retry, "10");
    ck_assert_str_eq(text_of(&r, "error"), "temporarily_unavailable");
    reply_done(&r);
    clock_virtual_advance(10000);
    asked(pull, basic("bob", "bob-secret"), 200);
    rates = (struct rates){0};
    clock_virtual_off();
    teardown();
    throttle_free(take_ptr(throttle));
}
END_TEST

struct check_job {
    struct passwords *passwords;
    struct principals *all;
    int wrong;
};

static void *check_many(void *arg)
{
    struct check_job *j = arg;
    const struct principal *ada = principals_find(j->all, "ada");
    const struct login right = {ada, "ada-secret", 0}, wrong = {ada, "wrong", 0};
    const char *hash;
    for (uint64_t i = 0; i < 40; i++) {
        uint64_t generation = i / 10;
        if (!passwords_known(j->passwords, generation, &right, &hash))
            j->wrong += passwords_verify(j->passwords, generation, j->all, &right, &hash) != 0;
        j->wrong += passwords_known(j->passwords, generation, &wrong, &hash);
        j->wrong += i % 8 == 0 &&
                    passwords_verify(j->passwords, generation, j->all, &wrong, &hash) != ERR_AUTH;
    }
    return NULL;
}

START_TEST(the_memory_of_credentials_is_shared_by_threads)
{
    struct check_job jobs[4];
    pthread_t threads[4];
    struct passwords *p;
    struct principals *all = fixture_principals(1, "ada-secret", true);
    ck_assert_int_eq(passwords_new(&p), 0);
    const struct login ada = {principals_find(all, "ada"), "ada-secret", 0};
    const char *hash;
    ck_assert(!passwords_known(p, 1, &ada, &hash));
    ck_assert_int_eq(passwords_verify(p, 1, all, &ada, &hash), 0);
    ck_assert(passwords_known(p, 1, &ada, &hash));
    ck_assert(!passwords_known(p, 2, &ada, &hash)); // a new generation empties it
    ck_assert(!passwords_known(p, 1, &ada, &hash));
    for (int i = 0; i < 4; i++) {
        jobs[i] = (struct check_job){p, all, 0};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, check_many, &jobs[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(jobs[i].wrong, 0);
    }
    passwords_free(p);
    snapshot_unref(all);
}
END_TEST

CHECK_MAIN("auth/service", real_clients_get_what_they_expect,
           anonymous_pull_is_granted_to_everyone_where_the_registry_allows_it,
           bad_questions_are_refused_in_the_words_of_their_protocol,
           refresh_tokens_work_until_they_are_revoked, a_changed_password_is_forgotten_at_once,
           regions_cut_off_for_too_long_or_without_the_registry_issue_nothing,
           only_what_needs_a_hash_waits_for_one, grants_logins_and_refusals_are_events,
           questions_are_limited_by_network_and_by_who_is_known,
           the_memory_of_credentials_is_shared_by_threads)
