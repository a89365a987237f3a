// SPDX-License-Identifier: Apache-2.0
// registry/ended: the audit log has each push, upload, mount, delete, lock, unlock and restore with
// who, what and how it ended, each refusal, and no read that was allowed.
#include "net/traffic.h"
#include "tests/unit/registry/registry_fixture.h"

#define APP "/v2/team/app"
#define LOCK "/registry/v1/lock?repository=team/app"

static char config[DIGEST_TEXT_SIZE], audit_file[96];
static char *token_all;

static void up(void)
{
    log_setup(LOG_ERROR + 1, "test");
    snprintf(audit_file, sizeof audit_file, "/tmp/meridian-ended-%d.log", (int)getpid());
    unlink(audit_file);
    const struct audit_options o = {.path = audit_file, .region = "eastus", .stamp = "eus-1"};
    ck_assert_int_eq(audit_start(&o, NULL, &world_audit), 0);
    world_up();
    token_all = token_make("[{\"type\":\"repository\",\"name\":\"team/app\",\"actions\":[\"pull\","
                           "\"push\",\"delete\"]},{\"type\":\"repository\",\"name\":\"team/b\","
                           "\"actions\":[\"pull\",\"push\"]}]");
    blob_push("team/app", "{}", config);
}

static void down(void)
{
    free(token_all);
    world_down();
    audit_stop(take_ptr(world_audit));
    unlink(audit_file);
}

// The file as an array of objects. The caller releases it.
static json_t *lines(void)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    clock_virtual_off();
    ck_assert_int_eq(audit_flush(world_audit, 5000), 0);
    clock_virtual_set(NOW_MS);
    ck_assert_int_eq(file_read(audit_file, 1 << 20, &text), 0);
    json_t *all = json_array();
    char *next = NULL;
    for (char *p = strtok_r(text.p, "\n", &next); p; p = strtok_r(NULL, "\n", &next)) {
        json_t *o = json_loads(p, JSON_REJECT_DUPLICATES, NULL);
        ck_assert_msg(o != NULL, "not JSON: %s", p);
        ck_assert_str_eq(json_string_value(json_object_get(o, "registry")), "contoso");
        ck_assert_uint_eq(json_string_length(json_object_get(o, "id")), 32);
        json_array_append_new(all, o);
    }
    return all;
}

static const char *value(json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    if (s)
        return s;
    return "-";
}

// "what outcome principal repository reference", of the newest line
static void newest_is(const char *want)
{
    json_t *all = lines(), *o = json_array_get(all, json_array_size(all) - 1);
    AUTO_FREE char *got =
        mem_printf("%s %s %s %s %s", value(o, "what"), value(o, "outcome"), value(o, "principal"),
                   value(o, "repository"), value(o, "reference"));
    ck_assert_str_eq(got, want);
    json_decref(all);
}

static void newest_has(const char *key, const char *want)
{
    json_t *all = lines(), *o = json_array_get(all, json_array_size(all) - 1);
    ck_assert_str_eq(value(o, key), want);
    json_decref(all);
}

static size_t n_lines(void)
{
    json_t *all = lines();
    size_t n = json_array_size(all);
    json_decref(all);
    return n;
}

static int ask(const char *method, const char *target, const char *token, const char *body)
{
    return status_of(send_with(method, target, REGIONAL, token, "Content-Type", OCI_MANIFEST, body,
                               body ? strlen(body) : 0, 0));
}

START_TEST(each_change_is_a_line)
{
    up();
    char digest[DIGEST_TEXT_SIZE];
    newest_is("upload done ada team/app -");
    newest_has("digest", config);
    AUTO_FREE char *text = manifest_text(config, 2, "");
    digest_text(text, strlen(text), digest);
    ck_assert_int_eq(ask("PUT", APP "/manifests/v1", token_all, text), 201);
    newest_is("push done ada team/app v1");
    newest_has("digest", digest);
    newest_has("region", "eastus");
    AUTO_FREE char *by_digest = mem_printf(APP "/manifests/%s?tag=a&tag=b", digest);
    ck_assert_int_eq(ask("PUT", by_digest, token_all, text), 201);
    newest_is("push done ada team/app -");
    newest_has("detail", "tags a, b");
    AUTO_FREE char *mount = mem_printf("/v2/team/b/blobs/uploads/?mount=%s&from=team/app", config);
    ck_assert_int_eq(ask("POST", mount, token_all, NULL), 201);
    newest_is("mount done ada team/b -");
    newest_has("digest", config);
    ck_assert_int_eq(ask("PUT", LOCK, token_all, "{\"write\":false,\"delete\":true}"), 200);
    newest_is("lock done ada team/app -");
    ck_assert_int_eq(ask("DELETE", APP "/manifests/v1", token_all, NULL), 403);
    newest_is("delete refused ada team/app v1");
    newest_has("code", "DENIED");
    ck_assert_int_eq(ask("PUT", LOCK, token_all, "{\"write\":false,\"delete\":false}"), 200);
    newest_is("unlock done ada team/app -");
    ck_assert_int_eq(ask("DELETE", APP "/manifests/v1", token_all, NULL), 202);
    newest_is("delete done ada team/app v1");
    AUTO_FREE char *restore =
        mem_printf("/registry/v1/restore?repository=team/app&tag=v1&digest=%s", digest);
    ck_assert_int_eq(ask("POST", restore, token_all, NULL), 201);
    newest_is("restore done ada team/app v1");
    newest_has("digest", digest);
    down();
}
END_TEST

