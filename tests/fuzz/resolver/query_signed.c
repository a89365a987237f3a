// SPDX-License-Identifier: Apache-2.0
// See query_signed.h. Keys are new in each process: no length or order depends on them. Time
// stands.
#include "tests/fuzz/resolver/query_signed.h"

#include "base/clock.h"
#include "base/clock_test.h"
#include "base/fd.h"
#include "base/mem.h"
#include "resolver/packet/wire.h"
#include "resolver/sign/dnssec.h"
#include "tests/support/dnssec_judge.h"
#include "tests/support/signed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1795478400 // 2026-11-24

static const char yaml[] =
    "version: 7\ndomain: example.io\nregions:\n"
    "  - { name: east, peer: \"192.0.2.1:8443\", stamps: [ { name: e-1, ipv4: [192.0.2.1], ipv6: "
    "[\"2001:db8::1\"] }, "
    "{ name: e-2, ipv4: [192.0.2.11, 192.0.2.12] } ] }\n"
    "  - { name: west, peer: \"192.0.2.2:8443\", stamps: [ { name: w-1, ipv4: [192.0.2.2] } ] }\n"
    "  - { name: asia, peer: \"192.0.2.3:8443\", stamps: [ { name: a-1, ipv6: [\"2001:db8::3\"] } "
    "] }\n"
    "name_servers: [e-1.east, w-1.west]\nregistries:\n"
    "  - { name: contoso, regional_endpoints: enabled, data_endpoints: enabled, replicas: [ { "
    "region: east }, "
    "{ region: west, weight: 50 }, { region: asia } ] }\n"
    "  - { name: hashed, hash: abcdefgh01234567, regional_endpoints: enabled, replicas: [ { "
    "region: east, stamp: e-2 "
    "}, "
    "{ region: west, drained: true } ] }\n"
    "  - { name: plain, replicas: [ { region: west } ] }\n"
    "routing:\n  order: [east, west+asia]\n  overrides:\n"
    "    - { clients: 198.51.0.0/16, order: [asia] }\n    - { clients: 198.51.100.0/25, order: "
    "[west] }\n"
    "    - { clients: 203.0.113.0/24, order: [east+west+asia] }\n"
    "    - { clients: \"2001:db8::/32\", order: [west+east, asia] }\n"
    "views:\n  - { name: corp, sources: [10.1.0.0/16] }\n"
    "private_endpoints:\n  - { name: pe, registry: contoso, view: corp, addresses: { registry: "
    "10.1.0.4, "
    "registry_west: 10.1.0.5, registry_data_west: \"fd00::6\" } }\n"
    "apex:\n  ipv4: [192.0.2.80, 192.0.2.81]\n  mx: [ { host: mx.example.net } ]\n  txt: [\"v=spf1 "
    "-all\", two]\n"
    "  caa: [ { tag: issue, value: ca.test } ]\n"
    "  acme_challenge: [ { txt: [a, b] }, { at: east.geo, txt: c }, { at: east.fe, txt: d } ]\n";

struct world {
    const char *cut;
    enum dnskey_algorithm algorithm;
    bool csk;
    const char *source;
    // with keys, and without
    struct topology *t, *plain;
    struct answer_context c;
    struct pending_inbox *inbox;
    struct dnssec_judge judge;
};

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "signed: %s\n", what);
    abort();
}

static struct topology *parse(const char *text)
{
    struct topology *t = NULL;
    struct diag d;
    diag_init(&d);
    int rc = topology_parse(text, strlen(text), "fuzz", &d, &t);
    diag_print(&d, stderr);
    diag_done(&d);
    must(!rc, "the topology");
    return t;
}

