// SPDX-License-Identifier: Apache-2.0
// Zones written out; see dns_zone.h. Which names there are, their TTLs and their zones is said in
// config/endpoints.h, for resolver/answer/name.c too. What each leads to is said there once more,
// see why at its head; the differential test holds the two together: every name, by a stock server
// against ours.
#include "cli/dns_zone.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/endpoints.h"
#include "config/frontend.h"
#include "dns/types.h"

#include <string.h>

// A name in absolute form, "" if the topology's parts do not make one (validation lets no such
// pass).
struct text {
    char s[HOSTNAME_TEXT_SIZE];
};

static struct text name_of(const struct zone *z, enum name_kind kind, const char *label,
                           const char *region, const char *stamp)
{
    struct text x;
    if (hostname_format(kind, z->t->domain, label, region, stamp, x.s))
        x.s[0] = 0;
    return x;
}

static struct text frontend_of(const struct zone *z, uint8_t region, uint8_t stamp)
{
    const struct region *r = &z->t->regions[region];
    return name_of(z, NAME_FRONTEND, NULL, r->name, r->stamps[stamp].name);
}

static void write_names(const struct zone *z, const char *owner, uint32_t ttl, const char *type,
                        const char *target)
{
    fprintf(z->out, "%s. %u IN %s %s.\n", owner, (unsigned)ttl, type, target);
}

static void write_address(const struct zone *z, const char *owner, uint32_t ttl,
                          const struct ip *ip)
{
    char text[IP_TEXT_SIZE];
    fprintf(z->out, "%s. %u IN %s %s\n", owner, (unsigned)ttl, ip_is_v4(ip) ? "A" : "AAAA",
            ip_format(ip, text));
}

static void write_stamp(const struct zone *z, uint8_t region, uint8_t stamp)
{
    struct text owner = frontend_of(z, region, stamp);
    const struct stamp *s = &z->t->regions[region].stamps[stamp];
    for (size_t i = 0; i < s->n_ipv4; i++)
        write_address(z, owner.s, z->t->ttl.frontend, &s->ipv4[i]);
    for (size_t i = 0; i < s->n_ipv6; i++)
        write_address(z, owner.s, z->t->ttl.frontend, &s->ipv6[i]);
}

static void write_servers(const struct zone *z, const char *owner)
{
    for (size_t i = 0; i < z->t->n_name_servers; i++) {
        const struct name_server *ns = &z->t->name_servers[i];
        write_names(z, owner, z->t->ttl.ns, "NS", frontend_of(z, ns->region, ns->stamp).s);
    }
}

// The mailbox as a name. Validation lets nothing into its local part that would need an escape.
static void write_mailbox(const struct zone *z, const char *address)
{
    const char *at = strchr(address, '@');
    fprintf(z->out, "%.*s.%s.", (int)(at - address), address, at + 1);
}

static void write_head(const struct zone *z, const char *apex, uint64_t serial)
{
    const struct topology *t = z->t;
    const struct name_server *first = &t->name_servers[0];
    fprintf(z->out, "; %s, version %llu of the topology, view %s\n", apex,
            (unsigned long long)t->version, z->view ? z->view->name : "public");
    fprintf(z->out, "%s. %u IN SOA %s. ", apex, (unsigned)t->ttl.soa,
            frontend_of(z, first->region, first->stamp).s);
    write_mailbox(z, t->hostmaster);
    fprintf(z->out, " %u %u %u %u %u\n", (unsigned)(uint32_t)serial, SOA_REFRESH_S, SOA_RETRY_S,
            SOA_EXPIRE_S, (unsigned)t->ttl.negative);
    write_servers(z, apex);
}

static struct text frontend_apex(const struct zone *z)
{
    struct text x;
    snprintf(x.s, sizeof x.s, "fe.%s", z->t->domain);
    return x;
}

// Does a name given word for word lie in the zone with that apex? Zones below another take it from
// that one.
static bool is_below(const struct zone *z, const struct static_name *s, const char *apex,
                     char owner[HOSTNAME_TEXT_SIZE])
{
    size_t n = 0;
    for (size_t at = 0; at < s->labels_n; at += 1u + s->labels[at])
        n += (size_t)snprintf(owner + n, HOSTNAME_TEXT_SIZE - n, "%.*s.", s->labels[at],
                              (const char *)s->labels + at + 1);
    n += (size_t)snprintf(owner + n, HOSTNAME_TEXT_SIZE - n, "%s", z->t->domain);
    size_t apex_n = strlen(apex);
    return n >= apex_n && !strcmp(owner + n - apex_n, apex) &&
           (n == apex_n || owner[n - apex_n - 1] == '.');
}

static bool in_child(const struct zone *z, const struct static_name *s);

