// SPDX-License-Identifier: Apache-2.0
// A tunnel that runs: its bytes, both ways, and the states that they take it through. On the loop's
// thread.
#include "net/tunnel_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define TURNS_MAX 8 // buffers moved before others have their turn

// --- moving bytes; each returns whether something moved ---

static bool near_read(struct tunnel *t)
{
    if (t->up.n && t->state != TUNNEL_HEAD)
        return false; // 1
    size_t at = 0;
    if (t->state == TUNNEL_HEAD)
        at = t->up.n;
    ssize_t n = -1;
    if (at < TUNNEL_BUFFER_BYTES)
        n = recv(t->near.fd, t->up.p + at, TUNNEL_BUFFER_BYTES - at, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        tunnel_end_now(t); // the edge has hung up: nobody waits for an answer
        return false;
    }
    if (n < 0)
        return false;
    assert(at + (size_t)n <= TUNNEL_BUFFER_BYTES);
    t->up.from = 0;
    t->up.n = at + (size_t)n;
    t->talk = TUNNEL_ASKED;
    return true;
}

static bool near_write(struct tunnel *t)
{
    if (!t->down.n)
        return false;
    ssize_t n = send(t->near.fd, t->down.p + t->down.from, t->down.n, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        tunnel_end_now(t);
        return false;
    }
    if (n <= 0)
        return false;
    t->down.from += (size_t)n;
    t->down.n -= (size_t)n;
    return true;
}

static bool far_broke(struct tunnel *t, const char *reason)
{
    if (t->down.n) { // what came goes on first
        tunnel_far_close(t);
        return false;
    }
    tunnel_fail(t, 503, reason);
    return false;
}

static bool far_write(struct tunnel *t)
{
    if (!t->up.n || t->far_over)
        return false;
    ERR_clear_error();
    int n = SSL_write(t->ssl, t->up.p + t->up.from, (int)t->up.n);
    if (n > 0) {
        t->up.from += (size_t)n;
        t->up.n -= (size_t)n;
        t->write_wants_read = false;
        return true;
    }
    int why = SSL_get_error(t->ssl, n);
    t->write_wants_read = why == SSL_ERROR_WANT_READ;
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        return false;
    // It may have answered before it closed: what it said is read first.
    t->up.n = 0;
    return true;
}

// The length that an answer's head gives to its body; UINT64_MAX when it does not, or not in these
// bytes.
static uint64_t answer_length(const uint8_t *p, size_t n)
{
    char head[4096];
    const uint8_t *end = memmem(p, n, "\r\n\r\n", 4);
    if (!end || (size_t)(end - p) >= sizeof head)
        return UINT64_MAX;
    size_t n_head = (size_t)(end - p);
    memcpy(head, p, n_head);
    head[n_head] = '\0';
    const char *status = strchr(head, ' '), *length = strcasestr(head, "\r\nContent-Length:");
    if (status && strncmp(status, " 204", 4) == 0)
        return n_head + 4;
    if (!status || status[1] == '1' || !length)
        return UINT64_MAX;
    unsigned long long body = strtoull(length + 17, NULL, 10);
    if (body < UINT64_MAX / 2)
        return n_head + 4 + body;
    return UINT64_MAX;
}

// `n` bytes of an answer stand in `down`.
static void answer_follow(struct tunnel *t, size_t n)
{
    if (t->talk == TUNNEL_ASKED)
        t->answer_left = answer_length(t->down.p, n);
    t->talk = TUNNEL_ANSWERING;
    if (t->answer_left == UINT64_MAX)
        return;
    if (n < t->answer_left) {
        t->answer_left -= n;
        return;
    }
    t->answer_left = 0;
    t->talk = TUNNEL_RESTS;
}

static bool far_read(struct tunnel *t)
{
    assert(t->state == TUNNEL_OPEN); // 2: pinned
    if (t->down.n || t->far_over)
        return false; // 1
    ERR_clear_error();
    int n = SSL_read(t->ssl, t->down.p, TUNNEL_BUFFER_BYTES);
    if (n > 0) {
        t->down.from = 0;
        t->down.n = (size_t)n;
        t->read_wants_write = false;
        answer_follow(t, (size_t)n);
        t->answered_mono = clock_mono_ms();
        return true;
    }
    int why = SSL_get_error(t->ssl, n);
    t->read_wants_write = why == SSL_ERROR_WANT_WRITE;
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        return false;
    return far_broke(t, "closed the connection without an answer");
}

// --- states ---

static void connect_done(struct tunnel *t)
{
    int err = 0;
    socklen_t n = sizeof err;
    if (getsockopt(t->far.fd, SOL_SOCKET, SO_ERROR, &err, &n) || err) {
        tunnel_fail(t, err == ETIMEDOUT ? 504 : 503, "cannot be reached");
        return;
    }
    t->state = TUNNEL_HANDSHAKE;
    if (tunnel_tls_begin(t))
        tunnel_fail(t, 503, "cannot be asked: this region's own peer certificate cannot be used");
    else
        t->more = true;
}

