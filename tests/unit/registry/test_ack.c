// SPDX-License-Identifier: Apache-2.0
// registry/ack: writes that other regions must have before they are acknowledged. The other regions
// are an object that says what it is told to say.
#include "base/err.h"
#include "net/traffic.h"
#include "registry/ack.h"
#include "registry/registry_priv.h"
#include "store/meta_feed.h"
#include "tests/unit/registry/upload_support.h"

#include <limits.h>

static unsigned n_heard = 2;  // members that are not away
static unsigned stored_after; // looks until enough have it; UINT_MAX: never
static unsigned n_looks, n_begun, n_ended;
static struct written seen[WRITTEN_MAX]; // of the last ack
static char seen_tags[WRITTEN_MAX][32];
static size_t n_seen;
static void (*wake_fn)(void *ctx);
static bool wakes; // at once, whenever it may

static unsigned reachable(void *ctx, const char *registry, char away[CONTENT_TEXT_SIZE])
{
    (void)ctx;
    ck_assert_str_eq(registry, "contoso");
    snprintf(away, CONTENT_TEXT_SIZE, "southeastasia");
    return n_heard;
}

static char token;      // stands for who is asked
static bool none_asked; // nobody can be

static int ack_begin(void *ctx, const struct elsewhere_ack_want *w, struct elsewhere_ack **out)
{
    (void)ctx;
    ck_assert_str_eq(w->repository, "team/app");
    ck_assert_uint_eq(w->n_peers, 1);
    if (none_asked)
        return ERR_CANCELED;
    memcpy(seen, w->list, w->n * sizeof *seen);
    n_seen = w->n;
    for (size_t i = 0; i < w->n; i++) { // it outlives the request
        seen[i].value.origin = NULL;
        if (!seen[i].tag)
            continue;
        snprintf(seen_tags[i], sizeof seen_tags[i], "%s", seen[i].tag);
        seen[i].tag = seen_tags[i];
    }
    n_looks = 0;
    n_begun++;
    *out = (struct elsewhere_ack *)(void *)&token;
    return 0;
}

static void ack_look(struct elsewhere_ack *a, struct elsewhere_ack_view *out)
{
    ck_assert_ptr_eq((void *)a, &token);
    *out = (struct elsewhere_ack_view){.lacking = "westeurope (it is not heard)",
                                       .again_mono = clock_mono_ms() + 500};
    if (n_looks++ >= stored_after) {
        out->n_stored = 1;
        snprintf(out->stored, sizeof out->stored, "westeurope");
    }
}

static void ack_wake(struct elsewhere_ack *a, void (*wake)(void *ctx), void *ctx)
{
    ck_assert_ptr_eq((void *)a, &token);
    wake_fn = wake;
    if (wake && wakes)
        wake(ctx);
}

static void ack_end(struct elsewhere_ack *a)
{
    ck_assert_ptr_eq((void *)a, &token);
    ck_assert_ptr_null(wake_fn);
    n_ended++;
}

// Nothing is copied ahead of these writes.
static struct elsewhere_told *tell(void *ctx, const struct elsewhere_want *w)
{
    (void)ctx;
    (void)w;
    return NULL;
}

static bool coming(void *ctx, const char *registry, const char *repository, const struct digest *d)
{
    (void)ctx;
    (void)registry;
    (void)repository;
    (void)d;
    return false;
}

static const struct elsewhere_ops ops = {.tell = tell,
                                         .coming = coming,
                                         .reachable = reachable,
                                         .ack_begin = ack_begin,
                                         .ack_look = ack_look,
                                         .ack_wake = ack_wake,
                                         .ack_end = ack_end};
static const struct elsewhere elsewhere = {&ops, NULL};

static void begin(void)
{
    world_elsewhere = &elsewhere;
    world_ack_peers = 1;
    world_up();
}

static uint64_t entries(void) // own ones so far
{
    struct feed_mark head;
    ck_assert_int_eq(meta_head(world_meta, "eastus", &head), 0);
    return head.seq;
}

