// SPDX-License-Identifier: Apache-2.0
// A zone and how it came from its earlier versions: for each of them that is still held, the
// records that went and those that came, condensed to one step (RFC 1995 section 5). Made on the
// zone maintainer's thread; frozen, any thread reads.
//
//   struct zone_history *h;
//   rc = zone_history_new(zone, before, &h);          // before: the history until now, or NULL;
//                                                     // both are only borrowed
//   const struct zone_delta *d = zone_history_from(h, serial);   // NULL: not held, send the whole
//                                                                // zone
#ifndef MERIDIAN_RESOLVER_ZONE_ZONE_HISTORY_H
#define MERIDIAN_RESOLVER_ZONE_ZONE_HISTORY_H

#include "resolver/zone/zone.h"

#define ZONE_HISTORY_MAX 32             // versions held
#define ZONE_HISTORY_RECORDS (1u << 18) // of all of them together

struct zone_delta {
    // serial
    uint32_t from;
    // of that version
    const struct zone_rr *old_soa;
    // without the SOAs; they point into the two zones
    const struct zone_rr *removed, *added;
    size_t n_removed, n_added;
};

struct zone_history { // frozen
    struct snapshot_head head;
    struct arena arena;
    // in force
    struct zone *zone;
    // newest first
    struct zone **past;
    const struct zone_delta *deltas;
    size_t n_past;
};

// Versions that are not older than the zone (RFC 1982), or of another apex, are dropped. ERR_NOMEM.
int zone_history_new(struct zone *zone, const struct zone_history *before,
                     struct zone_history **out);
const struct zone_delta *zone_history_from(const struct zone_history *h, uint32_t serial);
bool zone_serial_less(uint32_t a, uint32_t b); // RFC 1982 section 3.2

#endif
