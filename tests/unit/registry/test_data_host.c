// SPDX-License-Identifier: Apache-2.0
// registry/blobs and admit: with data endpoints on, bytes come from the data host by signed URLs,
// which hold for one blob, on one host, for 20 minutes, and are the only authority there.
#include "registry/signed_url.h"
#include "tests/unit/registry/upload_support.h"

#define PRIVATE "contoso.privatelink.meridian.test"
#define REGIONAL_PRIVATE "contoso.eastus.geo.privatelink.meridian.test"
#define DATA_PRIVATE "contoso.eastus.data.privatelink.meridian.test"

static char digest[DIGEST_TEXT_SIZE], other[DIGEST_TEXT_SIZE];
static char *blob;

static void begin(void)
{
    world_up();
    world_data_endpoints = true;
    blob_push("team/app", "bytes", digest);
    blob_push("team/app", "other bytes", other);
    blob = mem_printf("/v2/team/app/blobs/%s", digest);
}

static void end(void)
{
    free(blob);
    world_data_endpoints = false;
    world_down();
}

static struct exchange get(const char *method, const char *target, const char *host,
                           const char *token)
{
    return send_with(method, target, host, token, NULL, NULL, NULL, 0, 0);
}

// Path and query of the URL that a GET at `host` leads to, on `data`. Caller frees.
static char *led_to(const char *host, const char *data)
{
    struct exchange x = get("GET", blob, host, token_pull);
    ck_assert_int_eq(x.resp.status, 307);
    ck_assert_int_eq(x.resp.kind, HTTP_BYTES);
    ck_assert_uint_eq(x.resp.body.n, 0);
    ck_assert_str_eq(header_of(&x, "Cache-Control"), "no-store");
    ck_assert_str_eq(header_of(&x, "Docker-Content-Digest"), digest);
    char *target = target_of(header_of(&x, "Location"), data);
    exchange_end(&x);
    return target;
}

static void expect_bytes(struct exchange x)
{
    ck_assert_int_eq(x.resp.status, 200);
    ck_assert(x.resp.kind == HTTP_ACCEL || x.resp.body.n); // by the edge, or from memory
    ck_assert_str_eq(header_of(&x, "Docker-Content-Digest"), digest);
    exchange_end(&x);
}

// Refused, with a sentence that says where to ask instead.
static void expect_refused(struct exchange x, const char *why)
{
    ck_assert_int_eq(x.resp.status, 403);
    ck_assert(body_has(&x, "UNAUTHORIZED"));
    ck_assert_msg(body_has(&x, why) && body_has(&x, GLOBAL), "%.*s", (int)x.resp.body.n,
                  (const char *)x.resp.body.p);
    ck_assert_str_eq(header_of(&x, "WWW-Authenticate"), "");
    exchange_end(&x);
}

START_TEST(a_get_leads_to_the_data_host_which_needs_no_token)
{
    static const struct {
        const char *host, *data;
    } rows[] = {{GLOBAL, DATA},
                {REGIONAL, DATA},
                {PRIVATE, DATA_PRIVATE},
                {REGIONAL_PRIVATE, DATA_PRIVATE}};
    begin();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *target = led_to(rows[i].host, rows[i].data);
        ck_assert_int_eq(strncmp(target, blob, strlen(blob)), 0);
        expect_bytes(get("GET", target, rows[i].data, NULL));
        expect_bytes(get("HEAD", target, rows[i].data, NULL));
        expect_bytes(get("GET", target, rows[i].data, "not.a.token"));
    }
    end();
}
END_TEST

// A HEAD tells the size with 200, as the specification wants; a validator that fits spares the way.
START_TEST(what_is_no_read_of_bytes_is_answered_at_the_registry)
{
    begin();
    AUTO_FREE char *etag = mem_printf("\"%s\"", digest);
    AUTO_FREE char *absent = mem_printf("/v2/team/app/blobs/" EMPTY_DIGEST);
    expect_bytes(get("HEAD", blob, REGIONAL, token_pull));
    ck_assert_int_eq(
        status_of(send_with("GET", blob, REGIONAL, token_pull, "If-None-Match", etag, NULL, 0, 0)),
        304);
    ck_assert_int_eq(status_of(get("GET", absent, REGIONAL, token_pull)), 404);
    ck_assert_int_eq(status_of(get("GET", blob, REGIONAL, NULL)), 401);
    world_data_endpoints = false;
    expect_bytes(get("GET", blob, REGIONAL, token_pull));
    end();
}
END_TEST

