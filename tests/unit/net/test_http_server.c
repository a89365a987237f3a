// SPDX-License-Identifier: Apache-2.0
// net/http_server over a real socket with a raw client: framing, backpressure, ceilings, streams,
// drain, bad input.
#include "net/http.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "net/edge.h"
#include "tests/support/check_main.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

// --- the toy app ---

struct upload {
    _Atomic size_t got;
    _Atomic int dones;
    // of all bytes in their order
    _Atomic uint64_t sum;
};
static struct upload up;
static _Atomic int gate_open = 1, sink_sleep_ms, stream_closed_n, stream_reads, runs, begins;
static struct http_stream *_Atomic live;
static _Atomic size_t live_bytes;

static uint64_t sum_add(uint64_t sum, const void *p, size_t n)
{
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++)
        sum = sum * 31 + b[i];
    return sum;
}

static int sink_write(struct http_request *req, const uint8_t *p, size_t n)
{
    atomic_store(&up.sum, sum_add(atomic_load(&up.sum), p, n));
    if (atomic_load(&sink_sleep_ms))
        clock_sleep_ms(atomic_load(&sink_sleep_ms));
    if (strstr(req->path, "sinkfail"))
        return ERR_NOSPACE;
    atomic_fetch_add(&up.got, n);
    return 0;
}
static const struct http_sink sink = {sink_write};

static ssize_t stream_read(void *ctx, struct http_stream *s, uint8_t *to, size_t cap)
{
    (void)ctx, (void)s;
    atomic_fetch_add(&stream_reads, 1);
    size_t n = atomic_load(&live_bytes);
    if (n == SIZE_MAX)
        return HTTP_STREAM_END;
    n = n < cap ? n : cap;
    memset(to, 's', n);
    atomic_fetch_sub(&live_bytes, n);
    return (ssize_t)n;
}
static void stream_close(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&stream_closed_n, 1);
}
static const struct http_stream_ops stream_ops = {stream_read, stream_close, 10000};
static const struct http_stream_ops restless_ops = {stream_read, stream_close, 50};

static struct pool *elsewhere;
static char marks[2];

// The second run waits for the gate, on a pool of its own, unless there was no room.
static void run_twice(struct http_request *req, struct http_response *resp)
{
    if (req->ctx == &marks[0]) {
        req->ctx = &marks[1];
        http_response_again(resp, elsewhere);
        return;
    }
    ck_assert_ptr_eq(req->ctx, &marks[1]);
    atomic_fetch_add(&runs, 1);
    while (!req->hurried && !atomic_load(&gate_open))
        clock_sleep_ms(2);
    (void)http_response_text(req, resp, 200, "again, hurried=%d, body=%zu", req->hurried,
                             req->body.n);
}

static struct http_parked *_Atomic parked;
static _Atomic int64_t park_ms;

// The second run answers.
static void run_parked(struct http_request *req, struct http_response *resp)
{
    struct http_parked *p;
    if (req->ctx == &marks[0] && !req->ending) {
        req->ctx = &marks[1];
        ck_assert_int_eq(http_response_park(resp, clock_mono_ms() + atomic_load(&park_ms), &p), 0);
        if (strstr(req->path, "woken")) // before the server knows
            http_parked_wake(p);
        http_parked_unref(atomic_exchange(&parked, p));
        atomic_fetch_add(&runs, 1);
        return;
    }
    atomic_fetch_add(&runs, 1);
    (void)http_response_text(req, resp, 200, "parked, ending=%d, body=%zu", req->ending,
                             req->body.n);
}

static void run(struct http_request *req, struct http_response *resp)
{
    atomic_fetch_add(&runs, 1);
    while (!atomic_load(&gate_open) && strstr(req->path, "gate"))
        clock_sleep_ms(2);
    if (!strncmp(req->path, "/stream", 7)) {
        struct http_stream *mine = NULL;
        (void)http_response_stream(resp, 200, "text/plain",
                                   req->path[7] ? &restless_ops : &stream_ops, NULL, &mine);
        atomic_store(&live, mine);
        return;
    }
    if (!strcmp(req->path, "/accel")) {
        http_response_accel(resp, 200, "/_blob/x");
        return;
    }
    if (!strcmp(req->path, "/nostatus"))
        return;
    const char *client = http_header_get(req, EDGE_HEADER_CLIENT),
               *forged = http_header_get(req, "X-Meridian-Foo");
    char ip[IP_TEXT_SIZE];
    (void)http_response_text(
        req, resp, 200, "%s %s?%s body=%zu sunk=%zu client=%s hidden=%s%s fp=%s uid=%d",
        req->method_text, req->path, req->query, req->body.n, atomic_load(&up.got),
        ip_format(&req->client, ip), client ? client : "-", forged ? forged : "-",
        req->peer_cert_fingerprint ? req->peer_cert_fingerprint : "-", (int)req->peer_uid);
}

static void done(struct http_request *req)
{
    (void)req;
    atomic_fetch_add(&up.dones, 1);
}

// Answers by the body alone, unless that says "pool".
static void collected(struct http_request *req, struct http_plan *plan)
{
    if (req->body.n == 4 && !memcmp(req->body.p, "pool", 4))
        return;
    plan->kind = HTTP_PLAN_REPLY;
    (void)http_response_text(req, &plan->response, 200, "read %zu", req->body.n);
}

static void begin(void *ctx, struct http_request *req, struct http_plan *plan)
{
    (void)ctx;
    atomic_fetch_add(&begins, 1);
    *plan = (struct http_plan){.kind = HTTP_PLAN_RUN, .run = run, .done = done, .sink = &sink};
    if (!strcmp(req->path, "/reply")) {
        plan->kind = HTTP_PLAN_REPLY;
        (void)http_response_text(req, &plan->response, 401, "no");
    } else if (req->method == HTTP_PATCH)
        plan->kind = HTTP_PLAN_STREAM;
    else if (req->method == HTTP_PUT) {
        plan->kind = HTTP_PLAN_COLLECT;
        plan->body_max = 100000;
        plan->collected = strstr(req->path, "read") ? collected : NULL;
    }
    if (strstr(req->path, "again")) {
        plan->run = run_twice;
        plan->ctx = &marks[0];
    }
    if (strstr(req->path, "park")) {
        plan->run = run_parked;
        plan->ctx = &marks[0];
    }
    plan->for_answer = strstr(req->path, "answer") != NULL;
    plan->goes_on = strstr(req->path, "goes") != NULL;
    if (strstr(req->path, "plain"))
        plan->done = NULL;
}

static _Atomic int lates;
static struct pool *late_pool;