START_TEST(an_upload_is_a_line_once_it_has_ended)
{
    up();
    size_t before = n_lines();
    char digest[DIGEST_TEXT_SIZE];
    digest_text("hello", 5, digest);
    AUTO_FREE char *at = upload_start("team/app");
    ck_assert_int_eq(status_of(send_body("PATCH", at, "hello", 5)), 202);
    ck_assert_uint_eq(n_lines(), before);
    AUTO_FREE char *end = mem_printf("%s?digest=%s", at, digest);
    ck_assert_int_eq(status_of(send_plain("PUT", end)), 201);
    ck_assert_uint_eq(n_lines(), before + 1);
    newest_is("upload done ada team/app -");
    newest_has("digest", digest);
    down();
}
END_TEST

START_TEST(each_refusal_is_a_line_and_a_challenge_is_none)
{
    up();
    ck_assert_int_eq(ask("PUT", APP "/manifests/v1", token_pull, "{}"), 401);
    newest_is("push refused ada team/app v1");
    newest_has("code", "DENIED");
    ck_assert_int_eq(ask("GET", "/v2/team/secret/manifests/v1", token_pull, NULL), 401);
    newest_is("refusal refused ada team/secret v1");
    ck_assert_int_eq(ask("GET", APP "/manifests/v1", "bad", NULL), 401);
    newest_is("refusal refused - team/app v1");
    size_t before = n_lines();
    ck_assert_int_eq(ask("GET", APP "/manifests/v1", NULL, NULL), 401);
    ck_assert_int_eq(ask("PUT", APP "/manifests/v1", NULL, "{}"), 401);
    ck_assert_int_eq(ask("GET", APP "/manifests/absent", token_pull, NULL), 404);
    ck_assert_int_eq(ask("GET", APP "/tags/list", token_pull, NULL), 200);
    ck_assert_uint_eq(n_lines(), before);
    down();
}
END_TEST

static json_t *page(const char *target, const char *token)
{
    struct exchange x = send_with("GET", target, REGIONAL, token, NULL, NULL, NULL, 0, 0);
    ck_assert_int_eq(x.resp.status, 200);
    json_t *o = json_loadb((const char *)x.resp.body.p, x.resp.body.n, 0, NULL);
    ck_assert_ptr_nonnull(o);
    if (json_object_get(o, "next"))
        ck_assert_ptr_nonnull(strstr(header_of(&x, "Link"), value(o, "next")));
    exchange_end(&x);
    return o;
}

