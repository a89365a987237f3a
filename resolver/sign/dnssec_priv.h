// SPDX-License-Identifier: Apache-2.0
// Shared by dnssec.c and dnssec_zone.c: signatures on their way into a list of records.
#ifndef MERIDIAN_RESOLVER_SIGN_DNSSEC_PRIV_H
#define MERIDIAN_RESOLVER_SIGN_DNSSEC_PRIV_H

#include "resolver/sign/dnssec.h"

struct dnssec_signing {
    struct signer *memo;
    struct rrsig_times times;
    struct arena *arena;
    struct zone_rr *rrs;
    size_t n, cap;
};

int dnssec_add(struct dnssec_signing *g, struct zone_rr rr);
int dnssec_sign(struct dnssec_signing *g, const struct dnssec_key *k, struct rrset *s);
// One RRset with each key.
int dnssec_sign_all(struct dnssec_signing *g, const struct dnssec_key *keys, size_t n_keys,
                    const struct zone_rr *rrs, size_t n);

#endif
