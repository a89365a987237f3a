// SPDX-License-Identifier: Apache-2.0
// What the tests of uploads share on top of registry_fixture.h: pieces that stop anywhere, and a
// look at the files. Included by each test program, so that it stays one file.
#ifndef MERIDIAN_TESTS_UPLOAD_SUPPORT_H
#define MERIDIAN_TESTS_UPLOAD_SUPPORT_H

#include "tests/unit/registry/registry_fixture.h"

#include "net/http_test.h"
#include "registry/registry_priv.h"
#include "store/files/files_test.h"

#include <dirent.h>
#include <sys/stat.h>

#define UPLOADS "/v2/team/app/blobs/uploads/"

static inline char *with_digest(const char *target, const char *digest)
{
    return mem_printf("%s%cdigest=%s", target, strchr(target, '?') ? '&' : '?', digest);
}

static inline int blob_status(const char *repository, const char *digest)
{
    AUTO_FREE char *target = mem_printf("/v2/%s/blobs/%s", repository, digest);
    return status_of(send_plain("HEAD", target));
}

// -1: there is none.
static inline off_t file_bytes(const char *at)
{
    AUTO_FREE char *path = mem_printf("%s/store/uploads/%s", world_dir, strrchr(at, '/') + 1);
    struct stat st;
    return stat(path, &st) ? -1 : st.st_size;
}

static inline size_t uploads_left(void)
{
    AUTO_FREE char *path = mem_printf("%s/store/uploads", world_dir);
    DIR *d = opendir(path);
    size_t n = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static inline char *token_of(const char *quoted)
{
    AUTO_FREE char *header = fixture_header(0), *payload = fixture_payload("sub", quoted, NULL);
    return fixture_sign(header, payload, 0);
}

// A request whose body comes by hand: begin, send as often as wanted, then end it, or let its
// connection break.
struct hand {
    struct http_request *req;
    struct http_plan plan;
};

static inline struct hand hand_begin(const char *method, const char *target, const char *range)
{
    struct hand h = {.req = request_make(method, target, REGIONAL, token_push)};
    if (range)
        http_request_test_header(h.req, "Content-Range", range);
    h.req->content_length = -1; // chunked
    world_begin(NULL, h.req, &h.plan);
    h.req->ctx = h.plan.ctx;
    return h;
}

static inline int hand_send(struct hand *h, const void *p, size_t n)
{
    ck_assert_int_eq(h->plan.kind, HTTP_PLAN_STREAM);
    return h->plan.sink->write(h->req, p, n);
}

static inline int hand_end(struct hand *h)
{
    struct http_response resp = {0};
    h->plan.run(h->req, &resp);
    h->plan.done(h->req);
    http_request_test_free(h->req);
    return resp.status;
}

static inline void hand_cut(struct hand *h)
{
    h->plan.done(h->req); // run never comes
    http_request_test_free(h->req);
}

// A piece that is cut after `text`.
static inline void piece_cut(const char *at, const char *range, const char *text)
{
    struct hand h = hand_begin("PATCH", at, range);
    ck_assert_int_eq(hand_send(&h, text, strlen(text)), 0);
    hand_cut(&h);
}

static inline int piece(const char *at, const char *range, const char *text)
{
    return status_of(send_with("PATCH", at, REGIONAL, token_push, range ? "Content-Range" : NULL,
                               range, text, strlen(text), 2));
}

static inline int ended_as(const char *at, const char *text)
{
    char digest[DIGEST_TEXT_SIZE];
    digest_text(text, strlen(text), digest);
    AUTO_FREE char *end = with_digest(at, digest);
    return status_of(send_plain("PUT", end));
}

// What a GET tells.
static inline void expect_told(const char *at, const char *range)
{
    struct exchange x = send_plain("GET", at);
    ck_assert_int_eq(x.resp.status, 204);
    ck_assert_msg(!strcmp(header_of(&x, "Range"), range), "%s, not %s", header_of(&x, "Range"),
                  range);
    exchange_end(&x);
}

#endif
