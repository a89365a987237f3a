// SPDX-License-Identifier: Apache-2.0
// The `dns:` section of a node's settings: what is this node's own in answering names, not the topology's. A part of
// struct node; see config/node.h.
#ifndef MERIDIAN_CONFIG_NODE_DNS_H
#define MERIDIAN_CONFIG_NODE_DNS_H

#include <stdbool.h>
#include <stddef.h>

struct node_dns {
    const char *nsid;     // dns.nsid: what this server calls itself when asked (RFC 5001); NULL: does not say
    const char *tsig_dir; // dns.tsig_dir: secrets of the keys that the topology names; default <data_dir>/keys/tsig
};

struct option_set;
extern const struct option_set node_dns_set;

#endif
