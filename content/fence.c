// SPDX-License-Identifier: Apache-2.0
// Where content may be; see fence.h.
#include "content/fence.h"

bool fence_allows(const struct topology *t, const struct registry *reg, const char *repository,
                  const char *region)
{
    const struct region *r = topology_region(t, region);
    (void)repository;
    return r && registry_replica(reg, r->index);
}
