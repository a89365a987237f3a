// SPDX-License-Identifier: Apache-2.0
// Another region as a source of content (content/source.h): asked over its peer listener by the
// ordinary registry API, manifests by digest and blobs with Range.
//
//   rc = peer_source_new(peer, &peer->source);
//   n = peer_sources(r, topology, registry, entry->origin, list);   // in the order to ask them
//
// Threads: any.
#ifndef MERIDIAN_REPLICATION_PEER_SOURCE_H
#define MERIDIAN_REPLICATION_PEER_SOURCE_H

#include "replication/replication_priv.h"

// The peer outlives the source.
int peer_source_new(struct peer *p, struct source **out);
// The regions that may hold content of the registry, never this one itself: `origin` first, as who
// has it for certain, then the others, nearest first. `spread`: others are likely to have it by
// now, and the origin stands where it is near to. How many.
size_t peer_sources(struct replicator *r, const struct topology *t, const struct registry *reg,
                    const char *origin, bool spread, struct source *out[TOPOLOGY_MAX_REGIONS]);

struct near_source {
    struct source *source;
    // half of the round trip to it, as the clocks were compared (clock_report.h); NEAR_UNKNOWN
    int64_t ms;
};
#define NEAR_UNKNOWN INT64_MAX
// What differs by less is as near: the order of the list holds.
#define NEAR_STEP_MS 10
// Orders the list from place `from` on, nearest first. Pure.
void near_order(struct near_source *list, size_t n, size_t from);
// In how many streams a blob of that size comes best, from these sources on. One stream reaches the
// rate of a line with a short round trip; over a long one it is held back by what may be under way.
// 1: in order.
#define STREAMS_OF_BLOB 4
#define STREAMS_BLOB_MIN (32ull << 20)
#define STREAMS_ROUND_TRIP_MS 10
unsigned peer_source_streams(struct replicator *r, struct source *const *sources, size_t n,
                             uint64_t size);
// The same, from the half of the round trip. Pure.
unsigned streams_of(int64_t half_ms, uint64_t size);
// Threads of streams beside the first, for all blobs.
#define STREAM_THREADS 6
// How many requests may run to one source: where there are others, one worker at least stays free
// of it.
unsigned peer_source_max(struct replicator *r);
// What regions gave that was not what its digest says.
void peer_source_metrics(struct replicator *r, struct buf *out);

#endif
