// SPDX-License-Identifier: Apache-2.0
// Compares our wall clock with every other region's, and closes or opens writes by the clock rule
// (clock_rule.h). A thread of its own asks all regions at the same time, each for at most
// CLOCK_ANSWER_MS: none delays another. Our own wall clock is looked at twice a second; when it was
// set, all are asked at once.
//
// At start writes wait for one round, so that a clock that is wrong from the start is found before
// it makes stamps.
//
//   struct clock_watch_options o = {.region = "eastus", .topology = snapshot, …};
//   rc = clock_watch_start(&o, &watch);
//
// The gate META_GATE_CLOCK of the store is this thread's alone. What it found stands in the report
// (clock_report.h).
#ifndef MERIDIAN_REPLICATION_CLOCK_WATCH_H
#define MERIDIAN_REPLICATION_CLOCK_WATCH_H

#include "base/snapshot.h"
#include "replication/clock_report.h"
#include "replication/dial.h"
#include "replication/life.h"
#include "store/meta.h"

#define CLOCK_EVERY_MS 5000
#define CLOCK_SOON_MS 2000 // when some region did not answer
#define CLOCK_ANSWER_MS 2000
#define CLOCK_HURRY_MS 500 // between the first rounds after a start, or after our clock was set
#define CLOCK_HURRIES 3

struct clock_watch;
struct speech;

// What it borrows lives longer than the watch.
struct clock_watch_options {
    // this region
    const char *region;
    struct snapshot *topology;
    struct meta *meta;
    const struct dialer *dialer;
    struct life *life;
    struct clock_report *report;
    // what the others speak is told to it, from their answers
    struct speech *speech;
    // between two rounds
    unsigned every_ms;
    // The clock was right a moment ago: the gate is open from the start.
    bool continues;
};

// Closes META_GATE_CLOCK until the first round. *out is set also on failure, to be freed.
int clock_watch_start(const struct clock_watch_options *o, struct clock_watch **out);
void clock_watch_stop(struct clock_watch *w); // after life_end; NULL is ignored
void clock_watch_free(struct clock_watch *w);

#endif
