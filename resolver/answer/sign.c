// SPDX-License-Identifier: Apache-2.0
// Signatures and proofs into a response; see answer_sign.h.
#include "resolver/answer/sign.h"

#include "base/err.h"
#include "resolver/answer/denial.h"
#include "resolver/answer/sections.h"
#include "resolver/sign/dnssec.h"

#include <string.h>

#define RR_HEAD_BYTES 12 // before RDATA, the owner being a pointer

struct pass { // one response on its way
    struct answer *a;
    const struct dnssec *d;
    // a signature is not there; one at least is being made
    bool missing, asked;
    uint16_t n_added;
    struct sections s;
    uint8_t data[SIGNER_DATA_MAX];
};

// ---- records ----

// A record by pointer to its owner, with room for n octets of RDATA.
static uint8_t *add_record(struct pass *p, uint16_t owner_at, uint16_t type, uint32_t ttl, size_t n)
{
    p->n_added++;
    return dns_write_rr_at(&p->a->w, owner_at, (enum dns_type)type, ttl, n);
}

static void add_copy(struct pass *p, uint16_t owner_at, const struct zone_rr *rr, uint32_t ttl)
{
    uint8_t *to = add_record(p, owner_at, rr->type, ttl, rr->rdata_n);
    if (to)
        memcpy(to, rr->rdata, rr->rdata_n);
}

// ---- signatures made on line ----

// Records that may be cached for longer than this need signatures that outlive them: half an hour
// is left of a short one when it is last handed out.
#define SHORT_TTL_MAX_S 900

static enum rrsig_life life_of(const struct dnssec_zone *z, const struct rrset *s)
{
    size_t below = name_labels(s->owner, s->owner_n) - name_labels(z->apex, z->apex_n);
    if (s->ttl > SHORT_TTL_MAX_S)
        return RRSIG_LONG;
    if (s->type == DNS_NSEC)
        return RRSIG_SHORT;
    // D itself and names of a region live long; what leads where health says does not.
    if (below == 0 || below >= 3)
        return RRSIG_LONG;
    return RRSIG_SHORT;
}

_Static_assert((int)LOOKUP_CLASSES == (int)SIGNER_CLASSES, "counted by class");

static void count_lookup(struct answer *a, enum signer_class class, enum answer_lookup outcome)
{
    a->info->looked_up = true;
    a->info->lookups[class][outcome]++;
}

static bool find_signature(struct pass *p, const struct dnssec_key *k, const struct rrset *s,
                           uint8_t sig[DNS_SIGNATURE_BYTES])
{
    const struct answer_context *c = p->a->c;
    enum signer_class class = SIGNER_POSITIVE;
    if (s->type == DNS_NSEC)
        class = SIGNER_DENIAL;
    struct rrsig_times t = rrsig_times(life_of(&p->d->main, s), s->owner, s->owner_n, c->now_s);
    struct signer_what w = {.data = p->data,
                            .n = rrset_to_sign(s, &k->by, t, p->data, sizeof p->data),
                            .key = k->key,
                            .key_uid = k->uid,
                            .keys = (void *)p->d,
                            .expires_s = (uint32_t)t.expiration};
    if (!w.n) {
        answer_ede(p->a, EDE_OTHER, "too many records to sign");
        p->missing = true;
        return false;
    }
    if (signer_get(c->signer, class, &w, sig)) {
        count_lookup(p->a, class, LOOKUP_HIT);
        return true;
    }
    if (t.young) { // the one before does for now, and this one is made meanwhile
        rrset_retime(p->data, rrsig_times_before(t));
        if (signer_get(c->signer, class, &w, sig)) {
            struct pending_ticket none = {0};
            uint8_t times[8];
            memcpy(times, p->data + 8, sizeof times);
            rrset_retime(p->data, t);
            signer_ask(c->signer, class, &w, none);
            memcpy(p->data + 8, times, sizeof times);
            count_lookup(p->a, class, LOOKUP_BEFORE);
            return true;
        }
        rrset_retime(p->data, t);
    }
    count_lookup(p->a, class, LOOKUP_MISS);
    p->missing = true;
    if (c->ticket.inbox && !signer_ask(c->signer, class, &w, c->ticket))
        p->asked = true;
    return false;
}

