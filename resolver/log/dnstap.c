// SPDX-License-Identifier: Apache-2.0
// dnstap; see dnstap.h. Frame Streams is libfstrm's, over a socket of ours with time limits: a
// collector that hangs holds its sink up for two seconds at most, and the daemon not at all.
#include "resolver/log/dnstap.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fstrm.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define RETRY_MS 1000
#define CHECK_MS 200
#define PATIENCE_MS 2000
#define MESSAGE_MAX (160 << 10)

static const char content_type[] = "protobuf:dnstap.Dnstap";
static _Atomic uint64_t n_written, n_failed;

struct dnstap {
    char *path, *identity;
    int fd;
    // NULL: not connected
    struct fstrm_writer *writer;
    int64_t retry_ms, check_ms;
    bool was_up;
    struct buf message;
};

uint64_t dnstap_written(void)
{
    return atomic_load_explicit(&n_written, memory_order_relaxed);
}

uint64_t dnstap_failed(void)
{
    return atomic_load_explicit(&n_failed, memory_order_relaxed);
}

// ---- the worker's side ----

static void note(struct ring *r, const struct log_event *e)
{
    if (!e->listener)
        return;
    struct dnstap_record *d = ring_reserve(r, sizeof *d + e->query_n + e->response_n);
    if (!d)
        return;
    d->wall_ms = clock_wall_ms();
    d->client = *e->client;
    d->server = *e->listener;
    d->transport = (uint8_t)e->transport;
    d->wait = (struct journal_wait){0};
    if (e->wait)
        d->wait = *e->wait;
    d->query_n = (uint32_t)e->query_n;
    d->response_n = (uint32_t)e->response_n;
    memcpy(d->bytes, e->query, e->query_n);
    memcpy(d->bytes + e->query_n, e->response, e->response_n);
    ring_commit(r);
}

// ---- Protocol Buffers ----

enum wire_type { WIRE_VARINT = 0, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static void put_varint(struct buf *b, uint64_t v)
{
    for (; v > 127; v >>= 7)
        buf_u8(b, (uint8_t)(v | 128));
    buf_u8(b, (uint8_t)v);
}

static void put_number(struct buf *b, unsigned field, uint64_t v)
{
    put_varint(b, field << 3 | WIRE_VARINT);
    put_varint(b, v);
}

static void put_fixed32(struct buf *b, unsigned field, uint32_t v)
{
    put_varint(b, field << 3 | WIRE_FIXED32);
    for (int i = 0; i < 4; i++, v >>= 8)
        buf_u8(b, (uint8_t)v);
}

static void put_bytes(struct buf *b, unsigned field, const void *p, size_t n)
{
    put_varint(b, field << 3 | WIRE_BYTES);
    put_varint(b, n);
    buf_add(b, p, n);
}

static void put_address(struct buf *b, unsigned field, const struct ip *ip)
{
    bool v4 = ip_is_v4(ip);
    put_bytes(b, field, v4 ? ip->b + 12 : ip->b, v4 ? 4 : 16);
}

static uint32_t nanoseconds(int64_t wall_ms)
{
    return (uint32_t)(wall_ms % 1000 * 1000000);
}

// Fields of "Message" in dnstap.proto, in the order of their numbers.
static void put_message(struct buf *b, const struct dnstap_record *r, bool response)
{
    static const uint8_t protocols[] = {[ANSWER_UDP] = 1, [ANSWER_TCP] = 2, [ANSWER_TLS] = 3};
    int64_t asked_ms = r->wall_ms - r->wait.ms; // the clock is read once, when the answer is ready
    // AUTH_QUERY, AUTH_RESPONSE; CLIENT_…: 5, 6
    put_number(b, 1, (response ? 2 : 1) + (r->wait.forwarded ? 4 : 0));
    put_number(b, 2, ip_is_v4(&r->client.ip) ? 1 : 2);
    put_number(b, 3, protocols[r->transport <= ANSWER_TLS ? r->transport : ANSWER_UDP]);
    put_address(b, 4, &r->client.ip);
    put_address(b, 5, &r->server.ip);
    put_number(b, 6, r->client.port);
    put_number(b, 7, r->server.port);
    put_number(b, 8, (uint64_t)(asked_ms / 1000));
    put_fixed32(b, 9, nanoseconds(asked_ms));
    if (!response) {
        put_bytes(b, 10, r->bytes, r->query_n);
        return;
    }
    put_number(b, 12, (uint64_t)(r->wall_ms / 1000));
    put_fixed32(b, 13, nanoseconds(r->wall_ms));
    put_bytes(b, 14, r->bytes + r->query_n, r->response_n);
}

void dnstap_encode(const struct dnstap_record *r, bool response, const char *identity,
                   struct buf *out)
{
    AUTO_BUF struct buf message;
    buf_init(&message, MESSAGE_MAX);
    put_message(&message, r, response);
    if (identity)
        put_bytes(out, 1, identity, strlen(identity));
    put_bytes(out, 2, "meridiand " MERIDIAN_VERSION, sizeof "meridiand " MERIDIAN_VERSION - 1);
    if (r->wait.upstream.port) {
        char upstream[ENDPOINT_TEXT_SIZE];
        endpoint_format(&r->wait.upstream, upstream);
        put_bytes(out, 3, upstream, strlen(upstream)); // extra
    }
    put_bytes(out, 14, message.p, message.n);
    put_number(out, 15, 1); // MESSAGE
    if (message.err)
        out->err = message.err;
}

// ---- the socket, for libfstrm ----

static bool wait_for(int fd, short events, int64_t until_ms)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = events};
        int64_t left = until_ms - clock_mono_ms();
        int rc = 0;
        if (left > 0)
            rc = poll(&p, 1, (int)left);
        if (rc > 0)
            return true;
        if (rc == 0 || errno != EINTR)
            return false;
    }
}

