// SPDX-License-Identifier: Apache-2.0
// registry with sha512 digests (distribution-spec 1.1 with image-spec "Digests"): every way to
// upload, mounts, manifests; and that one content under two digests is two things.
#include "tests/unit/registry/upload_support.h"

#define TEXT "hello from the other algorithm"
#define OTHER "/v2/team/other/blobs/uploads/"

static char d512[DIGEST_TEXT_SIZE], d256[DIGEST_TEXT_SIZE];

static void digest_512(const void *p, size_t n, char out[DIGEST_TEXT_SIZE])
{
    struct digest d;
    ck_assert_int_eq(digest_of(DIGEST_SHA512, p, n, &d), 0);
    digest_format(&d, out);
}

static void up(void)
{
    world_up();
    digest_512(TEXT, strlen(TEXT), d512);
    digest_text(TEXT, strlen(TEXT), d256);
}

static char *begun_with(const char *query)
{
    AUTO_FREE char *target = mem_printf(UPLOADS "%s", query);
    struct exchange x = send_plain("POST", target);
    ck_assert_int_eq(x.resp.status, 202);
    char *at = target_of(header_of(&x, "Location"), REGIONAL);
    exchange_end(&x);
    return at;
}

// The blob is there, at the place that the answer names, and under no other digest.
static void expect_created(struct exchange x)
{
    ck_assert_int_eq(x.resp.status, 201);
    ck_assert_str_eq(header_of(&x, "Docker-Content-Digest"), d512);
    AUTO_FREE char *at = target_of(header_of(&x, "Location"), REGIONAL);
    exchange_end(&x);
    struct exchange got = send_plain("GET", at);
    ck_assert_int_eq(got.resp.status, 200);
    ck_assert_str_eq(header_of(&got, "Docker-Content-Digest"), d512);
    ck_assert_ptr_nonnull(got.resp.accel);
    ck_assert_msg(!strncmp(got.resp.accel, "/_blob/sha512/", 14), "%s", got.resp.accel);
    exchange_end(&got);
    ck_assert_int_eq(blob_status("team/app", d256), 404);
}

START_TEST(one_post_takes_it)
{
    up();
    AUTO_FREE char *target = mem_printf(UPLOADS "?digest=%s", d512);
    expect_created(send_body("POST", target, TEXT, strlen(TEXT)));
    world_down();
}
END_TEST

START_TEST(post_then_put)
{
    up();
    AUTO_FREE char *at = begun_with("");
    AUTO_FREE char *end = with_digest(at, d512);
    uint64_t before = files_test_redigested(world_blobs);
    expect_created(send_body("PUT", end, TEXT, strlen(TEXT)));
    ck_assert_uint_eq(files_test_redigested(world_blobs), before); // the PUT said which it is
    // the same PUT again, its answer was lost
    ck_assert_int_eq(status_of(send_plain("PUT", end)), 201);
    world_down();
}
END_TEST

START_TEST(streamed_in_one_piece)
{
    up();
    AUTO_FREE char *at = begun_with("");
    ck_assert_int_eq(piece(at, NULL, TEXT), 202);
    AUTO_FREE char *end = with_digest(at, d512);
    expect_created(send_plain("PUT", end));
    world_down();
}
END_TEST

START_TEST(in_pieces_out_of_order_and_cut)
{
    up();
    AUTO_FREE char *at = begun_with("");
    ck_assert_int_eq(piece(at, "0-4", "hello"), 202);
    ck_assert_int_eq(piece(at, "9-13", "the o"), 416);
    piece_cut(at, "5-9", " fr");
    expect_told(at, "0-7");
    AUTO_FREE char *end = with_digest(at, d512);
    AUTO_FREE char *range = mem_printf("8-%zu", strlen(TEXT) - 1);
    expect_created(send_with("PUT", end, REGIONAL, token_push, "Content-Range", range, TEXT + 8,
                             strlen(TEXT) - 8, 3));
    world_down();
}
END_TEST

