// SPDX-License-Identifier: Apache-2.0
// DNS over TCP (RFC 7766) and over TLS (RFC 7858; resolver/serve/dot.h has the TLS): pipelined
// queries in length-prefixed frames, answered as they come, those that must wait later (section
// 6.2.1.1); partial reads and writes; a client that closes its side still gets its answers.
// Ceilings: connections per worker and per client, one frame in, two responses out, idle time, time
// for a handshake and to take a response; who does not read is not read from. On the worker's
// thread.
#include "resolver/serve/server_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "resolver/answer/transfer.h"
#include "resolver/packet/proxied.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_PER_EVENT 32
#define ROUNDS_PER_EVENT 16 // then others have their turn; epoll reports what is left

// A refusal is no transfer: who may have none must not take the place of one who may.
static size_t counts_as(const struct conn *c)
{
    return transfer_rcode(c->transfer) == 0;
}

static void transfer_end(struct worker *w, struct conn *c)
{
    w->n_transfers -= counts_as(c);
    transfer_free(c->transfer);
    c->transfer = NULL;
}

static void conn_close(struct worker *w, struct conn *c)
{
    while (c->parked)
        wait_queue_leave(w, c->parked);
    if (c->transfer)
        transfer_end(w, c);
    if (c->tls && !c->opened)
        counter_add(&w->n.tls_failed, 1);
    dot_session_free(c->tls);
    // Not left to close: while a child between fork and exec has the socket too, epoll would go on
    // naming `c`.
    (void)epoll_ctl(w->epoll, EPOLL_CTL_DEL, c->fd, NULL);
    close(c->fd);
    if (c->prev)
        c->prev->next = c->next;
    else
        w->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    w->n_conns--;
    counter_add(&w->n.tcp_open, (uint64_t)-1);
    free(c);
}

// The same client, as far as a limit is concerned: who has one IPv6 address may well have 256
// networks, a /56 of them.
static bool same_client(const struct ip *a, const struct ip *b)
{
    return !memcmp(a->b, b->b, ip_is_v4(a) ? 16 : 7);
}

// Of all, or (`of` not NULL) of one client; not `but`.
static void close_longest_idle(struct worker *w, const struct ip *of, const struct conn *but)
{
    struct conn *oldest = NULL;
    for (struct conn *c = w->conns; c; c = c->next) {
        if (c == but)
            continue;
        if (of && !same_client(&c->remote.ip, of))
            continue;
        if (!oldest || c->progress_ms <= oldest->progress_ms)
            oldest = c;
    }
    if (!oldest)
        return;
    conn_close(w, oldest);
    counter_add(&w->n.tcp_evicted, 1);
}

// A client's connections beyond its share. A trusted proxy's count as its own until it has said
// whose they are.
static bool keep_share(struct worker *w, const struct conn *of)
{
    size_t n = 0;
    for (const struct conn *c = w->conns; c; c = c->next)
        n += c != of && same_client(&c->remote.ip, &of->remote.ip);
    if (n < w->settings->tcp.per_client)
        return true;
    close_longest_idle(w, &of->remote.ip, of);
    return false;
}

static void make_room(struct worker *w, const struct conn *of)
{
    if (!of->trusted && !keep_share(w, of))
        return;
    if (w->n_conns >= w->settings->tcp.connections)
        close_longest_idle(w, NULL, of);
}

// NULL is fine for plain TCP. -1: no certificate yet, or no memory.
static int open_tls(struct worker *w, const struct bound *b, int fd, struct dot_session **out)
{
    struct dot_identity *id = NULL;
    if (b->tls)
        id = snapshot_reader_get(&w->identity, w->identity_cell);
    if (id)
        *out = dot_session_new(id, fd);
    else
        *out = NULL;
    if (b->tls && !*out)
        return -1;
    return 0;
}

