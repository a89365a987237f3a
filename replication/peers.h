// SPDX-License-Identifier: Apache-2.0
// The other regions, each with the thread that reads its feed. Regions of the topology are added;
// one that left it idles until the end, so that a pointer to a peer stays valid as long as the set.
//
//   struct peer *p = peers_find(peers, "westeurope");        // NULL: unknown
//   for (size_t i = 0; i < peers_count(peers); i++)
//       … peers_at(peers, i) …
//
// Threads: any; looking takes no lock. peers_update takes one.
//
// Invariants
//   1. A peer that was ever returned stays in its place until peers_free.
//   2. No region stands in the set twice, and this region does not stand in it.
#ifndef MERIDIAN_REPLICATION_PEERS_H
#define MERIDIAN_REPLICATION_PEERS_H

#include "config/topology.h"

#include <stddef.h>

struct peer;
struct peers;
struct replicator;

int peers_new(struct replicator *r, struct peers **out);
void peers_free(struct peers *s); // NULL is ignored
// Makes peers, and starts their readers, for regions of the topology that are new.
void peers_update(struct peers *s, const struct topology *t);
struct peer *peers_find(const struct peers *s, const char *region);
size_t peers_count(const struct peers *s);
struct peer *peers_at(const struct peers *s, size_t i);
// Ends what the readers wait for.
void peers_hang_up(struct peers *s);
// The topology is another one: wakes readers that rest.
void peers_reconfigured(struct peers *s);
// After life_end, and after everybody left who might call peers_update: joins the readers.
void peers_stop(struct peers *s);

#endif
