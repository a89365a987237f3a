// SPDX-License-Identifier: Apache-2.0
// Adds DNSSEC to a response that is otherwise complete: signatures behind the records of each
// section, and proofs of absence. Signatures of D come from the signer's cache, those of fe.D from
// its signed zone. The response is built first as it is without DO, octet for octet; so no other
// file of the answer builder deals with signatures. Worker's thread; allocates nothing, and takes
// no lock while the cache has all that it needs.
//
// RFC 4035 section 3.1 (what goes where), 9824 (compact denial in D), 4034, 9077 (TTL of NSEC).
#ifndef MERIDIAN_RESOLVER_ANSWER_SIGN_H
#define MERIDIAN_RESOLVER_ANSWER_SIGN_H

#include "resolver/answer/priv.h"

// After answer_name, for a query with DO, when the topology has keys. May leave a->pending.
void answer_sign(struct answer *a);
// DNSKEY, CDS and CDNSKEY at the apex of a signed zone, DS of fe.D: true if it is such a question
// and was answered.
bool answer_add_keys(struct answer *a, enum answer_zone zone);
// NSEC or RRSIG of the owner at hand in a signed zone: an alias has its own (RFC 4035 section 2.5),
// so that none is followed. True if it is such a question and was answered.
bool answer_add_proof(struct answer *a);

#endif