static fstrm_res tap_open(void *ctx)
{
    struct dnstap *d = ctx;
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int n = snprintf(sun.sun_path, sizeof sun.sun_path, "%s", d->path);
    d->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (d->fd >= 0 && n > 0 && (size_t)n < sizeof sun.sun_path &&
        // a unix socket connects at once, or not at all
        !connect(d->fd, (struct sockaddr *)&sun, sizeof sun))
        return fstrm_res_success;
    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
    return fstrm_res_failure;
}

static fstrm_res tap_close(void *ctx)
{
    struct dnstap *d = ctx;
    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
    return fstrm_res_success;
}

static fstrm_res tap_read(void *ctx, void *p, size_t n)
{
    struct dnstap *d = ctx;
    int64_t until = clock_mono_ms() + PATIENCE_MS;
    for (uint8_t *to = p; n;) {
        ssize_t got = recv(d->fd, to, n, 0);
        if (got > 0) {
            to += got;
            n -= (size_t)got;
        } else if (got == 0 || (errno != EAGAIN && errno != EINTR) ||
                   !wait_for(d->fd, POLLIN, until)) {
            return fstrm_res_failure;
        }
    }
    return fstrm_res_success;
}

static fstrm_res tap_write(void *ctx, const struct iovec *iov, int n)
{
    struct dnstap *d = ctx;
    struct iovec left[8];
    if (n < 0 || (size_t)n > ARRAY_LEN(left)) // a frame is two: its length, and what it holds
        return fstrm_res_failure;
    memcpy(left, iov, (size_t)n * sizeof *iov);
    struct msghdr m = {.msg_iov = left, .msg_iovlen = (size_t)n};
    int64_t until = clock_mono_ms() + PATIENCE_MS;
    while (m.msg_iovlen) {
        ssize_t sent = sendmsg(d->fd, &m, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR && (errno != EAGAIN || !wait_for(d->fd, POLLOUT, until)))
            return fstrm_res_failure;
        for (; m.msg_iovlen && sent >= (ssize_t)m.msg_iov->iov_len; m.msg_iovlen--)
            sent -= (ssize_t)m.msg_iov++->iov_len;
        if (m.msg_iovlen && sent > 0) {
            m.msg_iov->iov_base = (uint8_t *)m.msg_iov->iov_base + sent;
            m.msg_iov->iov_len -= (size_t)sent;
        }
    }
    return fstrm_res_success;
}

// ---- the sink ----

static void disconnect(struct dnstap *d)
{
    static struct log_limit lim = LOG_LIMIT(60000);
    if (d->was_up)
        log_limited(&lim, LOG_WARN, "dns: the dnstap collector at %s has gone", d->path);
    d->was_up = false;
    // first: a broken stream is not ended in good order, which would wait for an answer
    tap_close(d);
    fstrm_writer_destroy(&d->writer);
    d->retry_ms = clock_mono_ms() + RETRY_MS;
}

