// SPDX-License-Identifier: Apache-2.0
// registry/route: every path means one thing.
#include "registry/route.h"

#include "base/mem.h"
#include "tests/support/check_main.h"

#include <string.h>

#define HEX "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define UP "eastus.0123456789abcdef0123456789abcdef"

static const struct {
    const char *path;
    enum route_kind kind;
    enum route_fault fault;
    const char *name, *tag;
} paths[] = {
    {"/v2", ROUTE_BASE, 0, NULL, NULL},
    {"/v2/", ROUTE_BASE, 0, NULL, NULL},
    {"/v2//", ROUTE_NONE, 0, NULL, NULL},
    {"/v3/", ROUTE_NONE, 0, NULL, NULL},
    {"/v2/_catalog", ROUTE_CATALOG, 0, NULL, NULL},
    {"/v2/_catalog/", ROUTE_NONE, 0, NULL, NULL},
    {"/v2/app", ROUTE_NONE, 0, NULL, NULL},
    {"/v2/app/tags/list", ROUTE_TAGS, 0, "app", NULL},
    {"/v2/app/tags/list/", ROUTE_NONE, 0, NULL, NULL},
    {"/v2/tags/list", ROUTE_NONE, 0, NULL, NULL},
    {"/v2/app/tags/other", ROUTE_NONE, 0, NULL, NULL},
    {"/v2/a/b/c/tags/list", ROUTE_TAGS, 0, "a/b/c", NULL},
    {"/v2/x/blobs/uploads/tags/list", ROUTE_TAGS, 0, "x/blobs/uploads", NULL},
    {"/v2/tags/manifests/list", ROUTE_MANIFEST, 0, "tags", "list"},
    {"/v2/app/manifests/latest", ROUTE_MANIFEST, 0, "app", "latest"},
    {"/v2/app/manifests/V1_2.3-x", ROUTE_MANIFEST, 0, "app", "V1_2.3-x"},
    {"/v2/app/manifests/%6catest", ROUTE_MANIFEST, 0, "app", "latest"},
    {"/v2/app/manifests/sha256:" HEX, ROUTE_MANIFEST, 0, "app", NULL},
    {"/v2/app/manifests/sha256%3A" HEX, ROUTE_MANIFEST, 0, "app", NULL},
    {"/v2/app/manifests/", ROUTE_MANIFEST, ROUTE_BAD_TAG, "app", NULL},
    {"/v2/app/manifests/.hidden", ROUTE_MANIFEST, ROUTE_BAD_TAG, "app", NULL},
    {"/v2/app/manifests/a%00b", ROUTE_MANIFEST, ROUTE_BAD_TAG, "app", NULL},
    {"/v2/app/manifests/a%2", ROUTE_MANIFEST, ROUTE_BAD_TAG, "app", NULL},
    {"/v2/app/manifests/a%2fb", ROUTE_MANIFEST, ROUTE_BAD_TAG, "app", NULL},
    {"/v2/app/manifests/sha256:xyz", ROUTE_MANIFEST, ROUTE_BAD_DIGEST, "app", NULL},
    {"/v2/app/manifests/md5:" HEX, ROUTE_MANIFEST, ROUTE_BAD_DIGEST, "app", NULL},
    {"/v2/app/blobs/sha256:" HEX, ROUTE_BLOB, 0, "app", NULL},
    {"/v2/app/blobs/sha256%3a" HEX, ROUTE_BLOB, 0, "app", NULL},
    {"/v2/app/blobs/latest", ROUTE_BLOB, ROUTE_BAD_DIGEST, "app", NULL},
    {"/v2/app/blobs/", ROUTE_BLOB, ROUTE_BAD_DIGEST, "app", NULL},
    {"/v2/app/blobs/uploads", ROUTE_UPLOADS, 0, "app", NULL},
    {"/v2/app/blobs/uploads/", ROUTE_UPLOADS, 0, "app", NULL},
    {"/v2/app/blobs/uploads/" UP, ROUTE_UPLOAD, 0, "app", NULL},
    {"/v2/app/blobs/uploads/" UP "/", ROUTE_NONE, 0, NULL, NULL},
    {"/v2/app/blobs/uploads/nonsense", ROUTE_UPLOAD, ROUTE_BAD_UPLOAD, "app", NULL},
    {"/v2/app/blobs/uploads/" UP "0", ROUTE_UPLOAD, ROUTE_BAD_UPLOAD, "app", NULL},
    {"/v2/app/blobs/uploads/../x", ROUTE_NONE, 0, NULL, NULL},
    {"/v2/app/referrers/sha256:" HEX, ROUTE_REFERRERS, 0, "app", NULL},
    {"/v2/app/referrers/x", ROUTE_REFERRERS, ROUTE_BAD_DIGEST, "app", NULL},
    {"/v2/App/tags/list", ROUTE_TAGS, ROUTE_BAD_NAME, NULL, NULL},
    {"/v2//tags/list", ROUTE_TAGS, ROUTE_BAD_NAME, NULL, NULL},
    {"/v2/a//b/tags/list", ROUTE_TAGS, ROUTE_BAD_NAME, NULL, NULL},
    {"/v2/../tags/list", ROUTE_TAGS, ROUTE_BAD_NAME, NULL, NULL},
    {"/v2/a%2fb/tags/list", ROUTE_TAGS, ROUTE_BAD_NAME, NULL, NULL},
    {"/v2/a___b/tags/list", ROUTE_TAGS, ROUTE_BAD_NAME, NULL, NULL},
    {"/registry/v1/repositories", ROUTE_X_REPOSITORIES, 0, NULL, NULL},
    {"/registry/v1/usage", ROUTE_X_USAGE, 0, NULL, NULL},
    {"/registry/v1/repository", ROUTE_X_REPOSITORY, 0, NULL, NULL},
    {"/registry/v1/tags", ROUTE_X_TAGS, 0, NULL, NULL},
    {"/registry/v1/manifests", ROUTE_X_MANIFESTS, 0, NULL, NULL},
    {"/registry/v1/history", ROUTE_X_HISTORY, 0, NULL, NULL},
    {"/registry/v1/restore", ROUTE_X_RESTORE, 0, NULL, NULL},
    {"/registry/v1/lock", ROUTE_X_LOCK, 0, NULL, NULL},
    {"/registry/v1/retention", ROUTE_X_RETENTION, 0, NULL, NULL},
    {"/registry/v1/lock/", ROUTE_NONE, 0, NULL, NULL},
    {"/registry/v1/", ROUTE_NONE, 0, NULL, NULL},
    {"/registry/v1", ROUTE_NONE, 0, NULL, NULL},
    {"/registry/v2/lock", ROUTE_NONE, 0, NULL, NULL},
    {"/registry/v1/Lock", ROUTE_NONE, 0, NULL, NULL},
    {"/registry", ROUTE_NONE, 0, NULL, NULL},
};

