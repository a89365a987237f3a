// SPDX-License-Identifier: Apache-2.0
// A sink takes records of queries from the workers and writes them out: a ring per worker, and one
// thread that empties the rings. A slow or broken sink loses records, which are counted, and never
// delays an answer. What a worker tells the sinks is a log_event; resolver/log/journal.h has the
// table of the kinds of sinks.
//
//   sink_start("query-log", n_workers, ring_bytes, &ops, ctx, &s);
//   sink_ring(s, worker);                // the worker's own ring, which it alone fills
//   sink_stop(s);                        // writes what is left
#ifndef MERIDIAN_RESOLVER_LOG_SINK_H
#define MERIDIAN_RESOLVER_LOG_SINK_H

#include "base/bytes.h"
#include "base/diag.h"
#include "config/node_dns.h"
#include "resolver/answer/answer.h"
#include "resolver/log/metrics.h"
#include "resolver/log/ring.h"

struct sink;
// A sink's own part: what it does with records, on its thread.
struct sink_ops {
    void (*record)(void *ctx, const void *p, size_t n);
    // after each round over the rings, a few times a second at least
    void (*turn)(void *ctx);
    void (*reopen)(void *ctx);
    void (*free)(void *ctx);
};
// `ctx` is taken over, also on failure.
int sink_start(const char *name, unsigned n_rings, size_t ring_bytes, const struct sink_ops *ops,
               void *ctx, struct sink **out);
struct ring *sink_ring(struct sink *s, unsigned i); // s NULL: NULL
void sink_reopen(struct sink *s);                   // soon; any thread; NULL is fine
void sink_stop(struct sink *s);                     // writes what is left; NULL is fine
uint64_t sink_dropped(const struct sink *s);

struct journal_wait { // of a query that was pending
    uint32_t ms;
    bool forwarded;
    // that answered it; port 0: none did
    struct endpoint upstream;
};

// One query that was answered, or not. Borrowed for the call.
struct log_event {
    const struct metrics *metrics;
    const struct endpoint *client;
    // NULL: unknown
    const struct endpoint *listener;
    enum answer_transport transport;
    const uint8_t *query;
    size_t query_n;
    // response_n 0: none was sent
    const uint8_t *response;
    size_t response_n;
    const struct answer_info *info;
    // NULL: it was answered at once
    const struct journal_wait *wait;
};

// A kind of sink: one row of the journal's table.
struct sink_kind {
    // in the metrics
    const char *name;
    // Starts it if the settings want it; else *out is left as it is.
    int (*start)(const struct node_dns *settings, const struct metrics_names *names,
                 unsigned n_workers, struct diag *diag, struct sink **out);
    // One query in so many is noted.
    unsigned (*every)(const struct node_dns *settings);
    // On the worker: writes a record into the ring, or counts it as dropped.
    void (*note)(struct ring *r, const struct log_event *e);
    // Records of the process that were written, and that failed.
    uint64_t (*written)(void);
    uint64_t (*failed)(void);
};

#endif
