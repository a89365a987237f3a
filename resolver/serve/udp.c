// SPDX-License-Identifier: Apache-2.0
// DNS over UDP: datagrams in batches of 32 through recvmmsg and sendmmsg, as many as are there and
// without waiting for more; and one response by itself, for a query that had to wait. On the
// worker's thread. See server_priv.h.
#include "resolver/serve/server_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "resolver/packet/proxied.h"
#include "resolver/packet/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define BATCH 32
#define UDP_IN_BYTES 4096
// not a power of two: the batch must not share one set of the cache
#define UDP_IN_STRIDE (UDP_IN_BYTES + 64)

struct batch {
    struct mmsghdr in[BATCH], out[BATCH];
    struct iovec in_iov[BATCH], out_iov[BATCH];
    struct sockaddr_storage from[BATCH];
    union {
        struct cmsghdr align;
        uint8_t b[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    } control[BATCH];
    uint8_t in_bytes[BATCH][UDP_IN_STRIDE];
    uint8_t out_bytes[BATCH][DNS_UDP_CEILING];
};

int udp_batch_new(struct batch **out)
{
    *out = mem_zalloc(sizeof **out);
    if (*out)
        return 0;
    return ERR_NOMEM;
}

// The address a datagram came to: on a wildcard socket it is in the control data. The control data
// is then sent back as it is, so that the answer leaves from that address.
static struct endpoint local_of(const struct bound *b, struct msghdr *m)
{
    struct endpoint e = b->at;
    struct sockaddr_storage sa;
    for (struct cmsghdr *c = b->wildcard ? CMSG_FIRSTHDR(m) : NULL; c; c = CMSG_NXTHDR(m, c)) {
        struct endpoint got;
        memset(&sa, 0, sizeof sa);
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo *pi = (struct in_pktinfo *)CMSG_DATA(c);
            struct sockaddr_in *in = (struct sockaddr_in *)&sa;
            in->sin_family = AF_INET;
            in->sin_addr = pi->ipi_addr;
            pi->ipi_spec_dst = pi->ipi_addr;
            pi->ipi_ifindex = 0;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&sa;
            in6->sin6_family = AF_INET6;
            struct in6_pktinfo *pi = (struct in6_pktinfo *)CMSG_DATA(c);
            in6->sin6_addr = pi->ipi6_addr;
            if (!IN6_IS_ADDR_LINKLOCAL(&pi->ipi6_addr))
                pi->ipi6_ifindex = 0; // the way back is the routing table's
        } else {
            continue;
        }
        if (!endpoint_from_sockaddr((struct sockaddr *)&sa, sizeof sa, &got))
            e.ip = got.ip;
    }
    return e;
}

// What a trusted proxy sends: the client is whom its header names, and the answer goes to the
// proxy. Takes the header off. False: it is damaged, and nothing can be told of the query behind
// it.
static bool unwrap(struct worker *w, struct asked *asked, const uint8_t **query, size_t *n)
{
    struct proxied who;
    if (!proxied_begins(*query, *n)) {
        asked->unproxied = true;
        counter_add(&w->n.unproxied, 1);
        return true;
    }
    if (proxied_parse(*query, *n, &who)) {
        counter_add(&w->n.unproxied, 1);
        return false;
    }
    counter_add(&w->n.proxied, 1);
    *query += who.n;
    *n -= who.n;
    if (who.local)
        return true;
    asked->proxy = asked->remote;
    asked->remote = who.client;
    return true;
}

// Answers one datagram into slot `to` of the outgoing half. Returns false when nothing is to be
// sent.
static bool answer_datagram(struct worker *w, const struct bound *b, size_t from, size_t to)
{
    struct batch *x = w->batch;
    struct msghdr *m = &x->in[from].msg_hdr;
    struct asked asked = {.transport = ANSWER_UDP, .local = local_of(b, m), .bound = b};
    struct answer_info info = {.rcode = DNS_DROP};
    const uint8_t *query = x->in_bytes[from];
    size_t n = 0, n_query = x->in[from].msg_len;
    counter_add(&w->n.udp_queries, 1);
    // Port 0 cannot be answered; a datagram longer than the buffer is no query.
    bool good = !endpoint_from_sockaddr(m->msg_name, m->msg_namelen, &asked.remote) &&
                asked.remote.port && !(m->msg_flags & MSG_TRUNC);
    if (good && worker_trusts(w, &asked.remote.ip))
        good = unwrap(w, &asked, &query, &n_query);
    if (good)
        n = worker_answer(w, &asked, NULL, query, n_query, x->out_bytes[to], DNS_UDP_CEILING,
                          &info);
    else
        worker_count(w, &info);
    if (n == 0)
        return false;
    x->out_iov[to] = (struct iovec){x->out_bytes[to], n};
    x->out[to].msg_hdr = (struct msghdr){.msg_name = m->msg_name,
                                         .msg_namelen = m->msg_namelen,
                                         .msg_iov = &x->out_iov[to],
                                         .msg_iovlen = 1};
    if (b->wildcard && m->msg_controllen && !(m->msg_flags & MSG_CTRUNC)) {
        x->out[to].msg_hdr.msg_control = m->msg_control;
        x->out[to].msg_hdr.msg_controllen = m->msg_controllen;
    }
    return true;
}

