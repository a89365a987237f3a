// SPDX-License-Identifier: Apache-2.0
// The forwarder; see forward.h.
//
// Invariants
// 1. A slot is active if and only if its number stands in `active`, once.
// 2. An active slot has a ticket that was held and not yet answered; it is answered exactly once,
//    when the slot is given back.
// 3. A slot has at most one socket; an event is of it only if the generation in the event is the
//    slot's.
#include "resolver/forward/forward.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "resolver/forward/upstreams.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define UDP_IN_BYTES 4096
#define TCP_BYTES (2 + 65535)
// packets that do not match; then the question is asked over TCP, which is harder to forge
#define FORGED_MAX 16
#define PORT_TRIES 4
#define EVENTS 64
#define WAKE UINT64_MAX

struct ask { // as a worker hands it over
    char view[64];
    struct ip client;
    // a copy: the topology may go; `names` is not looked at
    struct view_forward settings;
    struct forward_query query;
    struct pending_ticket ticket;
};

struct slot {
    struct ask ask;
    // -1: none
    int fd;
    uint32_t generation;
    // place in `active`
    size_t at;
    int upstream;
    // upstreams, by number, that answered that they cannot
    uint8_t refused;
    unsigned tries, forged;
    // the last failure was one
    bool network_error;
    int64_t try_until_ms, give_up_ms;
    // behind the length that TCP needs
    uint8_t sent[2 + FORWARD_QUERY_BYTES];
    // without it
    size_t sent_n;
    // TCP_BYTES; NULL: over UDP
    uint8_t *tcp;
    size_t tcp_out, tcp_in;
};

struct forwarder {
    pthread_t thread;
    int epoll, wake;
    struct endpoint *own;
    size_t n_own;
    // of the queue
    pthread_mutex_t lock;
    struct ask queue[FORWARD_QUEUE];
    size_t queue_at, queue_n;
    bool stopping;
    // The thread's own.
    struct slot slots[FORWARD_MAX];
    // the first n_active; the others are free
    uint32_t active[FORWARD_MAX];
    size_t n_active, n_tcp;
    struct upstreams upstreams;
    _Atomic uint64_t asked, answered, failed, limited, ignored;
    // asks that were taken over and not given back
    _Atomic uint64_t under_way;
};

static void count(_Atomic uint64_t *c)
{
    atomic_fetch_add_explicit(c, 1, memory_order_relaxed);
}

bool forward_covers(const struct view_forward *f, const uint8_t *name, size_t n)
{
    for (size_t at = 0; at < n; at += 1u + name[at])
        for (size_t i = 0; i < f->n_names; i++)
            if (f->names[i].n == n - at &&
                !strncasecmp((const char *)f->names[i].wire, (const char *)name + at, n - at))
                return true;
    return false;
}

static struct slot *slot_take(struct forwarder *f, const struct ask *a)
{
    uint32_t i = f->active[f->n_active];
    struct slot *s = &f->slots[i];
    uint32_t generation = s->generation;
    memset(s, 0, sizeof *s);
    s->generation = generation;
    s->ask = *a;
    s->at = f->n_active++;
    s->fd = -1;
    s->upstream = -1;
    s->give_up_ms = clock_mono_ms() + FORWARD_GIVE_UP_MS;
    return s;
}

static void slot_close(struct forwarder *f, struct slot *s)
{
    if (s->fd >= 0)
        close(s->fd); // leaves the epoll set with it
    s->fd = -1;
    s->generation++;
    if (s->tcp) {
        free(take_ptr(s->tcp));
        f->n_tcp--;
    }
}

static void slot_give_back(struct forwarder *f, struct slot *s)
{
    uint32_t self = (uint32_t)(s - f->slots), last = f->active[--f->n_active];
    slot_close(f, s);
    f->active[s->at] = last;
    f->slots[last].at = s->at;
    f->active[f->n_active] = self;
}

static void one_less(struct forwarder *f)
{
    atomic_fetch_sub_explicit(&f->under_way, 1, memory_order_relaxed);
}

static void answer_error(const struct ask *a, enum edns_ede why)
{
    uint8_t *p = mem_alloc(FORWARD_ERROR_BYTES);
    if (p)
        pending_answer(a->ticket, p, forward_message_error(&a->query, why, p), NULL);
    else
        pending_fail(a->ticket);
}

static void slot_fail(struct forwarder *f, struct slot *s)
{
    count(&f->failed);
    one_less(f);
    answer_error(&s->ask, s->network_error ? EDE_NETWORK_ERROR : EDE_NO_REACHABLE_AUTHORITY);
    slot_give_back(f, s);
}

