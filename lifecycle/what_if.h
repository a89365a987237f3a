// SPDX-License-Identifier: Apache-2.0
// What a change of the topology does: the DNS records, the names of certificates and the members of
// private endpoints that come and go. They are computed by asking the code that serves them about
// the topology before and the one after: the resolver's answers in every view (with all regions
// up), the plan of certificates, the rows of private endpoints. There is no second description of
// DNS that could drift.
//
//   const struct what_if_in in = {.before = t, .after = next, .registries = names, .n_registries = 1,
//                                 .object = "registry/contoso", .now_s = now_s};
//   rc = what_if(&in, &out);
//
//   {"object": "registry/contoso", "from": 41, "to": 42,
//    "changes": [{"row": "registry/contoso", "change": "~", "member": "regional_endpoints",
//                 "was": "disabled", "is": "enabled"}],
//    "dns": [{"view": "public", "change": "+", "name": "contoso.eastus.geo.example.io", "ttl": 300,
//             "type": "CNAME", "data": "eus-1.eastus.fe.example.io"}],
//    "certificates": [{"region": "eastus", "kind": "region", "change": "+", "name": "*.x.example.io"}],
//    "members": [{"view": "corp", "privateEndpoint": "contoso-corp", "change": "+",
//                 "member": "registry_eastus", "address": "10.4.0.9"}],
//    "notes": ["…"], "exit": 10}
//
// Where an operation is under way that holds the object, the engine adds "error": {"code":
// "OperationInProgress", "message", "operation"} and "exit" 1: what is listed would change once that
// has ended.
//
// A record of a global name has "clients", a percentage, when only so many of all clients are led
// there: it is asked for clients all over the address space. Lists are sorted, so that the same
// change always gives the same bytes. Changes nothing. Any thread.
#ifndef MERIDIAN_LIFECYCLE_WHAT_IF_H
#define MERIDIAN_LIFECYCLE_WHAT_IF_H

#include "config/topology.h"

#include <jansson.h>

// "exit": what the command line ends with.
#define WHAT_IF_NOTHING 0
#define WHAT_IF_CHANGES 10
#define WHAT_IF_REFUSED 1

// Names of more registries than this are not asked for; a note says so.
#define WHAT_IF_REGISTRIES_MAX 200

struct what_if_in {
    // both full
    const struct topology *before, *after;
    // Names of those that the change touches, in one of the two or in both. NULL: all that differ
    // (each is compared).
    const char *const *registries;
    size_t n_registries;
    // "registry/contoso", "topology"
    const char *object;
    // wall: of replicas that move to another stamp
    int64_t now_s;
};

// *out: a new reference. ERR_NOMEM.
int what_if(const struct what_if_in *in, json_t **out);
// Of a change that was refused: {"object", "from", "error": {"code", "message"}, "exit": 1}. NULL:
// out of memory.
json_t *what_if_refused(const char *object, uint64_t from, const char *code, const char *message);

#endif
