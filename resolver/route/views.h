// SPDX-License-Identifier: Apache-2.0
// Which network a query comes from (design section 3): by listener, then by transport source, never
// by Client Subnet. Pure; any thread; allocates nothing.
#ifndef MERIDIAN_RESOLVER_ROUTE_VIEWS_H
#define MERIDIAN_RESOLVER_ROUTE_VIEWS_H

#include "base/addr.h"
#include "config/topology.h"

// *out_view: the private view, or NULL for the public one. ERR_DENIED: a source that fits no view
// on a private listener, or one that the view's access list (of the public view: dns_access) does
// not answer; it falls through to no other view. `listener` may be NULL: no listener-bound view is
// considered then.
int view_choose(const struct topology *t, const struct endpoint *listener, const struct ip *source,
                const struct view **out_view);

#endif
