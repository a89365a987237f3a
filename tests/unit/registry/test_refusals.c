// SPDX-License-Identifier: Apache-2.0
// registry: malformed and forbidden requests, each with the status and OCI code it must get.
#include "net/http_test.h"
#include "tests/unit/registry/registry_fixture.h"

#define HEX "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABSENT "sha256:0000000000000000000000000000000000000000000000000000000000000001"
#define APP "/v2/team/app"
#define ID "eastus.0123456789abcdef0123456789abcdef"

enum who { NOBODY, PUSH, PULL, CATALOG, BAD };

static const struct row {
    const char *method, *target, *host;
    enum who who;
    // a header
    const char *name, *value;
    const char *body;
    int status;
    const char *code;
} rows[] = {
    // who may not
    {"GET", "/v2/", REGIONAL, NOBODY, 0, 0, 0, 401, "UNAUTHORIZED"},
    {"GET", "/v2", GLOBAL, BAD, 0, 0, 0, 401, "UNAUTHORIZED"},
    {"GET", APP "/tags/list", REGIONAL, NOBODY, 0, 0, 0, 401, "UNAUTHORIZED"},
    {"GET", APP "/manifests/v1", REGIONAL, BAD, 0, 0, 0, 401, "UNAUTHORIZED"},
    {"GET", "/v2/secret/manifests/v1", REGIONAL, PUSH, 0, 0, 0, 401, "DENIED"},
    {"PUT", APP "/manifests/v1", REGIONAL, PULL, 0, 0, "{}", 401, "DENIED"},
    {"POST", APP "/blobs/uploads/", REGIONAL, PULL, 0, 0, 0, 401, "DENIED"},
    {"PATCH", APP "/blobs/uploads/" ID, REGIONAL, NOBODY, 0, 0, "x", 401, "UNAUTHORIZED"},
    {"PATCH", APP "/blobs/uploads/" ID "?sig=a.1.b.c", REGIONAL, NOBODY, 0, 0, "x", 401,
     "UNAUTHORIZED"},
    {"GET", "/v2/_catalog", REGIONAL, PUSH, 0, 0, 0, 401, "DENIED"},
    {"GET", "/v2/team/blind/tags/list", REGIONAL, PUSH, 0, 0, 0, 401, "DENIED"},
    {"GET", APP "/tags/list", REGIONAL, CATALOG, 0, 0, 0, 401, "DENIED"},
    {"GET", "/v2/Bad/tags/list", REGIONAL, NOBODY, 0, 0, 0, 401, "UNAUTHORIZED"},
    // methods
    {"POST", APP "/manifests/v1", REGIONAL, PUSH, 0, 0, 0, 405, "UNSUPPORTED"},
    {"DELETE", APP "/manifests/v1", REGIONAL, PUSH, 0, 0, 0, 401, "DENIED"},
    {"DELETE", APP "/manifests/" EMPTY_DIGEST, REGIONAL, PUSH, 0, 0, 0, 401, "DENIED"},
    {"DELETE", APP "/blobs/" EMPTY_DIGEST, REGIONAL, PUSH, 0, 0, 0, 405, "UNSUPPORTED"},
    {"DELETE", APP "/tags/list", REGIONAL, PUSH, 0, 0, 0, 405, "UNSUPPORTED"},
    {"POST", "/v2/", REGIONAL, PUSH, 0, 0, 0, 405, "UNSUPPORTED"},
    {"PUT", APP "/blobs/" EMPTY_DIGEST, REGIONAL, PUSH, 0, 0, "x", 405, "UNSUPPORTED"},
    {"GET", APP "/blobs/uploads/", REGIONAL, PUSH, 0, 0, 0, 405, "UNSUPPORTED"},
    {"PUT", APP "/blobs/uploads/", REGIONAL, PUSH, 0, 0, 0, 405, "UNSUPPORTED"},
    {"POST", APP "/blobs/uploads/" ID, REGIONAL, PUSH, 0, 0, 0, 405, "UNSUPPORTED"},
    {"PATCH", APP "/manifests/v1", REGIONAL, PUSH, 0, 0, "x", 405, "UNSUPPORTED"},
    {"OPTIONS", APP "/manifests/v1", REGIONAL, PUSH, 0, 0, 0, 405, "UNSUPPORTED"},
    {"BREW", APP "/tags/list", REGIONAL, PUSH, 0, 0, 0, 405, "UNSUPPORTED"},
    {"POST", "/v2/_catalog", REGIONAL, CATALOG, 0, 0, 0, 405, "UNSUPPORTED"},
    // paths
    {"GET", "/v2//", REGIONAL, PUSH, 0, 0, 0, 404, "UNSUPPORTED"},
    {"GET", "/v2/team/app", REGIONAL, PUSH, 0, 0, 0, 404, "UNSUPPORTED"},
    {"GET", APP "/tags/list/", REGIONAL, PUSH, 0, 0, 0, 404, "UNSUPPORTED"},
    {"GET", APP "/tags/lists", REGIONAL, PUSH, 0, 0, 0, 404, "UNSUPPORTED"},
    {"GET", APP "/referrers/" EMPTY_DIGEST "/x", REGIONAL, PUSH, 0, 0, 0, 404, "UNSUPPORTED"},
    {"GET", APP "/referrers/sha256:short", REGIONAL, PUSH, 0, 0, 0, 400, "DIGEST_INVALID"},
    {"GET", "/v2/Team/app/tags/list", REGIONAL, PUSH, 0, 0, 0, 400, "NAME_INVALID"},
    {"GET", "/v2/team//app/tags/list", REGIONAL, PUSH, 0, 0, 0, 400, "NAME_INVALID"},
    {"GET", "/v2/../app/manifests/v1", REGIONAL, PUSH, 0, 0, 0, 400, "NAME_INVALID"},
    {"GET", "/v2/team%2Fapp/manifests/v1", REGIONAL, PUSH, 0, 0, 0, 400, "NAME_INVALID"},
    {"GET", "/v2/-team/blobs/" EMPTY_DIGEST, REGIONAL, PUSH, 0, 0, 0, 400, "NAME_INVALID"},
    {"POST", "/v2/a..b/blobs/uploads/", REGIONAL, PUSH, 0, 0, 0, 400, "NAME_INVALID"},
    // digests and tags
    {"GET", APP "/blobs/sha256:short", REGIONAL, PUSH, 0, 0, 0, 400, "DIGEST_INVALID"},
    {"HEAD", APP "/blobs/" HEX, REGIONAL, PUSH, 0, 0, 0, 400, "DIGEST_INVALID"},
    {"GET", APP "/blobs/md5:" HEX, REGIONAL, PUSH, 0, 0, 0, 400, "DIGEST_INVALID"},
    {"GET", APP "/blobs/sha512:" HEX, REGIONAL, PUSH, 0, 0, 0, 400, "DIGEST_INVALID"},
    {"GET", APP "/blobs/sha256%zz" HEX, REGIONAL, PUSH, 0, 0, 0, 400, "DIGEST_INVALID"},
    {"GET", APP "/manifests/sha256:nothex", REGIONAL, PUSH, 0, 0, 0, 400, "DIGEST_INVALID"},
    {"PUT", APP "/manifests/sha256:nothex", REGIONAL, PUSH, 0, 0, "{}", 400, "DIGEST_INVALID"},
    {"GET", APP "/manifests/.hidden", REGIONAL, PUSH, 0, 0, 0, 404, "MANIFEST_UNKNOWN"},
    {"PUT", APP "/manifests/.hidden", REGIONAL, PUSH, 0, 0, "{}", 400, "MANIFEST_INVALID"},
    {"PUT", APP "/manifests/a%00b", REGIONAL, PUSH, 0, 0, "{}", 400, "MANIFEST_INVALID"},
    // not there
    {"GET", APP "/blobs/" ABSENT, REGIONAL, PUSH, 0, 0, 0, 404, "BLOB_UNKNOWN"},
    {"HEAD", APP "/blobs/" ABSENT, REGIONAL, PULL, 0, 0, 0, 404, "BLOB_UNKNOWN"},
    {"HEAD", APP "/blobs/" ABSENT, DATA, PULL, 0, 0, 0, 403, "UNAUTHORIZED"},
    {"GET", APP "/manifests/nope", REGIONAL, PULL, 0, 0, 0, 404, "MANIFEST_UNKNOWN"},
    {"GET", APP "/manifests/" ABSENT, REGIONAL, PULL, 0, 0, 0, 404, "MANIFEST_UNKNOWN"},
    {"GET", "/v2/team/other/tags/list", REGIONAL, PUSH, 0, 0, 0, 404, "NAME_UNKNOWN"},
    // lists
    {"GET", APP "/tags/list?n=x", REGIONAL, PULL, 0, 0, 0, 400, "PAGINATION_NUMBER_INVALID"},
    {"GET", APP "/tags/list?n=%zz", REGIONAL, PULL, 0, 0, 0, 400, "PAGINATION_NUMBER_INVALID"},
    {"GET", APP "/tags/list?last=%4", REGIONAL, PULL, 0, 0, 0, 400, "PAGINATION_NUMBER_INVALID"},
    {"GET", "/v2/_catalog?n=%00", REGIONAL, CATALOG, 0, 0, 0, 400, "PAGINATION_NUMBER_INVALID"},
    {"POST", APP "/blobs/uploads/?digest=%zz", REGIONAL, PUSH, 0, 0, 0, 400, "UNSUPPORTED"},
    {"PUT", APP "/manifests/" EMPTY_DIGEST, REGIONAL, PUSH, "If-Match", "*", "{}", 400,
     "UNSUPPORTED"},
    {"GET", APP "/tags/list?n=-1", REGIONAL, PULL, 0, 0, 0, 400, "PAGINATION_NUMBER_INVALID"},
    {"GET", APP "/tags/list?n=", REGIONAL, PULL, 0, 0, 0, 400, "PAGINATION_NUMBER_INVALID"},
    {"GET", "/v2/_catalog?n=1.5", REGIONAL, CATALOG, 0, 0, 0, 400, "PAGINATION_NUMBER_INVALID"},
    // uploads
    {"POST", APP "/blobs/uploads/?digest=nonsense", REGIONAL, PUSH, 0, 0, "x", 400,
     "DIGEST_INVALID"},
    {"POST", APP "/blobs/uploads/?digest=" ABSENT, REGIONAL, PUSH, 0, 0, "x", 400,
     "DIGEST_INVALID"},
    {"POST", APP "/blobs/uploads/?digest=", REGIONAL, PUSH, 0, 0, 0, 400, "DIGEST_INVALID"},
    {"PATCH", APP "/blobs/uploads/" ID, REGIONAL, PUSH, 0, 0, "x", 404, "BLOB_UPLOAD_UNKNOWN"},
    {"PATCH", APP "/blobs/uploads/nonsense", REGIONAL, PUSH, 0, 0, "x", 404, "BLOB_UPLOAD_UNKNOWN"},
    {"PATCH", APP "/blobs/uploads/..", REGIONAL, PUSH, 0, 0, "x", 404, "BLOB_UPLOAD_UNKNOWN"},
    {"PATCH", APP "/blobs/uploads/westeurope.0123456789abcdef0123456789abcdef", REGIONAL, PUSH, 0,
     0, "x", 404, "BLOB_UPLOAD_UNKNOWN"},
    {"GET", APP "/blobs/uploads/" ID, REGIONAL, PUSH, 0, 0, 0, 404, "BLOB_UPLOAD_UNKNOWN"},
    {"DELETE", APP "/blobs/uploads/" ID, REGIONAL, PUSH, 0, 0, 0, 404, "BLOB_UPLOAD_UNKNOWN"},
    {"PUT", APP "/blobs/uploads/" ID, REGIONAL, PUSH, 0, 0, 0, 400, "DIGEST_INVALID"},
    {"PUT", APP "/blobs/uploads/" ID "?digest=x", REGIONAL, PUSH, 0, 0, 0, 400, "DIGEST_INVALID"},
    {"PUT", APP "/blobs/uploads/" ID "?digest=" EMPTY_DIGEST, REGIONAL, PUSH, 0, 0, 0, 404,
     "BLOB_UPLOAD_UNKNOWN"},
    {"PATCH", APP "/blobs/uploads/" ID, REGIONAL, PUSH, "Content-Range", "5", "x", 416,
     "BLOB_UPLOAD_INVALID"},
    {"PATCH", APP "/blobs/uploads/" ID, REGIONAL, PUSH, "Content-Range", "9-3", "x", 416,
     "BLOB_UPLOAD_INVALID"},
    {"PATCH", APP "/blobs/uploads/" ID, REGIONAL, PUSH, "Content-Range", "0-99999999999999999999",
     "x", 416, "BLOB_UPLOAD_INVALID"},
    {"PATCH", APP "/blobs/uploads/" ID, REGIONAL, PUSH, "Content-Range", "0-3", "x", 400,
     "SIZE_INVALID"},
    {"PATCH", APP "/blobs/uploads/" ID, REGIONAL, PUSH, "Content-Range", "0-0x", "x", 416,
     "BLOB_UPLOAD_INVALID"},
    // manifests
    {"PUT", APP "/manifests/v1", REGIONAL, PUSH, "Content-Type", OCI_MANIFEST, "not json", 400,
     "MANIFEST_INVALID"},
    {"PUT", APP "/manifests/v1", REGIONAL, PUSH, "Content-Type", OCI_MANIFEST, "", 400,
     "MANIFEST_INVALID"},
    {"PUT", APP "/manifests/v1", REGIONAL, PUSH, "Content-Type", OCI_MANIFEST, "[]", 400,
     "MANIFEST_INVALID"},
    {"PUT", APP "/manifests/v1", REGIONAL, PUSH, "Content-Type", "text", "{}", 400,
     "MANIFEST_INVALID"},
    {"PUT", APP "/manifests/v1", REGIONAL, PUSH, "Content-Type", "image/png", "{}", 400,
     "MANIFEST_INVALID"},
    {"PUT", APP "/manifests/v1", REGIONAL, PUSH, 0, 0, "{\"schemaVersion\":2}", 400,
     "MANIFEST_INVALID"},
    {"PUT", APP "/manifests/v1", REGIONAL, PUSH, "Content-Type", OCI_MANIFEST,
     "{\"schemaVersion\":2,\"mediaType\":\"application/"
     "vnd.oci.image.index.v1+json\",\"manifests\":[]}",
     400, "MANIFEST_INVALID"},
    {"PUT", APP "/manifests/v1", REGIONAL, PUSH, "If-None-Match", "\"x\"", "{}", 400,
     "UNSUPPORTED"},
    {"PUT", APP "/manifests/" EMPTY_DIGEST, REGIONAL, PUSH, "If-None-Match", "*", "{}", 400,
     "UNSUPPORTED"},
    {"PUT", APP "/manifests/v1?tag=.x", REGIONAL, PUSH, 0, 0, "{}", 400, "MANIFEST_INVALID"},
    {"PUT", APP "/manifests/v1?digest=x", REGIONAL, PUSH, 0, 0, "{}", 400, "DIGEST_INVALID"},
    {"PUT", APP "/manifests/v1?tag=%", REGIONAL, PUSH, 0, 0, "{}", 400, "UNSUPPORTED"},
    {"POST", APP "/blobs/uploads/?digest-algorithm=md5", REGIONAL, PUSH, 0, 0, 0, 400,
     "DIGEST_INVALID"},
    {"GET", "/registry/v1/tags?repository=Team", REGIONAL, PUSH, 0, 0, 0, 400, "NAME_INVALID"},
    {"GET", "/registry/v1/nothing", REGIONAL, PUSH, 0, 0, 0, 404, "UNSUPPORTED"},
    {"GET", "/registry/v1/repositories", REGIONAL, PUSH, 0, 0, 0, 401, "DENIED"},
    {"PUT", APP "/manifests/" ABSENT, REGIONAL, PUSH, "Content-Type", OCI_MANIFEST, "{}", 400,
     "DIGEST_INVALID"},
    // a data host serves blobs, and nothing else
    {"GET", "/v2/", DATA, PULL, 0, 0, 0, 404, "UNSUPPORTED"},
    {"GET", APP "/manifests/v1", DATA, PULL, 0, 0, 0, 404, "UNSUPPORTED"},
    {"POST", APP "/blobs/uploads/", DATA, PUSH, 0, 0, 0, 404, "UNSUPPORTED"},
    {"DELETE", APP "/blobs/" EMPTY_DIGEST, DATA, PUSH, 0, 0, 0, 405, "UNSUPPORTED"},
};

