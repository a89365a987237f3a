// SPDX-License-Identifier: Apache-2.0
// registry/: the routes under /registry/v1/: what is listed in detail, what a tag was, going back to
// it, what is used, and the end of a whole repository.
#include "tests/unit/registry/registry_fixture.h"

#include <jansson.h>

#define X "/registry/v1/"
#define OF "?repository=team/app"
#define ABSENT "sha256:0000000000000000000000000000000000000000000000000000000000000000"
#define OCI_INDEX "application/vnd.oci.image.index.v1+json"

static char config[DIGEST_TEXT_SIZE];
static char *token_all;

static void up_with(const char *settings)
{
    fixture_contoso = settings;
    world_up();
    token_all = token_make("[{\"type\":\"repository\",\"name\":\"team/app\",\"actions\":[\"pull\","
                           "\"push\",\"delete\"]},{\"type\":\"registry\",\"name\":\"catalog\","
                           "\"actions\":[\"*\"]}]");
    fixture_contoso = NULL;
    blob_push("team/app", "{}", config);
}

static void up(void)
{
    up_with("    quota: 1GiB\n    repositories:\n"
            "      - {match: \"team/*\", quota: 1MiB, immutable: [\"v*\"], retention: "
            "{untagged: 10s}}\n");
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

static json_t *json_at(const char *target)
{
    struct exchange x = ask("GET", target);
    ck_assert_msg(x.resp.status == 200, "%s: %d", target, x.resp.status);
    json_t *root = json_loadb((const char *)x.resp.body.p, x.resp.body.n, 0, NULL);
    ck_assert_ptr_nonnull(root);
    exchange_end(&x);
    return root;
}

static int put(const char *reference, const char *type, const char *text)
{
    AUTO_FREE char *target = mem_printf("/v2/team/app/manifests/%s", reference);
    return status_of(
        send_with("PUT", target, REGIONAL, token_all, "Content-Type", type, text, strlen(text), 0));
}

static void image(const char *tag, int n, char digest[DIGEST_TEXT_SIZE])
{
    AUTO_FREE char *extra = mem_printf(",\"annotations\":{\"n\":\"%d\"}", n);
    AUTO_FREE char *text = manifest_text(config, 2, extra);
    digest_text(text, strlen(text), digest);
    ck_assert_int_eq(put(tag ? tag : digest, OCI_MANIFEST, text), 201);
}

static const char *text_of(json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static json_int_t number_of(json_t *o, const char *key)
{
    ck_assert_msg(json_is_integer(json_object_get(o, key)), "%s", key);
    return json_integer_value(json_object_get(o, key));
}

START_TEST(tags_in_detail)
{
    up();
    char first[DIGEST_TEXT_SIZE], second[DIGEST_TEXT_SIZE];
    image("a", 1, first);
    image("b", 2, second);
    image("c", 2, second);
    json_t *root = json_at(X "tags" OF);
    ck_assert_str_eq(text_of(root, "registry"), "contoso");
    ck_assert_str_eq(text_of(root, "repository"), "team/app");
    ck_assert_uint_eq(json_array_size(json_object_get(root, "tags")), 3);
    ck_assert_ptr_null(json_object_get(root, "next"));
    json_t *t = json_array_get(json_object_get(root, "tags"), 0);
    ck_assert_str_eq(text_of(t, "tag"), "a");
    ck_assert_str_eq(text_of(t, "digest"), first);
    ck_assert_str_eq(text_of(t, "mediaType"), OCI_MANIFEST);
    ck_assert_int_gt(number_of(t, "size"), 100);
    ck_assert_str_eq(text_of(t, "region"), "eastus");
    ck_assert_str_eq(text_of(t, "by"), "ada");
    ck_assert_int_eq(strlen(text_of(t, "time")), 24);
    ck_assert_uint_gt(strtoull(text_of(t, "stamp"), NULL, 10), 0);
    ck_assert(json_is_false(json_object_get(json_object_get(t, "locked"), "write")));
    json_decref(root);
    root = json_at(X "tags" OF "&n=2");
    ck_assert_uint_eq(json_array_size(json_object_get(root, "tags")), 2);
    ck_assert_str_eq(text_of(root, "next"), "b");
    json_decref(root);
    struct exchange x = ask("GET", X "tags" OF "&n=2");
    ck_assert_str_eq(header_of(&x, "Link"),
                     "</registry/v1/tags?repository=team/app&n=2&last=b>; rel=\"next\"");
    exchange_end(&x);
    root = json_at(X "tags" OF "&n=2&last=b");
    ck_assert_uint_eq(json_array_size(json_object_get(root, "tags")), 1);
    json_decref(root);
    down();
}
END_TEST

START_TEST(who_pushed_is_not_told_to_anybody)
{
    up_with("    anonymous_pull: true\n");
    char digest[DIGEST_TEXT_SIZE];
    image("a", 1, digest);
    struct exchange x = send_with("GET", X "tags" OF, REGIONAL, NULL, NULL, NULL, NULL, 0, 0);
    ck_assert_int_eq(x.resp.status, 200);
    json_t *root = json_loadb((const char *)x.resp.body.p, x.resp.body.n, 0, NULL);
    json_t *t = json_array_get(json_object_get(root, "tags"), 0);
    ck_assert_str_eq(text_of(t, "tag"), "a");
    ck_assert_str_eq(text_of(t, "by"), "");
    json_decref(root);
    exchange_end(&x);
    down();
}
END_TEST

START_TEST(manifests_in_detail)
{
    up();
    char tagged[DIGEST_TEXT_SIZE], bare[DIGEST_TEXT_SIZE];
    image("a", 1, tagged);
    image("b", 1, tagged);
    image(NULL, 2, bare);
    json_t *root = json_at(X "manifests" OF);
    ck_assert_uint_eq(json_array_size(json_object_get(root, "manifests")), 2);
    json_decref(root);
    root = json_at(X "manifests" OF "&untagged=true");
    ck_assert_uint_eq(json_array_size(json_object_get(root, "manifests")), 1);
    json_t *m = json_array_get(json_object_get(root, "manifests"), 0);
    ck_assert_str_eq(text_of(m, "digest"), bare);
    ck_assert_str_eq(text_of(m, "heldBy"), "itself");
    json_decref(root);
    root = json_at(X "manifests" OF "&n=1");
    const char *next = text_of(root, "next");
    AUTO_FREE char *rest = mem_printf(X "manifests" OF "&n=1&last=%s", next);
    json_t *second = json_at(rest);
    ck_assert_uint_eq(json_array_size(json_object_get(second, "manifests")), 1);
    ck_assert_ptr_null(json_object_get(second, "next"));
    json_decref(second);
    json_decref(root);
    ck_assert_int_eq(status_of(ask("GET", X "manifests" OF "&last=x")), 400);
    down();
}
END_TEST

START_TEST(a_tag_goes_back)
{
    up();
    char first[DIGEST_TEXT_SIZE], second[DIGEST_TEXT_SIZE];
    image("latest", 1, first);
    image("latest", 2, second);
    json_t *root = json_at(X "history" OF "&tag=latest");
    json_t *versions = json_object_get(root, "versions");
    ck_assert_uint_eq(json_array_size(versions), 2);
    ck_assert_str_eq(text_of(json_array_get(versions, 0), "digest"), second);
    ck_assert_str_eq(text_of(json_array_get(versions, 1), "digest"), first);
    ck_assert(json_is_true(json_object_get(json_array_get(versions, 1), "here")));
    json_decref(root);
    AUTO_FREE char *back = mem_printf(X "restore" OF "&tag=latest&digest=%s", first);
    ck_assert_int_eq(status_of(ask("POST", back)), 201);
    root = json_at(X "history" OF "&tag=latest");
    versions = json_object_get(root, "versions");
    ck_assert_uint_eq(json_array_size(versions), 3); // a new entry
    ck_assert_str_eq(text_of(json_array_get(versions, 0), "digest"), first);
    json_decref(root);
    // after a deletion too, and not to what it never was
    ck_assert_int_eq(status_of(ask("DELETE", "/v2/team/app/manifests/latest")), 202);
    root = json_at(X "history" OF "&tag=latest");
    ck_assert(json_is_true(
        json_object_get(json_array_get(json_object_get(root, "versions"), 0), "gone")));
    ck_assert(json_is_null(
        json_object_get(json_array_get(json_object_get(root, "versions"), 0), "digest")));
    json_decref(root);
    ck_assert_int_eq(status_of(ask("POST", back)), 201);
    ck_assert_int_eq(status_of(ask("POST", X "restore" OF "&tag=latest&digest=" ABSENT)), 404);
    char other[DIGEST_TEXT_SIZE];
    image("other", 3, other);
    AUTO_FREE char *never = mem_printf(X "restore" OF "&tag=latest&digest=%s", other);
    ck_assert_int_eq(status_of(ask("POST", never)), 404);
    // nor to what has gone
    AUTO_FREE char *gone = mem_printf("/v2/team/app/manifests/%s", second);
    ck_assert_int_eq(status_of(ask("DELETE", gone)), 202);
    AUTO_FREE char *dead = mem_printf(X "restore" OF "&tag=latest&digest=%s", second);
    ck_assert_int_eq(status_of(ask("POST", dead)), 404);
    ck_assert_int_eq(status_of(ask("GET", X "history" OF "&tag=never")), 404);
    down();
}
END_TEST

START_TEST(what_is_used)
{
    up();
    char digest[DIGEST_TEXT_SIZE];
    image("a", 1, digest);
    json_t *root = json_at(X "usage");
    ck_assert_str_eq(text_of(root, "region"), "eastus");
    ck_assert_int_gt(number_of(root, "bytes"), 100);
    ck_assert_int_eq(number_of(root, "tags"), 1);
    ck_assert_int_eq(number_of(root, "manifests"), 1);
    ck_assert_int_eq(number_of(root, "quota"), 1 << 30);
    ck_assert(json_is_false(json_object_get(root, "over")));
    json_decref(root);
    root = json_at(X "repositories");
    ck_assert_uint_eq(json_array_size(json_object_get(root, "repositories")), 1);
    json_t *r = json_array_get(json_object_get(root, "repositories"), 0);
    ck_assert_str_eq(text_of(r, "repository"), "team/app");
    ck_assert_int_eq(number_of(r, "quota"), 1 << 20);
    ck_assert_int_eq(number_of(r, "tags"), 1);
    json_decref(root);
    root = json_at(X "repository" OF);
    json_t *policy = json_object_get(root, "policy");
    ck_assert_str_eq(text_of(policy, "match"), "team/*");
    ck_assert_str_eq(text_of(policy, "sparse"), "refused");
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(policy, "immutable"), 0)),
                     "v*");
    ck_assert(json_is_true(json_object_get(policy, "retention")));
    ck_assert_uint_gt(strlen(text_of(policy, "runner")), 0);
    json_decref(root);
    down();
}
END_TEST