static int conn_open(struct worker *w, const struct bound *b, int fd)
{
    struct sockaddr_storage local, remote;
    socklen_t n_local = sizeof local, n_remote = sizeof remote;
    struct conn *c = mem_alloc(sizeof *c); // big, and mostly never touched: not zeroed
    if (!c)
        return -1;
    memset(c, 0, offsetof(struct conn, in));
    c->kind = SOURCE_CONN;
    c->fd = fd;
    c->events = EPOLLIN;
    c->progress_ms = c->begun_ms = clock_mono_ms();
    struct epoll_event ev = {.events = c->events, .data.ptr = c};
    if (getsockname(fd, (struct sockaddr *)&local, &n_local) ||
        getpeername(fd, (struct sockaddr *)&remote, &n_remote) ||
        endpoint_from_sockaddr((struct sockaddr *)&local, n_local, &c->local) ||
        endpoint_from_sockaddr((struct sockaddr *)&remote, n_remote, &c->remote) ||
        open_tls(w, b, fd, &c->tls) || epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &ev)) {
        dot_session_free(c->tls);
        free(c);
        return -1;
    }
    c->fresh = true;
    c->trusted = worker_trusts(w, &c->remote.ip);
    make_room(w, c);
    c->next = w->conns;
    if (c->next)
        c->next->prev = c;
    w->conns = c;
    w->n_conns++;
    counter_add(&w->n.tcp_open, 1);
    return 0;
}

// Without descriptors or memory for one more: that passes.
static bool is_want_of_room(int e)
{
    return e == EMFILE || e == ENFILE || e == ENOBUFS || e == ENOMEM;
}

// Connections closed in an event might still be named by a later event of the same epoll turn: the
// worker therefore asks for one event at a time where TCP is concerned (see worker_main).
void tcp_accept(struct worker *w, const struct bound *b)
{
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        int fd = accept4(b->tcp, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EINTR || errno == ECONNABORTED)
                continue;
            if (is_want_of_room(errno))
                worker_pause_accept(w);
            return;
        }
        if (conn_open(w, b, fd))
            close(fd);
    }
}

// Bytes taken; 0: not now; -1: the connection is broken.
static ssize_t put_some(struct conn *c)
{
    const uint8_t *p = c->out + c->out_at;
    size_t n = c->out_n - c->out_at;
    ssize_t got;
    if (c->tls) {
        got = dot_write(c->tls, p, n);
        if (got == DOT_WAIT)
            return 0;
        if (got > 0)
            return got;
        return -1;
    }
    do
        got = send(c->fd, p, n, MSG_NOSIGNAL);
    while (got < 0 && errno == EINTR);
    if (got >= 0)
        return got;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return 0;
    return -1;
}

// false: the connection is broken.
static bool flush(struct conn *c)
{
    while (c->out_at < c->out_n) {
        ssize_t n = put_some(c);
        if (n <= 0)
            return n == 0;
        c->out_at += (size_t)n;
        c->progress_ms = clock_mono_ms();
    }
    c->out_at = c->out_n = 0;
    return true;
}

// Is there room for one more response?
static bool out_room(const struct conn *c)
{
    return c->out_n + 2 + ANSWER_TCP_MAX <= sizeof c->out;
}

// A response of n bytes stands 2 past the end of what is to be sent.
static void out_add(struct conn *c, size_t n)
{
    uint8_t *out = c->out + c->out_n;
    c->progress_ms = clock_mono_ms();
    if (c->out_n == 0)
        c->out_since_ms = c->progress_ms;
    out[0] = (uint8_t)(n >> 8);
    out[1] = (uint8_t)n;
    c->out_n += 2 + n;
}

static bool has_frame(const struct conn *c)
{
    return !c->fresh && !c->transfer && c->n_parked < PENDING_PER_CONN && c->in_n >= 2 &&
           c->in_n >= 2u + ((size_t)c->in[0] << 8 | c->in[1]);
}

// One message of a zone on its way, if there is room. -1: the client must go: what it has is not
// whole.
static int answer_transfer(struct worker *w, struct conn *c)
{
    if (!c->transfer || !out_room(c) || c->out_n)
        return 0;
    size_t n = transfer_next(c->transfer, c->out + 2, ANSWER_TCP_MAX, w->context.now_s);
    if (n > 0) {
        out_add(c, n);
        return 1;
    }
    int rc = -1;
    if (!transfer_failed(c->transfer))
        rc = 1;
    transfer_end(w, c);
    return rc;
}

