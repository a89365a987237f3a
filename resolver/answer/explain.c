// SPDX-License-Identifier: Apache-2.0
// Explanations; see explain.h. Called on an admin thread, never on a worker: here ldns reads the
// very packets that answer_packet wrote.
#include "resolver/answer/explain.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "resolver/answer/answer.h"
#include "resolver/answer/explain_priv.h"
#include "resolver/forward/forward.h"
#include "resolver/packet/wire.h"
#include "resolver/route/views.h"

#include <jansson.h>
#include <ldns/ldns.h>
#include <string.h>

static const char *rcode_name(int rcode)
{
    static const struct {
        int rcode;
        const char *name;
    } rows[] = {{DNS_NOERROR, "NOERROR"},
                {DNS_NXDOMAIN, "NXDOMAIN"},
                {DNS_REFUSED, "REFUSED"},
                {DNS_SERVFAIL, "SERVFAIL"},
                {DNS_FORMERR, "FORMERR"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].rcode == rcode)
            return rows[i].name;
    return "OTHER";
}

static int append_records(json_t *list, const ldns_rr_list *rrs)
{
    for (size_t i = 0; rrs && i < ldns_rr_list_rr_count(rrs); i++) {
        char *text = ldns_rr2str(ldns_rr_list_rr(rrs, i));
        if (!text)
            return -1;
        for (char *p = text; *p; p++)
            if (*p == '\t')
                *p = ' ';
        text[strcspn(text, "\n")] = 0;
        int rc = json_array_append_new(list, json_string(text));
        free(text);
        if (rc)
            return rc;
    }
    return 0;
}

// With a Client Subnet option when there is a subnet (RFC 7871 section 6).
static size_t query_for(const uint8_t *name, size_t n, enum dns_type type,
                        const struct cidr *subnet, uint8_t out[512])
{
    static const uint8_t header[] = {0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1},
                         opt[] = {0, 0, 41, 4, 208, 0, 0, 0, 0};
    bool v4 = subnet && ip_is_v4(&subnet->ip);
    uint8_t bits = 0;
    if (subnet)
        bits = (uint8_t)(subnet->bits - (v4 ? 96 : 0));
    size_t n_address = (bits + 7u) / 8;
    struct dns_writer w;
    dns_writer_init(&w, out, 512);
    dns_write_bytes(&w, header, sizeof header);
    dns_write_bytes(&w, name, n);
    dns_write_u16(&w, (uint16_t)type);
    dns_write_u16(&w, DNS_IN);
    dns_write_bytes(&w, opt, sizeof opt);
    dns_write_u16(&w, (uint16_t)(subnet ? 8 + n_address : 0));
    if (subnet) {
        dns_write_u16(&w, EDNS_CLIENT_SUBNET);
        dns_write_u16(&w, (uint16_t)(4 + n_address));
        dns_write_u16(&w, v4 ? 1 : 2);
        dns_write_bytes(&w, (uint8_t[]){bits, 0}, 2);
        dns_write_bytes(&w, subnet->ip.b + (v4 ? 12 : 0), n_address);
    }
    return w.n;
}

// {"rcode": …, "answer": […], "authority": […]} of one query type. NULL when out of memory.
static json_t *answer_json(const struct answer_context *c, const uint8_t *name, size_t n,
                           enum dns_type type, const struct cidr *subnet)
{
    uint8_t query[512];
    AUTO_FREE uint8_t *out = mem_alloc(ANSWER_TCP_MAX);
    struct answer_info info;
    ldns_pkt *pkt = NULL;
    if (!out)
        return NULL;
    size_t nq = query_for(name, n, type, subnet, query);
    size_t got = answer_packet(c, query, nq, out, ANSWER_TCP_MAX, &info);
    if (ldns_wire2pkt(&pkt, out, got) != LDNS_STATUS_OK)
        return NULL;
    json_t *answer = json_array(), *authority = json_array(), *j = NULL;
    if (answer && authority && !append_records(answer, ldns_pkt_answer(pkt)) &&
        !append_records(authority, ldns_pkt_authority(pkt)))
        j = json_pack("{s:s, s:O, s:O}", "rcode", rcode_name(info.rcode), "answer", answer,
                      "authority", authority);
    json_decref(answer);
    json_decref(authority);
    ldns_pkt_free(pkt);
    return j;
}

