// SPDX-License-Identifier: Apache-2.0
// Reads that are answered on the HTTP thread (store/hot.h): they are the same answers, with the same
// marks, for those callers alone who may read, and never older than the last acknowledged write.
#include "tests/unit/registry/registry_fixture.h"

#include "store/meta_pulled.h"

#define APP "/v2/team/app"

static char config[DIGEST_TEXT_SIZE], manifest[DIGEST_TEXT_SIZE];
static char *text, *by_tag, *by_digest, *blob;

static void app_push(const char *extra)
{
    free(text);
    text = manifest_text(config, 2, extra);
    digest_text(text, strlen(text), manifest);
    ck_assert_int_eq(status_of(send_with("PUT", by_tag, REGIONAL, token_push, "Content-Type",
                                         OCI_MANIFEST, text, strlen(text), 5)),
                     201);
}

static void begin(void)
{
    world_up();
    blob_push("team/app", "{}", config);
    by_tag = mem_strdup(APP "/manifests/v1");
    app_push("");
    by_digest = mem_printf(APP "/manifests/%s", manifest);
    blob = mem_printf(APP "/blobs/%s", config);
}

static void end(void)
{
    free(take_ptr(text));
    free(by_tag);
    free(by_digest);
    free(blob);
    world_down();
}

// Does the pool have to answer this?
static bool is_for_the_pool(const char *method, const char *target, const char *token)
{
    struct http_request *req = request_make(method, target, REGIONAL, token);
    struct http_plan plan = {0};
    req->words = world_app.words;
    world_app.begin(NULL, req, &plan);
    bool is = plan.kind != HTTP_PLAN_REPLY;
    http_request_test_free(req);
    return is;
}

static struct exchange get(const char *method, const char *target, const char *name,
                           const char *value)
{
    return send_with(method, target, REGIONAL, token_pull, name, value, NULL, 0, 0);
}

static void expect_same(const struct exchange *a, const struct exchange *b)
{
    static const char *const names[] = {"Content-Type", "Docker-Content-Digest", "ETag",
                                        "Docker-Distribution-Api-Version"};
    ck_assert_int_eq(a->resp.status, b->resp.status);
    ck_assert_int_eq(a->resp.kind, b->resp.kind);
    ck_assert(bytes_equal(a->resp.body, b->resp.body));
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        ck_assert_str_eq(header_of(a, names[i]), header_of(b, names[i]));
}

START_TEST(hot_answers_are_the_same)
{
    begin();
    const char *const targets[] = {by_tag, by_digest};
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        ck_assert(is_for_the_pool("GET", targets[i], token_pull));
        struct exchange first = get("GET", targets[i], NULL, NULL);
        ck_assert_int_eq(first.resp.status, 200);
        ck_assert(!is_for_the_pool("GET", targets[i], token_pull));
        ck_assert(!is_for_the_pool("HEAD", targets[i], token_pull));
        struct exchange second = get("GET", targets[i], NULL, NULL);
        expect_same(&first, &second);
        struct exchange head = get("HEAD", targets[i], NULL, NULL);
        expect_same(&first, &head);
        const char *etag = header_of(&first, "ETag");
        struct exchange none = get("GET", targets[i], "If-None-Match", etag);
        ck_assert_int_eq(none.resp.status, 304);
        ck_assert_str_eq(header_of(&none, "ETag"), etag);
        exchange_end(&first);
        exchange_end(&second);
        exchange_end(&head);
        exchange_end(&none);
    }
    end();
}
END_TEST

// Its file may have been damaged meanwhile.
START_TEST(a_large_blob_is_looked_at_each_time)
{
    begin();
    char digest[DIGEST_TEXT_SIZE];
    AUTO_FREE char *large = mem_printf("%020000d", 1);
    blob_push("team/app", large, digest);
    AUTO_FREE char *target = mem_printf(APP "/blobs/%s", digest);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(status_of(get("GET", target, NULL, NULL)), 200);
        ck_assert(is_for_the_pool("GET", target, token_pull));
        ck_assert(is_for_the_pool("HEAD", target, token_pull));
    }
    struct digest d;
    struct blob_name name;
    uint64_t size;
    ck_assert_int_eq(digest_parse(digest, strlen(digest), &d), 0);
    ck_assert_int_eq(meta_blob_find(world_meta, &d, &name, &size), 0);
    struct blob_serve serve;
    struct blob_serve_want want = {.name = &name, .size = size};
    ck_assert_int_eq(blob_serve(world_blobs, &want, &serve), 0);
    AUTO_FREE char *file = mem_printf("%s/store/blobs/%s", world_dir, serve.path);
    ck_assert_msg(truncate(file, 1000) == 0, "%s: %m", file);
    ck_assert_int_eq(status_of(get("GET", target, NULL, NULL)), 404);
    end();
}
END_TEST

