// SPDX-License-Identifier: Apache-2.0
// One try of a question at one upstream: its socket, what is sent, what comes back, and the next try
// when it fails. See forward_priv.h.
#include "resolver/forward/forward_priv.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define UDP_IN_BYTES 4096
// packets that do not match; then the question is asked over TCP, which is harder to forge
#define FORGED_MAX 16
#define PORT_TRIES 4

// Is a socket that is connected to `to` connected to ourselves?
static bool is_loop(const struct forwarder *f, int fd, const struct endpoint *to)
{
    static const struct ip any_v6, any_v4 = {{[10] = 0xff, [11] = 0xff}};
    struct sockaddr_storage sa;
    socklen_t n = sizeof sa;
    struct endpoint local;
    bool here = ip_is_v4(&to->ip) && to->ip.b[12] == 127;
    if (!getsockname(fd, (struct sockaddr *)&sa, &n) &&
        !endpoint_from_sockaddr((struct sockaddr *)&sa, n, &local))
        here = here || ip_equal(&local.ip, &to->ip);
    for (size_t i = 0; i < f->n_own; i++) {
        const struct endpoint *own = &f->own[i];
        bool any = ip_equal(&own->ip, &any_v6) || ip_equal(&own->ip, &any_v4);
        if (own->port != to->port)
            continue;
        if (ip_equal(&own->ip, &to->ip) || (any && here))
            return true;
    }
    return false;
}

// From a random port: with the id, 32 bits or so that a forger has to guess (RFC 5452 section 9.2).
static void bind_random(int fd, int family)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    uint16_t port[PORT_TRIES];
    if (random_bytes(port, sizeof port))
        return; // then the kernel chooses when it connects
    for (int i = 0; i < PORT_TRIES; i++) {
        v4.sin_port = v6.sin6_port = htons((uint16_t)(1024 + port[i] % (65536 - 1024)));
        int rc;
        if (family == AF_INET)
            rc = bind(fd, (struct sockaddr *)&v4, sizeof v4);
        else
            rc = bind(fd, (struct sockaddr *)&v6, sizeof v6);
        if (!rc)
            return;
    }
}

// What epoll says of a slot's socket: its number, and which of its sockets it is (invariant 3).
static uint64_t event_id(const struct forwarder *f, const struct slot *s)
{
    return (uint64_t)s->generation << 32 | (uint64_t)(s - f->slots);
}

