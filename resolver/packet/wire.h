// SPDX-License-Identifier: Apache-2.0
// DNS on the wire (RFC 1035 section 4): the parser of queries and the writer of responses, for the
// per-query path. Both work on the caller's memory, allocate nothing and latch their errors.
//
//   struct dns_query q;
//   int rcode = dns_query_parse(packet, n, &q);           // 0, an rcode to answer with, or
//                                                         // DNS_DROP
//   struct dns_writer w;
//   dns_writer_init(&w, out, sizeof out, max);
//   dns_write_header(&w, &q, rcode, true);
//   dns_write_rr_head(&w, …); … ; if (w.full) …           // nothing past `max` is ever written
//
// Names are in wire form (dns/name.h). Any thread.
#ifndef MERIDIAN_RESOLVER_PACKET_WIRE_H
#define MERIDIAN_RESOLVER_PACKET_WIRE_H

#include "base/addr.h"
#include "dns/name.h"
#include "dns/types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dns_class { DNS_IN = 1 };
enum dns_rcode {
    DNS_NOERROR = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5,
    DNS_NOTAUTH = 9,
    DNS_BADVERS = 16,
    DNS_BADCOOKIE = 23
};

#define DNS_DROP (-1) // not to be answered: a response, or shorter than a header
#define DNS_HEADER_BYTES 12
#define DNS_UDP_LEAST 512
#define DNS_UDP_CEILING 1232 // ours: fits every path without fragments
#define DNS_OPT_BYTES 11     // an OPT record without options

// Codes of EDNS options.
enum edns_option {
    EDNS_NSID = 3,
    EDNS_CLIENT_SUBNET = 8,
    EDNS_COOKIE = 10,
    EDNS_TCP_KEEPALIVE = 11,
    EDNS_PADDING = 12,
    EDNS_EDE = 15
};

struct dns_query { // borrows the packet
    uint16_t id;
    uint8_t opcode;
    bool rd;
    // name, type and class were read whole; else the three below mean nothing
    bool has_question;
    const uint8_t *name;
    size_t name_n;
    uint16_t type, class_;
    // an OPT record was there (RFC 6891)
    bool edns, dnssec_ok;
    // CO flag (RFC 9824 section 5.1): NXDOMAIN for compact denials
    bool compact_ok;
    uint8_t edns_version;
    // what the client takes over UDP: 512..1232
    uint16_t udp_bytes;
    // asked for (RFC 5001, RFC 7828)
    bool nsid, keepalive;
    // the query was padded: the answer may be (RFC 7830)
    bool padding;
    // a Client Subnet option (RFC 7871 section 6), well formed
    bool ecs;
    // 1 IPv4, 2 IPv6, 0 with a prefix of 0
    uint8_t ecs_family;
    // SOURCE PREFIX-LENGTH; of the mapped address (96 more) for IPv4 in ecs_net
    uint8_t ecs_bits;
    // mapped; bits beyond the prefix are zero
    struct cidr ecs_net;
    // RFC 7873: 8 octets of the client's, then 0 or 8..32 of the server's; NULL: none
    const uint8_t *cookie;
    // 8, or 16..40
    uint8_t cookie_n;
    // RFC 8945: the record, which was the last one; NULL: none
    const uint8_t *tsig;
    uint16_t tsig_n;
};

// Returns DNS_NOERROR, DNS_FORMERR, DNS_NOTIMP, DNS_BADVERS or DNS_DROP. *q holds what could be
// read, also on errors. DNS_NOERROR without a question: it asks for a cookie, which it has an
// option for (RFC 7873 section 5.4).
int dns_query_parse(const uint8_t *p, size_t n, struct dns_query *q);

// Of an IXFR query that was parsed: the serial of the version that the client has (RFC 1995 section
// 3).
bool dns_query_ixfr_serial(const uint8_t *p, size_t n, const struct dns_query *q, uint32_t *out);

#define DNS_COMPRESS_MAX 48

struct dns_writer {
    uint8_t *p;
    // never past max
    size_t n, max;
    // latched: something did not fit; nothing is written after
    bool full;
    // where labels start that later names may point to
    uint16_t offsets[DNS_COMPRESS_MAX];
    size_t n_offsets;
};

struct dns_mark { // a place to go back to
    size_t n, n_offsets;
};

void dns_writer_init(struct dns_writer *w, uint8_t *out, size_t max);
// Header and, if q has one, the question, its bytes unchanged. Counts are set by dns_write_counts.
void dns_write_header(struct dns_writer *w, const struct dns_query *q, int rcode,
                      bool authoritative);
void dns_write_counts(struct dns_writer *w, uint16_t answer, uint16_t authority,
                      uint16_t additional);
void dns_write_flag_tc(struct dns_writer *w);
struct dns_mark dns_writer_mark(const struct dns_writer *w);
// forgets what came after, and that it was full
void dns_writer_rewind(struct dns_writer *w, struct dns_mark m);

void dns_write_u16(struct dns_writer *w, uint16_t v);
void dns_write_u32(struct dns_writer *w, uint32_t v);
void dns_write_bytes(struct dns_writer *w, const void *p, size_t n);
// Compressed against names written before. Octets are compared exactly, so that a name of ours
// stays in lower case whatever the case of the question.
void dns_write_name(struct dns_writer *w, const uint8_t *name, size_t n);
// Owner, type, class IN and TTL.
void dns_write_rr_head(struct dns_writer *w, const uint8_t *name, size_t n, enum dns_type type,
                       uint32_t ttl);
// The same with the owner by pointer to `owner_at`, where a name begins.
void dns_write_rr_head_at(struct dns_writer *w, uint16_t owner_at, enum dns_type type,
                          uint32_t ttl);
// A whole record with n bytes of RDATA: returns where they go, or NULL (latched).
uint8_t *dns_write_rr_at(struct dns_writer *w, uint16_t owner_at, enum dns_type type, uint32_t ttl,
                         size_t n);
size_t dns_write_rdata_begin(struct dns_writer *w); // the length comes with _end
void dns_write_rdata_end(struct dns_writer *w, size_t begin);
// The OPT record of a response: resolver/packet/edns.h.

#endif
