// SPDX-License-Identifier: Apache-2.0
// The registry over a store of blobs that serves by URLs, as an object store does: a GET is
// redirected, and a push needs neither files nor bytes that can be read back.
#include "tests/support/memory_blobs.h"
#include "tests/unit/registry/upload_support.h"

static struct memory_blobs *memory;

static int memory_open(struct blob_store **out)
{
    return memory_blobs_open(memory, out);
}

static void begin(void)
{
    memory = memory_blobs_new();
    ck_assert_ptr_nonnull(memory);
    world_blobs_open = memory_open;
    world_up();
}

static void end(void)
{
    world_down();
    memory_blobs_free(memory);
}

static void expect_redirect(const char *method, const char *digest)
{
    AUTO_FREE char *target = mem_printf("/v2/team/app/blobs/%s", digest);
    AUTO_FREE char *url = mem_printf(MEMORY_BLOBS_URL "%s?method=%s&expires=%lld", digest + 7,
                                     method, (NOW_MS + MEMORY_BLOBS_URL_MS) / 1000LL);
    struct exchange x = send_plain(method, target);
    ck_assert_int_eq(x.resp.status, 307);
    ck_assert_ptr_null(x.resp.accel);
    ck_assert_str_eq(header_of(&x, "Location"), url);
    ck_assert_str_eq(header_of(&x, "Cache-Control"), "no-store");
    ck_assert_str_eq(header_of(&x, "Docker-Content-Digest"), digest);
    exchange_end(&x);
}

START_TEST(a_get_is_redirected_once_it_is_authorised)
{
    begin();
    char digest[DIGEST_TEXT_SIZE];
    blob_push("team/app", "elsewhere", digest);
    expect_redirect("GET", digest);
    expect_redirect("HEAD", digest);
    AUTO_FREE char *target = mem_printf("/v2/team/app/blobs/%s", digest);
    AUTO_FREE char *unlinked = mem_printf("/v2/team/other/blobs/%s", digest);
    AUTO_FREE char *etag = mem_printf("\"%s\"", digest);
    ck_assert_int_eq(status_of(send_with("GET", target, REGIONAL, NULL, NULL, NULL, NULL, 0, 0)),
                     401);
    ck_assert_int_eq(status_of(send_plain("GET", unlinked)), 404);
    ck_assert_int_eq(status_of(send_with("GET", target, REGIONAL, token_pull, "If-None-Match", etag,
                                         NULL, 0, 0)),
                     304);
    end();
}
END_TEST

START_TEST(a_linked_blob_that_is_lost_is_absent)
{
    begin();
    char text[DIGEST_TEXT_SIZE];
    struct digest d;
    struct blob_name name;
    uint64_t size;
    blob_push("team/app", "lost", text);
    ck_assert_int_eq(digest_parse(text, strlen(text), &d), 0);
    ck_assert_int_eq(meta_blob_find(world_meta, &d, &name, &size), 0);
    ck_assert_int_eq(blob_remove(world_blobs, &name), 0);
    ck_assert_int_eq(blob_status("team/app", text), 404);
    blob_push("team/app", "lost", text);
    expect_redirect("GET", text);
    end();
}
END_TEST

// Pieces, a refused one, one that is cut, and a restart in between.
START_TEST(an_upload_goes_on_from_what_is_durable)
{
    begin();
    char digest[DIGEST_TEXT_SIZE];
    AUTO_FREE char *at = upload_start("team/app");
    ck_assert_int_eq(piece(at, "0-4", "first"), 202);
    ck_assert_int_eq(piece(at, "7-8", "xy"), 416);
    ck_assert_int_eq(piece(at, "5-9", "wrongs"), 400); // longer than it says
    expect_told(at, "0-4");
    store_down();
    store_up();
    ck_assert_int_eq(piece(at, "5-10", "second"), 202);
    piece_cut(at, NULL, "third");
    expect_told(at, "0-15");
    store_down();
    store_up();
    ck_assert_int_eq(ended_as(at, "not this"), 400);
    ck_assert_int_eq(ended_as(at, "firstsecondthird"), 201);
    digest_text("firstsecondthird", 16, digest);
    expect_redirect("GET", digest);
    ck_assert_int_eq(ended_as(at, "firstsecondthird"), 201); // repeated
    end();
}
END_TEST

START_TEST(a_cancelled_upload_is_gone)
{
    begin();
    AUTO_FREE char *at = upload_start("team/app");
    ck_assert_int_eq(piece(at, NULL, "some"), 202);
    ck_assert_int_eq(status_of(send_plain("DELETE", at)), 204);
    ck_assert_int_eq(piece(at, NULL, "more"), 404);
    end();
}
END_TEST

CHECK_MAIN("registry/redirect", a_get_is_redirected_once_it_is_authorised,
           a_linked_blob_that_is_lost_is_absent, an_upload_goes_on_from_what_is_durable,
           a_cancelled_upload_is_gone)
