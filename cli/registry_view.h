// SPDX-License-Identifier: Apache-2.0
// Registries and replicas as documents, with the field names of `az acr show` and `az acr
// replication show`, and what Meridian's own are beside them. Texts are the arena's.
#ifndef MERIDIAN_CLI_REGISTRY_VIEW_H
#define MERIDIAN_CLI_REGISTRY_VIEW_H

#include "cli/cli.h"
#include "cli/provisioning.h"

// "contoso.eastus.geo.example.io", with the public port unless that is 443; region NULL: global.
const char *registry_host(struct cli *c, enum name_kind kind, const struct registry *r,
                          const char *region);
json_t *registry_json(struct cli *c, const struct registry *r, const struct provisioning *states);
// One as `registry show` prints it, with its state. An exit status.
int registry_print(struct cli *c, const struct registry *r);
// A replica: {"name","location","provisioningState","regionEndpointEnabled",…}.
json_t *replica_json(struct cli *c, const struct registry *r, const struct replica *rep,
                     const struct provisioning *states);
int replica_print(struct cli *c, const struct registry *r, const struct replica *rep);

#endif