static void sign_set(struct pass *p, uint16_t owner_at, struct rrset *s)
{
    const struct dnssec_zone *z = &p->d->main;
    size_t head = RRSIG_HEAD_BYTES + z->apex_n;
    rrset_sort(s);
    for (size_t i = 0; i < z->n_zone_keys; i++) {
        uint8_t sig[DNS_SIGNATURE_BYTES];
        if (!find_signature(p, &z->zone_keys[i], s, sig))
            continue;
        uint8_t *to = add_record(p, owner_at, DNS_RRSIG, s->ttl, head + sizeof sig);
        if (!to)
            continue;
        memcpy(to, p->data, head);
        memcpy(to + head, sig, sizeof sig);
    }
}

// ---- signatures that stand in a list ----

static uint16_t covered(const struct zone_rr *rrsig)
{
    return (uint16_t)(rrsig->rdata[0] << 8 | rrsig->rdata[1]);
}

static bool add_listed(struct pass *p, uint16_t owner_at, const struct zone_rr *rrs, size_t n,
                       uint16_t type, uint32_t ttl)
{
    bool found = false;
    for (size_t i = 0; i < n; i++)
        if (rrs[i].type == DNS_RRSIG && covered(&rrs[i]) == type) {
            add_copy(p, owner_at, &rrs[i], ttl);
            found = true;
        }
    return found;
}

// Is it what the signed zone holds? Not while the zone of a new topology is being signed. `rrs`:
// all of the owner's.
static bool same_set(const struct rrset *s, const struct zone_rr *rrs, size_t n)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        if (rrs[i].type != s->type)
            continue;
        if (found == s->n || s->rdata[found].n != rrs[i].rdata_n ||
            memcmp(s->rdata[found].p, rrs[i].rdata, rrs[i].rdata_n))
            return false;
        found++;
    }
    return found == s->n;
}

// For the moment in which the zone of a new topology is being signed: who asked over UDP comes by
// TCP a little later.
static void not_ready(struct pass *p)
{
    p->missing = true;
    answer_ede(p->a, EDE_NOT_READY, "signatures are being made");
}

static void sign_zone_set(struct pass *p, uint16_t owner_at, struct rrset *s)
{
    const struct zone_rr *rrs;
    rrset_sort(s);
    size_t n = zone_owner(p->d->zone, s->owner, s->owner_n, &rrs);
    if (!same_set(s, rrs, n) || !add_listed(p, owner_at, rrs, n, s->type, s->ttl))
        not_ready(p);
}

// ---- sets of a section ----

static bool same_owner(const struct section_record *a, const struct section_record *b)
{
    return a->owner_n == b->owner_n &&
           (a->owner == b->owner || !memcmp(a->owner, b->owner, a->owner_n));
}

static void sign_one(struct pass *p, uint16_t owner_at, struct rrset *s)
{
    const struct dnssec_zone *z = &p->d->main;
    enum answer_zone zone = zone_cut_of(p->a->t, s->owner, s->owner_n);
    if (s->type == DNS_RRSIG)
        return; // asked for by itself
    if (s->type == DNS_DS)
        zone = ZONE_MAIN; // the parent's
    if (zone == ZONE_FRONTEND)
        sign_zone_set(p, owner_at, s);
    else if (zone == ZONE_MAIN &&
             !add_listed(p, owner_at, z->rrs, s->owner_n == z->apex_n ? z->n_rrs : 0, s->type,
                         s->ttl))
        sign_set(p, owner_at, s);
}

// Appends the signatures of records first..first+n-1. `shift`: where the first record stands now,
// if it was written anew by name; their owners' offsets then are those of `at`.
static void sign_section(struct pass *p, size_t first, size_t n, const uint16_t *at)
{
    struct rdata rdata[RRSET_MAX];
    for (size_t i = first, k; i < first + n; i = k) {
        const struct section_record *r = &p->s.rr[i];
        struct rrset s = {r->owner, r->owner_n, r->type, r->ttl, rdata, 0};
        for (k = i; k < first + n && same_owner(&p->s.rr[k], r) && p->s.rr[k].type == r->type;
             k++) {
            if (s.n == RRSET_MAX) {
                not_ready(p);
                return;
            }
            rdata[s.n++] = p->s.rr[k].rdata;
        }
        sign_one(p, at ? at[i - first] : r->owner_at, &s);
    }
}

