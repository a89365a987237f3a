// SPDX-License-Identifier: Apache-2.0
// registry/uploads: every way in, over a real store: pieces, ranges, mounts, signed URLs,
// interruptions.
#include "base/clock_test.h"
#include "net/http_test.h"
#include "tests/unit/registry/upload_support.h"

#include <pthread.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>

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
    ck_assert_int_eq(
        status_of(send_with("GET", blob, REGIONAL, token_push, "If-None-Match", etag, NULL, 0, 0)),
        304);
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
        struct exchange x =
            send_with("PATCH", at, REGIONAL, token_push, "Content-Range", ranges[i], "ab", 2, 1);
        ck_assert_int_eq(x.resp.status, 416);
        ck_assert_str_eq(header_of(&x, "Range"), "0-9");
        AUTO_FREE char *again = target_of(header_of(&x, "Location"), REGIONAL);
        ck_assert_str_eq(again, at);
        exchange_end(&x);
    }
    ck_assert_int_eq(status_of(send_with("PATCH", at, REGIONAL, token_push, "Content-Range",
                                         "bytes 10-11/12", "ab", 2, 1)),
                     202);
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

// Whatever the reason, the file is cut back to what was acknowledged, and the digest goes on from
// there.
START_TEST(a_refused_piece_keeps_no_bytes)
{
    world_up();
    char right[DIGEST_TEXT_SIZE];
    digest_text("abcdef", 6, right);
    AUTO_FREE char *at = upload_start("team/app");
    AUTO_FREE char *end = with_digest(at, right), *wrong = with_digest(at, EMPTY_DIGEST);
    ck_assert_int_eq(status_of(send_body("PATCH", at, "abc", 3)), 202);
    ck_assert_int_eq(status_of(send_body("PUT", wrong, "0123456789", 10)), 400);
    ck_assert_int_eq(file_bytes(at), 3);
    ck_assert_int_eq(status_of(send_with("PATCH", at, REGIONAL, token_push, "Content-Range", "3-5",
                                         "0123", 4, 1)),
                     400);
    ck_assert_int_eq(file_bytes(at), 3);
    ck_assert_int_eq(
        status_of(send_with("PATCH", at, REGIONAL, token_push, "Content-Range", "3-9", "01", 2, 1)),
        400);
    ck_assert_int_eq(file_bytes(at), 3);
    ck_assert_int_eq(status_of(send_body("PUT", end, "def", 3)), 201);
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
    AUTO_FREE char *named =
        mem_printf("/v2/team/other/blobs/uploads/?mount=%s&from=team/app", digest);
    AUTO_FREE char *blind =
        mem_printf("/v2/team/other/blobs/uploads/?mount=%s&from=team/blind", digest);
    AUTO_FREE char *anonymous = mem_printf("/v2/team/blind/blobs/uploads/?mount=%s", digest);
    ck_assert_int_eq(status_of(send_plain("POST", blind)), 202);
    struct exchange x = send_plain("POST", named);
    ck_assert_int_eq(x.resp.status, 201);
    ck_assert_str_eq(header_of(&x, "Docker-Content-Digest"), digest);
    exchange_end(&x);
    ck_assert_int_eq(blob_status("team/other", digest), 200);
    ck_assert_int_eq(status_of(send_plain("POST", anonymous)), 201);
    ck_assert_int_eq(
        status_of(send_plain("POST", "/v2/team/other/blobs/uploads/?mount=nonsense&from=team/app")),
        202);
    ck_assert_int_eq(
        status_of(send_plain("POST",
                             "/v2/team/other/blobs/uploads/?mount=" EMPTY_DIGEST "&from=team/app")),
        202);
    AUTO_FREE char *nowhere =
        mem_printf("/v2/team/other/blobs/uploads/?mount=%s&from=Not/Valid", digest);
    ck_assert_int_eq(status_of(send_plain("POST", nowhere)), 202);
    world_down();
}
END_TEST