START_TEST(the_hint_stands_in_the_location)
{
    up();
    AUTO_FREE char *at = begun_with("?digest-algorithm=sha512");
    ck_assert_msg(strstr(at, "?digest-algorithm=sha512"), "%s", at);
    uint64_t before = files_test_redigested(world_blobs);
    struct exchange x = send_body("PATCH", at, TEXT, 5);
    ck_assert_int_eq(x.resp.status, 202);
    AUTO_FREE char *next = target_of(header_of(&x, "Location"), REGIONAL);
    ck_assert_str_eq(next, at);
    exchange_end(&x);
    ck_assert_int_eq(status_of(send_body("PATCH", next, TEXT + 5, strlen(TEXT) - 5)), 202);
    AUTO_FREE char *end = with_digest(next, d512);
    expect_created(send_plain("PUT", end));
    ck_assert_uint_eq(files_test_redigested(world_blobs), before);
    // a hint that did not come true costs a reading, no more
    AUTO_FREE char *other = begun_with("?digest-algorithm=sha512");
    ck_assert_int_eq(status_of(send_body("PATCH", other, TEXT, strlen(TEXT))), 202);
    AUTO_FREE char *plain = with_digest(other, d256);
    ck_assert_int_eq(status_of(send_plain("PUT", plain)), 201);
    ck_assert_int_eq(blob_status("team/app", d256), 200);
    // one that is not spoken is refused before anything is sent
    struct exchange no = send_plain("POST", UPLOADS "?digest-algorithm=blake3");
    ck_assert_int_eq(no.resp.status, 400);
    ck_assert(body_has(&no, "DIGEST_INVALID"));
    exchange_end(&no);
    world_down();
}
END_TEST

START_TEST(a_signed_location_keeps_the_hint)
{
    world_push_moves = true;
    up();
    struct exchange x = send_with("POST", UPLOADS "?digest-algorithm=sha512", GLOBAL, token_push,
                                  NULL, NULL, NULL, 0, 0);
    ck_assert_int_eq(x.resp.status, 202);
    const char *location = header_of(&x, "Location");
    const char *host = strstr(location, REGIONAL) ? REGIONAL : GLOBAL;
    AUTO_FREE char *at = target_of(location, host);
    exchange_end(&x);
    ck_assert_msg(strstr(at, "digest-algorithm=sha512"), "%s", at);
    struct exchange p = send_with("PATCH", at, host, strstr(at, "sig=") ? NULL : token_push, NULL,
                                  NULL, TEXT, strlen(TEXT), 7);
    ck_assert_int_eq(p.resp.status, 202);
    AUTO_FREE char *next = target_of(header_of(&p, "Location"), host);
    exchange_end(&p);
    AUTO_FREE char *end = with_digest(next, d512);
    struct exchange e =
        send_with("PUT", end, host, strstr(at, "sig=") ? NULL : token_push, NULL, NULL, NULL, 0, 0);
    ck_assert_int_eq(e.resp.status, 201);
    exchange_end(&e);
    ck_assert_int_eq(blob_status("team/app", d512), 200);
    world_down();
}
END_TEST

START_TEST(a_wrong_digest_is_refused_in_every_style)
{
    up();
    char wrong[DIGEST_TEXT_SIZE];
    digest_512("something else", 14, wrong);
    AUTO_FREE char *post = mem_printf(UPLOADS "?digest=%s", wrong);
    ck_assert_int_eq(status_of(send_body("POST", post, TEXT, strlen(TEXT))), 400);
    AUTO_FREE char *at = begun_with("");
    AUTO_FREE char *put = with_digest(at, wrong);
    ck_assert_int_eq(status_of(send_body("PUT", put, TEXT, strlen(TEXT))), 400);
    ck_assert_int_eq(piece(at, NULL, TEXT), 202);
    ck_assert_int_eq(status_of(send_plain("PUT", put)), 400);
    // a sha256 digest with the other's name, and one that is too long
    AUTO_FREE char *short512 = mem_printf("sha512:%s", d256 + 7);
    AUTO_FREE char *long256 = mem_printf("sha256:%s", d512 + 7);
    AUTO_FREE char *put_short = with_digest(at, short512);
    AUTO_FREE char *put_long = with_digest(at, long256);
    ck_assert_int_eq(status_of(send_plain("PUT", put_short)), 400);
    ck_assert_int_eq(status_of(send_plain("PUT", put_long)), 400);
    ck_assert_int_eq(blob_status("team/app", wrong), 404);
    // and the bytes are still there for the right one
    AUTO_FREE char *end = with_digest(at, d512);
    expect_created(send_plain("PUT", end));
    world_down();
}
END_TEST

