// SPDX-License-Identifier: Apache-2.0
// May content of a repository be in a region? Whoever sends or takes it asks here, on both sides:
// the source and the receiver of what is copied ahead (docs/replication-protocol.md). No repository
// has a fence yet, so the answer is yes for all members of its registry.
//
//   if (!fence_allows(topology, registry, "team/app", "westeurope"))
//       …it does not go there…
//
// Pure; any thread.
#ifndef MERIDIAN_CONTENT_FENCE_H
#define MERIDIAN_CONTENT_FENCE_H

#include "config/topology.h"

// True: the region has a replica of the registry, and no fence of the repository leaves it outside.
bool fence_allows(const struct topology *t, const struct registry *reg, const char *repository,
                  const char *region);

#endif