static void slot_answer(struct forwarder *f, struct slot *s, const uint8_t *got, size_t n)
{
    size_t cap;
    if (s->ask.query.max < FORWARD_ERROR_BYTES)
        cap = FORWARD_ERROR_BYTES;
    else
        cap = s->ask.query.max;
    if (cap > n + FORWARD_ERROR_BYTES)
        cap = n + FORWARD_ERROR_BYTES;
    uint8_t *p = mem_alloc(cap);
    count(&f->answered);
    one_less(f);
    if (p)
        pending_answer(s->ask.ticket, p, forward_message_answer(&s->ask.query, got, n, p, cap),
                       &s->ask.settings.upstreams[s->upstream]);
    else
        pending_fail(s->ask.ticket);
    slot_give_back(f, s);
}

// Is a socket that is connected to `to` connected to ourselves?
static bool is_loop(const struct forwarder *f, int fd, const struct endpoint *to)
{
    static const struct ip any_v6, any_v4 = {{[10] = 0xff, [11] = 0xff}};
    struct sockaddr_storage sa;
    socklen_t n = sizeof sa;
    struct endpoint local;
    bool here = (ip_is_v4(&to->ip) && to->ip.b[12] == 127) ||
                (!getsockname(fd, (struct sockaddr *)&sa, &n) &&
                 !endpoint_from_sockaddr((struct sockaddr *)&sa, n, &local) &&
                 ip_equal(&local.ip, &to->ip));
    for (size_t i = 0; i < f->n_own; i++) {
        const struct endpoint *own = &f->own[i];
        bool any = ip_equal(&own->ip, &any_v6) || ip_equal(&own->ip, &any_v4);
        if (own->port == to->port && (ip_equal(&own->ip, &to->ip) || (any && here)))
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
        if (!(family == AF_INET ? bind(fd, (struct sockaddr *)&v4, sizeof v4)
                                : bind(fd, (struct sockaddr *)&v6, sizeof v6)))
            return;
    }
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
                             .data.u64 = (uint64_t)s->generation << 32 | (uint64_t)(s - f->slots)};
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

static void upstream_failed(struct forwarder *f, struct slot *s)
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
    if (!rc)
        rc = open_socket(f, s, to, SOCK_DGRAM);
    if (!rc && send(s->fd, s->sent + 2, s->sent_n, MSG_NOSIGNAL) < 0)
        rc = err_from_errno(errno);
    return rc;
}

