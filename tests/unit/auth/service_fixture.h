// SPDX-License-Identifier: Apache-2.0
// The token service for tests, as its callers see it: one exchange after another, without a socket.
// Included by each test program, so that it stays one file.
#ifndef MERIDIAN_TESTS_SERVICE_FIXTURE_H
#define MERIDIAN_TESTS_SERVICE_FIXTURE_H

#include "auth/service.h"
#include "config/policy.h"
#include "net/http_test.h"
#include "registry/oci_error.h"
#include "tests/unit/auth/auth_fixture.h"

static struct snapshot topology_cell, principals_cell;
static struct auth_service *service;
// of contoso, once a test has set some; judged by `throttle`
static struct rates rates;
static struct throttle *throttle;
// what hears of events; NULL: nobody
static struct audit *events;
// where issued refresh tokens are listed; NULL: nowhere
static struct issued *issued __attribute__((unused));
static const char *registry_name = "contoso";
static int64_t principals_age;

static inline int64_t age_of(void *ctx)
{
    (void)ctx;
    return principals_age;
}

static inline void setup(void)
{
    fixture_setup();
    snapshot_init(&topology_cell);
    snapshot_init(&principals_cell);
    snapshot_publish(&topology_cell, snapshot_ref(fixture_t));
    snapshot_publish(&principals_cell, fixture_principals(1, "ada-secret", true));
    const struct auth_service_options o = {.topology = &topology_cell,
                                           .principals = &principals_cell,
                                           .keys = fixture_keys[0],
                                           .audit = events,
                                           .throttle = throttle,
                                           .issued = issued,
                                           .region = "eastus",
                                           .principals_age_ms = age_of};
    ck_assert_int_eq(auth_service_start(&o, &service), 0);
}

static inline void teardown(void)
{
    auth_service_stop(service);
    snapshot_done(&topology_cell);
    snapshot_done(&principals_cell);
    fixture_teardown();
}

static inline void begin(void *ctx, struct http_request *req, struct http_plan *plan)
{
    (void)ctx;
    struct hostname host;
    hostname_parse_http_host(req->host, "meridian.test", &host);
    static struct registry as_set; // the service keeps it
    static struct registry_policy policy;
    as_set = *topology_registry(fixture_t, registry_name);
    policy.rates = rates;
    if (rates_any(&rates))
        as_set.policy = &policy;
    auth_service_begin(service, req, fixture_t, &as_set, &host, plan);
}

struct reply {
    int status;
    char *www, *retry, *allow, *cache;
    json_t *json;
};

static inline char *header_copy(const struct http_response *resp, const char *name)
{
    const char *v = http_response_get(resp, name);
    return v ? mem_strdup(v) : NULL;
}

static inline struct reply ask(const char *method, const char *target, const char *authorization,
                               const char *type, const char *body)
{
    const struct http_app app = {.begin = begin, .words = &oci_words};
    struct http_request *req = http_request_test_new(method, target, "contoso.meridian.test");
    struct http_response resp;
    if (authorization)
        http_request_test_header(req, "Authorization", authorization);
    if (type)
        http_request_test_header(req, "Content-Type", type);
    if (body)
        http_request_test_body(req, body, strlen(body));
    http_app_test_run(&app, req, 7, &resp);
    struct reply r = {.status = resp.status,
                      .www = header_copy(&resp, "WWW-Authenticate"),
                      .retry = header_copy(&resp, "Retry-After"),
                      .allow = header_copy(&resp, "Allow"),
                      .cache = header_copy(&resp, "Cache-Control"),
                      .json = json_loadb((const char *)resp.body.p, resp.body.n, 0, NULL)};
    http_request_test_free(req);
    return r;
}

static inline void reply_done(struct reply *r)
{
    free(r->www);
    free(r->retry);
    free(r->allow);
    free(r->cache);
    json_decref(r->json);
    *r = (struct reply){0};
}

static inline const char *basic(const char *user, const char *password)
{
    static char out[TOKEN_MAX_BYTES * 2];
    AUTO_FREE char *plain = mem_printf("%s:%s", user, password);
    size_t n = (size_t)snprintf(out, sizeof out, "Basic ");
    b64_format(plain, strlen(plain), out + n);
    return out;
}

static inline const char *text_of(const struct reply *r, const char *key)
{
    return json_string_value(json_object_get(r->json, key));
}

// What the reply's token permits, "name=actions;…", or "refused".
static inline const char *granted(const struct reply *r)
{
    static char out[512];
    struct arena a;
    struct access acc;
    arena_init(&a, 0);
    const char *token = text_of(r, "access_token");
    snprintf(out, sizeof out, "refused");
    if (token && !token_verify_access(fixture_t, topology_registry(fixture_t, registry_name), token,
                                      clock_wall_ms(), &a, &acc)) {
        size_t n = (size_t)snprintf(out, sizeof out, "%s:", acc.principal);
        for (size_t i = 0; i < acc.n_grants; i++)
            n += (size_t)snprintf(out + n, sizeof out - n, "%s=%u;", acc.grants[i].repository,
                                  acc.grants[i].actions);
    }
    arena_done(&a);
    return out;
}

#define FORM "application/x-www-form-urlencoded"
#define S "service=contoso.meridian.test"

#endif
