// SPDX-License-Identifier: Apache-2.0
// A zone signed whole: keys at the apex, the chain of NSEC records, a signature for every RRset;
// see dnssec.h.
#include "resolver/sign/dnssec.h"

#include "base/err.h"
#include "resolver/packet/wire.h"
#include "resolver/sign/dnssec_priv.h"

#include <arpa/inet.h>
#include <string.h>

static bool same_owner(const struct zone_rr *a, const struct zone_rr *b)
{
    return a->owner_n == b->owner_n && !memcmp(a->owner, b->owner, a->owner_n);
}

// Negative TTL: RFC 9077, from the SOA.
static uint32_t nsec_ttl(const struct zone *z)
{
    const struct zone_rr *soa = zone_soa(z);
    const uint8_t *p = soa->rdata + soa->rdata_n - 4;
    uint32_t minimum = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    if (minimum < soa->ttl)
        return minimum;
    return soa->ttl;
}

// `first` to `end`: all records of an owner; `next`: of the owner after it.
static int add_nsec(struct dnssec_signing *g, const struct zone *z, const struct zone_rr *first,
                    const struct zone_rr *end, const struct zone_rr *next)
{
    dns_type_set types = dns_type_bit(DNS_RRSIG) | dns_type_bit(DNS_NSEC);
    for (const struct zone_rr *r = first; r < end; r++) {
        dns_type_set bit = dns_type_bit(r->type);
        if (!bit)
            return ERR_UNSUPPORTED; // a type that dns/types.h has no row for
        types |= bit;
    }
    uint8_t rdata[DNS_NAME_MAX + 2 * 34];
    size_t rdata_n = nsec_rdata(next->owner, next->owner_n, types, rdata, sizeof rdata);
    const uint8_t *copy = NULL;
    if (rdata_n)
        copy = arena_copy(g->arena, rdata, rdata_n);
    const uint8_t *owner = arena_copy(g->arena, first->owner, first->owner_n);
    if (!copy || !owner) {
        if (rdata_n)
            return ERR_NOMEM;
        return ERR_TOOBIG;
    }
    return dnssec_add(
        g, (struct zone_rr){owner, copy, first->owner_n, (uint16_t)rdata_n, DNS_NSEC, nsec_ttl(z)});
}

static const struct zone_rr *owner_end(const struct zone_rr *r, const struct zone_rr *all_end)
{
    const struct zone_rr *first = r;
    while (r < all_end && same_owner(r, first))
        r++;
    return r;
}

static int add_chain(struct dnssec_signing *g, const struct zone *z)
{
    const struct zone_rr *all_end = z->rrs + z->n_rrs;
    int rc = 0;
    for (const struct zone_rr *r = z->rrs, *end; r < all_end && !rc; r = end) {
        end = owner_end(r, all_end);
        // the last leads back to the apex
        rc = add_nsec(g, z, r, end, end < all_end ? end : z->rrs);
    }
    return rc;
}

static bool is_apex_key(uint16_t type)
{
    return type == DNS_DNSKEY || type == DNS_CDS || type == DNS_CDNSKEY;
}

// Signatures of all but the apex's keys, which have theirs.
static int sign_sets(struct dnssec_signing *g, const struct dnssec *d, const struct zone *z)
{
    const struct zone_rr *all_end = z->rrs + z->n_rrs;
    int rc = 0;
    for (const struct zone_rr *r = z->rrs, *end; r < all_end && !rc; r = end) {
        for (end = r; end < all_end && same_owner(end, r) && end->type == r->type;)
            end++;
        if (!is_apex_key(r->type) && r->type != DNS_RRSIG)
            rc = dnssec_sign_all(g, d->frontend.zone_keys, d->frontend.n_zone_keys, r,
                                 (size_t)(end - r));
    }
    return rc;
}

// The apex's keys and the chain go in first, so that the sets to sign are those of a zone in order.
static int chained(const struct dnssec *d, const struct zone *z, struct dnssec_signing *g,
                   struct zone **out)
{
    struct zone *with_keys = NULL;
    int rc = 0;
    for (size_t i = 0; i < z->n_rrs && !rc; i++)
        rc = dnssec_add(g, z->rrs[i]);
    for (size_t i = 0; i < d->frontend.n_rrs && !rc; i++)
        if (d->frontend.rrs[i].type != DNS_RRSIG)
            rc = dnssec_add(g, d->frontend.rrs[i]);
    if (!rc)
        rc = zone_new(z->apex, z->apex_n, z->serial, false, g->rrs, g->n, &with_keys);
    if (!rc)
        rc = add_chain(g, with_keys);
    if (!rc)
        rc = zone_new(z->apex, z->apex_n, z->serial, false, g->rrs, g->n, out);
    snapshot_unref(with_keys);
    return rc;
}

// Is `last` the zone in order with signatures of these times on top?
static bool still_right(const struct zone *last, const struct zone *ordered,
                        const struct dnssec_signing *g)
{
    size_t k = 0;
    if (!last || !last->is_signed || last->serial != ordered->serial)
        return false;
    for (size_t i = 0; i < last->n_rrs; i++) {
        const struct zone_rr *r = &last->rrs[i];
        uint32_t times[2] = {htonl((uint32_t)g->times.expiration),
                             htonl((uint32_t)g->times.inception)};
        if (r->type == DNS_RRSIG ? r->rdata_n < RRSIG_HEAD_BYTES || memcmp(r->rdata + 8, times, 8)
                                 : k == ordered->n_rrs || r->ttl != ordered->rrs[k].ttl ||
                                       zone_rr_compare(r, &ordered->rrs[k++]))
            return false;
    }
    return k == ordered->n_rrs;
}

int dnssec_zone_sign(const struct dnssec *d, const struct zone *z, const struct zone *last,
                     int64_t now_s, struct signer *memo, struct zone **out)
{
    struct arena arena;
    struct zone *ordered = NULL;
    arena_init(&arena, 0);
    size_t cap = (z->n_rrs + d->frontend.n_rrs) * (3 + 2 * d->frontend.n_zone_keys);
    struct dnssec_signing g = {memo,   rrsig_times(RRSIG_ZONE, NULL, 0, now_s),
                               &arena, arena_array(&arena, cap, sizeof(struct zone_rr)),
                               0,      cap};
    int rc = ERR_NOMEM;
    if (g.rrs)
        rc = chained(d, z, &g, &ordered);
    bool again = !rc && still_right(last, ordered, &g);
    if (!rc && !again)
        rc = sign_sets(&g, d, ordered);
    for (size_t i = 0; i < d->frontend.n_rrs && !rc; i++)
        if (d->frontend.rrs[i].type == DNS_RRSIG)
            rc = dnssec_add(&g, d->frontend.rrs[i]);
    if (again)
        *out = snapshot_ref((void *)last); // only its count changes
    else if (!rc)
        rc = zone_new(z->apex, z->apex_n, z->serial, true, g.rrs, g.n, out);
    snapshot_unref(ordered);
    arena_done(&arena);
    return rc;
}
