// SPDX-License-Identifier: Apache-2.0
// Queries in, responses out; see wire.h. The parser is strict where a sender must be wrong (counts,
// junk, compressed question) and lenient where it may only be newer than us (unknown EDNS options,
// flags and additional records).
#include "resolver/packet/wire.h"

#include "base/bytes.h"

#include <string.h>

static uint16_t get_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

// A name without compression; the question's must be one: there is nothing yet that it could point
// to.
static struct bytes read_plain_name(struct cursor *c)
{
    const uint8_t *p = c->p;
    size_t left = cursor_left(c), n = 0;
    while (n < left && n < DNS_NAME_MAX && p[n] && p[n] <= 63)
        n += 1u + p[n];
    if (n >= left || n >= DNS_NAME_MAX || p[n])
        c->failed = true;
    return cursor_take(c, n + 1);
}

// A name in a later record, which may end in a pointer: only stepped over.
static void skip_name(struct cursor *c)
{
    for (size_t n = 0; !c->failed && n <= DNS_NAME_MAX;) {
        uint8_t len = cursor_u8(c);
        if (len >= 0xc0) {
            cursor_skip(c, 1);
            return;
        }
        if (len == 0)
            return;
        if (len > 63)
            break;
        cursor_skip(c, len);
        n += 1u + len;
    }
    c->failed = true;
}

static void skip_record(struct cursor *c)
{
    skip_name(c);
    cursor_skip(c, 8);
    cursor_skip(c, cursor_u16(c));
}

// RFC 7871 section 7.1.1: what is not exactly a prefix is FORMERR.
static bool read_client_subnet(struct bytes o, struct dns_query *q)
{
    struct cursor c = cursor_of(o);
    uint16_t family = cursor_u16(&c);
    uint8_t bits = cursor_u8(&c), scope = cursor_u8(&c);
    size_t most = 0, n = (bits + 7u) / 8, mapped = 0; // octets in front of an IPv4 address
    if (family == 2)
        most = 128;
    if (family == 1) {
        most = 32;
        mapped = 12;
    }
    if (c.failed || scope || family > 2 || bits > most || cursor_left(&c) != n)
        return false;
    if (bits % 8 && c.p[n - 1] & 0xff >> bits % 8)
        return false;
    memset(&q->ecs_net, 0, sizeof q->ecs_net);
    q->ecs = true;
    q->ecs_family = (uint8_t)family;
    q->ecs_bits = bits;
    q->ecs_net.bits = (uint8_t)(8 * mapped + bits);
    if (mapped)
        memset(q->ecs_net.ip.b + 10, 0xff, 2);
    memcpy(q->ecs_net.ip.b + mapped, c.p, n);
    return true;
}

static bool read_cookie(struct bytes o, struct dns_query *q)
{
    if (o.n != 8 && (o.n < 16 || o.n > 40))
        return false; // RFC 7873 section 5.2.2
    q->cookie = o.p;
    q->cookie_n = (uint8_t)o.n;
    return true;
}

// The options of an OPT record; of each kind the first counts. Unknown ones are stepped over.
static bool read_options(struct bytes rdata, struct dns_query *q)
{
    struct cursor c = cursor_of(rdata);
    while (cursor_left(&c)) {
        uint16_t code = cursor_u16(&c);
        struct bytes o = cursor_take(&c, cursor_u16(&c));
        if (c.failed)
            return false;
        if ((code == EDNS_CLIENT_SUBNET && !q->ecs && !read_client_subnet(o, q)) ||
            (code == EDNS_COOKIE && !q->cookie && !read_cookie(o, q)))
            return false;
        q->nsid |= code == EDNS_NSID;
        q->keepalive |= code == EDNS_TCP_KEEPALIVE;
        q->padding |= code == EDNS_PADDING;
    }
    return true;
}

// One additional record. Returns false when it is an OPT that breaks RFC 6891 section 6.1.
static bool read_additional(struct cursor *c, struct dns_query *q)
{
    const uint8_t *owner = c->p;
    skip_name(c);
    bool root = !c->failed && c->p - owner == 1;
    uint16_t type = cursor_u16(c), size = cursor_u16(c);
    uint32_t ttl = cursor_u32(c);
    struct bytes rdata = cursor_take(c, cursor_u16(c));
    if (!c->failed && type == DNS_TSIG) {
        q->tsig = owner; // it must be the last record (RFC 8945 section 5.1)
        q->tsig_n = (uint16_t)(c->p - owner);
        return !cursor_left(c);
    }
    if (c->failed || type != DNS_OPT)
        return true;
    if (q->edns || !root)
        return false;
    q->edns = true;
    q->edns_version = (uint8_t)(ttl >> 16);
    q->dnssec_ok = ttl & 0x8000;
    q->compact_ok = ttl & 0x4000;
    if (size < DNS_UDP_LEAST)
        q->udp_bytes = DNS_UDP_LEAST;
    else if (size > DNS_UDP_CEILING)
        q->udp_bytes = DNS_UDP_CEILING;
    else
        q->udp_bytes = size;
    // a later version may write them another way
    return q->edns_version > 0 || read_options(rdata, q);
}