static void run_late(void *ctx, struct http_request *req, struct http_response *resp)
{
    (void)ctx;
    atomic_fetch_add(&lates, 1);
    while (!atomic_load(&gate_open) && strstr(req->path, "gate"))
        clock_sleep_ms(2);
    (void)http_response_text(req, resp, 200, "late %s body=%zu", req->path, req->body.n);
}

static void run_late_begun(struct http_request *req, struct http_response *resp)
{
    run_late(NULL, req, resp);
}

static void begin_late(void *ctx, struct http_request *req, struct http_plan *plan)
{
    (void)ctx, (void)req;
    *plan = (struct http_plan){
        .kind = HTTP_PLAN_COLLECT, .body_max = 1000, .run = run_late_begun, .pool = late_pool};
}

static void finish(void *ctx, const struct http_request *req, struct http_response *resp)
{
    (void)ctx;
    (void)http_response_header((struct http_request *)(uintptr_t)req, resp, "X-Meridian-Region",
                               "testia");
}

static const struct http_app app = {begin, finish, begin_late, run_late, NULL};

// --- server and client ---

static char dir[64], path[100];
static struct pool *pool;
static struct http_server *server;

static void up_with(struct http_server_options o, unsigned threads, size_t waiting)
{
    snprintf(dir, sizeof dir, "/tmp/mer-http-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/s", dir);
    pool =
        pool_new(&(struct pool_options){.name = "t", .n_threads = threads, .max_waiting = waiting});
    o.socket_path = path;
    o.socket_mode = 0600;
    o.socket_gid = -1;
    o.pool = pool;
    ck_assert_int_eq(http_server_start(&o, &app, &server), 0);
}

static void down(void)
{
    http_server_stop(server, 2000);
    pool_free(pool);
    ck_assert_int_eq(dir_remove_tree(dir), 0);
}

static int dial(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    size_t n = strlen(text);
    while (n) {
        ssize_t w = send(fd, text, n, MSG_NOSIGNAL);
        if (w <= 0)
            return;
        text += w;
        n -= (size_t)w;
    }
}

struct answer {
    // 0: closed without one
    int status;
    bool closed;
    size_t n;
    char head[8192], body[4096];
};

static int byte(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    unsigned char c;
    ck_assert_msg(poll(&p, 1, 10000) == 1, "no answer within 10 s");
    return recv(fd, &c, 1, 0) == 1 ? c : -1;
}

static const char *field(const struct answer *a, const char *name)
{
    static char out[256];
    for (const char *l = strstr(a->head, "\r\n"); l; l = strstr(l + 2, "\r\n"))
        if (!strncasecmp(l + 2, name, strlen(name)) && l[2 + strlen(name)] == ':') {
            sscanf(l + 3 + strlen(name), " %255[^\r]", out);
            return out;
        }
    return NULL;
}

static struct answer hear(int fd, bool head_only)
{
    struct answer a = {0};
    size_t n = 0;
    int c;
    while (n < sizeof a.head - 1 && (c = byte(fd)) >= 0) {
        a.head[n++] = (char)c;
        if (n >= 4 && !memcmp(a.head + n - 4, "\r\n\r\n", 4))
            break;
    }
    if (sscanf(a.head, "HTTP/%*s %d", &a.status) != 1) {
        a.closed = true;
        return a;
    }
    const char *length = field(&a, "Content-Length");
    size_t want = length && !head_only ? (size_t)atol(length) : 0;
    while (a.n < want && (c = byte(fd)) >= 0)
        a.body[a.n++ % (sizeof a.body - 1)] = (char)c;
    return a;
}

static struct answer ask(int fd, const char *text)
{
    say(fd, text);
    return hear(fd, false);
}

static void until(_Atomic int *what, int least)
{
    for (int i = 0; atomic_load(what) < least; i++) {
        ck_assert_msg(i < 5000, "waited 10 s in vain");
        clock_sleep_ms(2);
    }
}

static const struct http_server_options plain = {.listener = LISTENER_PUBLIC};