static int open_socket(struct forwarder *f, struct slot *s, const struct endpoint *to, int type)
{
    static struct log_limit lim = LOG_LIMIT(60000);
    struct sockaddr_storage sa;
    char text[ENDPOINT_TEXT_SIZE];
    socklen_t n = endpoint_to_sockaddr(to, &sa);
    s->fd = socket(sa.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        return err_from_errno(errno);
    bind_random(s->fd, sa.ss_family);
    if (connect(s->fd, (struct sockaddr *)&sa, n) && errno != EINPROGRESS)
        return err_from_errno(errno);
    if (is_loop(f, s->fd, to)) {
        log_limited(&lim, LOG_ERROR,
                    "dns: view %s: the upstream %s is this server: a loop; it is not asked",
                    s->ask.view, endpoint_format(to, text));
        return ERR_INVAL;
    }
    struct epoll_event ev = {.events = type == SOCK_STREAM ? EPOLLOUT : EPOLLIN,
                             .data.u64 = event_id(f, s)};
    if (epoll_ctl(f->epoll, EPOLL_CTL_ADD, s->fd, &ev))
        return err_from_errno(errno);
    return 0;
}

// A new id and, if wanted, new letters for each try.
static int write_query(struct slot *s)
{
    uint8_t mix[DNS_NAME_MAX] = {0};
    uint16_t id;
    int rc = random_bytes(&id, sizeof id);
    if (!rc && s->ask.settings.mix_case)
        rc = random_bytes(mix, sizeof mix);
    if (rc)
        return rc;
    s->sent_n = forward_message_query(&s->ask.query, id, mix, s->sent + 2);
    s->sent[0] = (uint8_t)(s->sent_n >> 8);
    s->sent[1] = (uint8_t)s->sent_n;
    return 0;
}

static void set_deadline(struct slot *s, int64_t now, uint32_t ms)
{
    if (now + ms < s->give_up_ms)
        s->try_until_ms = now + ms;
    else
        s->try_until_ms = s->give_up_ms;
}

void upstream_failed(struct forwarder *f, struct slot *s)
{
    const struct endpoint *at = &s->ask.settings.upstreams[s->upstream];
    char text[ENDPOINT_TEXT_SIZE];
    static struct log_limit lim = LOG_LIMIT(10000);
    slot_close(f, s);
    if (upstreams_failed(&f->upstreams, at, clock_mono_ms()))
        log_limited(&lim, LOG_WARN, "dns: view %s: the upstream %s does not answer", s->ask.view,
                    endpoint_format(at, text));
}

static int try_udp(struct forwarder *f, struct slot *s, const struct endpoint *to)
{
    int rc = write_query(s);
    if (rc)
        return rc;
    rc = open_socket(f, s, to, SOCK_DGRAM);
    if (rc)
        return rc;
    if (send(s->fd, s->sent + 2, s->sent_n, MSG_NOSIGNAL) < 0)
        return err_from_errno(errno);
    return 0;
}

// Asks until one can be asked, or gives up.
void ask_next(struct forwarder *f, struct slot *s)
{
    const struct view_forward *v = &s->ask.settings;
    for (;;) {
        int64_t now = clock_mono_ms();
        if (s->tries >= FORWARD_TRIES || now >= s->give_up_ms) {
            slot_fail(f, s);
            return;
        }
        s->upstream = (int)upstreams_choose(&f->upstreams, v->upstreams, v->n_upstreams,
                                            s->upstream, s->refused, now);
        s->tries++;
        s->forged = 0;
        if (!try_udp(f, s, &v->upstreams[s->upstream])) {
            set_deadline(s, now, v->timeout_ms);
            return;
        }
        s->network_error = true;
        upstream_failed(f, s);
    }
}

// The same upstream over TCP: its answer is too long for a datagram, or somebody forges some.
static void ask_tcp(struct forwarder *f, struct slot *s)
{
    const struct endpoint *to = &s->ask.settings.upstreams[s->upstream];
    slot_close(f, s);
    if (f->n_tcp < FORWARD_TCP_MAX)
        s->tcp = mem_alloc(FORWARD_TCP_BYTES);
    if (s->tcp) {
        f->n_tcp++;
        s->tcp_in = s->tcp_out = 0;
        if (!write_query(s) && !open_socket(f, s, to, SOCK_STREAM)) {
            set_deadline(s, clock_mono_ms(), 2 * s->ask.settings.timeout_ms);
            return;
        }
    }
    s->network_error = true;
    upstream_failed(f, s);
    ask_next(f, s);
}

// Returns false when the slot goes on waiting for another packet.
static bool take_message(struct forwarder *f, struct slot *s, const uint8_t *got, size_t n)
{
    bool tcp = s->tcp;
    switch (forward_message_judge(&s->ask.query, s->sent + 2, s->sent_n, got, n,
                                  s->ask.settings.mix_case, tcp)) {
    case FORWARD_ANSWER:
        upstreams_good(&f->upstreams, &s->ask.settings.upstreams[s->upstream], clock_mono_ms());
        slot_answer(f, s, got, n);
        return true;
    case FORWARD_TRUNCATED:
        ask_tcp(f, s);
        return true;
    case FORWARD_NOT_OURS:
        forward_count(&f->ignored);
        if (!tcp && ++s->forged < FORGED_MAX)
            return false;
        if (!tcp) {
            ask_tcp(f, s);
            return true;
        }
        break;
    case FORWARD_FAILED:
        break;
    }
    s->network_error = false;
    if (tcp) {
        upstream_failed(f, s);
    } else { // it is there: another may know better
        upstreams_good(&f->upstreams, &s->ask.settings.upstreams[s->upstream], clock_mono_ms());
        slot_close(f, s);
        s->refused |= (uint8_t)(1u << s->upstream);
    }
    if (s->refused == (1u << s->ask.settings.n_upstreams) - 1)
        slot_fail(f, s);
    else
        ask_next(f, s);
    return true;
}

static void on_udp(struct forwarder *f, struct slot *s)
{
    uint8_t got[UDP_IN_BYTES];
    for (;;) {
        ssize_t n = recv(s->fd, got, sizeof got, MSG_TRUNC);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
            return;
        if (n < 0) { // nobody listens there
            s->network_error = true;
            upstream_failed(f, s);
            ask_next(f, s);
            return;
        }
        if ((size_t)n > sizeof got)
            n = 0; // far more than we said we take
        if (take_message(f, s, got, (size_t)n))
            return;
    }
}

static int tcp_send(struct forwarder *f, struct slot *s)
{
    while (s->tcp_out < 2 + s->sent_n) {
        ssize_t n = send(s->fd, s->sent + s->tcp_out, 2 + s->sent_n - s->tcp_out, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
                return 0;
            return err_from_errno(errno);
        }
        s->tcp_out += (size_t)n;
    }
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = event_id(f, s)};
    if (epoll_ctl(f->epoll, EPOLL_CTL_MOD, s->fd, &ev))
        return err_from_errno(errno);
    return 0;
}

// 0: more is to come; the frame's length: it is whole. Negative: broken.
static ssize_t tcp_receive(struct slot *s)
{
    size_t want = 2;
    if (s->tcp_in >= 2)
        want += (size_t)s->tcp[0] << 8 | s->tcp[1];
    while (s->tcp_in < want) {
        ssize_t n = recv(s->fd, s->tcp + s->tcp_in, want - s->tcp_in, 0);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
            return 0;
        if (n <= 0)
            return -1;
        s->tcp_in += (size_t)n;
        if (s->tcp_in == 2)
            want += (size_t)s->tcp[0] << 8 | s->tcp[1];
    }
    if ((ssize_t)want - 2 >= DNS_HEADER_BYTES)
        return (ssize_t)want - 2;
    return -1;
}

static void on_tcp(struct forwarder *f, struct slot *s)
{
    ssize_t n = 0;
    int rc = 0;
    if (s->tcp_out < 2 + s->sent_n)
        rc = tcp_send(f, s);
    if (!rc && s->tcp_out == 2 + s->sent_n)
        n = tcp_receive(s);
    if (rc || n < 0) {
        s->network_error = true;
        upstream_failed(f, s);
        ask_next(f, s);
    } else if (n > 0) {
        (void)take_message(f, s, s->tcp + 2, (size_t)n);
    }
}

void attempt_event(struct forwarder *f, uint64_t id)
{
    struct slot *s = &f->slots[id & 0xffffffff];
    if ((uint32_t)(id >> 32) != s->generation || s->fd < 0)
        return; // of a socket that was closed in this very turn
    if (s->tcp)
        on_tcp(f, s);
    else
        on_udp(f, s);
}
