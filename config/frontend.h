// SPDX-License-Identifier: Apache-2.0
// fe.D as a function of the topology: its records, a digest of all that it says, and its serial,
// which changes with that content only and is the same on all nodes because it is made of the
// document alone:
//
//   base    what the document's `zone_serial` pins, while the digest is the one that was pinned;
//           else the version of the document. Changes of registries (control/changer.h) share the
//           frame, and so its version.
//   offset  of `zone_serial`: what periods had made of the serial when the zone was signed for the
//           last time
//   period  number of the signing period, while the zone is signed
//
// The serial is their sum. Content that differs gives a serial that is higher, as versions are,
// unless somebody brings back an old pin, or takes keys out without an offset:
// frontend_serial_may_follow finds both, and nodes refuse such a document as they do one of a lower
// version. The wire has its low 32 bits (RFC 1982).
#ifndef MERIDIAN_CONFIG_FRONTEND_H
#define MERIDIAN_CONFIG_FRONTEND_H

#include "base/digest.h"
#include "config/topology.h"

#define FRONTEND_PERIOD_S 604800  // fe.D is signed anew so often
#define FRONTEND_SPARE_PERIODS 4u // that a topology without keys may take to reach the last node

struct frontend_record { // names in wire form, lower case
    const uint8_t *owner, *rdata;
    uint16_t owner_n, rdata_n;
    uint16_t type;
    uint32_t ttl;
};

// All but the SOA and what DNSSEC adds, in no order, in the arena. The topology must outlive them.
// ERR_NOMEM.
int frontend_records(const struct topology *t, struct arena *a, const struct frontend_record **out,
                     size_t *out_n);
uint64_t frontend_serial(const struct topology *t, int64_t now_s);
bool frontend_pinned(const struct topology *t); // its document has a pin, and that holds
// May `next` come after `before`? If not, *out_why says why (heap; NULL when memory ended).
bool frontend_serial_may_follow(const struct topology *before, const struct topology *next,
                                int64_t now_s, char **out_why);
// For config/topology.c: base and digest of a topology whose catalogue is made. ERR_NOMEM.
int frontend_finish(struct topology *t);

#endif
