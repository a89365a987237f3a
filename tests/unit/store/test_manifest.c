// SPDX-License-Identifier: Apache-2.0
// store/manifest: what is a manifest, what it refers to, and what is refused.
#include "store/manifest.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/mem_test.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

#define OCI "application/vnd.oci.image.manifest.v1+json"
#define INDEX "application/vnd.oci.image.index.v1+json"
#define DOCKER "application/vnd.docker.distribution.manifest.v2+json"
#define LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define SUM "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DESC(type) "{\"mediaType\":\"" type "\",\"digest\":\"" SUM "\",\"size\":7}"
#define CONFIG "\"config\":" DESC("application/vnd.oci.image.config.v1+json")
#define LAYER DESC("application/vnd.oci.image.layer.v1.tar+gzip")

static int parse(const char *text, const char *type, struct manifest *m, struct arena *a)
{
    struct diag d;
    diag_init(&d);
    int rc = manifest_parse(bytes_str(text), type, a, &d, m);
    ck_assert(rc == 0 || rc == ERR_NOMEM || diag_count(&d) == 1); // every refusal says why
    diag_done(&d);
    return rc;
}

START_TEST(good_ones)
{
    static const struct {
        const char *type, *text;
        size_t n_refs;
        bool index;
    } good[] = {
        {OCI,
         "{\"schemaVersion\":2,\"mediaType\":\"" OCI "\"," CONFIG ",\"layers\":[" LAYER "," LAYER
         "]}",
         3, false},
        {OCI, "{\"schemaVersion\":2," CONFIG ",\"layers\":[]}", 1, false},
        {NULL, "{\"schemaVersion\":2," CONFIG ",\"layers\":[]}", 1, false},
        {NULL, "{\"schemaVersion\":2,\"manifests\":[]}", 0, true},
        {DOCKER,
         "{\"schemaVersion\":2,\"mediaType\":\"" DOCKER "\"," CONFIG ",\"layers\":[" LAYER "]}", 2,
         false},
        {INDEX, "{\"schemaVersion\":2,\"manifests\":[" DESC(OCI) "," DESC(INDEX) "]}", 2, true},
        {LIST, "{\"schemaVersion\":2,\"manifests\":[" DESC(DOCKER) "]}", 1, true},
        {OCI,
         "{\"schemaVersion\":2," CONFIG
         ",\"layers\":[],\"subject\":" DESC(OCI) ",\"artifactType\":\"a/b\"}",
         2, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct arena a;
        struct manifest m;
        arena_init(&a, 0);
        ck_assert_int_eq(parse(good[i].text, good[i].type, &m, &a), 0);
        ck_assert_uint_eq(m.n_refs, good[i].n_refs);
        ck_assert(m.is_index == good[i].index);
        arena_done(&a);
    }
}
END_TEST

START_TEST(kinds_of_references)
{
    struct arena a;
    struct manifest m;
    arena_init(&a, 0);
    ck_assert_int_eq(
        parse("{\"schemaVersion\":2," CONFIG ",\"layers\":[" DESC(
                  "application/"
                  "vnd.oci.image.layer."
                  "nondistributable.v1.tar+gzip") "," DESC("application/"
                                                           "vnd.docker.image.rootfs.foreign.diff."
                                                           "tar.gzip") "," LAYER
                                                                       "],\"subject\":" DESC(
                                                                           OCI) ",\"artifactT"
                                                                                "ype\":"
                                                                                "\"applicatio"
                                                                                "n/x.sbom\"}",
              OCI, &m, &a),
        0);
    static const enum ref_kind want[] = {REF_BLOB, REF_FOREIGN, REF_FOREIGN, REF_BLOB, REF_SUBJECT};
    ck_assert_uint_eq(m.n_refs, 5);
    for (size_t i = 0; i < 5; i++) {
        ck_assert_int_eq(m.refs[i].kind, want[i]);
        ck_assert_uint_eq(m.refs[i].size, 7);
        ck_assert_uint_eq(m.refs[i].digest.b[0], 0x01);
    }
    ck_assert_str_eq(m.artifact_type, "application/x.sbom");
    ck_assert_str_eq(m.media_type, OCI);
    ck_assert_int_eq(
        parse("{\"schemaVersion\":2,\"manifests\":[" DESC(OCI) "," LAYER "]}", INDEX, &m, &a), 0);
    ck_assert_int_eq(m.refs[0].kind, REF_MANIFEST);
    ck_assert_int_eq(m.refs[1].kind, REF_BLOB);
    arena_done(&a);
}
END_TEST

START_TEST(bad_ones)
{
    static const struct {
        const char *type, *text;
        int rc;
    } bad[] = {
        {OCI, "", ERR_INVAL},
        {OCI, "{", ERR_INVAL},
        {OCI, "[]", ERR_INVAL},
        {OCI, "null", ERR_INVAL},
        {OCI, "{}", ERR_INVAL},
        {OCI, "{\"schemaVersion\":2}", ERR_INVAL},
        {OCI, "{\"schemaVersion\":1," CONFIG ",\"layers\":[]}", ERR_INVAL},
        {OCI, "{\"schemaVersion\":\"2\"," CONFIG ",\"layers\":[]}", ERR_INVAL},
        {OCI, "{\"schemaVersion\":2," CONFIG "}", ERR_INVAL},
        {OCI, "{\"schemaVersion\":2,\"layers\":[]}", ERR_INVAL},
        {OCI, "{\"schemaVersion\":2," CONFIG ",\"layers\":{}}", ERR_INVAL},
        {OCI, "{\"schemaVersion\":2," CONFIG ",\"layers\":[1]}", ERR_INVAL},
        {OCI, "{\"schemaVersion\":2," CONFIG ",\"layers\":[{}]}", ERR_INVAL},
        {OCI, "{\"schemaVersion\":2,\"config\":[],\"layers\":[]}", ERR_INVAL},
        {OCI, "{\"schemaVersion\":2," CONFIG "," CONFIG ",\"layers\":[]}", ERR_INVAL},
        {OCI, "{\"schemaVersion\":2," CONFIG ",\"layers\":[],\"manifests\":[]}", ERR_INVAL},
        {INDEX, "{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}", ERR_INVAL},
        {INDEX, "{\"schemaVersion\":2,\"manifests\":[]," CONFIG "}", ERR_INVAL},
        {INDEX, "{\"schemaVersion\":2," CONFIG ",\"layers\":[]}", ERR_INVAL},
        {OCI, "{\"schemaVersion\":2,\"mediaType\":\"" DOCKER "\"," CONFIG ",\"layers\":[]}",
         ERR_INVAL},
        {OCI, "{\"schemaVersion\":2,\"mediaType\":5," CONFIG ",\"layers\":[]}", ERR_INVAL},
        {"text/plain", "{\"schemaVersion\":2," CONFIG ",\"layers\":[]}", ERR_UNSUPPORTED},
        {"application/json", "{\"schemaVersion\":2," CONFIG ",\"layers\":[]}", ERR_UNSUPPORTED},
        {"application/vnd.docker.distribution.manifest.v1+prettyjws", "{\"schemaVersion\":1}",
         ERR_INVAL},
        {OCI, "{\"schemaVersion\":2," CONFIG ",\"layers\":[],\"subject\":1}", ERR_INVAL},
        {OCI, "{\"schemaVersion\":2," CONFIG ",\"layers\":[],\"artifactType\":\"x\"}", ERR_INVAL},
        {OCI, "{\"schemaVersion\":2," CONFIG ",\"layers\":[],\"artifactType\":3}", ERR_INVAL},
        {OCI, "{\"schemaVersion\":2," CONFIG ",\"layers\":[]} x", ERR_INVAL},
        {OCI,
         "{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"mediaType\":\"a/b\",\"digest\":\"" SUM
         "\"}]}",
         ERR_INVAL},
        {OCI,
         "{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"mediaType\":\"a/b\",\"digest\":\"" SUM
         "\",\"size\":-1}]}",
         ERR_INVAL},
        {OCI,
         "{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"mediaType\":\"a/b\",\"digest\":\"" SUM
         "\",\"size\":1.5}]}",
         ERR_INVAL},
        {OCI,
         "{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"mediaType\":\"ab\",\"digest\":\"" SUM
         "\",\"size\":1}]}",
         ERR_INVAL},
        {OCI,
         "{\"schemaVersion\":2," CONFIG
         ",\"layers\":[{\"mediaType\":\"a/b\",\"digest\":\"sha256:1\",\"size\":1}]}",
         ERR_INVAL},
        {OCI,
         "{\"schemaVersion\":2," CONFIG
         ",\"layers\":[{\"mediaType\":\"a/b\",\"digest\":\"md5:1\",\"size\":1}]}",
         ERR_INVAL},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct arena a;
        struct manifest m;
        arena_init(&a, 0);
        int rc = parse(bad[i].text, bad[i].type, &m, &a);
        ck_assert_msg(rc == bad[i].rc, "case %zu: %d", i, rc);
        arena_done(&a);
    }
}
END_TEST

START_TEST(too_many_references)
{
    struct buf b;
    struct arena a;
    struct manifest m;
    buf_init(&b, 0);
    arena_init(&a, 0);
    buf_str(&b, "{\"schemaVersion\":2,\"manifests\":[" DESC(OCI));
    for (int i = 1; i < MANIFEST_MAX_REFS; i++)
        buf_str(&b, "," DESC(OCI));
    buf_str(&b, "]}");
    ck_assert_int_eq(parse(b.p, INDEX, &m, &a), ERR_INVAL);
    buf_done(&b);
    arena_done(&a);
}
END_TEST

START_TEST(deep_nesting_is_refused)
{
    struct buf b;
    struct arena a;
    struct manifest m;
    buf_init(&b, 0);
    arena_init(&a, 0);
    for (int i = 0; i < 100000; i++)
        buf_str(&b, "[");
    ck_assert_int_eq(parse(b.p, OCI, &m, &a), ERR_INVAL);
    buf_done(&b);
    arena_done(&a);
}
END_TEST

START_TEST(media_types)
{
    ck_assert(media_type_ok("application/vnd.oci.image.manifest.v1+json"));
    ck_assert(media_type_ok("a/b"));
    static const char *const bad[] = {"",        "a",     "a/",   "/b",    "a/b/c", "a b/c",
                                      "a/b;c=d", "a/b\n", ".a/b", "a/b\"", "a/\xc3"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(!media_type_ok(bad[i]), "%s", bad[i]);
    char s[300];
    memset(s, 'a', sizeof s);
    s[127] = '/';
    s[255] = 0;
    ck_assert(media_type_ok(s)); // 127 + "/" + 127
    s[255] = 'a';
    s[256] = 0;
    ck_assert(!media_type_ok(s));
}
END_TEST

START_TEST(memory_may_end_anywhere)
{
    bool done = false;
    for (long n = 1; n < 100 && !done; n++) {
        struct arena a;
        struct manifest m;
        arena_init(&a, 0);
        mem_fault_after(n);
        int rc = manifest_parse(
            bytes_str("{\"schemaVersion\":2," CONFIG ",\"layers\":[],\"artifactType\":\"a/b\"}"),
            OCI, &a, NULL, &m);
        done = rc == 0;
        ck_assert(done || rc == ERR_NOMEM);
        mem_fault_after(0);
        arena_done(&a);
    }
    ck_assert(done);
}
END_TEST

CHECK_MAIN("store/manifest", good_ones, kinds_of_references, bad_ones, too_many_references,
           deep_nesting_is_refused, media_types, memory_may_end_anywhere)
