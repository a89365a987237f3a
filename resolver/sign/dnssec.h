// SPDX-License-Identifier: Apache-2.0
// All that signing needs, as one frozen value: the keys of D and fe.D with their private halves,
// the RRsets at D's apex that the key signing keys sign, and fe.D signed whole with its NSEC chain.
// The zone maintainer makes it off the hot path whenever the topology's frame or the signing period
// changes. All resolvers of D make the same one (but for ECDSA's random numbers).
//
//   struct dnssec *d;
//   // ERR_NOTFOUND: t has no keys
//   rc = dnssec_new(t, "/var/lib/meridian/keys/dns", now_s, memo, last, &diag, &d);
//
// The serial of the signed fe.D grows with each signing period (7 days): config/frontend.h. RFC
// 4033 to 4035, 4034 section 6, 6605, 8080, 7344, 8078, 9077.
#ifndef MERIDIAN_RESOLVER_SIGN_DNSSEC_H
#define MERIDIAN_RESOLVER_SIGN_DNSSEC_H

#include "resolver/sign/signer.h"
#include "resolver/zone/rrset.h"
#include "resolver/zone/zone.h"

#include <stdint.h>

#define DNSSEC_SIGNERS_MAX 8

struct dnssec_key { // signs
    const struct dns_key *key;
    // of the public key
    uint64_t uid;
    struct rrsig_signer by;
};

struct dnssec_zone {
    const uint8_t *apex;
    size_t apex_n;
    // that sign the zone; that sign DNSKEY, CDS and CDNSKEY
    const struct dnssec_key *zone_keys, *key_keys;
    size_t n_zone_keys, n_key_keys;
    // DNSKEY, CDS, CDNSKEY at the apex, and their RRSIGs
    const struct zone_rr *rrs;
    size_t n_rrs;
    // of this zone, for its parent
    const struct zone_rr *ds;
    size_t n_ds;
};

struct dnssec { // frozen
    struct snapshot_head head;
    struct arena arena;
    struct dnssec_zone main, frontend;
    // fe.D, signed
    struct zone *zone;
    // of the topology
    uint64_t version;
    // number of the signing period
    int64_t period;
    struct dns_key *keys[DNSKEY_KEYS_MAX];
    size_t n_keys;
};

int64_t dnssec_period(int64_t now_s);
// `memo` holds signatures made before, so that what did not change is not signed again; not NULL,
// its threads are not used. ERR_NOTFOUND, and what dns_key_open says.
int dnssec_new(const struct topology *t, const char *keys_dir, int64_t now_s, struct signer *memo,
               const struct zone *last, struct diag *diag, struct dnssec **out);
// A signed copy: apex keys, NSEC chain, RRSIGs. `z` is not signed and has no delegations.
// `last` (or NULL), if it is this very zone signed for the same times, is returned itself:
// signatures of ECDSA differ each time, and those that secondaries have are as good.
int dnssec_zone_sign(const struct dnssec *d, const struct zone *z, const struct zone *last,
                     int64_t now_s, struct signer *memo, struct zone **out);

#endif
