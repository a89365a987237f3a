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
// The regions that may hold content of the registry: `origin` first when it is one of them, never
// this region itself. How many.
size_t peer_sources(struct replicator *r, const struct topology *t, const struct registry *reg,
                    const char *origin, struct source *out[TOPOLOGY_MAX_REGIONS]);
// How many requests may run to one source: where there are others, one worker at least stays free
// of it.
unsigned peer_source_max(struct replicator *r);
// What regions gave that was not what its digest says.
void peer_source_metrics(struct replicator *r, struct buf *out);

#endif
