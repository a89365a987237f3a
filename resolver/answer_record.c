// SPDX-License-Identifier: Apache-2.0
// The records of a response; see answer_priv.h. Names come from config/hostname only.
#include "resolver/answer_priv.h"

#include "base/mem.h"

#include <string.h>

static void rr_head(struct answer *a, enum dns_type type, uint32_t ttl)
{
    dns_write_rr_head(&a->w, a->owner_n ? a->owner : NULL, a->owner_n, type, ttl);
}

void answer_add_cname(struct answer *a, const char *target, uint32_t ttl)
{
    uint8_t wire[DNS_NAME_MAX];
    size_t n = dns_name_from_text(target, wire);
    rr_head(a, DNS_CNAME, ttl);
    size_t begin = dns_write_rdata_begin(&a->w);
    dns_write_name(&a->w, wire, n);
    dns_write_rdata_end(&a->w, begin);
    a->n_answer++;
    memcpy(a->owner, wire, n);
    a->owner_n = n;
}

static void address_rdata(struct dns_writer *w, const struct ip *ip)
{
    bool v4 = ip_is_v4(ip);
    dns_write_u16(w, v4 ? 4 : 16);
    dns_write_bytes(w, v4 ? ip->b + 12 : ip->b, v4 ? 4 : 16);
}

void answer_add_address(struct answer *a, const struct ip *ip, uint32_t ttl)
{
    rr_head(a, ip_is_v4(ip) ? DNS_A : DNS_AAAA, ttl);
    address_rdata(&a->w, ip);
    a->n_answer++;
}

static bool server_name(const struct topology *t, size_t i, uint8_t wire[DNS_NAME_MAX], size_t *out_n)
{
    char text[HOSTNAME_TEXT_SIZE];
    const struct region *r = &t->regions[t->name_servers[i].region];
    if (hostname_format(NAME_FRONTEND, t->domain, NULL, r->name, r->stamps[t->name_servers[i].stamp].name, text))
        return false;
    *out_n = dns_name_from_text(text, wire);
    return *out_n != 0;
}

static size_t zone_name(const struct topology *t, enum answer_zone zone, uint8_t wire[DNS_NAME_MAX])
{
    uint8_t fe[] = {2, 'f', 'e'};
    uint8_t apex[DNS_NAME_MAX];
    size_t n = dns_name_from_text(t->domain, apex), at = zone == ZONE_FRONTEND ? sizeof fe : 0;
    if (n + at > DNS_NAME_MAX)
        return 0;
    memcpy(wire, fe, at);
    memcpy(wire + at, apex, n);
    return n + at;
}

void answer_add_soa(struct answer *a, enum answer_zone zone, bool negative)
{
    uint8_t name[DNS_NAME_MAX];
    const struct ttls *ttl = &a->t->ttl;
    size_t n = zone_name(a->t, zone, name);
    struct dns_writer *w = &a->w;
    if (negative)
        dns_write_rr_head(w, name, n, DNS_SOA, ttl->negative); // RFC 2308 section 3: the lesser of TTL and MINIMUM
    else
        rr_head(a, DNS_SOA, ttl->soa);
    size_t begin = dns_write_rdata_begin(w);
    if (!server_name(a->t, 0, name, &n))
        n = zone_name(a->t, zone, name);
    dns_write_name(w, name, n);
    n = dns_name_from_mailbox(a->t->hostmaster, name);
    if (n == 0)
        n = zone_name(a->t, zone, name);
    dns_write_name(w, name, n);
    dns_write_u32(w, (uint32_t)a->t->version); // content only, never health: the same on all nodes
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
    size_t n;
    for (size_t i = 0; i < a->t->n_name_servers; i++) {
        if (!server_name(a->t, i, name, &n))
            continue;
        rr_head(a, DNS_NS, ttl);
        size_t begin = dns_write_rdata_begin(&a->w);
        dns_write_name(&a->w, name, n);
        dns_write_rdata_end(&a->w, begin);
        a->n_answer++;
    }
}

// One RRset whole or not at all (RFC 2181 section 5.1). Returns how many records went in.
static uint16_t add_glue_set(struct answer *a, const uint8_t *name, size_t n, const struct ip *ips, size_t n_ips)
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
    size_t n;
    if (a->w.full)
        return; // the answer itself did not fit: that is for the frame to say
    for (size_t i = 0; i < a->t->n_name_servers; i++) {
        const struct name_server *ns = &a->t->name_servers[i];
        const struct stamp *s = &a->t->regions[ns->region].stamps[ns->stamp];
        if (!server_name(a->t, i, name, &n))
            continue;
        a->n_additional = (uint16_t)(a->n_additional + add_glue_set(a, name, n, s->ipv4, s->n_ipv4));
        a->n_additional = (uint16_t)(a->n_additional + add_glue_set(a, name, n, s->ipv6, s->n_ipv6));
    }
}