static struct exchange put_by(const char *token_of_user, const char *target, const char *name,
                              const char *value, const char *text)
{
    struct exchange x = {.req = request_make("PUT", target, REGIONAL, token_of_user)};
    http_request_test_header(x.req, "Content-Type", OCI_MANIFEST);
    if (name)
        http_request_test_header(x.req, name, value);
    http_request_test_body(x.req, text, strlen(text));
    http_app_test_run(&world_app, x.req, 0, &x.resp);
    return x;
}

static struct exchange put(const char *reference, const char *text)
{
    AUTO_FREE char *target = mem_printf("/v2/team/app/manifests/%s", reference);
    return put_by(token_push, target, NULL, NULL, text);
}

static char *image(const char *config)
{
    char digest[DIGEST_TEXT_SIZE];
    blob_push("team/app", config, digest);
    return manifest_text(digest, strlen(config), "");
}

static void expect_503(struct exchange x, const char *words)
{
    ck_assert_msg(x.resp.status == 503 && body_has(&x, words), "%d %.*s", x.resp.status,
                  (int)x.resp.body.n, (const char *)x.resp.body.p);
    ck_assert_str_ne(header_of(&x, "Retry-After"), "");
    exchange_end(&x);
}

// Since the start of the process.
static void counted(uint64_t waits, uint64_t done, uint64_t late, uint64_t refused)
{
    ck_assert_uint_eq(traffic_count(TRAFFIC_ACK_WAITS), waits);
    ck_assert_uint_eq(traffic_count(TRAFFIC_ACK_DONE), done);
    ck_assert_uint_eq(traffic_count(TRAFFIC_ACK_LATE), late);
    ck_assert_uint_eq(traffic_count(TRAFFIC_ACK_REFUSED), refused);
}

START_TEST(what_becomes_of_them_is_counted)
{
    begin();
    AUTO_FREE char *text = image("config");
    counted(0, 0, 0, 0);
    stored_after = 0;
    ck_assert_int_eq(status_of(put("1", text)), 201);
    counted(1, 1, 0, 0);
    none_asked = true;
    expect_503(put("2", text), "cannot be asked now");
    none_asked = false;
    counted(2, 1, 1, 0);
    n_heard = 0;
    expect_503(put("3", text), "nothing was stored");
    n_heard = 2;
    counted(2, 1, 1, 1);
    ck_assert_int_eq(status_of(send_plain("GET", "/v2/team/app/manifests/1")), 200);
    world_ack_peers = 0;
    ck_assert_int_eq(status_of(put("4", text)), 201);
    counted(2, 1, 1, 1);
    world_down();
}
END_TEST

START_TEST(an_answer_waits_for_the_others)
{
    begin();
    AUTO_FREE char *text = image("config");
    char digest[DIGEST_TEXT_SIZE];
    digest_text(text, strlen(text), digest);
    stored_after = 3;
    int64_t began = clock_mono_ms();
    struct exchange x = put("1", text);
    ck_assert_int_eq(x.resp.status, 201);
    ck_assert_str_eq(header_of(&x, "Docker-Content-Digest"), digest);
    ck_assert_int_ge(clock_mono_ms() - began, 3 * 500);
    ck_assert_uint_eq(n_looks, 4);
    ck_assert(n_begun == 1 && n_ended == 1);
    // the manifest and its tag, with their values
    ck_assert_uint_eq(n_seen, 2);
    ck_assert(!seen[0].tag && seen[1].tag && !strcmp(seen[1].tag, "1"));
    exchange_end(&x);
    // woken, no time passes
    stored_after = 2;
    wakes = true;
    began = clock_mono_ms();
    ck_assert_int_eq(status_of(put("2", text)), 201);
    ck_assert_int_lt(clock_mono_ms() - began, 500);
    wakes = false;
    // deletions wait too, and reads, uploads and refusals do not
    ck_assert_int_eq(status_of(send_with("DELETE", "/v2/team/app/manifests/2", REGIONAL,
                                         token_delete, NULL, NULL, NULL, 0, 0)),
                     202);
    ck_assert(n_begun == 3 && n_ended == 3 && n_seen == 1);
    ck_assert_int_eq(status_of(send_plain("GET", "/v2/team/app/manifests/1")), 200);
    ck_assert_int_eq(status_of(put("3", "no manifest")), 400);
    char layer[DIGEST_TEXT_SIZE];
    blob_push("team/app", "layer", layer);
    ck_assert(n_begun == 3);
    world_ack_peers = 0;
    ck_assert_int_eq(status_of(put("4", text)), 201);
    ck_assert(n_begun == 3);
    world_down();
}
END_TEST

