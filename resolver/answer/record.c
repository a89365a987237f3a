// SPDX-License-Identifier: Apache-2.0
// The records of a response; see answer_priv.h. Names come from config/catalogue.
#include "resolver/answer/priv.h"

#include "base/mem.h"
#include "config/frontend.h"
#include "resolver/zone/zone.h"

#include <string.h>

static void rr_head(struct answer *a, enum dns_type type, uint32_t ttl)
{
    dns_write_rr_head_at(&a->w, a->owner_at, type, ttl);
}

// An answer, the one that is written next, has begun at `at` and does not fit. It is the first of
// those, if any were before it.
static void does_not_fit(struct answer *a, size_t at)
{
    if (a->whole_at)
        return;
    a->whole_at = (uint16_t)at;
    a->n_whole = a->n_answer;
}

// label + labels + D, whole.
static size_t name_whole(const struct answer *a, const struct catalogue_registry *label,
                         struct catalogue_labels labels, uint8_t wire[DNS_NAME_MAX])
{
    const struct catalogue *c = a->t->catalogue;
    size_t n = 0, n_label = label ? 1u + label->label_n : 0;
    if (n_label + labels.n + c->apex_n > DNS_NAME_MAX)
        return 0; // the grammar of names and the domain's length allow none
    if (label) {
        wire[n++] = label->label_n;
        memcpy(wire + n, catalogue_label(label), label->label_n);
        n += label->label_n;
    }
    memcpy(wire + n, labels.p, labels.n);
    memcpy(wire + n + labels.n, c->apex, c->apex_n);
    return n + labels.n + c->apex_n;
}

// labels + D, by pointer to where D stands in the question. Returns what follows.
static uint8_t *put_below(const struct answer *a, uint8_t *p, struct catalogue_labels labels)
{
    memcpy(p, labels.p, labels.n);
    p += labels.n;
    *p++ = (uint8_t)(0xc0 | a->apex_at >> 8);
    *p++ = (uint8_t)a->apex_at;
    return p;
}

void answer_add_cname(struct answer *a, const struct catalogue_registry *label,
                      struct catalogue_labels labels, uint32_t ttl)
{
    size_t n = (label ? 1u + label->label_n : 0) + labels.n + 2, at = a->w.n;
    if (!a->apex_at) { // D of the question cannot be pointed to: a target is in lower case
        uint8_t wire[DNS_NAME_MAX];
        rr_head(a, DNS_CNAME, ttl);
        size_t begin = dns_write_rdata_begin(&a->w);
        dns_write_name(&a->w, wire, name_whole(a, label, labels, wire));
        dns_write_rdata_end(&a->w, begin);
        a->owner_at = (uint16_t)begin;
        if (a->w.full)
            does_not_fit(a, at);
        a->n_answer++;
        return;
    }
    uint8_t *p = dns_write_rr_at(&a->w, a->owner_at, DNS_CNAME, ttl, n);
    if (!p)
        does_not_fit(a, at);
    a->n_answer++;
    if (!p)
        return;
    a->owner_at = (uint16_t)(p - a->w.p);
    if (label) {
        *p++ = label->label_n;
        memcpy(p, catalogue_label(label), label->label_n);
        p += label->label_n;
    }
    put_below(a, p, labels);
}

void answer_add_address(struct answer *a, const struct ip *ip, uint32_t ttl)
{
    bool v4 = ip_is_v4(ip);
    size_t n = 16;
    if (v4)
        n = 4;
    uint8_t *p = dns_write_rr_at(&a->w, a->owner_at, v4 ? DNS_A : DNS_AAAA, ttl, n);
    if (p)
        memcpy(p, ip->b + 16 - n, n);
    else
        does_not_fit(a, a->w.n);
    a->n_answer++;
}

static void address_rdata(struct dns_writer *w, const struct ip *ip)
{
    bool v4 = ip_is_v4(ip);
    dns_write_u16(w, v4 ? 4 : 16);
    dns_write_bytes(w, v4 ? ip->b + 12 : ip->b, v4 ? 4 : 16);
}

static size_t server_name(const struct answer *a, size_t i, uint8_t wire[DNS_NAME_MAX])
{
    const struct name_server *ns = &a->t->name_servers[i];
    return name_whole(a, NULL, a->t->catalogue->regions[ns->region].frontends[ns->stamp], wire);
}

static size_t zone_name(const struct answer *a, enum answer_zone zone, uint8_t wire[DNS_NAME_MAX])
{
    return name_whole(a, NULL, zone_cut_apex(a->t, zone), wire);
}

// Content only, never health: the same on all nodes. Of fe.D, that of the zone that secondaries
// get; of the others, whose content is every registry, the version.
static uint32_t serial_of(const struct answer *a, enum answer_zone zone)
{
    if (zone != ZONE_FRONTEND)
        return (uint32_t)a->t->version;
    if (a->c->frontend)
        return a->c->frontend->serial;
    return (uint32_t)frontend_serial(a->t, a->c->now_s);
}

