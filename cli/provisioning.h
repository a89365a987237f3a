// SPDX-License-Identifier: Apache-2.0
// `provisioningState` of registries and replicas: that of the newest operation on the object, as the
// node has it; Succeeded where there is none, or no node was asked.
#ifndef MERIDIAN_CLI_PROVISIONING_H
#define MERIDIAN_CLI_PROVISIONING_H

#include "cli/cli.h"

struct provisioning {
    // by object; NULL: none
    json_t *newest;
};

// Of one object ("registry/contoso"), or NULL: of all. Asks only where the topology came from a
// node; a node that cannot say is taken to have none.
void provisioning_open(struct cli *c, const char *object, struct provisioning *out);
void provisioning_close(struct provisioning *p);
// The newest operation on it; NULL: none. As long as `p` is open.
const json_t *provisioning_newest(const struct provisioning *p, const char *object);
const char *provisioning_state(const struct provisioning *p, const char *object);

#endif
