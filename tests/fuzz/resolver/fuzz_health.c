// SPDX-License-Identifier: Apache-2.0
// What peers say of health: observations (their signature taken as good, so that all behind it is
// reached), and deep documents. What parses is written and read again, and comes out the same.
#include "health/deep.h"
#include "health/observation.h"

#include <stdlib.h>
#include <string.h>

static const char yaml[] =
    "version: 1\ndomain: example.io\nhostmaster: h@example.io\nregions:\n"
    "  - { name: eastus, peer: 192.0.2.1:8443, stamps: [{ name: eus-1, ipv4: [192.0.2.1] }] }\n"
    "name_servers: [eus-1.eastus]\n"
    "identities:\n  eastus: { feed_keys: [{ id: eastus-f, key: "
    "\"MCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\" }] }\n";

static int any_signature(const char *spki, const void *p, size_t n, const uint8_t sig[64])
{
    (void)spki, (void)p, (void)n, (void)sig;
    return 0;
}

static int sign(void *ctx, const void *p, size_t n, uint8_t out[64])
{
    (void)ctx, (void)p, (void)n;
    memset(out, 1, 64);
    return 0;
}

static void observation(const struct topology *t, struct bytes text)
{
    struct observation *o = NULL, *again = NULL;
    const char *why;
    const struct observation_signer s = {sign, NULL, "eastus-f"};
    struct buf b;
    if (observation_parse(t, "eastus", text, 1764000000000, any_signature, &o, &why))
        return;
    buf_init(&b, OBSERVATION_MAX_BYTES);
    if (!observation_format(o, t->domain, &s, &b)) {
        struct bytes out = {(const uint8_t *)b.p, b.n};
        if (observation_parse(t, "eastus", out, 1764000000000, any_signature, &again, &why) ||
            again->n_votes != o->n_votes || again->orders.n != o->orders.n ||
            again->sequence != o->sequence)
            abort();
    }
    buf_done(&b);
    observation_free(o);
    observation_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static struct topology *t;
    struct diag d;
    struct health_deep deep;
    diag_init(&d);
    if (!t && topology_parse(yaml, strlen(yaml), "fuzz", &d, &t))
        abort();
    diag_done(&d);
    struct bytes text = {p, n};
    observation(t, text);
    if (!health_deep_parse(text, "eastus", &deep) &&
        (deep.headroom_percent > 100 || deep.n_impaired > HEALTH_DEEP_IMPAIRED_MAX))
        abort();
    return 0;
}
