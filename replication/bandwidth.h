// SPDX-License-Identifier: Apache-2.0
// The bandwidth that fetches of content may take: from all regions together, by the time of the week,
// and from each (config/fetch_rates.h). Who has read bytes of a region waits here until they were due;
// meanwhile its connection fills, and the other end is held back by TCP.
//
//   n = response_reader_read(from, piece, cap, wait_ms);
//   rc = bandwidth_take(b, peer_line(p), n, urgent, stop);
//
// What somebody waits for is counted and never held back; others wait for it too, but no longer than
// DEBT_MAX_US. Feeds, snapshots and manifests are not counted: they are small, and order depends on
// them.
//
// Threads: any; bandwidth_take blocks, one short lock. A region's line lives as long as its peer.
#ifndef MERIDIAN_REPLICATION_BANDWIDTH_H
#define MERIDIAN_REPLICATION_BANDWIDTH_H

#include "base/bytes.h"
#include "config/fetch_rates.h"

// What is urgent keeps others waiting no longer.
#define DEBT_MAX_US 5000000

// Of one region; zero at birth, under the bandwidth's lock.
struct bandwidth_line {
    // when what came is paid
    int64_t due_us;
    uint64_t bytes;
    // that fetches waited for, all together
    uint64_t waited_us;
};

struct bandwidth;
int bandwidth_new(const struct fetch_rates *rates, struct bandwidth **out);
void bandwidth_free(struct bandwidth *b); // NULL is ignored
// n bytes have come over that line. Waits until they were due; not when *urgent (NULL: nobody waits
// for them), and only until it turns true. ERR_CANCELED soon after *stop.
int bandwidth_take(struct bandwidth *b, struct bandwidth_line *line, size_t n,
                   const _Atomic bool *urgent, const _Atomic bool *stop);
void bandwidth_look(struct bandwidth *b, const struct bandwidth_line *line,
                    struct bandwidth_line *out);
// Bytes a second from all regions together, now; 0: no limit.
uint64_t bandwidth_rate(struct bandwidth *b);

#endif
