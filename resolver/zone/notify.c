// SPDX-License-Identifier: Apache-2.0
// NOTIFY to secondaries; see notify.h.
#include "resolver/zone/notify.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "resolver/packet/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OPCODE_NOTIFY 4
#define MESSAGE_MAX 1024 // header, question, SOA, TSIG

struct target {
    struct endpoint to;
    // -1: nothing waits
    int fd;
    int tries;
    int64_t next_ms;
    uint16_t id;
    // of the message, without TSIG
    size_t n;
    uint8_t message[MESSAGE_MAX];
};

struct notifier {
    const struct endpoint *listen;
    size_t n_listen, n;
    struct tsig_keys *keys;
    struct target targets[NOTIFY_TARGETS_MAX];
    const struct tsig_key *key_of[NOTIFY_TARGETS_MAX];
};

struct notifier *notifier_new(const struct endpoint *listen, size_t n)
{
    struct notifier *x = mem_zalloc(sizeof *x);
    if (!x)
        return NULL;
    x->listen = listen;
    x->n_listen = n;
    return x;
}

static void target_done(struct target *t)
{
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
}

void notifier_free(struct notifier *x)
{
    if (!x)
        return;
    for (size_t i = 0; i < x->n; i++)
        target_done(&x->targets[i]);
    snapshot_unref(x->keys);
    free(x);
}

// Secondaries know us by an address that we listen on.
static int open_socket(const struct notifier *x, const struct endpoint *to)
{
    static const uint8_t any[16] = {0};
    struct sockaddr_storage sa;
    int fd = socket(ip_is_v4(&to->ip) ? AF_INET : AF_INET6,
                    SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    for (size_t i = 0; fd >= 0 && i < x->n_listen; i++) {
        struct endpoint from = {x->listen[i].ip, 0};
        bool v4 = ip_is_v4(&from.ip);
        if (v4 != ip_is_v4(&to->ip) || !memcmp(from.ip.b + (v4 ? 12 : 0), any, v4 ? 4 : 16))
            continue;
        socklen_t n = endpoint_to_sockaddr(&from, &sa);
        if (bind(fd, (struct sockaddr *)&sa, n))
            log_warn("dns: notifications cannot leave from a listener's address: %s",
                     strerror(errno));
        break;
    }
    socklen_t n = endpoint_to_sockaddr(to, &sa);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, n)) {
        close(fd);
        return -1;
    }
    return fd;
}

// RFC 1996 section 3.7: the question is the zone's SOA, and the answer section may carry the new
// one.
static size_t write_message(const struct zone *zone, uint16_t id, uint8_t out[MESSAGE_MAX])
{
    const struct zone_rr *soa = zone_soa(zone);
    struct dns_writer w;
    dns_writer_init(&w, out, MESSAGE_MAX);
    dns_write_u16(&w, id);
    dns_write_u16(&w, OPCODE_NOTIFY << 11 | 0x0400);
    dns_write_u16(&w, 1);
    dns_write_u16(&w, 1);
    dns_write_u32(&w, 0);
    dns_write_bytes(&w, zone->apex, zone->apex_n);
    dns_write_u16(&w, DNS_SOA);
    dns_write_u16(&w, DNS_IN);
    dns_write_rr_head_at(&w, DNS_HEADER_BYTES, DNS_SOA, soa->ttl);
    dns_write_u16(&w, soa->rdata_n);
    dns_write_bytes(&w, soa->rdata, soa->rdata_n);
    if (w.full)
        return 0;
    return w.n;
}

