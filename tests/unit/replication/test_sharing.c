// SPDX-License-Identifier: Apache-2.0
// A region sees of another one only registries that both hold: every path of the peer listener, asked
// by a region without a replica. East does not hold tailspin; west and south do.
#include "replication/reach.h"

#include "base/fd.h"
#include "base/mem.h"
#include "net/response_reader.h"
#include "tests/support/check_main.h"
#include "tests/unit/replication/regions.h"

#include <stdio.h>
#include <string.h>

#define HIDDEN "tailspin"

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];

#define DIGEST "sha256:1111111111111111111111111111111111111111111111111111111111111111"

struct path {
    const char *method, *target, *host;
    // of a region without a replica, and of one that has one
    int without, with;
};

static const struct path paths[] = {
    // nothing is asked of a registry
    {"GET", "/replication/v1/clock", "peer", 200, 200},
    {"GET", "/replication/v1/mark?origin=eastus", "peer", 200, 400},
    {"GET", "/replication/v1/mark?origin=southeastasia", "peer", 400, 200},
    {"GET", "/replication/v1/feed?after=x", "peer", 400, 400},
    {"GET", "/replication/v1/feed?after=&origin=southeastasia&speaks=2", "peer", 200, 200},
    {"GET", "/replication/v1/feed?after=&origin=nowhere", "peer", 404, 404},
    // for the writer alone: there is none
    {"GET", "/replication/v1/origin?of=southeastasia", "peer", 403, 403},
    // of the registry that is hidden, by its name
    {"GET", REACH_PATH "?registry=" HIDDEN, "peer", 403, 200},
    {"GET", REACH_PATH "?registry=nobody", "peer", 403, 403},
    {"GET", "/replication/v1/snapshot?registry=" HIDDEN, "peer", 403, 200},
    {"POST", "/replication/v1/holds?registry=" HIDDEN "&repository=secret", "peer", 403, 200},
    {"POST", "/replication/v1/ahead?registry=" HIDDEN "&repository=secret&size=9&digest=" DIGEST,
     "peer", 403, 202},
    {"GET", "/replication/v1/upload?registry=" HIDDEN "&repository=secret&upload=eastus.00", "peer",
     403, 404},
    {"POST", "/replication/v1/damaged?registry=" HIDDEN "&repository=secret&digest=" DIGEST, "peer",
     403, 202},
    {"POST", "/replication/v1/stored?registry=" HIDDEN "&repository=secret", "peer", 403, 400},
    {"GET", "/replication/v1/digests?registry=" HIDDEN, "peer", 403, 200},
    // rows of registries that both do not hold are passed over
    {"POST", "/replication/v1/marks", "peer", 400, 400},
    // for tokens, not for certificates
    {"GET", "/replication/v1/differences", "peer", 404, 404},
    {"GET", "/replication/v1/differences", HIDDEN ".example.io", 401, 200},
    {"GET", "/replication/v1/have?repository=secret&tag=1", "peer", 404, 404},
    {"GET", "/replication/v1/status", "peer", 404, 404},
    {"GET", "/replication/v1/revoked", "peer", 404, 404},
    {"GET", "/replication/v1/entries?origin=westeurope", "peer", 404, 404},
    {"GET", "/replication/v1/have?repository=secret&tag=1", HIDDEN ".example.io", 401, 200},
    {"GET", "/replication/v1/status", HIDDEN ".example.io", 401, 200},
    {"GET", "/replication/v1/revoked", HIDDEN ".example.io", 401, 200},
    {"GET", "/replication/v1/entries?origin=westeurope", HIDDEN ".example.io", 401, 200},
};

static void path_check(const struct path *p)
{
    AUTO_BUF struct buf body;
    buf_init(&body, 0);
    int status = region_ask(west, east, p->method, p->target, p->host, &body);
    ck_assert_msg(status == p->without, "%s without a replica: %d, want %d", p->target, status,
                  p->without);
    const char *text = buf_cstr(&body);
    ck_assert_msg(!strstr(text, HIDDEN) && !strstr(text, "secret"), "%s says %s", p->target, text);
    status = region_ask(west, south, p->method, p->target, p->host, NULL);
    ck_assert_msg(status == p->with, "%s with one: %d, want %d", p->target, status, p->with);
}

// What the stream says until it is caught up.
static void stream_read(struct test_region *from, struct buf *out)
{
    static const _Atomic bool stop;
    char url[128], socket[300], piece[4096];
    struct response_reader *f;
    ssize_t n;
    snprintf(url, sizeof url, "http://%s.peer.example.io/replication/v1/feed?after=&speaks=2",
             west->name);
    region_socket(west, from, socket, sizeof socket);
    struct fetch_request q = {.url = url, .unix_socket = socket, .idle_timeout_ms = 10000};
    ck_assert_int_eq(response_reader_open(from->fetcher, &q, &stop, &f), 0);
    ck_assert_int_eq(response_reader_status(f, 10000), 200);
    while (!strstr(buf_cstr(out), "\"caughtUp\":true")) {
        n = response_reader_read(f, piece, sizeof piece, 10000);
        ck_assert_int_gt(n, 0);
        buf_add(out, piece, (size_t)n);
    }
    response_reader_close(f);
}

START_TEST(a_region_without_a_replica_is_told_nothing)
{
    struct digest d, e;
    world_up(&w);
    region_push(west, HIDDEN, "secret", "1", 1, 1, 5000, 0, &d);
    region_push(west, "contoso", "app", "1", 2, 1, 5000, 0, &e);
    WAIT_FOR(region_has(south, HIDDEN, "secret", "1", &d), 10000);
    WAIT_FOR(region_has(east, "contoso", "app", "1", &e), 10000);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        path_check(&paths[i]);
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    stream_read(east, &text);
    ck_assert(strstr(buf_cstr(&text), "contoso") && !strstr(buf_cstr(&text), HIDDEN));
    buf_clear(&text);
    stream_read(south, &text);
    ck_assert(strstr(buf_cstr(&text), HIDDEN));
    world_done(&w);
}
END_TEST

static bool path_is_asked(const char *name)
{
    AUTO_FREE char *path = mem_printf("/replication/v1/%s", name);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        size_t n = strcspn(paths[i].target, "?");
        if (n == strlen(path) && !strncmp(paths[i].target, path, n))
            return true;
    }
    return false;
}

// The table of paths above has each that is served, as the source lists them.
START_TEST(every_path_is_asked)
{
    AUTO_BUF struct buf source;
    buf_init(&source, 0);
    ck_assert_int_eq(file_read(SERVE, 1 << 20, &source), 0);
    const char *at = strstr(buf_cstr(&source), "struct route routes[] = {");
    ck_assert_ptr_nonnull(at);
    const char *end = strstr(at, "};");
    ck_assert_ptr_nonnull(end);
    size_t n = 0;
    for (at = strstr(at, "{\""); at && at < end; at = strstr(at + 1, "{\"")) {
        char name[32];
        ck_assert_int_eq(sscanf(at, "{\"%31[a-z]\"", name), 1);
        ck_assert_msg(path_is_asked(name), "%s is not in the table of paths", name);
        n++;
    }
    ck_assert_uint_ge(n, 16);
}
END_TEST

CHECK_MAIN("replication/sharing", a_region_without_a_replica_is_told_nothing, every_path_is_asked)