START_TEST(a_small_blob_is_whole_in_memory)
{
    begin();
    struct exchange first = get("GET", blob, NULL, NULL), second = get("GET", blob, NULL, NULL),
                    part = get("GET", blob, "Range", "bytes=0-0");
    ck_assert_int_eq(first.resp.kind, HTTP_ACCEL);
    ck_assert_int_eq(second.resp.kind, HTTP_BYTES);
    ck_assert_int_eq(second.resp.status, 200);
    ck_assert(bytes_equal(second.resp.body, bytes_str("{}")));
    ck_assert_int_eq(part.resp.kind, HTTP_ACCEL); // the edge cuts it out
    ck_assert_str_eq(part.resp.accel, first.resp.accel);
    static const char *const names[] = {"Content-Type", "Docker-Content-Digest", "ETag"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        ck_assert_str_eq(header_of(&first, names[i]), header_of(&second, names[i]));
    ck_assert_str_eq(header_of(&second, "Accept-Ranges"), "bytes");
    struct exchange none = get("GET", blob, "If-None-Match", header_of(&first, "ETag"));
    ck_assert_int_eq(none.resp.status, 304);
    exchange_end(&first);
    exchange_end(&second);
    exchange_end(&part);
    exchange_end(&none);
    end();
}
END_TEST

START_TEST(writes_are_seen_at_once)
{
    begin();
    for (int i = 0; i < 3; i++) {
        AUTO_FREE char *extra = mem_printf(",\"annotations\":{\"n\":\"%d\"}", i);
        app_push(extra);
        for (int k = 0; k < 2; k++) {
            struct exchange x = get("GET", by_tag, NULL, NULL);
            ck_assert(bytes_equal(x.resp.body, bytes_str(text)));
            exchange_end(&x);
        }
        ck_assert(!is_for_the_pool("GET", by_tag, token_pull));
    }
    ck_assert_int_eq(
        status_of(send_with("DELETE", by_tag, REGIONAL, token_delete, NULL, NULL, NULL, 0, 0)),
        202);
    ck_assert_int_eq(status_of(get("GET", by_tag, NULL, NULL)), 404);
    end();
}
END_TEST

START_TEST(only_who_may_read_is_answered)
{
    begin();
    AUTO_FREE char *other =
        token_make("[{\"type\":\"repository\",\"name\":\"team/other\",\"actions\":[\"pull\"]}]");
    const char *const targets[] = {by_tag, by_digest, blob};
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        ck_assert_int_eq(status_of(get("GET", targets[i], NULL, NULL)), 200);
        const char *const tokens[] = {NULL, other, token_catalog, "nonsense"};
        for (size_t k = 0; k < ARRAY_LEN(tokens); k++)
            ck_assert_int_eq(status_of(send_with("GET", targets[i], REGIONAL, tokens[k], NULL, NULL,
                                                 NULL, 0, 0)),
                             401);
    }
    // the registry is created anew under its name: another owner's
    world_incarnation = 7;
    for (size_t i = 0; i < ARRAY_LEN(targets); i++)
        ck_assert_int_eq(status_of(get("GET", targets[i], NULL, NULL)), 401);
    world_incarnation = 0;
    // and a token that was good has expired
    for (size_t i = 0; i < ARRAY_LEN(targets); i++)
        ck_assert(!is_for_the_pool("GET", targets[i], token_pull));
    clock_virtual_set(NOW_MS + 86400 * 1000);
    for (size_t i = 0; i < ARRAY_LEN(targets); i++)
        ck_assert_int_eq(status_of(get("GET", targets[i], NULL, NULL)), 401);
    end();
}
END_TEST

START_TEST(a_hot_pull_is_marked)
{
    begin();
    struct digest d;
    int64_t at_ms;
    ck_assert_int_eq(digest_parse(manifest, strlen(manifest), &d), 0);
    ck_assert_int_eq(status_of(get("HEAD", by_tag, NULL, NULL)), 200);
    ck_assert(!is_for_the_pool("HEAD", by_tag, token_pull));
    ck_assert_int_eq(status_of(get("HEAD", by_tag, NULL, NULL)), 200);
    ck_assert_int_eq(meta_pulled_flush(world_meta), 0);
    ck_assert_int_eq(meta_pulled_get(world_meta, "contoso", "team/app", &d, &at_ms), ERR_NOTFOUND);
    ck_assert_int_eq(status_of(get("GET", by_tag, NULL, NULL)), 200);
    ck_assert_int_eq(meta_pulled_flush(world_meta), 0);
    ck_assert_int_eq(meta_pulled_get(world_meta, "contoso", "team/app", &d, &at_ms), 0);
    end();
}
END_TEST

// A HEAD by who may push keeps the blob for its push: a lease may have to be renewed for that.
START_TEST(leave_to_skip_an_upload_is_the_pools)
{
    begin();
    char loose[DIGEST_TEXT_SIZE];
    blob_push("team/app", "loose", loose);
    AUTO_FREE char *target = mem_printf(APP "/blobs/%s", loose);
    ck_assert_int_eq(status_of(get("GET", target, NULL, NULL)), 200);
    ck_assert(!is_for_the_pool("HEAD", target, token_pull));
    ck_assert(!is_for_the_pool("GET", target, token_push));
    ck_assert(is_for_the_pool("HEAD", target, token_push));
    ck_assert_int_eq(status_of(get("GET", blob, NULL, NULL)), 200);
    ck_assert(is_for_the_pool("HEAD", blob, token_push)); // is its file there?
    end();
}
END_TEST

// Who finds out by a GET that a file was lost sees it after a moment at the latest.
START_TEST(a_file_that_others_removed_is_missed)
{
    begin();
    struct digest d;
    struct blob_here here;
    ck_assert_int_eq(digest_parse(config, strlen(config), &d), 0);
    ck_assert_int_eq(status_of(get("GET", blob, NULL, NULL)), 200);
    ck_assert_int_eq(meta_blob_look(world_meta, "contoso", "team/app", &d, &here), 0);
    ck_assert(!is_for_the_pool("GET", blob, token_pull));
    ck_assert_int_eq(blob_remove(world_blobs, &here.name), 0);
    ck_assert(is_for_the_pool("GET", blob, token_pull));
    ck_assert_int_eq(status_of(get("GET", blob, NULL, NULL)), 404);
    end();
}
END_TEST

CHECK_MAIN("registry/hot reads", hot_answers_are_the_same, a_small_blob_is_whole_in_memory,
           writes_are_seen_at_once, only_who_may_read_is_answered, a_hot_pull_is_marked,
           leave_to_skip_an_upload_is_the_pools, a_large_blob_is_looked_at_each_time,
           a_file_that_others_removed_is_missed)
