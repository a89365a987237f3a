// SPDX-License-Identifier: Apache-2.0
// Compares our wall clock with every other region's, and closes or opens writes by the clock rule
// (clock_rule.h). A thread of its own asks all regions at the same time, each for at most
// CLOCK_ANSWER_MS: none delays another. Our own wall clock is looked at twice a second; when it was
// set, all are asked at once.
//
// At start writes wait for one round, so that a clock that is wrong from the start is found before
// it makes stamps.
#ifndef MERIDIAN_REPLICATION_CLOCK_WATCH_H
#define MERIDIAN_REPLICATION_CLOCK_WATCH_H

#include "base/bytes.h"
#include "net/http.h"
#include "replication/replication.h"

#define CLOCK_EVERY_MS 5000
#define CLOCK_SOON_MS 2000 // when some region did not answer
#define CLOCK_ANSWER_MS 2000
#define CLOCK_HURRY_MS 500 // between the first rounds after a start, or after our clock was set
#define CLOCK_HURRIES 3

struct clock_watch;

// closes META_GATE_CLOCK until the first round
int clock_watch_start(struct replicator *r, struct clock_watch **out);
void clock_watch_stop(struct clock_watch *w); // after r->stopping was set; NULL is ignored
// clock_vouched, as of the last round; false before the first
bool clock_watch_vouched(struct clock_watch *w);
// json_t *, a new reference; NULL without memory. See replication.h.
void *clock_watch_json(struct clock_watch *w);
// What was measured of one region last; false: nothing.
bool clock_watch_offset(struct clock_watch *w, const char *region, int64_t *out_offset_ms,
                        int64_t *out_error_ms);
void clock_watch_opinion(struct clock_watch *w, struct clock_opinion *out);
void clock_watch_suspect(struct clock_watch *w, const char *region, char out[CLOCK_SENTENCE_SIZE]);
void clock_watch_metrics(struct clock_watch *w, struct buf *out);
// GET …/clock
void clock_serve(struct replicator *r, struct http_request *req, struct http_response *resp);

#endif
