// SPDX-License-Identifier: Apache-2.0
// POST /oauth2/exchange: issuers that rotate their keys, are slow, are down, lie about their
// addresses; tokens in the place of others; what becomes of a refresh token when rules change.
#include "auth/issuer_keys_test.h"
#include "auth/service_priv.h"
#include "net/http_test.h"
#include "net/outbound_test.h"
#include "registry/oci_error.h"
#include "tests/support/check_main.h"
#include "tests/support/https_toy.h"
#include "tests/unit/auth/auth_fixture.h"
#include "tests/unit/auth/oidc_fixture.h"

#include <pthread.h>

#define SERVICE "contoso.meridian.test"
#define CONDITION_SIZE 512
#define FORM "application/x-www-form-urlencoded"

static struct snapshot topology_cell, principals_cell;
static struct auth_service *service;
static struct outbound *guard;
static struct audit *audit;
static char dir[64], ca[100], leaf[100];
static struct foreign_key key1, key2;
static struct cidr allowed;

// --- issuers: issuer.test answers, slow.test does so when it is let ---

static struct toy issuer, slow;
static pthread_mutex_t said_lock = PTHREAD_MUTEX_INITIALIZER;
// under the lock; what issuer.test says now: NULL is the truth
static char *document, *keys_text, *head;
static _Atomic bool released, broken;

static void say(char **what, char *text)
{
    pthread_mutex_lock(&said_lock);
    free(*what);
    *what = text;
    pthread_mutex_unlock(&said_lock);
}

static void publish_keys(const struct foreign_key *keys, size_t n)
{
    say(&keys_text, foreign_jwks(keys, n));
}