START_TEST(test_keep_alive)
{
    up_with(plain, 2, 64);
    int fd = dial();
    struct answer a;
    for (int i = 0; i < 50; i++) {
        a = ask(fd, "GET /a?b=%20c HTTP/1.1\r\nHost: h\r\nX-Meridian-Client: "
                    "203.0.113.9\r\nX-Meridian-Foo: x\r\n\r\n");
        ck_assert_int_eq(a.status, 200);
    }
    ck_assert_ptr_nonnull(
        strstr(a.body, "GET /a?b=%20c body=0 sunk=0 client=203.0.113.9 hidden=-- fp=- uid=-1"));
    ck_assert_str_eq(field(&a, "X-Meridian-Region"), "testia");
    ck_assert_uint_eq(strlen(field(&a, "X-Meridian-Request-Id")), 32);
    a = ask(fd, "GET /accel HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert_str_eq(field(&a, "X-Accel-Redirect"), "/_blob/x");
    a = ask(fd, "GET /nostatus HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert_int_eq(a.status, 500);
    a = ask(fd, "POST /reply HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    ck_assert_int_eq(a.status, 401);
    say(fd, "HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n");
    a = hear(fd, true);
    ck_assert_int_eq(a.status, 200);
    ck_assert_int_gt(atoi(field(&a, "Content-Length")), 10);
    say(fd, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nPUT /2 HTTP/1.1\r\nHost: h\r\nContent-Length: "
            "3\r\n\r\nabcGET /3 "
            "HTTP/1.1\r\nHost: h\r\n\r\n");
    for (int i = 1; i <= 3; i++) {
        a = hear(fd, false);
        char want[16];
        snprintf(want, sizeof want, "/%d?", i);
        ck_assert_ptr_nonnull(strstr(a.body, want));
        ck_assert_int_eq(!!strstr(a.body, "body=3"), i == 2);
    }
    close(fd);
    fd = dial(); // as ab speaks
    ck_assert_int_eq(ask(fd, "GET /a/.hidden/..x/x../...?/../ HTTP/1.1\r\nHost: h\r\n\r\n").status,
                     200); // no dot segments
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(
            ask(fd, "GET /old HTTP/1.0\r\nConnection: Keep-Alive\r\nHost: h\r\n\r\n").status, 200);
    close(fd);
    down();
}
END_TEST

START_TEST(test_upload_slow_sink)
{
    struct http_server_options o = plain;
    o.sink_window_bytes = 64 << 10;
    o.uploads_budget_bytes = 32 << 10; // less than the window: the guaranteed share carries it
    up_with(o, 2, 64);
    atomic_store(&sink_sleep_ms, 1);
    int fd = dial();
    say(fd, "PATCH /up HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    static char piece[10000 + 16];
    int head = snprintf(piece, sizeof piece, "%x\r\n", 9990);
    memset(piece + head, 'x', 9990);
    memcpy(piece + head + 9990, "\r\n", 3);
    for (int i = 0; i < 200; i++)
        say(fd, piece);
    struct answer a = ask(fd, "0\r\n\r\n");
    ck_assert_int_eq(a.status, 200);
    ck_assert_ptr_nonnull(strstr(a.body, "sunk=1998000"));
    ck_assert_int_eq(atomic_load(&up.dones), 1);
    a = ask(fd, "PATCH /sinkfail HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nabcd");
    ck_assert_int_eq(a.status, 200); // run decides what the failed sink means
    ck_assert_int_eq(ask(fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
    close(fd);
    down();
}
END_TEST

START_TEST(test_too_large)
{
    up_with(plain, 2, 64);
    int fd = dial();
    // at once, no body sent
    struct answer a = ask(fd, "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n\r\n");
    ck_assert_int_eq(a.status, 413);
    close(fd);
    fd = dial();
    a = ask(fd, "GET /x HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n\r\n");
    ck_assert_int_eq(a.status, 413);
    close(fd);
    // chunked past the ceiling: found out on the way, answered at the end, connection lives
    fd = dial();
    say(fd, "PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    static char piece[60000 + 16];
    int head = snprintf(piece, sizeof piece, "%x\r\n", 60000);
    memset(piece + head, 'x', 60000);
    memcpy(piece + head + 60000, "\r\n", 3);
    say(fd, piece);
    say(fd, piece);
    ck_assert_int_eq(ask(fd, "0\r\n\r\n").status, 413);
    ck_assert_int_eq(ask(fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
    // not so large: dropped, connection lives
    say(fd, "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 120000\r\n\r\n");
    memset(piece, 'x', sizeof piece);
    piece[60000] = 0;
    say(fd, piece);
    ck_assert_int_eq(ask(fd, piece).status, 413);
    ck_assert_int_eq(ask(fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
    close(fd);
    fd = dial();
    say(fd, "POST /reply HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    ck_assert_int_eq(hear(fd, false).status, 401); // endless body refused at once
    for (int i = 0; i < 2; i++) // and who still sends is not reset under its feet
        ck_assert_int_gt(send(fd, "5\r\nhello\r\n", 10, MSG_NOSIGNAL), 0);
    close(fd);
    down();
}
END_TEST

START_TEST(test_busy)
{
    up_with(plain, 1, 1);
    atomic_store(&gate_open, 0);
    int a1 = dial(), a2 = dial(), a3 = dial();
    say(a1, "GET /gate HTTP/1.1\r\nHost: h\r\n\r\n");
    until(&runs, 1);
    say(a2, "GET /gate HTTP/1.1\r\nHost: h\r\n\r\n");
    for (int i = 0; pool_waiting(pool) < 1; i++) {
        ck_assert_int_lt(i, 5000);
        clock_sleep_ms(2);
    }
    struct answer a = ask(a3, "GET /gate HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert_int_eq(a.status, 503);
    ck_assert_str_eq(field(&a, "Retry-After"), "1");
    a = ask(a3, "PATCH /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
    ck_assert_int_eq(a.status, 503);
    ck_assert_int_eq(atomic_load(&up.dones), 2);
    atomic_store(&gate_open, 1);
    ck_assert_int_eq(hear(a1, false).status, 200);
    ck_assert_int_eq(hear(a2, false).status, 200);
    ck_assert_int_eq(ask(a3, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
    close(a1), close(a2), close(a3);
    down();
}
END_TEST

struct thread_of_answer {
    int at;
    struct answer x;
};

static void *answer_hear(void *arg)
{
    struct thread_of_answer *t = arg;
    t->x = hear(t->at, false);
    return NULL;
}

// A run that is parked holds no thread, and is called again when it is woken, when its time has
// come, or when the server ends; who has
// left is done with once.
START_TEST(test_run_is_parked)
{
    static const char put[] = "PUT /park HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
                      woken[] = "PUT /park/woken HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
                      get[] = "GET /x HTTP/1.1\r\nHost: h\r\n\r\n";
    up_with(plain, 1, 4);
    int a[4] = {dial(), dial(), dial(), dial()};
    atomic_store(&park_ms, 60000);
    say(a[0], put);
    until(&runs, 1);
    ck_assert_int_eq(ask(a[1], get).status, 200); // the only thread is free
    ck_assert_int_eq(atomic_load(&up.dones), 1);
    http_parked_wake(parked);
    http_parked_wake(parked); // no more
    struct answer x = hear(a[0], false);
    ck_assert_str_eq(x.body, "parked, ending=0, body=3");
    http_parked_wake(parked); // it is over
    ck_assert_str_eq(ask(a[0], woken).body, "parked, ending=0, body=0");
    atomic_store(&park_ms, 30);
    ck_assert_str_eq(ask(a[0], put).body, "parked, ending=0, body=3");
    atomic_store(&park_ms, 60000);
    int dones = atomic_load(&up.dones), n = atomic_load(&runs);
    say(a[2], put);
    until(&runs, n + 1);
    close(a[2]); // leaves while its run is parked
    http_parked_wake(parked);
    until(&up.dones, dones + 1);
    ck_assert_int_eq(atomic_load(&runs), n + 2);
    say(a[3], put);
    until(&runs, n + 3);
    struct thread_of_answer heard = {.at = a[3]};
    pthread_t t;
    ck_assert_int_eq(pthread_create(&t, NULL, answer_hear, &heard), 0);
    int64_t began = clock_mono_ms();
    down();
    pthread_join(t, NULL);
    ck_assert_str_eq(heard.x.body, "parked, ending=1, body=3");
    ck_assert_int_lt(clock_mono_ms() - began, 20000);
    http_parked_wake(parked);
    http_parked_unref(atomic_exchange(&parked, NULL));
    close(a[0]), close(a[1]), close(a[3]);
}
END_TEST

// What waits elsewhere holds neither the work pool's thread nor another one's answer; what finds no
// room there is answered at once; who has left is done with once.
START_TEST(test_run_goes_on_elsewhere)
{
    static const char put[] = "PUT /again HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    up_with(plain, 1, 4);
    elsewhere = pool_new(&(struct pool_options){.name = "e", .n_threads = 1, .max_waiting = 1});
    int a[4] = {dial(), dial(), dial(), dial()};
    struct answer x = ask(a[0], put);
    ck_assert_str_eq(x.body, "again, hurried=0, body=3");
    atomic_store(&gate_open, 0);
    say(a[0], put);
    until(&runs, 2);
    say(a[1], put);
    for (int i = 0; pool_waiting(elsewhere) < 1; i++) {
        ck_assert_int_lt(i, 5000);
        clock_sleep_ms(2);
    }
    x = ask(a[2], put);
    ck_assert_str_eq(x.body, "again, hurried=1, body=3");
    ck_assert_int_eq(ask(a[3], "GET /x HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
    ck_assert_int_eq(atomic_load(&up.dones), 3);
    close(a[0]); // leaves while its run waits
    atomic_store(&gate_open, 1);
    x = hear(a[1], false);
    ck_assert_str_eq(x.body, "again, hurried=0, body=3");
    until(&up.dones, 5);
    ck_assert_int_eq(atomic_load(&up.dones), 5);
    close(a[1]), close(a[2]), close(a[3]);
    down();
    pool_free(elsewhere);
}
END_TEST

static int ask_from(const char *client, const char *target)
{
    char text[256];
    int fd = dial();
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: h\r\n" EDGE_HEADER_CLIENT ": %s\r\n\r\n",
             target, client);
    say(fd, text);
    return fd;
}

static void until_waiting(size_t n)
{
    for (int i = 0; pool_waiting(pool) != n; i++) {
        ck_assert_int_lt(i, 5000);
        clock_sleep_ms(2);
    }
}

// The only thread is at work and the queue is full of one network: what comes from another takes
// the newest one's place, which is answered at once, and its turn is next.
START_TEST(test_full_of_one_network)
{
    up_with(plain, 1, 3);
    atomic_store(&gate_open, 0);
    int held = ask_from("192.0.2.1", "/gate"), fds[3];
    until(&runs, 1);
    for (size_t i = 0; i < 3; i++) {
        fds[i] = ask_from("192.0.2.2", "/gate");
        until_waiting(i + 1);
    }
    int other = ask_from("198.51.100.7", "/other");
    struct answer a = hear(fds[2], false);
    ck_assert_int_eq(a.status, 503);
    ck_assert_str_eq(field(&a, "Retry-After"), "1");
    ck_assert_int_eq(atomic_load(&up.dones), 1);
    ck_assert_int_eq(atomic_load(&runs), 1);
    atomic_store(&gate_open, 1);
    ck_assert_int_eq(hear(other, false).status, 200);
    ck_assert_int_eq(hear(held, false).status, 200);
    ck_assert_int_eq(hear(fds[0], false).status, 200);
    ck_assert_int_eq(hear(fds[1], false).status, 200);
    // its connection lives on
    ck_assert_int_eq(ask(fds[2], "GET /x HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
    ck_assert_int_eq(atomic_load(&up.dones), 6);
    close(held), close(other), close(fds[0]), close(fds[1]), close(fds[2]);
    down();
}
END_TEST

// A network has a third of the connections at most, whatever its requests wait for.
START_TEST(test_share_of_connections)
{
    struct http_server_options o = plain;
    o.max_connections = 9;
    up_with(o, 8, 64);
    atomic_store(&gate_open, 0);
    int held[3];
    for (int i = 0; i < 3; i++) {
        held[i] = ask_from(i % 2 ? "192.0.2.1" : "192.0.2.99", "/gate");
        until(&runs, i + 1);
    }
    int more = ask_from("192.0.2.50", "/x"), other = ask_from("198.51.100.7", "/x");
    struct answer a = hear(more, false);
    ck_assert_int_eq(a.status, 429);
    ck_assert_str_eq(field(&a, "Retry-After"), "1");
    ck_assert_int_eq(hear(other, false).status, 200);
    atomic_store(&gate_open, 1);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(hear(held[i], false).status, 200);
    ck_assert_int_eq(
        ask(more, "GET /x HTTP/1.1\r\nHost: h\r\n" EDGE_HEADER_CLIENT ": 192.0.2.50\r\n\r\n")
            .status,
        200);
    ck_assert_int_eq(atomic_load(&begins), 5); // the refused one was nobody's
    close(more), close(other);
    for (int i = 0; i < 3; i++)
        close(held[i]);
    down();
}
END_TEST

// An upload that was begun keeps its bytes: pushed out of the queue, it only waits longer.
START_TEST(test_full_in_mid_upload)
{
    up_with(plain, 1, 2);
    int fd = dial();
    say(fd, "PATCH /x HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n" EDGE_HEADER_CLIENT
            ": 192.0.2.1\r\n\r\nabc");
    for (int i = 0; atomic_load(&up.got) < 3; i++) {
        ck_assert_int_lt(i, 5000);
        clock_sleep_ms(2);
    }
    atomic_store(&gate_open, 0);
    int held = ask_from("192.0.2.1", "/gate");
    until(&runs, 1);
    int older = ask_from("192.0.2.1", "/older");
    until_waiting(1);
    say(fd, "def");
    until_waiting(2);
    int other = ask_from("198.51.100.7", "/other"); // in place of the upload's work
    until(&begins, 4);
    clock_sleep_ms(50); // it asks again meanwhile, in vain
    atomic_store(&gate_open, 1);
    ck_assert_int_eq(hear(held, false).status, 200);
    ck_assert_int_eq(hear(older, false).status, 200);
    ck_assert_int_eq(hear(other, false).status, 200);
    ck_assert_int_eq(hear(fd, false).status, 200);
    ck_assert_uint_eq(atomic_load(&up.got), 6);
    close(fd), close(held), close(older), close(other);
    down();
}
END_TEST

// What the body alone answers never waits for a pool, however full.
START_TEST(test_answered_by_its_body)
{
    up_with(plain, 1, 1);
    atomic_store(&gate_open, 0);
    int held = ask_from("192.0.2.1", "/gate");
    until(&runs, 1);
    int waits = ask_from("192.0.2.1", "/gate");
    until_waiting(1);
    int fd = dial();
    for (int i = 0; i < 3; i++) {
        struct answer a =
            ask(fd, "PUT /read HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
        ck_assert_int_eq(a.status, 200);
        ck_assert_str_eq(a.body, "read 5");
    }
    say(fd, "PUT /read HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
            "chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
    ck_assert_str_eq(hear(fd, false).body, "read 3");
    ck_assert_int_eq(atomic_load(&up.dones), 4);
    ck_assert_int_eq(ask(fd,
                         "PUT /read HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n" EDGE_HEADER_CLIENT
                         ": 192.0.2.1\r\n\r\npool")
                         .status,
                     503);
    atomic_store(&gate_open, 1);
    ck_assert_int_eq(hear(held, false).status, 200);
    ck_assert_int_eq(hear(waits, false).status, 200);
    ck_assert_int_eq(
        ask(fd, "PUT /read HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\npool").status, 200);
    ck_assert_int_eq(atomic_load(&runs), 3);
    close(held), close(waits), close(fd);
    down();
}
END_TEST

// Who asked only for an answer and left before his turn costs no work.
START_TEST(test_left_before_its_turn)
{
    up_with(plain, 1, 64);
    atomic_store(&gate_open, 0);
    int held = ask_from("192.0.2.1", "/gate");
    until(&runs, 1);
    for (size_t i = 0; i < 20; i++) {
        int fd = ask_from("192.0.2.1", "/answer");
        until_waiting(i + 1);
        close(fd);
    }
    int stays = ask_from("192.0.2.1", "/answer");
    until_waiting(21);
    atomic_store(&gate_open, 1);
    ck_assert_int_eq(hear(held, false).status, 200);
    ck_assert_int_eq(hear(stays, false).status, 200);
    until(&up.dones, 22);
    ck_assert_int_eq(atomic_load(&runs), 2);
    close(held), close(stays);
    down();
}
END_TEST

START_TEST(test_client_leaves)
{
    up_with(plain, 2, 64);
    for (int i = 0; i < 20; i++) {
        int fd = dial();
        say(fd, "PATCH /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nabc");
        until(&begins, i + 1);
        close(fd);
    }
    until(&up.dones, 20);
    ck_assert_int_eq(atomic_load(&runs), 0);
    int fd = dial(); // leaves while its work runs
    atomic_store(&gate_open, 0);
    say(fd, "GET /gate HTTP/1.1\r\nHost: h\r\n\r\n");
    until(&runs, 1);
    close(fd);
    atomic_store(&gate_open, 1);
    until(&up.dones, 21);
    down();
    ck_assert_int_eq(atomic_load(&up.dones), 21);
}
END_TEST

// The sink is behind when the client leaves in mid-body: it gets all that came all the same, and
// nothing runs.
START_TEST(test_what_came_is_the_sinks)
{
    up_with(plain, 2, 64);
    atomic_store(&sink_sleep_ms, 20);
    int fd = dial();
    say(fd, "PATCH /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n");
    until(&begins, 1);
    for (int i = 0; i < 50; i++)
        say(fd, "0123456789");
    for (int unread = 1, i = 0; unread && i < 5000; i++, clock_sleep_ms(1))
        ck_assert_int_eq(ioctl(fd, SIOCOUTQ, &unread), 0);
    close(fd);
    until(&up.dones, 1);
    ck_assert_uint_eq(atomic_load(&up.got), 500);
    ck_assert_int_eq(atomic_load(&runs), 0);
    atomic_store(&sink_sleep_ms, 0);
    down();
}
END_TEST

// Whatever pieces a body comes in, the sink has every byte once and in its order.
START_TEST(test_pieces_keep_their_order)
{
    static char piece[70000];
    uint64_t sum = 0;
    size_t n_all = 0;
    up_with(plain, 2, 64);
    int fd = dial();
    say(fd, "PATCH /up HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (unsigned i = 1; i < 60; i++) {
        size_t n = 1 + i * 7919 % 65536;
        char head[16];
        for (size_t k = 0; k < n; k++)
            piece[k] = (char)('a' + (n_all + k * 7) % 26);
        sum = sum_add(sum, piece, n);
        n_all += n;
        piece[n] = 0;
        snprintf(head, sizeof head, "%zx\r\n", n);
        say(fd, head);
        say(fd, piece);
        say(fd, "\r\n");
    }
    ck_assert_int_eq(ask(fd, "0\r\n\r\n").status, 200);
    ck_assert_uint_eq(atomic_load(&up.got), n_all);
    ck_assert_uint_eq(atomic_load(&up.sum), sum);
    close(fd);
    down();
}
END_TEST

// What comes slowly waits for more, but not for ever: the sink has it while the body goes on.
START_TEST(test_slow_pieces_reach_the_sink)
{
    up_with(plain, 2, 64);
    int fd = dial();
    say(fd, "PATCH /up HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n");
    for (size_t n = 10; n <= 50; n += 10) {
        say(fd, "0123456789");
        for (int i = 0; atomic_load(&up.got) < n; i++) {
            ck_assert_msg(i < 5000, "waited 10 s in vain");
            clock_sleep_ms(2);
        }
    }
    close(fd);
    until(&up.dones, 1);
    ck_assert_int_eq(atomic_load(&runs), 0);
    down();
}
END_TEST

START_TEST(test_run_deadline)
{
    struct http_server_options o = plain;
    o.run_deadline_ms = 50;
    up_with(o, 2, 64);
    atomic_store(&gate_open, 0);
    int fd = dial();
    ck_assert_int_eq(ask(fd, "GET /gate HTTP/1.1\r\nHost: h\r\n\r\n").status, 504);
    atomic_store(&gate_open, 1);
    until(&up.dones, 1);
    close(fd);
    down();
}
END_TEST

START_TEST(test_stream)
{
    up_with(plain, 2, 64);
    int fd = dial();
    say(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    struct answer a = hear(fd, false);
    ck_assert_int_eq(a.status, 200);
    ck_assert_str_eq(field(&a, "Transfer-Encoding"), "chunked");
    for (int i = 0; i < 100; i++) {
        atomic_fetch_add(&live_bytes, 1);
        http_stream_wake(live);
        char line[8] = {0};
        for (int k = 0; k < 6; k++) // "1\r\ns\r\n"
            line[k] = (char)byte(fd);
        ck_assert_str_eq(line, "1\r\ns\r\n");
    }
    until(&stream_reads, 101);
    clock_sleep_ms(50); // it must rest now
    ck_assert_int_le(atomic_load(&stream_reads), 202);
    atomic_store(&live_bytes, SIZE_MAX);
    http_stream_wake(live);
    char end[8] = {0};
    for (int k = 0; k < 5; k++)
        end[k] = (char)byte(fd);
    ck_assert_str_eq(end, "0\r\n\r\n");
    until(&stream_closed_n, 1);
    http_stream_wake(live); // harmless
    http_stream_unref(live);
    atomic_store(&live_bytes, 0);
    ck_assert_int_eq(ask(fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
    say(fd, "HEAD /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert_int_eq(hear(fd, true).status, 200);
    until(&stream_closed_n, 2);
    http_stream_unref(live);
    close(fd);
    down();
}
END_TEST

START_TEST(test_stream_reader_stalls)
{
    struct http_server_options o = plain;
    o.idle_timeout_s = 1;
    up_with(o, 2, 64);
    atomic_store(&live_bytes, (size_t)1 << 40); // more than any socket buffer
    int fd = dial();
    say(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n"); // and never reads
    until(&stream_closed_n, 1);
    http_stream_unref(live);
    close(fd);
    down();
}
END_TEST

START_TEST(test_stream_client_leaves)
{
    up_with(plain, 2, 64);
    int fd = dial();
    // nothing to send: only a look at the client tells
    say(fd, "GET /stream-restless HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert_int_eq(hear(fd, false).status, 200);
    close(fd);
    until(&stream_closed_n, 1);
    http_stream_unref(live);
    down();
}
END_TEST

static void slow_answer(int fd)
{
    struct answer a = hear(fd, false);
    ck_assert_int_eq(a.status, 408);
    ck_assert_msg(strstr(a.body, "bytes a second") != NULL, "%s", a.body);
    ck_assert_str_eq(field(&a, "X-Meridian-Region"), "testia");
    ck_assert_str_eq(field(&a, "Connection"), "close");
}

static bool hung_up(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

static void inactive(void)
{
    for (int i = 0; http_server_active(server); i++) {
        ck_assert_int_lt(i, 5000);
        clock_sleep_ms(2);
    }
}

// Who sends a byte now and then, or nothing, gets 408; half a header is cut; who uploads into a
// sink may take its time when no rate is wanted.
START_TEST(test_slow_senders)
{
    struct http_server_options o = plain;
    o.slow_body_ms = 300;
    o.idle_timeout_s = 2;
    up_with(o, 2, 64);
    static const char *const heads[] = {
        "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 90000\r\n\r\n",
        "POST /reply HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n"};
    int fds[ARRAY_LEN(heads)], idle[ARRAY_LEN(heads)], upload = dial(), half = dial();
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        say(fds[i] = dial(), heads[i]);
        say(idle[i] = dial(), heads[i]); // and not a byte more
    }
    say(half, "GET /x HTTP/1.1\r\nHost: ");
    say(upload, "PATCH /up HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\n");
    for (int k = 0; k < 20; k++) {
        clock_sleep_ms(25);
        say(upload, "x");
        for (size_t i = 0; i < ARRAY_LEN(heads); i++)
            say(fds[i], "x");
    }
    ck_assert_int_eq(hear(upload, false).status, 200);
    close(upload);
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        slow_answer(fds[i]);
        slow_answer(idle[i]);
        close(fds[i]), close(idle[i]);
    }
    ck_assert_int_eq(atomic_load(&up.dones), 2 * ARRAY_LEN(heads) + 1); // each once
    ck_assert(hear(half, false).closed);
    close(half);
    inactive();
    int fd = dial(); // a good one on a connection that was in a hurry before
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(
            ask(fd, "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc").status, 200);
    close(fd);
    down();
}
END_TEST

static void *trickle(void *arg) // bytes at an interval of 20 ms, until the other side hangs up
{
    const struct pollfd end = {.fd = *(int *)arg, .events = POLLIN};
    for (struct pollfd p = end; poll(&p, 1, 20) == 0; p = end)
        say(p.fd, "x");
    return NULL;
}

// An upload below the least rate: the sink has all that came before the answer is there, nothing
// runs, and whoever goes on is not listened to. One above it goes on.
START_TEST(test_slow_upload)
{
    struct http_server_options o = plain;
    o.body_bytes_s = 400;
    o.body_window_ms = 1500;
    up_with(o, 2, 64);
    int slow = dial(), silent = dial(), good = dial();
    say(slow, "PATCH /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\n");
    say(silent,
        "PATCH /silent HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n");
    say(good, "PATCH /good HTTP/1.1\r\nHost: h\r\nContent-Length: 6000\r\n\r\n");
    pthread_t t;
    ck_assert_int_eq(pthread_create(&t, NULL, trickle, &slow), 0); // 50 a second
    static char piece[101];
    memset(piece, 'g', 100);
    // 2,500 a second at most, for longer than the window
    for (int i = 0; i < 60; i++, clock_sleep_ms(40))
        say(good, piece);
    pthread_join(t, NULL);
    slow_answer(slow);
    slow_answer(silent);
    ck_assert_int_eq(atomic_load(&runs), 1);
    struct answer a = hear(good, false);
    ck_assert_int_eq(a.status, 200);
    ck_assert_int_eq(atomic_load(&up.dones), 3);
    ck_assert_uint_gt(atomic_load(&up.got), 6000 + 5 + 5); // the slow ones' bytes too
    for (int i = 0; i < 5000 && !hung_up(slow); i++)       // who does not hang up is hung up on
        clock_sleep_ms(2);
    ck_assert(hung_up(slow));
    close(slow), close(silent), close(good);
    inactive();
    down();
}
END_TEST

// What a slow sink takes is not the sender's time.
START_TEST(test_slow_sink_is_not_a_slow_sender)
{
    struct http_server_options o = plain;
    o.body_bytes_s = 1000;
    o.body_window_ms = 100;
    o.sink_window_bytes = 4096;
    up_with(o, 2, 64);
    atomic_store(&sink_sleep_ms, 400);
    int fd = dial();
    static char body[9000];
    memset(body, 'b', sizeof body - 1);
    say(fd, "PATCH /up HTTP/1.1\r\nHost: h\r\nContent-Length: 8999\r\n\r\n");
    say(fd, body);
    ck_assert_int_eq(hear(fd, false).status, 200);
    close(fd);
    down();
}
END_TEST

// The pool is full of others when a body is given up: it is said as soon as there is room.
START_TEST(test_slow_while_full)
{
    struct http_server_options o = plain;
    o.slow_body_ms = 200;
    up_with(o, 1, 1);
    int slow = dial(), reply = dial(), one = dial(), two = dial();
    say(slow, "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n");
    say(reply, "POST /reply HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n");
    atomic_store(&gate_open, 0);
    say(one, "GET /gate HTTP/1.1\r\nHost: h\r\n\r\n");
    until(&runs, 1);
    say(two, "GET /gate HTTP/1.1\r\nHost: h\r\n\r\n");
    clock_sleep_ms(500);
    atomic_store(&gate_open, 1);
    slow_answer(slow);
    slow_answer(reply);
    ck_assert_int_eq(hear(one, false).status, 200);
    hear(two, false); // 200, or 503 when another took its place
    close(slow), close(reply), close(one), close(two);
    inactive();
    ck_assert_int_eq(atomic_load(&up.dones), 4);
    down();
}
END_TEST

START_TEST(test_drain)
{
    up_with(plain, 2, 64);
    int fd = dial(), work = dial();
    say(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert_int_eq(hear(fd, false).status, 200);
    atomic_store(&gate_open, 0);
    say(work, "GET /gate HTTP/1.1\r\nHost: h\r\n\r\n");
    until(&runs, 2);
    ck_assert_uint_eq(http_server_active(server), 2);
    pthread_t t;
    ck_assert_int_eq(pthread_create(&t, NULL, (void *(*)(void *))(void (*)(void))down, NULL), 0);
    until(&stream_closed_n, 1);
    atomic_store(&gate_open, 1);
    ck_assert_int_eq(hear(work, false).status, 200); // in flight: finished
    pthread_join(t, NULL);
    http_stream_unref(live);
    close(fd), close(work);
}
END_TEST

struct waiter {
    pthread_t thread;
    _Atomic int over;
};

static void *yield_main(void *arg)
{
    struct waiter *w = arg;
    http_server_yield_wait(server);
    atomic_store(&w->over, 1);
    return NULL;
}

static void yield(struct waiter *w)
{
    *w = (struct waiter){0};
    http_server_yield_begin(server, late_pool);
    ck_assert_int_eq(pthread_create(&w->thread, NULL, yield_main, w), 0);
}

// What runs is waited for; uploads, kept connections, and bodies that are collected are not.
START_TEST(test_yield)
{
    struct waiter w;
    struct http_server_options o = plain;
    o.body_bytes_s = 100;
    up_with(o, 4, 64);
    int stream = dial(), work = dial(), kept = dial(), half = dial(), upload = dial(),
        manifest = dial();
    ck_assert_int_eq(ask(kept, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
    say(stream, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert_int_eq(hear(stream, false).status, 200);
    atomic_store(&gate_open, 0);
    say(work, "GET /gate HTTP/1.1\r\nHost: h\r\n\r\n");
    until(&runs, 3);
    say(half, "GET /half HTTP/1.1\r\nHost: ");
    say(upload, "PATCH /goes HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabcde");
    say(manifest, "PUT /plain HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc");
    until(&begins, 5);
    yield(&w);
    until(&stream_closed_n, 1);
    clock_sleep_ms(100); // it waits for what runs, or would have returned by now
    ck_assert_int_eq(w.over, 0);
    atomic_store(&gate_open, 1);
    struct answer a = hear(work, false);
    ck_assert_int_eq(a.status, 200);
    ck_assert_str_eq(field(&a, "Connection"), "close");
    pthread_join(w.thread, NULL);
    int before = atomic_load(&begins), ran = atomic_load(&runs);
    a = ask(kept, "POST /new HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody");
    ck_assert_str_eq(a.body, "late /new body=4");
    ck_assert_str_eq(field(&a, "Connection"), "close");
    a = ask(half, "h\r\n\r\n");
    ck_assert_str_eq(a.body, "late /half body=0");
    a = ask(manifest, "def");
    ck_assert_str_eq(a.body, "late /plain body=6");
    ck_assert(atomic_load(&begins) == before && atomic_load(&runs) == ran);
    a = ask(upload, "fghij");
    ck_assert_int_eq(a.status, 200);
    ck_assert_ptr_nonnull(strstr(a.body, "PATCH /goes? body=0 sunk=10"));
    http_stream_unref(live);
    down();
    close(stream), close(work), close(kept), close(half), close(upload), close(manifest);
}
END_TEST

// What can neither go on nor run late has a second; an upload that does not move has two, one that
// does has the drain.
START_TEST(test_yield_gives_up)
{
    struct waiter w;
    struct http_server_options o = plain;
    o.body_bytes_s = 100;
    up_with(o, 4, 64);
    int stuck = dial(), discard = dial(), still = dial(), moves = dial();
    say(stuck, "PUT /with-done HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc");
    say(discard, "GET /x HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc");
    say(still, "PATCH /goes HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\nabcde");
    say(moves, "PATCH /goes HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\nabcde");
    until(&begins, 4);
    int64_t began = clock_mono_ms();
    yield(&w);
    static char piece[31];
    memset(piece, 'm', 30);
    struct pollfd end = {.fd = still, .events = POLLIN};
    while (poll(&end, 1, 100) == 0) // 300 a second
        say(moves, piece);
    ck_assert_int_ge(clock_mono_ms() - began, 1900);
    struct answer a = hear(still, false);
    ck_assert_int_eq(a.status, 408);
    pthread_join(w.thread, NULL);
    for (int i = 0; i < 2; i++) {
        a = hear(i ? discard : stuck, false);
        ck_assert_int_eq(a.status, 503);
        ck_assert_ptr_nonnull(strstr(a.body, "being restarted"));
    }
    pthread_t t;
    // drains for 2 s
    ck_assert_int_eq(pthread_create(&t, NULL, (void *(*)(void *))(void (*)(void))down, NULL), 0);
    for (end.fd = moves; poll(&end, 1, 100) == 0;)
        say(moves, piece);
    a = hear(moves, false);
    ck_assert_int_eq(a.status, 503);
    ck_assert_ptr_nonnull(strstr(a.body, "What came of an upload is kept"));
    close(moves);
    pthread_join(t, NULL);
    ck_assert_int_eq(atomic_load(&runs), 0);
    ck_assert_int_eq(atomic_load(&up.dones), 4);
    close(stuck), close(discard), close(still);
}
END_TEST

// What runs late may wait for the successor, and that for what the server's pool has to do: each
// has threads of its own.
START_TEST(test_yield_is_not_held_up_by_what_runs_late)
{
    struct waiter w;
    late_pool = pool_new(&(struct pool_options){.name = "late", .n_threads = 2, .max_waiting = 8});
    up_with(plain, 1, 8);
    int kept = dial(), manifest = dial(), discard = dial();
    ck_assert_int_eq(ask(kept, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
    say(manifest, "PUT /plain-gate HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc");
    say(discard, "GET /x HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc");
    until(&begins, 3);
    atomic_store(&gate_open, 0);
    yield(&w);
    say(kept, "GET /gate HTTP/1.1\r\nHost: h\r\n\r\n");
    say(manifest, "def");
    until(&lates, 2);
    ck_assert_int_eq(hear(discard, false).status, 503); // given up on the server's own thread
    pthread_join(w.thread, NULL);
    atomic_store(&gate_open, 1);
    ck_assert_str_eq(hear(kept, false).body, "late /gate body=0");
    ck_assert_str_eq(hear(manifest, false).body, "late /plain-gate body=6");
    close(kept), close(manifest), close(discard);
    down();
    pool_free(late_pool);
}
END_TEST

START_TEST(test_peer_and_admin)
{
    struct http_server_options o = {.listener = LISTENER_ADMIN};
    up_with(o, 1, 8);
    int fd = dial();
    struct answer a = ask(fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    char want[32];
    snprintf(want, sizeof want, "uid=%d", (int)getuid());
    ck_assert_ptr_nonnull(strstr(a.body, want));
    close(fd);
    down();
    o.listener = LISTENER_PEER;
    up_with(o, 1, 8);
    fd = dial();
    a = ask(fd, "GET /x HTTP/1.1\r\nHost: h\r\nX-Meridian-Peer-Cert: "
                "-----BEGIN%20CERTIFICATE-----%0AYWJj%0A-----END%20CERTIFICATE-----%0A\r\n\r\n");
    ck_assert_ptr_nonnull(
        strstr(a.body, "fp=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad "));
    close(fd);
    fd = dial();
    a = ask(fd, "GET /x HTTP/1.1\r\nHost: h\r\nX-Meridian-Peer-Cert: nonsense\r\n\r\n");
    ck_assert_int_eq(a.status, 400);
    close(fd);
    down();
}
END_TEST

#define GET "GET / HTTP/1.1\r\nHost: h\r\n"
static const char *const malformed[] = {
    "\x16\x03\x01\x02\x01\xfc\x03\x03\r\n\r\n",
    "GET\r\n\r\n",
    "GET /\r\n\r\n",
    "GET / HTTP/9.9\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/2.0\r\nHost: h\r\n\r\n",
    "GET / FTP/1.1\r\nHost: h\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
    "GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET * HTTP/1.1\r\nHost: h\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET h HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /../a HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /a/./b HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /a/.. HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /a/%2e%2E/b?c HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /a/.%2e%2fb HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /\x7f HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
    "G@T / HTTP/1.1\r\nHost: h\r\n\r\n",
    "G(T / HTTP/1.1\r\nHost: h\r\n\r\n",
    GET "Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
    GET "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    GET "Content-Length: -1\r\n\r\n",
    GET "Content-Length: +1\r\n\r\na",
    GET "Content-Length: 0x1\r\n\r\na",
    GET "Content-Length: 1,1\r\n\r\na",
    GET "Content-Length: \r\n\r\n",
    GET "Content-Length: 1 1\r\n\r\na",
    GET "Content-Length: 99999999999999999999999\r\n\r\n",
    GET "Content-Length: 18446744073709551615\r\n\r\n",
    GET "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    GET "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
    GET "Transfer-Encoding: gzip\r\n\r\n",
    GET "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    GET "Transfer-Encoding: \r\n\r\n",
    GET "Transfer-Encoding: xchunked\r\n\r\n",
    "PATCH / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "PATCH / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
    "PATCH / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111111\r\n",
    "PATCH / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
    "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3 x\r\nabc\r\n0\r\n\r\n",
    "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\r\n\r\n",
    GET "No colon here\r\n\r\n",
    GET "A B: c\r\n\r\n",
    GET "A\x01: c\r\n\r\n",
    GET "A: \x01\r\n\r\n",
    GET "A: \x7f\r\n\r\n",
    GET "A : c\r\n\r\n",
    GET "A(: c\r\n\r\n",
    GET "\x80: c\r\n\r\n",
    GET "Authorization: a\r\nAuthorization: b\r\n\r\n",
    GET "Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n",
    GET "X-Meridian-Client: 1.2.3.4\r\nX-Meridian-Client: 1.2.3.4\r\n\r\n",
    GET "X-Meridian-Client: not an address\r\n\r\n",
    GET "X-Meridian-Client: 1.2.3.4.5\r\n\r\n",
    GET "X-Meridian-Peer-Cert: a\r\nX-Meridian-Peer-Cert: b\r\n\r\n",
    "GET / HTTP/1.1 x\r\nHost: h\r\n\r\n",
    "GET /\tx HTTP/1.1\r\nHost: h\r\n\r\n",
    "\r\n\r\n\r\n \r\n\r\n",
    " GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET / http/1.1\r\nHost: h\r\n\r\n",
    "GET / HTTP/1.\r\nHost: h\r\n\r\n",
    "GET / HTTP/1.11\r\nHost: h\r\n\r\n",
    "GET / HTTP/-1.1\r\nHost: h\r\n\r\n",
};

START_TEST(test_malformed)
{
    struct http_server_options o = plain;
    o.idle_timeout_s = 1; // ends those that look unfinished
    up_with(o, 2, 64);
    ck_assert_uint_ge(ARRAY_LEN(malformed), 60);
    for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
        int fd = dial();
        say(fd, malformed[i]);
        shutdown(fd, SHUT_WR);
        struct answer a = hear(fd, false);
        ck_assert_msg(a.closed || a.status >= 400, "request %zu got %d: %.60s", i, a.status,
                      malformed[i]);
        close(fd);
        fd = dial();
        ck_assert_int_eq(ask(fd, "GET /good HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
        close(fd);
    }
    AUTO_BUF struct buf b;
    buf_init(&b, 0); // too many headers, too large headers, too long a target
    for (int kind = 0; kind < 3; kind++) {
        buf_clear(&b);
        buf_str(&b, kind == 2 ? "GET /" : GET);
        for (int i = 0; i < (kind == 0 ? 150 : 20000); i++)
            buf_str(&b, kind == 0 ? "A: b\r\n" : kind == 1 && i == 0 ? "A: " : "xxxxxxxx");
        buf_str(&b, kind == 2 ? " HTTP/1.1\r\nHost: h\r\n\r\n" : "\r\n\r\n");
        int fd = dial();
        struct answer a = ask(fd, buf_cstr(&b));
        ck_assert(a.closed || a.status == 431 || a.status == 413 || a.status == 414);
        close(fd);
    }
    int fd = dial();
    ck_assert_int_eq(ask(fd, "GET /good HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
    close(fd);
    down();
}
END_TEST

CHECK_MAIN("net/http_server", test_keep_alive, test_upload_slow_sink, test_too_large, test_busy,
           test_run_is_parked, test_run_goes_on_elsewhere, test_full_of_one_network,
           test_share_of_connections, test_full_in_mid_upload, test_answered_by_its_body,
           test_left_before_its_turn, test_client_leaves, test_what_came_is_the_sinks,
           test_pieces_keep_their_order, test_slow_pieces_reach_the_sink, test_run_deadline,
           test_stream, test_stream_reader_stalls, test_stream_client_leaves, test_slow_senders,
           test_slow_upload, test_slow_sink_is_not_a_slow_sender, test_slow_while_full, test_drain,
           test_yield, test_yield_gives_up, test_yield_is_not_held_up_by_what_runs_late,
           test_peer_and_admin, test_malformed)