START_TEST(each_bad_request_gets_its_answer)
{
    ck_assert_uint_ge(ARRAY_LEN(rows), 60);
    world_up();
    char digest[DIGEST_TEXT_SIZE];
    blob_push("team/app", "something, so that the repository is there", digest);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        const char *const tokens[] = {NULL, token_push, token_pull, token_catalog, "not.a.token"};
        struct exchange x = send_with(r->method, r->target, r->host, tokens[r->who], r->name,
                                      r->value, r->body, r->body ? strlen(r->body) : 0, 1);
        AUTO_FREE char *code = mem_printf("\"%s\"", r->code);
        ck_assert_msg(x.resp.status == r->status && body_has(&x, code), "%s %s: %d %.*s", r->method,
                      r->target, x.resp.status, (int)x.resp.body.n, (const char *)x.resp.body.p);
        ck_assert_int_eq(r->status == 405, *header_of(&x, "Allow") != 0);
        ck_assert_int_eq(r->status == 401, *header_of(&x, "WWW-Authenticate") != 0);
        exchange_end(&x);
    }
    world_down();
}
END_TEST

START_TEST(too_large_a_manifest_is_refused_with_and_without_a_length)
{
    world_up();
    size_t n = 65 << 10;
    AUTO_FREE char *text = mem_zalloc(n);
    memset(text, ' ', n);
    ck_assert_int_eq(status_of(send_body("PUT", APP "/manifests/v1", text, n)), 413);
    struct http_request *req = request_make("PUT", APP "/manifests/v1", REGIONAL, token_push);
    struct http_response resp;
    http_request_test_body(req, text, n);
    req->content_length = -1;
    http_app_test_run(&world_app, req, 1000, &resp);
    ck_assert_int_eq(resp.status, 413);
    http_request_test_free(req);
    world_down();
}
END_TEST