static void answer(struct toy *t, const char *request, struct buf *out)
{
    const char *name = t->ctx;
    bool discovery = strstr(request, "GET /.well-known/openid-configuration ");
    for (int i = 0; t == &slow && !atomic_load(&released) && !atomic_load(&t->stop) && i < 4000;
         i++)
        clock_sleep_ms(5);
    if (atomic_load(&broken)) {
        buf_str(out, "HTTP/1.1 500 Broken\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
    }
    AUTO_FREE char *truth =
        mem_printf("{\"issuer\":\"https://%s:%u\",\"jwks_uri\":\"https://%s:%u/keys\"}", name,
                   t->port, name, t->port);
    pthread_mutex_lock(&said_lock);
    if (discovery && head)
        buf_str(out, head);
    else
        buf_str(out, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    if (discovery)
        buf_str(out, document ? document : truth);
    else
        buf_str(out, keys_text);
    pthread_mutex_unlock(&said_lock);
}

static int resolve(const char *host, struct outbound_addresses *out)
{
    const char *at = "127.0.0.1";
    if (!strcmp(host, "inside.test"))
        at = "10.0.0.1";
    ck_assert_int_eq(ip_parse(at, &out->ip[0]), 0);
    out->n = 1;
    return 0;
}

// --- principals ---

#define RULE_DEPLOY                                                                             \
    "      - {name: deploy, match: {repository_id: \"123\", ref: refs/heads/main}, scope_map: " \
    "_push, repositories: [\"web/*\"]}\n"
#define RULE_PULL                                                                             \
    "      - {name: rest, match: {sub: \"repo:contoso/*\"}, scope_map: _pull, repositories: " \
    "[\"*\"]}\n"

static char *issuer_text(const char *name, const char *host, uint16_t port, const char *registry,
                         const char *rules)
{
    return mem_printf(
        "  - name: %s\n    issuer: https://%s:%u\n    registry: %s\n    ca_file: %s\n    "
        "lifetime: 10m\n    rules:\n%s",
        name, host, port, registry, ca, rules);
}

static void principals_publish(const char *rules, const char *more)
{
    char hash[128];
    struct principals *p;
    struct diag d;
    fixture_hash("ada-secret", hash);
    AUTO_FREE char *ci = issuer_text("ci", "issuer.test", issuer.port, "contoso", rules),
                   *lazy = issuer_text("lazy", "slow.test", slow.port, "contoso", RULE_DEPLOY),
                   *other = issuer_text("ci", "issuer.test", issuer.port, "fabrikam", RULE_DEPLOY);
    AUTO_FREE char *y = mem_printf(
        "users:\n  - name: ada\n    password_hash: \"%s\"\n    grants: [{registry: contoso, "
        "repositories: [\"*\"], actions: [pull]}]\nissuers:\n%s%s%s%s",
        hash, ci, lazy, other, more ? more : "");
    diag_init(&d);
    int rc = principals_parse(y, strlen(y), "principals.yaml", &d, &p);
    ck_assert_msg(!rc, "%s", d.n ? d.lines[0] : "?");
    diag_done(&d);
    snapshot_publish(&principals_cell, p);
}

static void setup(void)
{
    fixture_setup();
    snprintf(dir, sizeof dir, "/tmp/mer-exchange-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    tls_make_ca(dir, "ca", ca, sizeof ca);
    tls_make_leaf(dir, "ca", "leaf", "DNS:issuer.test,DNS:slow.test", leaf, sizeof leaf);
    key1 = foreign_ec("key-1", "P-256");
    key2 = foreign_ec("key-2", "P-256");
    publish_keys(&key1, 1);
    issuer = (struct toy){.answer = answer, .pem = leaf, .ctx = (void *)"issuer.test"};
    slow = (struct toy){.answer = answer, .pem = leaf, .ctx = (void *)"slow.test"};
    toy_start(&issuer);
    toy_start(&slow);
    ck_assert_int_eq(cidr_parse("127.0.0.1", &allowed), 0);
    outbound_test_resolver(resolve);
    ck_assert_int_eq(
        outbound_new(&(struct outbound_options){.allow = &allowed, .n_allow = 1}, &guard), 0);
    snapshot_init(&topology_cell);
    snapshot_init(&principals_cell);
    snapshot_publish(&topology_cell, snapshot_ref(fixture_t));
    principals_publish(RULE_DEPLOY RULE_PULL, NULL);
    char log[100];
    snprintf(log, sizeof log, "%s/audit.log", dir);
    const struct audit_options a = {.path = log, .region = "eastus", .stamp = "eus-1"};
    ck_assert_int_eq(audit_start(&a, NULL, &audit), 0);
    const struct auth_service_options o = {.topology = &topology_cell,
                                           .principals = &principals_cell,
                                           .keys = fixture_keys[0],
                                           .audit = audit,
                                           .region = "eastus",
                                           .outbound = guard,
                                           .state_dir = dir};
    ck_assert_int_eq(auth_service_start(&o, &service), 0);
}

static void teardown(void)
{
    auth_service_stop(service);
    outbound_free(guard);
    audit_stop(audit);
    outbound_test_resolver(NULL);
    toy_stop(&issuer);
    toy_stop(&slow);
    snapshot_done(&topology_cell);
    snapshot_done(&principals_cell);
    EVP_PKEY_free(key1.key);
    EVP_PKEY_free(key2.key);
    say(&document, NULL);
    say(&keys_text, NULL);
    say(&head, NULL);
    dir_remove_tree(dir);
    fixture_teardown();
}

// --- asking ---

static void begin(void *ctx, struct http_request *req, struct http_plan *plan)
{
    (void)ctx;
    struct hostname host;
    hostname_parse_http_host(req->host, "meridian.test", &host);
    auth_service_begin(service, req, fixture_t, topology_registry(fixture_t, "contoso"), &host,
                       plan);
}

struct reply {
    int status;
    bool retry;
    json_t *json;
    char detail[700];
};

static struct reply post(const char *method, const char *path, const char *type, const char *body)
{
    const struct http_app app = {.begin = begin, .words = &oci_words};
    struct http_request *req = http_request_test_new(method, path, SERVICE);
    struct http_response resp;
    if (type)
        http_request_test_header(req, "Content-Type", type);
    if (body)
        http_request_test_body(req, body, strlen(body));
    http_app_test_run(&app, req, 7, &resp);
    struct reply r = {.status = resp.status,
                      .retry = http_response_get(&resp, "Retry-After"),
                      .json = json_loadb((const char *)resp.body.p, resp.body.n, 0, NULL)};
    snprintf(r.detail, sizeof r.detail, "%s|%s", req->refused_detail ? req->refused_detail : "",
             req->refused_why ? req->refused_why : "");
    http_request_test_free(req);
    return r;
}

static const char *text_of(const struct reply *r, const char *key)
{
    return json_string_value(json_object_get(r->json, key));
}

static struct reply exchange(const char *token)
{
    AUTO_FREE char *body =
        mem_printf("grant_type=access_token&service=" SERVICE "&tenant=x&access_token=%s", token);
    return post("POST", "/oauth2/exchange", FORM, body);
}

static char *body_of(const char *host, uint16_t port, const char *aud, const char *id,
                     const char *more)
{
    int64_t now = clock_wall_ms() / 1000;
    return mem_printf("{\"iss\":\"https://%s:%u\",\"sub\":\"repo:contoso/web:ref:refs/heads/main\","
                      "\"aud\":\"%s\",\"jti\":\"%s\",\"iat\":%lld,\"nbf\":%lld,\"exp\":%lld,"
                      "\"repository_id\":\"123\",\"ref\":\"refs/heads/main\"%s}",
                      host, port, aud, id, (long long)now - 5, (long long)now - 5,
                      (long long)now + 300, more);
}

// A new token of issuer.test each time.
static char *token_by(const struct foreign_key *k)
{
    static _Atomic int n;
    char id[32];
    snprintf(id, sizeof id, "id-%d", atomic_fetch_add(&n, 1));
    AUTO_FREE char *body = body_of("issuer.test", issuer.port, SERVICE, id, "");
    return foreign_token(k, NULL, body);
}

static int status_of(const char *token)
{
    struct reply r = exchange(token);
    json_decref(r.json);
    return r.status;
}

static int status_by(const struct foreign_key *k)
{
    AUTO_FREE char *token = token_by(k);
    return status_of(token);
}

// What the refresh token gives for that scope: "actions=…", or the status.
static const char *used(const char *refresh, const char *scope)
{
    static char out[800];
    AUTO_FREE char *body = mem_printf(
        "grant_type=refresh_token&service=" SERVICE "&scope=%s&refresh_token=%s", scope, refresh);
    struct reply r = post("POST", "/oauth2/token", FORM, body);
    if (r.status == 200)
        snprintf(out, sizeof out, "%s", text_of(&r, "scope"));
    else
        snprintf(out, sizeof out, "%d %s", r.status, r.detail);
    json_decref(r.json);
    return out;
}

#define SCOPE "repository%3Aweb%2Fapp%3Apull%2Cpush"

// --- tests ---

START_TEST(a_workload_gets_what_its_rule_says)
{
    setup();
    AUTO_FREE char *token = token_by(&key1);
    struct reply r = exchange(token);
    ck_assert_msg(r.status == 200, "%s", r.detail);
    ck_assert_uint_eq(json_object_size(r.json), 1);
    AUTO_FREE char *refresh = mem_strdup(text_of(&r, "refresh_token"));
    json_decref(r.json);
    ck_assert_ptr_nonnull(strstr(used(refresh, SCOPE), "repository:web/app:pull,push"));
    ck_assert_str_eq(used(refresh, "repository%3Aother%3Apull"), "");
    // it is short
    struct arena a;
    struct claims c;
    arena_init(&a, 0);
    const struct registry *reg = topology_registry(fixture_t, "contoso");
    int64_t now = clock_wall_ms();
    ck_assert_int_eq(token_verify(fixture_t, reg, refresh, TOKEN_REFRESH, now, &a, &c), 0);
    ck_assert_str_eq(c.subject, "oidc:ci:repo:contoso/web:ref:refs/heads/main");
    ck_assert_int_eq(token_verify(fixture_t, reg, refresh, TOKEN_REFRESH, now + 700000, &a, &c),
                     ERR_EXPIRED);
    arena_done(&a);
    // once is once
    r = exchange(token);
    ck_assert_int_eq(r.status, 401);
    ck_assert_ptr_nonnull(strstr(r.detail, "exchanged before"));
    json_decref(r.json);
    // keys are asked for once, not at each exchange
    int asked = atomic_load(&issuer.n_requests);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(status_by(&key1), 200);
    ck_assert_int_eq(atomic_load(&issuer.n_requests), asked);
    // and an auditor sees who came by which rule, and what was refused
    AUTO_BUF struct buf lines;
    char log[100];
    snprintf(log, sizeof log, "%s/audit.log", dir);
    buf_init(&lines, 0);
    ck_assert_int_eq(audit_flush(audit, 10000), 0);
    ck_assert_int_eq(file_read(log, 1 << 20, &lines), 0);
    const char *done = strstr(lines.p, "\"exchange\",\"outcome\":\"done\"");
    ck_assert_ptr_nonnull(done);
    ck_assert_ptr_nonnull(strstr(done, "oidc:ci:repo:contoso/web:ref:refs/heads/main"));
    ck_assert_ptr_nonnull(strstr(done, "\"detail\":\"deploy\""));
    ck_assert_ptr_nonnull(strstr(lines.p, "\"exchange\",\"outcome\":\"refused\""));
    ck_assert_ptr_null(strstr(lines.p, token));
    // judged again at each use
    principals_publish(
        "      - {name: deploy, match: {repository_id: \"123\", ref: refs/heads/main}, "
        "scope_map: _pull, repositories: [\"web/*\"]}\n",
        NULL);
    ck_assert_str_eq(used(refresh, SCOPE), "repository:web/app:pull");
    principals_publish(
        "      - {name: deploy, match: {repository_id: \"124\", ref: refs/heads/main}, "
        "scope_map: _pull, repositories: [\"web/*\"]}\n",
        NULL);
    ck_assert_ptr_nonnull(strstr(used(refresh, SCOPE), "401 "));
    principals_publish(RULE_DEPLOY, NULL); // it is back as it was
    ck_assert_ptr_nonnull(strstr(used(refresh, SCOPE), "pull,push"));
    principals_publish(RULE_PULL, NULL);
    ck_assert_ptr_nonnull(strstr(used(refresh, SCOPE), "whom nobody knows"));
    teardown();
}
END_TEST

START_TEST(an_issuer_rotates_its_keys)
{
    setup();
    const struct foreign_key both[] = {key1, key2};
    ck_assert_int_eq(status_by(&key1), 200);
    publish_keys(both, 2);
    // a key that we have not got is asked for, but not at every whim
    int asked = atomic_load(&issuer.n_requests);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(status_by(&key2), 401);
    ck_assert_int_eq(atomic_load(&issuer.n_requests), asked);
    issuer_keys_test_age(service->issuer_keys, KEYS_GAP_MS);
    ck_assert_int_eq(status_by(&key2), 200);
    ck_assert_int_eq(status_by(&key1), 200);
    // the old one goes: no longer taken once the keys are old
    publish_keys(&key2, 1);
    ck_assert_int_eq(status_by(&key1), 200);
    issuer_keys_test_age(service->issuer_keys, KEYS_USED_MS);
    ck_assert_int_eq(status_by(&key1), 401);
    ck_assert_int_eq(status_by(&key2), 200);
    teardown();
}
END_TEST

START_TEST(an_issuer_is_down)
{
    setup();
    atomic_store(&broken, true);
    AUTO_FREE char *token = token_by(&key1);
    struct reply r = exchange(token);
    ck_assert_int_eq(r.status, 503);
    ck_assert(r.retry);
    ck_assert_ptr_nonnull(strstr(r.detail, "status 500"));
    json_decref(r.json);
    char said[CONDITION_SIZE];
    ck_assert_uint_eq(auth_issuers_failing(service, said, sizeof said), 1);
    ck_assert_ptr_nonnull(
        strstr(said, "the keys of issuer ci cannot be had: https://issuer.test:"));
    int asked = atomic_load(&issuer.n_requests);
    ck_assert_int_eq(status_of(token), 503); // it is not asked again at once
    ck_assert_int_eq(atomic_load(&issuer.n_requests), asked);
    atomic_store(&broken, false);
    issuer_keys_test_age(service->issuer_keys, KEYS_RETRY_MAX_MS);
    ck_assert_int_eq(status_of(token), 200); // and the token is still good
    ck_assert_uint_eq(auth_issuers_failing(service, said, sizeof said), 0);
    // its keys outlive it by a day
    atomic_store(&broken, true);
    issuer_keys_test_age(service->issuer_keys, KEYS_USED_MS + 1000);
    ck_assert_int_eq(status_by(&key1), 200);
    issuer_keys_test_age(service->issuer_keys, KEYS_STALE_MS);
    ck_assert_int_eq(status_by(&key1), 503);
    // and nobody else is disturbed
    struct reply login =
        post("POST", "/oauth2/token", FORM,
             "grant_type=password&username=ada&password=ada-secret&service=" SERVICE);
    ck_assert_int_eq(login.status, 200);
    json_decref(login.json);
    atomic_store(&broken, false);
    teardown();
}
END_TEST

static _Atomic int n_busy, n_ended;
static char *slow_token, slow_detail[700];

static void *ask_slow(void *arg)
{
    struct reply r = exchange(slow_token);
    if (r.status == 503 && !atomic_load(&released))
        atomic_fetch_add(&n_busy, 1);
    if (arg)
        memcpy(arg, r.detail, sizeof r.detail);
    json_decref(r.json);
    atomic_fetch_add(&n_ended, 1);
    return NULL;
}

START_TEST(a_slow_issuer_holds_up_nobody_else)
{
    setup();
    pthread_t t[10];
    AUTO_FREE char *body = body_of("slow.test", slow.port, SERVICE, "slow-1", "");
    slow_token = foreign_token(&key1, NULL, body);
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, ask_slow, NULL), 0);
    for (int i = 0; atomic_load(&n_ended) < (int)ARRAY_LEN(t) - KEYS_WAITERS; i++) {
        ck_assert_int_lt(i, 4000);
        clock_sleep_ms(1);
    }
    ck_assert_int_ge(atomic_load(&n_busy), ARRAY_LEN(t) - KEYS_WAITERS);
    ck_assert_int_eq(status_by(&key1), 200);
    atomic_store(&released, true);
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        pthread_join(t[i], NULL);
    free(slow_token);
    teardown();
}
END_TEST

// A stop of the service does not wait for an issuer either.
START_TEST(a_stop_does_not_wait_for_an_issuer)
{
    setup();
    pthread_t t;
    AUTO_FREE char *body = body_of("slow.test", slow.port, SERVICE, "slow-1", "");
    slow_token = foreign_token(&key1, NULL, body);
    ck_assert_int_eq(pthread_create(&t, NULL, ask_slow, slow_detail), 0);
    for (int i = 0; !atomic_load(&slow.n_accepted); i++) {
        ck_assert_int_lt(i, 4000);
        clock_sleep_ms(1);
    }
    issuer_keys_stop(service->issuer_keys);
    pthread_join(t, NULL);
    teardown();
    ck_assert_msg(!strstr(slow_detail, "timed out"), "%s", slow_detail);
    free(slow_token);
}
END_TEST

START_TEST(an_issuer_lies_about_its_addresses)
{
    setup();
    static const struct {
        const char *uri, *fragment;
    } rows[] = {
        {"https://127.0.0.2/keys", "127.0.0.2, a loopback address"},
        {"https://169.254.169.254/latest/meta-data", "a cloud's metadata service"},
        {"https://[::ffff:169.254.169.254]/", "a cloud's metadata service"},
        {"https://inside.test/keys", "10.0.0.1, a private network"},
        {"http://issuer.test/keys", "only https"},
        {"https://u:p@issuer.test/keys", "must not hold a user"},
        {"file:///etc/passwd", "only https"},
    };
    int n = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++, n++) {
        AUTO_FREE char *token = token_by(&key1);
        say(&document, mem_printf("{\"issuer\":\"https://issuer.test:%u\",\"jwks_uri\":\"%s\"}",
                                  issuer.port, rows[i].uri));
        issuer_keys_test_age(service->issuer_keys, KEYS_RETRY_MAX_MS);
        struct reply r = exchange(token);
        ck_assert_int_eq(r.status, 503);
        ck_assert_msg(strstr(r.detail, rows[i].fragment) != NULL, "%s", r.detail);
        // whoever asks learns nothing of our inside
        ck_assert_ptr_null(strstr(text_of(&r, "error_description"), "private"));
        json_decref(r.json);
    }
    static const char *const redirects[] = {"https://127.0.0.2/", "https://169.254.169.254/",
                                            "https://inside.test/", "http://issuer.test/"};
    for (size_t i = 0; i < ARRAY_LEN(redirects); i++) {
        AUTO_FREE char *token = token_by(&key1);
        say(&head, mem_printf("HTTP/1.1 302 Found\r\nLocation: %s\r\nConnection: close\r\n\r\n",
                              redirects[i]));
        issuer_keys_test_age(service->issuer_keys, KEYS_RETRY_MAX_MS);
        struct reply r = exchange(token);
        ck_assert_int_eq(r.status, 503);
        ck_assert_msg(strstr(r.detail, "redirect") != NULL, "%s", r.detail);
        json_decref(r.json);
    }
    say(&head, NULL);
    say(&document,
        mem_strdup("{\"issuer\":\"https://other.test\",\"jwks_uri\":\"https://k.test/\"}"));
    issuer_keys_test_age(service->issuer_keys, KEYS_RETRY_MAX_MS);
    ck_assert_int_eq(status_by(&key1), 503);
    say(&document, NULL);
    say(&keys_text, mem_strdup("{\"keys\":[]}"));
    issuer_keys_test_age(service->issuer_keys, KEYS_RETRY_MAX_MS);
    ck_assert_int_eq(status_by(&key1), 503);
    publish_keys(&key1, 1);
    issuer_keys_test_age(service->issuer_keys, KEYS_RETRY_MAX_MS);
    ck_assert_int_eq(status_by(&key1), 200);
    teardown();
}
END_TEST