static void send_once(struct notifier *x, size_t i, int64_t now_ms, int64_t now_s)
{
    struct target *t = &x->targets[i];
    uint8_t p[MESSAGE_MAX + TSIG_MAX_BYTES];
    size_t n = t->n;
    struct tsig s;
    memcpy(p, t->message, n);
    if (x->key_of[i]) {
        tsig_begin(x->key_of[i], t->id, &s);
        n = tsig_sign(&s, p, n, sizeof p, now_s);
    }
    if (n && send(t->fd, p, n, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
        log_debug("dns: a notification was not sent: %s", strerror(errno)); // it is sent again
    t->next_ms = now_ms + ((int64_t)NOTIFY_FIRST_MS << t->tries);
    t->tries++;
}

static void target_start(struct notifier *x, size_t i, const struct zone *zone, int64_t now_ms,
                         int64_t now_s)
{
    struct target *t = &x->targets[i];
    char text[ENDPOINT_TEXT_SIZE];
    t->tries = 0;
    t->fd = -1;
    if (random_bytes(&t->id, sizeof t->id) || !(t->n = write_message(zone, t->id, t->message)) ||
        (t->fd = open_socket(x, &t->to)) < 0) {
        log_warn("dns: secondary %s cannot be told of serial %u: %s", endpoint_format(&t->to, text),
                 (unsigned)zone->serial, strerror(errno));
        return;
    }
    send_once(x, i, now_ms, now_s);
}

void notifier_change(struct notifier *x, const struct zone *zone, const struct transfer_settings *s,
                     const struct tsig_keys *keys, int64_t now_ms, int64_t now_s)
{
    for (size_t i = 0; i < x->n; i++)
        target_done(&x->targets[i]);
    snapshot_unref(x->keys);
    if (keys)
        x->keys = snapshot_ref((void *)keys);
    else
        x->keys = NULL;
    if (s->n_notify < NOTIFY_TARGETS_MAX)
        x->n = s->n_notify;
    else
        x->n = NOTIFY_TARGETS_MAX;
    for (size_t i = 0; i < x->n; i++) {
        x->targets[i].to = s->notify[i].to;
        if (s->notify[i].key)
            x->key_of[i] = tsig_key_find(keys, s->notify[i].key);
        else
            x->key_of[i] = NULL;
        target_start(x, i, zone, now_ms, now_s);
    }
}

size_t notifier_fds(const struct notifier *x, struct pollfd *out)
{
    size_t n = 0;
    for (size_t i = 0; i < x->n; i++)
        if (x->targets[i].fd >= 0)
            out[n++] = (struct pollfd){.fd = x->targets[i].fd, .events = POLLIN};
    return n;
}

int64_t notifier_due_ms(const struct notifier *x)
{
    int64_t due = INT64_MAX;
    for (size_t i = 0; i < x->n; i++)
        if (x->targets[i].fd >= 0 && x->targets[i].next_ms < due)
            due = x->targets[i].next_ms;
    return due;
}

// Its answer, if one has come: an rcode. -1: none.
static int take_answer(struct target *t)
{
    uint8_t p[MESSAGE_MAX];
    for (int i = 0; i < 16; i++) {
        ssize_t n = recv(t->fd, p, sizeof p, 0);
        if (n < 0 && errno == ECONNREFUSED)
            continue; // an ICMP message from before: nobody listens there yet
        if (n < 0)
            return -1;
        if (n >= DNS_HEADER_BYTES && (p[2] & 0x80) && (p[2] >> 3 & 15) == OPCODE_NOTIFY &&
            !memcmp(p, t->message, 2))
            return p[3] & 15;
    }
    return -1;
}

void notifier_turn(struct notifier *x, int64_t now_ms, int64_t now_s)
{
    char text[ENDPOINT_TEXT_SIZE];
    for (size_t i = 0; i < x->n; i++) {
        struct target *t = &x->targets[i];
        if (t->fd < 0)
            continue;
        int rcode = take_answer(t);
        if (rcode > 0)
            log_warn("dns: secondary %s answers a notification with rcode %d",
                     endpoint_format(&t->to, text), rcode);
        if (rcode >= 0) {
            target_done(t);
        } else if (now_ms >= t->next_ms && t->tries == NOTIFY_TRIES) {
            log_warn("dns: secondary %s does not answer notifications; it is told again at the "
                     "next change",
                     endpoint_format(&t->to, text));
            target_done(t);
        } else if (now_ms >= t->next_ms) {
            send_once(x, i, now_ms, now_s);
        }
    }
}
