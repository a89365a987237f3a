// SPDX-License-Identifier: Apache-2.0
// Any packet over UDP and TCP from inside and outside the private view: the response re-parses with ldns and carries
// the id and, if any, the question it was asked.
#include "base/mem.h"
#include "resolver/answer.h"
#include "resolver/wire.h"

#include <ldns/ldns.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char yaml[] = "version: 1\ndomain: example.io\nhostmaster: hostmaster@example.io\nregions:\n"
                           "  - name: eastus\n    peer: 192.0.2.1:8443\n    stamps:\n"
                           "      - { name: eus-1, ipv4: [192.0.2.1], ipv6: [\"2001:db8::1\"] }\n"
                           "  - name: westeurope\n    peer: 192.0.2.2:8443\n    stamps:\n"
                           "      - { name: weu-1, ipv4: [192.0.2.2] }\n"
                           "name_servers: [eus-1.eastus, weu-1.westeurope]\nregistries:\n"
                           "  - name: contoso\n    regional_endpoints: enabled\n    replicas:\n"
                           "      - { region: eastus, stamp: eus-1 }\n      - { region: westeurope, stamp: weu-1 }\n"
                           "routing: { order: [eastus, westeurope] }\n"
                           "views:\n  - name: corp\n    sources: [10.1.0.0/16]\n"
                           "private_endpoints:\n  - name: pe\n    registry: contoso\n    view: corp\n"
                           "    addresses: { registry: 10.1.0.4, registry_westeurope: 10.1.0.5, "
                           "registry_data_westeurope: 10.1.0.6 }\n";

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const sources[] = {"192.0.2.99", "10.1.2.3"};
    static uint8_t out[ANSWER_TCP_MAX];
    for (int i = 0; i < 4; i++) {
        struct answer_context c = {.topology = topology(), .transport = i & 1 ? ANSWER_TCP : ANSWER_UDP};
        struct answer_info info;
        if (ip_parse(sources[i >> 1], &c.source))
            abort();
        size_t cap = i & 1 ? sizeof out : DNS_UDP_CEILING;
        size_t got = answer_packet(&c, data, size, out, cap, &info);
        if (got > cap)
            abort();
        if (got)
            check(data, size, out, got);
    }
    return 0;
}
