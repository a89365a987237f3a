// SPDX-License-Identifier: Apache-2.0
// Any packet over UDP and TCP from inside and outside the private view: the response re-parses with
// ldns and carries the id and, if any, the question it was asked. With DO also from signed domains:
// see query_signed.h.
#include "base/mem.h"
#include "config/catalogue.h"
#include "resolver/answer/answer.h"
#include "resolver/packet/cookies.h"
#include "resolver/packet/edns.h"
#include "resolver/packet/wire.h"
#include "tests/fuzz/resolver/query_signed.h"

#include <ldns/ldns.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// More than 512 octets hold.
#define EIGHT(n)                                                                           \
    "10.1.1." n "0, 10.1.1." n "1, 10.1.1." n "2, 10.1.1." n "3, 10.1.1." n "4, 10.1.1." n \
    "5, 10.1.1." n "6, 10.1.1." n "7"
#define MANY EIGHT("1") ", " EIGHT("2") ", " EIGHT("3") ", " EIGHT("4")

static const char yaml[] =
    "version: 1\ndomain: example.io\nhostmaster: hostmaster@example.io\nregions:\n"
    "  - name: eastus\n    peer: 192.0.2.1:8443\n    stamps:\n"
    "      - { name: eus-1, ipv4: [192.0.2.1], ipv6: [\"2001:db8::1\"] }\n"
    "  - name: westeurope\n    peer: 192.0.2.2:8443\n    stamps:\n"
    "      - { name: weu-1, ipv4: [192.0.2.2] }\n"
    "name_servers: [eus-1.eastus, weu-1.westeurope]\nregistries:\n"
    "  - name: contoso\n    regional_endpoints: enabled\n    replicas:\n"
    "      - { region: eastus, stamp: eus-1 }\n      - { region: westeurope, stamp: weu-1 }\n"
    "routing: { order: [eastus, westeurope] }\n"
    "views:\n  - name: corp\n    sources: [10.1.0.0/16]\n    on_foreign: nxdomain\n"
    "  - name: lab\n    listeners: [\"127.0.0.9:5300\"]\n    sources: [10.1.0.0/16]\n"
    "private_endpoints:\n  - name: pe\n    registry: contoso\n    view: corp\n"
    "    addresses: { registry: 10.1.0.4, registry_eastus: [" MANY
    "], registry_westeurope: 10.1.0.5, "
    "registry_data_westeurope: 10.1.0.6 }\n"
    "  - name: pe-lab\n    registry: contoso\n    view: lab\n"
    "    addresses: { registry: \"fd00::4\" }\n";

static struct topology *topology(void)
{
    static struct topology *t;
    struct diag d;
    diag_init(&d);
    if (!t && topology_parse(yaml, sizeof yaml - 1, "fuzz", &d, &t)) {
        diag_print(&d, stderr);
        abort();
    }
    diag_done(&d);
    return t;
}

static void check(const uint8_t *q, size_t n, const uint8_t *r, size_t got)
{
    ldns_pkt *pkt = NULL;
    struct dns_query parsed;
    dns_query_parse(q, n, &parsed);
    if (ldns_wire2pkt(&pkt, r, got) != LDNS_STATUS_OK || memcmp(q, r, 2) || !(r[2] & 0x80))
        abort();
    if (ldns_pkt_qdcount(pkt) != parsed.has_question)
        abort();
    if (parsed.has_question && memcmp(r + DNS_HEADER_BYTES, parsed.name, parsed.name_n + 4))
        abort();
    ldns_pkt_free(pkt);
}

// Every stamp down: regional names say so, where there is room for it.
static const struct health_verdicts *all_down(void)
{
    static const struct health_target targets[] = {{.region = "eastus", .stamp = "eus-1"},
                                                   {.region = "westeurope", .stamp = "weu-1"}};
    static const struct health_verdicts v = {.n_targets = 2, .targets = targets};
    return &v;
}

