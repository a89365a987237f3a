// SPDX-License-Identifier: Apache-2.0
// registry/referrers (distribution-spec 1.1, "Listing Referrers"): what is attached to a manifest is
// listed, with the descriptor that the specification wants, filtered and in pages; and a push says
// that it will be.
#include "tests/unit/registry/registry_fixture.h"

#include <jansson.h>

#define APP "/v2/team/app"
#define OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define SBOM "application/vnd.example.sbom.v1+json"

static char config[DIGEST_TEXT_SIZE], subject[DIGEST_TEXT_SIZE];

static char *subject_member(const char *digest)
{
    return mem_printf(
        ",\"subject\":{\"mediaType\":\"" OCI_MANIFEST "\",\"digest\":\"%s\",\"size\":2}", digest);
}

static int put(const char *repository, const char *reference, const char *type, const char *text,
               char out_subject[DIGEST_TEXT_SIZE])
{
    AUTO_FREE char *target = mem_printf("/v2/%s/manifests/%s", repository, reference);
    struct exchange x =
        send_with("PUT", target, REGIONAL, token_push, "Content-Type", type, text, strlen(text), 0);
    if (out_subject)
        snprintf(out_subject, DIGEST_TEXT_SIZE, "%s", header_of(&x, "OCI-Subject"));
    return status_of(x);
}

// An image with these further members, under its digest.
static void attach(const char *members, char out_digest[DIGEST_TEXT_SIZE])
{
    char said[DIGEST_TEXT_SIZE];
    AUTO_FREE char *to = subject_member(subject);
    AUTO_FREE char *extra = mem_printf("%s%s", to, members);
    AUTO_FREE char *text = manifest_text(config, 2, extra);
    digest_text(text, strlen(text), out_digest);
    ck_assert_int_eq(put("team/app", out_digest, OCI_MANIFEST, text, said), 201);
    ck_assert_str_eq(said, subject);
}

static json_t *list_at(const char *target, char *out_link, char *out_filters)
{
    struct exchange x = send_plain("GET", target);
    ck_assert_msg(x.resp.status == 200, "%s: %d", target, x.resp.status);
    ck_assert_str_eq(header_of(&x, "Content-Type"), OCI_INDEX);
    if (out_link)
        snprintf(out_link, 1024, "%s", header_of(&x, "Link"));
    if (out_filters)
        snprintf(out_filters, 64, "%s", header_of(&x, "OCI-Filters-Applied"));
    json_t *root = json_loadb((const char *)x.resp.body.p, x.resp.body.n, 0, NULL);
    ck_assert_ptr_nonnull(root);
    ck_assert_int_eq(json_integer_value(json_object_get(root, "schemaVersion")), 2);
    ck_assert_str_eq(json_string_value(json_object_get(root, "mediaType")), OCI_INDEX);
    ck_assert(json_is_array(json_object_get(root, "manifests")));
    exchange_end(&x);
    return root;
}

static json_t *list_of(const char *digest, const char *query)
{
    AUTO_FREE char *target = mem_printf(APP "/referrers/%s%s", digest, query);
    return list_at(target, NULL, NULL);
}

static size_t n_of(json_t *root)
{
    return json_array_size(json_object_get(root, "manifests"));
}

// The descriptor of `digest` in the list; NULL: it has none.
static json_t *found(json_t *root, const char *digest)
{
    size_t i;
    json_t *d;
    json_array_foreach(json_object_get(root, "manifests"), i, d)
    {
        if (!strcmp(json_string_value(json_object_get(d, "digest")), digest))
            return d;
    }
    return NULL;
}

static const char *text_of(json_t *d, const char *key)
{
    const char *s = json_string_value(json_object_get(d, key));
    return s ? s : "";
}

static void up(void)
{
    world_up();
    blob_push("team/app", "{}", config);
    AUTO_FREE char *text = manifest_text(config, 2, "");
    digest_text(text, strlen(text), subject);
}

START_TEST(what_has_none_has_an_empty_list)
{
    up();
    json_t *root = list_of(subject, "");
    ck_assert_uint_eq(n_of(root), 0);
    json_decref(root);
    // a repository that is nowhere looks the same; sha512 too
    root = list_at("/v2/team/other/referrers/" EMPTY_DIGEST, NULL, NULL);
    ck_assert_uint_eq(n_of(root), 0);
    json_decref(root);
    ck_assert_int_eq(status_of(send_plain("HEAD", APP "/referrers/" EMPTY_DIGEST)), 200);
    struct exchange x = send_plain("GET", APP "/referrers/sha256:nothex");
    ck_assert_int_eq(x.resp.status, 400);
    ck_assert(body_has(&x, "DIGEST_INVALID"));
    exchange_end(&x);
    ck_assert_int_eq(status_of(send_plain("GET", APP "/referrers/latest")), 400);
    world_down();
}
END_TEST

