// SPDX-License-Identifier: Apache-2.0
// The network that a query is routed by: that of a Client Subnet option, where it can be a
// client's, else the transport source (design section 4.1). A part of the answer builder; pure, any
// thread.
//
// A subnet counts in the public view only, with a prefix of at least one bit, and only if it is
// global unicast (ip_special_bits) or an override for private or other special networks names it.
// Else the source routes the query, and the answer's scope is 0 (RFC 7871 section 7.2.1; a prefix
// of 0 bits asks for just that, section 7.1.2). There is one exception: where such overrides exist,
// the scope is that of the widest special network around the subnet that no override divides,
// because a cache must not keep the answer for clients that an override names.
#ifndef MERIDIAN_RESOLVER_PACKET_CLIENT_H
#define MERIDIAN_RESOLVER_PACKET_CLIENT_H

#include "base/addr.h"
#include "config/topology.h"
#include "resolver/packet/wire.h"

struct route_client {
    // mapped; the transport source whole
    struct cidr net;
    // it came in a Client Subnet option
    bool by_ecs;
    // the scope, in bits of the mapped form, when a subnet was looked at and did not count
    uint8_t passed_over;
};

static inline struct route_client client_of_source(const struct ip *source)
{
    return (struct route_client){.net = {*source, 128}};
}

// In the public view. `v4`: the option's family was 1.
struct route_client client_of_subnet(const struct topology *t, const struct cidr *net, bool v4,
                                     const struct ip *source);
bool client_subnet_sane(const struct cidr *net, bool v4); // global unicast, and not all of it

static inline struct route_client client_of_query(const struct topology *t,
                                                  const struct dns_query *q, bool public_view,
                                                  const struct ip *source)
{
    if (!q->ecs || !public_view)
        return client_of_source(source);
    return client_of_subnet(t, &q->ecs_net, q->ecs_family == 1, source);
}

#endif
