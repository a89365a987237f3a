// SPDX-License-Identifier: Apache-2.0
// See private_names.h. Here ldns reads the very packets that answer_packet wrote.
#include "resolver/answer/private_names.h"

#include "base/clock.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "resolver/answer/answer.h"
#include "resolver/answer/explain.h"
#include "resolver/packet/wire.h"
#include "resolver/zone/zone_cut.h"

#include <jansson.h>
#include <ldns/ldns.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct listing {
    const struct topology *t;
    const struct view *view;
    struct answer_context context;
    json_t *names;
    // answer packets go here
    uint8_t *out;
};

// ---- asking ----

// NULL: the name is none, or no memory.
static ldns_pkt *ask(struct listing *l, const char *name, enum dns_type type)
{
    static const uint8_t header[] = {0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    uint8_t wire[DNS_NAME_MAX], query[512];
    struct answer_info info;
    struct dns_writer w;
    ldns_pkt *pkt = NULL;
    size_t n = dns_name_from_text(name, wire);
    if (!n)
        return NULL;
    dns_writer_init(&w, query, sizeof query);
    dns_write_bytes(&w, header, sizeof header);
    dns_write_bytes(&w, wire, n);
    dns_write_u16(&w, (uint16_t)type);
    dns_write_u16(&w, DNS_IN);
    size_t got = answer_packet(&l->context, query, w.n, l->out, ANSWER_TCP_MAX, &info);
    if (ldns_wire2pkt(&pkt, l->out, got) != LDNS_STATUS_OK)
        return NULL;
    return pkt;
}

// Without the final dot, in lower case. NULL: no memory.
static char *rdf_text(const ldns_rdf *f)
{
    char *s = ldns_rdf2str(f);
    size_t n = s ? strlen(s) : 0;
    if (n > 1 && s[n - 1] == '.')
        s[n - 1] = 0;
    for (char *p = s; p && *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p + 32);
    return s;
}

// ---- in order ----

static int text_order(const void *a, const void *b)
{
    return strcmp(json_string_value(*(json_t *const *)a), json_string_value(*(json_t *const *)b));
}

static int name_order(const void *a, const void *b)
{
    json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    int c = strcmp(json_string_value(json_object_get(x, "zone")),
                   json_string_value(json_object_get(y, "zone")));
    if (c)
        return c;
    return strcmp(json_string_value(json_object_get(x, "privateName")),
                  json_string_value(json_object_get(y, "privateName")));
}

static json_t *sorted(const json_t *list, int (*order)(const void *, const void *))
{
    size_t n = json_array_size(list);
    json_t **v = mem_zalloc_array(n + 1, sizeof(json_t *));
    json_t *out = json_array();
    for (size_t i = 0; v && i < n; i++)
        v[i] = json_array_get(list, i);
    if (v && n)
        qsort(v, n, sizeof *v, order);
    for (size_t i = 0; v && out && i < n; i++)
        if (json_array_append(out, v[i])) {
            json_decref(out);
            out = NULL;
        }
    if (!v) {
        json_decref(out);
        out = NULL;
    }
    free(v);
    return out;
}

// ---- one name ----

// Those of the answer's addresses that stand at `owner`.
static int addresses_add(struct listing *l, const char *name, enum dns_type type, const char *owner,
                         json_t *addresses, uint32_t *ttl)
{
    ldns_pkt *pkt = ask(l, name, type);
    if (!pkt)
        return -1;
    const ldns_rr_list *rrs = ldns_pkt_answer(pkt);
    int rc = 0;
    for (size_t i = 0; i < ldns_rr_list_rr_count(rrs) && !rc; i++) {
        const ldns_rr *rr = ldns_rr_list_rr(rrs, i);
        AUTO_FREE char *at = rdf_text(ldns_rr_owner(rr));
        if (!at || (unsigned)ldns_rr_get_type(rr) != (unsigned)type || strcmp(at, owner) != 0)
            continue;
        AUTO_FREE char *ip = rdf_text(ldns_rr_rdf(rr, 0));
        *ttl = ldns_rr_ttl(rr);
        rc = json_array_append_new(addresses, json_string(ip));
    }
    ldns_pkt_free(pkt);
    return rc;
}

static bool zone_name(const struct topology *t, enum name_kind kind, uint8_t region,
                      char out[HOSTNAME_TEXT_SIZE])
{
    enum answer_zone z = zone_cut_of_private(t, kind, region);
    if (z >= ZONE_REGION)
        snprintf(out, HOSTNAME_TEXT_SIZE, "%s.geo.privatelink.%s", t->regions[z - ZONE_REGION].name,
                 t->domain);
    else
        snprintf(out, HOSTNAME_TEXT_SIZE, "privatelink.%s", t->domain);
    return z >= ZONE_REGION;
}

// Nothing is added where the view is led elsewhere.
static int name_add(struct listing *l, const char *label, enum name_kind kind, uint8_t region)
{
    const struct topology *t = l->t;
    char public[HOSTNAME_TEXT_SIZE], private[HOSTNAME_TEXT_SIZE], zone[HOSTNAME_TEXT_SIZE];
    const char *in = NULL;
    uint32_t ttl = 0;
    if (region != REGION_NONE)
        in = t->regions[region].name;
    if (hostname_format(kind, t->domain, label, in, NULL, public) ||
        hostname_format(hostname_private_of(kind), t->domain, label, in, NULL, private))
        return -1;
    zone_name(t, kind, region, zone);
    json_t *addresses = json_array();
    int rc = -1;
    if (addresses && !addresses_add(l, public, DNS_A, private, addresses, &ttl))
        rc = addresses_add(l, public, DNS_AAAA, private, addresses, &ttl);
    if (!rc && json_array_size(addresses))
        rc = json_array_append_new(l->names, json_pack("{s:s, s:s, s:s, s:I, s:o}", "name", public,
                                                       "privateName", private, "zone", zone, "ttl",
                                                       (json_int_t)ttl, "addresses",
                                                       sorted(addresses, text_order)));
    json_decref(addresses);
    return rc;
}

// The first of the members with that name?
static bool is_first(const struct private_endpoint *pe, size_t k)
{
    for (size_t i = 0; i < k; i++)
        if (pe->members[i].kind == pe->members[k].kind &&
            pe->members[i].region == pe->members[k].region)
            return false;
    return true;
}

static int registry_add(struct listing *l, const struct catalogue_registry *r)
{
    const struct private_endpoint *const *list;
    size_t n = catalogue_private_endpoints(l->t->catalogue, r, &list);
    char label[HOSTNAME_LABEL_SIZE];
    int rc = 0;
    snprintf(label, sizeof label, "%.*s", (int)r->label_n, (const char *)catalogue_label(r));
    for (size_t i = 0; i < n; i++) {
        const struct private_endpoint *pe = list[i];
        if (&l->t->views[pe->view] != l->view)
            continue;
        for (size_t k = 0; k < pe->n_members && !rc; k++)
            if (is_first(pe, k))
                rc = name_add(l, label, pe->members[k].kind, pe->members[k].region);
    }
    return rc;
}

static bool is_wanted(const struct catalogue_registry *r, const char *registry)
{
    const char *label = (const char *)catalogue_label(r);
    size_t n;
    if (!registry)
        return true;
    n = strlen(registry);
    if (n != r->label_n && n != catalogue_name_bytes(label, r->label_n))
        return false;
    return !memcmp(label, registry, n);
}

static int names_add(struct listing *l, const char *registry)
{
    struct catalogue_iter it = {0};
    const struct catalogue_registry *r;
    int rc = 0;
    while (!rc && (r = catalogue_next(l->t->catalogue, &it)))
        if ((r->flags & CATALOGUE_ENDPOINTS) && is_wanted(r, registry))
            rc = registry_add(l, r);
    return rc;
}

// ---- zones ----

static json_int_t number_at(const ldns_rr *rr, size_t i)
{
    return (json_int_t)ldns_rdf2native_int32(ldns_rr_rdf(rr, i));
}

static json_t *soa_json(struct listing *l, const char *apex)
{
    ldns_pkt *pkt = ask(l, apex, DNS_SOA);
    const ldns_rr *rr = NULL;
    json_t *out = NULL;
    if (pkt && ldns_rr_list_rr_count(ldns_pkt_answer(pkt)))
        rr = ldns_rr_list_rr(ldns_pkt_answer(pkt), 0);
    if (rr && ldns_rr_get_type(rr) == LDNS_RR_TYPE_SOA) {
        AUTO_FREE char *mname = rdf_text(ldns_rr_rdf(rr, 0));
        AUTO_FREE char *rname = rdf_text(ldns_rr_rdf(rr, 1));
        out = json_pack("{s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "ttl",
                        (json_int_t)ldns_rr_ttl(rr), "mname", mname, "rname", rname, "serial",
                        number_at(rr, 2), "refresh", number_at(rr, 3), "retry", number_at(rr, 4),
                        "expire", number_at(rr, 5), "minimum", number_at(rr, 6));
    }
    ldns_pkt_free(pkt);
    return out;
}

static json_t *ns_json(struct listing *l, const char *apex)
{
    ldns_pkt *pkt = ask(l, apex, DNS_NS);
    json_t *names = json_array();
    json_int_t ttl = 0;
    bool good = pkt && names;
    for (size_t i = 0; good && i < ldns_rr_list_rr_count(ldns_pkt_answer(pkt)); i++) {
        const ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_answer(pkt), i);
        if (ldns_rr_get_type(rr) != LDNS_RR_TYPE_NS)
            continue;
        AUTO_FREE char *name = rdf_text(ldns_rr_rdf(rr, 0));
        ttl = (json_int_t)ldns_rr_ttl(rr);
        good = name && !json_array_append_new(names, json_string(name));
    }
    ldns_pkt_free(pkt);
    if (good)
        return json_pack("{s:I, s:o}", "ttl", ttl, "names", names);
    json_decref(names);
    return NULL;
}

