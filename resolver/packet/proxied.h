// SPDX-License-Identifier: Apache-2.0
// The header of the PROXY protocol, version 2 (haproxy's proxy-protocol.txt, section 2.2). A load
// balancer such as dnsdist writes it ahead of a query, to name the client that it asks for. Pure;
// any thread.
//
//   struct proxied who;
//   int rc = proxied_parse(p, n, &who);   // 0: the query begins at p + who.n
//
// Only proxies that `dns.trusted_proxies` names may send a header: a server that reads headers from
// anybody lets each client choose its own view. A header names IPv4 or IPv6 addresses, whatever the
// transport; or it is LOCAL: the proxy asks for itself, as its health checks do. A client without
// an address (AF_UNSPEC, AF_UNIX) is refused, because it has no view. Type-length-values are passed
// over. Version 1, which is text, is not supported.
#ifndef MERIDIAN_RESOLVER_PACKET_PROXIED_H
#define MERIDIAN_RESOLVER_PACKET_PROXIED_H

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROXIED_MAX 1024 // octets of a header with all that follows the addresses

struct proxied {
    // octets of the header
    size_t n;
    // the proxy asks for itself: `client` is not set
    bool local;
    // port 0 is possible
    struct endpoint client;
};

// ERR_TRUNC: what is there may be the beginning of a header. ERR_PROTO: it is none, or not one that
// we take.
int proxied_parse(const uint8_t *p, size_t n, struct proxied *out);
// p[0..n) begins as a header does, as far as it goes. No DNS query does: its opcode would be that
// of IQUERY, and over TCP its length the most that we take.
bool proxied_begins(const uint8_t *p, size_t n);

#endif