// The write stays. A repeat mints, so it wins over what another region took meanwhile and has not
// told; only its conditions are not asked again.
START_TEST(the_repeat_of_what_was_not_acknowledged_is_a_newer_write)
{
    begin();
    AUTO_FREE char *text = image("config"), *other = image("another");
    AUTO_FREE char *bob = token_of("\"bob\"");
    stored_after = UINT_MAX;
    int64_t began = clock_mono_ms();
    expect_503(put("1", text), "stored in eastus, not yet in 1 other regions as this registry asks "
                               "(ack): none has it; not westeurope (it is not heard)");
    ck_assert_int_ge(clock_mono_ms() - began, 10000);
    ck_assert_int_eq(status_of(send_plain("GET", "/v2/team/app/manifests/1")), 200);
    uint64_t written = entries();
    struct written first = seen[1];
    expect_503(put("1", text), "stored in eastus");
    ck_assert_uint_gt(entries(), written);
    ck_assert_uint_gt(seen[1].value.stamp, first.value.stamp);
    written = entries();
    // conditions were met by the first
    const char *target = "/v2/team/app/manifests/1";
    expect_503(put_by(token_push, target, "If-Match", "\"sha256:0\"", text), "stored in eastus");
    ck_assert_uint_gt(entries(), written);
    expect_503(put_by(token_push, target, "If-None-Match", "*", text), "stored in eastus");
    // but not of another user's write, nor of another value
    ck_assert_int_eq(status_of(put_by(bob, target, "If-Match", "\"sha256:0\"", text)), 412);
    ck_assert_int_eq(status_of(put_by(token_push, target, "If-Match", "\"sha256:0\"", other)), 412);
    expect_503(put_by(bob, target, NULL, NULL, text), "stored in eastus");
    ck_assert_int_eq(status_of(put_by(token_push, target, "If-Match", "\"sha256:0\"", text)), 412);
    // one that was acknowledged is over
    stored_after = 1;
    ck_assert_int_eq(status_of(put("1", text)), 201);
    ck_assert_int_eq(status_of(put_by(token_push, target, "If-Match", "\"sha256:0\"", text)), 412);
    // of several tags, and after another value
    stored_after = UINT_MAX;
    expect_503(put_by(token_push, "/v2/team/app/manifests/5?tag=6&tag=7", NULL, NULL, other),
               "stored in eastus");
    written = entries();
    stored_after = 1;
    ck_assert_int_eq(
        status_of(put_by(token_push, "/v2/team/app/manifests/5?tag=6&tag=7", NULL, NULL, other)),
        201);
    ck_assert_uint_gt(entries(), written);
    ck_assert_uint_eq(n_seen, 4);
    stored_after = UINT_MAX;
    expect_503(put("8", text), "stored in eastus");
    ck_assert_int_eq(n_begun, n_ended);
    stored_after = 1;
    ck_assert_int_eq(status_of(put("8", other)), 201);
    ck_assert_int_eq(
        status_of(put_by(token_push, "/v2/team/app/manifests/8", "If-Match", "\"sha256:0\"", text)),
        412); // another value stands
    world_down();
}
END_TEST

// Nobody can be asked: this process is not the region's writer any more, say.
START_TEST(what_nobody_is_asked_about_stays_and_is_repeated)
{
    begin();
    AUTO_FREE char *text = image("config");
    none_asked = true;
    expect_503(put("1", text), "not any, which cannot be asked now");
    ck_assert(n_begun == 0 && n_ended == 0);
    ck_assert_int_eq(status_of(send_plain("GET", "/v2/team/app/manifests/1")), 200);
    none_asked = false;
    stored_after = 1;
    ck_assert_int_eq(
        status_of(put_by(token_push, "/v2/team/app/manifests/1", "If-Match", "\"sha256:0\"", text)),
        201);
    ck_assert(n_begun == 1 && n_ended == 1);
    world_down();
}
END_TEST