START_TEST(another_region_gets_the_bytes_where_it_asks)
{
    begin();
    struct http_request *req = request_make("GET", blob, REGIONAL, token_pull);
    struct http_response resp;
    req->listener = LISTENER_PEER;
    http_app_test_run(&world_app, req, 0, &resp);
    ck_assert_int_eq(resp.status, 200);
    ck_assert_int_eq(resp.kind, HTTP_ACCEL);
    http_request_test_free(req);
    end();
}
END_TEST

START_TEST(a_data_host_takes_no_other_authority)
{
    begin();
    AUTO_FREE char *target = led_to(REGIONAL, DATA);
    expect_refused(get("GET", blob, DATA, token_push), "signed URLs only");
    expect_refused(get("HEAD", blob, DATA, NULL), "signed URLs only");
    expect_refused(get("GET", target, DATA_PRIVATE, token_push), "does not hold");
    AUTO_FREE char *changed = mem_strdup(target);
    changed[strlen(changed) - 1] ^= 1;
    expect_refused(get("GET", changed, DATA, NULL), "does not hold");
    AUTO_FREE char *another = mem_strdup(target);
    memcpy(strstr(another, digest), other, strlen(other));
    expect_refused(get("GET", another, DATA, NULL), "does not hold");
    AUTO_FREE char *elsewhere = mem_strdup(target);
    memcpy(strstr(elsewhere, "team/app"), "team/apq", 8);
    expect_refused(get("GET", elsewhere, DATA, NULL), "does not hold");
    // It is no authority at a registry's name.
    ck_assert_int_eq(status_of(get("GET", target, REGIONAL, NULL)), 401);
    ck_assert_int_eq(status_of(get("DELETE", target, DATA, token_push)), 405);
    ck_assert_int_eq(status_of(get("GET", "/v2/", DATA, token_push)), 404);
    end();
}
END_TEST

// The URL of an upload does not open a blob, whatever its fields say.
START_TEST(a_signature_of_another_kind_does_not_hold)
{
    begin();
    struct arena a;
    const char *value;
    struct signed_url u = {.kind = "upload",
                           .methods = SIGNED_URL_UPLOAD_METHODS,
                           .host = DATA,
                           .registry = "contoso",
                           .repository = "team/app",
                           .object = digest,
                           .principal = "ada",
                           .expires_s = clock_wall_ms() / 1000 + 60};
    arena_init(&a, 0);
    ck_assert_int_eq(signed_url_make(region_keys_url_key(fixture_keys[0]), &u, &a, &value), 0);
    AUTO_FREE char *target = mem_printf("%s?sig=%s", blob, value);
    expect_refused(get("GET", target, DATA, NULL), "does not hold");
    arena_done(&a);
    end();
}
END_TEST

START_TEST(it_holds_for_requests_that_begin_within_20_minutes)
{
    begin();
    AUTO_FREE char *target = led_to(GLOBAL, DATA);
    clock_virtual_advance(20 * 60 * 1000 - 1000);
    expect_bytes(get("GET", target, DATA, NULL));
    clock_virtual_advance(1000);
    expect_refused(get("GET", target, DATA, NULL), "has expired");
    end();
}
END_TEST

START_TEST(the_port_stands_in_the_url)
{
    begin();
    fixture_t->https_port = 8443;
    AUTO_FREE char *target = led_to(GLOBAL, DATA ":8443");
    expect_bytes(get("GET", target, DATA ":8443", NULL));
    end();
}
END_TEST

CHECK_MAIN("registry/data_host", a_get_leads_to_the_data_host_which_needs_no_token,
           what_is_no_read_of_bytes_is_answered_at_the_registry,
           another_region_gets_the_bytes_where_it_asks, a_data_host_takes_no_other_authority,
           a_signature_of_another_kind_does_not_hold,
           it_holds_for_requests_that_begin_within_20_minutes, the_port_stands_in_the_url)
