// SPDX-License-Identifier: Apache-2.0
// A registry is deleted, and its name goes to another owner: what the old one left in this region's
// store is neither served nor found, and what was given for it (tokens, signed URLs, uploads) is
// good for nothing. The same the other way round.
#include "tests/unit/registry/upload_support.h"

static char *owner_token(uint64_t incarnation)
{
    AUTO_FREE char *inc = mem_printf(",\"inc\":%llu", (unsigned long long)incarnation),
                   *header = fixture_header(0),
                   *payload =
                       fixture_payload("access",
                                       "[{\"type\":\"repository\",\"name\":\"team/app\","
                                       "\"actions\":[\"pull\",\"push\"]},{\"type\":"
                                       "\"registry\",\"name\":\"catalog\",\"actions\":[\"*\"]"
                                       "}]",
                                       incarnation ? inc : NULL);
    return fixture_sign(header, payload, 0);
}

static void owner_is(uint64_t incarnation)
{
    world_incarnation = incarnation;
    free(token_push);
    token_push = owner_token(incarnation);
}

static void image_push(const char *content, char manifest[DIGEST_TEXT_SIZE])
{
    char config[DIGEST_TEXT_SIZE];
    blob_push("team/app", content, config);
    AUTO_FREE char *text = manifest_text(config, strlen(content), "");
    digest_text(text, strlen(text), manifest);
    ck_assert_int_eq(status_of(send_with("PUT", "/v2/team/app/manifests/1", REGIONAL, token_push,
                                         "Content-Type", OCI_MANIFEST, text, strlen(text), 99)),
                     201);
}

static void expect_image(const char *content, const char *manifest, bool there)
{
    char config[DIGEST_TEXT_SIZE];
    digest_text(content, strlen(content), config);
    AUTO_FREE char *blob = mem_printf("/v2/team/app/blobs/%s", config),
                   *by_digest = mem_printf("/v2/team/app/manifests/%s", manifest);
    int wanted = there ? 200 : 404;
    ck_assert_int_eq(status_of(send_plain("GET", blob)), wanted);
    ck_assert_int_eq(status_of(send_plain("HEAD", blob)), wanted);
    ck_assert_int_eq(status_of(send_plain("GET", by_digest)), wanted);
    ck_assert_int_eq(status_of(send_plain("HEAD", by_digest)), wanted);
}

static void expect_tag(const char *manifest)
{
    struct exchange x = send_plain("GET", "/v2/team/app/manifests/1");
    ck_assert_int_eq(x.resp.status, manifest ? 200 : 404);
    if (manifest)
        ck_assert_str_eq(header_of(&x, "Docker-Content-Digest"), manifest);
    exchange_end(&x);
    x = send_plain("GET", "/v2/team/app/tags/list");
    ck_assert_int_eq(x.resp.status, manifest ? 200 : 404);
    exchange_end(&x);
    x = send_plain("GET", "/v2/_catalog");
    ck_assert_int_eq(x.resp.status, 200);
    ck_assert_int_eq(body_has(&x, "team/app"), manifest != NULL);
    exchange_end(&x);
}

START_TEST(what_the_old_owner_left_is_not_the_new_ones)
{
    char old[DIGEST_TEXT_SIZE], new[DIGEST_TEXT_SIZE];
    world_up();
    owner_is(0);
    image_push("the old owner's", old);
    expect_image("the old owner's", old, true);
    owner_is(7);
    expect_image("the old owner's", old, false);
    expect_tag(NULL);
    image_push("the new owner's", new);
    expect_image("the new owner's", new, true);
    expect_tag(new);
    // created once more; and where a region still has the first topology in force
    owner_is(9);
    expect_image("the new owner's", new, false);
    expect_tag(NULL);
    owner_is(0);
    expect_image("the old owner's", old, true);
    expect_image("the new owner's", new, false);
    expect_tag(old);
    world_down();
}
END_TEST

START_TEST(tokens_of_the_old_owner_are_refused)
{
    world_up();
    owner_is(0);
    AUTO_FREE char *old = owner_token(0), *new = owner_token(7), *next = owner_token(9);
    static const uint64_t all[] = {0, 7, 9};
    const char *const tokens[] = {old, new, next};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        owner_is(all[i]);
        for (size_t k = 0; k < ARRAY_LEN(tokens); k++)
            ck_assert_int_eq(
                status_of(send_with("GET", "/v2/", GLOBAL, tokens[k], NULL, NULL, NULL, 0, 0)),
                i == k ? 200 : 401);
    }
    world_down();
}
END_TEST

START_TEST(signed_urls_and_uploads_of_the_old_owner_are_refused)
{
    world_push_moves = true;
    char digest[DIGEST_TEXT_SIZE];
    world_data_endpoints = true;
    world_up();
    owner_is(7);
    // of an upload, on the regional host
    struct exchange x = send_with("POST", "/v2/team/app/blobs/uploads/", GLOBAL, token_push, NULL,
                                  NULL, NULL, 0, 0);
    ck_assert_int_eq(x.resp.status, 202);
    AUTO_FREE char *upload = target_of(header_of(&x, "Location"), REGIONAL);
    ck_assert_ptr_nonnull(strstr(upload, SIGNED_URL_PARAMETER "="));
    exchange_end(&x);
    // of a blob, on the data host
    blob_push("team/app", "seen before", digest);
    AUTO_FREE char *blob = mem_printf("/v2/team/app/blobs/%s", digest);
    x = send_plain("GET", blob);
    ck_assert_int_eq(x.resp.status, 307);
    AUTO_FREE char *data = target_of(header_of(&x, "Location"), DATA);
    exchange_end(&x);
    ck_assert_int_eq(status_of(send_with("GET", data, DATA, NULL, NULL, NULL, NULL, 0, 0)), 200);
    for (uint64_t other = 0; other <= 9; other += 9) {
        owner_is(other);
        ck_assert_int_eq(status_of(send_with("GET", data, DATA, NULL, NULL, NULL, NULL, 0, 0)),
                         403);
        ck_assert_int_eq(
            status_of(send_with("GET", upload, REGIONAL, NULL, NULL, NULL, NULL, 0, 0)), 401);
        // with a token of its own: another registry's upload is none
        ck_assert_int_eq(
            status_of(send_with("GET", upload, REGIONAL, token_push, NULL, NULL, NULL, 0, 0)), 404);
        ck_assert_int_eq(
            status_of(send_with("PATCH", upload, REGIONAL, token_push, NULL, NULL, "bytes", 5, 5)),
            404);
    }
    owner_is(7);
    ck_assert_int_eq(status_of(send_with("GET", upload, REGIONAL, NULL, NULL, NULL, NULL, 0, 0)),
                     204);
    world_down();
}
END_TEST

CHECK_MAIN("registry/incarnation", what_the_old_owner_left_is_not_the_new_ones,
           tokens_of_the_old_owner_are_refused,
           signed_urls_and_uploads_of_the_old_owner_are_refused)
