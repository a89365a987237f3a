// SPDX-License-Identifier: Apache-2.0
// The admin listener: who gets in, what is done from afar, and that neither a hostile edge nor a
// hostile region gets further than looking at, and draining, the region whose bearer it has.
#include "auth/admin_login.h"
#include "base/clock_test.h"
#include "config/password.h"
#include "daemon/admin_route.h"
#include "net/http_test.h"
#include "tests/support/check_main.h"
#include "tests/unit/auth/auth_fixture.h"

static struct node node = {.region = "eastus", .stamp = "eus-1"};
static struct vitals vitals = {.lock = PTHREAD_MUTEX_INITIALIZER,
                               .impairment.lock = PTHREAD_MUTEX_INITIALIZER,
                               .conditions.lock = PTHREAD_MUTEX_INITIALIZER};
static struct snapshot topology_cell, principals_cell;
static struct app app = {
    .node = &node, .topology = &topology_cell, .principals = &principals_cell, .vitals = &vitals};
static struct arena arena;
static int64_t age_ms;
static char hash[128], other_hash[128];

static int64_t age_of(void *ctx)
{
    (void)ctx;
    return age_ms;
}

// `rows`: the tokens.
static void publish(const char *rows)
{
    AUTO_FREE char *text = mem_printf("version: 1\nusers:\n  - {name: ada, password_hash: '%s', "
                                      "grants: [{registry: contoso, repositories: ['*'], actions: "
                                      "[pull, push, delete, catalog]}]}\ntokens:\n%s",
                                      hash, rows);
    struct principals *p = NULL;
    struct diag d;
    diag_init(&d);
    ck_assert_msg(!principals_parse(text, strlen(text), "p.yaml", &d, &p), "%s",
                  d.n ? d.lines[0] : "?");
    diag_done(&d);
    snapshot_publish(&principals_cell, p);
}

static const char *row(const char *text, const char *of)
{
    return arena_printf(&arena, "  - {%s, passwords: [{id: 1, password_hash: '%s'}]}\n", text, of);
}

#define READER "name: reader, admin: [admin/read], regions: [eastus]"
#define DRAINER "name: drainer, admin: [admin/read, admin/drain], regions: [eastus]"
#define WESTERN "name: western, admin: [admin/read, admin/drain], regions: [westeurope]"
#define BOTH "name: both, admin: [admin/read, admin/drain], regions: [eastus, westeurope]"
#define CI "name: ci, registry: contoso, scope_map: _push, repositories: ['*']"

static void publish_all(void)
{
    publish(arena_printf(&arena, "%s%s%s%s%s", row(READER, hash), row(DRAINER, hash),
                         row(WESTERN, hash), row(BOTH, hash), row(CI, hash)));
}

static struct admin_login *login_of(const char *region, const struct region_keys *keys)
{
    struct admin_login *l = NULL;
    const struct admin_login_options o = {.topology = &topology_cell,
                                          .principals = &principals_cell,
                                          .keys = keys,
                                          .region = region,
                                          .principals_age_ms = age_of};
    ck_assert_int_eq(admin_login_start(&o, &l), 0);
    return l;
}

static void up(void)
{
    fixture_setup();
    arena_init(&arena, 0);
    clock_virtual_set(NOW_MS);
    conditions_init(&vitals.conditions);
    fixture_hash("a-good-password", hash);
    fixture_hash("another-password", other_hash);
    snapshot_init(&topology_cell);
    snapshot_init(&principals_cell);
    snapshot_publish(&topology_cell, snapshot_ref(fixture_t));
    publish_all();
    app.operators = login_of("eastus", fixture_keys[0]);
}

static void down(void)
{
    admin_login_stop(app.operators);
    snapshot_done(&principals_cell);
    snapshot_done(&topology_cell);
    arena_done(&arena);
    clock_virtual_off();
    fixture_teardown();
}

static char body[4096];

