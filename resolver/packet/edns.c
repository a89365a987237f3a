// SPDX-License-Identifier: Apache-2.0
// Options of a response; see edns.h.
#include "resolver/packet/edns.h"

#include <string.h>

#define OPTION_HEAD 4 // code and length

static size_t ecs_octets(const struct dns_query *q)
{
    return (q->ecs_bits + 7u) / 8;
}

size_t edns_response_least(const struct edns_response *o, const struct dns_query *q)
{
    size_t n = DNS_OPT_BYTES;
    if (o->cookie)
        n += OPTION_HEAD + EDNS_COOKIE_BYTES;
    if (o->keepalive)
        n += OPTION_HEAD + 2;
    if (q->ecs)
        n += OPTION_HEAD + 4 + ecs_octets(q);
    return n;
}

static void write_head(struct dns_writer *w, uint16_t code, size_t n)
{
    dns_write_u16(w, code);
    dns_write_u16(w, (uint16_t)n);
}

// The query's prefix comes back as it was (RFC 7871 section 7.2.1).
static void write_ecs(struct dns_writer *w, const struct dns_query *q, uint8_t scope)
{
    size_t n = ecs_octets(q);
    write_head(w, EDNS_CLIENT_SUBNET, 4 + n);
    dns_write_u16(w, q->ecs_family);
    dns_write_bytes(w, (uint8_t[]){q->ecs_bits, scope}, 2);
    dns_write_bytes(w, q->ecs_net.ip.b + (q->ecs_family == 1 ? 12 : 0), n);
}

static void write_needed(struct dns_writer *w, const struct dns_query *q,
                         const struct edns_response *o)
{
    if (q->ecs)
        write_ecs(w, q, o->ecs_scope);
    if (o->cookie) {
        write_head(w, EDNS_COOKIE, EDNS_COOKIE_BYTES);
        dns_write_bytes(w, o->cookie, EDNS_COOKIE_BYTES);
    }
    if (o->keepalive) {
        write_head(w, EDNS_TCP_KEEPALIVE, 2);
        dns_write_u16(w, o->keepalive_100ms);
    }
}

static bool fits(const struct dns_writer *w, size_t n)
{
    return n <= w->max - w->n;
}

// Courtesies: the code before the server's name, that before the text, but each only as a whole.
static void write_courtesies(struct dns_writer *w, const struct edns_response *o)
{
    size_t n_text = 0;
    if (o->ede_text && o->ede != EDE_NONE)
        n_text = strlen(o->ede_text);
    size_t n_nsid = 0, n_ede = 0;
    if (o->nsid)
        n_nsid = strlen(o->nsid);
    if (o->ede != EDE_NONE)
        n_ede = OPTION_HEAD + 2;
    if (!fits(w, n_ede))
        n_ede = n_text = 0;
    if (n_nsid && fits(w, n_ede + OPTION_HEAD + n_nsid)) {
        write_head(w, EDNS_NSID, n_nsid);
        dns_write_bytes(w, o->nsid, n_nsid);
    }
    if (!fits(w, n_ede + n_text))
        n_text = 0;
    if (!n_ede)
        return;
    write_head(w, EDNS_EDE, 2 + n_text);
    dns_write_u16(w, (uint16_t)o->ede);
    if (n_text)
        dns_write_bytes(w, o->ede_text, n_text);
}

size_t edns_padding(size_t n, size_t max)
{
    size_t least = n + OPTION_HEAD,
           all = (least + EDNS_PAD_BYTES - 1) / EDNS_PAD_BYTES * EDNS_PAD_BYTES;
    if (least > max)
        return 0;
    if (all > max)
        all = max;
    return all - n;
}

void edns_put_padding(uint8_t *to, size_t n)
{
    memset(to, 0, n);
    to[1] = EDNS_PADDING;
    to[2] = (uint8_t)((n - OPTION_HEAD) >> 8);
    to[3] = (uint8_t)(n - OPTION_HEAD);
}

static void write_padding(struct dns_writer *w, size_t tail)
{
    size_t n = edns_padding(w->n + tail, w->max + tail);
    if (!n)
        return;
    edns_put_padding(w->p + w->n, n);
    w->n += n;
}

void edns_write(struct dns_writer *w, const struct dns_query *q, const struct edns_response *o)
{
    dns_write_bytes(w, "", 1);
    dns_write_u16(w, DNS_OPT);
    dns_write_u16(w, DNS_UDP_CEILING);
    dns_write_u32(w, (uint32_t)(o->rcode >> 4) << 24 | (q->dnssec_ok ? 0x8000 : 0) |
                         (o->compact ? 0x4000 : 0));
    size_t begin = dns_write_rdata_begin(w);
    write_needed(w, q, o);
    if (!w->full && (o->nsid || o->ede != EDE_NONE))
        write_courtesies(w, o);
    if (!w->full && o->padded)
        write_padding(w, o->tail);
    dns_write_rdata_end(w, begin);
}
