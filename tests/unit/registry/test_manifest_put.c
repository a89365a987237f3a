// SPDX-License-Identifier: Apache-2.0
// registry/manifest_put: several tags in one push, digests that the query names, tags that are
// created only, and what a registry's settings refuse.
#include "tests/unit/registry/registry_fixture.h"

#define APP "/v2/team/app"
#define OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define ABSENT "sha256:0000000000000000000000000000000000000000000000000000000000000000"

static char config[DIGEST_TEXT_SIZE];
static char *token_more;

static void up_with(const char *settings)
{
    fixture_contoso = settings;
    world_up();
    token_more = token_make(
        "[{\"type\":\"repository\",\"name\":\"team/"
        "app\",\"actions\":[\"pull\",\"push\",\"delete\"]},"
        "{\"type\":\"repository\",\"name\":\"team/sparse\",\"actions\":[\"pull\",\"push\"]},"
        "{\"type\":\"repository\",\"name\":\"team/small\",\"actions\":[\"pull\",\"push\"]}]");
    blob_push("team/app", "{}", config);
}

static void up(void)
{
    up_with(NULL);
}

static void down(void)
{
    free(token_more);
    world_down();
}

// `extra`: members of the manifest, so that manifests differ.
static char *image(const char *extra, char digest[DIGEST_TEXT_SIZE])
{
    char *text = manifest_text(config, 2, extra);
    digest_text(text, strlen(text), digest);
    return text;
}

static struct exchange put_to(const char *target, const char *text, const char *name,
                              const char *value)
{
    struct exchange x = {.req = request_make("PUT", target, REGIONAL, token_more)};
    http_request_test_header(x.req, "Content-Type",
                             strstr(text, "manifests") ? OCI_INDEX : OCI_MANIFEST);
    if (name)
        http_request_test_header(x.req, name, value);
    http_request_test_body(x.req, text, strlen(text));
    http_app_test_run(&world_app, x.req, 0, &x.resp);
    return x;
}

static int put(const char *target, const char *text)
{
    return status_of(put_to(target, text, NULL, NULL));
}

// How often the answer has this OCI-Tag.
static size_t tag_said(const struct exchange *x, const char *tag)
{
    size_t n = 0;
    for (const struct http_header *h = x->resp.headers; h; h = h->next)
        n += !strcasecmp(h->name, "OCI-Tag") && !strcmp(h->value, tag);
    return n;
}

static bool shows(const char *tag, const char *digest)
{
    AUTO_FREE char *target = mem_printf(APP "/manifests/%s", tag);
    struct exchange x = send_plain("HEAD", target);
    bool is = x.resp.status == 200 && !strcmp(header_of(&x, "Docker-Content-Digest"), digest);
    exchange_end(&x);
    return is;
}

START_TEST(a_push_by_digest_names_its_tags)
{
    up();
    char digest[DIGEST_TEXT_SIZE];
    AUTO_FREE char *text = image("", digest);
    AUTO_FREE char *target =
        mem_printf(APP "/manifests/%s?tag=v1&tag=v1.2&tag=latest&tag=v1&tag=%%76%%31", digest);
    struct exchange x = put_to(target, text, NULL, NULL);
    ck_assert_int_eq(x.resp.status, 201);
    ck_assert_uint_eq(tag_said(&x, "v1"), 1);
    ck_assert_uint_eq(tag_said(&x, "v1.2"), 1);
    ck_assert_uint_eq(tag_said(&x, "latest"), 1);
    exchange_end(&x);
    ck_assert(shows("v1", digest) && shows("v1.2", digest) && shows("latest", digest));
    // with a tag in the path they are more of the same
    char other[DIGEST_TEXT_SIZE];
    AUTO_FREE char *second = image(",\"annotations\":{\"a\":\"b\"}", other);
    x = put_to(APP "/manifests/v2?tag=v2&tag=latest", second, NULL, NULL);
    ck_assert_int_eq(x.resp.status, 201);
    ck_assert_uint_eq(tag_said(&x, "latest"), 1);
    exchange_end(&x);
    ck_assert(shows("v2", other) && shows("latest", other) && shows("v1", digest));
    // without any there is no such header
    x = put_to(APP "/manifests/v3", second, NULL, NULL);
    ck_assert_str_eq(header_of(&x, "OCI-Tag"), "");
    exchange_end(&x);
    down();
}
END_TEST

