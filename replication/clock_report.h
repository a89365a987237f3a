// SPDX-License-Identifier: Apache-2.0
// What is known of the clocks, as the clock watch judged them last (clock_watch.h, clock_rule.h):
// for status, metrics, and the daemon.
//
//   struct clock_opinion o;
//   clock_report_opinion(report, &o);
//
// The clock watch writes it; anybody reads it, on any thread, under a lock of its own. Nothing
// blocks.
#ifndef MERIDIAN_REPLICATION_CLOCK_REPORT_H
#define MERIDIAN_REPLICATION_CLOCK_REPORT_H

#include "base/bytes.h"
#include "replication/clock_rule.h"
#include "replication/replication.h"

#define CLOCK_OTHERS_MAX (TOPOLOGY_MAX_REGIONS - 1)

struct clock_report;

int clock_report_new(struct clock_report **out);
void clock_report_free(struct clock_report *p); // NULL is ignored
// The case as it was judged. `compared`: with all that could be reached. base_us: of our clock then
// (clock_base_us). At most CLOCK_OTHERS_MAX others. The sentence goes to out_why as well.
void clock_report_set(struct clock_report *p, const struct clock_case *c, enum clock_state state,
                      bool compared, int64_t base_us, char out_why[CLOCK_SENTENCE_SIZE]);

// clock_vouched, as of the last round; false before the first.
bool clock_report_vouched(struct clock_report *p);
// json_t *, a new reference; NULL without memory. See replication.h.
void *clock_report_json(struct clock_report *p);
// What was measured of one region last; false: nothing.
bool clock_report_offset(struct clock_report *p, const char *region, int64_t *out_offset_ms,
                         int64_t *out_error_ms);
void clock_report_opinion(struct clock_report *p, struct clock_opinion *out);
void clock_report_suspect(struct clock_report *p, const char *region,
                          char out[CLOCK_SENTENCE_SIZE]);
void clock_report_metrics(struct clock_report *p, struct buf *out);

#endif