static void try_connect(struct dnstap *d)
{
    if (d->writer || clock_mono_ms() < d->retry_ms)
        return;
    d->retry_ms = clock_mono_ms() + RETRY_MS;
    struct fstrm_writer_options *o = fstrm_writer_options_init();
    struct fstrm_rdwr *rdwr = fstrm_rdwr_init(d);
    fstrm_rdwr_set_open(rdwr, tap_open);
    fstrm_rdwr_set_close(rdwr, tap_close);
    fstrm_rdwr_set_read(rdwr, tap_read);
    fstrm_rdwr_set_write(rdwr, tap_write);
    fstrm_writer_options_add_content_type(o, content_type, sizeof content_type - 1);
    d->writer = fstrm_writer_init(o, &rdwr);
    fstrm_writer_options_destroy(&o);
    if (rdwr)
        fstrm_rdwr_destroy(&rdwr);
    if (!d->writer)
        return;
    if (fstrm_writer_open(d->writer) != fstrm_res_success) {
        disconnect(d);
        return;
    }
    d->was_up = true;
    log_info("dns: dnstap goes to the collector at %s", d->path);
}

static void send_one(struct dnstap *d, const struct dnstap_record *r, bool response)
{
    buf_clear(&d->message);
    dnstap_encode(r, response, d->identity, &d->message);
    if (d->writer && !d->message.err &&
        fstrm_writer_write(d->writer, d->message.p, d->message.n) == fstrm_res_success) {
        atomic_fetch_add_explicit(&n_written, 1, memory_order_relaxed);
        return;
    }
    atomic_fetch_add_explicit(&n_failed, 1, memory_order_relaxed);
    if (d->writer && !d->message.err)
        disconnect(d);
}

static void on_record(void *ctx, const void *p, size_t n)
{
    struct dnstap *d = ctx;
    const struct dnstap_record *r = p;
    (void)n;
    if (!d->writer) {
        atomic_fetch_add_explicit(&n_failed, r->response_n ? 2 : 1, memory_order_relaxed);
        return;
    }
    send_one(d, r, false);
    if (r->response_n)
        send_one(d, r, true);
}

// A collector says nothing once the stream runs: what is to be read is its end. Seen here, it costs
// no message.
static void check_peer(struct dnstap *d)
{
    int64_t now = clock_mono_ms();
    if (!d->writer || now < d->check_ms)
        return;
    d->check_ms = now + CHECK_MS;
    struct pollfd p = {.fd = d->fd, .events = POLLIN};
    if (poll(&p, 1, 0) > 0)
        disconnect(d);
}

static void on_turn(void *ctx)
{
    check_peer(ctx);
    try_connect(ctx);
}

static void on_reopen(void *ctx)
{
    struct dnstap *d = ctx;
    d->retry_ms = 0;
}

static void on_free(void *ctx)
{
    struct dnstap *d = ctx;
    if (d->writer)
        // says STOP, and waits for FINISH as long as tap_read does
        fstrm_writer_destroy(&d->writer);
    tap_close(d);
    buf_done(&d->message);
    free(d->path);
    free(d->identity);
    free(d);
}

static int start(const struct node_dns *settings, const struct metrics_names *names,
                 unsigned n_workers, struct diag *diag, struct sink **out)
{
    const struct node_dns_dnstap *o = &settings->dnstap;
    const char *identity = settings->nsid;
    (void)names;
    (void)diag;
    if (!o->socket)
        return 0;
    static const struct sink_ops ops = {
        .record = on_record, .turn = on_turn, .reopen = on_reopen, .free = on_free};
    struct dnstap *d = mem_zalloc(sizeof *d);
    if (!d)
        return ERR_NOMEM;
    d->fd = -1;
    buf_init(&d->message, MESSAGE_MAX);
    d->path = mem_strdup(o->socket);
    if (identity)
        d->identity = mem_strdup(identity);
    if (!d->path || (identity && !d->identity)) {
        on_free(d);
        return ERR_NOMEM;
    }
    return sink_start("dnstap", n_workers, o->buffer_bytes, &ops, d, out);
}

static unsigned every(const struct node_dns *settings)
{
    return settings->dnstap.sample;
}

const struct sink_kind dnstap_kind = {.name = "dnstap",
                                      .start = start,
                                      .every = every,
                                      .note = note,
                                      .written = dnstap_written,
                                      .failed = dnstap_failed};
