// SPDX-License-Identifier: Apache-2.0
// registry/deletes (distribution-spec 1.1, "Content Management"): what is deleted is gone at once,
// with the tags that led to it; what an index needs, and what is locked, is not.
#include "tests/unit/registry/registry_fixture.h"

#define APP "/v2/team/app"
#define LOCK "/registry/v1/lock?repository=team/app"
#define OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define ABSENT "sha256:0000000000000000000000000000000000000000000000000000000000000000"

static char config[DIGEST_TEXT_SIZE];
static char *token_all;

static void up(void)
{
    world_up();
    token_all = token_make("[{\"type\":\"repository\",\"name\":\"team/app\",\"actions\":[\"pull\","
                           "\"push\",\"delete\"]}]");
    blob_push("team/app", "{}", config);
}

static void down(void)
{
    free(token_all);
    world_down();
}

static struct exchange ask(const char *method, const char *target)
{
    return send_with(method, target, REGIONAL, token_all, NULL, NULL, NULL, 0, 0);
}

static int status_at(const char *method, const char *reference)
{
    AUTO_FREE char *target = mem_printf(APP "/manifests/%s", reference);
    return status_of(ask(method, target));
}

static int put(const char *reference, const char *type, const char *text)
{
    AUTO_FREE char *target = mem_printf(APP "/manifests/%s", reference);
    return status_of(
        send_with("PUT", target, REGIONAL, token_all, "Content-Type", type, text, strlen(text), 0));
}

// An image that no other call makes, under a tag; its digest.
static void image(const char *tag, const char *extra, char digest[DIGEST_TEXT_SIZE])
{
    AUTO_FREE char *text = manifest_text(config, 2, extra);
    digest_text(text, strlen(text), digest);
    ck_assert_int_eq(put(tag, OCI_MANIFEST, text), 201);
}

static void index_of(const char *tag, const char *child, char digest[DIGEST_TEXT_SIZE])
{
    AUTO_FREE char *text = mem_printf("{\"schemaVersion\":2,\"mediaType\":\"" OCI_INDEX
                                      "\",\"manifests\":[{\"mediaType\":\"" OCI_MANIFEST
                                      "\",\"digest\":\"%s\",\"size\":2}]}",
                                      child);
    digest_text(text, strlen(text), digest);
    ck_assert_int_eq(put(tag, OCI_INDEX, text), 201);
}

static bool is_tagged(const char *tag)
{
    AUTO_FREE char *quoted = mem_printf("\"%s\"", tag);
    struct exchange x = ask("GET", APP "/tags/list");
    bool has = body_has(&x, quoted);
    exchange_end(&x);
    return has;
}

START_TEST(a_tag_goes_and_its_manifest_stays)
{
    up();
    char digest[DIGEST_TEXT_SIZE];
    image("v1", "", digest);
    ck_assert_int_eq(put("v2", OCI_MANIFEST, "{}"), 400);
    struct exchange x = ask("DELETE", APP "/manifests/v1");
    ck_assert_int_eq(x.resp.status, 202);
    ck_assert_uint_eq(x.resp.body.n, 0);
    exchange_end(&x);
    ck_assert_int_eq(status_at("GET", "v1"), 404);
    ck_assert_int_eq(status_at("GET", digest), 200);
    ck_assert(!is_tagged("v1"));
    ck_assert_int_eq(status_at("DELETE", "v1"), 404);
    // and it may come again
    image("v1", "", digest);
    ck_assert_int_eq(status_at("GET", "v1"), 200);
    down();
}
END_TEST