static void write_statics(const struct zone *z, const char *apex, bool main_zone)
{
    const struct topology *t = z->t;
    char owner[HOSTNAME_TEXT_SIZE];
    for (size_t i = 0; i < t->n_statics; i++) {
        const struct static_name *s = &t->statics[i];
        if (!is_below(z, s, apex, owner) || (main_zone && (s->in_frontend || in_child(z, s))))
            continue;
        for (size_t k = 0; k < s->n_records; k++)
            fprintf(z->out, "%s. %u IN %s %s\n", owner, (unsigned)t->static_ttl,
                    dns_type_name(s->records[k].type), s->records[k].text);
    }
}

void zone_write_frontend(const struct zone *z)
{
    write_head(z, frontend_apex(z).s, frontend_serial(z->t, clock_wall_ms() / 1000));
    for (size_t i = 0; i < z->t->n_regions; i++)
        for (size_t k = 0; k < z->t->regions[i].n_stamps; k++)
            write_stamp(z, (uint8_t)i, (uint8_t)k);
    write_statics(z, frontend_apex(z).s, false);
}

// ---- D ----

// Would a region take global clients, drained or not?
static bool takes(const struct registry *r, uint8_t region, bool drained)
{
    const struct replica *rep = registry_replica(r, region);
    return rep && rep->global_routing && rep->stage == STAGE_PUBLIC && rep->drained == drained;
}

// Where the global name leads with all regions up: design section 4, step 3.
static uint8_t pinned_region(const struct zone *z, const struct registry *r)
{
    for (int drained = 0; drained < 2; drained++) {
        if (z->pin != REGION_NONE && takes(r, z->pin, drained))
            return z->pin;
        for (size_t i = 0; i < z->t->n_regions; i++)
            if (takes(r, z->t->routing_order[i], drained))
                return z->t->routing_order[i];
    }
    return REGION_NONE;
}

// The view's private addresses for a name; returns how many.
static size_t write_private(const struct zone *z, const struct registry *r, enum name_kind kind,
                            uint8_t region, const char *owner)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_private_endpoints; i++) {
        const struct private_endpoint *pe = r->private_endpoints[i];
        if (!z->view || &z->t->views[pe->view] != z->view || pe->stage != PRIVATE_IN_DNS)
            continue;
        for (size_t k = 0; k < pe->n_members; k++) {
            const struct private_member *m = &pe->members[k];
            if (!private_member_is(m, kind, region))
                continue;
            write_address(z, owner, endpoint_ttl(z->t, hostname_private_of(kind)), &m->ip);
            n++;
        }
    }
    return n;
}

static bool has_private(const struct zone *z, const struct registry *r, enum name_kind kind,
                        uint8_t region)
{
    for (size_t i = 0; z->view && i < r->n_private_endpoints; i++) {
        const struct private_endpoint *pe = r->private_endpoints[i];
        bool counts = &z->t->views[pe->view] == z->view && pe->stage == PRIVATE_IN_DNS;
        for (size_t k = 0; counts && k < pe->n_members; k++)
            if (private_member_is(&pe->members[k], kind, region))
                return true;
    }
    return false;
}

// Does the view see a name of that stage?
static bool is_served(const struct zone *z, const struct registry *r, const struct endpoint_name *e)
{
    enum name_stage stage = registry_name_stage(r, e->kind, e->region);
    if (stage == STAGE_PUBLIC)
        return true;
    return stage == STAGE_PRIVATE && has_private(z, r, e->kind, e->region);
}

// Of the stamp that the replica's names lead to as of now.
static struct text replica_frontend(const struct zone *z, const struct registry *r,
                                    const struct replica *rep)
{
    return frontend_of(z, rep->region, registry_stamp_at(z->t, r, rep->region, z->now_s)->index);
}

// The private form of a name, which ends here or goes on to the frontend.
static void write_hop(const struct zone *z, const struct registry *r, enum name_kind kind,
                      uint8_t region)
{
    uint8_t to = region;
    if (region == REGION_NONE)
        to = pinned_region(z, r);
    const struct replica *rep = NULL;
    if (to != REGION_NONE)
        rep = registry_replica(r, to);
    if (!rep)
        return; // validation lets no such registry pass
    const char *region_name = NULL;
    if (region != REGION_NONE)
        region_name = z->t->regions[region].name;
    struct text hop = name_of(z, hostname_private_of(kind), r->label, region_name, NULL);
    if (write_private(z, r, kind, region, hop.s) == 0)
        write_names(z, hop.s, endpoint_ttl(z->t, hostname_private_of(kind)), "CNAME",
                    replica_frontend(z, r, rep).s);
}