// A register that cannot be read has no value to note; the others are noted.
START_TEST(what_cannot_be_read_is_not_acknowledged)
{
    begin();
    AUTO_FREE char *text = image("config");
    stored_after = 1;
    ck_assert_int_eq(status_of(put("1", text)), 201);
    struct exchange x = {.req =
                             request_make("PUT", "/v2/team/app/manifests/1", REGIONAL, token_push)};
    struct op op = {.s = world_service,
                    .req = x.req,
                    .registry = "contoso",
                    .route = {.name = "team/app"},
                    .principal = "somebody",
                    .ack_peers = 1,
                    .ack_timeout_ms = 1000};
    struct digest d;
    ck_assert_int_eq(digest_of(DIGEST_SHA256, text, strlen(text), &d), 0);
    ack_note(&op, "1", NULL);
    ack_note(&op, "never", NULL);
    x.resp.status = 201;
    ck_assert(!ack_hold(&op, &x.resp));
    ck_assert(ack_repeats(&op, "1", &d, false));
    ack_done(&op);
    expect_503(x, "not any, which cannot be asked now");
    ck_assert(n_begun == 1 && n_ended == 1);
    world_down();
}
END_TEST

START_TEST(a_deletion_that_was_not_acknowledged_is_repeated)
{
    begin();
    AUTO_FREE char *text = image("config");
    char digest[DIGEST_TEXT_SIZE];
    digest_text(text, strlen(text), digest);
    AUTO_FREE char *by_digest = mem_printf("/v2/team/app/manifests/%s", digest);
    unsigned begun = 1;
    AUTO_FREE char *by_value = mem_printf("\"%s\"", digest);
    const char *const targets[] = {"/v2/team/app/manifests/1", by_digest};
    stored_after = 1;
    ck_assert_int_eq(status_of(put("1", text)), 201);
    for (size_t i = 0; i < 2; i++) {
        stored_after = UINT_MAX;
        expect_503(send_with("DELETE", targets[i], REGIONAL, token_delete, NULL, NULL, NULL, 0, 0),
                   "stored in eastus");
        uint64_t written = entries();
        if (i == 0) // the first met it
            expect_503(send_with("DELETE", targets[i], REGIONAL, token_delete, "If-Match", by_value,
                                 NULL, 0, 0),
                       "stored in eastus");
        stored_after = 1;
        ck_assert_int_eq(status_of(send_with("DELETE", targets[i], REGIONAL, token_delete, NULL,
                                             NULL, NULL, 0, 0)),
                         202);
        ck_assert_uint_eq(entries(), written);
        ck_assert(seen[0].value.gone);
        ck_assert_int_eq(status_of(send_with("DELETE", targets[i], REGIONAL, token_delete, NULL,
                                             NULL, NULL, 0, 0)),
                         404);
        // it says that it has gone: that waits too, also when nobody remembers who was told what
        begun += i == 0 ? 4 : 3;
        ck_assert_uint_eq(n_begun, begun);
    }
    memset(world_service->unacked.list, 0, sizeof world_service->unacked.list);
    stored_after = UINT_MAX;
    expect_503(send_with("DELETE", targets[0], REGIONAL, token_delete, NULL, NULL, NULL, 0, 0),
               "stored in eastus");
    stored_after = 1;
    ck_assert_int_eq(
        status_of(send_with("DELETE", targets[0], REGIONAL, token_delete, NULL, NULL, NULL, 0, 0)),
        202);
    // there was never such a tag: nobody is asked
    begun = n_begun;
    ck_assert_int_eq(status_of(send_with("DELETE", "/v2/team/app/manifests/never", REGIONAL,
                                         token_delete, NULL, NULL, NULL, 0, 0)),
                     404);
    ck_assert_uint_eq(n_begun, begun);
    world_down();
}
END_TEST

