// SPDX-License-Identifier: Apache-2.0
// What a worker tells of the queries it answers: a line in the query log (resolver/log/querylog.h),
// a pair of messages to a dnstap collector (resolver/log/dnstap.h). Each of the two is a sink: a
// ring per worker, a thread that takes what is in the rings and writes it out. Off by default; then
// a query costs one comparison.
#ifndef MERIDIAN_RESOLVER_LOG_JOURNAL_H
#define MERIDIAN_RESOLVER_LOG_JOURNAL_H

#include "base/bytes.h"
#include "base/diag.h"
#include "config/node_dns.h"
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
struct ring *sink_ring(struct sink *s, unsigned i);
void sink_reopen(struct sink *s); // soon; any thread
void sink_stop(struct sink *s);   // writes what is left; NULL is fine
uint64_t sink_dropped(const struct sink *s);

struct journal { // NULL each: off
    struct sink *querylog, *dnstap;
};
int journal_start(const struct node_dns *settings, const struct metrics_names *names,
                  unsigned n_workers, struct diag *diag, struct journal *out);
void journal_stop(struct journal *j);

// A worker's own side of both.
struct journal_writer {
    // else the rest means nothing
    bool writes;
    struct ring *querylog, *dnstap;
    unsigned querylog_every, dnstap_every, querylog_turn, dnstap_turn;
};
void journal_writer_init(const struct journal *j, const struct node_dns *settings, unsigned worker,
                         struct journal_writer *out);
struct journal_wait { // of a query that was parked
    uint32_t ms;
    bool forwarded;
    // that answered it; port 0: none did
    struct endpoint upstream;
};
// One query that was answered, or not (response_n 0). `wait`: NULL if it was answered at once.
void journal_note(struct journal_writer *writer, const struct metrics *m,
                  const struct endpoint *client, const struct answer_context *c,
                  const uint8_t *query, size_t n, const uint8_t *response, size_t response_n,
                  const struct answer_info *info, const struct journal_wait *wait);
void journal_reopen(struct journal *j);
void journal_metrics(const struct journal *j, struct buf *out);

#endif
