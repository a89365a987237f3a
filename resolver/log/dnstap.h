// SPDX-License-Identifier: Apache-2.0
// dnstap (dnstap.info): every query and its response, or every so-many-th pair, verbatim, to a
// collector on a unix socket by Frame Streams, as AUTH_QUERY and AUTH_RESPONSE, or CLIENT_QUERY and
// CLIENT_RESPONSE for what is forwarded, with the upstream in the field "extra" (node setting
// dns.dnstap). While no collector is there, or it is too slow, pairs are dropped and counted; it is
// tried again every second.
//
// The messages are Protocol Buffers of the public schema dnstap.proto; of it this writes a handful
// of fields, by number.
#ifndef MERIDIAN_RESOLVER_LOG_DNSTAP_H
#define MERIDIAN_RESOLVER_LOG_DNSTAP_H

#include "resolver/log/sink.h"

struct dnstap_record {
    int64_t wall_ms;
    struct endpoint client, server;
    uint8_t transport;
    // all 0: answered at once
    struct journal_wait wait;
    // response_n 0: none was sent
    uint32_t query_n, response_n;
    // the query, then the response
    uint8_t bytes[];
};

extern const struct sink_kind dnstap_kind;
// One Dnstap message: the query's, or the response's. identity may be NULL.
void dnstap_encode(const struct dnstap_record *r, bool response, const char *identity,
                   struct buf *out);
uint64_t dnstap_written(void); // of the process, messages
uint64_t dnstap_failed(void);

#endif
