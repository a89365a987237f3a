// SPDX-License-Identifier: Apache-2.0
// See dnssec_judge.h.
#include "tests/support/dnssec_judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NXNAME 128

static bool wrong(struct dnssec_judge *j, const ldns_rr *rr, const char *what)
{
    char *text = rr ? ldns_rr2str(rr) : NULL;
    snprintf(j->why, sizeof j->why, "%s: %s", what, text ? text : "");
    free(text);
    return false;
}

void dnssec_judge_zone(struct dnssec_judge *j, const char *apex, ldns_rr_list *keys)
{
    if (!j->n_zones)
        j->least_left_s = j->least_age_s = INT64_MAX;
    if (j->n_zones == DNSSEC_JUDGE_ZONES)
        abort();
    j->zones[j->n_zones].apex = ldns_dname_new_frm_str(apex);
    j->zones[j->n_zones++].keys = keys;
}

void dnssec_judge_done(struct dnssec_judge *j)
{
    for (size_t i = 0; i < j->n_zones; i++) {
        ldns_rdf_deep_free(j->zones[i].apex);
        ldns_rr_list_deep_free(j->zones[i].keys);
    }
}

// In any case, which ldns_dname_is_subdomain minds.
static bool is_below(const ldns_rdf *name, const ldns_rdf *apex)
{
    int more = ldns_dname_label_count(name) - ldns_dname_label_count(apex);
    ldns_rdf *end = more > 0 ? ldns_dname_clone_from(name, (uint16_t)more) : NULL;
    bool yes = end && !ldns_dname_compare(end, apex);
    ldns_rdf_deep_free(end);
    return yes;
}

static bool at_or_below(const ldns_rdf *name, const ldns_rdf *apex)
{
    return !ldns_dname_compare(name, apex) || is_below(name, apex);
}

// The deepest zone that the name is in, or `above`: is below the apex of. n_zones: none.
static size_t zone_of(const struct dnssec_judge *j, const ldns_rdf *name, bool above)
{
    size_t found = j->n_zones;
    for (size_t i = 0; i < j->n_zones; i++) {
        const ldns_rdf *apex = j->zones[i].apex;
        if (above ? !is_below(name, apex) : !at_or_below(name, apex))
            continue;
        if (found == j->n_zones ||
            ldns_dname_label_count(apex) > ldns_dname_label_count(j->zones[found].apex))
            found = i;
    }
    return found;
}

// ---- signatures ----

static bool same_set(const ldns_rr *a, const ldns_rr *b)
{
    return ldns_rr_get_type(a) == ldns_rr_get_type(b) &&
           !ldns_dname_compare(ldns_rr_owner(a), ldns_rr_owner(b));
}

static bool covers(const ldns_rr *sig, const ldns_rr *rr)
{
    return ldns_rr_get_type(sig) == LDNS_RR_TYPE_RRSIG &&
           ldns_rdf2rr_type(ldns_rr_rrsig_typecovered(sig)) == ldns_rr_get_type(rr) &&
           !ldns_dname_compare(ldns_rr_owner(sig), ldns_rr_owner(rr));
}

static bool judge_signature(struct dnssec_judge *j, const ldns_rr_list *set, ldns_rr *sig,
                            size_t zone)
{
    const ldns_rr *first = ldns_rr_list_rr(set, 0);
    int64_t end = ldns_rdf2native_time_t(ldns_rr_rrsig_expiration(sig)), ttl = ldns_rr_ttl(sig);
    int64_t begin = ldns_rdf2native_time_t(ldns_rr_rrsig_inception(sig));
    if (ldns_dname_compare(ldns_rr_rrsig_signame(sig), j->zones[zone].apex))
        return wrong(j, sig, "another zone's signature");
    if (ldns_rr_ttl(first) != ttl || ldns_rdf2native_int32(ldns_rr_rrsig_origttl(sig)) < ttl)
        return wrong(j, sig, "TTLs do not fit");
    // What ldns does not mind. With fewer labels than its owner has, a signature is one of a
    // wildcard's answer (RFC 4034 section 3.1.3), and good for other names too: no zone of ours has
    // wildcards, so none may be.
    if (ldns_rdf2native_int8(ldns_rr_rrsig_labels(sig)) !=
        ldns_dname_label_count(ldns_rr_owner(sig)))
        return wrong(j, sig, "not the labels of its owner");
    if (ldns_dname_is_wildcard(ldns_rr_owner(sig)))
        return wrong(j, sig, "good for other names, as that of a wildcard");
    ldns_rr_list *one = ldns_rr_list_new(), *good = ldns_rr_list_new();
    ldns_rr_list_push_rr(one, sig);
    ldns_status st = ldns_verify_time(set, one, j->zones[zone].keys, (time_t)j->now_s, good);
    ldns_rr_list_free(one);
    ldns_rr_list_free(good);
    j->n_signatures++;
    if (end - j->now_s - ttl < j->least_left_s)
        j->least_left_s = end - j->now_s - ttl;
    if (j->now_s - begin < j->least_age_s)
        j->least_age_s = j->now_s - begin;
    return st == LDNS_STATUS_OK || wrong(j, sig, ldns_get_errorstr_by_id(st));
}