// Status of one call; its body is in `body`.
static int ask(const char *method, const char *path, const char *authorization)
{
    struct http_request *req = http_request_test_new(method, path, "eus-1.eastus.fe.meridian.test");
    req->listener = LISTENER_OPERATOR;
    ck_assert_int_eq(ip_parse("192.0.2.9", &req->client), 0);
    if (authorization)
        http_request_test_header(req, "Authorization", authorization);
    const struct http_app http = {.begin = app_begin_operator, .finish = app_finish, .ctx = &app};
    struct http_response resp = {0};
    http_app_test_run(&http, req, 0, &resp);
    snprintf(body, sizeof body, "%.*s", (int)resp.body.n, (const char *)resp.body.p);
    int status = resp.status;
    http_response_test_done(&resp);
    http_request_test_free(req);
    return status;
}

static const char *basic(const char *user, const char *password)
{
    AUTO_FREE char *plain = mem_printf("%s:%s", user, password);
    char text[512];
    b64_format((const uint8_t *)plain, strlen(plain), text);
    return arena_printf(&arena, "Basic %s", text);
}

// "Bearer …" of a token of the fleet.
static const char *bearer(const char *user)
{
    ck_assert_int_eq(ask("POST", "/v1/token", basic(user, "a-good-password")), 200);
    json_t *doc = json_loads(body, 0, NULL);
    ck_assert_int_eq(json_integer_value(json_object_get(doc, "expiresIn")), ADMIN_BEARER_S);
    const char *text =
        arena_printf(&arena, "Bearer %s", json_string_value(json_object_get(doc, "token")));
    json_decref(doc);
    return text;
}

// What the handlers of this bare app answer, once somebody has got as far as them.
#define LOOKED 404 // "this node has no replicator role"
static int look(const char *authorization)
{
    int status = ask("GET", "/v1/replication", authorization);
    if (status == LOOKED)
        ck_assert_str_eq(body, "this node has no replicator role\n");
    return status;
}

static int drain(const char *region, const char *authorization)
{
    AUTO_FREE char *path = mem_printf("/v1/health/orders?order=drain&region=%s&on=true", region);
    int status = ask("POST", path, authorization);
    if (status == 404)
        ck_assert_ptr_nonnull(strstr(body, "no resolver role"));
    return status;
}

