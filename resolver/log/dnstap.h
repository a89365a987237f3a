// SPDX-License-Identifier: Apache-2.0
// dnstap (dnstap.info): sends every query and its response, or every so-many-th pair, octet for
// octet, to a collector on a unix socket by Frame Streams (node setting dns.dnstap). The types are
// AUTH_QUERY and AUTH_RESPONSE; for forwarded queries they are CLIENT_QUERY and CLIENT_RESPONSE,
// with the upstream in the field "extra". While no collector is there, or it is too slow, pairs are
// dropped and counted. The sink tries to connect again every second.
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
