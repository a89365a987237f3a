// SPDX-License-Identifier: Apache-2.0
// registry/manifests and tags: what is put comes back byte for byte, conditions hold, lists come in
// pages.
#include "tests/unit/registry/registry_fixture.h"

#define APP "/v2/team/app"

static struct exchange put(const char *reference, const char *text, const char *name,
                           const char *value)
{
    AUTO_FREE char *target = mem_printf(APP "/manifests/%s", reference);
    return send_with("PUT", target, REGIONAL, token_push, name, value, text, strlen(text), 5);
}

static int put_status(const char *reference, const char *text)
{
    return status_of(put(reference, text, "Content-Type", OCI_MANIFEST));
}

START_TEST(manifests_come_back_as_they_were_put)
{
    world_up();
    char config[DIGEST_TEXT_SIZE], digest[DIGEST_TEXT_SIZE];
    blob_push("team/app", "{}", config);
    AUTO_FREE char *text = manifest_text(config, 2, "");
    digest_text(text, strlen(text), digest);
    struct exchange x = put("v1", text, "Content-Type", OCI_MANIFEST "; charset=utf-8");
    ck_assert_int_eq(x.resp.status, 201);
    ck_assert_str_eq(header_of(&x, "Docker-Content-Digest"), digest);
    AUTO_FREE char *by_digest = target_of(header_of(&x, "Location"), REGIONAL);
    exchange_end(&x);
    const char *const targets[] = {APP "/manifests/v1", by_digest};
    for (size_t i = 0; i < 2; i++) {
        x = send_with("GET", targets[i], REGIONAL, token_pull, "Accept", "image/png", NULL, 0, 0);
        ck_assert_int_eq(x.resp.status, 200);
        ck_assert_str_eq(header_of(&x, "Content-Type"), OCI_MANIFEST);
        ck_assert_str_eq(header_of(&x, "Docker-Content-Digest"), digest);
        ck_assert(bytes_equal(x.resp.body, bytes_str(text)));
        AUTO_FREE char *etag = mem_strdup(header_of(&x, "ETag"));
        exchange_end(&x);
        ck_assert_int_eq(status_of(send_with("HEAD", targets[i], REGIONAL, token_pull,
                                             "If-None-Match", etag, NULL, 0, 0)),
                         304);
    }
    ck_assert_int_eq(put_status(digest, text), 201); // again, by digest
    x = put("v2", text, NULL, NULL);                 // the media type is in it
    ck_assert_int_eq(x.resp.status, 201);
    exchange_end(&x);
    ck_assert_int_eq(status_of(send_plain("GET", "/v2/team/other/manifests/v1")), 404);
    world_down();
}
END_TEST

START_TEST(what_it_refers_to_must_be_in_the_repository)
{
    world_up();
    char config[DIGEST_TEXT_SIZE];
    blob_push("team/other", "{}", config); // there, but in another repository
    AUTO_FREE char *text = manifest_text(config, 2, "");
    struct exchange x = put("v1", text, "Content-Type", OCI_MANIFEST);
    ck_assert_int_eq(x.resp.status, 404);
    ck_assert(body_has(&x, "MANIFEST_BLOB_UNKNOWN"));
    ck_assert(body_has(&x, config));
    exchange_end(&x);
    ck_assert_int_eq(status_of(send_plain("GET", APP "/manifests/v1")), 404);
    world_down();
}
END_TEST

START_TEST(a_subject_need_not_be_there)
{
    world_up();
    char config[DIGEST_TEXT_SIZE];
    blob_push("team/app", "{}", config);
    AUTO_FREE char *text = manifest_text(config, 2,
                                         ",\"subject\":{\"mediaType\":\"" OCI_MANIFEST
                                         "\",\"digest\":\"" EMPTY_DIGEST "\",\"size\":0}");
    struct exchange x = put("v1", text, "Content-Type", OCI_MANIFEST);
    ck_assert_int_eq(x.resp.status, 201);
    ck_assert_str_eq(header_of(&x, "OCI-Subject"), EMPTY_DIGEST);
    exchange_end(&x);
    world_down();
}
END_TEST

