// SPDX-License-Identifier: Apache-2.0
// The query log: one line of JSON per query, or per so-many-th (node setting dns.query_log). A
// worker writes a record into its ring; the sink's thread makes lines of records and appends them
// to the file. A full disk, a slow disk or a full ring loses lines, which are counted, and never
// delays an answer.
#ifndef MERIDIAN_RESOLVER_LOG_QUERYLOG_H
#define MERIDIAN_RESOLVER_LOG_QUERYLOG_H

#include "resolver/log/sink.h"

struct querylog_record {
    int64_t wall_ms;
    struct ip client;
    int16_t rcode;
    uint16_t port, type, response_n;
    // METRICS_REGIONS: none
    uint8_t transport, kind, mode, view_slot, region_slot;
    bool truncated, cookie_valid, waited;
    struct journal_wait wait;
    uint8_t name_n;
    // wire form; only name_n are there
    uint8_t name[255];
};

extern const struct sink_kind querylog_kind;
// One line, with its end. Any byte may be in the name.
void querylog_format(const struct querylog_record *r, const struct metrics_names *names,
                     enum node_dns_client client, struct buf *out);
uint64_t querylog_written(void); // of the process
uint64_t querylog_failed(void);

#endif
