// SPDX-License-Identifier: Apache-2.0
// Which names a registry has, how long an answer about each holds, and which of them lie in a child
// zone (design sections 2 and 3): the one statement for the resolver, the HTTP router and the CLI.
// How a name is spelt is config/hostname's; which region a global one leads to is resolver/route's.
//
//   struct endpoint_name e;
//   for (size_t at = 0; endpoint_next(registry, &at, &e);)     // contoso, then by replica its
//                                                              // regional and data names
//       hostname_format(e.kind, t->domain, registry->label, …)
//
// With private endpoints in DNS each of them has its privatelink form too,
// hostname_private_of(e.kind).
// Names come and go by stages: the edge serves every name that is given here, DNS those of which
// registry_name_stage says so. The resolver's packed records hold what registry_offers says as
// flags, and what few have besides (config/catalogue_record.c).
#ifndef MERIDIAN_CONFIG_ENDPOINTS_H
#define MERIDIAN_CONFIG_ENDPOINTS_H

#include "config/topology.h"

struct endpoint_name {
    // NAME_GLOBAL, NAME_REGIONAL, NAME_DATA
    enum name_kind kind;
    // REGION_NONE for the global name
    uint8_t region;
};

// The one of two stages that shows a name less.
static inline enum name_stage stage_hidden_most(uint8_t a, uint8_t b)
{
    if (a > b)
        return (enum name_stage)a;
    return (enum name_stage)b;
}

// Is one of its private endpoints in DNS? Then its public names lead to their privatelink forms.
static inline bool registry_in_private_dns(const struct registry *r)
{
    for (size_t i = 0; i < r->n_private_endpoints; i++)
        if (r->private_endpoints[i]->stage == PRIVATE_IN_DNS)
            return true;
    return false;
}

// Does the registry have names of that (public) kind, in each region where it has a replica?
static inline bool registry_offers(const struct registry *r, enum name_kind kind)
{
    if (kind == NAME_REGIONAL)
        return r->regional_endpoints;
    if (kind == NAME_DATA) // the first private endpoint switches them on
        return r->data_endpoints || r->n_private_endpoints;
    return kind == NAME_GLOBAL;
}

// How far a name is served; STAGE_GONE: not at all. Private forms have the stage of their public
// one. Region: REGION_NONE for the global name.
static inline enum name_stage registry_name_stage(const struct registry *r, enum name_kind kind,
                                                  uint8_t region)
{
    enum name_kind public_kind = hostname_public_of(kind);
    if (!registry_offers(r, public_kind))
        return STAGE_GONE;
    if (public_kind == NAME_GLOBAL)
        return (enum name_stage)r->stage;
    const struct replica *rep = registry_replica(r, region);
    uint8_t of_kind = r->data_stage;
    if (public_kind == NAME_REGIONAL)
        of_kind = r->regional_stage;
    if (!rep)
        return STAGE_GONE;
    return stage_hidden_most(stage_hidden_most(r->stage, of_kind), rep->stage);
}

static inline bool registry_name_is_public(const struct registry *r, enum name_kind kind,
                                           uint8_t region)
{
    return registry_name_stage(r, kind, region) == STAGE_PUBLIC;
}

// Is the replica about to go? It is at the edge alone, and drained: every cache has forgotten its
// names, and it takes no writes, so that the others can have all that it wrote before it is gone
// (lifecycle/registry_goal.h).
static inline bool replica_is_leaving(const struct replica *rep)
{
    return rep->stage == STAGE_EDGE && rep->drained;
}

// The kind of name by which to call the registry in one region, whose address is known: the regional
// one, or the global one, which every replica serves, while there is none or not all know it.
static inline enum name_kind registry_name_there(const struct registry *r, uint8_t region)
{
    if (registry_name_is_public(r, NAME_REGIONAL, region))
        return NAME_REGIONAL;
    return NAME_GLOBAL;
}

// The name after the one at *at, which starts at 0. False: no more.
static inline bool endpoint_next(const struct registry *r, size_t *at, struct endpoint_name *out)
{
    for (; *at < 1 + 2 * (size_t)r->n_replicas; ++*at) {
        enum name_kind kind = NAME_DATA;
        if (!*at)
            kind = NAME_GLOBAL;
        else if (*at % 2)
            kind = NAME_REGIONAL;
        if (!registry_offers(r, kind))
            continue;
        *out = (struct endpoint_name){kind, *at ? r->replicas[(*at - 1) / 2].region : REGION_NONE};
        ++*at;
        return true;
    }
    return false;
}

// Seconds, of the first record at a name of that kind.
static inline uint32_t endpoint_ttl(const struct topology *t, enum name_kind kind)
{
    if (kind == NAME_GLOBAL)
        return t->ttl.global;
    if (kind == NAME_REGIONAL)
        return t->ttl.regional;
    if (kind == NAME_DATA)
        return t->ttl.data;
    return t->ttl.private_;
}

// Is the private form of a name of that kind, public or private, in a child zone of D?
static inline bool endpoint_is_cut_off(const struct topology *t, enum name_kind kind)
{
    return t->private_cut == PRIVATE_CUT_PRIVATELINK ||
           (t->private_cut == PRIVATE_CUT_REGION && hostname_public_of(kind) == NAME_REGIONAL);
}

// Is it an address of that name? Public kind; region REGION_NONE for the global one.
static inline bool private_member_is(const struct private_member *m, enum name_kind kind,
                                     uint8_t region)
{
    return m->kind == kind && (kind == NAME_GLOBAL || m->region == region);
}

#endif
