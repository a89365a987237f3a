// SPDX-License-Identifier: Apache-2.0
// Private endpoints as people see them, on every node: their connections in the ledger, and rows by
// hand that have none, with az's member names.
//
//   {"privateEndpoints": [{
//     "name": "corp-pe", "registry": "contoso", "view": "corp", "pool": "corp-pool",   // "" static
//     "privateLinkServiceConnectionState": {"status": "Approved", "description": "please",
//                                           "actionsRequired": "None"},
//     "provisioningState": "Succeeded", "error": "",
//     "groupIds": ["registry"], "answeredBy": "edge", "auto": false,
//     "inDns": true,                  // its row is; false: at the edge alone; null: it has none
//     "ipConfigurations": [{"memberName": "registry", "fqdn": "contoso.example.io",
//                           "privateIpAddresses": ["10.4.0.4"]}],
//     "restsUntil": "2026-…Z" or null,  // of one that is Rejected or Disconnected
//     "moves": [{"status": "Pending", "by": "operator:ada", "at": "2026-…Z", "description": "please"}]}]}
#ifndef MERIDIAN_LIFECYCLE_PRIVATE_LIST_H
#define MERIDIAN_LIFECYCLE_PRIVATE_LIST_H

#include "control/connections.h"

#include <jansson.h>

struct private_filter { // NULL: any
    const char *registry, *view, *name;
};

// `l` NULL: there is no ledger, and all are by hand. Sorted by name. A new reference; NULL: out of
// memory. Any thread.
json_t *private_endpoints_json(const struct topology *t, const struct ledger_look *l,
                               const struct private_filter *f, int64_t now_ms);

#endif
