// SPDX-License-Identifier: Apache-2.0
// How far a region is with one registry: where its own feed ends, and how far it has what the other
// regions that hold the registry wrote. Two such words, of a reader and of an origin, tell whether
// the reader has all that the origin had when it was asked:
//
//   GET /replication/v1/reach?registry=KEY        peer listener: who holds the registry, and the writer
//   {"region": "westus", "head": CURSOR, "lacks": 0,
//    "origins": {"eastus": {"read": CURSOR, "whole": true, "toGo": 0}, …}}
//
//   whole   what it read of the registry misses nothing from the start of that feed on
//   toGo    entries of the registry that are not applied: their content is on its way, or has no room
//   lacks   such entries of all origins, also of regions that do not hold the registry any more
//   lacking the oldest of these, at most REACH_LACKING_MAX, by name; to the writer alone, whose
//           operator is told what would be lost: [{"origin": "eastus", "repository": "team/app",
//           "tag": "1.0"}, …], or "digest" of a manifest
//
//   o = … of the origin;  r = … of the reader, asked after it;
//   if (reach_covers(r, o, &to_go)) …
//
// Any thread; what reads the store blocks.
#ifndef MERIDIAN_REPLICATION_REACH_H
#define MERIDIAN_REPLICATION_REACH_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define REACH_PATH "/replication/v1/reach"
#define REACH_LACKING_MAX 50

struct replicator;

// This region's own word, with names; json_t *, a new reference. NULL: it does not hold the registry, out of
// memory, or stopping. Blocks: call on the pool, or a thread that may wait.
void *replication_reach_json(struct replicator *r, const char *key);
// Has the reader all that the origin wrote? *out_to_go: entries that are known not to be applied.
bool reach_covers(const json_t *reader, const json_t *origin, uint64_t *out_to_go);
// Entries that the reader has not applied, and whose origin is none of `words` (an object by region's
// name): nobody else may have their content any more.
uint64_t reach_orphaned(const json_t *reader, const json_t *words);

#endif
