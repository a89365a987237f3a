// SPDX-License-Identifier: Apache-2.0
// The client's network; see client.h.
#include "resolver/client.h"

#include "base/mem.h"

struct v4_net {
    uint32_t net;
    uint8_t bits;
};

// No client of the public network comes from these (RFC 6890 and its registry).
static const struct v4_net not_global[] = {
    {0x00000000, 8},  // this network
    {0x0a000000, 8},  // private
    {0x64400000, 10}, // shared, behind carriers' NAT
    {0x7f000000, 8},  // loopback
    {0xa9fe0000, 16}, // link-local
    {0xac100000, 12}, // private
    {0xc0000000, 24}, // protocol assignments
    {0xc0a80000, 16}, // private
    {0xc6120000, 15}, // benchmarking
    {0xe0000000, 3},  // multicast, reserved, broadcast
};

bool client_subnet_sane(const struct cidr *net, bool v4)
{
    const uint8_t *b = net->ip.b;
    if (!v4)
        return net->bits > 0 && (b[0] & 0xe0) == 0x20; // 2000::/3
    uint32_t at = (uint32_t)b[12] << 24 | (uint32_t)b[13] << 16 | (uint32_t)b[14] << 8 | b[15];
    if (net->bits <= 96)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(not_global); i++)
        if (at >> (32 - not_global[i].bits) == not_global[i].net >> (32 - not_global[i].bits))
            return false;
    return true;
}

struct route_client client_of_query(const struct dns_query *q, bool public_view, const struct ip *source)
{
    if (!q->ecs || !public_view || !client_subnet_sane(&q->ecs_net, q->ecs_family == 1))
        return client_of_source(source);
    return (struct route_client){q->ecs_net, true};
}
