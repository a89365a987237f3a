// SPDX-License-Identifier: Apache-2.0
// Measured networks as routing sees them; see geo.h.
#include "resolver/route/geo.h"

#include <string.h>

void geo_view_set(struct geo_view *v, const struct geo *g, const struct topology *t)
{
    v->geo = g;
    v->same = g && g->n_regions <= t->n_regions;
    for (size_t i = 0; g && i < g->n_regions; i++) {
        const struct region *r = topology_region(t, g->regions[i]);
        if (r)
            v->region[i] = r->index;
        else
            v->region[i] = REGION_NONE;
        v->same &= v->region[i] == i;
    }
}