static json_t *sweep(void)
{
    struct exchange x = ask("DELETE", X "repository" OF);
    ck_assert_int_eq(x.resp.status, 200);
    json_t *root = json_loadb((const char *)x.resp.body.p, x.resp.body.n, 0, NULL);
    exchange_end(&x);
    return root;
}

START_TEST(a_repository_goes_in_steps)
{
    up();
    char digest[DIGEST_TEXT_SIZE], child[DIGEST_TEXT_SIZE], index[DIGEST_TEXT_SIZE];
    for (int i = 0; i < 60; i++) {
        AUTO_FREE char *tag = mem_printf("t%d", i);
        image(tag, i, digest);
    }
    // an index that sorts anywhere among its children
    image(NULL, 1000, child);
    AUTO_FREE char *text = mem_printf("{\"schemaVersion\":2,\"mediaType\":\"" OCI_INDEX
                                      "\",\"manifests\":[{\"mediaType\":\"" OCI_MANIFEST
                                      "\",\"digest\":\"%s\",\"size\":2}]}",
                                      child);
    digest_text(text, strlen(text), index);
    ck_assert_int_eq(put("index", OCI_INDEX, text), 201);
    // a locked one stays
    AUTO_FREE char *lock = mem_printf("{\"write\":false,\"delete\":true}");
    ck_assert_int_eq(status_of(send_with("PUT", X "lock" OF "&tag=t7", REGIONAL, token_all, NULL,
                                         NULL, lock, strlen(lock), 0)),
                     200);
    json_int_t tags = 0, manifests = 0;
    int steps = 0;
    for (bool more = true; more; steps++) {
        json_t *root = sweep();
        tags += number_of(root, "deletedTags");
        manifests += number_of(root, "deletedManifests");
        more = json_is_true(json_object_get(root, "more"));
        if (!more) {
            ck_assert_uint_eq(json_array_size(json_object_get(root, "kept")), 2);
            json_t *kept = json_array_get(json_object_get(root, "kept"), 0);
            ck_assert_str_eq(text_of(kept, "tag"), "t7");
            ck_assert_str_eq(text_of(kept, "why"), "locked");
        }
        json_decref(root);
        ck_assert_int_lt(steps, 5);
    }
    ck_assert_int_eq(steps, 2);
    ck_assert_int_eq(tags, 60); // and the index's, less the locked one
    ck_assert_int_eq(manifests, 61);
    ck_assert_int_eq(status_of(ask("GET", "/v2/team/app/manifests/t7")), 200);
    ck_assert_int_eq(status_of(ask("GET", "/v2/team/app/manifests/index")), 404);
    ck_assert_int_eq(status_of(ask("DELETE", X "repository?repository=team/none")), 401);
    down();
}
END_TEST