// Asks until one can be asked, or gives up.
static void ask_next(struct forwarder *f, struct slot *s)
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
    if (f->n_tcp < FORWARD_TCP_MAX && (s->tcp = mem_alloc(TCP_BYTES))) {
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
        count(&f->ignored);
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
    struct epoll_event ev = {.events = EPOLLIN,
                             .data.u64 = (uint64_t)s->generation << 32 | (uint64_t)(s - f->slots)};
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

static void on_event(struct forwarder *f, uint64_t id)
{
    struct slot *s = &f->slots[id & 0xffffffff];
    if ((uint32_t)(id >> 32) != s->generation || s->fd < 0)
        return; // of a socket that was closed in this very turn
    if (s->tcp)
        on_tcp(f, s);
    else
        on_udp(f, s);
}

static bool within_bounds(const struct forwarder *f, const struct ask *a)
{
    size_t of_view = 0, of_client = 0;
    for (size_t i = 0; i < f->n_active; i++) {
        const struct ask *x = &f->slots[f->active[i]].ask;
        if (strcmp(x->view, a->view))
            continue;
        of_view++;
        of_client += ip_equal(&x->client, &a->client);
    }
    return f->n_active < FORWARD_MAX && of_view < a->settings.max_in_flight &&
           of_client < a->settings.max_per_client;
}

// Returns false when the forwarder is to stop.
static bool take_queue(struct forwarder *f)
{
    uint64_t n;
    struct ask a;
    (void)!read(f->wake, &n, sizeof n);
    for (;;) {
        pthread_mutex_lock(&f->lock);
        bool stopping = f->stopping, some = f->queue_n > 0;
        if (some) {
            a = f->queue[f->queue_at];
            f->queue_at = (f->queue_at + 1) % FORWARD_QUEUE;
            f->queue_n--;
        }
        pthread_mutex_unlock(&f->lock);
        if (!some)
            return !stopping;
        if (!stopping && within_bounds(f, &a)) {
            ask_next(f, slot_take(f, &a));
        } else {
            count(&f->limited);
            one_less(f);
            answer_error(&a, EDE_OTHER);
        }
    }
}

static void expire(struct forwarder *f)
{
    int64_t now = clock_mono_ms();
    // backwards: a slot given back is replaced by one already looked at
    for (size_t i = f->n_active; i-- > 0;) {
        struct slot *s = &f->slots[f->active[i]];
        if (now < s->try_until_ms)
            continue;
        s->network_error = false;
        upstream_failed(f, s);
        ask_next(f, s);
    }
}

static int wait_ms(const struct forwarder *f)
{
    int64_t first = INT64_MAX, now = f->n_active ? clock_mono_ms() : 0;
    for (size_t i = 0; i < f->n_active; i++)
        if (f->slots[f->active[i]].try_until_ms < first)
            first = f->slots[f->active[i]].try_until_ms;
    if (!f->n_active)
        return -1;
    if (first <= now)
        return 0;
    return (int)(first - now);
}

static void *forwarder_main(void *arg)
{
    struct forwarder *f = arg;
    struct epoll_event ev[EVENTS];
    for (bool go_on = true; go_on;) {
        int n = epoll_wait(f->epoll, ev, EVENTS, wait_ms(f));
        for (int i = 0; i < n; i++) {
            if (ev[i].data.u64 == WAKE)
                go_on = take_queue(f);
            else
                on_event(f, ev[i].data.u64);
        }
        expire(f);
    }
    while (f->n_active)
        slot_fail(f, &f->slots[f->active[f->n_active - 1]]);
    return NULL;
}

static void forwarder_free(struct forwarder *f)
{
    if (f->epoll >= 0)
        close(f->epoll);
    if (f->wake >= 0)
        close(f->wake);
    pthread_mutex_destroy(&f->lock);
    free(f->own);
    free(f);
}

int forwarder_start(const struct endpoint *own, size_t n_own, struct forwarder **out)
{
    struct forwarder *f = mem_zalloc(sizeof *f); // large, and untouched until it is needed
    if (!f)
        return ERR_NOMEM;
    pthread_mutex_init(&f->lock, NULL);
    f->epoll = epoll_create1(EPOLL_CLOEXEC);
    f->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    f->own = mem_zalloc_array(n_own + 1, sizeof *f->own);
    int rc = ERR_NOMEM;
    if (f->epoll < 0 || f->wake < 0)
        rc = err_from_errno(errno);
    else if (f->own)
        rc = 0;
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = WAKE};
    if (!rc && epoll_ctl(f->epoll, EPOLL_CTL_ADD, f->wake, &ev))
        rc = err_from_errno(errno);
    if (!rc) {
        if (n_own)
            memcpy(f->own, own, n_own * sizeof *own);
        f->n_own = n_own;
        for (uint32_t i = 0; i < FORWARD_MAX; i++)
            f->active[i] = i;
        if (pthread_create(&f->thread, NULL, forwarder_main, f))
            rc = ERR_NOMEM;
        else
            rc = 0;
    }
    if (rc) {
        forwarder_free(f);
        return rc;
    }
    *out = f;
    return 0;
}

static void wake(struct forwarder *f)
{
    uint64_t one = 1;
    (void)!write(f->wake, &one, sizeof one); // an eventfd that counts already wakes as well
}

void forwarder_stop(struct forwarder *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    f->stopping = true;
    pthread_mutex_unlock(&f->lock);
    wake(f);
    pthread_join(f->thread, NULL);
    forwarder_free(f);
}

bool forwarder_ask(struct forwarder *f, const struct view *view, const struct ip *client,
                   const struct forward_query *q, struct pending_ticket ticket)
{
    pthread_mutex_lock(&f->lock);
    bool room = f->queue_n < FORWARD_QUEUE && !f->stopping, first = f->queue_n == 0;
    if (room) {
        struct ask *a = &f->queue[(f->queue_at + f->queue_n++) % FORWARD_QUEUE];
        size_t n = strlen(view->name);
        memcpy(a->view, view->name, n < sizeof a->view ? n + 1 : sizeof a->view);
        a->view[sizeof a->view - 1] = 0;
        a->client = *client;
        a->settings = *view->forward;
        a->query = *q;
        a->ticket = ticket;
        pending_hold(ticket);
        count(&f->under_way);
    }
    pthread_mutex_unlock(&f->lock);
    if (!room)
        count(&f->limited);
    else
        count(&f->asked);
    if (room && first)
        wake(f);
    return room;
}

void forwarder_stats_get(const struct forwarder *f, struct forward_stats *out)
{
#define GET(field) out->field = atomic_load_explicit(&f->field, memory_order_relaxed)
    GET(asked);
    GET(answered);
    GET(failed);
    GET(limited);
    GET(ignored);
    GET(under_way);
#undef GET
}