START_TEST(mounts)
{
    up();
    AUTO_FREE char *there = mem_printf(OTHER "?digest=%s", d512);
    ck_assert_int_eq(status_of(send_body("POST", there, TEXT, strlen(TEXT))), 201);
    AUTO_FREE char *missing = mem_printf(UPLOADS "?mount=%s&from=team/other", d256);
    ck_assert_int_eq(status_of(send_plain("POST", missing)), 202);
    AUTO_FREE char *from = mem_printf(UPLOADS "?mount=%s&from=team/other", d512);
    expect_created(send_plain("POST", from));
    AUTO_FREE char *anonymous = mem_printf("/v2/team/blind/blobs/uploads/?mount=%s", d512);
    ck_assert_int_eq(status_of(send_plain("POST", anonymous)), 201);
    world_down();
}
END_TEST

static struct exchange manifest_put_as(const char *reference, const char *text)
{
    AUTO_FREE char *target = mem_printf("/v2/team/app/manifests/%s", reference);
    return send_with("PUT", target, REGIONAL, token_push, "Content-Type", OCI_MANIFEST, text,
                     strlen(text), 0);
}

// A manifest of sha512 blobs, under either digest: two manifests.
START_TEST(manifests)
{
    up();
    char name[DIGEST_TEXT_SIZE], plain[DIGEST_TEXT_SIZE];
    AUTO_FREE char *text = manifest_text(d512, strlen(TEXT), "");
    digest_512(text, strlen(text), name);
    digest_text(text, strlen(text), plain);
    struct exchange x = manifest_put_as(name, text);
    ck_assert_int_eq(x.resp.status, 404);
    ck_assert(body_has(&x, "MANIFEST_BLOB_UNKNOWN"));
    ck_assert(body_has(&x, d512));
    exchange_end(&x);
    AUTO_FREE char *post = mem_printf(UPLOADS "?digest=%s", d512);
    ck_assert_int_eq(status_of(send_body("POST", post, TEXT, strlen(TEXT))), 201);
    x = manifest_put_as(name, text);
    ck_assert_int_eq(x.resp.status, 201);
    ck_assert_str_eq(header_of(&x, "Docker-Content-Digest"), name);
    AUTO_FREE char *at = target_of(header_of(&x, "Location"), REGIONAL);
    exchange_end(&x);
    x = send_plain("GET", at);
    ck_assert_int_eq(x.resp.status, 200);
    ck_assert_uint_eq(x.resp.body.n, strlen(text));
    ck_assert_mem_eq(x.resp.body.p, text, strlen(text));
    ck_assert_str_eq(header_of(&x, "Docker-Content-Digest"), name);
    exchange_end(&x);
    AUTO_FREE char *by_plain = mem_printf("/v2/team/app/manifests/%s", plain);
    ck_assert_int_eq(status_of(send_plain("GET", by_plain)), 404);
    // by tag it is sha256
    x = manifest_put_as("v1", text);
    ck_assert_int_eq(x.resp.status, 201);
    ck_assert_str_eq(header_of(&x, "Docker-Content-Digest"), plain);
    exchange_end(&x);
    ck_assert_int_eq(status_of(send_plain("GET", by_plain)), 200);
    // other content under this name
    AUTO_FREE char *spaced = mem_printf("%s ", text);
    ck_assert_int_eq(status_of(manifest_put_as(name, spaced)), 400);
    world_down();
}
END_TEST

CHECK_MAIN("registry/sha512", one_post_takes_it, post_then_put, streamed_in_one_piece,
           in_pieces_out_of_order_and_cut, the_hint_stands_in_the_location,
           a_signed_location_keeps_the_hint, a_wrong_digest_is_refused_in_every_style, mounts,
           manifests)