START_TEST(what_retention_would_take)
{
    up();
    char old[DIGEST_TEXT_SIZE], kept[DIGEST_TEXT_SIZE];
    image(NULL, 1, old);
    image("v1", 2, kept);
    json_t *root = json_at(X "retention" OF);
    ck_assert_uint_eq(json_array_size(json_object_get(root, "would")), 0);
    ck_assert_uint_gt(strlen(text_of(root, "runner")), 0);
    json_decref(root);
    clock_virtual_set(NOW_MS + 60000);
    root = json_at(X "retention" OF);
    json_t *would = json_object_get(root, "would");
    ck_assert_uint_eq(json_array_size(would), 1);
    json_t *row = json_array_get(would, 0);
    ck_assert_str_eq(text_of(row, "kind"), "manifest");
    ck_assert_str_eq(text_of(row, "digest"), old);
    ck_assert_str_eq(text_of(row, "rule"), "untagged");
    ck_assert_uint_gt(strlen(text_of(row, "why")), 0);
    ck_assert(json_is_false(json_object_get(root, "more")));
    json_decref(root);
    // nothing went by looking; and a lock keeps it
    AUTO_FREE char *at = mem_printf("/v2/team/app/manifests/%s", old);
    ck_assert_int_eq(status_of(ask("GET", at)), 200);
    AUTO_FREE char *lock = mem_printf(X "lock" OF "&digest=%s", old);
    static const char body[] = "{\"write\":false,\"delete\":true}";
    ck_assert_int_eq(
        status_of(send_with("PUT", lock, REGIONAL, token_all, NULL, NULL, body, strlen(body), 0)),
        200);
    root = json_at(X "retention" OF);
    ck_assert_uint_eq(json_array_size(json_object_get(root, "would")), 0);
    ck_assert_uint_eq(json_array_size(json_object_get(root, "kept")), 1);
    json_decref(root);
    ck_assert_int_eq(status_of(ask("GET", X "retention" OF "&last=%20")), 400);
    down();
}
END_TEST