static int transfer_start(struct worker *w, struct conn *c, const uint8_t *query, size_t n)
{
    int rc = transfer_begin(&w->context, query, n, w->n_transfers >= TRANSFERS_MAX, &c->transfer);
    if (rc)
        return -1;
    w->n_transfers += counts_as(c);
    return 0;
}

// Takes the PROXY header off, with which a trusted proxy's connection begins. From anybody else it
// ends the connection. 1: queries follow; 0: not all of it is there yet; -1: the client must go.
static int take_header(struct worker *w, struct conn *c)
{
    struct proxied who;
    if (!proxied_begins(c->in, c->in_n)) {
        c->fresh = false;
        c->unproxied = c->trusted;
        counter_add(&w->n.unproxied, c->trusted);
        return 1;
    }
    int rc = proxied_parse(c->in, c->in_n, &who);
    if (rc == ERR_TRUNC)
        return 0;
    if (!c->trusted)
        return -1;
    counter_add(rc ? &w->n.unproxied : &w->n.proxied, 1);
    if (rc)
        return -1;
    c->fresh = false;
    c->in_n -= who.n;
    memmove(c->in, c->in + who.n, c->in_n);
    if (!who.local) {
        c->remote = who.client;
        (void)keep_share(w, c);
    }
    return 1;
}

// One whole frame, if there is one and room for its answer. -1: the client must go.
static int answer_frame(struct worker *w, struct conn *c)
{
    if (c->in_n < 2 || !out_room(c))
        return 0;
    int rc = 1;
    if (c->fresh)
        rc = take_header(w, c);
    if (rc <= 0)
        return rc;
    if (c->in_n < 2)
        return 0;
    size_t len = (size_t)c->in[0] << 8 | c->in[1];
    if (len < 12 || len > TCP_IN_BYTES)
        return -1; // no header, or no query of this zone: nothing to resynchronise on
    if (!has_frame(c))
        return 0;
    const struct asked from = {.transport = c->tls ? ANSWER_TLS : ANSWER_TCP,
                               .local = c->local,
                               .remote = c->remote,
                               .unproxied = c->unproxied,
                               .conn = c};
    struct answer_info info;
    size_t n =
        worker_answer(w, &from, NULL, c->in + 2, len, c->out + c->out_n + 2, ANSWER_TCP_MAX, &info);
    counter_add(&w->n.tcp_queries, 1);
    if (n == 0 && !info.pending && (!info.transfer || transfer_start(w, c, c->in + 2, len)))
        return -1; // a response sent to us
    if (n > 0)
        out_add(c, n);
    c->in_n -= 2 + len;
    memmove(c->in, c->in + 2 + len, c->in_n);
    return 1;
}

// A query that waited and need not any more, if there is room. 1: one was answered.
static int answer_parked(struct worker *w, struct conn *c)
{
    for (struct pending_query *p = c->parked, *next; p && out_room(c); p = next) {
        size_t n;
        next = p->conn_next;
        if (p->news && wait_queue_answer(w, p, c->out + c->out_n + 2, ANSWER_TCP_MAX, &n) && n > 0)
            out_add(c, n);
    }
    for (const struct pending_query *p = c->parked; p; p = p->conn_next)
        if (p->news)
            return 1;
    return 0;
}

// As recv; -1: not now; -2: broken.
static ssize_t get_some(struct worker *w, struct conn *c)
{
    uint8_t *p = c->in + c->in_n;
    size_t n = sizeof c->in - c->in_n;
    if (c->tls) {
        ssize_t got = dot_read(c->tls, p, n);
        if (!c->opened && dot_is_open(c->tls)) {
            c->opened = true;
            counter_add(&w->n.tls_opened, 1);
        }
        if (got == DOT_WAIT)
            return -1;
        if (got == DOT_BROKEN)
            return -2;
        return got;
    }
    ssize_t got = recv(c->fd, p, n, 0);
    if (got >= 0)
        return got;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return -1;
    return -2;
}

