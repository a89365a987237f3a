// SPDX-License-Identifier: Apache-2.0
// Publish before use (design section 3). One NSEC of fe.D denies all names between two stamps, and
// a resolver that has it may deny a new stamp's name by itself for the negative TTL (RFC 8198).
// Names must therefore lead to a stamp only when no resolver can hold such a denial any more. So
// the document says, of a replica that moves, which stamp it had and from which time on its names
// lead to the new one; every node computes the same from that and from its clock:
//
//   replicas: [{ region: eastus, stamp: eus-11, stamp_was: eus-1,
//                stamp_since: 2026-11-29T13:00:00Z }]
//
// `meridian replication rebind` writes the time, after it has asked all servers of fe.D for the new
// name. The functions here judge a version of the topology by the version in force. A replica that
// is new may lead to any stamp at once.
//
// A version that is accepted stays acceptable as time goes on: nodes that read it at different
// times, or apply the same changes again after a restart, agree. The two fields may stay for ever:
// a node that was away needs them to tell a move that was made well from one that was not.
//
// Any thread.
#ifndef MERIDIAN_CONTROL_MOVES_H
#define MERIDIAN_CONTROL_MOVES_H

#include "base/bytes.h"
#include "base/diag.h"
#include "config/topology.h"

struct doc_node;

struct move_refusal {
    // whose replica
    const char *region;
    // of its row: what the sentence is about
    const char *key;
    char why[640];
    // wall: when to look again, because the time alone forbids it; 0: it will never do
    int64_t again_s;
};

// May a registry of `next` come after the one of that name in `before`? The two topologies may be
// the same one.
bool moves_registry_may_follow(const struct topology *before, const struct registry *old,
                               const struct topology *next, const struct registry *new,
                               int64_t now_s, struct move_refusal *out);
// All registries. `text`: the document that `next` was read from, for the lines; empty: there are
// none. *out_again_s: the earliest time at which a refusal may end; 0: none does by itself.
bool moves_may_follow(const struct topology *before, const struct topology *next, struct bytes text,
                      int64_t now_s, struct diag *diag, int64_t *out_again_s);
// Line of that key of the replica's row, else of the row; `registry` is a registry's row.
int moves_line(const struct doc_node *registry, const struct move_refusal *r);

#endif