START_TEST(all_tags_of_a_push_or_none)
{
    up();
    char digest[DIGEST_TEXT_SIZE];
    AUTO_FREE char *text = image("", digest);
    AUTO_FREE char *bad = mem_printf(APP "/manifests/%s?tag=good&tag=.bad", digest);
    ck_assert_int_eq(put(bad, text), 400);
    AUTO_FREE char *empty = mem_printf(APP "/manifests/%s?tag=good&tag=", digest);
    ck_assert_int_eq(put(empty, text), 400);
    ck_assert(!shows("good", digest));
    ck_assert(!shows(digest, digest));
    AUTO_BUF struct buf many;
    buf_init(&many, 0);
    buf_printf(&many, APP "/manifests/%s?x", digest);
    for (int i = 0; i < 64; i++)
        buf_printf(&many, "&tag=t%d", i);
    AUTO_FREE char *most = mem_strdup(buf_cstr(&many));
    buf_printf(&many, "&tag=t64");
    ck_assert_int_eq(put(buf_cstr(&many), text), 414);
    ck_assert(!shows("t0", digest));
    ck_assert_int_eq(put(most, text), 201);
    ck_assert(shows("t0", digest) && shows("t63", digest));
    // the same tag over and over is bounded too
    for (int i = 0; i < 300; i++)
        buf_printf(&many, "&tag=t0");
    ck_assert_int_eq(put(buf_cstr(&many), text), 414);
    down();
}
END_TEST

START_TEST(the_query_may_name_the_digest_of_a_tag)
{
    up();
    char plain[DIGEST_TEXT_SIZE], long_one[DIGEST_TEXT_SIZE];
    struct digest d;
    AUTO_FREE char *text = image("", plain);
    ck_assert_int_eq(digest_of(DIGEST_SHA512, text, strlen(text), &d), 0);
    digest_format(&d, long_one);
    AUTO_FREE char *by_long = mem_printf(APP "/manifests/v1?digest=%s", long_one);
    struct exchange x = put_to(by_long, text, NULL, NULL);
    ck_assert_int_eq(x.resp.status, 201);
    ck_assert_str_eq(header_of(&x, "Docker-Content-Digest"), long_one);
    exchange_end(&x);
    ck_assert(shows("v1", long_one));
    AUTO_FREE char *by_plain = mem_printf(APP "/manifests/v1?digest=%s", plain);
    ck_assert_int_eq(put(by_plain, text), 201);
    ck_assert(shows("v1", plain));
    ck_assert_int_eq(put(APP "/manifests/v1?digest=" ABSENT, text), 400);
    ck_assert_int_eq(put(APP "/manifests/v1?digest=md5:00", text), 400);
    ck_assert_int_eq(put(APP "/manifests/v1?digest=", text), 400);
    ck_assert(shows("v1", plain));
    // tag parameters with a sha512 digest
    AUTO_FREE char *tagged = mem_printf(APP "/manifests/%s?tag=l1&tag=l2", long_one);
    ck_assert_int_eq(put(tagged, text), 201);
    ck_assert(shows("l1", long_one) && shows("l2", long_one));
    down();
}
END_TEST

START_TEST(a_star_creates_and_does_not_replace)
{
    up();
    char first[DIGEST_TEXT_SIZE], second[DIGEST_TEXT_SIZE];
    AUTO_FREE char *one = image("", first), *two = image(",\"annotations\":{\"a\":\"b\"}", second);
    ck_assert_int_eq(status_of(put_to(APP "/manifests/v1", one, "If-None-Match", "*")), 201);
    ck_assert_int_eq(status_of(put_to(APP "/manifests/v1", one, "If-None-Match", "*")), 201);
    struct exchange x = put_to(APP "/manifests/v1", two, "If-None-Match", "*");
    ck_assert_int_eq(x.resp.status, 412);
    ck_assert(body_has(&x, "v1"));
    exchange_end(&x);
    ck_assert(shows("v1", first));
    ck_assert(!shows(second, second)); // nothing of the push was kept
    // of several tags one that is there refuses all
    AUTO_FREE char *target = mem_printf(APP "/manifests/%s?tag=new&tag=v1", second);
    ck_assert_int_eq(status_of(put_to(target, two, "If-None-Match", "*")), 412);
    ck_assert(!shows("new", second));
    // an ordinary push replaces
    ck_assert_int_eq(put(APP "/manifests/v1", two), 201);
    ck_assert(shows("v1", second));
    // after the tag has gone it may be created again
    ck_assert_int_eq(status_of(send_with("DELETE", APP "/manifests/v1", REGIONAL, token_more, NULL,
                                         NULL, NULL, 0, 0)),
                     202);
    ck_assert_int_eq(status_of(put_to(APP "/manifests/v1", one, "If-None-Match", "*")), 201);
    ck_assert(shows("v1", first));
    // other values are not understood, and not ignored
    AUTO_FREE char *by_digest = mem_printf(APP "/manifests/%s", first);
    ck_assert_int_eq(status_of(put_to(APP "/manifests/v1", one, "If-None-Match", "\"x\"")), 400);
    ck_assert_int_eq(status_of(put_to(by_digest, one, "If-None-Match", "*")), 400);
    AUTO_FREE char *two_tags = mem_printf(APP "/manifests/v1?tag=v2");
    ck_assert_int_eq(status_of(put_to(two_tags, one, "If-Match", "*")), 400);
    down();
}
END_TEST