START_TEST(paths_mean_what_the_table_says)
{
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct arena a;
        struct route r;
        arena_init(&a, 0);
        ck_assert_int_eq(route_parse(&a, paths[i].path, &r), 0);
        ck_assert_msg(r.kind == paths[i].kind, "%s: kind %d", paths[i].path, r.kind);
        if (r.kind != ROUTE_NONE) {
            ck_assert_msg(r.fault == paths[i].fault, "%s: fault %d", paths[i].path, r.fault);
            ck_assert_pstr_eq(r.name, paths[i].name);
            ck_assert_pstr_eq(r.tag, paths[i].tag);
        }
        arena_done(&a);
    }
}
END_TEST

#define ALL (ROUTE_TAKES_REPOSITORY | ROUTE_TAKES_TAG | ROUTE_TAKES_DIGEST)
static const struct {
    unsigned takes;
    const char *repository, *tag, *digest;
    enum route_fault fault;
} queries[] = {
    {0, NULL, NULL, NULL, 0},
    {0, "Not/looked", "at", "all", 0},
    {ROUTE_TAKES_REPOSITORY, "team/app", NULL, NULL, 0},
    {ROUTE_TAKES_REPOSITORY, NULL, NULL, NULL, ROUTE_BAD_NAME},
    {ROUTE_TAKES_REPOSITORY, "", NULL, NULL, ROUTE_BAD_NAME},
    {ROUTE_TAKES_REPOSITORY, "team//app", NULL, NULL, ROUTE_BAD_NAME},
    {ROUTE_TAKES_REPOSITORY, "Team", "x", NULL, ROUTE_BAD_NAME},
    {ALL, "app", NULL, NULL, 0},
    {ALL, "app", "v1", NULL, 0},
    {ALL, "app", "", NULL, ROUTE_BAD_TAG},
    {ALL, "app", ".v1", NULL, ROUTE_BAD_TAG},
    {ALL, "app", NULL, "sha256:" HEX, 0},
    {ALL, "app", NULL, "sha512:" HEX, ROUTE_BAD_DIGEST},
    {ALL, "app", NULL, "", ROUTE_BAD_DIGEST},
    {ALL, "app", "v1", "sha512:" HEX HEX, 0},
    {ALL | ROUTE_NEEDS_TAG, "app", NULL, NULL, ROUTE_BAD_TAG},
    {ALL | ROUTE_NEEDS_TAG | ROUTE_NEEDS_DIGEST, "app", "v1", NULL, ROUTE_BAD_DIGEST},
    {ALL | ROUTE_NEEDS_TAG | ROUTE_NEEDS_DIGEST, "app", "v1", "sha256:" HEX, 0},
};