static bool read_question(struct cursor *c, struct dns_query *q)
{
    struct bytes name = read_plain_name(c), rest = cursor_take(c, 4);
    if (c->failed)
        return false;
    q->type = get_u16(rest.p);
    q->class_ = get_u16(rest.p + 2);
    q->has_question = true;
    q->name = name.p;
    q->name_n = name.n;
    return true;
}

static int read_sections(struct cursor *c, const uint16_t counts[4], struct dns_query *q)
{
    if (counts[0] > 1)
        return DNS_FORMERR;
    if (counts[0] && !read_question(c, q))
        return DNS_FORMERR;
    // RFC 1995 section 3: an IXFR carries the client's SOA; no other query has anything in these
    // two sections.
    if (counts[1])
        return DNS_FORMERR;
    if (counts[2] && q->type != DNS_IXFR)
        return DNS_FORMERR;
    for (size_t i = 0; i < counts[2] && !c->failed; i++)
        skip_record(c);
    for (size_t i = 0; i < counts[3] && !c->failed; i++)
        if (!read_additional(c, q))
            return DNS_FORMERR;
    if (c->failed || cursor_left(c))
        return DNS_FORMERR;
    if (q->edns && q->edns_version > 0)
        return DNS_BADVERS;
    if (q->has_question || q->cookie)
        return DNS_NOERROR;
    return DNS_FORMERR;
}

int dns_query_parse(const uint8_t *p, size_t n, struct dns_query *q)
{
    *q = (struct dns_query){.udp_bytes = DNS_UDP_LEAST};
    if (n < DNS_HEADER_BYTES || p[2] & 0x80)
        return DNS_DROP;
    struct cursor c = {p + DNS_HEADER_BYTES, p + n, p, false};
    uint16_t counts[4];
    q->id = get_u16(p);
    q->opcode = p[2] >> 3 & 15;
    q->rd = p[2] & 1;
    for (size_t i = 0; i < 4; i++)
        counts[i] = get_u16(p + 4 + 2 * i);
    if (q->opcode)
        return DNS_NOTIMP; // the sections of another opcode are not ours to read
    return read_sections(&c, counts, q);
}

bool dns_query_ixfr_serial(const uint8_t *p, size_t n, const struct dns_query *q, uint32_t *out)
{
    if (!get_u16(p + 8))
        return false;
    struct cursor c = {q->name + q->name_n + 4, p + n, p, false};
    skip_name(&c);
    uint16_t type = cursor_u16(&c), class_ = cursor_u16(&c);
    cursor_skip(&c, 6); // TTL and length
    skip_name(&c);
    skip_name(&c);
    uint32_t serial = cursor_u32(&c);
    if (c.failed || type != DNS_SOA || class_ != DNS_IN)
        return false;
    *out = serial;
    return true;
}

void dns_writer_init(struct dns_writer *w, uint8_t *out, size_t max)
{
    w->p = out;
    w->n = 0;
    w->max = max;
    w->full = false;
    w->n_offsets = 0;
}

void dns_write_bytes(struct dns_writer *w, const void *p, size_t n)
{
    if (w->full || n > w->max - w->n) {
        w->full = true;
        return;
    }
    memcpy(w->p + w->n, p, n);
    w->n += n;
}

