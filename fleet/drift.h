// SPDX-License-Identifier: Apache-2.0
// Drift: what the nodes of a fleet have in force differs, and does not come together by itself. Each
// node notes what it last heard of every region, and judges: a difference that lasts longer than a
// change takes to arrive is named, with what mends it.
//
//   drift_note(&d, &(struct drift_report){.region = "westus", .topology = 41, …}, now);
//   drift_judge(&d, now);
//   if (drift_text(&d, now, sentence, sizeof sentence)) …
//
// Pure: no clock but the caller's, no lock, no thread. The caller guards it.
#ifndef MERIDIAN_FLEET_DRIFT_H
#define MERIDIAN_FLEET_DRIFT_H

#include "config/topology.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DRIFT_GRACE_MS 30000  // a difference that lasts longer is drift
#define DRIFT_MEMORY_MS 60000 // what was heard longer ago says nothing of now

struct drift_report { // what one node says that it has in force
    char region[HOSTNAME_REGION_SIZE];
    // its topology comes by the feed, else from files
    bool feed;
    uint64_t topology, principals;
    // of the topology's document, where no change was made since; all zero: not said
    uint8_t hash[32];
};

enum drift_kind {
    DRIFT_NONE,
    DRIFT_SOURCE,     // some follow the feed, and it reads files
    DRIFT_TOPOLOGY,   // its topology is older than another's
    DRIFT_PRINCIPALS, // likewise
    DRIFT_CONTENT     // its topology has another's version and another content
};

struct drift_node {
    struct drift_report report;
    // mono
    int64_t heard_ms;
    enum drift_kind kind;
    // mono; of that kind
    int64_t since_ms;
    // of the node that it differs from
    char than[HOSTNAME_REGION_SIZE];
    uint64_t theirs;
};

struct drift {
    size_t n;
    struct drift_node nodes[TOPOLOGY_MAX_REGIONS];
};

// Again: replaced. Those that the topology does not name any more are left out by drift_keep.
void drift_note(struct drift *d, const struct drift_report *r, int64_t now_ms);
void drift_keep(struct drift *d, const struct topology *t);
void drift_judge(struct drift *d, int64_t now_ms);
// How many nodes have differed for longer than DRIFT_GRACE_MS.
size_t drift_count(const struct drift *d, int64_t now_ms);
// One sentence on the first of them (and how many more), with a cure. False: there is none.
bool drift_text(const struct drift *d, int64_t now_ms, char *out, size_t cap);

#endif
