// SPDX-License-Identifier: Apache-2.0
// A region whose disk is full: what is refused, what stays, and that it goes on once there is
// space. On a small tmpfs in a mount namespace of the test's own; without the right to mount one
// the cases say so and end.
#include "base/clock_test.h"
#include "net/http_test.h"
#include "tests/unit/registry/registry_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define UPLOADS "/v2/team/app/blobs/uploads/"
#define PIECE (256 << 10)

#define MIB (1ull << 20)

static const char *size = "size=4m";

static void mount_small(void)
{
    ck_assert_int_eq(mount("none", world_dir, "tmpfs", 0, size), 0);
}

static bool world_small_up(void)
{
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
        printf("skipped: a tmpfs cannot be mounted here: %s\n", strerror(errno));
        return false;
    }
    world_dir_made = mount_small;
    world_up();
    return true;
}

static void world_small_down(void)
{
    store_down();
    ck_assert_int_eq(umount2(world_dir, MNT_DETACH), 0);
    store_up(); // world_down wants one
    world_down();
}

static void disk_fill(void)
{
    static const char block[4096];
    AUTO_FREE char *path = mem_printf("%s/filler", world_dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    while (write(fd, block, sizeof block) > 0)
        ;
    ck_assert_int_eq(errno, ENOSPC);
    close(fd);
}

static uint64_t disk_left(void)
{
    struct statvfs vfs;
    ck_assert_int_eq(statvfs(world_dir, &vfs), 0);
    return (uint64_t)vfs.f_bavail * vfs.f_frsize;
}

// Leaves so many bytes. What others write between two looks is seen within a second.
static void disk_fill_to(uint64_t left)
{
    AUTO_FREE char *path = mem_printf("%s/filler", world_dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    uint64_t n = disk_left();
    ck_assert_uint_ge(n, left);
    ck_assert_int_eq(posix_fallocate(fd, 0, (off_t)(n - left)), 0);
    close(fd);
    clock_virtual_advance(1000);
}

static void disk_free(void)
{
    AUTO_FREE char *path = mem_printf("%s/filler", world_dir);
    ck_assert_int_eq(unlink(path), 0);
}

static bool healthy(void) // what /healthz is made of
{
    uint64_t n;
    return blob_store_writable(world_blobs, &n) && meta_writable(world_meta);
}

static void refused(struct exchange x)
{
    ck_assert_msg(x.resp.status == 507, "%d", x.resp.status);
    ck_assert(body_has(&x, "no space left"));
    ck_assert(body_has(&x, "\"errors\""));
    exchange_end(&x);
}

START_TEST(an_upload_goes_on_once_there_is_space)
{
    if (!world_small_up())
        return;
    AUTO_FREE char *bytes = mem_zalloc(PIECE + 3);
    memcpy(bytes, "abc", 3);
    AUTO_FREE char *at = upload_start("team/app");
    ck_assert_int_eq(status_of(send_body("PATCH", at, bytes, 3)), 202);
    ck_assert(healthy());
    disk_fill();
    for (int i = 0; i < 2; i++)
        refused(send_with("PATCH", at, REGIONAL, token_push, NULL, NULL, bytes + 3, PIECE, 4096));
    ck_assert(!healthy());
    struct exchange x = send_plain("GET", at);
    ck_assert_int_eq(x.resp.status, 204);
    ck_assert_str_eq(header_of(&x, "Range"), "0-2");
    exchange_end(&x);
    refused(send_plain("POST", UPLOADS));
    disk_free();
    ck_assert(healthy());
    ck_assert_int_eq(status_of(send_with("PATCH", at, REGIONAL, token_push, "Content-Range",
                                         "3-262146", bytes + 3, PIECE, 4096)),
                     202);
    char digest[DIGEST_TEXT_SIZE];
    digest_text(bytes, PIECE + 3, digest);
    AUTO_FREE char *end = mem_printf("%s?digest=%s", at, digest);
    ck_assert_int_eq(status_of(send_plain("PUT", end)), 201);
    AUTO_FREE char *blob = mem_printf("/v2/team/app/blobs/%s", digest);
    ck_assert_int_eq(status_of(send_plain("HEAD", blob)), 200);
    world_small_down();
}
END_TEST

// The last bytes are here already and the disk is full when the upload ends: it can be ended later.
START_TEST(an_upload_ends_once_there_is_space)
{
    if (!world_small_up())
        return;
    char digest[DIGEST_TEXT_SIZE];
    digest_text("abc", 3, digest);
    AUTO_FREE char *at = upload_start("team/app"), *end = mem_printf("%s?digest=%s", at, digest);
    ck_assert_int_eq(status_of(send_body("PATCH", at, "abc", 3)), 202);
    disk_fill();
    AUTO_FREE char *blob = mem_printf("/v2/team/app/blobs/%s", digest);
    for (int i = 0; i < 2; i++) {
        refused(send_plain("PUT", end));
        ck_assert_int_eq(status_of(send_plain("HEAD", blob)), 404);
    }
    disk_free();
    ck_assert_int_eq(status_of(send_plain("PUT", end)), 201);
    ck_assert_int_eq(status_of(send_plain("HEAD", blob)), 200);
    world_small_down();
}
END_TEST

static off_t file_bytes(const char *at)
{
    AUTO_FREE char *path = mem_printf("%s/store/uploads/%s", world_dir, strrchr(at, '/') + 1);
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    return st.st_size;
}

// More than the disk holds, in a piece, as the end, and whole: refused, and what it took is free
// for others. The space is given back with the refusal and not with the answer.
START_TEST(what_is_refused_gives_its_space_back)
{
    if (!world_small_up())
        return;
    enum { MUCH = 6 << 20 };
    AUTO_FREE char *bytes = mem_zalloc(MUCH);
    char digest[DIGEST_TEXT_SIZE], small[DIGEST_TEXT_SIZE];
    digest_text(bytes, MUCH, digest);
    digest_text(bytes, 3 << 20, small);
    AUTO_FREE char *at = upload_start("team/app"), *end = mem_printf("%s?digest=%s", at, digest);
    AUTO_FREE char *whole = mem_printf(UPLOADS "?digest=%s", digest),
                   *fits = mem_printf(UPLOADS "?digest=%s", small);
    ck_assert_int_eq(status_of(send_body("PATCH", at, "abc", 3)), 202);
    const char *const tries[][2] = {{"PATCH", at}, {"PUT", end}, {"POST", whole}};
    for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
        uint64_t before = disk_left();
        struct http_request *req = request_make(tries[i][0], tries[i][1], REGIONAL, token_push);
        struct http_plan plan = {0};
        struct http_response resp = {0};
        world_begin(NULL, req, &plan);
        req->ctx = plan.ctx;
        int rc = 0;
        for (size_t n = 0; !rc && n < MUCH; n += PIECE)
            rc = plan.sink->write(req, (const uint8_t *)bytes + n, PIECE);
        ck_assert_int_eq(rc, ERR_NOSPACE);
        ck_assert_uint_ge(disk_left() + (64 << 10), before); // for the write-ahead log
        plan.run(req, &resp);
        ck_assert_int_eq(resp.status, 507);
        plan.done(req);
        http_request_test_free(req);
        ck_assert_int_eq(file_bytes(at), 3);
        ck_assert(healthy());
    }
    ck_assert_int_eq(
        status_of(send_with("POST", fits, REGIONAL, token_push, NULL, NULL, bytes, 3 << 20, 4096)),
        201);
    world_small_down();
}
END_TEST

// A connection that breaks while nothing more can be written: what came may not be recorded, and
// then it is not kept.
START_TEST(what_cannot_be_recorded_is_not_kept)
{
    if (!world_small_up())
        return;
    AUTO_FREE char *bytes = mem_zalloc(PIECE);
    AUTO_FREE char *at = upload_start("team/app");
    ck_assert_int_eq(status_of(send_body("PATCH", at, "abc", 3)), 202);
    struct http_request *req = request_make("PATCH", at, REGIONAL, token_push);
    struct http_plan plan = {0};
    world_begin(NULL, req, &plan);
    req->ctx = plan.ctx;
    ck_assert_int_eq(plan.sink->write(req, (const uint8_t *)bytes, PIECE), 0);
    disk_fill();
    plan.done(req);
    http_request_test_free(req);
    ck_assert_int_eq(file_bytes(at), 3);
    struct exchange x = send_plain("GET", at);
    ck_assert_int_eq(x.resp.status, 204);
    ck_assert_str_eq(header_of(&x, "Range"), "0-2");
    exchange_end(&x);
    disk_free();
    char digest[DIGEST_TEXT_SIZE];
    digest_text("abcdef", 6, digest);
    AUTO_FREE char *end = mem_printf("%s?digest=%s", at, digest);
    ck_assert_int_eq(status_of(send_body("PUT", end, "def", 3)), 201);
    world_small_down();
}
END_TEST

START_TEST(whole_blobs_leave_nothing_behind)
{
    if (!world_small_up())
        return;
    AUTO_FREE char *bytes = mem_zalloc(PIECE);
    char digest[DIGEST_TEXT_SIZE];
    digest_text(bytes, PIECE, digest);
    AUTO_FREE char *target = mem_printf(UPLOADS "?digest=%s", digest);
    disk_fill();
    refused(send_with("POST", target, REGIONAL, token_push, NULL, NULL, bytes, PIECE, 4096));
    disk_free();
    size_t n = 99;
    ck_assert_int_eq(blob_uploads_expire(world_blobs, INT64_MAX, NULL, NULL, &n), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(
        status_of(send_with("POST", target, REGIONAL, token_push, NULL, NULL, bytes, PIECE, 4096)),
        201);
    world_small_down();
}
END_TEST

START_TEST(a_manifest_is_there_whole_or_not_at_all)
{
    if (!world_small_up())
        return;
    char config[DIGEST_TEXT_SIZE], digest[DIGEST_TEXT_SIZE];
    blob_push("team/app", "{}", config);
    AUTO_FREE char *text = manifest_text(config, 2, "");
    size_t n = strlen(text);
    digest_text(text, n, digest);
    AUTO_FREE char *by_digest = mem_printf("/v2/team/app/manifests/%s", digest);
    const char *by_tag = "/v2/team/app/manifests/v1";
    disk_fill();
    for (int i = 0; i < 2; i++) {
        refused(send_with("PUT", by_tag, REGIONAL, token_push, "Content-Type", OCI_MANIFEST, text,
                          n, 100));
        ck_assert_int_eq(status_of(send_plain("GET", by_tag)), 404);
        ck_assert_int_eq(status_of(send_plain("GET", by_digest)), 404);
    }
    ck_assert(!healthy());
    struct feed_mark mark;
    ck_assert_int_eq(meta_head(world_meta, "eastus", &mark), 0);
    ck_assert_uint_eq(mark.seq, 0); // announced to nobody
    disk_free();
    ck_assert(healthy());
    ck_assert_int_eq(status_of(send_with("PUT", by_tag, REGIONAL, token_push, "Content-Type",
                                         OCI_MANIFEST, text, n, 100)),
                     201);
    ck_assert_int_eq(status_of(send_plain("GET", by_tag)), 200);
    ck_assert_int_eq(meta_head(world_meta, "eastus", &mark), 0);
    ck_assert_uint_eq(mark.seq, 2); // presence and tag, without a gap
    world_small_down();
}
END_TEST

// --- a reserve of 4 MiB on a disk of 16 ---

static bool world_reserve_up(void)
{
    size = "size=16m";
    world_reserve = 4 * MIB;
    return world_small_up();
}

static void refused_by_reserve(struct exchange x)
{
    ck_assert_msg(x.resp.status == 507, "%d", x.resp.status);
    ck_assert(body_has(&x, "the disk of region eastus is full up to its reserve"));
    exchange_end(&x);
}

static uint64_t outstanding(void)
{
    struct space_view v;
    ck_assert_int_eq(space_look(world_space, &v), 0);
    return v.outstanding_bytes;
}

// A body of n bytes; `known`: by Content-Length, else chunked.
static struct exchange send_length(const char *method, const char *target, const void *body,
                                   size_t n, bool known)
{
    struct exchange x = {.req = request_make(method, target, REGIONAL, token_push)};
    http_request_test_body(x.req, body, n);
    if (!known)
        x.req->content_length = -1;
    http_app_test_run(&world_app, x.req, 64 << 10, &x.resp);
    return x;
}

START_TEST(a_known_length_is_refused_before_a_byte_is_written)
{
    if (!world_reserve_up())
        return;
    size_t n = 3 * MIB;
    AUTO_FREE char *bytes = mem_zalloc(n), *at = upload_start("team/app");
    disk_fill_to(4 * MIB + 2 * MIB + (1 << 19)); // room for two and a half: not short
    uint64_t before = disk_left();
    struct exchange x = send_length("PATCH", at, bytes, n, true);
    ck_assert_int_eq(x.resp.status, 507);
    ck_assert(body_has(&x, "has no space left for this"));
    exchange_end(&x);
    ck_assert_uint_ge(disk_left() + (64 << 10), before);
    ck_assert_uint_eq(outstanding(), 0);
    ck_assert_int_eq(status_of(send_length("PATCH", at, bytes, MIB, true)), 202);
    ck_assert_uint_eq(outstanding(), 0);
    world_small_down();
}
END_TEST

START_TEST(an_unknown_length_stops_at_the_reserve)
{
    if (!world_reserve_up())
        return;
    size_t n = 8 * MIB;
    AUTO_FREE char *bytes = mem_zalloc(n), *at = upload_start("team/app");
    disk_fill_to(4 * MIB + 3 * MIB);
    refused(send_length("PATCH", at, bytes, n, false));
    ck_assert_uint_ge(disk_left(), 4 * MIB + 2 * MIB); // it was given back
    ck_assert_uint_eq(outstanding(), 0);
    char digest[DIGEST_TEXT_SIZE];
    digest_text(bytes, n, digest);
    AUTO_FREE char *whole = mem_printf(UPLOADS "?digest=%s", digest);
    disk_free();
    disk_fill_to(4 * MIB + 3 * MIB);
    refused(send_length("POST", whole, bytes, n, false));
    ck_assert_uint_ge(disk_left(), 4 * MIB + 2 * MIB);
    disk_free();
    clock_virtual_advance(1000);
    ck_assert_int_eq(status_of(send_length("POST", whole, bytes, n, false)), 201);
    world_small_down();
}
END_TEST

// Short: no new content; what is there is read, mounted, ended and cancelled, and tags of what is
// here are written, until half of the reserve is used up. The metadata is written to below that.
START_TEST(a_short_disk_refuses_content_only)
{
    if (!world_reserve_up())
        return;
    char config[DIGEST_TEXT_SIZE], digest[DIGEST_TEXT_SIZE];
    blob_push("team/app", "{}", config);
    digest_text("abc", 3, digest);
    AUTO_FREE char *text = manifest_text(config, 2, ""), *ending = upload_start("team/app"),
                   *cancelled = upload_start("team/app"), *cut = upload_start("team/app");
    AUTO_FREE char *end = mem_printf("%s?digest=%s", ending, digest),
                   *from =
                       mem_printf("/v2/team/other/blobs/uploads/?mount=%s&from=team/app", config),
                   *none = mem_printf("/v2/team/other/blobs/uploads/?mount=%s&from=team/app",
                                      EMPTY_DIGEST),
                   *blob = mem_printf("/v2/team/app/blobs/%s", config);
    ck_assert_int_eq(status_of(send_body("PATCH", ending, "abc", 3)), 202);
    disk_fill_to(4 * MIB + (1 << 19));
    refused_by_reserve(send_plain("POST", UPLOADS));
    refused_by_reserve(send_plain("POST", none));
    refused_by_reserve(send_length("PATCH", cut, "abc", 3, true));
    refused_by_reserve(send_length("PATCH", cut, "abc", 3, false));
    refused_by_reserve(send_length("PUT", end, "abc", 3, true));
    ck_assert_int_eq(status_of(send_plain("GET", cut)), 204);
    ck_assert_int_eq(status_of(send_plain("PUT", end)), 201);
    ck_assert_int_eq(status_of(send_plain("DELETE", cancelled)), 204);
    ck_assert_int_eq(status_of(send_plain("POST", from)), 201);
    ck_assert_int_eq(status_of(send_plain("GET", blob)), 200);
    const char *by_tag = "/v2/team/app/manifests/v1";
    ck_assert_int_eq(status_of(send_with("PUT", by_tag, REGIONAL, token_push, "Content-Type",
                                         OCI_MANIFEST, text, strlen(text), 100)),
                     201);
    disk_free();
    disk_fill_to(2 * MIB);
    refused_by_reserve(send_with("PUT", by_tag, REGIONAL, token_push, "Content-Type", OCI_MANIFEST,
                                 text, strlen(text), 100));
    ck_assert_int_eq(status_of(send_plain("GET", by_tag)), 200);
    ck_assert(healthy()); // it is not full: entries of others, state and certificates are written
    ck_assert_int_eq(status_of(send_plain("DELETE", cut)), 204);
    disk_free();
    disk_fill_to(4 * MIB + 2 * MIB - 1); // more than a window: still short
    refused_by_reserve(send_plain("POST", UPLOADS));
    disk_free();
    disk_fill_to(4 * MIB + 2 * MIB);
    ck_assert_int_eq(status_of(send_plain("POST", UPLOADS)), 202);
    world_small_down();
}
END_TEST

CHECK_MAIN("registry/full_disk", an_upload_goes_on_once_there_is_space,
           an_upload_ends_once_there_is_space, what_is_refused_gives_its_space_back,
           what_cannot_be_recorded_is_not_kept, whole_blobs_leave_nothing_behind,
           a_manifest_is_there_whole_or_not_at_all,
           a_known_length_is_refused_before_a_byte_is_written,
           an_unknown_length_stops_at_the_reserve, a_short_disk_refuses_content_only)
