// SPDX-License-Identifier: Apache-2.0
// Any packet over TCP and UDP to a server with a zone to transfer and a key. The first byte says
// whether the rest is sent as it is or signed first. Every response, and every message of a
// transfer, re-parses with ldns.
#include "base/mem.h"
#include "resolver/answer/transfer.h"
#include "resolver/packet/tsig.h"
#include "resolver/packet/wire.h"
#include "resolver/zone/zone_history.h"

#include <ldns/ldns.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW_S 1700000000

static const char yaml[] =
    "version: 2\ndomain: example.io\nregions:\n"
    "  - { name: eastus, peer: 192.0.2.1:8443, stamps: [{ name: eus-1, ipv4: [192.0.2.1] }] }\n"
    "name_servers: [eus-1.eastus]\nregistries: [{ name: contoso, replicas: [{ region: eastus }] "
    "}]\n"
    "transfer: { tsig_keys: [k] }\n";

static struct topology *topology;
static struct zone_history *history;
static struct tsig_keys keys;
static struct tsig_key *key;

static void begin(void)
{
    static const char text[] = "hmac-sha256:k:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    struct diag d;
    struct zone *before, *now;
    struct zone_history *first;
    diag_init(&d);
    if (topology_parse(yaml, sizeof yaml - 1, "fuzz", &d, &topology) ||
        zone_frontend_new(topology, 1, &before) || zone_frontend_new(topology, 2, &now) ||
        zone_history_new(before, NULL, &first) || zone_history_new(now, first, &history) ||
        tsig_key_parse(text, sizeof text - 1, "k", &key))
        abort();
    diag_done(&d);
    snapshot_unref(before);
    snapshot_unref(now);
    snapshot_unref(first);
    snapshot_head_init(&keys.head, NULL);
    keys.n = 1;
    keys.keys = &key;
}

static void check(const uint8_t *q, const uint8_t *r, size_t n)
{
    ldns_pkt *pkt = NULL;
    if (ldns_wire2pkt(&pkt, r, n) != LDNS_STATUS_OK || memcmp(q, r, 2) || !(r[2] & 0x80))
        abort();
    ldns_pkt_free(pkt);
}

static void stream(const struct answer_context *c, const uint8_t *q, size_t n)
{
    static uint8_t out[ANSWER_TCP_MAX];
    struct transfer *x;
    size_t len;
    int n_messages = 0;
    if (transfer_begin(c, q, n, false, &x))
        abort();
    for (; (len = transfer_next(x, out, sizeof out, NOW_S)); n_messages++)
        check(q, out, len);
    if (n_messages != 1 || transfer_failed(x)) // a zone so small
        abort();
    transfer_free(x);
}

static void ask(enum answer_transport transport, const char *source, const uint8_t *q, size_t n)
{
    static uint8_t out[ANSWER_TCP_MAX];
    struct answer_context c = {.topology = topology,
                               .transport = transport,
                               .history = history,
                               .frontend = history->zone,
                               .tsig_keys = &keys,
                               .now_s = NOW_S};
    struct answer_info info;
    if (ip_parse(source, &c.source))
        abort();
    size_t got =
        answer_packet(&c, q, n, out, transport == ANSWER_UDP ? DNS_UDP_CEILING : sizeof out, &info);
    if (got)
        check(q, out, got);
    if (info.transfer && (got || transport == ANSWER_UDP))
        abort();
    if (info.transfer)
        stream(&c, q, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t q[8192];
    if (!topology)
        begin();
    if (size < 1 + DNS_HEADER_BYTES || size > 4097)
        return 0;
    size_t n = size - 1;
    memcpy(q, data + 1, n);
    if (data[0] & 1) {
        struct tsig s;
        tsig_begin(key, (uint16_t)(q[0] << 8 | q[1]), &s);
        size_t signed_n = tsig_sign(&s, q, n, sizeof q, NOW_S + (data[0] & 2 ? 301 : 0));
        n = signed_n ? signed_n : n;
    }
    ask(ANSWER_TCP, "192.0.2.99", q, n);
    ask(ANSWER_UDP, "192.0.2.99", q, n);
    return 0;
}