START_TEST(queries_mean_what_the_table_says)
{
    for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
        struct route r = {0};
        route_query(&r, queries[i].takes, queries[i].repository, queries[i].tag, queries[i].digest);
        ck_assert_msg(r.fault == queries[i].fault, "row %zu: fault %d", i, r.fault);
        if (r.fault || !queries[i].takes)
            continue;
        ck_assert_pstr_eq(r.name, queries[i].repository);
        ck_assert_pstr_eq(r.tag, queries[i].tag);
        ck_assert_msg((r.digest.n > 0) == (queries[i].digest != NULL), "row %zu", i);
    }
}
END_TEST

START_TEST(names_follow_the_grammar)
{
    static const char *const good[] = {"a",   "0",     "a.b", "a_b",        "a__b",
                                       "a-b", "a---b", "a/b", "a1/b2.c/d-e"};
    static const char *const bad[] = {"",    "A",         "-a",   "a-",   "a..b", "a___b", "a._b",
                                      "/a",  "a/",        "a//b", "a/-b", "a/b.", ".",     "..",
                                      "a b", "a\xc3\xa9", "_cat", "a/_b", "a.-b"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        ck_assert_msg(repository_name_ok(good[i], strlen(good[i])), "%s", good[i]);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(!repository_name_ok(bad[i], strlen(bad[i])), "%s", bad[i]);
    char longest[257];
    memset(longest, 'a', 256);
    ck_assert(repository_name_ok(longest, 255));
    ck_assert(!repository_name_ok(longest, 256));
}
END_TEST

START_TEST(tags_and_upload_ids_have_limits)
{
    char tag[130];
    memset(tag, 'x', 129);
    tag[129] = 0;
    ck_assert(!tag_ok(tag));
    tag[128] = 0;
    ck_assert(tag_ok(tag));
    ck_assert(!tag_ok("-x"));
    ck_assert(!tag_ok(""));
    ck_assert(upload_id_ok(UP));
    ck_assert(!upload_id_ok("0123456789abcdef0123456789abcdef"));
    ck_assert(!upload_id_ok(".0123456789abcdef0123456789abcdef"));
    ck_assert(!upload_id_ok("east-us.0123456789abcdef0123456789abcdef"));
    ck_assert(!upload_id_ok("eastus.0123456789ABCDEF0123456789abcdef"));
    ck_assert(upload_id_of_region(UP, "eastus"));
    ck_assert(!upload_id_of_region(UP, "east"));
    ck_assert(!upload_id_of_region(UP, "westeurope"));
}
END_TEST

CHECK_MAIN("registry/route", paths_mean_what_the_table_says, queries_mean_what_the_table_says,
           names_follow_the_grammar, tags_and_upload_ids_have_limits)
