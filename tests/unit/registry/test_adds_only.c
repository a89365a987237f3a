// SPDX-License-Identifier: Apache-2.0
// registry/: who may add, and neither read nor replace (content/add): evidence, build logs.
#include "tests/unit/registry/registry_fixture.h"

static char *adder;
static char config[DIGEST_TEXT_SIZE], other[DIGEST_TEXT_SIZE];

// content/add in team/app and team/logs, and nothing else.
static void up(void)
{
    static const struct access_grant grants[] = {{"team/app", ACTION_ADD},
                                                 {"team/logs", ACTION_ADD}};
    struct arena a;
    world_up();
    arena_init(&a, 0);
    adder = mem_strdup(fixture_access(0, "contoso.meridian.test", 0, grants, 2, NOW_MS, &a));
    arena_done(&a);
    blob_push("team/app", "what was there", other);
}

static void down(void)
{
    free(adder);
    world_down();
}

static int status_by(const char *token, const char *method, const char *target, const char *body)
{
    const char *type = strstr(target, "/manifests/") ? OCI_MANIFEST : "application/octet-stream";
    return status_of(send_with(method, target, REGIONAL, token, "Content-Type", type, body,
                               body ? strlen(body) : 0, 0));
}

static int add(const char *method, const char *target, const char *body)
{
    return status_by(adder, method, target, body);
}

// A manifest of its own for each n.
static char *manifest_of(int n)
{
    AUTO_FREE char *extra = mem_printf(",\"annotations\":{\"n\":\"%d\"}", n);
    return manifest_text(config, 2, extra);
}

static void config_add(void)
{
    digest_text("{}", 2, config);
    AUTO_FREE char *target = mem_printf("/v2/team/app/blobs/uploads/?digest=%s", config);
    ck_assert_int_eq(add("POST", target, "{}"), 201);
}

START_TEST(it_adds_and_reads_nothing)
{
    up();
    config_add();
    AUTO_FREE char *first = manifest_of(1);
    ck_assert_int_eq(add("PUT", "/v2/team/app/manifests/1", first), 201);
    // what is there looks as if it were not, so that clients upload it again and learn nothing
    AUTO_FREE char *mine = mem_printf("/v2/team/app/blobs/%s", config),
                   *others = mem_printf("/v2/team/app/blobs/%s", other);
    static const char absent[] = "/v2/team/app/blobs/"
                                 "sha256:"
                                 "00000000000000000000000000000000"
                                 "00000000000000000000000000000000";
    const char *const paths[] = {mine, others, absent, "/v2/team/app/manifests/1",
                                 "/v2/team/app/manifests/none"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        ck_assert_int_eq(add("HEAD", paths[i], NULL), 404);
        ck_assert_int_eq(add("GET", paths[i], NULL), 403);
    }
    ck_assert_int_eq(add("GET", "/v2/team/app/tags/list", NULL), 401);
    ck_assert_int_eq(add("GET", "/v2/_catalog", NULL), 401);
    ck_assert_int_eq(add("DELETE", "/v2/team/app/manifests/1", NULL), 401);
    ck_assert_int_eq(add("GET", "/registry/v1/history?repository=team/app&tag=1", NULL), 401);
    ck_assert_int_eq(add("PUT", "/registry/v1/lock?repository=team/app&tag=1", "{}"), 401);
    ck_assert_int_eq(status_by(token_pull, "GET", "/v2/team/app/manifests/1", NULL), 200);
    down();
}
END_TEST

START_TEST(it_replaces_nothing)
{
    up();
    config_add();
    AUTO_FREE char *first = manifest_of(1), *second = manifest_of(2), *third = manifest_of(3);
    ck_assert_int_eq(add("PUT", "/v2/team/app/manifests/1", first), 201);
    ck_assert_int_eq(add("PUT", "/v2/team/app/manifests/1", first), 201); // says nothing new
    ck_assert_int_eq(add("PUT", "/v2/team/app/manifests/1", second), 409);
    ck_assert_int_eq(add("PUT", "/v2/team/app/manifests/2?tag=1", second), 409);
    ck_assert_int_eq(status_by(token_pull, "GET", "/v2/team/app/manifests/2", NULL), 404);
    ck_assert_int_eq(add("PUT", "/v2/team/app/manifests/2", second), 201);
    char digest[DIGEST_TEXT_SIZE];
    digest_text(first, strlen(first), digest);
    AUTO_FREE char *quoted = mem_printf("\"%s\"", digest);
    ck_assert_int_eq(status_of(send_with("PUT", "/v2/team/app/manifests/1", REGIONAL, adder,
                                         "If-Match", quoted, second, strlen(second), 0)),
                     409);
    // who may push goes on as ever
    ck_assert_int_eq(status_by(token_push, "PUT", "/v2/team/app/manifests/1", third), 201);
    ck_assert_int_eq(add("PUT", "/v2/team/app/manifests/1", first), 409);
    down();
}
END_TEST

START_TEST(it_mounts_nothing)
{
    up();
    AUTO_FREE char *from = mem_printf("/v2/team/logs/blobs/uploads/?mount=%s&from=team/app", other),
                   *any = mem_printf("/v2/team/logs/blobs/uploads/?mount=%s", other);
    ck_assert_int_eq(add("POST", from, NULL), 202);
    ck_assert_int_eq(add("POST", any, NULL), 202);
    down();
}
END_TEST

START_TEST(its_uploads_go_in_pieces_as_any)
{
    up();
    struct exchange x =
        send_with("POST", "/v2/team/logs/blobs/uploads/", REGIONAL, adder, NULL, NULL, NULL, 0, 0);
    ck_assert_int_eq(x.resp.status, 202);
    AUTO_FREE char *at = target_of(header_of(&x, "Location"), REGIONAL);
    exchange_end(&x);
    ck_assert_int_eq(add("PATCH", at, "{}"), 202);
    ck_assert_int_eq(add("GET", at, NULL), 204);
    digest_text("{}", 2, config);
    AUTO_FREE char *end = mem_printf("%s%cdigest=%s", at, strchr(at, '?') ? '&' : '?', config);
    ck_assert_int_eq(add("PUT", end, NULL), 201);
    down();
}
END_TEST

CHECK_MAIN("registry/adds_only", it_adds_and_reads_nothing, it_replaces_nothing, it_mounts_nothing,
           its_uploads_go_in_pieces_as_any)