// 1: something came in; 0: not now, or at its end; -1: broken.
static int fill(struct worker *w, struct conn *c)
{
    if (c->eof || c->in_n == sizeof c->in)
        return 0;
    ssize_t n = get_some(w, c);
    if (n > 0)
        c->in_n += (size_t)n;
    c->eof = n == 0;
    if (n == -2)
        return -1;
    return n > 0;
}

static int answer_all(struct worker *w, struct conn *c)
{
    int rc;
    bool more;
    do {
        more = answer_parked(w, c);
        while ((rc = answer_frame(w, c)) > 0)
            ;
        if (rc < 0 || answer_transfer(w, c) < 0 || !flush(c))
            return -1;
        // Room again and something to answer: go on without asking the socket. Not so a zone on its
        // way: one message, and then others have their turn.
    } while (c->out_n == 0 && !c->transfer && (more || has_frame(c)));
    return 0;
}

static uint32_t events_of(const struct conn *c)
{
    bool reads = !c->eof && c->n_parked < PENDING_PER_CONN;
    if (c->tls && !c->opened) {
        if (dot_wants_write(c->tls))
            return EPOLLOUT;
        return EPOLLIN;
    }
    if (c->out_n || c->transfer)
        return EPOLLOUT;
    // What TLS has decrypted ahead no socket reports: one that can be written to does so at once.
    if (!reads)
        return 0;
    if (c->tls && dot_has_more(c->tls))
        return EPOLLIN | EPOLLOUT;
    return EPOLLIN;
}

static int watch(struct worker *w, struct conn *c)
{
    uint32_t events = events_of(c);
    if (events == c->events)
        return 0;
    c->events = events;
    struct epoll_event ev = {.events = events, .data.ptr = c};
    return epoll_ctl(w->epoll, EPOLL_CTL_MOD, c->fd, &ev);
}

// Does the connection wait for something other than its client's next bytes?
static bool is_held(const struct conn *c)
{
    return c->out_n || c->transfer || c->n_parked >= PENDING_PER_CONN;
}

// The client has said all that it will, and has got all that it asked for.
static bool has_ended(const struct conn *c)
{
    return c->eof && c->out_n == 0 && !c->parked && !c->transfer;
}

// Answers what has come, and reads more, a bounded number of times. False: it is broken.
static bool serve_rounds(struct worker *w, struct conn *c, uint32_t events)
{
    if (events & (EPOLLERR | EPOLLHUP))
        return false; // nothing can be sent any more
    if (!flush(c))
        return false;
    for (int i = 0; i < ROUNDS_PER_EVENT; i++) {
        if (answer_all(w, c))
            return false;
        if (is_held(c))
            return true;
        int rc = fill(w, c);
        if (rc <= 0)
            return rc == 0;
    }
    return !answer_all(w, c); // what the last round read
}

void tcp_event(struct worker *w, struct conn *c, uint32_t events)
{
    if (!serve_rounds(w, c, events) || has_ended(c) || watch(w, c))
        conn_close(w, c);
}

void tcp_sweep(struct worker *w)
{
    int64_t now = clock_mono_ms(), idle_ms = w->settings->tcp.idle_ms;
    if (w->yield_until_ms)
        idle_ms = TCP_YIELD_IDLE_MS;
    for (struct conn *c = w->conns, *next; c; c = next) {
        next = c->next;
        bool slow_handshake = c->tls && !c->opened && now - c->begun_ms > TLS_HANDSHAKE_MS;
        bool slow_reader = c->out_n && now - c->out_since_ms > TCP_DRAIN_MS;
        bool idle = now - c->progress_ms > idle_ms;
        if (slow_handshake || slow_reader || idle)
            conn_close(w, c);
    }
}

void tcp_close_all(struct worker *w)
{
    while (w->conns)
        conn_close(w, w->conns);
}