static void not_believed(struct tunnel *t, const char *why)
{
    static struct log_limit limit = LOG_LIMIT(5000);
    log_limited(&limit, LOG_WARN, "edge: region %s: its peer listener is not believed: %s",
                t->region, why);
    tunnel_fail(t, 503, "did not prove that it is that region");
}

static void handshake_go_on(struct tunnel *t)
{
    ERR_clear_error();
    int n = SSL_do_handshake(t->ssl);
    if (n == 1) {
        const struct topology *topology = snapshot_reader_get(&t->all->reader, t->all->o.topology);
        if (!tunnel_tls_pinned(t, topology)) { // 2
            not_believed(t, "its certificate is not one that the topology pins");
            return;
        }
        t->state = TUNNEL_OPEN;
        t->until_mono = 0;
        t->more = true;
        return;
    }
    int why = SSL_get_error(t->ssl, n);
    t->read_wants_write = why == SSL_ERROR_WANT_WRITE;
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        return;
    bool hung_up = why == SSL_ERROR_SSL &&
                   ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    if (hung_up || why == SSL_ERROR_SYSCALL || why == SSL_ERROR_ZERO_RETURN)
        tunnel_fail(t, 503, "closed the connection at once");
    else
        not_believed(t, tunnel_tls_why(t));
}

static void open_go_on(struct tunnel *t)
{
    bool moved = true;
    for (int i = 0; moved && i < TURNS_MAX && t->state == TUNNEL_OPEN; i++) {
        moved = near_read(t);
        if (t->state == TUNNEL_OPEN)
            moved |= far_write(t);
        if (t->state == TUNNEL_OPEN)
            moved |= far_read(t);
        if (t->state == TUNNEL_OPEN)
            moved |= near_write(t);
    }
    if (t->state == TUNNEL_OPEN && t->far_over && !t->down.n)
        tunnel_fail(t, 503, "closed the connection without an answer");
    if (t->state == TUNNEL_OPEN)
        t->more = moved;
}

// Our answer goes out; what the edge still sends is read and dropped, for a socket closed with
// unread bytes is an error to the other side before it has read the answer.
static void linger_go_on(struct tunnel *t)
{
    bool had = t->down.n;
    near_write(t);
    if (had && t->state == TUNNEL_LINGER && !t->down.n)
        shutdown(t->near.fd, SHUT_WR);
    for (int i = 0; i < TURNS_MAX && t->state == TUNNEL_LINGER && near_read(t); i++)
        t->up.n = 0;
}

static uint32_t near_interest(const struct tunnel *t)
{
    uint32_t events = 0;
    if (t->state == TUNNEL_HEAD || t->state == TUNNEL_LINGER || !t->up.n)
        events |= EPOLLIN;
    if (t->down.n)
        events |= EPOLLOUT;
    return events;
}

static uint32_t far_interest(const struct tunnel *t)
{
    uint32_t events = 0;
    bool sends = t->state == TUNNEL_OPEN && t->up.n && !t->write_wants_read;
    if (t->state == TUNNEL_HANDSHAKE || !t->down.n || t->write_wants_read)
        events |= EPOLLIN;
    if (t->state == TUNNEL_CONNECT || t->read_wants_write || sends)
        events |= EPOLLOUT;
    return events;
}

static void interest_set(struct tunnel *t)
{
    if (t->state == TUNNEL_DEAD)
        return;
    tunnel_watch(&t->near, near_interest(t));
    if (t->far.fd >= 0 && !t->far_broken)
        tunnel_watch(&t->far, far_interest(t));
}

void tunnel_go_on(struct tunnel *t)
{
    t->more = false;
    if (t->state == TUNNEL_HEAD && near_read(t))
        tunnel_head_came(t);
    else if (t->state == TUNNEL_HANDSHAKE)
        handshake_go_on(t);
    else if (t->state == TUNNEL_OPEN)
        open_go_on(t);
    else if (t->state == TUNNEL_LINGER)
        linger_go_on(t);
    interest_set(t);
}

void tunnel_event(struct tunnel_end *e, uint32_t events)
{
    struct tunnel *t = e->t;
    if (t->state == TUNNEL_DEAD || e->fd < 0)
        return;
    bool broke = events & (EPOLLHUP | EPOLLERR);
    if (e == &t->near && broke) { // the edge has hung up, and read what it wanted
        tunnel_end_now(t);
        return;
    }
    if (t->state == TUNNEL_CONNECT && e == &t->far)
        connect_done(t);
    // A far end that broke is told of without end, whatever is asked: what is left of it is read as
    // room comes.
    if (e == &t->far && broke && t->state == TUNNEL_OPEN) {
        tunnel_unwatch(e);
        t->far_broken = true;
    }
    tunnel_go_on(t);
}