static void judge_start(struct world *w, const struct dnssec *d)
{
    w->judge.now_s = NOW;
    dnssec_judge_zone(&w->judge, "example.io.",
                      dnssec_judge_records(d->main.rrs, d->main.n_rrs, DNS_DNSKEY));
    dnssec_judge_zone(&w->judge, "fe.example.io.",
                      dnssec_judge_records(d->frontend.rrs, d->frontend.n_rrs, DNS_DNSKEY));
    const char *const regions[] = {"east", "west", "asia"};
    bool by_region = strstr(w->cut, "region");
    if (w->cut[0] && !by_region)
        dnssec_judge_zone(&w->judge, "privatelink.example.io.", NULL);
    for (size_t i = 0; by_region && i < ARRAY_LEN(regions); i++) {
        char apex[64];
        snprintf(apex, sizeof apex, "%s.geo.privatelink.example.io.", regions[i]);
        dnssec_judge_zone(&w->judge, apex, NULL);
    }
}

static void world_start(struct world *w)
{
    char dir[] = "/tmp/meridian-fuzz-XXXXXX";
    struct signer *memo, *signer;
    struct dnssec *d;
    struct buf b;
    // for the cache of signatures: those of then are not stale
    clock_virtual_set((int64_t)NOW * 1000);
    must(mkdtemp(dir), dir);
    buf_init(&b, 0);
    buf_printf(&b, "%s%s", yaml, w->cut);
    w->plain = parse(buf_cstr(&b));
    must(!signed_keys(&b, dir, w->algorithm, w->csk), "keys");
    w->t = parse(buf_cstr(&b));
    buf_done(&b);
    must(!signer_new(&(struct signer_options){.slots = 4096}, &memo), "memo");
    must(!signer_new(&(struct signer_options){.slots = 65536, .threads = 1}, &signer), "signer");
    must(!dnssec_new(w->t, dir, NOW, memo, NULL, NULL, &d), "signing");
    signer_free(memo);
    dir_remove_tree(dir);
    must(!pending_inbox_new(&w->inbox), "inbox");
    w->c =
        (struct answer_context){.now_s = NOW, .dnssec = d, .frontend = d->zone, .signer = signer};
    must(!ip_parse(w->source, &w->c.source), w->source);
    judge_start(w, d);
}

// A kept signature is found by what was signed, so what one input leaves behind changes no answer
// to another.
static struct world *worlds(size_t *out_n)
{
    static struct world list[] = {
        {.cut = "", .algorithm = DNSKEY_ECDSAP256, .source = "203.0.113.9"},
        {.cut = "private_cut: insecure\n",
         .algorithm = DNSKEY_ED25519,
         .csk = true,
         .source = "10.1.2.3"},
        {.cut = "private_cut: insecure\nprivate_cut_at: region\n",
         .algorithm = DNSKEY_ED25519,
         .source = "10.1.2.3"},
        {.cut = "", .algorithm = DNSKEY_ED25519, .csk = true, .source = "10.1.2.3"}};
    *out_n = ARRAY_LEN(list);
    for (size_t i = 0; i < *out_n && !list[i].t; i++)
        world_start(&list[i]);
    return list;
}

// ---- one query in one world ----

struct reply {
    uint8_t wire[ANSWER_TCP_MAX];
    size_t n;
    struct answer_info info;
    ldns_pkt *pkt;
};

static void ask(struct world *w, const struct topology *t, enum answer_transport transport,
                const uint8_t *query, size_t n, struct reply *r)
{
    int waits;
    w->c.topology = t;
    w->c.transport = transport;
    must(!signed_answer(&w->c, w->inbox, query, n, r->wire,
                        transport == ANSWER_UDP ? DNS_UDP_CEILING : sizeof r->wire, &r->info, &r->n,
                        &waits),
         "signatures that never come");
    r->pkt = NULL;
    must(!r->n || ldns_wire2pkt(&r->pkt, r->wire, r->n) == LDNS_STATUS_OK, "what ldns cannot read");
}

static bool is_dnssec(const ldns_rr *rr)
{
    return ldns_rr_get_type(rr) == LDNS_RR_TYPE_RRSIG || ldns_rr_get_type(rr) == LDNS_RR_TYPE_NSEC;
}

