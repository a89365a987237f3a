// SPDX-License-Identifier: Apache-2.0
// The resolver's counters, for a Prometheus scrape. Each worker alone writes its own `struct
// metrics` (plain stores, no lock, no allocation); a reader sums them. Fixed arrays bound the
// number of series, whatever clients ask and whatever the topology becomes.
//
//   metrics_topology(m, names, t);                    // worker, when the topology changed: may
//                                                     // lock
//   metrics_count(m, &context, &info);                // worker, every query
//   // worker, one batch in METRICS_EVERY
//   if (metrics_due(m)) { began = …; …; metrics_batch(m, n, took_us); }
//   metrics_write(names, list, n, &buf);              // any thread
//
// Labels of regions and views are names, which outlive a topology: `struct metrics_names` gives
// each a slot once and for all. When slots run out, the rest share the last one, called "other".
#ifndef MERIDIAN_RESOLVER_LOG_METRICS_H
#define MERIDIAN_RESOLVER_LOG_METRICS_H

#include "base/bytes.h"
#include "resolver/answer/answer.h"
#include "resolver/route/route.h"

#include <stdatomic.h>

#define METRICS_VIEWS 32    // slot 0 is the public view, the last is "other"
#define METRICS_REGIONS 128 // the last is "other"
#define METRICS_KINDS (NAME_INVALID + 1)
#define METRICS_RCODES 12
#define METRICS_TYPES (DNS_N_TYPES + 2) // the last two: without a type, and any that is not counted
#define METRICS_TRANSPORTS (ANSWER_TLS + 1)
#define METRICS_MODES (ROUTE_NOWHERE + 1)
#define METRICS_BUCKETS 15
// one batch in so many is timed: a clock that is read for each would cost as much as an answer
#define METRICS_EVERY 16
#define METRICS_VIEWS_SEEN 256 // views of a topology that are told apart

struct metrics_names;
struct metrics_names *metrics_names_new(void); // NULL when out of memory
void metrics_names_free(struct metrics_names *n);
// Name of a slot: of a view, of a region. Never NULL; of a region "none" for what leads nowhere.
const char *metrics_view_name(const struct metrics_names *n, unsigned slot);
const char *metrics_region_name(const struct metrics_names *n, unsigned slot);
const char *metrics_rcode_name(int rcode);    // "other" for what has no label of its own
const char *metrics_type_name(uint16_t type); // NULL for those

typedef _Atomic uint64_t metrics_counter; // one writer

struct metrics {
    // What the worker needs to find a slot.

    // of the topology in force
    const struct view *views;
    uint8_t view_slot[METRICS_VIEWS_SEEN], region_slot[TOPOLOGY_MAX_REGIONS];
    // of METRICS_EVERY
    unsigned turn;
    metrics_counter queries[METRICS_VIEWS][METRICS_KINDS][METRICS_RCODES][METRICS_TRANSPORTS];
    metrics_counter types[METRICS_TYPES], routed[METRICS_REGIONS][METRICS_MODES], truncated;
    metrics_counter lookups[LOOKUP_CLASSES][LOOKUP_OUTCOMES];
    // of the last: longer than all
    metrics_counter bucket[METRICS_BUCKETS + 1], timed, timed_us;
};

void metrics_topology(struct metrics *m, struct metrics_names *names, const struct topology *t);
void metrics_count(struct metrics *m, const struct answer_context *c,
                   const struct answer_info *info);
// Of metrics_count that part which a query also has each time that it is parked.
void metrics_lookups(struct metrics *m, const struct answer_info *info);
unsigned metrics_view_slot(const struct metrics *m, const struct view *view);
unsigned metrics_region_slot(const struct metrics *m, unsigned region); // METRICS_REGIONS: none

static inline bool metrics_due(struct metrics *m)
{
    return m->turn++ % METRICS_EVERY == 0;
}
// each of them waited so long
void metrics_batch(struct metrics *m, unsigned n_queries, int64_t took_us);

// Answers to global names that led to the region because it was to take them (ROUTE_HEALTHY,
// ROUTE_ALL_SHORT), not for want of another one.
uint64_t metrics_routed(const struct metrics_names *names, const struct metrics *const *list,
                        size_t n, const char *region);

void metrics_write(const struct metrics_names *names, const struct metrics *const *list, size_t n,
                   struct buf *out);

#endif