static bool has_type(const ldns_rr *nsec, uint16_t type)
{
    return ldns_nsec_bitmap_covers_type(ldns_nsec_get_bitmap(nsec), (ldns_rr_type)type);
}

static bool is_delegation(const ldns_rr *nsec)
{
    return has_type(nsec, LDNS_RR_TYPE_NS) && !has_type(nsec, LDNS_RR_TYPE_SOA);
}

// At a cut, DS is the parent's, and so is the NSEC of its side.
static bool is_parents(const ldns_rr *rr)
{
    return ldns_rr_get_type(rr) == LDNS_RR_TYPE_DS ||
           (ldns_rr_get_type(rr) == LDNS_RR_TYPE_NSEC && is_delegation(rr));
}

static bool judge_set(struct dnssec_judge *j, const ldns_rr_list *section, const ldns_rr *first)
{
    size_t zone = zone_of(j, ldns_rr_owner(first), is_parents(first)), n_sigs = 0;
    bool is_signed = zone < j->n_zones && j->zones[zone].keys, ok = true;
    ldns_rr_list *set = ldns_rr_list_new();
    for (size_t i = 0; i < ldns_rr_list_rr_count(section); i++) {
        ldns_rr *r = ldns_rr_list_rr(section, i);
        if (same_set(r, first))
            ldns_rr_list_push_rr(set, r);
    }
    for (size_t i = 0; i < ldns_rr_list_rr_count(section) && ok; i++) {
        ldns_rr *r = ldns_rr_list_rr(section, i);
        if (!covers(r, first))
            continue;
        n_sigs++;
        ok = is_signed ? judge_signature(j, set, r, zone)
                       : wrong(j, r, "signed in an unsigned zone");
    }
    ldns_rr_list_free(set);
    j->n_sets++;
    if (ok && is_signed && !n_sigs)
        return wrong(j, first, "not signed");
    return ok;
}

bool dnssec_judge_section(struct dnssec_judge *j, const ldns_rr_list *section)
{
    for (size_t i = 0; i < ldns_rr_list_rr_count(section); i++) {
        const ldns_rr *rr = ldns_rr_list_rr(section, i);
        bool again = false, covered = false, is_sig = ldns_rr_get_type(rr) == LDNS_RR_TYPE_RRSIG;
        for (size_t k = 0; k < i && !is_sig && !again; k++)
            again = same_set(ldns_rr_list_rr(section, k), rr);
        for (size_t k = 0; k < ldns_rr_list_rr_count(section) && is_sig && !covered; k++)
            covered = covers(rr, ldns_rr_list_rr(section, k));
        if (is_sig && !covered)
            return wrong(j, rr, "signature of nothing that is there");
        if (!is_sig && !again && !judge_set(j, section, rr))
            return false;
    }
    return true;
}

// ---- denials ----

// Where the answer ends: the name asked for, or what the aliases lead to.
static const ldns_rdf *last_name(const ldns_pkt *pkt)
{
    const ldns_rr_list *answer = ldns_pkt_answer(pkt);
    const ldns_rdf *name = ldns_rr_owner(ldns_rr_list_rr(ldns_pkt_question(pkt), 0));
    for (size_t i = 0; i < ldns_rr_list_rr_count(answer); i++) {
        const ldns_rr *rr = ldns_rr_list_rr(answer, i);
        if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_CNAME &&
            !ldns_dname_compare(ldns_rr_owner(rr), name))
            name = ldns_rr_rdf(rr, 0);
    }
    return name;
}

static bool judge_bitmap(struct dnssec_judge *j, const ldns_rr *nsec, uint16_t type, bool nxdomain)
{
    if (nxdomain) // to who knows NXNAME: then no other type means anything
        return has_type(nsec, NXNAME) || wrong(j, nsec, "the name exists, says");
    if (has_type(nsec, type) || has_type(nsec, LDNS_RR_TYPE_CNAME))
        return wrong(j, nsec, "the type exists, says");
    if (type != LDNS_RR_TYPE_DS && is_delegation(nsec))
        return wrong(j, nsec, "denied by the parent's side of a cut");
    return true;
}

static bool any_covers(const ldns_rr_list *nsecs, const ldns_rdf *name)
{
    for (size_t i = 0; i < ldns_rr_list_rr_count(nsecs); i++)
        if (ldns_nsec_covers_name(ldns_rr_list_rr(nsecs, i), name))
            return true;
    return false;
}

