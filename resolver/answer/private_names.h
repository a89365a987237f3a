// SPDX-License-Identifier: Apache-2.0
// The private names of a view, as this resolver answers them: for other resolvers of that network,
// which `meridian private-endpoint export-zone` writes them for. Each name is asked for with the answer
// builder, as a client in the view asks (answer.h), so that the two cannot differ. Runs on an
// admin's thread.
//
//   {"view": "corp", "domain": "example.io", "version": 42,
//    "zones": [{"apex": "privatelink.example.io",
//               "soa": {"ttl": 300, "mname": …, "rname": …, "serial": 42, "refresh": …, "retry": …,
//                       "expire": …, "minimum": 60},
//               "ns": {"ttl": 3600, "names": ["s-1.eastus.fe.example.io"]}}],
//    "names": [{"name": "contoso.example.io", "privateName": "contoso.privatelink.example.io",
//               "zone": "privatelink.example.io", "ttl": 10, "addresses": ["10.4.0.4"]}]}
//
// Zones: privatelink.D, and each region's own where the topology cuts there. Where it cuts nowhere the
// SOA and the servers are those of D. Names are in the order of their zones and of their text.
#ifndef MERIDIAN_RESOLVER_ANSWER_PRIVATE_NAMES_H
#define MERIDIAN_RESOLVER_ANSWER_PRIVATE_NAMES_H

#include "config/topology.h"

// `registry`: its name or label; NULL: all. *out: a new json_t *. ERR_DENIED: this resolver does not
// answer clients of that view; ERR_NOMEM.
int dns_private_names_json(const struct topology *t, const struct view *view, const char *registry,
                           void **out);

#endif