static uint32_t negative_ttl(const struct answer *a) // RFC 2308 section 3
{
    const struct ttls *ttl = &a->t->ttl;
    if (ttl->negative < ttl->soa)
        return ttl->negative;
    return ttl->soa;
}

static uint8_t *put_u32(uint8_t *p, uint32_t v)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        *p++ = (uint8_t)(v >> shift);
    return p;
}

// D's SOA below an answer, when D stands in the question as it is written: most absent names are
// asked for so.
static bool soa_by_pointers(struct answer *a)
{
    const struct catalogue *c = a->t->catalogue;
    const struct name_server *ns = &a->t->name_servers[0];
    struct catalogue_labels server = c->regions[ns->region].frontends[ns->stamp];
    if (!a->apex_at || !c->mailbox.p)
        return false;
    uint8_t *p = dns_write_rr_at(&a->w, a->apex_at, DNS_SOA, negative_ttl(a),
                                 server.n + 2 + c->mailbox.n + 2 + SOA_TIMERS_BYTES);
    if (!p)
        return true; // full
    p = put_below(a, put_below(a, p, server), c->mailbox);
    p = put_u32(p, serial_of(a, ZONE_MAIN));
    p = put_u32(p, SOA_REFRESH_S);
    p = put_u32(p, SOA_RETRY_S);
    p = put_u32(p, SOA_EXPIRE_S);
    put_u32(p, a->t->ttl.negative);
    return true;
}

void answer_add_soa(struct answer *a, enum answer_zone zone, bool negative)
{
    uint8_t name[DNS_NAME_MAX];
    const struct ttls *ttl = &a->t->ttl;
    if (negative && zone == ZONE_MAIN && soa_by_pointers(a)) {
        a->n_authority++;
        return;
    }
    size_t n = zone_name(a, zone, name);
    struct dns_writer *w = &a->w;
    if (negative)
        dns_write_rr_head(w, name, n, DNS_SOA, negative_ttl(a));
    else
        rr_head(a, DNS_SOA, ttl->soa);
    size_t begin = dns_write_rdata_begin(w);
    n = server_name(a, 0, name);
    dns_write_name(w, name, n);
    n = dns_name_from_mailbox(a->t->hostmaster, name);
    if (n == 0)
        n = zone_name(a, zone, name);
    dns_write_name(w, name, n);
    dns_write_u32(w, serial_of(a, zone));
    dns_write_u32(w, SOA_REFRESH_S);
    dns_write_u32(w, SOA_RETRY_S);
    dns_write_u32(w, SOA_EXPIRE_S);
    dns_write_u32(w, ttl->negative);
    dns_write_rdata_end(w, begin);
    if (negative)
        a->n_authority++;
    else
        a->n_answer++;
}

void answer_add_ns(struct answer *a, uint32_t ttl)
{
    uint8_t name[DNS_NAME_MAX];
    for (size_t i = 0; i < a->t->n_name_servers; i++) {
        size_t n = server_name(a, i, name);
        rr_head(a, DNS_NS, ttl);
        size_t begin = dns_write_rdata_begin(&a->w);
        dns_write_name(&a->w, name, n);
        dns_write_rdata_end(&a->w, begin);
        a->n_answer++;
    }
}

// One RRset whole or not at all (RFC 2181 section 5.1). Returns how many records went in.
static uint16_t add_glue_set(struct answer *a, const uint8_t *name, size_t n, const struct ip *ips,
                             size_t n_ips)
{
    struct dns_mark m = dns_writer_mark(&a->w);
    for (size_t i = 0; i < n_ips; i++) {
        dns_write_rr_head(&a->w, name, n, ip_is_v4(&ips[i]) ? DNS_A : DNS_AAAA, a->t->ttl.frontend);
        address_rdata(&a->w, &ips[i]);
    }
    if (!a->w.full)
        return (uint16_t)n_ips;
    dns_writer_rewind(&a->w, m);
    return 0;
}

void answer_add_glue(struct answer *a)
{
    uint8_t name[DNS_NAME_MAX];
    if (a->w.full)
        return; // the answer itself did not fit: that is for the frame to say
    for (size_t i = 0; i < a->t->n_name_servers; i++) {
        const struct name_server *ns = &a->t->name_servers[i];
        const struct stamp *s = &a->t->regions[ns->region].stamps[ns->stamp];
        size_t n = server_name(a, i, name);
        a->n_additional =
            (uint16_t)(a->n_additional + add_glue_set(a, name, n, s->ipv4, s->n_ipv4));
        a->n_additional =
            (uint16_t)(a->n_additional + add_glue_set(a, name, n, s->ipv6, s->n_ipv6));
    }
}