// Whether regional endpoints are on makes no difference to who reaches the global name only.
START_TEST(on_the_global_name_uploads_stay_there)
{
    world_up();
    static const char *const names[] = {GLOBAL, "contoso.privatelink.meridian.test"};
    char digest[DIGEST_TEXT_SIZE];
    digest_text("stays", 5, digest);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct exchange x =
            send_with("POST", UPLOADS, names[i], token_push, NULL, NULL, NULL, 0, 0);
        ck_assert_int_eq(x.resp.status, 202);
        AUTO_FREE char *at = target_of(header_of(&x, "Location"), names[i]);
        exchange_end(&x);
        ck_assert_ptr_null(strchr(at, '?'));
        x = send_with("PATCH", at, names[i], token_push, NULL, NULL, "sta", 3, 1);
        AUTO_FREE char *next = target_of(header_of(&x, "Location"), names[i]);
        exchange_end(&x);
        AUTO_FREE char *end = with_digest(next, digest);
        ck_assert_int_eq(status_of(send_with("PUT", end, names[i], NULL, NULL, NULL, "ys", 2, 1)),
                         401);
        ck_assert_int_eq(
            status_of(send_with("PUT", end, names[i], token_push, NULL, NULL, "ys", 2, 1)), 201);
    }
    world_down();
}
END_TEST

START_TEST(where_they_move_uploads_carry_their_authority)
{
    world_push_moves = true;
    world_up();
    char digest[DIGEST_TEXT_SIZE];
    digest_text("moved", 5, digest);
    struct exchange x = send_with("POST", UPLOADS, GLOBAL, token_push, NULL, NULL, NULL, 0, 0);
    ck_assert_int_eq(x.resp.status, 202);
    AUTO_FREE char *at = target_of(header_of(&x, "Location"), REGIONAL);
    exchange_end(&x);
    ck_assert_ptr_nonnull(strstr(at, "?sig="));
    // wins over a stale Bearer
    x = send_with("PATCH", at, REGIONAL, "not.a.token", NULL, NULL, "mov", 3, 1);
    ck_assert_int_eq(x.resp.status, 202);
    AUTO_FREE char *next = target_of(header_of(&x, "Location"), REGIONAL);
    exchange_end(&x);
    ck_assert_ptr_nonnull(strstr(next, "?sig="));
    AUTO_FREE char *end = with_digest(next, digest);
    // another host
    ck_assert_int_eq(status_of(send_with("PUT", end, GLOBAL, NULL, NULL, NULL, "ed", 2, 1)), 401);
    static const char *const not_its_host[] = {"contoso.eastus.geo.privatelink.meridian.test",
                                               "contoso.westeurope.geo.meridian.test",
                                               "contoso.privatelink.meridian.test", DATA};
    for (size_t i = 0; i < ARRAY_LEN(not_its_host); i++) {
        x = send_with("PUT", end, not_its_host[i], NULL, NULL, NULL, "ed", 2, 1);
        ck_assert_msg(x.resp.status >= 400, "%s: %d", not_its_host[i], x.resp.status);
        exchange_end(&x);
    }
    AUTO_FREE char *other = mem_strdup(end);
    memcpy(strstr(other, "team/app"), "team/apq", 8);
    ck_assert_int_eq(status_of(send_with("PUT", other, REGIONAL, NULL, NULL, NULL, "ed", 2, 1)),
                     401);
    // One name in another spelling: case, port and a final dot do not count.
    static const char spelt[] = "CONTOSO.eastus.geo.Meridian.test.:8443";
    ck_assert_int_eq(status_of(send_with("PUT", end, spelt, NULL, NULL, NULL, "ed", 2, 1)), 201);
    // dead
    ck_assert_int_eq(status_of(send_with("PATCH", end, REGIONAL, NULL, NULL, NULL, "ed", 2, 1)),
                     404);
    ck_assert_int_eq(blob_status("team/app", digest), 200);
    x = send_with("POST", UPLOADS, GLOBAL, token_push, NULL, NULL, NULL, 0, 0);
    AUTO_FREE char *late = target_of(header_of(&x, "Location"), REGIONAL);
    exchange_end(&x);
    clock_virtual_advance(7 * 3600 * 1000);
    ck_assert_int_eq(status_of(send_with("PATCH", late, REGIONAL, NULL, NULL, NULL, "x", 1, 1)),
                     401);
    world_down();
}
END_TEST

static struct snapshot who_may;

static void ada_is_enabled(bool enabled)
{
    snapshot_publish(&who_may, fixture_principals(1, "ada-secret", enabled));
}

static void nobody_is_known(void)
{
    static const char text[] = "version: 2";
    struct principals *p;
    ck_assert_int_eq(principals_parse(text, strlen(text), "p", NULL, &p), 0);
    snapshot_publish(&who_may, p);
}

