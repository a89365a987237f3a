// SPDX-License-Identifier: Apache-2.0
// The client's network; see client.h.
#include "resolver/packet/client.h"

#include "config/catalogue.h"

bool client_subnet_sane(const struct cidr *net, bool v4)
{
    return net->bits > (v4 ? 96 : 0) && !ip_special_bits(&net->ip, v4);
}

// Does an override name it? One that is wider than such a network does not speak of it.
static bool is_named(const struct topology *t, const struct cidr *net, uint8_t special)
{
    const struct routing_override *o = catalogue_override(t->catalogue, &net->ip);
    return o && o->cidr.bits >= special;
}

static bool may_be_named(const struct topology *t, const struct cidr *net, bool v4)
{
    return t->routing.overrides_special && net->bits > (v4 ? 96 : 0) && v4 == ip_is_v4(&net->ip);
}

struct route_client client_of_subnet(const struct topology *t, const struct cidr *net, bool v4,
                                     const struct ip *source)
{
    struct route_client out = client_of_source(source);
    uint8_t special = ip_special_bits(&net->ip, v4);
    if (client_subnet_sane(net, v4))
        return (struct route_client){.net = *net, .by_ecs = true};
    if (!may_be_named(t, net, v4))
        return out;
    if (is_named(t, net, special))
        return (struct route_client){.net = *net, .by_ecs = true};
    out.passed_over = catalogue_override_depth(t->catalogue, &net->ip);
    if (out.passed_over < special)
        out.passed_over = special;
    return out;
}