START_TEST(immutable_tags_keep_their_digest)
{
    up_with("    repositories:\n      - {match: \"team/*\", immutable: [\"v*\", \"stable\"]}\n");
    char first[DIGEST_TEXT_SIZE], second[DIGEST_TEXT_SIZE];
    AUTO_FREE char *one = image("", first), *two = image(",\"annotations\":{\"a\":\"b\"}", second);
    ck_assert_int_eq(put(APP "/manifests/v1", one), 201);
    ck_assert_int_eq(put(APP "/manifests/v1", one), 201);
    struct exchange x = put_to(APP "/manifests/v1", two, NULL, NULL);
    ck_assert_int_eq(x.resp.status, 409);
    ck_assert(body_has(&x, "DENIED") && body_has(&x, "immutable"));
    exchange_end(&x);
    ck_assert(shows("v1", first));
    // others of the same repository move
    ck_assert_int_eq(put(APP "/manifests/latest", one), 201);
    ck_assert_int_eq(put(APP "/manifests/latest", two), 201);
    AUTO_FREE char *both = mem_printf(APP "/manifests/%s?tag=latest&tag=v1", second);
    ck_assert_int_eq(put(both, two), 409);
    down();
}
END_TEST

static char *index_of_absent(void)
{
    return mem_printf("{\"schemaVersion\":2,\"mediaType\":\"" OCI_INDEX
                      "\",\"manifests\":[{\"mediaType\":\"" OCI_MANIFEST "\",\"digest\":\"" ABSENT
                      "\",\"size\":2}]}");
}

START_TEST(sparse_indexes_where_they_are_allowed)
{
    up_with("    repositories:\n      - {match: \"team/sparse\", sparse: allowed}\n");
    AUTO_FREE char *text = index_of_absent();
    struct exchange x = put_to(APP "/manifests/i", text, NULL, NULL);
    ck_assert_int_eq(x.resp.status, 404);
    ck_assert(body_has(&x, "MANIFEST_BLOB_UNKNOWN"));
    exchange_end(&x);
    ck_assert_int_eq(put("/v2/team/sparse/manifests/i", text), 201);
    ck_assert_int_eq(status_of(send_with("GET", "/v2/team/sparse/manifests/i", REGIONAL, token_more,
                                         NULL, NULL, NULL, 0, 0)),
                     200);
    // what an image is made of must be there all the same
    AUTO_FREE char *image_text = manifest_text(ABSENT, 2, "");
    ck_assert_int_eq(put("/v2/team/sparse/manifests/m", image_text), 404);
    down();
}
END_TEST

START_TEST(a_quota_refuses_with_its_numbers)
{
    up_with("    repositories:\n      - {match: \"team/small\", quota: 4KiB}\n");
    AUTO_FREE char *large = mem_printf("%5000d", 1), *small = mem_printf("%3000d", 1);
    char digest[DIGEST_TEXT_SIZE];
    digest_text(large, 5000, digest);
    AUTO_FREE char *too_much = mem_printf("/v2/team/small/blobs/uploads/?digest=%s", digest);
    struct exchange x =
        send_with("POST", too_much, REGIONAL, token_more, NULL, NULL, large, 5000, 0);
    ck_assert_int_eq(x.resp.status, 403);
    ck_assert(body_has(&x, "DENIED") && body_has(&x, "4096") && body_has(&x, "5000"));
    exchange_end(&x);
    digest_text(small, 3000, digest);
    AUTO_FREE char *fits = mem_printf("/v2/team/small/blobs/uploads/?digest=%s", digest);
    ck_assert_int_eq(
        status_of(send_with("POST", fits, REGIONAL, token_more, NULL, NULL, small, 3000, 0)), 201);
    // the manifest is one too many
    AUTO_FREE char *note = mem_printf(",\"annotations\":{\"a\":\"%2000d\"}", 1);
    AUTO_FREE char *text = manifest_text(digest, 3000, note);
    x = put_to("/v2/team/small/manifests/v1", text, NULL, NULL);
    ck_assert_int_eq(x.resp.status, 403);
    ck_assert(body_has(&x, "4096"));
    exchange_end(&x);
    AUTO_FREE char *lean = manifest_text(digest, 3000, "");
    ck_assert_int_eq(put("/v2/team/small/manifests/v1", lean), 201);
    // a mount counts as well, and an upload of many pieces when it ends
    char app[DIGEST_TEXT_SIZE];
    blob_push("team/app", large, app);
    AUTO_FREE char *mount = mem_printf("/v2/team/small/blobs/uploads/?mount=%s&from=team/app", app);
    ck_assert_int_eq(
        status_of(send_with("POST", mount, REGIONAL, token_more, NULL, NULL, NULL, 0, 0)), 403);
    down();
}
END_TEST

CHECK_MAIN("registry/manifest_put", a_push_by_digest_names_its_tags, all_tags_of_a_push_or_none,
           the_query_may_name_the_digest_of_a_tag, a_star_creates_and_does_not_replace,
           immutable_tags_keep_their_digest, sparse_indexes_where_they_are_allowed,
           a_quota_refuses_with_its_numbers)
