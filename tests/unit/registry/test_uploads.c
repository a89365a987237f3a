// SPDX-License-Identifier: Apache-2.0
// registry/uploads: every way in, over a real store: pieces, ranges, mounts, signed URLs, interruptions.
#include "tests/unit/registry/registry_fixture.h"

#include <sys/resource.h>

#define UPLOADS "/v2/team/app/blobs/uploads/"

static char *with_digest(const char *target, const char *digest)
{
    return mem_printf("%s%cdigest=%s", target, strchr(target, '?') ? '&' : '?', digest);
}

static int blob_status(const char *repository, const char *digest)
{
    AUTO_FREE char *target = mem_printf("/v2/%s/blobs/%s", repository, digest);
    return status_of(send_plain("HEAD", target));
}

START_TEST(pieces_with_and_without_range_make_a_blob)
{
    world_up();
    char digest[DIGEST_TEXT_SIZE];
    AUTO_FREE char *at = upload_start("team/app");
    struct exchange x = send_body("PATCH", at, "hello ", 6);
    ck_assert_int_eq(x.resp.status, 202);
    ck_assert_str_eq(header_of(&x, "Range"), "0-5");
    exchange_end(&x);
    x = send_with("PATCH", at, REGIONAL, token_push, "Content-Range", "6-10", "world", 5, 2);
    ck_assert_int_eq(x.resp.status, 202);
    ck_assert_str_eq(header_of(&x, "Range"), "0-10");
    exchange_end(&x);
    x = send_plain("GET", at);
    ck_assert_int_eq(x.resp.status, 204);
    ck_assert_str_eq(header_of(&x, "Range"), "0-10");
    exchange_end(&x);
    digest_text("hello world!", 12, digest);
    ck_assert_int_eq(blob_status("team/app", digest), 404);
    AUTO_FREE char *end = with_digest(at, digest);
    x = send_body("PUT", end, "!", 1);
    ck_assert_int_eq(x.resp.status, 201);
    ck_assert_str_eq(header_of(&x, "Docker-Content-Digest"), digest);
    AUTO_FREE char *blob = target_of(header_of(&x, "Location"), REGIONAL);
    exchange_end(&x);
    x = send_plain("GET", blob);
    ck_assert_int_eq(x.resp.status, 200);
    ck_assert_int_eq(x.resp.kind, HTTP_ACCEL);
    ck_assert_msg(!strncmp(x.resp.accel, "/_blob/sha256/", 14), "%s", x.resp.accel);
    ck_assert_str_eq(header_of(&x, "Content-Type"), "application/octet-stream");
    AUTO_FREE char *etag = mem_strdup(header_of(&x, "ETag"));
    exchange_end(&x);
    ck_assert_int_eq(status_of(send_with("GET", blob, REGIONAL, token_push, "If-None-Match", etag, NULL, 0, 0)), 304);
    ck_assert_int_eq(status_of(send_plain("GET", at)), 404); // the upload is over
    ck_assert_int_eq(status_of(send_body("PATCH", at, "x", 1)), 404);
    world_down();
}
END_TEST

START_TEST(a_piece_out_of_order_is_416_and_says_where_it_stands)
{
    world_up();
    AUTO_FREE char *at = upload_start("team/app");
    ck_assert_int_eq(status_of(send_body("PATCH", at, "0123456789", 10)), 202);
    static const char *const ranges[] = {"11-12", "0-1", "9-10"};
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        struct exchange x = send_with("PATCH", at, REGIONAL, token_push, "Content-Range", ranges[i], "ab", 2, 1);
        ck_assert_int_eq(x.resp.status, 416);
        ck_assert_str_eq(header_of(&x, "Range"), "0-9");
        AUTO_FREE char *again = target_of(header_of(&x, "Location"), REGIONAL);
        ck_assert_str_eq(again, at);
        exchange_end(&x);
    }
    ck_assert_int_eq(
        status_of(send_with("PATCH", at, REGIONAL, token_push, "Content-Range", "bytes 10-11/12", "ab", 2, 1)), 202);
    world_down();
}
END_TEST