START_TEST(challenges_name_the_scope)
{
    world_up();
    struct exchange x =
        send_with("POST", APP "/blobs/uploads/?mount=" EMPTY_DIGEST "&from=team/base", GLOBAL, NULL,
                  NULL, NULL, NULL, 0, 0);
    ck_assert_str_eq(
        header_of(&x, "WWW-Authenticate"),
        "Bearer "
        "realm=\"https://contoso.meridian.test/oauth2/token\",service=\"contoso.meridian.test\","
        "scope=\"repository:team/app:pull,push repository:team/base:pull\"");
    exchange_end(&x);
    x = send_with("GET", APP "/manifests/v1", REGIONAL, NULL, NULL, NULL, NULL, 0, 0);
    ck_assert_str_eq(header_of(&x, "WWW-Authenticate"),
                     "Bearer realm=\"https://contoso.eastus.geo.meridian.test/oauth2/token\","
                     "service=\"contoso.meridian.test\",scope=\"repository:team/app:pull\"");
    exchange_end(&x);
    world_down();
}
END_TEST

START_TEST(anonymous_pull_reads_and_still_asks_for_a_login)
{
    world_up();
    const char *host = "openlib.eastus.geo.meridian.test";
    ck_assert_int_eq(status_of(send_with("GET", "/v2/", host, NULL, NULL, NULL, NULL, 0, 0)), 401);
    ck_assert_int_eq(
        status_of(send_with("GET", "/v2/x/manifests/v1", host, NULL, NULL, NULL, NULL, 0, 0)), 404);
    ck_assert_int_eq(
        status_of(send_with("POST", "/v2/x/blobs/uploads/", host, NULL, NULL, NULL, NULL, 0, 0)),
        401);
    ck_assert_int_eq(status_of(send_plain("GET", "/v2/")), 200);
    world_down();
}
END_TEST

CHECK_MAIN("registry/refusals", each_bad_request_gets_its_answer,
           too_large_a_manifest_is_refused_with_and_without_a_length, challenges_name_the_scope,
           anonymous_pull_reads_and_still_asks_for_a_login)
