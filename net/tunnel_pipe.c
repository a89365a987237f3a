// SPDX-License-Identifier: Apache-2.0
// One tunnel: the edge's connection (near), the other region's (far), and a buffer each way. On the
// loop's thread.
//
// Invariants
//   1. A byte is read from one side only while the buffer towards the other is empty: who does not
//      read is not read for.
//   2. Nothing of the far side is handed on before its certificate was found good and pinned.
//   3. An answer of our own never follows bytes of an answer to the same request.
//   4. The edge's connection is never closed by us where it may ask again just now: it could not
//      tell that its request was not seen.
#include "net/tunnel_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURNS_MAX 8        // buffers moved before others have their turn
#define HEAD_WAIT_MS 10000 // for the first request line; the edge connects when it has one
#define KEEPALIVE_IDLE_S 4
#define KEEPALIVE_EVERY_S 2
// A region whose beats are heard is judged by them: one that reads nothing for a while, since its
// disk is busy, is not gone. Of one that was never heard TCP alone tells.
#define ACKNOWLEDGED_HEARD_MS 120000
#define ACKNOWLEDGED_UNKNOWN_MS 10000

// --- ends ---

static void end_close(struct tunnel_end *e)
{
    if (e->fd >= 0)
        close(e->fd);
    e->fd = -1;
    e->watched = false;
}

static void far_close(struct tunnel *t)
{
    if (t->ssl && t->state == TUNNEL_OPEN)
        SSL_shutdown(t->ssl); // says so if there is room, and waits for nothing
    SSL_free(t->ssl);
    ERR_clear_error();
    t->ssl = NULL;
    end_close(&t->far);
    t->far_over = true;
}

void tunnel_end_now(struct tunnel *t)
{
    struct tunnels *all = t->all;
    if (t->state == TUNNEL_DEAD)
        return;
    far_close(t);
    end_close(&t->near);
    t->state = TUNNEL_DEAD;
    if (t->prev)
        t->prev->next = t->next;
    else
        all->open = t->next;
    if (t->next)
        t->next->prev = t->prev;
    t->prev = NULL;
    t->next = all->dead; // events of this turn may still name it
    all->dead = t;
    all->n_open--;
}

// --- answers of our own ---

static void answer_put(struct tunnel *t, int status, const char *reason)
{
    const struct tunnels_options *o = &t->all->o;
    char body[640], id[33];
    uint8_t random[16];
    if (RAND_bytes(random, sizeof random) != 1)
        memset(random, 0, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(id + 2 * i, 3, "%02x", random[i]);
    int n = snprintf(body, sizeof body,
                     "{\"errors\":[{\"code\":\"UNAVAILABLE\",\"message\":\"this upload began in "
                     "region %s and goes on only "
                     "there; that region %s; try again, or begin the upload anew\"}]}",
                     *t->region ? t->region : "(none)", reason);
    assert(n > 0 && (size_t)n < sizeof body);
    t->down.from = 0;
    t->down.n = (size_t)snprintf(
        (char *)t->down.p, TUNNEL_BUFFER_BYTES,
        "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nRetry-After: "
        "5\r\nConnection: close\r\nX-Meridian-Region: %s\r\nX-Meridian-Stamp: %s\r\n"
        "X-Meridian-Request-Id: %s\r\n\r\n%s",
        status, status == 504 ? "Gateway Timeout" : "Service Unavailable", n, o->region, o->stamp,
        id, body);
}

// As if it were new: what the edge asks next is looked at from its first line on.
static void tunnel_rest(struct tunnel *t)
{
    t->state = TUNNEL_HEAD;
    t->talk = TUNNEL_RESTS;
    t->until_mono = 0;
    t->up.n = 0;
    t->far_broken = t->write_wants_read = t->read_wants_write = false;
    t->more = true;
}

void tunnel_fail(struct tunnel *t, int status, const char *reason)
{
    if (t->state == TUNNEL_DEAD || t->state == TUNNEL_LINGER)
        return;
    far_close(t);
    if (t->talk == TUNNEL_RESTS && !t->down.n) {
        tunnel_rest(t); // 4
        return;
    }
    if (t->talk != TUNNEL_ASKED || t->down.n) { // 3
        tunnel_end_now(t);
        return;
    }
    answer_put(t, status, reason);
    t->up.n = 0;
    t->state = TUNNEL_LINGER;
    t->until_mono = clock_mono_ms() + t->all->o.linger_ms;
    t->more = true;
}

void tunnel_expired(struct tunnel *t)
{
    static struct log_limit limit = LOG_LIMIT(5000);
    if (t->state == TUNNEL_CONNECT || t->state == TUNNEL_HANDSHAKE) {
        log_limited(&limit, LOG_WARN,
                    "edge: region %s: no connection within %u ms for an upload that is passed on",
                    t->region, t->all->o.connect_ms);
        tunnel_fail(t, 504, "did not take a connection in time");
        return;
    }
    tunnel_end_now(t);
}

// --- beginning ---

void tunnel_accepted(struct tunnels *all, int fd)
{
    struct tunnel *t = mem_zalloc(sizeof *t);
    uint8_t *both = NULL;
    if (t)
        both = mem_alloc(2 * TUNNEL_BUFFER_BYTES);
    if (!both) {
        free(t);
        close(fd);
        return;
    }
    *t = (struct tunnel){.all = all,
                         .next = all->open,
                         .state = TUNNEL_HEAD,
                         .until_mono = clock_mono_ms() + HEAD_WAIT_MS,
                         .up.p = both,
                         .down.p = both + TUNNEL_BUFFER_BYTES};
    t->near = (struct tunnel_end){.t = t, .fd = fd};
    t->far = (struct tunnel_end){.t = t, .fd = -1};
    if (t->next)
        t->next->prev = t;
    all->open = t;
    all->n_open++;
    tunnel_watch(&t->near, EPOLLIN);
}

// The region in the first request line: of "/v2/…/blobs/uploads/<region>.<hex>[?…]". ERR_BUSY: the
// line is not whole.
static int region_parse(const struct tunnel_bytes *b, char out[HOSTNAME_REGION_SIZE])
{
    const char *p = (const char *)b->p + b->from, *end = p + b->n;
    const char *target = memchr(p, ' ', b->n);
    const char *stop = NULL;
    if (target)
        stop = memchr(target + 1, ' ', (size_t)(end - target - 1));
    if (!stop) {
        if (b->n < TUNNEL_BUFFER_BYTES && !memchr(p, '\n', b->n))
            return ERR_BUSY;
        return ERR_PROTO;
    }
    target++;
    const char *query = memchr(target, '?', (size_t)(stop - target));
    const char *path_end = query;
    if (!path_end)
        path_end = stop;
    const char *slash = memrchr(target, '/', (size_t)(path_end - target));
    static const char before[] = "/blobs/uploads";
    size_t n_before = sizeof before - 1;
    if (!slash || (size_t)(slash - target) < n_before ||
        memcmp(slash - n_before, before, n_before) != 0)
        return ERR_PROTO;
    const char *dot = memchr(slash, '.', (size_t)(path_end - slash));
    size_t n = 0;
    if (dot)
        n = (size_t)(dot - slash - 1);
    if (!n || n >= HOSTNAME_REGION_SIZE)
        return ERR_PROTO;
    memcpy(out, slash + 1, n);
    out[n] = '\0';
    if (hostname_region_ok(out))
        return 0;
    return ERR_PROTO;
}

static void far_options(int fd, enum heard heard)
{
    int on = 1, idle = KEEPALIVE_IDLE_S, every = KEEPALIVE_EVERY_S;
    unsigned limit_ms = ACKNOWLEDGED_UNKNOWN_MS;
    if (heard == HEARD)
        limit_ms = ACKNOWLEDGED_HEARD_MS;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit_ms, sizeof limit_ms);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
}