START_TEST(a_manifest_goes_with_its_tags)
{
    up();
    char digest[DIGEST_TEXT_SIZE], other[DIGEST_TEXT_SIZE];
    image("v1", "", digest);
    image("latest", "", digest);
    image("kept", ",\"annotations\":{\"a\":\"b\"}", other);
    ck_assert_int_eq(status_at("DELETE", digest), 202);
    ck_assert_int_eq(status_at("HEAD", digest), 404);
    ck_assert_int_eq(status_at("GET", "v1"), 404);
    ck_assert_int_eq(status_at("GET", "latest"), 404);
    ck_assert_int_eq(status_at("GET", "kept"), 200);
    ck_assert(!is_tagged("latest") && is_tagged("kept"));
    ck_assert_int_eq(status_at("DELETE", digest), 404);
    // its blob stays for a push that is under way, and the same push brings it back
    image("v1", "", digest);
    ck_assert_int_eq(status_at("GET", digest), 200);
    down();
}
END_TEST

START_TEST(the_child_of_an_index_stays_while_the_index_does)
{
    up();
    char child[DIGEST_TEXT_SIZE], index[DIGEST_TEXT_SIZE];
    image("child", "", child);
    index_of("index", child, index);
    AUTO_FREE char *target = mem_printf(APP "/manifests/%s", child);
    struct exchange x = ask("DELETE", target);
    ck_assert_int_eq(x.resp.status, 409);
    ck_assert(body_has(&x, "DENIED") && body_has(&x, index));
    exchange_end(&x);
    ck_assert_int_eq(status_at("GET", child), 200);
    // its tag may go, and then it is reached through the index alone
    ck_assert_int_eq(status_at("DELETE", "child"), 202);
    ck_assert_int_eq(status_at("DELETE", child), 409);
    ck_assert_int_eq(status_at("DELETE", index), 202);
    ck_assert_int_eq(status_at("DELETE", child), 202);
    ck_assert_int_eq(status_at("GET", child), 404);
    down();
}
END_TEST

START_TEST(what_is_not_there_is_404_and_who_may_not_is_401)
{
    up();
    ck_assert_int_eq(status_at("DELETE", "absent"), 404);
    ck_assert_int_eq(status_at("DELETE", ABSENT), 404);
    ck_assert_int_eq(status_at("DELETE", "sha256:short"), 400);
    char digest[DIGEST_TEXT_SIZE];
    image("v1", "", digest);
    struct exchange x = send_plain("DELETE", APP "/manifests/v1"); // pull and push
    ck_assert_int_eq(x.resp.status, 401);
    ck_assert_ptr_nonnull(strstr(header_of(&x, "WWW-Authenticate"), ":pull,delete\""));
    exchange_end(&x);
    ck_assert_int_eq(status_at("GET", "v1"), 200);
    // a blob is no client's to delete
    AUTO_FREE char *blob = mem_printf(APP "/blobs/%s", config);
    x = ask("DELETE", blob);
    ck_assert_int_eq(x.resp.status, 405);
    ck_assert(body_has(&x, "another image in another region"));
    ck_assert_str_eq(header_of(&x, "Allow"), "GET, HEAD");
    exchange_end(&x);
    down();
}
END_TEST

static int delete_if(const char *target, const char *etag)
{
    return status_of(
        send_with("DELETE", target, REGIONAL, token_all, "If-Match", etag, NULL, 0, 0));
}

START_TEST(if_match_guards_a_tag)
{
    up();
    char first[DIGEST_TEXT_SIZE], second[DIGEST_TEXT_SIZE];
    image("v1", "", first);
    image("v1", ",\"annotations\":{\"a\":\"b\"}", second);
    AUTO_FREE char *old = mem_printf("\"%s\"", first), *now = mem_printf("\"%s\"", second);
    ck_assert_int_eq(delete_if(APP "/manifests/v1", old), 412);
    ck_assert_int_eq(status_at("GET", "v1"), 200);
    ck_assert_int_eq(delete_if(APP "/manifests/absent", now), 412);
    AUTO_FREE char *by_digest = mem_printf(APP "/manifests/%s", first);
    ck_assert_int_eq(delete_if(by_digest, old), 400);
    ck_assert_int_eq(delete_if(APP "/manifests/v1", now), 202);
    ck_assert_int_eq(status_at("GET", "v1"), 404);
    down();
}
END_TEST