START_TEST(a_token_of_the_fleet_gets_in_and_nobody_else)
{
    up();
    static const struct {
        const char *user, *password;
        int status;
    } rows[] = {{"reader", "a-good-password", 200},  {"reader", "a-bad-password", 401},
                {"western", "a-good-password", 401}, // of another region
                {"ci", "a-good-password", 401},      // of a registry
                {"ada", "a-good-password", 401},     // a user
                {"nobody", "a-good-password", 401},  {"", "", 401}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_int_eq(ask("POST", "/v1/token", basic(rows[i].user, rows[i].password)),
                         rows[i].status);
    ck_assert_int_eq(ask("POST", "/v1/token", NULL), 401);
    ck_assert_int_eq(ask("POST", "/v1/token", "Basic !"), 401);
    ck_assert_int_eq(ask("GET", "/v1/token", basic("reader", "a-good-password")), 405);
    ck_assert_int_eq(look(bearer("reader")), LOOKED);
    ck_assert_int_eq(look(NULL), 401);
    ck_assert_int_eq(look(basic("reader", "a-good-password")), 401);
    down();
}
END_TEST

START_TEST(each_call_asks_its_right_and_changes_are_not_served)
{
    up();
    const char *reader = bearer("reader"), *drainer = bearer("drainer");
    ck_assert_int_eq(drain("eastus", reader), 403);
    ck_assert_ptr_nonnull(strstr(body, "does not have the right admin/drain"));
    ck_assert_int_eq(drain("eastus", drainer), 404); // as far as the handler
    ck_assert_int_eq(drain("westeurope", drainer), 403);
    ck_assert_ptr_nonnull(strstr(body, "only region eastus"));
    ck_assert_int_eq(ask("POST",
                         "/v1/health/orders?order=impair&region=eastus&registry=contoso&on=true",
                         drainer),
                     403);
    static const char *const local[] = {"/v1/config/reload",
                                        "/v1/health/force?region=eastus&state=down",
                                        "/v1/node/restart",
                                        "/v1/collect",
                                        "/v1/certs/renew",
                                        "/v1/tasks/run",
                                        "/v1/replication/repair-clock?apply=true",
                                        "/v1/replication/alone"};
    for (size_t i = 0; i < ARRAY_LEN(local); i++) {
        ck_assert_int_eq(ask("POST", local[i], drainer), 403);
        ck_assert_ptr_nonnull(strstr(body, "\"Denied\""));
    }
    ck_assert_int_eq(ask("GET", "/v2/", drainer), 404);
    ck_assert_int_eq(ask("DELETE", "/v1/status", drainer), 404);
    down();
}
END_TEST

START_TEST(the_holder_is_judged_anew_at_each_call)
{
    up();
    const char *b = bearer("drainer");
    static const struct {
        const char *row;
        // 0: all tokens as they were
        int status;
    } rows[] = {
        {DRAINER, 404},
        {DRAINER ", generation: 2", 401},
        {DRAINER ", enabled: false", 401},
        {"name: drainer, admin: [admin/read], regions: [eastus]", 403},
        {"name: drainer, admin: [admin/drain], regions: [eastus]", 404},
        {WESTERN, 401},
        {"name: drainer, admin: [admin/drain], regions: [westeurope]", 401},
        {"name: drainer, registry: contoso, scope_map: _push, repositories: ['*']", 401},
        {"name: other, admin: [admin/drain], regions: [eastus]", 401},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        publish(row(rows[i].row, hash));
        ck_assert_msg(drain("eastus", b) == rows[i].status, "row %zu: %s", i, body);
    }
    publish(row(DRAINER, other_hash)); // the password that got it is gone
    ck_assert_int_eq(drain("eastus", b), 401);
    publish_all();
    ck_assert_int_eq(drain("eastus", b), 404);
    age_ms = (int64_t)fixture_t->max_stale_s * 1000 + 1; // whose list of tokens is this?
    ck_assert_int_eq(drain("eastus", b), 503);
    ck_assert_int_eq(ask("POST", "/v1/token", basic("reader", "a-good-password")), 503);
    age_ms = 0;
    clock_virtual_set(NOW_MS + (ADMIN_BEARER_S + TOKEN_SKEW_S) * 1000);
    ck_assert_int_eq(drain("eastus", b), 401);
    ck_assert_ptr_nonnull(strstr(body, "expired"));
    clock_virtual_set(NOW_MS - (TOKEN_SKEW_S + 1) * 1000);
    ck_assert_int_eq(drain("eastus", b), 401);
    down();
}
END_TEST

START_TEST(a_revoked_bearer_is_none)
{
    up();
    const char *b = bearer("reader");
    struct jws j;
    ck_assert_int_eq(jws_parse(b + 7, &arena, &j), 0);
    json_t *claims = json_loadb((const char *)j.payload.p, j.payload.n, 0, NULL);
    publish(arena_printf(&arena, "%srevoked:\n  - {id: '%s', expires: 2027-01-15T09:00:00Z}\n",
                         row(READER, hash), json_string_value(json_object_get(claims, "jti"))));
    json_decref(claims);
    ck_assert_int_eq(look(b), 401);
    ck_assert_int_eq(look(bearer("reader")), LOOKED);
    down();
}
END_TEST

static json_t *claims_of(const char *subject, const char *audience, const char *kind)
{
    char password[REFRESH_PASSWORD_SIZE];
    ck_assert_int_eq(refresh_password_text(hash, password), 0);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:i, s:s}", "iss", TOKEN_ISSUER,
                     "sub", subject, "aud", audience, "typ", kind, "jti", "00", "iat",
                     (json_int_t)NOW_S, "nbf", (json_int_t)NOW_S, "exp",
                     (json_int_t)NOW_S + ADMIN_BEARER_S, "gen", 1, "pw", password);
}

static const char *signed_by(int region, json_t *claims)
{
    const char *text;
    ck_assert_int_eq(jws_issue(fixture_keys[region], claims, &arena, &text), 0);
    return arena_printf(&arena, "Bearer %s", text);
}

#define EASTERN "eastus.admin.meridian.test"