static size_t ask(struct answer_context *c, enum answer_transport transport, const uint8_t *data,
                  size_t size, uint8_t *out, size_t cap, struct answer_info *info)
{
    c->transport = transport;
    memset(out, 0xee, 600); // what is not written must not be sent
    if (c->topology)
        // as a worker does
        catalogue_hint_follow(c->topology->catalogue, answer_hint(c->topology, data, size));
    size_t got = answer_packet(c, data, size, out, cap, info);
    if (got > cap)
        abort();
    if (got)
        check(data, size, out, got);
    return got;
}

// The secret and the time of the cookies in the corpus.
static const struct cookies *cookies(bool required)
{
    static struct cookies *c[2];
    static const char secret[] = "e5e973e5a6b2a43f48e7dc849e37bfcf";
    if (!c[required] && cookies_parse(bytes_str(secret), "fuzz", NULL, &c[required]))
        abort();
    c[required]->required = required;
    return c[required];
}
#define COOKIE_TIME 1559731985

// Over TLS, to who asks for it: a multiple of 468.
static void check_padding(const uint8_t *query, size_t n, size_t got,
                          const struct answer_info *info)
{
    struct dns_query q;
    if (dns_query_parse(query, n, &q) == DNS_NOERROR && q.padding && info->opt_n &&
        got % EDNS_PAD_BYTES)
        abort();
}

// The question, perhaps an OPT; in private views the first answers, as they are over TCP; and
// nothing else.
static void check_cut(const uint8_t *udp, const struct answer_info *u, size_t n, const uint8_t *tcp)
{
    size_t end = u->opt_n ? u->opt_at : n;
    bool answers = udp[6] || udp[7];
    if (!(udp[2] & 0x02) || udp[8] || udp[9] || (answers && !u->view))
        abort();
    if ((udp[6] << 8 | udp[7]) > (tcp[6] << 8 | tcp[7]) ||
        memcmp(udp + DNS_HEADER_BYTES, tcp + DNS_HEADER_BYTES, end - DNS_HEADER_BYTES))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        const char *source;
        bool listener, down;
    } places[] = {{"192.0.2.99", false, false}, {"10.1.2.3", false, true},
                  {"2001:db8::9", false, true}, {"10.1.2.3", true, false},
                  {"192.0.2.99", true, false},  {"198.51.100.100", false, false}};
    static uint8_t udp[DNS_UDP_CEILING], tcp[ANSWER_TCP_MAX];
    struct endpoint lab = {.port = 5300};
    if (ip_parse("127.0.0.9", &lab.ip))
        abort();
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct answer_context c = {.topology = topology(),
                                   .health = places[i].down ? all_down() : NULL,
                                   .listener = places[i].listener ? &lab : NULL};
        struct answer_info u, t;
        if (ip_parse(places[i].source, &c.source))
            abort();
        if (i > 0) { // the last of them wants one
            c.cookies = cookies(i + 1 == sizeof places / sizeof places[0]);
            c.now_s = COOKIE_TIME;
            c.nsid = "ns1.eastus";
            c.idle_ms = 10000;
        }
        size_t n_udp = ask(&c, ANSWER_UDP, data, size, udp, sizeof udp, &u);
        size_t n_tcp = ask(&c, i & 1 ? ANSWER_TCP : ANSWER_TLS, data, size, tcp, sizeof tcp, &t);
        if (c.transport == ANSWER_TLS)
            check_padding(data, size, n_tcp, &t);
        if (u.rcode == DNS_BADCOOKIE)
            continue;
        if (t.truncated || !n_udp != !n_tcp)
            abort();
        if (u.truncated) {
            check_cut(udp, &u, n_udp, tcp);
        } else if (u.rcode != t.rcode || (n_udp == n_tcp && memcmp(udp, tcp, n_udp)) ||
                   n_udp > n_tcp) {
            abort(); // shorter only by glue and the text of an extended error
        }
    }
    query_signed(data, size);
    return 0;
}