// `asked`: the name that the resolver has SOA and servers at.
static int zone_add(struct listing *l, json_t *zones, const char *apex, const char *asked)
{
    json_t *soa = soa_json(l, asked), *ns = ns_json(l, asked);
    if (!soa || !ns) {
        json_decref(soa);
        json_decref(ns);
        return -1;
    }
    return json_array_append_new(zones,
                                 json_pack("{s:s, s:o, s:o}", "apex", apex, "soa", soa, "ns", ns));
}

static json_t *zones_json(struct listing *l)
{
    const struct topology *t = l->t;
    char apex[HOSTNAME_TEXT_SIZE];
    json_t *zones = json_array();
    int rc = zones ? 0 : -1;
    snprintf(apex, sizeof apex, "privatelink.%s", t->domain);
    if (!rc)
        rc = zone_add(l, zones, apex, t->private_cut == PRIVATE_CUT_PRIVATELINK ? apex : t->domain);
    for (size_t i = 0; !rc && t->private_cut == PRIVATE_CUT_REGION && i < t->n_regions; i++)
        if (zone_name(t, NAME_REGIONAL, (uint8_t)i, apex))
            rc = zone_add(l, zones, apex, apex);
    if (!rc)
        return zones;
    json_decref(zones);
    return NULL;
}

void *dns_private_names_json(const struct topology *t, const struct view *view,
                             const char *registry)
{
    AUTO_FREE uint8_t *out = mem_alloc(ANSWER_TCP_MAX);
    struct explain_query place = {.topology = t};
    if (!out || explain_place(&place, view->name, false))
        return NULL;
    struct listing l = {.t = t,
                        .view = view,
                        .context = {.topology = t,
                                    .transport = ANSWER_TCP,
                                    .source = place.client,
                                    .listener = place.listener,
                                    .now_s = clock_wall_ms() / 1000},
                        .names = json_array(),
                        .out = out};
    json_t *doc = NULL, *names = NULL, *zones = zones_json(&l);
    if (l.names && zones && !names_add(&l, registry))
        names = sorted(l.names, name_order);
    if (names)
        doc = json_pack("{s:s, s:s, s:I, s:O, s:O}", "view", view->name, "domain", t->domain,
                        "version", (json_int_t)t->version, "zones", zones, "names", names);
    json_decref(l.names);
    json_decref(names);
    json_decref(zones);
    return doc;
}
