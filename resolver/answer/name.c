// SPDX-License-Identifier: Apache-2.0
// What a name means in a view: every row of the table in design section 3. See answer_priv.h.
//
// Which names there are, their TTLs and their zones is said in config/endpoints.h, for
// cli/dns_zone.c too. What each leads to is said there once more: it goes from a registry to all
// its names, here it goes from a name to one packed record, without a call that could be saved, and
// one statement for both would be a slower one here. The differential test asks for every name that
// the other wrote.
#include "resolver/answer/priv.h"

#include "config/endpoints.h"
#include "resolver/answer/sign.h"
#include "resolver/route/views.h"

#include <stdio.h>
#include <string.h>

static enum answer_zone zone_of(const struct answer *a)
{
    return zone_cut_of(a->t, a->q->name, a->q->name_n);
}

static bool wants(const struct answer *a, enum dns_type type)
{
    return a->q->type == type || a->q->type == DNS_ANY;
}

static void no_such_name(struct answer *a)
{
    a->rcode = DNS_NXDOMAIN;
    answer_add_soa(a, zone_of(a), true);
}

// The apex of a zone. ANY gets one RRset (RFC 8482 section 4.1). DS belongs to the parent's side.
static void answer_apex(struct answer *a, enum answer_zone zone)
{
    if (wants(a, DNS_SOA) || a->q->type == DNS_IXFR) {
        answer_add_soa(a, zone, false);
    } else if (a->t->dnssec.n_keys && answer_add_keys(a, zone)) {
        return;
    } else if (a->q->type == DNS_NS) {
        answer_add_ns(a, a->t->ttl.ns);
        answer_add_glue(a);
    } else {
        const struct static_name *s = NULL;
        if (zone == ZONE_MAIN)
            s = answer_static_of(a);
        if (!s || !answer_add_static(a, s))
            // D is the parent of all others
            answer_add_soa(a, a->q->type == DNS_DS ? ZONE_MAIN : zone, true);
    }
}

// A name that is none of ours: one of the topology's statics, or nothing.
static void answer_static_name(struct answer *a)
{
    const struct static_name *s = answer_static_of(a);
    if (!s)
        no_such_name(a);
    else if (!answer_add_static(a, s))
        answer_add_soa(a, zone_of(a), true);
}

static bool add_addresses(struct answer *a, const struct ip *ips, size_t n, uint32_t ttl)
{
    for (size_t i = 0; i < n; i++)
        answer_add_address(a, &ips[i], ttl);
    return n > 0;
}

static void answer_frontend(struct answer *a, const struct stamp *s)
{
    uint32_t ttl = a->t->ttl.frontend;
    bool done = false;
    if (wants(a, DNS_A))
        done = add_addresses(a, s->ipv4, s->n_ipv4, ttl);
    if (!done && wants(a, DNS_AAAA))
        done = add_addresses(a, s->ipv6, s->n_ipv6, ttl);
    if (!done && !answer_add_proof(a))
        answer_add_soa(a, ZONE_FRONTEND, true);
}

// The view's private addresses of that family for the name; returns how many it has of any family.
static size_t add_private(struct answer *a, const struct hop *h, enum dns_type type)
{
    struct private_iter it = private_begin(a, h);
    const struct ip *ip;
    size_t n = 0;
    while ((ip = private_next(&it))) {
        n++;
        if (type == (ip_is_v4(ip) ? DNS_A : DNS_AAAA))
            answer_add_address(a, ip, a->t->ttl.private_);
    }
    return n;
}

// The private name, if the view covers it: ends here. Returns false when it goes on to the public
// frontend.
static bool answer_private(struct answer *a, const struct hop *h)
{
    uint16_t before = a->n_answer;
    enum dns_type type = DNS_A;
    if (a->q->type != DNS_ANY)
        type = (enum dns_type)a->q->type;
    if (!add_private(a, h, type))
        return false;
    if (a->n_answer == before && a->q->type == DNS_ANY)
        add_private(a, h, DNS_AAAA);
    if (a->n_answer == before && !a->w.full)
        answer_add_soa(a, zone_cut_of_private(a->t, h->kind, h->region), true);
    return true;
}

// Region and stamp that a name leads to. False: nowhere.
static bool hop_stamp(struct answer *a, const struct hop *h, struct route_choice *out)
{
    if (h->kind == NAME_GLOBAL)
        return answer_choose(a, h->registry, out);
    const struct route_context c = answer_routing(a);
    *out = (struct route_choice){h->region, route_stamp(&c, h->registry, h->region), ROUTE_HEALTHY,
                                 false};
    if (a->q->edns && !route_is_up(&c, h->region, out->stamp)) {
        snprintf(a->ede_text, sizeof a->ede_text,
                 "region %s is down; a regional name never means another region",
                 a->t->regions[h->region].name);
        answer_ede(a, EDE_OTHER, a->ede_text);
    }
    return true;
}