// ---- what follows the answers ----

static void rewrite(struct pass *p, const struct section_record *r, uint16_t *out_at)
{
    struct dns_writer *w = &p->a->w;
    const uint8_t *d = r->rdata.p;
    size_t names = 0, at = 0; // that RDATA begins with
    if (r->type == DNS_SOA)
        names = 2;
    if (r->type == DNS_NS)
        names = 1;
    *out_at = (uint16_t)w->n;
    dns_write_rr_head(w, r->owner, r->owner_n, (enum dns_type)r->type, r->ttl);
    if (!w->full && w->p[*out_at] >= 0xc0)
        *out_at = (uint16_t)((w->p[*out_at] & 0x3f) << 8 | w->p[*out_at + 1]);
    size_t begin = dns_write_rdata_begin(w);
    for (size_t i = 0; i < names; i++) {
        size_t from = at;
        while (at < r->rdata.n && d[at])
            at += 1u + d[at];
        dns_write_name(w, d + from, ++at - from);
    }
    dns_write_bytes(w, d + at, r->rdata.n - at);
    dns_write_rdata_end(w, begin);
}

static void deny_wildcard(struct pass *p, const uint8_t *name, size_t n, uint32_t ttl)
{
    uint8_t owner[DNS_NAME_MAX], nsec[DENIAL_RDATA_MAX];
    struct rdata rdata = {nsec, (uint16_t)denial_of_wildcard(name, n, owner, nsec)};
    const struct section_record r = {owner, n, 0, DNS_NSEC, ttl, rdata};
    struct rrset s = {owner, n, DNS_NSEC, ttl, &rdata, 1};
    uint16_t at;
    rewrite(p, &r, &at);
    p->n_added++;
    sign_set(p, at, &s);
}

static void deny_main(struct pass *p, const uint8_t *name, size_t n, uint16_t owner_at, bool absent,
                      uint32_t ttl)
{
    if (absent && name_is_wildcard(name, n)) {
        deny_wildcard(p, name, n, ttl);
        return;
    }
    uint8_t nsec[DENIAL_RDATA_MAX];
    struct rdata rdata = {nsec, (uint16_t)denial_main(p->a, name, n, absent, nsec)};
    if (!rdata.n) {
        p->a->rcode = DNS_SERVFAIL;
        answer_ede(p->a, EDE_OTHER, "this name's absence cannot be proved");
        return;
    }
    uint8_t *to = add_record(p, owner_at, DNS_NSEC, ttl, rdata.n);
    if (to)
        memcpy(to, nsec, rdata.n);
    struct rrset s = {name, n, DNS_NSEC, ttl, &rdata, 1};
    sign_set(p, owner_at, &s);
    if (absent && !p->a->q->compact_ok)
        p->a->rcode = DNS_NOERROR; // RFC 9824 section 2
}

static void deny_zone(struct pass *p, const uint8_t *name, size_t n, bool absent, uint32_t ttl)
{
    const struct zone_rr *nsec[2], *sigs;
    size_t k = denial_zone(p->d->zone, name, n, p->a->q->type, absent, nsec);
    if (!k)
        not_ready(p);
    for (size_t i = 0; i < k; i++) {
        uint16_t at;
        struct section_record r = {
            nsec[i]->owner, nsec[i]->owner_n, 0, DNS_NSEC, ttl, {nsec[i]->rdata, nsec[i]->rdata_n}};
        rewrite(p, &r, &at);
        p->n_added++;
        size_t n_sigs = zone_rrset(p->d->zone, nsec[i]->owner, nsec[i]->owner_n, DNS_RRSIG, &sigs);
        add_listed(p, at, sigs, n_sigs, DNS_NSEC, ttl);
    }
}