START_TEST(what_is_asked_for_badly)
{
    up();
    static const struct {
        const char *method, *target;
        int status;
    } rows[] = {
        {"GET", X "tags", 400},
        {"GET", X "tags?repository=Team", 400},
        {"GET", X "tags?repository=%", 400},
        {"GET", X "tags?repository=team%00", 400},
        {"GET", X "tags" OF "&n=x", 400},
        {"GET", X "history" OF, 404},
        {"GET", X "history" OF "&tag=.x", 404},
        {"POST", X "restore" OF "&tag=v1", 400},
        {"POST", X "restore" OF "&tag=v1&digest=sha256:x", 400},
        {"GET", X "lock" OF "&digest=x", 400},
        {"GET", X "nothing" OF, 404},
        {"GET", "/registry/v1", 404},
        {"POST", X "tags" OF, 405},
        {"DELETE", X "tags" OF, 405},
        {"PUT", X "usage", 405},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int status = status_of(ask(rows[i].method, rows[i].target));
        ck_assert_msg(status == rows[i].status, "%s %s: %d", rows[i].method, rows[i].target,
                      status);
    }
    // not at a data host, and not of a repository that one may not pull
    struct exchange x = send_with("GET", X "tags" OF, DATA, token_all, NULL, NULL, NULL, 0, 0);
    ck_assert(x.resp.status == 404 || x.resp.status == 403);
    exchange_end(&x);
    ck_assert_int_eq(status_of(ask("GET", X "tags?repository=team/secret")), 401);
    down();
}
END_TEST

// --- what of the catalogue the caller may see ---

