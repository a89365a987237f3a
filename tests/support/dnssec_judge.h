// SPDX-License-Identifier: Apache-2.0
// What a validator holds against a response, with the zones' keys and nothing else: a signature of
// the right zone that verifies with ldns for every RRset of a signed zone and for none of an
// unsigned one, and the NSEC records that a denial needs (RFC 4035 section 5.4, 9824). For tests
// and fuzzers; one thread.
//
//   struct dnssec_judge j = {.now_s = now};
//   dnssec_judge_zone(&j, "example.io.", keys);
//   if (!dnssec_judge_section(&j, ldns_pkt_answer(pkt)) || !dnssec_judge_denial(&j, pkt))
//       puts(j.why);
//   dnssec_judge_done(&j);
#ifndef MERIDIAN_TESTS_SUPPORT_DNSSEC_JUDGE_H
#define MERIDIAN_TESTS_SUPPORT_DNSSEC_JUDGE_H

#include "resolver/zone/zone.h"

#include <ldns/ldns.h>
#include <stdbool.h>

#define DNSSEC_JUDGE_ZONES 8

struct dnssec_judge {
    // what signatures are judged by
    int64_t now_s;
    struct {
        ldns_rdf *apex;
        // NULL: not signed
        ldns_rr_list *keys;
    } zones[DNSSEC_JUDGE_ZONES];
    size_t n_zones;
    // Of what was judged so far.
    unsigned n_sets, n_signatures;
    // to a signature's end after its TTL has run out, and since its beginning
    int64_t least_left_s, least_age_s;
    // of what was found wrong
    char why[4096];
};

// `keys`, DNSKEY records, are taken over; NULL or none: a zone without signatures.
void dnssec_judge_zone(struct dnssec_judge *j, const char *apex, ldns_rr_list *keys);
void dnssec_judge_done(struct dnssec_judge *j);
// The records of one section, or of a whole zone.
bool dnssec_judge_section(struct dnssec_judge *j, const ldns_rr_list *section);
// If the response says that there is no such name or type: with the records to show it?
bool dnssec_judge_denial(struct dnssec_judge *j, const ldns_pkt *pkt);

// Records as ldns has them.
ldns_rr_list *dnssec_judge_records(const struct zone_rr *rrs, size_t n, uint16_t type /* 0: all */);

#endif