static bool audit_says(const char *path, const char *words)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    clock_virtual_off();
    ck_assert_int_eq(audit_flush(world_audit, 5000), 0);
    clock_virtual_set(NOW_MS);
    ck_assert_int_eq(file_read(path, 1 << 20, &text), 0);
    return strstr(buf_cstr(&text), words);
}

// It is no failure: what was written is there.
START_TEST(a_write_that_stands_is_audited_as_done)
{
    char path[96], digest[DIGEST_TEXT_SIZE];
    snprintf(path, sizeof path, "/tmp/meridian-ack-%d.log", (int)getpid());
    unlink(path);
    const struct audit_options o = {.path = path, .region = "eastus", .stamp = "eus-1"};
    ck_assert_int_eq(audit_start(&o, NULL, &world_audit), 0);
    begin();
    AUTO_FREE char *text = image("config");
    digest_text(text, strlen(text), digest);
    AUTO_FREE char *named = mem_printf("\"digest\":\"%s\"", digest);
    none_asked = true;
    expect_503(put_by(token_push, "/v2/team/app/manifests/1?tag=2", NULL, NULL, text),
               "stored in eastus");
    ck_assert(audit_says(path, named));
    ck_assert(audit_says(path, "\"detail\":\"stored, not acknowledged; tags 2\""));
    ck_assert(!audit_says(path, "\"failed\""));
    // what was refused is not there
    n_heard = 0;
    expect_503(put("3", text), "nothing was stored");
    ck_assert(audit_says(path, "\"failed\""));
    world_down();
    audit_stop(take_ptr(world_audit));
    unlink(path);
}
END_TEST

// Where too few are heard nothing is kept: no manifest, and no byte of a blob.
START_TEST(too_few_regions_refuse_early)
{
    begin();
    AUTO_FREE char *text = image("config");
    uint64_t written = entries();
    struct exchange upload = send_plain("POST", UPLOADS);
    ck_assert_int_eq(upload.resp.status, 202);
    AUTO_FREE char *at = target_of(header_of(&upload, "Location"), REGIONAL);
    exchange_end(&upload);
    n_heard = 0;
    // what is not to be acknowledged by others is as ever: an upload is given up, and its space with it
    ck_assert_int_eq(status_of(send_plain("DELETE", at)), 204);
    expect_503(put("1", text), "this registry's writes are acknowledged once 1 other regions have "
                               "them, and 0 are heard (not southeastasia): nothing was stored");
    expect_503(send_plain("POST", UPLOADS), "nothing was stored");
    ck_assert_uint_eq(uploads_left(), 0);
    ck_assert_uint_eq(entries(), written);
    ck_assert_int_eq(status_of(send_plain("GET", "/v2/team/app/manifests/1")), 404);
    ck_assert_uint_eq(n_begun, 0);
    n_heard = 1;
    stored_after = 1;
    ck_assert_int_eq(status_of(put("1", text)), 201);
    world_down();
}
END_TEST

// A server that ends does not wait.
START_TEST(the_end_of_the_server_answers)
{
    begin();
    AUTO_FREE char *text = image("config");
    struct exchange x = {.req =
                             request_make("PUT", "/v2/team/app/manifests/1", REGIONAL, token_push)};
    stored_after = UINT_MAX;
    http_request_test_header(x.req, "Content-Type", OCI_MANIFEST);
    http_request_test_body(x.req, text, strlen(text));
    x.req->ending = true;
    int64_t began = clock_mono_ms();
    http_app_test_run(&world_app, x.req, 0, &x.resp);
    expect_503(x, "stored in eastus");
    ck_assert_int_lt(clock_mono_ms() - began, 1000);
    ck_assert(n_begun == 1 && n_ended == 1);
    world_down();
}
END_TEST

CHECK_MAIN("registry/ack", what_becomes_of_them_is_counted, an_answer_waits_for_the_others,
           the_repeat_of_what_was_not_acknowledged_is_a_newer_write,
           what_nobody_is_asked_about_stays_and_is_repeated,
           what_cannot_be_read_is_not_acknowledged,
           a_deletion_that_was_not_acknowledged_is_repeated, too_few_regions_refuse_early,
           the_end_of_the_server_answers, a_write_that_stands_is_audited_as_done)