START_TEST(one_token_in_the_place_of_another)
{
    setup();
    AUTO_FREE char *token = token_by(&key1);
    struct reply r = exchange(token);
    ck_assert_int_eq(r.status, 200);
    AUTO_FREE char *refresh = mem_strdup(text_of(&r, "refresh_token"));
    json_decref(r.json);
    // ours as another issuer's
    ck_assert_int_eq(status_of(refresh), 401);
    // another's as ours
    AUTO_FREE char *fresh = token_by(&key1);
    ck_assert_ptr_nonnull(strstr(used(fresh, SCOPE), "401 "));
    struct arena a;
    struct access acc;
    arena_init(&a, 0);
    const struct registry *reg = topology_registry(fixture_t, "contoso");
    const char *const bearers[] = {fresh, refresh};
    for (size_t i = 0; i < 2; i++)
        ck_assert_int_eq(token_verify_access(fixture_t, reg, bearers[i], clock_wall_ms(), &a, &acc),
                         ERR_AUTH);
    arena_done(&a);
    // another registry's, another issuer's key, a key that signs by another algorithm, none at all
    AUTO_FREE char *elsewhere =
        body_of("issuer.test", issuer.port, "fabrikam.meridian.test", "e", "");
    AUTO_FREE char *good = body_of("issuer.test", issuer.port, SERVICE, "g", "");
    AUTO_FREE char *stranger = body_of("stranger.test", 443, SERVICE, "s", "");
    AUTO_FREE char *extra = body_of("issuer.test", issuer.port, SERVICE, "x", ",\"iss\":\"x\"");
    const struct foreign_key thief = {"key-1", false, key2.key};
    const struct {
        const struct foreign_key *key;
        const char *header, *body, *why;
    } rows[] = {
        {&key1, NULL, elsewhere, "aud"},
        {&key1, NULL, stranger, "does not trust"},
        {&key1, NULL, extra, "not a signed JWT"},
        {&thief, NULL, good, "signature is not the issuer's"},
        {&key1, "{\"alg\":\"none\",\"kid\":\"key-1\"}", good, "RS256 or ES256"},
        {&key1, "{\"alg\":\"HS256\",\"kid\":\"key-1\"}", good, "RS256 or ES256"},
        {&key1, "{\"alg\":\"RS256\",\"kid\":\"key-1\"}", good, "no key by the name"},
        {&key1, "{\"alg\":\"ES256\",\"kid\":\"../keys\"}", good, "no key by the name"},
        {&key1, "{\"alg\":\"ES256\"}", good, "names no key"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *forged = foreign_token(rows[i].key, rows[i].header, rows[i].body);
        r = exchange(forged);
        ck_assert_int_eq(r.status, 401);
        ck_assert_msg(strstr(r.detail, rows[i].why) != NULL, "row %zu: %s", i, r.detail);
        ck_assert_str_eq(text_of(&r, "error"), "invalid_grant");
        json_decref(r.json);
    }
    // no rule takes it
    AUTO_FREE char *mine = body_of("issuer.test", issuer.port, SERVICE, "m", "");
    principals_publish("      - {name: r, match: {sub: \"repo:other/*\"}, scope_map: _pull, "
                       "repositories: [\"*\"]}\n",
                       NULL);
    AUTO_FREE char *unruled = foreign_token(&key1, NULL, mine);
    r = exchange(unruled);
    ck_assert_int_eq(r.status, 401);
    ck_assert_ptr_nonnull(strstr(r.detail, "no rule"));
    json_decref(r.json);
    teardown();
}
END_TEST

// Clusters that nobody reaches: keys in the document, in a file; an address that is given.
START_TEST(private_issuers)
{
    setup();
    char path[100];
    snprintf(path, sizeof path, "%s/keys.json", dir);
    AUTO_FREE char *keys = foreign_jwks(&key2, 1);
    ck_assert_int_eq(file_write_atomic(path, keys, strlen(keys), 0600), 0);
    static const char rules[] =
        "    rules: [{name: r, match: {sub: \"repo:contoso/*\"}, scope_map: _pull, repositories: "
        "[\"*\"]}]\n";
    AUTO_FREE char *more = mem_printf("  - name: inline\n    issuer: https://inline.svc\n    "
                                      "registry: contoso\n    keys: '%s'\n%s"
                                      "  - name: filed\n    issuer: https://filed.svc\n    "
                                      "registry: contoso\n    keys_file: %s\n%s",
                                      keys, rules, path, rules);
    principals_publish(RULE_DEPLOY, more);
    static const char *const hosts[] = {"inline.svc", "filed.svc"};
    for (size_t i = 0; i < 2; i++) {
        int64_t now = clock_wall_ms() / 1000;
        AUTO_FREE char *body =
            mem_printf("{\"iss\":\"https://%s\",\"sub\":\"repo:contoso/x\",\"aud\":[\"" SERVICE
                       "\"],\"iat\":%lld,\"exp\":%lld}",
                       hosts[i], (long long)now, (long long)now + 60);
        AUTO_FREE char *token = foreign_token(&key2, NULL, body);
        struct reply r = exchange(token);
        ck_assert_msg(r.status == 200, "%s", r.detail);
        json_decref(r.json);
        ck_assert_int_eq(status_of(token), 401); // without jti it is good once all the same
    }
    ck_assert_int_eq(atomic_load(&issuer.n_requests), 0);
    // by an address: the name need not resolve to it, and the guard judges it
    AUTO_FREE char *at = mem_printf("    address: 127.0.0.1:%u\n", issuer.port),
                   *inside = mem_printf("    address: 10.0.0.1:%u\n", issuer.port);
    const char *const addresses[] = {inside, at};
    for (size_t i = 0; i < 2; i++) {
        AUTO_FREE char *y = mem_printf("  - name: pinned\n    issuer: https://issuer.test:%u\n    "
                                       "registry: openlib\n    ca_file: %s\n%s%s",
                                       issuer.port, ca, addresses[i], rules);
        principals_publish(RULE_DEPLOY, y);
        struct principals *p = snapshot_get(&principals_cell);
        const struct issuer *pinned = issuer_by_name(p, "openlib", "pinned");
        const struct key_want want = {"key-1", JWT_ES256};
        char why[KEYS_WHY_SIZE];
        struct jwks *found = NULL;
        int rc = issuer_keys_get(service->issuer_keys, pinned, &want, &found, why);
        ck_assert_msg(rc == (i ? 0 : ERR_UNREACHABLE), "%d %s", rc, why);
        if (!i)
            ck_assert_ptr_nonnull(strstr(why, "10.0.0.1, a private network"));
        jwks_unref(found);
        snapshot_unref(p);
    }
    teardown();
}
END_TEST

START_TEST(questions_that_are_none)
{
    setup();
    static const struct {
        const char *method, *type, *body;
        int status;
    } rows[] = {
        {"GET", NULL, NULL, 405},
        {"POST", "application/json", "{}", 400},
        {"POST", FORM, "", 400},
        {"POST", FORM, "grant_type=password&service=" SERVICE "&access_token=a.b.c", 400},
        {"POST", FORM, "grant_type=access_token&access_token=a.b.c", 400},
        {"POST", FORM, "grant_type=access_token&service=other&access_token=a.b.c", 400},
        {"POST", FORM, "grant_type=access_token&service=" SERVICE, 400},
        {"POST", FORM, "grant_type=access_token&service=" SERVICE "&access_token=", 400},
        {"POST", FORM,
         "grant_type=access_token&service=" SERVICE "&access_token=a.b.c&access_token=a.b.c", 400},
        {"POST", FORM, "grant_type=access_token&service=" SERVICE "&access_token=a.b.c", 401},
        {"POST", FORM, "grant_type=access_token&service=CONTOSO.meridian.test&access_token=x", 401},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct reply r = post(rows[i].method, "/oauth2/exchange", rows[i].type, rows[i].body);
        ck_assert_msg(r.status == rows[i].status, "row %zu: %d", i, r.status);
        json_decref(r.json);
    }
    ck_assert_int_eq(atomic_load(&issuer.n_requests), 0);
    teardown();
}
END_TEST

CHECK_MAIN("auth/exchange", a_workload_gets_what_its_rule_says, an_issuer_rotates_its_keys,
           an_issuer_is_down, a_slow_issuer_holds_up_nobody_else,
           a_stop_does_not_wait_for_an_issuer, an_issuer_lies_about_its_addresses,
           one_token_in_the_place_of_another, private_issuers, questions_that_are_none)
