// SPDX-License-Identifier: Apache-2.0
// Which types a name of D has; see priv.h. It says of each kind of name what answer/name.c would
// answer, without writing an answer: a new kind of record is added in both, and the test of denials,
// which asks each kind of name for each type, fails if they differ.
#include "resolver/answer/priv.h"

#include "config/endpoints.h"
#include "resolver/sign/dnssec.h"

#include <string.h>

static dns_type_set static_types(const struct answer *a, const uint8_t *name, size_t n)
{
    const struct static_name *s = topology_static(a->t, name, n - a->t->catalogue->apex_n);
    dns_type_set types = 0;
    for (size_t i = 0; s && i < s->n_records; i++)
        types |= dns_type_bit(s->records[i].type);
    return types;
}

static dns_type_set apex_types(const struct answer *a, const uint8_t *name, size_t n)
{
    dns_type_set types = dns_type_bit(DNS_SOA) | dns_type_bit(DNS_NS) | static_types(a, name, n);
    const struct dnssec *d = a->c->dnssec;
    if (!a->t->dnssec.n_keys || !d)
        return types;
    for (size_t i = 0; i < d->main.n_rrs; i++)
        types |= dns_type_bit(d->main.rrs[i].type);
    return types;
}

static dns_type_set private_types(const struct answer *a, const struct hop *hop)
{
    struct private_iter it = private_begin(a, hop);
    const struct ip *ip;
    dns_type_set types = 0;
    while ((ip = private_next(&it)))
        types |= dns_type_bit(ip_is_v4(ip) ? DNS_A : DNS_AAAA);
    return types;
}

static bool registry_types(const struct answer *a, const struct hostname *h, dns_type_set *out)
{
    struct hop hop;
    if (!hop_of(a, h, &hop))
        return false;
    bool asked_private = h->kind != hop.kind;
    dns_type_set types = 0;
    if (asked_private)
        types = private_types(a, &hop);
    if (!types)
        types = dns_type_bit(DNS_CNAME);
    *out = types;
    return true;
}

static bool route_is_there(const struct answer *a, const struct hostname *h)
{
    const struct catalogue_registry *r =
        catalogue_find(a->t->catalogue, h->label, strlen(h->label));
    return r && hop_is_served(a, &(struct hop){r, NAME_GLOBAL, REGION_NONE});
}

bool name_types(const struct answer *a, const uint8_t *name, size_t n, dns_type_set *out)
{
    struct hostname h;
    *out = 0;
    switch (hostname_parse_wire(name, n, a->t->domain, &h)) {
    case NAME_APEX:
        *out = apex_types(a, name, n);
        return true;
    case NAME_ENT:
        return !h.region[0] || topology_region(a->t, h.region);
    case NAME_INVALID:
        *out = static_types(a, name, n);
        return *out != 0;
    case NAME_ROUTE:
        *out = dns_type_bit(DNS_TXT);
        return route_is_there(a, &h);
    case NAME_FOREIGN:
    case NAME_FRONTEND: // of fe.D, whose zone says itself what it has
        return false;
    default:
        return registry_types(a, &h, out);
    }
}
