// SPDX-License-Identifier: Apache-2.0
// What the guard must know of this registry: its own addresses and names, by the node's file and
// the topology in force. See guard.h. Any thread.
#include "daemon/guard.h"

#include "base/err.h"
#include "base/log.h"
#include "config/topology.h"

#include <string.h>
#include <strings.h>

static bool one_has(const struct endpoint *list, size_t n, const struct ip *ip)
{
    for (size_t i = 0; i < n; i++)
        if (ip_equal(&list[i].ip, ip))
            return true;
    return false;
}

static bool listens_at(const struct node *n, const struct ip *ip)
{
    return one_has(n->https, n->n_https, ip) || one_has(n->https_proxied, n->n_https_proxied, ip) ||
           one_has(n->dns, n->n_dns, ip) || one_has(n->dns_tls, n->n_dns_tls, ip) ||
           one_has(&n->peer, 1, ip) || one_has(&n->admin, 1, ip) || one_has(&n->metrics, 1, ip);
}

static bool stamp_has(const struct stamp *s, const struct ip *ip)
{
    for (size_t i = 0; i < s->n_ipv4; i++)
        if (ip_equal(&s->ipv4[i], ip))
            return true;
    for (size_t i = 0; i < s->n_ipv6; i++)
        if (ip_equal(&s->ipv6[i], ip))
            return true;
    return false;
}

static bool topology_has(const struct topology *t, const struct ip *ip)
{
    for (size_t i = 0; i < t->n_regions; i++) {
        const struct region *r = &t->regions[i];
        if (ip_equal(&r->peer.ip, ip) || (r->admin.port && ip_equal(&r->admin.ip, ip)))
            return true;
        for (size_t k = 0; k < r->n_stamps; k++)
            if (stamp_has(&r->stamps[k], ip))
                return true;
    }
    return false;
}

static bool owns_address(void *ctx, const struct ip *ip)
{
    const struct guard *g = ctx;
    struct topology *t = snapshot_get(g->topology);
    bool owns = listens_at(g->node, ip) || (t && topology_has(t, ip));
    snapshot_unref(t);
    return owns;
}

// The domain, and all below it.
static bool owns_name(void *ctx, const char *name)
{
    const struct guard *g = ctx;
    struct topology *t = snapshot_get(g->topology);
    bool owns = false;
    if (t) {
        size_t n = strlen(name), n_domain = strlen(t->domain);
        owns = n >= n_domain && !strcasecmp(name + n - n_domain, t->domain) &&
               (n == n_domain || name[n - n_domain - 1] == '.');
    }
    snapshot_unref(t);
    return owns;
}

int guard_start(struct guard *g, const struct node *node, struct snapshot *topology)
{
    *g = (struct guard){.node = node, .topology = topology};
    const struct outbound_options o = {.allow = node->outbound_allow,
                                       .n_allow = node->n_outbound_allow,
                                       .proxy = node->outbound_proxy,
                                       .proxy_resolves = node->outbound_proxy_resolves,
                                       .owns_address = owns_address,
                                       .owns_name = owns_name,
                                       .ctx = g};
    int rc = outbound_new(&o, &g->outbound);
    if (rc == ERR_INVAL)
        log_error("daemon: outbound.proxy: %s is no proxy of the form http://HOST:PORT",
                  node->outbound_proxy);
    if (!rc && outbound_judges_names_only(g->outbound))
        log_warn("daemon: outbound.proxy_resolves is set: of addresses that users name, the guard "
                 "judges the names alone; that nothing inside is called is the proxy's to see to");
    return rc;
}