START_TEST(if_match_guards_a_tag)
{
    world_up();
    char config[DIGEST_TEXT_SIZE], one[DIGEST_TEXT_SIZE];
    blob_push("team/app", "{}", config);
    AUTO_FREE char *first = manifest_text(config, 2, ""),
                   *second = manifest_text(config, 2, ",\"annotations\":{}");
    digest_text(first, strlen(first), one);
    AUTO_FREE char *etag = mem_printf("\"" EMPTY_DIGEST "\", \"%s\"", one),
                   *weak = mem_printf("W/\"%s\"", one);
    ck_assert_int_eq(status_of(put("v1", first, "If-Match", "*")), 412); // nothing there yet
    ck_assert_int_eq(put_status("v1", first), 201);
    ck_assert_int_eq(status_of(put("v1", second, "If-Match", "\"" EMPTY_DIGEST "\"")), 412);
    ck_assert_int_eq(status_of(put("v1", second, "If-Match", weak)), 412);
    ck_assert_int_eq(status_of(put("v1", second, "If-Match", "unquoted")), 412);
    ck_assert_int_eq(status_of(put("v1", second, "If-Match", etag)), 201);
    ck_assert_int_eq(status_of(put("v1", first, "If-Match", etag)), 412); // it has moved
    ck_assert_int_eq(status_of(put("v1", first, "If-Match", "*")), 201);
    world_down();
}
END_TEST

START_TEST(tags_are_listed_in_pages)
{
    world_up();
    static const char *const tags[] = {"b", "a10", "Z", "a2", "_x"};
    char config[DIGEST_TEXT_SIZE];
    blob_push("team/app", "{}", config);
    AUTO_FREE char *text = manifest_text(config, 2, "");
    struct exchange x = send_plain("GET", APP "/tags/list");
    ck_assert_int_eq(x.resp.status, 200);
    ck_assert(body_has(&x, "\"tags\":[]") || body_has(&x, "\"tags\": []"));
    exchange_end(&x);
    for (size_t i = 0; i < ARRAY_LEN(tags); i++)
        ck_assert_int_eq(put_status(tags[i], text), 201);
    static const struct {
        const char *query, *first, *last, *link;
    } pages[] = {
        {"", "Z", "b", ""},
        {"?n=2", "Z", "_x", "</v2/team/app/tags/list?n=2&last=_x>; rel=\"next\""},
        {"?n=2&last=_x", "a10", "a2", "</v2/team/app/tags/list?n=2&last=a2>; rel=\"next\""},
        {"?n=2&last=a2", "b", "b", ""},
        {"?n=5", "Z", "b", ""},
        {"?n=99999999999999999999", "Z", "b", ""},
        {"?last=a", "a10", "b", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        AUTO_FREE char *target = mem_printf(APP "/tags/list%s", pages[i].query);
        x = send_plain("GET", target);
        ck_assert_int_eq(x.resp.status, 200);
        AUTO_FREE char *body = mem_strndup((const char *)x.resp.body.p, x.resp.body.n);
        json_t *root = json_loads(body, 0, NULL);
        const json_t *list = json_object_get(root, "tags");
        ck_assert_str_eq(json_string_value(json_array_get(list, 0)), pages[i].first);
        ck_assert_str_eq(json_string_value(json_array_get(list, json_array_size(list) - 1)),
                         pages[i].last);
        ck_assert_str_eq(header_of(&x, "Link"), pages[i].link);
        json_decref(root);
        exchange_end(&x);
    }
    x = send_plain("GET", APP "/tags/list?n=0");
    ck_assert_int_eq(x.resp.status, 200);
    ck_assert(!body_has(&x, "a10"));
    ck_assert_str_eq(header_of(&x, "Link"), "");
    exchange_end(&x);
    world_down();
}
END_TEST

START_TEST(the_catalogue_needs_its_own_permission)
{
    world_up();
    char config[DIGEST_TEXT_SIZE];
    blob_push("team/app", "{}", config);
    AUTO_FREE char *text = manifest_text(config, 2, "");
    ck_assert_int_eq(put_status("v1", text), 201);
    struct exchange x =
        send_with("GET", "/v2/_catalog", REGIONAL, token_catalog, NULL, NULL, NULL, 0, 0);
    ck_assert_int_eq(x.resp.status, 200);
    ck_assert(body_has(&x, "team/app"));
    exchange_end(&x);
    world_down();
}
END_TEST

CHECK_MAIN("registry/manifests", manifests_come_back_as_they_were_put,
           what_it_refers_to_must_be_in_the_repository, a_subject_need_not_be_there,
           if_match_guards_a_tag, tags_are_listed_in_pages, the_catalogue_needs_its_own_permission)