static int far_connect(struct tunnel *t, const struct endpoint *to, enum heard heard)
{
    struct sockaddr_storage sa;
    memset(&sa, 0, sizeof sa);
    socklen_t n = endpoint_to_sockaddr(to, &sa);
    t->far.fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (t->far.fd < 0)
        return err_from_errno(errno);
    far_options(t->far.fd, heard);
    t->far_over = false;
    if (connect(t->far.fd, (struct sockaddr *)&sa, n) && errno != EINPROGRESS)
        return err_from_errno(errno);
    t->state = TUNNEL_CONNECT;
    t->until_mono = clock_mono_ms() + t->all->o.connect_ms;
    return 0;
}

static void head_came(struct tunnel *t)
{
    int rc = region_parse(&t->up, t->region);
    if (rc == ERR_BUSY)
        return;
    const struct topology *topology = snapshot_reader_get(&t->all->reader, t->all->o.topology);
    const struct region *to = NULL;
    if (!rc && topology)
        to = topology_region(topology, t->region);
    if (!to || strcmp(t->region, t->all->o.region) == 0) {
        if (!to)
            t->region[0] = '\0';
        tunnel_fail(t, 503, "is none of this service's other regions");
        return;
    }
    enum heard heard = tunnels_heard(t->all, t->region);
    if (heard == HEARD_AWAY)
        tunnel_fail(t, 503, "is silent");
    else if (far_connect(t, &to->peer, heard))
        tunnel_fail(t, 503, "cannot be reached");
}

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
        far_close(t);
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
    size_t n_head;
    if (end)
        n_head = (size_t)(end - p);
    else
        n_head = sizeof head;
    if (n_head >= sizeof head)
        return UINT64_MAX;
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
    if (n < t->answer_left)
        t->answer_left -= n;
    else
        t->answer_left -= t->answer_left;
    if (!t->answer_left)
        t->talk = TUNNEL_RESTS;
}

static bool far_read(struct tunnel *t)
{
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

static void interest_set(struct tunnel *t)
{
    if (t->state == TUNNEL_DEAD)
        return;
    bool takes = t->state == TUNNEL_HEAD || t->state == TUNNEL_LINGER || !t->up.n;
    tunnel_watch(&t->near, (takes ? EPOLLIN : 0u) | (t->down.n ? EPOLLOUT : 0u));
    if (t->far.fd < 0 || t->far_broken)
        return;
    bool reads = t->state == TUNNEL_HANDSHAKE || !t->down.n || t->write_wants_read;
    bool writes = t->state == TUNNEL_CONNECT || t->read_wants_write ||
                  (t->state == TUNNEL_OPEN && t->up.n && !t->write_wants_read);
    tunnel_watch(&t->far, (reads ? EPOLLIN : 0u) | (writes ? EPOLLOUT : 0u));
}

void tunnel_go_on(struct tunnel *t)
{
    t->more = false;
    if (t->state == TUNNEL_HEAD && near_read(t))
        head_came(t);
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