static int piece_by_signature(const char *at)
{
    return status_of(send_with("PATCH", at, REGIONAL, NULL, NULL, NULL, "a", 1, 1));
}

START_TEST(a_signature_does_not_outlive_its_user)
{
    world_push_moves = true;
    snapshot_init(&who_may);
    world_principals = &who_may;
    world_up();
    ada_is_enabled(true);
    struct exchange x = send_with("POST", UPLOADS, GLOBAL, token_push, NULL, NULL, NULL, 0, 0);
    AUTO_FREE char *at = target_of(header_of(&x, "Location"), REGIONAL);
    exchange_end(&x);
    ck_assert_int_eq(piece_by_signature(at), 202);
    ada_is_enabled(false);
    ck_assert_int_eq(piece_by_signature(at), 401);
    nobody_is_known();
    ck_assert_int_eq(piece_by_signature(at), 401);
    ada_is_enabled(true);
    ck_assert_int_eq(piece_by_signature(at), 202);
    world_down();
    snapshot_done(&who_may);
    world_principals = NULL;
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

START_TEST(many_pieces_are_digested_once)
{
    world_up();
    enum { PIECES = 40, PIECE = 1000 };
    AUTO_FREE char *whole = mem_zalloc(PIECES * PIECE);
    for (int i = 0; i < PIECES * PIECE; i++)
        whole[i] = (char)(i * 7 + i / 251);
    AUTO_FREE char *at = upload_start("team/app");
    for (int i = 0; i < PIECES; i++) {
        if (i == PIECES / 2) {
            ck_assert_uint_eq(files_test_redigested(world_blobs), 0);
            ck_assert_uint_eq(world_service->open_uploads.n_reused, PIECES / 2 - 1);
            store_down(); // a restart knows only the file
            store_up();
        }
        ck_assert_int_eq(status_of(send_body("PATCH", at, whole + i * PIECE, PIECE)), 202);
    }
    char digest[DIGEST_TEXT_SIZE];
    digest_text(whole, PIECES * PIECE, digest);
    AUTO_FREE char *end = with_digest(at, digest);
    ck_assert_int_eq(status_of(send_plain("PUT", end)), 201);
    ck_assert_uint_eq(files_test_redigested(world_blobs), PIECES / 2 * PIECE);
    ck_assert_uint_eq(world_service->open_uploads.n_reused, PIECES / 2);
    ck_assert_uint_eq(world_service->open_uploads.n, 0);
    ck_assert(!files_test_any_open(world_blobs));
    world_down();
}
END_TEST

// A refused piece keeps the handle; what may have left other bytes in the file gives it up; so do
// the ends. After a restart the forerunner may still get the next piece of an upload: nothing rests
// here, locked, until it is gone.
START_TEST(nothing_rests_while_a_forerunner_may_go_on)
{
    world_up();
    open_uploads_open_after(&world_service->open_uploads, 60000);
    AUTO_FREE char *at = upload_start("team/app");
    ck_assert_int_eq(status_of(send_body("PATCH", at, "abc", 3)), 202);
    ck_assert_uint_eq(world_service->open_uploads.n, 0);
    open_uploads_open_after(&world_service->open_uploads, 1);
    clock_sleep_ms(5);
    ck_assert_int_eq(status_of(send_body("PATCH", at, "def", 3)), 202);
    ck_assert_uint_eq(world_service->open_uploads.n, 1);
    ck_assert_int_eq(status_of(send_plain("DELETE", at)), 204);
    world_down();
}
END_TEST

START_TEST(handles_rest_only_after_what_was_acknowledged)
{
    world_up();
    AUTO_FREE char *at = upload_start("team/app");
    ck_assert_uint_eq(world_service->open_uploads.n, 0); // there is no file yet
    ck_assert_int_eq(status_of(send_body("PATCH", at, "abc", 3)), 202);
    ck_assert_uint_eq(world_service->open_uploads.n, 1);
    ck_assert_int_eq(
        status_of(send_with("PATCH", at, REGIONAL, token_push, "Content-Range", "7-8", "ab", 2, 1)),
        416);
    ck_assert_uint_eq(world_service->open_uploads.n, 1);
    ck_assert_int_eq(status_of(send_with("PATCH", at, REGIONAL, token_push, "Content-Range", "3-5",
                                         "abcd", 4, 2)),
                     400);
    ck_assert_uint_eq(world_service->open_uploads.n, 1);
    ck_assert_int_eq(status_of(send_body("PATCH", at, "def", 3)), 202);
    AUTO_FREE char *wrong = with_digest(at, EMPTY_DIGEST);
    ck_assert_int_eq(status_of(send_plain("PUT", wrong)), 400);
    ck_assert_uint_eq(world_service->open_uploads.n, 0);
    ck_assert_int_eq(status_of(send_body("PATCH", at, "ghi", 3)), 202);
    ck_assert_int_eq(status_of(send_plain("DELETE", at)), 204);
    ck_assert_uint_eq(world_service->open_uploads.n, 0);
    ck_assert(!files_test_any_open(world_blobs));
    world_down();
}
END_TEST

START_TEST(handles_are_bounded_in_number_and_time)
{
    world_up();
    enum { MANY = 9 };
    char *at[MANY], digest[DIGEST_TEXT_SIZE];
    digest_text("xy", 2, digest);
    world_service->open_uploads.max = 4;
    for (int i = 0; i < MANY; i++) {
        at[i] = upload_start("team/app");
        ck_assert_int_eq(status_of(send_body("PATCH", at[i], "x", 1)), 202);
    }
    ck_assert_uint_eq(world_service->open_uploads.n, 4);
    for (int i = 0; i < 2; i++) // one that had to make room, then one more
        ck_assert_int_eq(status_of(send_body("PATCH", at[i], "y", 1)), 202);
    clock_virtual_advance(HANDLES_IDLE_MS - 1);
    ck_assert_int_eq(status_of(send_body("PATCH", at[2], "y", 1)), 202);
    clock_virtual_advance(2);
    registry_uploads_rest(world_service);
    ck_assert_uint_eq(world_service->open_uploads.n, 1);
    for (int i = 3; i < MANY; i++)
        ck_assert_int_eq(status_of(send_body("PATCH", at[i], "y", 1)), 202);
    for (int i = 0; i < MANY; i++) {
        AUTO_FREE char *end = with_digest(at[i], digest);
        ck_assert_int_eq(status_of(send_plain("PUT", end)), 201);
        free(at[i]);
    }
    ck_assert(!files_test_any_open(world_blobs));
    world_down();
}
END_TEST

enum { HANDS = 4, TRIES = 25 };
struct racer {
    const char *at;
    int taken, refused, other;
};

static void *hand_run(void *arg)
{
    struct racer *h = arg;
    for (int i = 0; i < TRIES; i++) {
        int status = status_of(send_body("PATCH", h->at, "0123456789", 10));
        h->taken += status == 202;
        h->refused += status == 409;
        h->other += status != 202 && status != 409;
    }
    return NULL;
}

START_TEST(requests_that_race_for_an_upload_are_refused_whole)
{
    world_up();
    world_service->open_uploads.max = 1; // two uploads push each other's handle out all the time
    AUTO_FREE char *a = upload_start("team/app"), *b = upload_start("team/app");
    struct racer hands[HANDS] = {{.at = a}, {.at = b}, {.at = a}, {.at = b}};
    pthread_t threads[HANDS];
    for (int i = 0; i < HANDS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, hand_run, &hands[i]), 0);
    for (int i = 0; i < HANDS; i++)
        pthread_join(threads[i], NULL);
    for (int u = 0; u < 2; u++) {
        int taken = hands[u].taken + hands[u + 2].taken;
        ck_assert_int_eq(hands[u].other + hands[u + 2].other, 0);
        ck_assert_int_eq(taken + hands[u].refused + hands[u + 2].refused, 2 * TRIES);
        ck_assert_int_ge(taken, 1);
        AUTO_FREE char *whole = mem_alloc((size_t)taken * 10);
        for (int i = 0; i < taken; i++)
            memcpy(whole + i * 10, "0123456789", 10);
        char digest[DIGEST_TEXT_SIZE];
        digest_text(whole, (size_t)taken * 10, digest);
        AUTO_FREE char *end = with_digest(u ? b : a, digest);
        ck_assert_int_eq(status_of(send_plain("PUT", end)), 201);
    }
    ck_assert(!files_test_any_open(world_blobs));
    world_down();
}
END_TEST

