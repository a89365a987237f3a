// SPDX-License-Identifier: Apache-2.0
// The PUT that ends an upload comes again, because its answer was lost: the same upload,
// repository, principal and digest get the same answer, and nothing else does.
#include "tests/unit/registry/upload_support.h"

#include "base/clock_test.h"

static int put_by(const char *token, const char *host, const char *target, const char *body)
{
    return status_of(send_with("PUT", target, host, token, NULL, NULL, body, strlen(body), 3));
}

START_TEST(the_same_put_again_gets_the_same_answer)
{
    world_up();
    char digest[DIGEST_TEXT_SIZE];
    digest_text("hello", 5, digest);
    AUTO_FREE char *at = upload_start("team/app"), *end = with_digest(at, digest);
    ck_assert_int_eq(piece(at, NULL, "hello"), 202);
    AUTO_FREE char *location = NULL;
    for (int i = 0; i < 4; i++) {
        if (i == 2) {
            store_down();
            store_up();
        }
        struct exchange x = send_plain("PUT", end);
        ck_assert_int_eq(x.resp.status, 201);
        ck_assert_str_eq(header_of(&x, "Docker-Content-Digest"), digest);
        if (!location)
            location = mem_strdup(header_of(&x, "Location"));
        ck_assert_str_eq(header_of(&x, "Location"), location);
        exchange_end(&x);
    }
    ck_assert_uint_eq(uploads_left(), 0);
    ck_assert_int_eq(status_of(send_plain("GET", at)), 404);
    world_down();
}
END_TEST

// ctr sends a blob whole with the PUT: its body is drained unread.
START_TEST(a_whole_blob_again)
{
    world_up();
    char digest[DIGEST_TEXT_SIZE];
    digest_text("hello", 5, digest);
    AUTO_FREE char *at = upload_start("team/app"), *end = with_digest(at, digest);
    ck_assert_int_eq(put_by(token_push, REGIONAL, end, "hello"), 201);
    ck_assert_int_eq(put_by(token_push, REGIONAL, end, "hello"), 201);
    ck_assert_int_eq(put_by(token_push, REGIONAL, end, "whatever else there is"), 201);
    ck_assert_int_eq(status_of(send_with("PUT", end, REGIONAL, token_push, "Content-Range", "0-4",
                                         "hello", 5, 1)),
                     201);
    ck_assert_uint_eq(files_test_redigested(world_blobs), 0);
    ck_assert_uint_eq(uploads_left(), 0);
    ck_assert_int_eq(blob_status("team/app", digest), 200);
    world_down();
}
END_TEST

START_TEST(nothing_else_is_taken_for_it)
{
    world_up();
    char digest[DIGEST_TEXT_SIZE], other[DIGEST_TEXT_SIZE];
    digest_text("hello", 5, digest);
    blob_push("team/app", "another", other);
    AUTO_FREE char *bob = token_of("\"bob\"");
    AUTO_FREE char *at = upload_start("team/app"), *end = with_digest(at, digest),
                   *as_other = with_digest(at, other);
    AUTO_FREE char *elsewhere = mem_printf("/v2/team/other%s", strstr(end, "/blobs/"));
    AUTO_FREE char *invented = mem_printf(UPLOADS "eastus.%032d?digest=%s", 0, digest);
    ck_assert_int_eq(put_by(token_push, REGIONAL, end, "hello"), 201);
    // it is here, by another upload
    ck_assert_int_eq(put_by(token_push, REGIONAL, as_other, "another"), 404);
    ck_assert_int_eq(put_by(token_push, REGIONAL, elsewhere, "hello"), 404);
    ck_assert_int_eq(put_by(token_push, REGIONAL, invented, "hello"), 404);
    ck_assert_int_eq(put_by(bob, REGIONAL, end, "hello"), 404);
    ck_assert_int_eq(piece(at, NULL, "x"), 404);
    ck_assert_int_eq(status_of(send_plain("GET", at)), 404);
    ck_assert_int_eq(status_of(send_plain("DELETE", at)), 404);
    ck_assert_int_eq(put_by(token_push, REGIONAL, end, "hello"), 201);
    // One that was cancelled never ended.
    AUTO_FREE char *cancelled = upload_start("team/app"), *end_it = with_digest(cancelled, digest);
    ck_assert_int_eq(status_of(send_plain("DELETE", cancelled)), 204);
    ck_assert_int_eq(put_by(token_push, REGIONAL, end_it, "hello"), 404);
    world_down();
}
END_TEST

// Whoever ended it may repeat that, though another has begun it.
START_TEST(it_is_the_one_who_ended_it)
{
    world_up();
    char digest[DIGEST_TEXT_SIZE];
    digest_text("hello", 5, digest);
    AUTO_FREE char *bob = token_of("\"bob\"");
    AUTO_FREE char *at = upload_start("team/app"), *end = with_digest(at, digest);
    ck_assert_int_eq(put_by(bob, REGIONAL, end, "hello"), 201);
    ck_assert_int_eq(put_by(bob, REGIONAL, end, "hello"), 201);
    ck_assert_int_eq(put_by(token_push, REGIONAL, end, "hello"), 404);
    world_down();
}
END_TEST