static char *token_seeing(const char *const *visible, size_t n)
{
    static const struct access_grant grants[] = {{"*", ACTION_CATALOG}};
    struct arena a;
    arena_init(&a, 0);
    const struct token_ask ask = {.service = "contoso.meridian.test",
                                  .subject = "ada",
                                  .now_ms = NOW_MS,
                                  .grants = grants,
                                  .n_grants = 1,
                                  .visible = visible,
                                  .n_visible = n};
    const char *token;
    ck_assert_int_eq(token_issue_access(fixture_keys[0], &ask, &a, &token), 0);
    char *copy = mem_strdup(token);
    arena_done(&a);
    return copy;
}

// All pages of a list, by its `next` links: the names in order, with blanks. Caller frees.
static char *names_of(const char *path, const char *token, size_t page)
{
    AUTO_BUF struct buf all;
    buf_init(&all, 0);
    AUTO_FREE char *target = mem_printf("%s?n=%zu", path, page);
    for (int i = 0; target && i < 20; i++) {
        struct exchange x = send_with("GET", target, REGIONAL, token, NULL, NULL, NULL, 0, 0);
        ck_assert_msg(x.resp.status == 200, "%s: %d", target, x.resp.status);
        json_t *root = json_loadb((const char *)x.resp.body.p, x.resp.body.n, 0, NULL), *row;
        json_t *list = json_object_get(root, "repositories");
        size_t k;
        ck_assert_uint_le(json_array_size(list), page);
        json_array_foreach(list, k, row)
        {
            const char *name = json_string_value(row);
            if (!name)
                name = json_string_value(json_object_get(row, "repository"));
            buf_printf(&all, "%s ", name);
        }
        const char *link = header_of(&x, "Link"), *end = strchr(link, '>');
        free(take_ptr(target));
        if (end)
            target = mem_printf("%.*s", (int)(end - link - 1), link + 1);
        json_decref(root);
        exchange_end(&x);
    }
    ck_assert_ptr_null(target);
    return buf_take(&all);
}

START_TEST(the_catalogue_shows_what_the_caller_may_see)
{
    static const char *const some[] = {"team/*", "app"}, *const none[] = {"nothing/*"};
    static const char *const everything[] = {"*"};
    static const char *const names[] = {"app", "app2", "team", "team/app", "team/other", "teams/x"};
    static const struct {
        const char *const *visible;
        size_t n;
        const char *names;
    } rows[] = {
        {some, 2, "app team/app team/other "},
        {none, 1, ""},
        {none, 0, ""},
        {everything, 1, "app app2 team team/app team/other teams/x "},
    };
    world_up();
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO_FREE char *access = mem_printf("[{\"type\":\"repository\",\"name\":\"%s\","
                                            "\"actions\":[\"pull\",\"push\"]}]",
                                            names[i]);
        AUTO_FREE char *token = token_make(access);
        AUTO_FREE char *blobs = mem_printf("/v2/%s/blobs/uploads/?digest=", names[i]),
                       *manifests = mem_printf("/v2/%s/manifests/1", names[i]);
        digest_text("{}", 2, config);
        AUTO_FREE char *at = mem_printf("%s%s", blobs, config),
                       *text = manifest_text(config, 2, "");
        ck_assert_int_eq(status_of(send_with("POST", at, REGIONAL, token, NULL, NULL, "{}", 2, 0)),
                         201);
        ck_assert_int_eq(status_of(send_with("PUT", manifests, REGIONAL, token, "Content-Type",
                                             OCI_MANIFEST, text, strlen(text), 0)),
                         201);
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t page = 1; page < 8; page++) {
            AUTO_FREE char *token = token_seeing(rows[i].visible, rows[i].n);
            AUTO_FREE char *plain = names_of("/v2/_catalog", token, page),
                           *used = names_of(X "repositories", token, page);
            ck_assert_str_eq(plain, rows[i].names);
            ck_assert_str_eq(used, rows[i].names);
            ck_assert_int_eq(
                status_of(send_with("GET", X "usage", REGIONAL, token, NULL, NULL, NULL, 0, 0)),
                rows[i].visible == everything ? 200 : 403);
        }
    world_down();
}
END_TEST

CHECK_MAIN("registry/extension", the_catalogue_shows_what_the_caller_may_see, tags_in_detail,
           who_pushed_is_not_told_to_anybody, manifests_in_detail, a_tag_goes_back, what_is_used,
           a_repository_goes_in_steps, what_retention_would_take, what_is_asked_for_badly)