// The wildcard that could have answered: below the closest ancestor that the covering NSEC shows to
// exist.
static bool wildcard_denied(const ldns_rr_list *nsecs, const ldns_rr *covering,
                            const ldns_rdf *name)
{
    ldns_rdf *encloser = ldns_dname_left_chop(name);
    while (encloser && !at_or_below(ldns_rr_owner(covering), encloser) &&
           !at_or_below(ldns_rr_rdf(covering, 0), encloser)) {
        ldns_rdf *up = ldns_dname_left_chop(encloser);
        ldns_rdf_deep_free(encloser);
        encloser = up;
    }
    ldns_rdf *wildcard = ldns_dname_new_frm_str("*");
    if (encloser && ldns_rdf_size(encloser) + 2 > 255) { // no such name
        ldns_rdf_deep_free(wildcard);
        ldns_rdf_deep_free(encloser);
        return true;
    }
    bool yes = encloser && ldns_dname_cat(wildcard, encloser) == LDNS_STATUS_OK &&
               any_covers(nsecs, wildcard);
    ldns_rdf_deep_free(wildcard);
    ldns_rdf_deep_free(encloser);
    return yes;
}

static bool judge_nsecs(struct dnssec_judge *j, const ldns_pkt *pkt, const ldns_rr_list *nsecs)
{
    const ldns_rdf *name = last_name(pkt);
    uint16_t type = (uint16_t)ldns_rr_get_type(ldns_rr_list_rr(ldns_pkt_question(pkt), 0));
    bool nxdomain = ldns_pkt_get_rcode(pkt) == LDNS_RCODE_NXDOMAIN;
    for (size_t i = 0; i < ldns_rr_list_rr_count(nsecs); i++) {
        const ldns_rr *nsec = ldns_rr_list_rr(nsecs, i);
        if (!ldns_dname_compare(ldns_rr_owner(nsec), name))
            return judge_bitmap(j, nsec, type, nxdomain);
        if (!ldns_nsec_covers_name(nsec, name))
            continue;
        if (nxdomain)
            return wildcard_denied(nsecs, nsec, name) || wrong(j, nsec, "no word on the wildcard");
        return is_below(ldns_rr_rdf(nsec, 0), name) || wrong(j, nsec, "no such name, says");
    }
    return wrong(j, NULL, "no NSEC for the name");
}

bool dnssec_judge_denial(struct dnssec_judge *j, const ldns_pkt *pkt)
{
    const ldns_rr_list *authority = ldns_pkt_authority(pkt);
    ldns_rr_list *nsecs = ldns_rr_list_new();
    const ldns_rr *soa = NULL;
    bool ok = true;
    for (size_t i = 0; i < ldns_rr_list_rr_count(authority); i++) {
        ldns_rr *rr = ldns_rr_list_rr(authority, i);
        if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_SOA)
            soa = rr;
        if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_NSEC)
            ldns_rr_list_push_rr(nsecs, rr);
    }
    if (soa) {
        size_t zone = zone_of(j, ldns_rr_owner(soa), false);
        if (zone < j->n_zones && j->zones[zone].keys)
            ok = judge_nsecs(j, pkt, nsecs);
        else if (ldns_rr_list_rr_count(nsecs))
            ok = wrong(j, soa, "NSEC in an unsigned zone");
    }
    ldns_rr_list_free(nsecs);
    return ok;
}

// ---- records ----

ldns_rr_list *dnssec_judge_records(const struct zone_rr *rrs, size_t n, uint16_t type)
{
    ldns_rr_list *all = ldns_rr_list_new();
    for (size_t i = 0; i < n; i++) {
        const struct zone_rr *r = &rrs[i];
        uint8_t wire[4096];
        size_t at = 0;
        ldns_rr *rr;
        if (type && r->type != type)
            continue;
        const uint8_t head[10] = {(uint8_t)(r->type >> 8),
                                  (uint8_t)r->type,
                                  0,
                                  1,
                                  (uint8_t)(r->ttl >> 24),
                                  (uint8_t)(r->ttl >> 16),
                                  (uint8_t)(r->ttl >> 8),
                                  (uint8_t)r->ttl,
                                  (uint8_t)(r->rdata_n >> 8),
                                  (uint8_t)r->rdata_n};
        size_t size = r->owner_n + sizeof head + r->rdata_n;
        if (size > sizeof wire)
            abort();
        memcpy(wire, r->owner, r->owner_n);
        memcpy(wire + r->owner_n, head, sizeof head);
        memcpy(wire + r->owner_n + sizeof head, r->rdata, r->rdata_n);
        if (ldns_wire2rr(&rr, wire, size, &at, LDNS_SECTION_ANSWER) != LDNS_STATUS_OK)
            abort();
        ldns_rr_list_push_rr(all, rr);
    }
    return all;
}