START_TEST(descriptors_say_type_size_and_annotations)
{
    up();
    char own[DIGEST_TEXT_SIZE], by_config[DIGEST_TEXT_SIZE], empty[DIGEST_TEXT_SIZE];
    attach(",\"artifactType\":\"" SBOM "\",\"annotations\":{\"org.example.x\":\"y \\u00e9\"}", own);
    attach("", by_config);
    attach(",\"artifactType\":\"\",\"annotations\":{\"a\":\"b\"}", empty);
    json_t *root = list_of(subject, "");
    ck_assert_uint_eq(n_of(root), 3);
    json_t *d = found(root, own);
    ck_assert_ptr_nonnull(d);
    ck_assert_str_eq(text_of(d, "mediaType"), OCI_MANIFEST);
    ck_assert_str_eq(text_of(d, "artifactType"), SBOM);
    ck_assert_int_gt(json_integer_value(json_object_get(d, "size")), 100);
    ck_assert_str_eq(text_of(json_object_get(d, "annotations"), "org.example.x"), "y \xc3\xa9");
    d = found(root, by_config);
    ck_assert_str_eq(text_of(d, "artifactType"), "application/vnd.oci.image.config.v1+json");
    ck_assert_ptr_null(json_object_get(d, "annotations"));
    d = found(root, empty);
    ck_assert_str_eq(text_of(d, "artifactType"), "application/vnd.oci.image.config.v1+json");
    ck_assert_str_eq(text_of(json_object_get(d, "annotations"), "a"), "b");
    json_decref(root);
    // the subject comes after what is attached to it, and by tag too
    AUTO_FREE char *text = manifest_text(config, 2, "");
    char said[DIGEST_TEXT_SIZE];
    ck_assert_int_eq(put("team/app", "latest", OCI_MANIFEST, text, said), 201);
    ck_assert_str_eq(said, "");
    root = list_of(subject, "");
    ck_assert_uint_eq(n_of(root), 3);
    json_decref(root);
    world_down();
}
END_TEST

START_TEST(an_index_has_no_type_but_its_own)
{
    up();
    char plain[DIGEST_TEXT_SIZE], typed[DIGEST_TEXT_SIZE];
    AUTO_FREE char *to = subject_member(subject);
    AUTO_FREE char *text =
        mem_printf("{\"schemaVersion\":2,\"mediaType\":\"" OCI_INDEX "\",\"manifests\":[]%s}", to);
    AUTO_FREE char *with = mem_printf("{\"schemaVersion\":2,\"mediaType\":\"" OCI_INDEX
                                      "\",\"artifactType\":\"" SBOM "\",\"manifests\":[]%s}",
                                      to);
    digest_text(text, strlen(text), plain);
    digest_text(with, strlen(with), typed);
    ck_assert_int_eq(put("team/app", plain, OCI_INDEX, text, NULL), 201);
    ck_assert_int_eq(put("team/app", typed, OCI_INDEX, with, NULL), 201);
    json_t *root = list_of(subject, "");
    ck_assert_uint_eq(n_of(root), 2);
    ck_assert_ptr_null(json_object_get(found(root, plain), "artifactType"));
    ck_assert_str_eq(text_of(found(root, plain), "mediaType"), OCI_INDEX);
    ck_assert_str_eq(text_of(found(root, typed), "artifactType"), SBOM);
    json_decref(root);
    // an index without a type is of no type that one can ask for
    root = list_of(subject, "?artifactType=application%2Fvnd.oci.empty.v1%2Bjson");
    ck_assert_uint_eq(n_of(root), 0);
    json_decref(root);
    world_down();
}
END_TEST

START_TEST(a_filter_is_applied_and_said)
{
    up();
    char own[DIGEST_TEXT_SIZE], other[DIGEST_TEXT_SIZE], filters[64];
    attach(",\"artifactType\":\"" SBOM "\"", own);
    attach(",\"artifactType\":\"application/vnd.example.signature\"", other);
    AUTO_FREE char *by_type = mem_printf(
        APP "/referrers/%s?artifactType=application/vnd.example.sbom.v1%%2Bjson", subject);
    json_t *root = list_at(by_type, NULL, filters);
    ck_assert_uint_eq(n_of(root), 1);
    ck_assert_ptr_nonnull(found(root, own));
    ck_assert_str_eq(filters, "artifactType");
    json_decref(root);
    AUTO_FREE char *by_none = mem_printf(APP "/referrers/%s?artifactType=no%%20type", subject);
    root = list_at(by_none, NULL, filters);
    ck_assert_uint_eq(n_of(root), 0);
    ck_assert_str_eq(filters, "artifactType");
    json_decref(root);
    AUTO_FREE char *unfiltered = mem_printf(APP "/referrers/%s?artifactType=", subject);
    root = list_at(unfiltered, NULL, filters);
    ck_assert_uint_eq(n_of(root), 2);
    ck_assert_str_eq(filters, "");
    json_decref(root);
    world_down();
}
END_TEST

