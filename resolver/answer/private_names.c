// SPDX-License-Identifier: Apache-2.0
// See private_names.h. Here ldns reads the very packets that answer_packet wrote.
#include "resolver/answer/private_names.h"

#include "base/clock.h"
#include "base/err.h"
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

// ERR_DENIED: no answer. *out is the caller's.
static int ask(struct listing *l, const char *name, enum dns_type type, ldns_pkt **out)
{
    static const uint8_t header[] = {0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    uint8_t wire[DNS_NAME_MAX], query[512];
    struct answer_info info;
    struct dns_writer w;
    ldns_pkt *pkt = NULL;
    size_t n = dns_name_from_text(name, wire);
    if (!n)
        return ERR_INVAL;
    dns_writer_init(&w, query, sizeof query);
    dns_write_bytes(&w, header, sizeof header);
    dns_write_bytes(&w, wire, n);
    dns_write_u16(&w, (uint16_t)type);
    dns_write_u16(&w, DNS_IN);
    size_t got = answer_packet(&l->context, query, w.n, l->out, ANSWER_TCP_MAX, &info);
    if (!got)
        return ERR_DENIED;
    ldns_status status = ldns_wire2pkt(&pkt, l->out, got);
    if (status == LDNS_STATUS_MEM_ERR)
        return ERR_NOMEM;
    if (status != LDNS_STATUS_OK)
        return ERR_PROTO;
    *out = pkt;
    return 0;
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

// Takes `one`; NULL is one that there was no memory for.
static int append(json_t *list, json_t *one)
{
    if (json_array_append_new(list, one))
        return ERR_NOMEM;
    return 0;
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
    ldns_pkt *pkt = NULL;
    int rc = ask(l, name, type, &pkt);
    if (rc)
        return rc;
    const ldns_rr_list *rrs = ldns_pkt_answer(pkt);
    for (size_t i = 0; i < ldns_rr_list_rr_count(rrs) && !rc; i++) {
        const ldns_rr *rr = ldns_rr_list_rr(rrs, i);
        AUTO_FREE char *at = rdf_text(ldns_rr_owner(rr));
        if (!at)
            rc = ERR_NOMEM;
        if (!at || (unsigned)ldns_rr_get_type(rr) != (unsigned)type || strcmp(at, owner) != 0)
            continue;
        AUTO_FREE char *ip = rdf_text(ldns_rr_rdf(rr, 0));
        *ttl = ldns_rr_ttl(rr);
        rc = append(addresses, json_string(ip));
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
    int rc = hostname_format(kind, t->domain, label, in, NULL, public);
    if (!rc)
        rc = hostname_format(hostname_private_of(kind), t->domain, label, in, NULL, private);
    if (rc)
        return rc;
    zone_name(t, kind, region, zone);
    json_t *addresses = json_array();
    if (!addresses)
        return ERR_NOMEM;
    rc = addresses_add(l, public, DNS_A, private, addresses, &ttl);
    if (!rc)
        rc = addresses_add(l, public, DNS_AAAA, private, addresses, &ttl);
    if (!rc && json_array_size(addresses))
        rc = append(l->names, json_pack("{s:s, s:s, s:s, s:I, s:o}", "name", public, "privateName",
                                        private, "zone", zone, "ttl", (json_int_t)ttl, "addresses",
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
    while (!rc && (r = catalogue_next_private(l->t->catalogue, &it)))
        if (is_wanted(r, registry))
            rc = registry_add(l, r);
    return rc;
}

// ---- zones ----

static json_int_t number_at(const ldns_rr *rr, size_t i)
{
    return (json_int_t)ldns_rdf2native_int32(ldns_rr_rdf(rr, i));
}

// ERR_DENIED: the view's clients get none.
static int soa_json(struct listing *l, const char *apex, json_t **out)
{
    ldns_pkt *pkt = NULL;
    int rc = ask(l, apex, DNS_SOA, &pkt);
    if (rc)
        return rc;
    const ldns_rr *rr = NULL;
    if (ldns_rr_list_rr_count(ldns_pkt_answer(pkt)))
        rr = ldns_rr_list_rr(ldns_pkt_answer(pkt), 0);
    rc = ERR_DENIED;
    if (rr && ldns_rr_get_type(rr) == LDNS_RR_TYPE_SOA) {
        AUTO_FREE char *mname = rdf_text(ldns_rr_rdf(rr, 0));
        AUTO_FREE char *rname = rdf_text(ldns_rr_rdf(rr, 1));
        *out = json_pack("{s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "ttl",
                         (json_int_t)ldns_rr_ttl(rr), "mname", mname, "rname", rname, "serial",
                         number_at(rr, 2), "refresh", number_at(rr, 3), "retry", number_at(rr, 4),
                         "expire", number_at(rr, 5), "minimum", number_at(rr, 6));
        rc = 0;
        if (!*out)
            rc = ERR_NOMEM;
    }
    ldns_pkt_free(pkt);
    return rc;
}

// Names are added to `names`.
static int servers_add(struct listing *l, const char *apex, json_t *names, json_int_t *ttl)
{
    ldns_pkt *pkt = NULL;
    int rc = ask(l, apex, DNS_NS, &pkt);
    if (rc)
        return rc;
    for (size_t i = 0; !rc && i < ldns_rr_list_rr_count(ldns_pkt_answer(pkt)); i++) {
        const ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_answer(pkt), i);
        if (ldns_rr_get_type(rr) != LDNS_RR_TYPE_NS)
            continue;
        AUTO_FREE char *name = rdf_text(ldns_rr_rdf(rr, 0));
        *ttl = (json_int_t)ldns_rr_ttl(rr);
        rc = append(names, name ? json_string(name) : NULL);
    }
    ldns_pkt_free(pkt);
    return rc;
}

static int ns_json(struct listing *l, const char *apex, json_t **out)
{
    json_t *names = json_array();
    json_int_t ttl = 0;
    if (!names)
        return ERR_NOMEM;
    int rc = servers_add(l, apex, names, &ttl);
    if (!rc) {
        *out = json_pack("{s:I, s:O}", "ttl", ttl, "names", names);
        if (!*out)
            rc = ERR_NOMEM;
    }
    json_decref(names);
    return rc;
}

// `asked`: the name that the resolver has SOA and servers at.
static int zone_add(struct listing *l, json_t *zones, const char *apex, const char *asked)
{
    json_t *soa = NULL, *ns = NULL;
    int rc = soa_json(l, asked, &soa);
    if (!rc)
        rc = ns_json(l, asked, &ns);
    if (!rc)
        rc = append(zones, json_pack("{s:s, s:O, s:O}", "apex", apex, "soa", soa, "ns", ns));
    json_decref(soa);
    json_decref(ns);
    return rc;
}

static int zones_add(struct listing *l, json_t *zones)
{
    const struct topology *t = l->t;
    char apex[HOSTNAME_TEXT_SIZE];
    snprintf(apex, sizeof apex, "privatelink.%s", t->domain);
    int rc = zone_add(l, zones, apex, t->private_cut == PRIVATE_CUT_PRIVATELINK ? apex : t->domain);
    for (size_t i = 0; !rc && t->private_cut == PRIVATE_CUT_REGION && i < t->n_regions; i++)
        if (zone_name(t, NAME_REGIONAL, (uint8_t)i, apex))
            rc = zone_add(l, zones, apex, apex);
    return rc;
}

static int document(struct listing *l, const char *registry, json_t *zones, void **out)
{
    int rc = zones_add(l, zones);
    if (!rc)
        rc = names_add(l, registry);
    if (rc)
        return rc;
    json_t *names = sorted(l->names, name_order);
    if (!names)
        return ERR_NOMEM;
    json_t *doc =
        json_pack("{s:s, s:s, s:I, s:O, s:O}", "view", l->view->name, "domain", l->t->domain,
                  "version", (json_int_t)l->t->version, "zones", zones, "names", names);
    json_decref(names);
    if (!doc)
        return ERR_NOMEM;
    *out = doc;
    return 0;
}

int dns_private_names_json(const struct topology *t, const struct view *view, const char *registry,
                           void **out)
{
    AUTO_FREE uint8_t *packet = mem_alloc(ANSWER_TCP_MAX);
    struct explain_query place = {.topology = t};
    int rc = explain_place(&place, view->name, false);
    if (!packet)
        return ERR_NOMEM;
    if (rc)
        return rc;
    struct listing l = {.t = t,
                        .view = view,
                        .context = {.topology = t,
                                    .transport = ANSWER_TCP,
                                    .source = place.client,
                                    .listener = place.listener,
                                    .now_s = clock_wall_ms() / 1000},
                        .names = json_array(),
                        .out = packet};
    json_t *zones = json_array();
    rc = ERR_NOMEM;
    if (l.names && zones)
        rc = document(&l, registry, zones, out);
    json_decref(l.names);
    json_decref(zones);
    return rc;
}
