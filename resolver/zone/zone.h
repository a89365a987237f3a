// SPDX-License-Identifier: Apache-2.0
// fe.D as a zone: complete, static, in canonical order (RFC 4034 section 6). Secondaries transfer
// it, and answers with DNSSEC take records from it. The zone maintainer builds it off the hot path
// whenever the topology or its signatures change, and freezes it.
//
//   struct zone *z;
//   int rc = zone_frontend_new(t, serial, &z);           // unsigned; dnssec_zone_sign makes a
//                                                        // signed copy
//   const struct zone_rr *rrs; size_t n = zone_rrset(z, owner, owner_n, DNS_A, &rrs);
//
// Owners and the names in RDATA are in wire form, lower case, uncompressed. Immutable once
// published; any thread.
#ifndef MERIDIAN_RESOLVER_ZONE_ZONE_H
#define MERIDIAN_RESOLVER_ZONE_ZONE_H

#include "base/arena.h"
#include "base/snapshot.h"
#include "config/topology.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOA_TIMERS_BYTES 20 // serial, refresh, retry, expire, minimum

struct zone_rr {
    const uint8_t *owner, *rdata;
    uint16_t owner_n, rdata_n;
    uint16_t type;
    uint32_t ttl;
};

struct zone { // frozen
    struct snapshot_head head;
    struct arena arena;
    const uint8_t *apex;
    size_t apex_n;
    // the low 32 bits of frontend_serial (config/frontend.h)
    uint32_t serial;
    // DNSKEY, NSEC and RRSIG are in
    bool is_signed;
    // canonical order of owners, then by type, then of RDATA; the SOA is among them
    const struct zone_rr *rrs;
    size_t n_rrs;
    // by hash of the owner: its first record's place + 1, 0: free; zone_owner reads it
    const uint32_t *index;
    size_t index_mask;
};

// SOA, NS and the stamps' addresses: the same content as answers without DNSSEC have. ERR_NOMEM.
int zone_frontend_new(const struct topology *t, uint32_t serial, struct zone **out);
// The same with the serial that belongs to it. `last` (or NULL), if it is this very zone, is
// returned itself.
int zone_frontend(const struct topology *t, const struct zone *last, int64_t now_s,
                  struct zone **out);
// From records in any order, which are copied; the same one twice counts once. Exactly one SOA, at
// the apex, with that serial; owners at or below the apex; ERR_INVAL if not. ERR_NOMEM.
int zone_new(const uint8_t *apex, size_t apex_n, uint32_t serial, bool is_signed,
             const struct zone_rr *rrs, size_t n, struct zone **out);
const struct zone_rr *zone_soa(const struct zone *z);

// All records of an owner, side by side and by type. Returns how many; 0: none. Owner in lower
// case. One look into a table: for every query.
size_t zone_owner(const struct zone *z, const uint8_t *owner, size_t n, const struct zone_rr **out);
// Records of an owner and type, side by side. Returns how many; 0: none. Owner in lower case.
size_t zone_rrset(const struct zone *z, const uint8_t *owner, size_t n, uint16_t type,
                  const struct zone_rr **out);
// The last owner at or before the name in canonical order (it holds the NSEC that denies the name):
// its first record.
const struct zone_rr *zone_at_or_before(const struct zone *z, const uint8_t *name, size_t n);
// Canonical order of two names in wire form (RFC 4034 section 6.1): less, equal or greater than 0.
int zone_name_compare(const uint8_t *a, size_t a_n, const uint8_t *b, size_t b_n);
// The order of records in a zone: owner, type, RDATA.
int zone_rr_compare(const struct zone_rr *a, const struct zone_rr *b);

#endif