START_TEST(a_signed_url_is_good_for_it_until_it_expires)
{
    world_push_moves = true;
    world_up();
    char digest[DIGEST_TEXT_SIZE];
    digest_text("moved", 5, digest);
    struct exchange x = send_with("POST", UPLOADS, GLOBAL, token_push, NULL, NULL, NULL, 0, 0);
    AUTO_FREE char *at = target_of(header_of(&x, "Location"), REGIONAL);
    exchange_end(&x);
    AUTO_FREE char *end = with_digest(at, digest), *wrong = with_digest(at, EMPTY_DIGEST);
    ck_assert_int_eq(put_by(NULL, REGIONAL, end, "moved"), 201);
    ck_assert_int_eq(put_by(NULL, REGIONAL, end, "moved"), 201);
    ck_assert_int_eq(put_by(NULL, REGIONAL, wrong, ""), 404);
    static const char *const dead[] = {"GET", "PATCH", "DELETE"};
    for (size_t i = 0; i < ARRAY_LEN(dead); i++)
        ck_assert_int_eq(status_of(send_with(dead[i], at, REGIONAL, NULL, NULL, NULL, "x", 1, 1)),
                         404);
    clock_virtual_advance((SIGNED_URL_LIFETIME_S - 1) * 1000);
    ck_assert_int_eq(put_by(NULL, REGIONAL, end, "moved"), 201);
    clock_virtual_advance(2000);
    ck_assert_int_eq(put_by(NULL, REGIONAL, end, "moved"), 401);
    world_down();
}
END_TEST

START_TEST(it_is_known_for_the_idle_limit)
{
    world_up();
    char digest[DIGEST_TEXT_SIZE];
    digest_text("hello", 5, digest);
    size_t n;
    AUTO_FREE char *at = upload_start("team/app"), *end = with_digest(at, digest);
    ck_assert_int_eq(put_by(token_push, REGIONAL, end, "hello"), 201);
    for (int i = 0; i < 3; i++) { // time that goes by in one process and in the next
        clock_virtual_advance(19 * 1000);
        clock_virtual_jump_wall(-1000000);
        ck_assert_int_eq(registry_uploads_expire(world_service, 60 * 1000, &n), 0);
        clock_virtual_jump_wall(1000000);
        ck_assert_int_eq(put_by(token_push, REGIONAL, end, "hello"), 201);
        store_down();
        store_up();
    }
    clock_virtual_advance(4 * 1000);
    ck_assert_int_eq(registry_uploads_expire(world_service, 60 * 1000, &n), 0);
    ck_assert_int_eq(put_by(token_push, REGIONAL, end, "hello"), 404);
    ck_assert_int_eq(blob_status("team/app", digest), 200);
    world_down();
}
END_TEST

// An answer that says "it is here" needs no write.
START_TEST(it_is_answered_while_writes_are_closed)
{
    world_up();
    char digest[DIGEST_TEXT_SIZE];
    digest_text("hello", 5, digest);
    AUTO_FREE char *at = upload_start("team/app"), *end = with_digest(at, digest);
    AUTO_FREE char *open = upload_start("team/app"), *end_open = with_digest(open, digest);
    ck_assert_int_eq(put_by(token_push, REGIONAL, end, "hello"), 201);
    meta_gate_close(world_meta, META_GATE_CLOCK, "its clock is off");
    ck_assert_int_eq(put_by(token_push, REGIONAL, end, "hello"), 201);
    ck_assert_int_eq(put_by(token_push, REGIONAL, end_open, "hello"), 503);
    world_down();
}
END_TEST

// A client that gives up waiting and asks again at once: the first one is still at work.
START_TEST(while_the_first_is_at_work_the_second_waits)
{
    world_up();
    char digest[DIGEST_TEXT_SIZE];
    digest_text("hello", 5, digest);
    AUTO_FREE char *at = upload_start("team/app"), *end = with_digest(at, digest);
    struct hand h = hand_begin("PUT", end, NULL);
    ck_assert_int_eq(hand_send(&h, "hello", 5), 0);
    struct exchange x = send_body("PUT", end, "hello", 5);
    ck_assert_int_eq(x.resp.status, 409);
    ck_assert_str_eq(header_of(&x, "Retry-After"), "1");
    exchange_end(&x);
    ck_assert_int_eq(hand_end(&h), 201);
    ck_assert_int_eq(put_by(token_push, REGIONAL, end, "hello"), 201);
    ck_assert_uint_eq(uploads_left(), 0);
    world_down();
}
END_TEST

CHECK_MAIN("registry/uploads_repeat", the_same_put_again_gets_the_same_answer, a_whole_blob_again,
           nothing_else_is_taken_for_it, it_is_the_one_who_ended_it,
           a_signed_url_is_good_for_it_until_it_expires, it_is_known_for_the_idle_limit,
           it_is_answered_while_writes_are_closed, while_the_first_is_at_work_the_second_waits)
