// SPDX-License-Identifier: Apache-2.0
// Any bytes as a file of measured latencies: refused with a line for each fault, or read into rows
// that are prefixes of known regions, sorted, each pair once.
#include "base/diag.h"
#include "base/mem.h"
#include "resolver/route/geo_latency.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char yaml[] =
    "version: 1\ndomain: example.io\nregions:\n"
    "  - { name: eastus, peer: 192.0.2.1:8443, stamps: [{name: a, ipv4: [192.0.2.1]}] }\n"
    "  - { name: westeurope, peer: 192.0.2.2:8443, stamps: [{name: a, ipv4: [192.0.2.2]}] }\n"
    "name_servers: [a.eastus]\n";

static void must(bool ok)
{
    if (!ok)
        abort();
}

static struct topology *topology(void)
{
    static struct topology *t;
    if (!t)
        must(topology_parse(yaml, sizeof yaml - 1, "fuzz", NULL, &t) == 0);
    return t;
}

static void check(const struct geo_latencies *l)
{
    for (size_t i = 0; i < l->n; i++) {
        const struct geo_latency *x = &l->rows[i], *before = x - 1;
        must(x->region < 2 && x->us <= 60000000 && x->line > 0 && x->net.bits <= 128);
        for (unsigned b = x->net.bits; b < 128; b++)
            must(!(x->net.ip.b[b / 8] & 0x80 >> b % 8));
        if (i)
            must(memcmp(before->net.ip.b, x->net.ip.b, 16) < 0 ||
                 (!memcmp(before->net.ip.b, x->net.ip.b, 16) &&
                  (before->net.bits < x->net.bits ||
                   (before->net.bits == x->net.bits && before->region < x->region))));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diag d;
    struct geo_latencies l;
    diag_init(&d);
    int rc = geo_latency_parse((const char *)data, size, "fuzz.csv", topology(), &d, &l);
    must((rc != 0) == (diag_count(&d) > 0));
    if (!rc) {
        check(&l);
        geo_latencies_done(&l);
    }
    diag_done(&d);
    return 0;
}