static int lock(const char *target, bool write, bool del)
{
    AUTO_FREE char *body = mem_printf("{\"write\":%s,\"delete\":%s}", write ? "true" : "false",
                                      del ? "true" : "false");
    return status_of(
        send_with("PUT", target, REGIONAL, token_all, NULL, NULL, body, strlen(body), 0));
}

static bool locked_says(const char *target, const char *text)
{
    struct exchange x = ask("GET", target);
    bool has = x.resp.status == 200 && body_has(&x, text);
    exchange_end(&x);
    return has;
}

START_TEST(a_locked_tag_stays)
{
    up();
    char digest[DIGEST_TEXT_SIZE], other[DIGEST_TEXT_SIZE];
    image("v1", "", digest);
    ck_assert(locked_says(LOCK "&tag=v1", "\"locked\":{\"write\":false,\"delete\":false}"));
    ck_assert_int_eq(lock(LOCK "&tag=v1", true, true), 200);
    ck_assert(locked_says(LOCK "&tag=v1", "\"locked\":{\"write\":true,\"delete\":true}"));
    ck_assert_int_eq(status_at("DELETE", "v1"), 403);
    ck_assert_int_eq(status_at("DELETE", digest), 403); // it would take the tag with it
    AUTO_FREE char *text = manifest_text(config, 2, ",\"annotations\":{\"a\":\"b\"}");
    digest_text(text, strlen(text), other);
    ck_assert_int_eq(put("v1", OCI_MANIFEST, text), 403);
    ck_assert_int_eq(put("v2", OCI_MANIFEST, text), 201);
    image("v1", "", digest); // the same digest is no change
    ck_assert_int_eq(lock(LOCK "&tag=v1", false, false), 200);
    ck_assert_int_eq(put("v1", OCI_MANIFEST, text), 201);
    ck_assert_int_eq(status_at("DELETE", "v1"), 202);
    down();
}
END_TEST

START_TEST(a_locked_manifest_and_a_locked_repository_stay)
{
    up();
    char digest[DIGEST_TEXT_SIZE];
    image("v1", "", digest);
    AUTO_FREE char *of_manifest = mem_printf(LOCK "&digest=%s", digest);
    ck_assert_int_eq(lock(of_manifest, false, true), 200);
    ck_assert_int_eq(status_at("DELETE", digest), 403);
    ck_assert_int_eq(lock(of_manifest, false, false), 200);
    ck_assert_int_eq(lock(LOCK, true, true), 200);
    ck_assert_int_eq(status_at("DELETE", digest), 403);
    ck_assert_int_eq(status_at("DELETE", "v1"), 403);
    AUTO_FREE char *text = manifest_text(config, 2, ",\"annotations\":{\"a\":\"b\"}");
    ck_assert_int_eq(put("new", OCI_MANIFEST, text), 403);
    ck_assert_int_eq(lock(LOCK, false, false), 200);
    ck_assert_int_eq(put("new", OCI_MANIFEST, text), 201);
    ck_assert_int_eq(status_at("DELETE", digest), 202);
    down();
}
END_TEST

START_TEST(locks_are_of_what_is_there_and_read_strictly)
{
    up();
    char digest[DIGEST_TEXT_SIZE];
    static const char *const bad[] = {"",
                                      "{}",
                                      "[]",
                                      "{\"write\":true}",
                                      "{\"write\":1,\"delete\":0}",
                                      "{\"write\":true,\"delete\":true,\"x\":1}",
                                      "{\"write\":true,\"write\":true,\"delete\":true}"};
    image("v1", "", digest);
    ck_assert_int_eq(lock(LOCK "&tag=absent", true, true), 404);
    ck_assert_int_eq(lock(LOCK "&digest=" ABSENT, true, true), 404);
    ck_assert_int_eq(lock(LOCK "&tag=v1&digest=" ABSENT, true, true), 400);
    ck_assert_int_eq(lock(LOCK "&tag=.v1", true, true), 400);
    ck_assert_int_eq(lock("/registry/v1/lock", true, true), 400);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(status_of(send_with("PUT", LOCK "&tag=v1", REGIONAL, token_all, NULL, NULL,
                                          bad[i], strlen(bad[i]), 0)) == 400,
                      "%s", bad[i]);
    AUTO_FREE char *long_body = mem_printf("%5000s", "{}");
    ck_assert_int_eq(status_of(send_with("PUT", LOCK "&tag=v1", REGIONAL, token_all, NULL, NULL,
                                         long_body, 5000, 0)),
                     413);
    ck_assert(locked_says(LOCK "&tag=v1", "\"write\":false"));
    down();
}
END_TEST