START_TEST(an_auditor_reads_it_in_pages)
{
    up();
    const struct access_grant grant = {"*", ACTION_AUDIT};
    struct arena a;
    arena_init(&a, 0);
    const char *auditor = fixture_access(0, GLOBAL, 0, &grant, 1, NOW_MS, &a);
    const char *target = "/registry/v1/audit?n=2";
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(ask("PUT", APP "/manifests/v1", token_pull, "{}"), 401);
    // what another registry did, one of the same name before this one too, is not shown
    const char *const others[] = {"fabrikam", "contoso@7", "contoso2"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        audit_write(world_audit, &(struct audit_event){
                                     .what = "push", .outcome = "done", .registry = others[i]});
    clock_virtual_off();
    ck_assert_int_eq(audit_flush(world_audit, 5000), 0);
    clock_virtual_set(NOW_MS);
    json_t *first = page(target, auditor);
    ck_assert_str_eq(value(first, "registry"), "contoso");
    ck_assert_str_eq(value(first, "region"), "eastus");
    ck_assert_uint_eq(json_array_size(json_object_get(first, "events")), 2);
    AUTO_FREE char *next = mem_printf("%s&last=%s", target, value(first, "next"));
    json_t *second = page(next, auditor), *list = json_object_get(second, "events");
    ck_assert_uint_eq(json_array_size(list), 2); // a refusal, and the upload of up()
    ck_assert_str_eq(value(json_array_get(list, 1), "what"), "upload");
    json_decref(first);
    json_decref(second);
    json_t *all = page("/registry/v1/audit?since=2020-01-01T00:00:00Z", auditor);
    ck_assert_uint_eq(json_array_size(json_object_get(all, "events")), 4);
    ck_assert_str_eq(value(all, "next"), "-");
    json_decref(all);
    ck_assert_int_eq(ask("GET", "/registry/v1/audit?since=today", auditor, NULL), 400);
    ck_assert_int_eq(ask("GET", "/registry/v1/audit?last=1-1", auditor, NULL), 404);
    ck_assert_int_eq(ask("GET", "/registry/v1/audit?n=x", auditor, NULL), 400);
    ck_assert_int_eq(ask("GET", "/registry/v1/audit", token_all, NULL), 401);
    ck_assert_int_eq(ask("GET", "/registry/v1/audit", token_catalog, NULL), 401);
    arena_done(&a);
    down();
}
END_TEST

START_TEST(what_was_served_is_counted)
{
    up();
    char digest[DIGEST_TEXT_SIZE];
    uint64_t before[N_TRAFFIC_COUNTERS];
    for (int i = 0; i < N_TRAFFIC_COUNTERS; i++)
        before[i] = traffic_count((enum traffic_counter)i);
    blob_push("team/app", "hello world", digest); // 11
    AUTO_FREE char *blob = mem_printf(APP "/blobs/%s", digest);
    AUTO_FREE char *text = manifest_text(config, 2, "");
    size_t n = strlen(text);
    ck_assert_int_eq(ask("PUT", APP "/manifests/v1", token_all, text), 201);
    ck_assert_int_eq(ask("GET", APP "/manifests/v1", token_all, NULL), 200); // n
    ck_assert_int_eq(ask("HEAD", APP "/manifests/v1", token_all, NULL), 200);
    ck_assert_int_eq(ask("GET", blob, token_all, NULL), 200); // 11
    static const char *const ranges[] = {"bytes=0-3", "bytes=8-", "bytes=-5", "bytes=20-30",
                                         "bytes=5-3"}; // 4, 3, 5, none, none
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
        ck_assert_int_eq(
            status_of(send_with("GET", blob, REGIONAL, token_all, "Range", ranges[i], NULL, 0, 0)),
            200);
    ck_assert_int_eq(ask("DELETE", APP "/manifests/v1", token_all, NULL), 202);
    ck_assert_int_eq(ask("PUT", APP "/manifests/v1", token_pull, ""), 401);
    const struct {
        enum traffic_counter counter;
        uint64_t n;
    } rows[] = {{TRAFFIC_BYTES_IN, 11 + n}, {TRAFFIC_BYTES_OUT, n + 11 + 4 + 3 + 5},
                {TRAFFIC_PUSHES, 1},        {TRAFFIC_PUSHED_BLOBS, 1},
                {TRAFFIC_PULLS, 1},         {TRAFFIC_PULLED_BLOBS, 6},
                {TRAFFIC_DELETES, 1},       {TRAFFIC_TOKENS_SCOPE, 1},
                {TRAFFIC_MOUNTED_BLOBS, 0}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t is = traffic_count(rows[i].counter) - before[rows[i].counter];
        // bodies of errors count too
        if (rows[i].counter == TRAFFIC_BYTES_OUT)
            ck_assert_uint_ge(is, rows[i].n);
        else
            ck_assert_msg(is == rows[i].n, "row %zu: %llu", i, (unsigned long long)is);
    }
    uint64_t open;
    AUTO_FREE char *at = upload_start("team/app");
    ck_assert_int_eq(meta_uploads_count(world_meta, &open), 0);
    ck_assert_uint_eq(open, 1);
    down();
}
END_TEST

CHECK_MAIN("registry/ended", each_change_is_a_line, an_upload_is_a_line_once_it_has_ended,
           each_refusal_is_a_line_and_a_challenge_is_none, an_auditor_reads_it_in_pages,
           what_was_served_is_counted)