START_TEST(a_wrong_digest_is_400_and_the_upload_stays)
{
    world_up();
    char right[DIGEST_TEXT_SIZE];
    AUTO_FREE char *at = upload_start("team/app");
    ck_assert_int_eq(status_of(send_body("PATCH", at, "abc", 3)), 202);
    AUTO_FREE char *wrong_end = with_digest(at, EMPTY_DIGEST);
    ck_assert_int_eq(status_of(send_body("PUT", wrong_end, "defghi", 6)), 400);
    struct exchange x = send_plain("GET", at);
    ck_assert_str_eq(header_of(&x, "Range"), "0-2"); // nothing of the refused request counts
    exchange_end(&x);
    digest_text("abcd", 4, right);
    AUTO_FREE char *end = with_digest(at, right);
    ck_assert_int_eq(status_of(send_body("PUT", end, "d", 1)), 201);
    ck_assert_int_eq(blob_status("team/app", right), 200);
    world_down();
}
END_TEST

START_TEST(whole_blobs_come_in_one_request_and_empty_ones_too)
{
    world_up();
    char digest[DIGEST_TEXT_SIZE];
    blob_push("team/app", "monolithic", digest);
    ck_assert_int_eq(blob_status("team/app", digest), 200);
    ck_assert_int_eq(status_of(send_plain("POST", UPLOADS "?digest=" EMPTY_DIGEST)), 201);
    ck_assert_int_eq(blob_status("team/app", EMPTY_DIGEST), 200);
    AUTO_FREE char *at = upload_start("team/other");
    AUTO_FREE char *end = with_digest(at, EMPTY_DIGEST);
    ck_assert_int_eq(status_of(send_plain("PUT", end)), 201);
    world_down();
}
END_TEST

START_TEST(cancelled_uploads_are_gone)
{
    world_up();
    AUTO_FREE char *at = upload_start("team/app");
    ck_assert_int_eq(status_of(send_body("PATCH", at, "abc", 3)), 202);
    ck_assert_int_eq(status_of(send_plain("DELETE", at)), 204);
    ck_assert_int_eq(status_of(send_plain("DELETE", at)), 404);
    ck_assert_int_eq(status_of(send_plain("GET", at)), 404);
    world_down();
}
END_TEST

START_TEST(an_upload_belongs_to_its_repository)
{
    world_up();
    AUTO_FREE char *at = upload_start("team/app");
    AUTO_FREE char *elsewhere = mem_printf("/v2/team/other%s", strstr(at, "/blobs/"));
    ck_assert_int_eq(status_of(send_plain("GET", elsewhere)), 404);
    ck_assert_int_eq(status_of(send_body("PATCH", elsewhere, "x", 1)), 404);
    ck_assert_int_eq(status_of(send_plain("DELETE", elsewhere)), 404);
    ck_assert_int_eq(status_of(send_plain("GET", at)), 204);
    world_down();
}
END_TEST

START_TEST(mounts_need_pull_on_the_source)
{
    world_up();
    char digest[DIGEST_TEXT_SIZE];
    blob_push("team/app", "a layer", digest);
    ck_assert_int_eq(blob_status("team/other", digest), 404); // on the disk, not linked there
    AUTO_FREE char *named = mem_printf("/v2/team/other/blobs/uploads/?mount=%s&from=team/app", digest);
    AUTO_FREE char *blind = mem_printf("/v2/team/other/blobs/uploads/?mount=%s&from=team/blind", digest);
    AUTO_FREE char *anonymous = mem_printf("/v2/team/blind/blobs/uploads/?mount=%s", digest);
    ck_assert_int_eq(status_of(send_plain("POST", blind)), 202);
    struct exchange x = send_plain("POST", named);
    ck_assert_int_eq(x.resp.status, 201);
    ck_assert_str_eq(header_of(&x, "Docker-Content-Digest"), digest);
    exchange_end(&x);
    ck_assert_int_eq(blob_status("team/other", digest), 200);
    ck_assert_int_eq(status_of(send_plain("POST", anonymous)), 201);
    ck_assert_int_eq(status_of(send_plain("POST", "/v2/team/other/blobs/uploads/?mount=nonsense&from=team/app")), 202);
    ck_assert_int_eq(
        status_of(send_plain("POST", "/v2/team/other/blobs/uploads/?mount=" EMPTY_DIGEST "&from=team/app")), 202);
    AUTO_FREE char *nowhere = mem_printf("/v2/team/other/blobs/uploads/?mount=%s&from=Not/Valid", digest);
    ck_assert_int_eq(status_of(send_plain("POST", nowhere)), 202);
    world_down();
}
END_TEST

