// SPDX-License-Identifier: Apache-2.0
// How every node of the fleet says it is: asked of all regions every few seconds, kept for who looks,
// and judged for drift (drift.h).
//
//   rc = reports_round(&fl->reports, &caller, topology, own, 2000);   // asks all; waits
//   json_t *all = reports_json(&fl->reports, own);
//
// A report is a JSON object of at most REPORT_MAX_BYTES that another region made: it is bounded in
// depth, its strings lose their control characters, and of its members only those that drift needs
// are understood here.
//
// Threads: any; one lock, never held while somebody is asked.
#ifndef MERIDIAN_FLEET_REPORTS_H
#define MERIDIAN_FLEET_REPORTS_H

#include "fleet/call.h"
#include "fleet/drift.h"

#include <jansson.h>
#include <pthread.h>

#define FLEET_REPORT_PATH "/control/v1/report"
#define REPORT_MAX_BYTES (256u << 10)
#define REPORT_DEPTH_MAX 8

struct report_kept { // of one region
    char region[HOSTNAME_REGION_SIZE];
    // what it said last; NULL: nothing yet
    json_t *doc;
    // mono; of doc
    int64_t heard_ms;
    // which round asked last of those that have ended
    uint64_t round;
    // why the last question was not answered; "" it was
    char why[256];
};

struct reports {
    pthread_mutex_t lock;
    // that began, and the last of those that have ended
    uint64_t n_rounds, last_round;
    size_t n;
    struct report_kept list[TOPOLOGY_MAX_REGIONS];
    struct drift drift;
};

void reports_init(struct reports *r);
void reports_done(struct reports *r);
// Asks every other region, each for at most timeout_ms; `own` is this node's report. Then judges. When
// two run at the same time, what the one that began later heard stays.
int reports_round(struct reports *r, const struct fleet_caller *by, const struct topology *t,
                  const json_t *own, uint32_t timeout_ms);
// An array: `own` first, then of every other region what it said last, with "reached", "why" and
// "ageMs" beside. Without an answer: these and "region" alone. NULL: out of memory.
json_t *reports_json(struct reports *r, const json_t *own);

// Reads a report of that region. ERR_CORRUPT: it is none. *out_doc is the caller's.
int report_parse(struct bytes text, const char *region, json_t **out_doc,
                 struct drift_report *out_drift);

#endif