static bool west_is_behind(void *ctx, const char *registry, char out[HOSTNAME_REGION_SIZE])
{
    (void)ctx, (void)registry;
    snprintf(out, HOSTNAME_REGION_SIZE, "%s", "westeurope");
    return true;
}

static void expect_behind(struct exchange x)
{
    ck_assert_int_eq(x.resp.status, 503);
    ck_assert(body_has(&x, "UNAVAILABLE") && body_has(&x, "westeurope"));
    exchange_end(&x);
}

// While a region that holds the registry reads the feed of the release before, what that cannot say
// is refused, with the region's name, and everything else goes on.
START_TEST(a_region_that_does_not_know_it_is_named)
{
    world_up();
    meta_set_behind(world_meta, west_is_behind, NULL);
    token_all = token_make("[{\"type\":\"repository\",\"name\":\"team/app\",\"actions\":[\"pull\","
                           "\"push\",\"delete\"]}]");
    blob_push("team/app", "{}", config);
    char digest[DIGEST_TEXT_SIZE], long_one[DIGEST_TEXT_SIZE];
    image("v1", "", digest);
    AUTO_FREE char *by_digest = mem_printf(APP "/manifests/%s", digest);
    static const char body[] = "{\"write\":true,\"delete\":true}";
    expect_behind(ask("DELETE", APP "/manifests/v1"));
    expect_behind(ask("DELETE", by_digest));
    expect_behind(
        send_with("PUT", LOCK "&tag=v1", REGIONAL, token_all, NULL, NULL, body, strlen(body), 0));
    AUTO_FREE char *text = manifest_text(config, 2, ",\"annotations\":{\"a\":\"b\"}");
    expect_behind(send_with("PUT", APP "/manifests/new", REGIONAL, token_all, "If-None-Match", "*",
                            text, strlen(text), 0));
    struct digest d;
    ck_assert_int_eq(digest_of(DIGEST_SHA512, text, strlen(text), &d), 0);
    AUTO_FREE char *by_long = mem_printf(APP "/manifests/%s", digest_format(&d, long_one));
    expect_behind(
        send_with("PUT", by_long, REGIONAL, token_all, NULL, NULL, text, strlen(text), 0));
    // one whose parts have such digests could not be understood there either
    ck_assert_int_eq(digest_of(DIGEST_SHA512, "{}", 2, &d), 0);
    AUTO_FREE char *upload =
        mem_printf(APP "/blobs/uploads/?digest=%s", digest_format(&d, long_one));
    ck_assert_int_eq(status_of(send_body("POST", upload, "{}", 2)), 201);
    AUTO_FREE char *of_long = manifest_text(long_one, 2, "");
    expect_behind(send_with("PUT", APP "/manifests/of-long", REGIONAL, token_all, NULL, NULL,
                            of_long, strlen(of_long), 0));
    ck_assert_int_eq(put("latest", OCI_MANIFEST, text), 201);
    ck_assert_int_eq(status_at("GET", "v1"), 200);
    down();
}
END_TEST

CHECK_MAIN("registry/deletes", a_region_that_does_not_know_it_is_named,
           a_tag_goes_and_its_manifest_stays, a_manifest_goes_with_its_tags,
           the_child_of_an_index_stays_while_the_index_does,
           what_is_not_there_is_404_and_who_may_not_is_401, if_match_guards_a_tag,
           a_locked_tag_stays, a_locked_manifest_and_a_locked_repository_stay,
           locks_are_of_what_is_there_and_read_strictly)