// `type` CNAME or ANY ends the answer at the first CNAME (RFC 1034 section 3.6.2, RFC 8482).
static bool chain_ends_at_cname(const struct answer *a)
{
    return a->q->type == DNS_CNAME || a->q->type == DNS_ANY;
}

// From the owner at hand to the stamp's frontend.
static void answer_to_frontend(struct answer *a, const struct hop *h, enum name_kind owner_kind)
{
    struct route_choice to;
    if (!hop_stamp(a, h, &to)) {
        a->rcode = DNS_SERVFAIL; // validation lets no such topology pass
        a->n_answer = 0;
        return;
    }
    a->info->region = to.region;
    answer_add_cname(a, NULL, a->t->catalogue->regions[to.region].frontends[to.stamp],
                     endpoint_ttl(a->t, owner_kind));
    if (!chain_ends_at_cname(a))
        answer_frontend(a, &a->t->regions[to.region].stamps[to.stamp]);
}

static struct catalogue_labels private_labels(const struct catalogue *c, const struct hop *h)
{
    if (h->kind == NAME_GLOBAL)
        return c->global_private;
    if (h->kind == NAME_DATA)
        return c->regions[h->region].data_private;
    return c->regions[h->region].geo_private;
}

static void answer_hop(struct answer *a, const struct hop *h, bool asked_private)
{
    if (!asked_private && !(h->registry->flags & CATALOGUE_PRIVATE)) {
        answer_to_frontend(a, h, h->kind);
        return;
    }
    if (!asked_private) {
        answer_add_cname(a, h->registry, private_labels(a->t->catalogue, h),
                         endpoint_ttl(a->t, h->kind));
        if (chain_ends_at_cname(a))
            return;
    }
    if (!answer_private(a, h))
        answer_to_frontend(a, h, hostname_private_of(h->kind));
}

static void answer_registry_name(struct answer *a, const struct hostname *h)
{
    struct hop hop;
    if (hop_of(a, h, &hop))
        answer_hop(a, &hop, h->kind != hop.kind);
    else
        no_such_name(a);
}

static void answer_ent(struct answer *a, const struct hostname *h)
{
    enum answer_zone zone = zone_of(a);
    if (h->region[0] && !topology_region(a->t, h->region))
        no_such_name(a);
    else if (zone != ZONE_MAIN && zone_cut_is_apex(a->t, zone, a->q->name_n))
        answer_apex(a, zone);
    else
        answer_add_soa(a, zone, true);
}

static void answer_stamp_name(struct answer *a, const struct hostname *h)
{
    const struct region *r = topology_region(a->t, h->region);
    const struct stamp *s = NULL;
    if (r)
        s = region_stamp(r, h->stamp);
    if (s)
        answer_frontend(a, s);
    else
        no_such_name(a);
}

void answer_name(struct answer *a)
{
    struct hostname h;
    enum name_kind kind = hostname_parse_wire(a->q->name, a->q->name_n, a->t->domain, &h);
    bool denied = view_choose(a->t, a->c->listener, &a->c->source, &a->view);
    a->info->kind = (uint8_t)kind;
    if (a->c->unproxied) {
        a->view = NULL;
        a->rcode = DNS_REFUSED;
        answer_ede(a, EDE_PROHIBITED, "a trusted proxy must send a PROXY header");
        return;
    }
    if (denied) {
        a->rcode = DNS_REFUSED;
        answer_ede(a, EDE_PROHIBITED, NULL);
        return;
    }
    if (kind == NAME_FOREIGN) {
        answer_foreign(a);
        return;
    }
    a->authoritative = true;
    const struct catalogue *c = a->t->catalogue;
    size_t before = a->q->name_n - c->apex_n;
    if (!memcmp(a->q->name + before, c->apex, c->apex_n))
        a->apex_at = (uint16_t)(DNS_HEADER_BYTES + before);
    if (answer_add_proof(a))
        return;
    switch (kind) {
    case NAME_APEX:
        answer_apex(a, ZONE_MAIN);
        break;
    case NAME_ENT:
        answer_ent(a, &h);
        break;
    case NAME_FRONTEND:
        answer_stamp_name(a, &h);
        break;
    case NAME_INVALID:
        answer_static_name(a);
        break;
    case NAME_ROUTE:
        if (!answer_route(a, &h))
            no_such_name(a);
        break;
    case NAME_FOREIGN:
        no_such_name(a);
        break;
    default:
        answer_registry_name(a, &h);
    }
}
