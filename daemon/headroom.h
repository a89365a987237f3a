// SPDX-License-Identifier: Apache-2.0
// A node's headroom: how much more work it could take, 0 to 100. The deep document carries it to
// the resolvers, which send fewer clients to a node before it starts to refuse. It is the least of
// the figures below. A pure function of a load; headroom_measure reads one. The daemon's
// housekeeping calls both.
//
//   processors   100 while the load is at most one task per core, falling to 10 at four: load alone
//                refuses nobody
//   work queue   the share of the pool's queue that is free
//   requests     the share of the requests in flight that are still possible
//   disk         100 with a twentieth of it free above the reserve, falling to 10 at the reserve: a
//                node that is short (store/space.h) is passed over anyway, and if all are, weights
//                decide as before
#ifndef MERIDIAN_DAEMON_HEADROOM_H
#define MERIDIAN_DAEMON_HEADROOM_H

#include <stddef.h>
#include <stdint.h>

struct load {
    // of the last minute; below 0: unknown
    double load_average;
    unsigned n_cores;
    size_t waiting, waiting_max;
    size_t active, active_max;
    // free above the reserve; disk_bytes 0: unknown
    uint64_t disk_room_bytes, disk_bytes;
};

unsigned headroom_percent(const struct load *l);
// Fills what the machine knows: load, cores.
void headroom_measure(struct load *out);

#endif
