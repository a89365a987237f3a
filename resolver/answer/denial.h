// SPDX-License-Identifier: Apache-2.0
// Proofs that a name or a type does not exist. In D: one NSEC at the very name, made for this
// answer (RFC 9824), with the types that name_types gives. In fe.D: the NSECs of the signed zone
// (RFC 4035 section 3.1.3). Worker's thread; allocates nothing.
#ifndef MERIDIAN_RESOLVER_ANSWER_DENIAL_H
#define MERIDIAN_RESOLVER_ANSWER_DENIAL_H

#include "resolver/answer/priv.h"
#include "resolver/zone/zone.h"

#define DENIAL_RDATA_MAX 640

// RDATA of the NSEC of a name in D. `absent`: the name is not there at all. 0: no such NSEC can be
// made.
size_t denial_main(const struct answer *a, const uint8_t *name, size_t n, bool absent,
                   uint8_t out[DENIAL_RDATA_MAX]);
// The NSEC that denies a name of D whose first label is an asterisk, and all below it; writes its
// owner, which is as long, and its RDATA. Such a name is never there, and never the owner of an
// NSEC: the RRSIG would not count the asterisk, so that by it validators could take that NSEC for
// the answer of a wildcard and believe it of every sibling (CVE-2017-15105). This one goes from one
// impossible label to the next, ")" to "+" (RFC 4470 section 2), and denies the wildcard in the
// same breath: a response with it is NXDOMAIN.
size_t denial_of_wildcard(const uint8_t *name, size_t n, uint8_t out_owner[DNS_NAME_MAX],
                          uint8_t out[DENIAL_RDATA_MAX]);
// The NSEC records of fe.D that prove it: 1 or 2 of them, different. 0: the zone says otherwise.
size_t denial_zone(const struct zone *z, const uint8_t *name, size_t n, uint16_t type, bool absent,
                   const struct zone_rr *out[2]);

#endif
