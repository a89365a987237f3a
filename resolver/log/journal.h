// SPDX-License-Identifier: Apache-2.0
// The journal: a worker tells each query that it answers to every sink that is switched on: the
// query log (resolver/log/querylog.h) and dnstap (resolver/log/dnstap.h). Sinks are rows of one
// table; a third one is a row. All are off by default; then a query costs one comparison.
#ifndef MERIDIAN_RESOLVER_LOG_JOURNAL_H
#define MERIDIAN_RESOLVER_LOG_JOURNAL_H

#include "resolver/log/sink.h"

#define JOURNAL_SINKS 2
enum journal_sink { JOURNAL_QUERYLOG, JOURNAL_DNSTAP }; // the rows

struct journal {
    // NULL: off
    struct sink *sinks[JOURNAL_SINKS];
};
int journal_start(const struct node_dns *settings, const struct metrics_names *names,
                  unsigned n_workers, struct diag *diag, struct journal *out);
void journal_stop(struct journal *j);

// A worker's own side of all sinks.
struct journal_writer {
    // else the rest means nothing
    bool writes;
    struct {
        // NULL: off
        struct ring *ring;
        // one query in so many is noted; how many have passed since the last
        unsigned every, turn;
    } sinks[JOURNAL_SINKS];
};
void journal_writer_init(const struct journal *j, const struct node_dns *settings, unsigned worker,
                         struct journal_writer *out);
void journal_note(struct journal_writer *writer, const struct log_event *e);
void journal_reopen(struct journal *j);
void journal_metrics(const struct journal *j, struct buf *out);

#endif