// From outside, as a damaged or full database would: the metadata refuses links until it is called
// again.
static void links_fail(bool fail)
{
    AUTO_FREE char *path = mem_printf("%s/meta.db", world_dir);
    sqlite3 *db;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(
        sqlite3_exec(
            db,
            fail ? "CREATE TRIGGER t BEFORE INSERT ON links BEGIN SELECT RAISE(ABORT,'no'); END"
                 : "DROP TRIGGER t",
            NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
}

// The bytes have become a blob, and then the link could not be written: the same PUT again finds
// it.
static void unlinked_commit(const char *last, bool restart)
{
    world_up();
    char digest[DIGEST_TEXT_SIZE];
    AUTO_FREE char *whole = mem_printf("0123456789%s", last);
    digest_text(whole, strlen(whole), digest);
    AUTO_FREE char *at = upload_start("team/app"), *end = with_digest(at, digest);
    AUTO_FREE char *other = with_digest(at, EMPTY_DIGEST);
    ck_assert_int_eq(status_of(send_body("PATCH", at, "0123456789", 10)), 202);
    links_fail(true);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_ge(status_of(send_body("PUT", end, last, strlen(last))), 500);
        ck_assert_int_eq(blob_status("team/app", digest), 404);
    }
    if (restart) {
        store_down();
        store_up();
    }
    links_fail(false);
    ck_assert_int_eq(status_of(send_plain("PUT", other)), 404); // only as what it was
    ck_assert_int_eq(status_of(send_body("PATCH", at, "x", 1)), 404);
    ck_assert_int_eq(status_of(send_body("PUT", end, last, strlen(last))), 201);
    ck_assert_int_eq(blob_status("team/app", digest), 200);
    ck_assert_int_eq(status_of(send_plain("GET", at)), 404);
    ck_assert_uint_eq(uploads_left(), 0);
    ck_assert(!files_test_any_open(world_blobs));
    world_down();
}

START_TEST(a_put_whose_link_failed_can_be_repeated)
{
    unlinked_commit("", false);
    unlinked_commit("and the end", false);
}
END_TEST

START_TEST(a_put_whose_link_failed_can_be_repeated_after_a_restart)
{
    unlinked_commit("", true);
    unlinked_commit("and the end", true);
}
END_TEST

// Another's blob is not to be had by losing one's own file.
START_TEST(a_lost_file_makes_no_link)
{
    world_up();
    char digest[DIGEST_TEXT_SIZE];
    blob_push("team/other", "a secret layer", digest);
    AUTO_FREE char *at = upload_start("team/app"), *end = with_digest(at, digest);
    ck_assert_int_eq(status_of(send_body("PATCH", at, "any 14 bytes..", 14)), 202);
    store_down();
    AUTO_FREE char *file = mem_printf("%s/store/uploads/%s", world_dir, strrchr(at, '/') + 1);
    ck_assert_int_eq(truncate(file, 0), 0);
    store_up();
    ck_assert_int_eq(status_of(send_plain("PUT", end)), 404);
    ck_assert_int_eq(status_of(send_plain("GET", at)), 404);
    ck_assert_int_eq(blob_status("team/app", digest), 404);
    world_down();
}
END_TEST

START_TEST(closed_writes_are_503_with_the_reason)
{
    world_up();
    AUTO_FREE char *at = upload_start("team/app");
    meta_gate_close(world_meta, META_GATE_RECOVERY, "recovering its own entries");
    meta_gate_close(world_meta, META_GATE_CLOCK, "its clock is 2.0 s ahead");
    const char *const tries[][2] = {
        {"POST", UPLOADS}, {"PATCH", at}, {"DELETE", at}, {"PUT", "/v2/team/app/manifests/x"}};
    for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
        struct exchange x = send_body(tries[i][0], tries[i][1], "x", 1);
        ck_assert_msg(x.resp.status == 503, "%s: %d", tries[i][0], x.resp.status);
        ck_assert(*header_of(&x, "Retry-After"));
        ck_assert(body_has(&x, "recovering its own entries; its clock is 2.0 s ahead"));
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
    ck_assert_int_eq(status_of(send_body("PATCH", recent, "abc", 3)), 202);
    ck_assert_int_eq(registry_uploads_expire(world_service, 60 * 1000, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(status_of(send_plain("GET", old)), 404);
    ck_assert_int_eq(status_of(send_plain("GET", recent)), 204);
    // for a moment: what runs is not abandoned, nor are its bytes
    clock_virtual_jump_wall(40ll * 24 * 3600 * 1000);
    ck_assert_int_eq(registry_uploads_expire(world_service, 60 * 1000, &n), 0);
    clock_virtual_jump_wall(-40ll * 24 * 3600 * 1000);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(status_of(send_plain("GET", recent)), 204);
    ck_assert_int_eq(status_of(send_body("PATCH", recent, "def", 3)), 202);
    world_down();
}
END_TEST

static int start_as(const char *token)
{
    struct exchange x = send_with("POST", UPLOADS, REGIONAL, token, NULL, NULL, NULL, 0, 0);
    int status = x.resp.status;
    if (status == 429) {
        ck_assert_str_eq(header_of(&x, "Retry-After"), "30");
        ck_assert(body_has(&x, "TOOMANYREQUESTS") &&
                  body_has(&x, "uploads open here, as many as are allowed at once"));
        ck_assert(body_has(&x, "left alone for 60 minutes"));
        ck_assert_str_eq(header_of(&x, "Location"), "");
    }
    exchange_end(&x);
    return status;
}

// What is open counts until it is ended, cancelled or discarded, by whoever's token; also after a
// restart. What has no request under way makes room for its own principal only (test_uploads_cut).
START_TEST(uploads_open_at_once_are_bounded)
{
    world_uploads = (struct upload_bounds){.of_principal = 3, .of_registry = 5};
    world_up();
    size_t n = 0;
    char *at[] = {upload_start("team/app"), upload_start("team/other"), upload_start("team/app")};
    AUTO_FREE char *bob = token_of("\"bob\""), *carl = token_of("\"carl\"");
    struct hand busy[3];
    for (int i = 0; i < 3; i++)
        busy[i] = hand_begin("PATCH", at[i], NULL);
    ck_assert_int_eq(start_as(token_push), 429);
    ck_assert_int_eq(
        status_of(send_plain("POST", UPLOADS "?mount=" EMPTY_DIGEST "&from=team/other")), 429);
    ck_assert_int_eq(start_as(bob), 202);
    ck_assert_int_eq(start_as(bob), 202);
    ck_assert_int_eq(start_as(carl), 429); // the registry's bound
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(hand_send(&busy[i], "abc", 3), 0);
        ck_assert_int_eq(hand_end(&busy[i]), 202); // those that are open go on
    }
    store_down();
    store_up();
    ck_assert_int_eq(start_as(carl), 429);
    ck_assert_int_eq(status_of(send_plain("DELETE", at[1])), 204);
    ck_assert_int_eq(start_as(carl), 202);
    ck_assert_int_eq(ended_as(at[0], "abc"), 201);
    ck_assert_int_eq(start_as(token_push), 202);
    clock_virtual_advance(120 * 1000);
    ck_assert_int_eq(registry_uploads_expire(world_service, 60 * 1000, &n), 0);
    ck_assert_uint_eq(n, 5);
    ck_assert_int_eq(start_as(token_push), 202);
    world_down();
    for (int i = 0; i < 3; i++)
        free(at[i]);
    world_uploads = (struct upload_bounds){0};
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

CHECK_MAIN("registry/uploads", many_pieces_are_digested_once,
           nothing_rests_while_a_forerunner_may_go_on,
           handles_rest_only_after_what_was_acknowledged, handles_are_bounded_in_number_and_time,
           requests_that_race_for_an_upload_are_refused_whole,
           a_put_whose_link_failed_can_be_repeated,
           a_put_whose_link_failed_can_be_repeated_after_a_restart, a_lost_file_makes_no_link,
           pieces_with_and_without_range_make_a_blob,
           a_piece_out_of_order_is_416_and_says_where_it_stands, a_refused_piece_keeps_no_bytes,
           a_wrong_digest_is_400_and_the_upload_stays,
           whole_blobs_come_in_one_request_and_empty_ones_too, cancelled_uploads_are_gone,
           an_upload_belongs_to_its_repository, mounts_need_pull_on_the_source,
           on_the_global_name_uploads_stay_there, where_they_move_uploads_carry_their_authority,
           a_signature_does_not_outlive_its_user, two_requests_cannot_share_an_upload,

           closed_writes_are_503_with_the_reason, idle_uploads_are_discarded,
           uploads_open_at_once_are_bounded, a_large_body_streams_in_bounded_memory)
