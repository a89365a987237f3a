// SPDX-License-Identifier: Apache-2.0
// Explanations; see explain.h. Called on an admin thread, never on a worker: here ldns reads the very packets that
// answer_packet wrote.
#include "resolver/explain.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "resolver/answer.h"
#include "resolver/forward.h"
#include "resolver/route.h"
#include "resolver/views.h"
#include "resolver/wire.h"

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

static size_t query_for(const uint8_t *name, size_t n, enum dns_type type, uint8_t out[512])
{
    static const uint8_t header[] = {0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1}, opt[] = {0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0};
    struct dns_writer w;
    dns_writer_init(&w, out, 512);
    dns_write_bytes(&w, header, sizeof header);
    dns_write_bytes(&w, name, n);
    dns_write_u16(&w, (uint16_t)type);
    dns_write_u16(&w, DNS_IN);
    dns_write_bytes(&w, opt, sizeof opt);
    return w.n;
}

// {"rcode": …, "answer": […], "authority": […]} of one query type. NULL when out of memory.
static json_t *answer_json(const struct answer_context *c, const uint8_t *name, size_t n, enum dns_type type)
{
    uint8_t query[512];
    AUTO_FREE uint8_t *out = mem_alloc(ANSWER_TCP_MAX);
    struct answer_info info;
    ldns_pkt *pkt = NULL;
    if (!out)
        return NULL;
    size_t nq = query_for(name, n, type, query);
    size_t got = answer_packet(c, query, nq, out, ANSWER_TCP_MAX, &info);
    if (ldns_wire2pkt(&pkt, out, got) != LDNS_STATUS_OK)
        return NULL;
    json_t *answer = json_array(), *authority = json_array(), *j = NULL;
    if (answer && authority && !append_records(answer, ldns_pkt_answer(pkt)) &&
        !append_records(authority, ldns_pkt_authority(pkt)))
        j = json_pack("{s:s, s:O, s:O}", "rcode", rcode_name(info.rcode), "answer", answer, "authority", authority);
    json_decref(answer);
    json_decref(authority);
    ldns_pkt_free(pkt);
    return j;
}

static json_t *step_json(const struct topology *t, const struct route *r, size_t i)
{
    const struct route_step *s = &r->steps[i];
    const struct region *region = &t->regions[s->region];
    bool chosen = r->mode != ROUTE_NOWHERE && r->chosen == i;
    return json_pack("{s:s, s:s?, s:s, s:s, s:b, s:b, s:s}", "region", region->name, "stamp",
                     s->state == ROUTE_NO_REPLICA ? NULL : region->stamps[s->stamp].name, "state",
                     route_state_name(s->state), "reason", route_state_text(s->state), "up", (int)s->up, "chosen",
                     (int)chosen, "placedBy", route_placed_name((enum route_placed)s->placed));
}

static json_t *rule_json(const struct routing_override *o)
{
    char text[CIDR_TEXT_SIZE];
    if (!o)
        return json_pack("{s:s}", "kind", "order");
    return json_pack("{s:s, s:s, s:i}", "kind", "override", "clients", cidr_format(&o->cidr, text), "line", o->line);
}

static json_t *route_json(const struct topology *t, const struct route *r)
{
    json_t *steps = json_array();
    for (size_t i = 0; steps && i < r->n_steps; i++)
        if (json_array_append_new(steps, step_json(t, r, i))) {
            json_decref(steps);
            return NULL;
        }
    return json_pack("{s:o, s:s, s:b, s:s?, s:o}", "rule", rule_json(r->override_), "mode", route_mode_name(r->mode),
                     "failOpen", (int)r->fail_open, "chosen",
                     r->mode == ROUTE_NOWHERE ? NULL : t->regions[r->steps[r->chosen].region].name, "regions", steps);
}

static json_t *name_json(const struct hostname *h)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "kind", hostname_kind_name(h->kind), "registry", h->registry, "label",
                     h->label, "region", h->region, "stamp", h->stamp);
}

// The upstreams that the view asks for a name; null if it does not.
static json_t *forward_json(const struct view *view, const uint8_t *wire, size_t n)
{
    const struct view_forward *f = view ? view->forward : NULL;
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

void *dns_explain_json(const struct topology *t, const struct health_verdicts *v, const char *name,
                       const struct ip *client, const struct endpoint *listener)
{
    struct hostname h;
    uint8_t wire[DNS_NAME_MAX];
    char ip[IP_TEXT_SIZE];
    const struct view *view = NULL;
    struct answer_context c = {
        .topology = t, .health = v, .transport = ANSWER_TCP, .source = *client, .listener = listener};
    size_t n = dns_name_from_text(name, wire);
    bool refused = view_choose(t, listener, client, &view) != 0;
    hostname_parse(name, t->domain, &h);
    if (n == 0)
        return json_pack("{s:s, s:s, s:s}", "name", name, "client", ip_format(client, ip), "error",
                         "not a DNS name: labels have 1 to 63 octets, the whole at most 255");
    enum name_kind kind = hostname_public_of(h.kind);
    const struct catalogue_registry *reg =
        kind == NAME_GLOBAL ? catalogue_find(t->catalogue, h.label, strlen(h.label)) : NULL;
    struct route_context rc = {.topology = t, .health = v};
    struct route_client by = client_of_source(client);
    struct route r;
    if (reg)
        route_decide(&rc, reg, &by, &r);
    if (h.kind == NAME_FOREIGN && !refused) {
        json_t *upstreams = forward_json(view, wire, n);
        if (!json_is_null(upstreams)) // what they would say is not ours to explain
            return json_pack("{s:s, s:s, s:o, s:s, s:o}", "name", name, "client", ip_format(client, ip), "parsed",
                             name_json(&h), "view", view->name, "forwardedTo", upstreams);
    }
    return json_pack("{s:s, s:s, s:o, s:s, s:o, s:o, s:o}", "name", name, "client", ip_format(client, ip), "parsed",
                     name_json(&h), "view",
                     refused ? "refused"
                     : view  ? view->name
                             : "public",
                     "routing", reg ? route_json(t, &r) : json_null(), "a", answer_json(&c, wire, n, DNS_A), "aaaa",
                     answer_json(&c, wire, n, DNS_AAAA));
}