// A public name and, where there are private endpoints, the private one behind it. `region`:
// REGION_NONE for global.
static void write_endpoint(const struct zone *z, const struct registry *r, enum name_kind kind,
                           uint8_t region)
{
    uint32_t ttl = endpoint_ttl(z->t, kind);
    uint8_t to = region;
    if (region == REGION_NONE)
        to = pinned_region(z, r);
    const struct replica *rep = NULL;
    if (to != REGION_NONE)
        rep = registry_replica(r, to);
    if (!rep)
        return; // validation lets no such registry pass
    const char *region_name = NULL;
    if (region != REGION_NONE)
        region_name = z->t->regions[region].name;
    struct text owner = name_of(z, kind, r->label, region_name, NULL);
    struct text frontend = replica_frontend(z, r, rep);
    if (!registry_in_private_dns(r)) {
        write_names(z, owner.s, ttl, "CNAME", frontend.s);
        return;
    }
    struct text hop = name_of(z, hostname_private_of(kind), r->label, region_name, NULL);
    write_names(z, owner.s, ttl, "CNAME", hop.s);
    if (!endpoint_is_cut_off(z->t, kind))
        write_hop(z, r, kind, region);
}

// A file cannot switch by itself.
static void write_moves(const struct zone *z, const struct registry *r)
{
    char since[CLOCK_TEXT_SIZE];
    for (size_t i = 0; i < r->n_moves; i++) {
        const struct stamp_move *m = &r->moves[i];
        if (z->now_s < m->since_s)
            fprintf(z->out, "; %s in %s leads to %s from %s on: export it again then\n", r->name,
                    z->t->regions[m->region].name,
                    topology_replica_stamp(z->t, registry_replica(r, m->region))->name,
                    clock_format_s(m->since_s, since));
    }
}

static void write_registry(const struct zone *z, const struct registry *r)
{
    struct endpoint_name e;
    write_moves(z, r);
    for (size_t at = 0; endpoint_next(r, &at, &e);)
        if (is_served(z, r, &e))
            write_endpoint(z, r, e.kind, e.region);
}

static struct text child_apex(const struct zone *z, uint8_t region)
{
    struct text x;
    if (region == REGION_NONE)
        snprintf(x.s, sizeof x.s, "privatelink.%s", z->t->domain);
    else
        snprintf(x.s, sizeof x.s, "%s.geo.privatelink.%s", z->t->regions[region].name,
                 z->t->domain);
    return x;
}

static bool in_child(const struct zone *z, const struct static_name *s)
{
    const struct topology *t = z->t;
    char owner[HOSTNAME_TEXT_SIZE];
    bool found = t->private_cut == PRIVATE_CUT_PRIVATELINK &&
                 is_below(z, s, child_apex(z, REGION_NONE).s, owner);
    for (size_t i = 0; t->private_cut == PRIVATE_CUT_REGION && i < t->n_regions; i++)
        found |= is_below(z, s, child_apex(z, (uint8_t)i).s, owner);
    return found;
}

static void write_delegations(const struct zone *z)
{
    const struct topology *t = z->t;
    write_servers(z, frontend_apex(z).s);
    if (t->private_cut == PRIVATE_CUT_PRIVATELINK)
        write_servers(z, child_apex(z, REGION_NONE).s);
    for (size_t i = 0; t->private_cut == PRIVATE_CUT_REGION && i < t->n_regions; i++)
        write_servers(z, child_apex(z, (uint8_t)i).s);
}

int zone_write_child(const struct zone *z, uint8_t region)
{
    AUTO_FREE const struct registry **all = topology_sorted(z->t);
    write_head(z, child_apex(z, region).s, z->t->version);
    write_statics(z, child_apex(z, region).s, false);
    for (size_t i = 0; all && i < z->t->n_registries; i++) {
        const struct registry *r = all[i];
        struct endpoint_name e;
        bool has_forms = registry_in_private_dns(r);
        for (size_t at = 0; has_forms && endpoint_next(r, &at, &e);)
            if (is_served(z, r, &e) &&
                (region == REGION_NONE || (e.kind == NAME_REGIONAL && e.region == region)))
                write_hop(z, r, e.kind, e.region);
    }
    if (all)
        return 0;
    return ERR_NOMEM;
}

int zone_write_main(const struct zone *z)
{
    const struct topology *t = z->t;
    write_head(z, t->domain, t->version);
    write_statics(z, t->domain, true);
    write_delegations(z);
    for (size_t i = 0; i < t->n_name_servers; i++)
        write_stamp(z, t->name_servers[i].region, t->name_servers[i].stamp);
    AUTO_FREE const struct registry **all = topology_sorted(t);
    for (size_t i = 0; all && i < t->n_registries; i++)
        write_registry(z, all[i]);
    if (all)
        return 0;
    return ERR_NOMEM;
}
