// SPDX-License-Identifier: Apache-2.0
// The `dns:` section of a node's settings: what is this node's own in answering names, not the
// topology's. A part of struct node; see config/node.h.
#ifndef MERIDIAN_CONFIG_NODE_DNS_H
#define MERIDIAN_CONFIG_NODE_DNS_H

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>

struct node_dns_cookies {
    bool enabled, required;
    // path of the file; NULL: one of this process alone
    const char *secret;
};

struct node_dns_rrl { // answers per second to a network of clients; 0: no limit
    unsigned answers, absent, errors;
    unsigned burst_s, slip;
    const struct cidr *exempt;
    size_t n_exempt;
};

struct node_dns_tcp { // DNS over TLS counts as well
    unsigned connections, per_client, idle_ms;
};

struct node_dns_signing { // DNSSEC on line
    // private keys; default <data_dir>/keys/dns
    const char *keys_dir;
    unsigned threads, signatures, denials_per_s;
};

enum node_dns_client { CLIENT_FULL, CLIENT_NETWORK, CLIENT_NONE };

struct node_dns_query_log {
    // NULL: off
    const char *file;
    // one query in so many
    unsigned sample;
    enum node_dns_client client;
    // per worker
    unsigned buffer_bytes;
};

struct node_dns_dnstap {
    // NULL: off
    const char *socket;
    unsigned sample, buffer_bytes;
};

struct node_dns {
    // dns.nsid: what this server calls itself when asked (RFC 5001); NULL: does not say
    const char *nsid;
    // dns.tsig_dir: secrets of the keys that the topology names; default <data_dir>/keys/tsig
    const char *tsig_dir;
    // dns.certificate: PEM with chain and key for DNS over TLS; NULL: the region's
    const char *certificate;
    // dns.trusted_proxies: who says by PROXY protocol whose queries these are
    const struct cidr *trusted_proxies;
    size_t n_trusted_proxies;
    struct node_dns_cookies cookies;
    struct node_dns_rrl rate_limit;
    struct node_dns_tcp tcp;
    struct node_dns_signing signing;
    struct node_dns_query_log query_log;
    struct node_dns_dnstap dnstap;
};

struct option_set;
int node_dns_defaults(struct node_dns *out); // as if nothing was given
extern const struct option_set node_dns_set;

#endif
