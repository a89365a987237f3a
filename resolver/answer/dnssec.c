// SPDX-License-Identifier: Apache-2.0
// Questions for DNSSEC's own records: keys at an apex and their DS, and the NSEC or the signatures
// of a name. See answer_sign.h.
#include "resolver/answer/sign.h"

#include "resolver/answer/denial.h"
#include "resolver/answer/sections.h"
#include "resolver/sign/dnssec.h"

#include <string.h>

static void add(struct answer *a, uint16_t type, uint32_t ttl, const uint8_t *rdata, size_t n)
{
    uint8_t *p = dns_write_rr_at(&a->w, a->owner_at, (enum dns_type)type, ttl, n);
    if (p)
        memcpy(p, rdata, n);
    a->n_answer++;
}

bool answer_add_keys(struct answer *a, enum answer_zone zone)
{
    const struct dnssec *d = a->c->dnssec;
    uint16_t type = a->q->type, n = a->n_answer;
    bool ds = type == DNS_DS && zone == ZONE_FRONTEND;
    if (!d || zone > ZONE_FRONTEND ||
        (!ds && type != DNS_DNSKEY && type != DNS_CDS && type != DNS_CDNSKEY))
        return false;
    const struct dnssec_zone *z = &d->main;
    if (zone == ZONE_FRONTEND)
        z = &d->frontend;
    const struct zone_rr *rrs = z->rrs;
    size_t n_rrs = z->n_rrs;
    if (ds) {
        rrs = z->ds;
        n_rrs = z->n_ds;
    }
    a->bulky = !ds;
    for (size_t i = 0; i < n_rrs; i++)
        if (rrs[i].type == type)
            add(a, type, rrs[i].ttl, rrs[i].rdata, rrs[i].rdata_n);
    return a->n_answer > n;
}

static bool add_of_zone(struct answer *a, const uint8_t *name, size_t n)
{
    const struct zone_rr *rrs;
    size_t n_rrs = zone_rrset(a->c->dnssec->zone, name, n, a->q->type, &rrs);
    for (size_t i = 0; i < n_rrs; i++)
        add(a, rrs[i].type, rrs[i].ttl, rrs[i].rdata, rrs[i].rdata_n);
    return n_rrs > 0;
}

// The NSEC that would deny another type. With compact denial a name that is not there has one too,
// which only who asks for DNSSEC is to see; who knows what it means (CO) is told NXDOMAIN.
// Signatures are those of the NSEC, one RRset being enough (RFC 8482 section 7): answer_sign drops
// it again.
static bool add_made(struct answer *a, const uint8_t *name, size_t n)
{
    uint8_t nsec[DENIAL_RDATA_MAX];
    const struct ttls *ttl = &a->t->ttl;
    if (a->q->type == DNS_RRSIG && !a->q->dnssec_ok)
        return false; // nothing is signed for who does not ask for DNSSEC
    dns_type_set types;
    bool absent = !name_types(a, name, n, &types);
    if (absent && name_is_wildcard(name, n))
        return false; // denied by another's (denial_of_wildcard)
    size_t rdata_n;
    if (absent && (!a->q->dnssec_ok || a->q->compact_ok))
        rdata_n = 0;
    else
        rdata_n = denial_main(a, name, n, absent, nsec);
    if (rdata_n)
        add(a, DNS_NSEC, ttl->negative < ttl->soa ? ttl->negative : ttl->soa, nsec, rdata_n);
    return rdata_n > 0;
}

bool answer_add_proof(struct answer *a)
{
    uint8_t name[DNS_NAME_MAX];
    if ((a->q->type != DNS_NSEC && a->q->type != DNS_RRSIG) || !a->t->dnssec.n_keys ||
        !a->c->dnssec)
        return false;
    size_t n = sections_name(a, a->owner_at, name);
    enum answer_zone zone = zone_cut_of(a->t, name, n);
    if (zone == ZONE_FRONTEND)
        return add_of_zone(a, name, n);
    return zone == ZONE_MAIN && add_made(a, name, n);
}