void dns_write_u16(struct dns_writer *w, uint16_t v)
{
    dns_write_bytes(w, (uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

void dns_write_u32(struct dns_writer *w, uint32_t v)
{
    dns_write_u16(w, (uint16_t)(v >> 16));
    dns_write_u16(w, (uint16_t)v);
}

static void put_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

void dns_write_header(struct dns_writer *w, const struct dns_query *q, int rcode,
                      bool authoritative)
{
    uint8_t *p = w->p;
    size_t n = DNS_HEADER_BYTES + (q->has_question ? q->name_n + 4 : 0);
    if (w->full || w->n || n > w->max) {
        w->full = true;
        return;
    }
    memset(p, 0, DNS_HEADER_BYTES);
    put_u16(p, q->id);
    put_u16(p + 2, (uint16_t)(0x8000 | q->opcode << 11 | (authoritative ? 0x0400 : 0) |
                              (q->rd ? 0x0100 : 0) | (rcode & 15)));
    w->n = n;
    if (!q->has_question)
        return;
    p[5] = 1;
    for (size_t at = 0; q->name[at] && w->n_offsets < DNS_COMPRESS_MAX; at += 1u + q->name[at])
        w->offsets[w->n_offsets++] = (uint16_t)(DNS_HEADER_BYTES + at);
    memcpy(p + DNS_HEADER_BYTES, q->name, q->name_n);
    put_u16(p + DNS_HEADER_BYTES + q->name_n, q->type);
    put_u16(p + DNS_HEADER_BYTES + q->name_n + 2, q->class_);
}

void dns_write_counts(struct dns_writer *w, uint16_t answer, uint16_t authority,
                      uint16_t additional)
{
    put_u16(w->p + 6, answer);
    put_u16(w->p + 8, authority);
    put_u16(w->p + 10, additional);
}

void dns_write_flag_tc(struct dns_writer *w)
{
    w->p[2] |= 0x02;
}

struct dns_mark dns_writer_mark(const struct dns_writer *w)
{
    return (struct dns_mark){w->n, w->n_offsets};
}

void dns_writer_rewind(struct dns_writer *w, struct dns_mark m)
{
    w->n = m.n;
    w->n_offsets = m.n_offsets;
    w->full = false;
}

// Does the name at offset `at` of the response equal `name`, octet for octet? Pointers there are
// ours and go backwards.
static bool name_at_equals(const struct dns_writer *w, size_t at, const uint8_t *name)
{
    for (;;) {
        uint8_t len = w->p[at];
        if (len >= 0xc0) {
            at = (size_t)(len & 0x3f) << 8 | w->p[at + 1];
            continue;
        }
        // the length first: `name` may end here
        if (len != *name || memcmp(w->p + at, name, 1u + len))
            return false;
        if (len == 0)
            return true;
        at += 1u + len;
        name += 1u + len;
    }
}

static bool find_name(const struct dns_writer *w, const uint8_t *name, uint16_t *out_at)
{
    for (size_t i = 0; i < w->n_offsets; i++)
        if (name_at_equals(w, w->offsets[i], name)) {
            *out_at = w->offsets[i];
            return true;
        }
    return false;
}

// The labels of `name` up to a pointer or the root.
static void write_labels(struct dns_writer *w, const uint8_t *name, const uint8_t *end)
{
    size_t known = w->n_offsets; // labels of this very name come into use when it stands whole
    for (; !w->full && name < end && *name; name += 1u + *name) {
        uint16_t at;
        size_t added = w->n_offsets;
        w->n_offsets = known;
        bool found = find_name(w, name, &at);
        w->n_offsets = added;
        if (found) {
            dns_write_u16(w, (uint16_t)(0xc000 | at));
            return;
        }
        if (w->n_offsets < DNS_COMPRESS_MAX && w->n < 0x4000)
            w->offsets[w->n_offsets++] = (uint16_t)w->n;
        dns_write_bytes(w, name, 1u + *name);
    }
    dns_write_bytes(w, "", 1);
}

void dns_write_name(struct dns_writer *w, const uint8_t *name, size_t n)
{
    size_t known = w->n_offsets;
    write_labels(w, name, name + n);
    if (w->full)
        w->n_offsets = known; // nothing may point to a name without an end
}

void dns_write_rr_head(struct dns_writer *w, const uint8_t *name, size_t n, enum dns_type type,
                       uint32_t ttl)
{
    dns_write_name(w, name, n);
    dns_write_u16(w, (uint16_t)type);
    dns_write_u16(w, DNS_IN);
    dns_write_u32(w, ttl);
}

static void put_head(uint8_t *p, uint16_t owner_at, enum dns_type type, uint32_t ttl)
{
    put_u16(p, (uint16_t)(0xc000 | owner_at));
    put_u16(p + 2, (uint16_t)type);
    put_u16(p + 4, DNS_IN);
    put_u16(p + 6, (uint16_t)(ttl >> 16));
    put_u16(p + 8, (uint16_t)ttl);
}

static uint8_t *room(struct dns_writer *w, size_t n)
{
    if (w->full || n > w->max - w->n) {
        w->full = true;
        return NULL;
    }
    w->n += n;
    return w->p + w->n - n;
}

void dns_write_rr_head_at(struct dns_writer *w, uint16_t owner_at, enum dns_type type, uint32_t ttl)
{
    uint8_t *p = room(w, 10);
    if (p)
        put_head(p, owner_at, type, ttl);
}

uint8_t *dns_write_rr_at(struct dns_writer *w, uint16_t owner_at, enum dns_type type, uint32_t ttl,
                         size_t n)
{
    uint8_t *p = room(w, 12 + n);
    if (!p)
        return NULL;
    put_head(p, owner_at, type, ttl);
    put_u16(p + 10, (uint16_t)n);
    return p + 12;
}

size_t dns_write_rdata_begin(struct dns_writer *w)
{
    dns_write_u16(w, 0);
    return w->n;
}

void dns_write_rdata_end(struct dns_writer *w, size_t begin)
{
    if (!w->full)
        put_u16(w->p + begin - 2, (uint16_t)(w->n - begin));
}
