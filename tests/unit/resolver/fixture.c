// SPDX-License-Identifier: Apache-2.0
// Shared by the resolver's tests; see fixture.h.
#include "tests/unit/resolver/fixture.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "resolver/packet/wire.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static const char yaml[] =
    "version: 7\n"
    "domain: example.io\n"
    "hostmaster: hostmaster@example.io\n"
    "regions:\n"
    "  - name: eastus\n"
    "    stamps:\n"
    "      - { name: eus-1, ipv4: [192.0.2.1], ipv6: [\"2001:db8::1\"] }\n"
    "      - { name: eus-2, ipv4: [192.0.2.11, 192.0.2.12] }\n"
    "    peer: 192.0.2.1:8443\n"
    "  - name: westeurope\n"
    "    stamps:\n"
    "      - { name: weu-1, ipv4: [192.0.2.2] }\n"
    "    peer: 192.0.2.2:8443\n"
    "  - name: southeastasia\n"
    "    stamps:\n"
    "      - { name: sea-1, ipv4: [192.0.2.3] }\n"
    "    peer: 192.0.2.3:8443\n"
    "name_servers: [eus-1.eastus, weu-1.westeurope]\n"
    "registries:\n"
    "  - name: contoso\n"
    "    regional_endpoints: enabled\n"
    "    replicas:\n"
    "      - { region: eastus, stamp: eus-1 }\n"
    "      - { region: westeurope, stamp: weu-1 }\n"
    "      - { region: southeastasia, stamp: sea-1 }\n"
    "  - name: fabrikam\n"
    "    regional_endpoints: enabled\n"
    "    data_endpoints: enabled\n"
    "    replicas:\n"
    "      - { region: eastus, stamp: eus-2 }\n"
    "      - { region: westeurope, stamp: weu-1 }\n"
    "  - name: plain\n"
    "    replicas:\n"
    "      - { region: westeurope, stamp: weu-1 }\n"
    "  - name: hashed\n"
    "    hash: abcdefgh01234567\n"
    "    regional_endpoints: enabled\n"
    "    replicas:\n"
    "      - { region: eastus, stamp: eus-1, drained: true }\n"
    "      - { region: westeurope, stamp: weu-1 }\n"
    "      - { region: southeastasia, stamp: sea-1, global_routing: false }\n"
    "  - name: drained\n"
    "    replicas:\n"
    "      - { region: eastus, stamp: eus-1, drained: true }\n"
    "      - { region: westeurope, stamp: weu-1, drained: true }\n"
    "  - name: comes\n"
    "    stage: edge\n"
    "    regional_endpoints: enabled\n"
    "    replicas: [{ region: eastus }]\n"
    "  - name: leaves\n"
    "    stage: private\n"
    "    regional_endpoints: enabled\n"
    "    replicas: [{ region: eastus }, { region: westeurope, stage: edge }]\n"
    "routing:\n"
    "  order: [eastus, westeurope, southeastasia]\n"
    "  overrides:\n"
    "    - { clients: 198.51.100.0/24, order: [westeurope] }\n"
    "    - { clients: 198.51.100.128/25, order: [southeastasia, westeurope] }\n"
    "views:\n"
    "  - name: corp\n"
    "    sources: [10.1.0.0/16]\n"
    "  - name: lab\n"
    "    listeners: [\"127.0.0.9:5300\"]\n"
    "    sources: [10.2.0.0/16]\n"
    "private_endpoints:\n"
    "  - name: leaves-corp\n"
    "    registry: leaves\n"
    "    view: corp\n"
    "    addresses: { registry: 10.1.0.77, registry_eastus: 10.1.0.78 }\n"
    "  - name: contoso-corp\n"
    "    registry: contoso\n"
    "    view: corp\n"
    "    addresses:\n"
    "      registry: 10.1.0.4\n"
    "      registry_westeurope: 10.1.0.5\n"
    "      registry_data_westeurope: 10.1.0.6\n"
    "  - name: contoso-lab\n"
    "    registry: contoso\n"
    "    view: lab\n"
    "    addresses:\n"
    "      registry: 10.2.0.4\n"
    "health: { interval: 750ms, timeout: 1s, rise: 2, fall: 2, jitter: 10%, hold_down: 3s }\n"
    "ttl: { global: 30s, regional: 300s, data: 301s, frontend: 60s, private: 10s, negative: 61s "
    "}\n";

struct topology *fixture_parse(const char *text)
{
    struct diag d;
    struct topology *t = NULL;
    diag_init(&d);
    if (topology_parse(text, strlen(text), "fixture", &d, &t)) {
        diag_print(&d, stderr);
        fprintf(stderr, "%s\n", text);
        ck_abort_msg("the fixture's topology does not parse");
    }
    diag_done(&d);
    return t;
}