static void send_batch(int fd, struct batch *x, size_t n)
{
    for (size_t at = 0; at < n;) {
        int sent = sendmmsg(fd, x->out + at, (unsigned)(n - at), 0);
        if (sent > 0)
            at += (size_t)sent;
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            return; // the socket's buffer is full: UDP may lose
        else if (errno != EINTR)
            at++; // this one cannot be sent (no route, refused by a filter): the rest can
    }
}

// At 500,000 registries a lookup waits for memory twice; a batch waits for all its lookups at once.
static void fetch_ahead(const struct worker *w, int got)
{
    const struct topology *t = w->context.topology;
    uint64_t hints[BATCH];
    if (!t)
        return;
    for (int i = 0; i < got; i++)
        hints[i] = answer_hint(t, w->batch->in_bytes[i], w->batch->in[i].msg_len);
    for (int i = 0; i < got; i++)
        catalogue_hint_follow(t->catalogue, hints[i]);
}

size_t udp_serve(struct worker *w, const struct bound *b)
{
    struct batch *x = w->batch;
    size_t all = 0;
    size_t used = BATCH; // slots that the last round wrote to
    for (int round = 0; round < UDP_TURN_MAX / BATCH; round++) {
        for (size_t i = 0; i < used; i++) {
            x->in_iov[i] = (struct iovec){x->in_bytes[i], UDP_IN_BYTES};
            x->in[i].msg_hdr =
                (struct msghdr){.msg_name = &x->from[i],
                                .msg_namelen = sizeof x->from[i],
                                .msg_iov = &x->in_iov[i],
                                .msg_iovlen = 1,
                                .msg_control = b->wildcard ? &x->control[i] : NULL,
                                .msg_controllen = b->wildcard ? sizeof x->control[i] : 0};
        }
        int got = recvmmsg(b->udp, x->in, BATCH, MSG_DONTWAIT, NULL);
        size_t n = 0;
        if (got > 0)
            used = (size_t)got;
        else
            used = 0;
        bool timed = used && metrics_due(w->metrics);
        int64_t began_us = 0;
        if (timed)
            began_us = clock_mono_us();
        fetch_ahead(w, got);
        for (int i = 0; i < got; i++)
            n += answer_datagram(w, b, (size_t)i, n);
        send_batch(b->udp, x, n);
        if (timed)
            metrics_batch(w->metrics, (unsigned)got, clock_mono_us() - began_us);
        all += used;
        if (got < BATCH)
            break;
    }
    return all;
}

// On a wildcard socket the answer must leave from the address that was asked.
static void set_source(struct msghdr *m, const struct ip *ip, void *control, size_t n)
{
    memset(control, 0, n);
    m->msg_control = control;
    if (ip_is_v4(ip)) {
        struct in_pktinfo pi = {0};
        memcpy(&pi.ipi_spec_dst, ip->b + 12, 4);
        m->msg_controllen = CMSG_SPACE(sizeof pi);
        struct cmsghdr *c = CMSG_FIRSTHDR(m);
        *c = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof pi), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
        memcpy(CMSG_DATA(c), &pi, sizeof pi);
    } else {
        struct in6_pktinfo pi = {0};
        memcpy(&pi.ipi6_addr, ip->b, 16);
        m->msg_controllen = CMSG_SPACE(sizeof pi);
        struct cmsghdr *c = CMSG_FIRSTHDR(m);
        *c = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof pi), .cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO};
        memcpy(CMSG_DATA(c), &pi, sizeof pi);
    }
}

void udp_send(const struct asked *to, uint8_t *p, size_t n)
{
    struct sockaddr_storage sa;
    union {
        struct cmsghdr align;
        uint8_t b[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    } control;
    struct iovec iov = {p, n};
    const struct endpoint *peer;
    if (to->proxy.port)
        peer = &to->proxy;
    else
        peer = &to->remote;
    struct msghdr m = {.msg_name = &sa,
                       .msg_namelen = endpoint_to_sockaddr(peer, &sa),
                       .msg_iov = &iov,
                       .msg_iovlen = 1};
    if (to->bound->wildcard)
        set_source(&m, &to->local.ip, control.b, sizeof control.b);
    while (sendmsg(to->bound->udp, &m, MSG_DONTWAIT) < 0 && errno == EINTR)
        ;
}