// It sees and may repeat, alter and invent all that comes over the admin listener of its region.
START_TEST(a_hostile_edge_looks_and_drains_and_no_more)
{
    up();
    const char *b = bearer("drainer");
    ck_assert_int_eq(look(b), LOOKED); // repeated
    ck_assert_int_eq(look(b), LOOKED);
    ck_assert_int_eq(ask("POST", "/v1/node/restart", b), 403);
    // altered: any one character of it
    size_t n = strlen(b);
    for (size_t i = 7; i < n; i++) {
        char *copy = arena_strdup(&arena, b);
        copy[i] = copy[i] == 'A' ? 'B' : 'A';
        ck_assert_msg(look(copy) == 401, "at %zu", i);
    }
    for (size_t cut = 7; cut < n; cut += 5)
        ck_assert_int_eq(look(arena_printf(&arena, "%.*s", (int)cut, b)), 401);
    // invented: without a signature, or with claims of its own under that of another
    ck_assert_int_eq(look("Bearer eyJhbGciOiJub25lIn0.e30."), 401);
    const char *mine = signed_by(1, claims_of("drainer", EASTERN, "admin"));
    const char *dot = strrchr(mine, '.'), *sig = strrchr(b, '.');
    ck_assert_int_eq(look(arena_printf(&arena, "%.*s%s", (int)(dot - mine), mine, sig)), 401);
    // what it sees at the public listener: tokens of the same key for content
    struct access_grant g = {"app", ACTION_PULL};
    const struct token_ask content = {.service = "contoso.meridian.test",
                                      .subject = "drainer",
                                      .now_ms = NOW_MS,
                                      .grants = &g,
                                      .n_grants = 1,
                                      .generation = 1};
    const char *text;
    ck_assert_int_eq(token_issue_access(fixture_keys[0], &content, &arena, &text), 0);
    ck_assert_int_eq(look(arena_printf(&arena, "Bearer %s", text)), 401);
    ck_assert_int_eq(token_issue_refresh(fixture_keys[0], &content, &arena, &text), 0);
    ck_assert_int_eq(look(arena_printf(&arena, "Bearer %s", text)), 401);
    // and the bearer opens no registry
    struct access acc;
    struct claims c;
    const struct registry *r = topology_registry(fixture_t, "contoso");
    ck_assert_int_eq(token_verify_access(fixture_t, r, b + 7, NOW_MS, &arena, &acc), ERR_AUTH);
    ck_assert_int_eq(token_verify(fixture_t, r, b + 7, TOKEN_REFRESH, NOW_MS, &arena, &c),
                     ERR_AUTH);
    down();
}
END_TEST

// What an operation's path gives away by itself holds nothing open; who shows a bearer must have one.
START_TEST(an_operation_is_asked_for_by_its_id_or_with_a_bearer_that_counts)
{
    const char *path = "/v1/operations/0123456789abcdef?wait_ms=10000";
    up();
    ck_assert_int_eq(ask("GET", path, NULL), 409); // files are the source here
    ck_assert_int_eq(ask("GET", path, "Bearer nonsense"), 401);
    ck_assert_int_eq(ask("GET", path, basic("reader", "a-good-password")), 401);
    ck_assert_int_eq(ask("GET", path, bearer("reader")), 409);
    ck_assert_int_eq(ask("GET", path, bearer("drainer")), 409);
    down();
}
END_TEST

// It has keys of its own in the topology, all principals' hashes, and what operators show it.
START_TEST(a_hostile_region_gets_nowhere_at_another)
{
    up();
    // the bearer that it may issue, at home and here
    struct admin_login *east = app.operators, *west = login_of("westeurope", fixture_keys[1]);
    app.operators = west;
    const char *theirs = bearer("both");
    ck_assert_int_eq(look(theirs), LOOKED);
    app.operators = east;
    ck_assert_int_eq(look(theirs), 401);
    // whatever it signs: for itself, for us, of any holder that is there
    static const char *const audiences[] = {EASTERN, "westeurope.admin.meridian.test",
                                            "contoso.meridian.test"};
    static const char *const kinds[] = {"admin", "access", "refresh"};
    static const char *const subjects[] = {"both", "drainer", "reader", "western", "ada"};
    for (size_t i = 0; i < ARRAY_LEN(audiences); i++)
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
            for (size_t l = 0; l < ARRAY_LEN(subjects); l++) {
                const char *b = signed_by(1, claims_of(subjects[l], audiences[i], kinds[k]));
                ck_assert_int_eq(look(b), 401);
                ck_assert_int_eq(drain("eastus", b), 401);
            }
    // our own words under a key of ours, for the measure
    ck_assert_int_eq(look(signed_by(0, claims_of("drainer", EASTERN, "admin"))), LOOKED);
    ck_assert_int_eq(look(signed_by(0, claims_of("ada", EASTERN, "admin"))), 401);
    ck_assert_int_eq(look(signed_by(0, claims_of("drainer", EASTERN, "access"))), 401);
    // a bearer that would live on
    json_t *longer = claims_of("drainer", EASTERN, "admin");
    json_object_set_new(longer, "exp", json_integer((json_int_t)NOW_S + ADMIN_BEARER_S + 1));
    ck_assert_int_eq(look(signed_by(0, longer)), 401);
    // a region that the topology does not know any more cannot be believed at home either
    struct topology *without = fixture_topology(2, false);
    snapshot_publish(&topology_cell, without);
    ck_assert_int_eq(look(signed_by(0, claims_of("drainer", EASTERN, "admin"))), 401);
    admin_login_stop(west);
    down();
}
END_TEST