const char *fixture_yaml(void)
{
    return yaml;
}

struct topology *fixture_topology(void)
{
    return fixture_parse(yaml);
}

static void verdicts_free(void *self)
{
    struct health_verdicts *v = self;
    free((void *)v->targets);
    free(v);
}

struct health_verdicts *fixture_verdicts(const struct topology *t, region_set down)
{
    struct health_verdicts *v = mem_zalloc(sizeof *v);
    struct health_target *list = mem_zalloc_array(1024, sizeof *list);
    ck_assert(v && list);
    for (size_t i = 0; i < t->n_regions; i++)
        for (size_t k = 0; k < t->regions[i].n_stamps; k++) {
            struct health_target *x = &list[v->n_targets++];
            snprintf(x->region, sizeof x->region, "%s", t->regions[i].name);
            snprintf(x->stamp, sizeof x->stamp, "%s", t->regions[i].stamps[k].name);
            x->up = !(down >> i & 1);
            x->headroom = HEALTH_HEADROOM_FULL;
        }
    snapshot_head_init(&v->head, verdicts_free);
    v->targets = list;
    return v;
}

struct ip fixture_ip(const char *text)
{
    struct ip ip;
    ck_assert_int_eq(ip_parse(text, &ip), 0);
    return ip;
}

size_t fixture_query(uint8_t *out, const char *name, uint16_t type, int edns)
{
    uint8_t wire[DNS_NAME_MAX];
    struct dns_writer w;
    size_t n = dns_name_from_text(name, wire);
    ck_assert_uint_gt(n, 0);
    dns_writer_init(&w, out, 512);
    dns_write_bytes(&w, (uint8_t[]){0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, edns >= 0}, 12);
    dns_write_bytes(&w, wire, n);
    dns_write_u16(&w, type);
    dns_write_u16(&w, 1);
    if (edns >= 0) {
        dns_write_bytes(&w, (uint8_t[]){0, 0, 41}, 3);
        dns_write_u16(&w, (uint16_t)edns);
        dns_write_bytes(&w, (uint8_t[6]){0}, 6);
    }
    return w.n;
}

size_t fixture_add_subnet(uint8_t *query, size_t n, const struct cidr *net)
{
    bool v4 = ip_is_v4(&net->ip);
    uint8_t bits = (uint8_t)(v4 ? net->bits - 96 : net->bits), len = (uint8_t)((bits + 7) / 8);
    query[n - 1] = (uint8_t)(8 + len); // RDLENGTH
    memcpy(query + n, (uint8_t[]){0, 8, 0, (uint8_t)(4 + len), 0, v4 ? 1 : 2, bits, 0}, 8);
    memcpy(query + n + 8, net->ip.b + (v4 ? 12 : 0), len);
    return n + 8u + len;
}

void fixture_ask(const struct answer_context *c, const char *name, uint16_t type, int edns,
                 struct fixture_answer *out)
{
    uint8_t q[512];
    size_t n = fixture_query(q, name, type, edns);
    out->pkt = NULL;
    out->n = answer_packet(c, q, n, out->wire, c->transport == ANSWER_UDP ? 1232 : sizeof out->wire,
                           &out->info);
    ck_assert_uint_ge(out->n, 12);
    ck_assert_int_eq(ldns_wire2pkt(&out->pkt, out->wire, out->n), LDNS_STATUS_OK);
    ck_assert_uint_eq(ldns_pkt_id(out->pkt), 0x1234);
    ck_assert(ldns_pkt_qr(out->pkt) && ldns_pkt_rd(out->pkt) && !ldns_pkt_ra(out->pkt) &&
              !ldns_pkt_ad(out->pkt));
    ck_assert_msg(!memcmp(q + 12, out->wire + 12, strlen(name) + 2 + 4), "%s: the question changed",
                  name);
    ck_assert_int_eq(ldns_pkt_edns(out->pkt), edns >= 0);
}

void fixture_answer_done(struct fixture_answer *a)
{
    ldns_pkt_free(a->pkt);
}

const char *fixture_text(const ldns_rr_list *l)
{
    static char out[65536];
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; l && i < ldns_rr_list_rr_count(l); i++) {
        char *s = ldns_rr2str(ldns_rr_list_rr(l, i));
        ck_assert_ptr_nonnull(s);
        for (char *p = s; *p; p++)
            if (*p == '\t')
                *p = ' ';
        at += (size_t)snprintf(out + at, sizeof out - at, "%s", s);
        free(s);
    }
    return out;
}