START_TEST(on_the_global_name_uploads_move_and_carry_their_authority)
{
    world_up();
    char digest[DIGEST_TEXT_SIZE];
    digest_text("moved", 5, digest);
    struct exchange x = send_with("POST", UPLOADS, GLOBAL, token_push, NULL, NULL, NULL, 0, 0);
    ck_assert_int_eq(x.resp.status, 202);
    AUTO_FREE char *at = target_of(header_of(&x, "Location"), REGIONAL);
    exchange_end(&x);
    ck_assert_ptr_nonnull(strstr(at, "?sig="));
    x = send_with("PATCH", at, REGIONAL, "not.a.token", NULL, NULL, "mov", 3, 1); // wins over a stale Bearer
    ck_assert_int_eq(x.resp.status, 202);
    AUTO_FREE char *next = target_of(header_of(&x, "Location"), REGIONAL);
    exchange_end(&x);
    ck_assert_ptr_nonnull(strstr(next, "?sig="));
    AUTO_FREE char *end = with_digest(next, digest);
    ck_assert_int_eq(status_of(send_with("PUT", end, GLOBAL, NULL, NULL, NULL, "ed", 2, 1)), 401); // another host
    AUTO_FREE char *other = mem_strdup(end);
    memcpy(strstr(other, "team/app"), "team/apq", 8);
    ck_assert_int_eq(status_of(send_with("PUT", other, REGIONAL, NULL, NULL, NULL, "ed", 2, 1)), 401);
    ck_assert_int_eq(status_of(send_with("PUT", end, REGIONAL, NULL, NULL, NULL, "ed", 2, 1)), 201);
    ck_assert_int_eq(status_of(send_with("PUT", end, REGIONAL, NULL, NULL, NULL, "ed", 2, 1)), 404); // dead
    ck_assert_int_eq(blob_status("team/app", digest), 200);
    x = send_with("POST", UPLOADS, GLOBAL, token_push, NULL, NULL, NULL, 0, 0);
    AUTO_FREE char *late = target_of(header_of(&x, "Location"), REGIONAL);
    exchange_end(&x);
    clock_virtual_advance(7 * 3600 * 1000);
    ck_assert_int_eq(status_of(send_with("PATCH", late, REGIONAL, NULL, NULL, NULL, "x", 1, 1)), 401);
    world_down();
}
END_TEST

START_TEST(two_requests_cannot_share_an_upload)
{
    world_up();
    AUTO_FREE char *at = upload_start("team/app");
    struct http_request *first = request_make("PATCH", at, REGIONAL, token_push);
    struct http_plan plan = {0};
    struct http_response resp = {0};
    world_begin(NULL, first, &plan);
    first->ctx = plan.ctx;
    ck_assert_int_eq(plan.kind, HTTP_PLAN_STREAM);
    ck_assert_int_eq(plan.sink->write(first, (const uint8_t *)"abc", 3), 0);
    ck_assert_int_eq(status_of(send_body("PATCH", at, "xyz", 3)), 409);
    ck_assert_int_eq(status_of(send_plain("DELETE", at)), 409);
    struct exchange x = send_plain("GET", at);
    ck_assert_str_eq(header_of(&x, "Range"), "0-0");
    exchange_end(&x);
    plan.run(first, &resp);
    ck_assert_int_eq(resp.status, 202);
    plan.done(first);
    http_request_test_free(first);
    ck_assert_int_eq(status_of(send_body("PATCH", at, "def", 3)), 202);
    char digest[DIGEST_TEXT_SIZE];
    digest_text("abcdef", 6, digest);
    AUTO_FREE char *end = with_digest(at, digest);
    ck_assert_int_eq(status_of(send_plain("PUT", end)), 201);
    world_down();
}
END_TEST

// The client leaves, or the daemon is killed, in the middle of a piece: the bytes that were not acknowledged are gone.
static void interrupted(bool killed)
{
    world_up();
    AUTO_FREE char *at = upload_start("team/app");
    ck_assert_int_eq(status_of(send_body("PATCH", at, "abc", 3)), 202);
    struct http_request *torn = request_make("PATCH", at, REGIONAL, token_push);
    struct http_plan plan = {0};
    world_begin(NULL, torn, &plan);
    torn->ctx = plan.ctx;
    ck_assert_int_eq(plan.sink->write(torn, (const uint8_t *)"torn", 4), 0);
    plan.done(torn); // run never came
    http_request_test_free(torn);
    if (killed) {
        store_down();
        store_up();
    }
    struct exchange x = send_plain("GET", at);
    ck_assert_str_eq(header_of(&x, "Range"), "0-2");
    exchange_end(&x);
    ck_assert_int_eq(status_of(send_with("PATCH", at, REGIONAL, token_push, "Content-Range", "3-5", "def", 3, 2)), 202);
    char digest[DIGEST_TEXT_SIZE];
    digest_text("abcdef", 6, digest);
    AUTO_FREE char *end = with_digest(at, digest);
    ck_assert_int_eq(status_of(send_plain("PUT", end)), 201);
    world_down();
}

