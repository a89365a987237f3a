// SPDX-License-Identifier: Apache-2.0
// The OPT record of a response (RFC 6891 section 6.1) and its options. A part of the answer builder
// (resolver/answer/priv.h). Any thread; allocates nothing.
//
//   struct edns_response o = {.rcode = rcode, .ede = EDE_NONE};
//   size_t keep = edns_response_least(&o, &q);      // room to keep free while the sections are
//                                                   // written
//   edns_write(&w, &q, &o);                         // needs that much; courtesies go in as far as
//                                                   // there is room
#ifndef MERIDIAN_RESOLVER_PACKET_EDNS_H
#define MERIDIAN_RESOLVER_PACKET_EDNS_H

#include "resolver/packet/wire.h"

#define EDNS_COOKIE_BYTES 24 // 8 of the client's, 16 of the server's (RFC 9018 section 4)
#define EDNS_NSID_MAX 64
#define EDNS_PAD_BYTES 468 // RFC 8467 section 4.1

enum edns_ede { // RFC 8914 section 4
    EDE_NONE = -1,
    EDE_OTHER = 0,
    EDE_NOT_READY = 14,
    EDE_PROHIBITED = 18,
    EDE_NOT_AUTHORITATIVE = 20,
    EDE_NOT_SUPPORTED = 21,
    EDE_NO_REACHABLE_AUTHORITY = 22,
    EDE_NETWORK_ERROR = 23,
    EDE_INVALID_TYPE = 30 // of a question: RFC 9824 section 3.5
};

struct edns_response {
    // extended
    int rcode;
    // and why
    enum edns_ede ede;
    // more about it, or NULL; the first to go when room is short
    const char *ede_text;
    // RFC 5001, if asked for; the second to go; NULL: none
    const char *nsid;
    // EDNS_COOKIE_BYTES, or NULL
    const uint8_t *cookie;
    // CO flag: compact denials are spoken here (RFC 9824 section 5.1)
    bool compact;
    // RFC 7828
    bool keepalive;
    uint16_t keepalive_100ms;
    // to a multiple of EDNS_PAD_BYTES, as the last option (RFC 8467 section 4.1)
    bool padded;
    // octets of the response that follow the record: a TSIG
    uint16_t tail;
    // SCOPE PREFIX-LENGTH (RFC 7871 section 7.2.1) in bits of the query's family, if the query has
    // one
    uint8_t ecs_scope;
};

// What the record takes at least: without NSID and extended error.
size_t edns_response_least(const struct edns_response *o, const struct dns_query *q);
// Octets of the padding option, head included, that make a response of n without it a multiple of
// EDNS_PAD_BYTES; fewer where that would be past `max`; 0 when there is no room for it.
size_t edns_padding(size_t n, size_t max);
// Puts such an option of that size.
void edns_put_padding(uint8_t *to, size_t n);
void edns_write(struct dns_writer *w, const struct dns_query *q, const struct edns_response *o);

#endif