// Follows Link from page to page; how many descriptors there were.
static size_t walk(const char *query, size_t page, size_t *out_pages)
{
    char link[1024];
    AUTO_FREE char *target = mem_printf(APP "/referrers/%s%s", subject, query);
    size_t n = 0, n_pages = 0;
    for (;;) {
        json_t *root = list_at(target, link, NULL);
        ck_assert_uint_le(n_of(root), page);
        n += n_of(root);
        json_decref(root);
        n_pages++;
        if (!*link)
            break;
        char *end = strstr(link, ">; rel=\"next\"");
        ck_assert_msg(link[0] == '<' && end, "%s", link);
        *end = 0;
        free(target);
        target = mem_strdup(link + 1);
        ck_assert_uint_lt(n_pages, 300);
    }
    *out_pages = n_pages;
    return n;
}

START_TEST(lists_come_in_pages)
{
    up();
    char digest[DIGEST_TEXT_SIZE];
    size_t pages;
    for (int i = 0; i < 105; i++) {
        AUTO_FREE char *members =
            mem_printf(",\"annotations\":{\"n\":\"%d\"}%s", i,
                       i % 10 ? "" : ",\"artifactType\":\"application/x+a#b&c\"");
        attach(members, digest);
    }
    ck_assert_uint_eq(walk("", 100, &pages), 105);
    ck_assert_uint_eq(pages, 2);
    ck_assert_uint_eq(walk("?n=10", 10, &pages), 105);
    ck_assert_uint_eq(pages, 11);
    ck_assert_uint_eq(walk("?n=100000", 100, &pages), 105);
    // the filter stays over the pages, escaped
    ck_assert_uint_eq(walk("?n=20&artifactType=application%2Fx%2Ba%23b%26c", 20, &pages), 11);
    ck_assert_uint_eq(pages, 6);
    AUTO_FREE char *zero = mem_printf(APP "/referrers/%s?n=0", subject);
    char link[1024];
    json_t *root = list_at(zero, link, NULL);
    ck_assert_uint_eq(n_of(root), 0);
    ck_assert_str_eq(link, "");
    json_decref(root);
    AUTO_FREE char *bad = mem_printf(APP "/referrers/%s?n=x", subject);
    ck_assert_int_eq(status_of(send_plain("GET", bad)), 400);
    AUTO_FREE char *bad_last = mem_printf(APP "/referrers/%s?last=x", subject);
    ck_assert_int_eq(status_of(send_plain("GET", bad_last)), 400);
    world_down();
}
END_TEST

// Large annotations make smaller pages, and a page never holds nothing but a promise of more.
START_TEST(large_descriptors_make_smaller_pages)
{
    up();
    char digest[DIGEST_TEXT_SIZE];
    size_t pages;
    AUTO_FREE char *large = mem_printf("%60000d", 1);
    for (int i = 0; i < 40; i++) {
        AUTO_FREE char *members =
            mem_printf(",\"annotations\":{\"n\":\"%d\",\"x\":\"%s\"}", i, large);
        attach(members, digest);
    }
    ck_assert_uint_eq(walk("", 100, &pages), 40);
    ck_assert_uint_eq(pages, 3);
    world_down();
}
END_TEST

START_TEST(an_other_repository_s_are_not_listed)
{
    up();
    char digest[DIGEST_TEXT_SIZE], said[DIGEST_TEXT_SIZE];
    blob_push("team/other", "{}", digest);
    AUTO_FREE char *to = subject_member(subject);
    AUTO_FREE char *text = manifest_text(config, 2, to);
    ck_assert_int_eq(put("team/other", "attached", OCI_MANIFEST, text, said), 201);
    ck_assert_str_eq(said, subject);
    json_t *root = list_of(subject, "");
    ck_assert_uint_eq(n_of(root), 0);
    json_decref(root);
    world_down();
}
END_TEST

CHECK_MAIN("registry/referrers", what_has_none_has_an_empty_list,
           descriptors_say_type_size_and_annotations, an_index_has_no_type_but_its_own,
           a_filter_is_applied_and_said, lists_come_in_pages, large_descriptors_make_smaller_pages,
           an_other_repository_s_are_not_listed)