START_TEST(a_torn_piece_leaves_what_was_acknowledged)
{
    interrupted(false);
}
END_TEST

START_TEST(a_restart_resumes_at_what_was_acknowledged)
{
    interrupted(true);
}
END_TEST

START_TEST(closed_writes_are_503_with_the_reason)
{
    world_up();
    AUTO_FREE char *at = upload_start("team/app");
    meta_set_writable(world_meta, false, "recovering its own entries");
    const char *const tries[][2] = {
        {"POST", UPLOADS}, {"PATCH", at}, {"DELETE", at}, {"PUT", "/v2/team/app/manifests/x"}};
    for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
        struct exchange x = send_body(tries[i][0], tries[i][1], "x", 1);
        ck_assert_msg(x.resp.status == 503, "%s: %d", tries[i][0], x.resp.status);
        ck_assert(*header_of(&x, "Retry-After"));
        ck_assert(body_has(&x, "recovering its own entries"));
        exchange_end(&x);
    }
    ck_assert_int_eq(status_of(send_plain("GET", at)), 204);
    world_down();
}
END_TEST

START_TEST(idle_uploads_are_discarded)
{
    world_up();
    size_t n = 99;
    AUTO_FREE char *old = upload_start("team/app");
    ck_assert_int_eq(status_of(send_body("PATCH", old, "abc", 3)), 202);
    clock_virtual_advance(120 * 1000);
    AUTO_FREE char *recent = upload_start("team/app");
    ck_assert_int_eq(registry_uploads_expire(world_service, 60 * 1000, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(status_of(send_plain("GET", old)), 404);
    ck_assert_int_eq(status_of(send_plain("GET", recent)), 204);
    world_down();
}
END_TEST

START_TEST(a_large_body_streams_in_bounded_memory)
{
    world_up();
    enum { PIECE = 1 << 16, PIECES = 1024 };
    AUTO_FREE char *at = upload_start("team/app");
    struct http_request *req = request_make("PATCH", at, REGIONAL, token_push);
    struct http_plan plan = {0};
    struct http_response resp = {0};
    AUTO_FREE uint8_t *piece = mem_zalloc(PIECE);
    world_begin(NULL, req, &plan);
    req->ctx = plan.ctx;
    ck_assert_int_eq(plan.sink->write(req, piece, PIECE), 0);
    size_t used = req->arena.used_bytes;
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    for (int i = 1; i < PIECES; i++)
        ck_assert_int_eq(plan.sink->write(req, piece, PIECE), 0);
    getrusage(RUSAGE_SELF, &after);
    ck_assert_uint_eq(req->arena.used_bytes, used);
    ck_assert_int_lt(after.ru_maxrss - before.ru_maxrss, 8 << 10); // KiB, for 64 MiB of body
    plan.run(req, &resp);
    ck_assert_int_eq(resp.status, 202);
    ck_assert_str_eq(http_response_get(&resp, "Range"), "0-67108863");
    plan.done(req);
    http_request_test_free(req);
    world_down();
}
END_TEST

CHECK_MAIN("registry/uploads", pieces_with_and_without_range_make_a_blob,
           a_piece_out_of_order_is_416_and_says_where_it_stands, a_wrong_digest_is_400_and_the_upload_stays,
           whole_blobs_come_in_one_request_and_empty_ones_too, cancelled_uploads_are_gone,
           an_upload_belongs_to_its_repository, mounts_need_pull_on_the_source,
           on_the_global_name_uploads_move_and_carry_their_authority, two_requests_cannot_share_an_upload,
           a_torn_piece_leaves_what_was_acknowledged, a_restart_resumes_at_what_was_acknowledged,
           closed_writes_are_503_with_the_reason, idle_uploads_are_discarded, a_large_body_streams_in_bounded_memory)