static json_t *name_json(const struct hostname *h)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "kind", hostname_kind_name(h->kind), "registry",
                     h->registry, "label", h->label, "region", h->region, "stamp", h->stamp);
}

// The upstreams that the view asks for a name; null if it does not.
static json_t *forward_json(const struct view *view, const uint8_t *wire, size_t n)
{
    const struct view_forward *f = NULL;
    if (view)
        f = view->forward;
    char text[ENDPOINT_TEXT_SIZE];
    if (!f || !forward_covers(f, wire, n))
        return json_null();
    json_t *list = json_array();
    for (size_t i = 0; list && i < f->n_upstreams; i++)
        if (json_array_append_new(list, json_string(endpoint_format(&f->upstreams[i], text)))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

// How far a registry's name is served, where that is not everywhere; else NULL.
static const char *stage_word(const struct topology *t, const struct hostname *h)
{
    enum name_kind kind = hostname_public_of(h->kind);
    const struct catalogue_registry *r = NULL;
    int region = REGION_NONE;
    if (h->kind == NAME_ROUTE)
        kind = NAME_GLOBAL;
    if (*h->label)
        r = catalogue_find(t->catalogue, h->label, strlen(h->label));
    if (r && *h->region)
        region = catalogue_region_find(t->catalogue, h->region, strlen(h->region));
    if (!r || region < 0)
        return NULL;
    enum name_stage stage = catalogue_name_stage(r, kind, (uint8_t)region);
    if (stage == STAGE_PUBLIC)
        return NULL;
    return name_stage_word(stage);
}

void *dns_explain_json(const struct explain_query *q)
{
    struct hostname h;
    uint8_t wire[DNS_NAME_MAX];
    char ip[IP_TEXT_SIZE], subnet[CIDR_TEXT_SIZE];
    const struct topology *t = q->topology;
    const struct view *view = NULL;
    struct geo_view geo;
    geo_view_set(&geo, q->geo, t);
    // the serial of a signed fe.D counts weeks
    struct answer_context c = {.topology = t,
                               .health = q->health,
                               .geo = &geo,
                               .transport = ANSWER_TCP,
                               .source = q->client,
                               .listener = q->listener,
                               .frontend = q->frontend,
                               .now_s = clock_wall_ms() / 1000};
    size_t n = dns_name_from_text(q->name, wire);
    bool refused = view_choose(t, q->listener, &q->client, &view) != 0;
    hostname_parse(q->name, t->domain, &h);
    if (n == 0)
        return json_pack("{s:s, s:s, s:s}", "name", q->name, "client", ip_format(&q->client, ip),
                         "error",
                         "not a DNS name: labels have 1 to 63 octets, the whole at most 255");
    if (h.kind == NAME_FOREIGN && !refused) {
        json_t *upstreams = forward_json(view, wire, n);
        if (!json_is_null(upstreams)) // what they would say is not ours to explain
            return json_pack("{s:s, s:s, s:o, s:s, s:o}", "name", q->name, "client",
                             ip_format(&q->client, ip), "parsed", name_json(&h), "view", view->name,
                             "forwardedTo", upstreams);
    }
    bool covers;
    char at[ENDPOINT_TEXT_SIZE];
    json_t *private = explain_private(q, &h, refused ? NULL : view, &covers);
    return json_pack(
        "{s:s, s:s*, s:s, s:s*, s:s*, s:o, s:s, s:o*, s:o, s:o, s:o*, s:o, s:o}", "name", q->name,
        "stage", stage_word(t, &h), "client", ip_format(&q->client, ip), "subnet",
        q->subnet ? cidr_format(q->subnet, subnet) : NULL, "listener",
        q->listener ? endpoint_format(q->listener, at) : NULL, "parsed", name_json(&h), "view",
        refused ? "refused"
        : view  ? view->name
                : "public",
        "alsoIn", explain_also_in(q, view), "private", private, "routing",
        covers ? json_null() : explain_routing(q, &h, view, &geo), "moves", explain_moves(q, &h),
        "a", answer_json(&c, wire, n, DNS_A, q->subnet), "aaaa",
        answer_json(&c, wire, n, DNS_AAAA, q->subnet));
}