// Beside signatures and denials both sections are the same; the SOA of fe.D counts signing periods
// too.
static void compare(const ldns_rr_list *with, const ldns_rr_list *without)
{
    size_t k = 0;
    for (size_t i = 0; i < ldns_rr_list_rr_count(with); i++) {
        const ldns_rr *a = ldns_rr_list_rr(with, i), *b;
        if (is_dnssec(a))
            continue;
        must(k < ldns_rr_list_rr_count(without), "a record more than without keys");
        b = ldns_rr_list_rr(without, k++);
        must(ldns_rr_get_type(a) == LDNS_RR_TYPE_SOA ? ldns_rr_get_type(b) == LDNS_RR_TYPE_SOA
                                                     : !ldns_rr_compare(a, b),
             "another record than without keys");
    }
    must(k == ldns_rr_list_rr_count(without), "a record less than without keys");
}

static bool is_key_type(uint16_t type)
{
    return type == DNS_DS || type == DNS_DNSKEY || type == DNS_CDS || type == DNS_CDNSKEY;
}

static void judge(struct world *w, const struct dns_query *q, const struct reply *r,
                  const struct reply *plain)
{
    bool proof = q->type == DNS_RRSIG || q->type == DNS_NSEC;
    bool denied = r->info.rcode == DNS_NOERROR && plain->info.rcode == DNS_NXDOMAIN &&
                  (proof || !q->compact_ok);
    must(r->info.rcode == plain->info.rcode || denied, "another rcode than without keys");
    if (!proof && !is_key_type(q->type)) {
        compare(ldns_pkt_answer(r->pkt), ldns_pkt_answer(plain->pkt));
        compare(ldns_pkt_authority(r->pkt), ldns_pkt_authority(plain->pkt));
    }
    if (!ldns_pkt_aa(r->pkt)) {
        must(!ldns_pkt_ancount(r->pkt) && !ldns_pkt_nscount(r->pkt), "records without authority");
        return;
    }
    must(ldns_pkt_edns_do(r->pkt), "DO is not echoed");
    if (q->type != DNS_RRSIG) // there they stand alone
        must(dnssec_judge_section(&w->judge, ldns_pkt_answer(r->pkt)), w->judge.why);
    must(dnssec_judge_section(&w->judge, ldns_pkt_authority(r->pkt)), w->judge.why);
    must(dnssec_judge_denial(&w->judge, r->pkt), w->judge.why);
    must(ldns_pkt_ancount(r->pkt) || ldns_pkt_nscount(r->pkt), "nothing with authority");
}

static void check(struct world *w, const uint8_t *query, size_t n, const struct dns_query *q)
{
    static struct reply tcp, udp, plain;
    ask(w, w->t, ANSWER_TCP, query, n, &tcp);
    ask(w, w->t, ANSWER_UDP, query, n, &udp);
    ask(w, w->plain, ANSWER_TCP, query, n, &plain);
    must(!tcp.n == !udp.n && !tcp.n == !plain.n, "an answer over one transport only");
    if (tcp.n) {
        must(!tcp.info.truncated, "truncated over TCP");
        if (udp.info.truncated)
            must(ldns_pkt_tc(udp.pkt) && udp.info.rcode == tcp.info.rcode &&
                     !ldns_pkt_ancount(udp.pkt) && !ldns_pkt_nscount(udp.pkt),
                 "truncated, and neither empty nor the same");
        else
            must(udp.n <= tcp.n && udp.info.rcode == tcp.info.rcode &&
                     ldns_pkt_ancount(udp.pkt) == ldns_pkt_ancount(tcp.pkt) &&
                     ldns_pkt_nscount(udp.pkt) == ldns_pkt_nscount(tcp.pkt),
                 "another answer over UDP");
        judge(w, q, &tcp, &plain);
    }
    ldns_pkt_free(tcp.pkt);
    ldns_pkt_free(udp.pkt);
    ldns_pkt_free(plain.pkt);
}

void query_signed(const uint8_t *query, size_t n)
{
    struct dns_query q;
    size_t n_worlds;
    struct world *list = worlds(&n_worlds);
    if (dns_query_parse(query, n, &q) != DNS_NOERROR || !q.has_question || !q.dnssec_ok)
        return; // answered as without keys: the caller's other worlds do that
    for (size_t i = 0; i < n_worlds; i++)
        check(&list[i], query, n, &q);
}
