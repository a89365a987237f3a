// SPDX-License-Identifier: Apache-2.0
// Whose network routes a query: that of a Client Subnet option, where it can be a client's, else the transport source
// (design section 4.1). A part of the answer builder; pure, any thread.
//
// A subnet counts in the public view only, with a prefix of at least one bit, and if it is global unicast: not private
// (RFC 1918, 6598, 4193), loopback, link-local, multicast, benchmarking, reserved. Networks for documentation do count:
// nobody's clients are there, and tests are. With any other subnet the query is routed by its source, and the answer's
// scope is 0 (RFC 7871 section 7.2.1; a prefix of 0 bits asks for just that, section 7.1.2).
#ifndef MERIDIAN_RESOLVER_CLIENT_H
#define MERIDIAN_RESOLVER_CLIENT_H

#include "base/addr.h"
#include "resolver/wire.h"

struct route_client {
    struct cidr net; // mapped; the transport source whole
    bool by_ecs;     // it came in a Client Subnet option
};

static inline struct route_client client_of_source(const struct ip *source)
{
    return (struct route_client){.net = {*source, 128}};
}

struct route_client client_of_query(const struct dns_query *q, bool public_view, const struct ip *source);
bool client_subnet_sane(const struct cidr *net, bool v4); // v4: the option's family was 1

#endif
