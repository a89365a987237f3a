// SPDX-License-Identifier: Apache-2.0
// daemon/guard: what the node's guard knows of this registry.
#include "daemon/guard.h"

#include "base/err.h"
#include "config/topology.h"
#include "tests/support/check_main.h"

#include <string.h>

static const char topology_text[] =
    "version: 1\ndomain: meridian.test\nhostmaster: hostmaster@meridian.test\nregions:\n"
    "  - {name: eastus, stamps: [{name: eus-1, ipv4: [9.9.9.1], ipv6: ['2a00::1']}], admin: "
    "'9.9.9.77:8444', peer: "
    "\"9.9.9.2:8443\"}\n"
    "name_servers: [eus-1.eastus]\nregistries: []\n";

static struct snapshot topology;

static struct node *node_of(const char *more)
{
    char text[600];
    struct node *n = NULL;
    snprintf(text, sizeof text,
             "region: eastus\nstamp: eus-1\ndata_dir: /var/lib/meridian\ntopology: t\n"
             "listen: {https: [9.9.9.3:443], dns: [9.9.9.4:53], dot: [9.9.9.5:853], "
             "https_proxied: [9.9.9.6:444], admin: 9.9.9.8}\nedge: {trusted_proxies: [9.9.9.80]}\n"
             "metrics: {listen: 9.9.9.7:9153}\n%s",
             more);
    ck_assert_int_eq(node_parse(text, strlen(text), "n.yaml", NULL, &n), 0);
    return n;
}

static void setup(void)
{
    struct topology *t;
    snapshot_init(&topology);
    ck_assert_int_eq(topology_parse(topology_text, strlen(topology_text), "t.yaml", NULL, &t), 0);
    snapshot_publish(&topology, t);
}

START_TEST(our_own_addresses_are_refused)
{
    static const char *const ours[] = {"https://9.9.9.1/",      "https://9.9.9.2:8443/",
                                       "https://9.9.9.3/",      "https://9.9.9.77/",
                                       "https://9.9.9.8:8444/", "https://9.9.9.4/",
                                       "https://[2a00::1]/",    "https://[64:ff9b::909:901]/",
                                       "https://9.9.9.5/",      "https://9.9.9.6/",
                                       "https://9.9.9.7/"};
    setup();
    struct node *n = node_of("outbound: {allow: [10.0.0.0/8, 9.0.0.0/8, 9.9.9.2]}\n");
    struct guard g;
    ck_assert_int_eq(guard_start(&g, n, &topology), 0);
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        int wanted = i == 1 ? 0 : ERR_DENIED; // the one that is allowed by its very address
        ck_assert_msg(outbound_check_url(g.outbound, ours[i], NULL) == wanted, "%s", ours[i]);
    }
    ck_assert_int_eq(outbound_check_url(g.outbound, "https://9.9.9.9/", NULL), 0);
    ck_assert_int_eq(outbound_check_url(g.outbound, "https://10.1.1.1/", NULL), 0);
    snapshot_withdraw(&topology); // no topology in force yet
    ck_assert_int_eq(outbound_check_url(g.outbound, "https://9.9.9.3/", NULL), ERR_DENIED);
    ck_assert_int_eq(outbound_check_url(g.outbound, "https://9.9.9.1/", NULL), 0);
    outbound_free(g.outbound);
    node_free(n);
    snapshot_done(&topology);
}
END_TEST

START_TEST(a_proxy_that_resolves_is_known)
{
    setup();
    struct node *n = node_of("outbound: {proxy: 'http://127.0.0.1:1', proxy_resolves: true}\n");
    struct guard g;
    struct fetch_result r;
    ck_assert_int_eq(guard_start(&g, n, &topology), 0);
    ck_assert(outbound_judges_names_only(g.outbound));
    static const char *const ours[] = {"https://meridian.test/", "https://a.b.meridian.test/"};
    for (size_t i = 0; i < 2; i++) {
        struct outbound_request q = {.url = ours[i], .timeout_ms = 5000};
        ck_assert_int_eq(outbound_run(g.outbound, &q, &r), ERR_DENIED);
        fetch_result_done(&r);
    }
    struct outbound_request q = {.url = "https://notmeridian.test/", .timeout_ms = 5000};
    ck_assert_int_eq(outbound_run(g.outbound, &q, &r), ERR_UNREACHABLE); // no proxy there
    fetch_result_done(&r);
    outbound_free(g.outbound);
    node_free(n);
    snapshot_done(&topology);
}
END_TEST

CHECK_MAIN("daemon/guard", our_own_addresses_are_refused, a_proxy_that_resolves_is_known)
