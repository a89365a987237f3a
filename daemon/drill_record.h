// SPDX-License-Identifier: Apache-2.0
// What one node saw of a fault drill: when its resolver led there last and led back first, what its edge
// answered meanwhile, and how far replication was at the end. A value, fed with samples of counters that
// only grow.
//
//   drill_record_begin(&record, &drill, ttl_ms);
//   drill_record_sample(&record, &drill, &before, &now, wall_ms, mono_ms);   // a few times a second
//   json_t *j = drill_record_json(&record);
//
// Times are as fine as the samples are: what came between two of them counts at the later one. One
// thread.
#ifndef MERIDIAN_DAEMON_DRILL_RECORD_H
#define MERIDIAN_DAEMON_DRILL_RECORD_H

#include "health/drill.h"
#include "net/traffic.h"

// After the end it is looked so long for the first answer that leads there again.
#define DRILL_RETURN_MS (10ll * 60 * 1000)

struct drill_counts { // since the start of the process
    // answers that led to the region of the drill, though others were open to them
    uint64_t routed;
    uint64_t codes[TRAFFIC_CODES];
};

struct drill_record {
    char id[HEALTH_DRILL_ID_SIZE];
    char region[HOSTNAME_REGION_SIZE];
    // of one registry alone: answers are not counted by registry, so nothing is known of them
    bool one_registry;
    // wall; 0: not yet. Of the order, where it was given; and here
    int64_t at_ms, begun_ms, ended_ms;
    // how long caches may hold an answer of before, by the topology in force then
    int64_t ttl_ms;
    uint64_t n_there;
    // wall; 0: none
    int64_t last_there_ms, first_back_ms;
    // of the requests, while it ran
    uint64_t codes[TRAFFIC_CODES];
    // after the TTLs were over
    uint64_t n_late;
    // of the origin that is furthest behind here, at the end; -1: not known
    int64_t lag_entries, lag_s;
};

void drill_record_begin(struct drill_record *r, const struct health_drill *d, int64_t ttl_ms);
// Between two samples. True: something that must not be lost happened (it ended, it is back).
bool drill_record_sample(struct drill_record *r, const struct health_drill *d,
                         const struct drill_counts *before, const struct drill_counts *now,
                         int64_t wall_ms, int64_t mono_ms);
// Is there anything to come? `d`: NULL: it is forgotten.
bool drill_record_open(const struct drill_record *r, const struct health_drill *d, int64_t wall_ms);

// {"id","region","at","begun","ended" (ms or 0),"ttlMs","ledThere","rerouteMs" (null: not known),
//  "returnMs" (null: nobody was led there yet, or not known),"requests","late","codes":{"200":N,…},
//  "lagEntries","lagSeconds" (null: not known), and for reading it again "lastThere","firstBack",
//  "oneRegistry"}: json_t *, a new reference; NULL: out of memory.
void *drill_record_json(const struct drill_record *r);
int drill_record_parse(const void *json, struct drill_record *out); // ERR_CORRUPT

#endif