// The name that the answer ends at has no such records: the one asked for, or the last alias's
// target.
static void deny(struct pass *p, const struct section_record *soa, uint16_t owner_at)
{
    uint8_t name[DNS_NAME_MAX];
    size_t n = sections_name(p->a, owner_at, name);
    bool absent = p->a->rcode == DNS_NXDOMAIN;
    enum answer_zone zone = zone_cut_of(p->a->t, soa->owner, soa->owner_n);
    if (!n)
        p->a->rcode = DNS_SERVFAIL;
    else if (zone == ZONE_FRONTEND)
        deny_zone(p, name, n, absent, soa->ttl);
    else if (zone == ZONE_MAIN)
        deny_main(p, name, n, owner_at, absent, soa->ttl);
}

// `moved`: it was cut off, to make room for the signatures of the answers.
static void sign_rest(struct pass *p, uint16_t denied_at, bool moved)
{
    struct answer *a = p->a;
    struct sections *s = &p->s;
    uint16_t at[SECTION_RECORDS_MAX], ignored;
    const struct section_record *rest = &s->rr[s->n_answer];
    for (size_t i = 0; i < s->n_authority && moved; i++)
        rewrite(p, &rest[i], &at[i]);
    p->n_added = 0;
    sign_section(p, s->n_answer, s->n_authority, moved ? at : NULL);
    if (s->n_authority && rest->type == DNS_SOA)
        deny(p, rest, denied_at);
    a->n_authority = (uint16_t)(a->n_authority + p->n_added);
    a->n_additional = 0;
    for (size_t i = s->n_authority; i < s->n_authority + s->n_additional && !a->w.full; i++) {
        struct dns_mark m = dns_writer_mark(&a->w);
        rewrite(p, &rest[i], &ignored);
        if (a->w.full) { // as many as fit
            dns_writer_rewind(&a->w, m);
            break;
        }
        a->n_additional++;
    }
}

// Signatures were asked for, not what they are of (answer_dnssec.c): the first record goes. Nothing
// points behind it.
static void drop_signed(struct pass *p)
{
    struct dns_writer *w = &p->a->w;
    const struct section_record *r = p->s.rr;
    if (p->a->q->type != DNS_RRSIG || !p->s.n_answer || r->type != DNS_NSEC || w->full)
        return;
    size_t at = DNS_HEADER_BYTES + p->a->q->name_n + 4, n = RR_HEAD_BYTES + r->rdata.n;
    memmove(w->p + at, w->p + at + n, w->n - at - n);
    w->n -= n;
    p->a->n_answer--;
}

// Compression targets of what is about to be written anew are forgotten.
static void cut_at(struct dns_writer *w, size_t at)
{
    size_t k = w->n_offsets;
    while (k && w->offsets[k - 1] >= at)
        k--;
    dns_writer_rewind(w, (struct dns_mark){at, k});
}

static bool ready(struct answer *a)
{
    const struct dnssec *d = a->c->dnssec;
    const struct catalogue *c = a->t->catalogue;
    if (d && a->c->signer && d->main.apex_n == c->apex_n &&
        !memcmp(d->main.apex, c->apex, c->apex_n))
        return true;
    a->rcode = DNS_SERVFAIL; // unsigned would be bogus
    answer_ede(a, EDE_NOT_READY, "no keys to sign with");
    return false;
}

void answer_sign(struct answer *a)
{
    struct pass p;
    if (a->pending || a->w.full || !a->authoritative ||
        (a->rcode != DNS_NOERROR && a->rcode != DNS_NXDOMAIN) || !ready(a))
        return;
    p.a = a;
    p.d = a->c->dnssec;
    p.missing = p.asked = false;
    p.n_added = 0;
    if (!sections_read(&p.s, a)) {
        a->rcode = DNS_SERVFAIL;
        return;
    }
    uint16_t denied_at = a->owner_at;
    // else the authority section stays where it stands
    bool moves = p.s.n_answer + p.s.n_additional > 0;
    if (moves)
        cut_at(&a->w, p.s.authority_at);
    sign_section(&p, 0, p.s.n_answer, NULL);
    a->n_answer = (uint16_t)(a->n_answer + p.n_added);
    drop_signed(&p);
    if (p.s.n_authority || p.s.n_additional)
        sign_rest(&p, denied_at, moves);
    if (!p.missing)
        return;
    if (p.asked)
        a->pending = true;
    else if (a->c->transport == ANSWER_UDP)
        answer_truncate(a); // over TCP it can wait its turn
    else
        a->rcode = DNS_SERVFAIL;
}