// What a token for a repository would hold, by the node's own principals.
static json_t *judged(const char *bearer_text, const char *query, int status)
{
    AUTO_FREE char *path = mem_printf("/v1/principals/judge?%s", query);
    ck_assert_int_eq(ask("GET", path, bearer_text), status);
    if (status != 200)
        return NULL;
    json_t *doc = json_loads(body, 0, NULL);
    ck_assert_ptr_nonnull(doc);
    ck_assert_ptr_null(strstr(body, "$y$"));
    return doc;
}

static bool holds(json_t *doc, const char *action) // takes it
{
    bool found = false;
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(doc, "actions"), i, one) found |=
        !strcmp(json_string_value(one), action);
    json_decref(doc);
    return found;
}

START_TEST(a_node_judges_what_a_token_would_hold)
{
    up();
    publish(arena_printf(&arena,
                         "%s%s  - {name: old, registry: contoso, scope_map: _pull, repositories: "
                         "['app'], passwords: [{id: 1, password_hash: '%s', expires: "
                         "2001-01-01T00:00:00Z}]}\n",
                         row(READER, hash), row(CI, hash), hash));
    const char *b = bearer("reader");
    json_t *doc = judged(b, "registry=contoso&repository=app&principal=ada", 200);
    ck_assert(json_is_true(json_object_get(doc, "known")));
    ck_assert(json_is_true(json_object_get(doc, "enabled")));
    ck_assert_str_eq(json_string_value(json_object_get(doc, "kind")), "user");
    ck_assert_int_eq(json_integer_value(json_object_get(doc, "passwords")), 1);
    ck_assert(holds(doc, "pull"));
    ck_assert(!holds(judged(b, "registry=openlib&repository=app&principal=ada", 200), "push"));
    // what anybody may
    ck_assert(holds(judged(b, "registry=openlib&repository=app", 200), "pull"));
    ck_assert(!holds(judged(b, "registry=contoso&repository=app", 200), "pull"));
    // somebody who is not there holds not even that
    doc = judged(b, "registry=openlib&repository=app&principal=nobody", 200);
    ck_assert(json_is_false(json_object_get(doc, "known")));
    ck_assert(!holds(doc, "pull"));
    doc = judged(b, "registry=contoso&repository=app&principal=old", 200);
    ck_assert_str_eq(json_string_value(json_object_get(doc, "kind")), "token");
    ck_assert_int_eq(json_integer_value(json_object_get(doc, "passwords")), 0);
    ck_assert(holds(doc, "pull"));
    static const char *const bad[] = {"", "registry=contoso", "registry=contoso&repository=A",
                                      "repository=app",
                                      "registry=contoso&repository=app&principal=a%20b"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        judged(b, bad[i], 400);
    judged(b, "registry=nosuch&repository=app", 404);
    judged(NULL, "registry=contoso&repository=app", 401);
    down();
}
END_TEST

CHECK_MAIN("daemon/admin_listener", a_node_judges_what_a_token_would_hold,
           a_token_of_the_fleet_gets_in_and_nobody_else,
           each_call_asks_its_right_and_changes_are_not_served,
           the_holder_is_judged_anew_at_each_call, a_revoked_bearer_is_none,
           an_operation_is_asked_for_by_its_id_or_with_a_bearer_that_counts,
           a_hostile_edge_looks_and_drains_and_no_more, a_hostile_region_gets_nowhere_at_another)
