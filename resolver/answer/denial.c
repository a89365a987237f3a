// SPDX-License-Identifier: Apache-2.0
// NSEC records for answers; see denial.h.
#include "resolver/answer/denial.h"

#include "resolver/zone/rrset.h"

#include <string.h>

#define PROBE_BYTES 1232

struct probe { // the answer to another question, for this client
    uint8_t out[PROBE_BYTES];
    struct dns_query q;
    struct answer_context c;
    struct answer_info info;
    struct answer a;
};

static void probe(struct probe *p, const struct answer *a, const uint8_t *name, size_t n,
                  enum dns_type type)
{
    p->q = (struct dns_query){
        .has_question = true, .name = name, .name_n = n, .type = type, .class_ = DNS_IN};
    p->c = *a->c;
    p->info = (struct answer_info){0};
    p->c.ticket.inbox = NULL;
    p->c.transport = ANSWER_TCP; // what is not told over UDP is there all the same
    memset(&p->a, 0, offsetof(struct answer, ede_text));
    p->a.c = &p->c;
    p->a.t = a->t;
    p->a.q = &p->q;
    p->a.info = &p->info;
    p->a.edns.ede = EDE_NONE;
    p->a.owner_at = DNS_HEADER_BYTES;
    p->a.apex_at = 0;
    dns_writer_init(&p->a.w, p->out, sizeof p->out);
    dns_write_header(&p->a.w, &p->q, 0, false);
    answer_name(&p->a);
}

// Would the name have records of that type?
static bool has_type(const struct answer *a, const uint8_t *name, size_t n, enum dns_type type)
{
    struct probe p;
    probe(&p, a, name, n, type);
    size_t at = DNS_HEADER_BYTES + n + 4; // the first record's owner is a pointer to the question
    return p.a.w.full ||
           (p.a.n_answer && p.a.w.n >= at + 4 && (p.out[at + 2] << 8 | p.out[at + 3]) == (int)type);
}

bool denial_absent(const struct answer *a, const uint8_t *name, size_t n)
{
    struct probe p;
    probe(&p, a, name, n, DNS_NXNAME); // of a type that no name has
    return p.a.rcode == DNS_NXDOMAIN;
}

size_t denial_main(const struct answer *a, const uint8_t *name, size_t n, bool absent,
                   uint8_t out[DENIAL_RDATA_MAX])
{
    static const uint16_t before[] = {DNS_A, DNS_NS, DNS_CNAME, DNS_SOA, 15, DNS_TXT, DNS_AAAA},
                          after[] = {DNS_DNSKEY, DNS_CDS, DNS_CDNSKEY, 257};
    uint8_t next[256];
    uint16_t types[16];
    size_t k = 0, next_n = nsec_next_name(name, n, next);
    // a child's apex, of which D has the delegation only
    bool cut = zone_cut_of(a->t, name, n) != ZONE_MAIN;
    if (!next_n)
        return 0;
    if (cut)
        types[k++] = DNS_NS;
    for (size_t i = 0; !absent && !cut && i < sizeof before / sizeof before[0]; i++)
        if (has_type(a, name, n, before[i]))
            types[k++] = before[i];
    types[k++] = DNS_RRSIG;
    types[k++] = DNS_NSEC;
    if (absent)
        types[k++] = DNS_NXNAME;
    for (size_t i = 0; !absent && !cut && i < sizeof after / sizeof after[0]; i++)
        if (has_type(a, name, n, after[i]))
            types[k++] = after[i];
    return nsec_rdata(next, next_n, types, k, out, DENIAL_RDATA_MAX);
}

size_t denial_of_wildcard(const uint8_t *name, size_t n, uint8_t out_owner[DNS_NAME_MAX],
                          uint8_t out[DENIAL_RDATA_MAX])
{
    static const uint16_t types[] = {DNS_RRSIG, DNS_NSEC};
    uint8_t next[DNS_NAME_MAX];
    memcpy(next, name, n);
    next[1] = '*' + 1;
    memcpy(out_owner, name, n);
    out_owner[1] = '*' - 1;
    return nsec_rdata(next, n, types, sizeof types / sizeof types[0], out, DENIAL_RDATA_MAX);
}

// ---- fe.D ----

static const struct zone_rr *nsec_at(const struct zone *z, const uint8_t *name, size_t n)
{
    const struct zone_rr *at = zone_at_or_before(z, name, n), *nsec;
    if (at && zone_rrset(z, at->owner, at->owner_n, DNS_NSEC, &nsec) == 1)
        return nsec;
    return NULL;
}

// Octets at the end that two names share, in whole labels.
static size_t common(const uint8_t *a, size_t a_n, const uint8_t *b, size_t b_n)
{
    for (size_t at = 0; at < a_n; at += 1u + a[at]) {
        size_t left = a_n - at;
        if (left <= b_n && !memcmp(a + at, b + b_n - left, left)) {
            for (size_t k = 0; k < b_n; k += 1u + b[k])
                if (k == b_n - left)
                    return left;
        }
        if (!a[at])
            break;
    }
    return 0;
}

static size_t rdata_name_n(const struct zone_rr *nsec)
{
    size_t at = 0;
    while (at < nsec->rdata_n && nsec->rdata[at])
        at += 1u + nsec->rdata[at];
    return at + 1;
}

size_t denial_zone(const struct zone *z, const uint8_t *name, size_t n, uint16_t type, bool absent,
                   const struct zone_rr *out[2])
{
    const struct zone_rr *first = nsec_at(z, name, n), *set;
    if (!first)
        return 0;
    bool exact = first->owner_n == n && !memcmp(first->owner, name, n);
    if ((absent && exact) || (exact && zone_rrset(z, name, n, type, &set)))
        return 0;
    out[0] = first;
    if (!absent)
        return 1; // at the name; or over an empty one, whose child comes next
    size_t by_owner = common(name, n, first->owner, first->owner_n);
    size_t by_next = common(name, n, first->rdata, rdata_name_n(first));
    size_t encloser = by_next;
    if (by_owner > by_next)
        encloser = by_owner;
    uint8_t wildcard[DNS_NAME_MAX];
    if (encloser + 2 > sizeof wildcard)
        return 1; // no wildcard could stand there
    memcpy(wildcard, "\1*", 2);
    memcpy(wildcard + 2, name + n - encloser, encloser);
    out[1] = nsec_at(z, wildcard, encloser + 2);
    if (out[1] && out[1] != first)
        return 2;
    return 1;
}
