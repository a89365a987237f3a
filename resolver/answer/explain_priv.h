// SPDX-License-Identifier: Apache-2.0
// Shared by the files of explanations: explain.c writes name, view and records, explain_route.c the
// decision, explain_private.c private views.
#ifndef MERIDIAN_RESOLVER_ANSWER_EXPLAIN_PRIV_H
#define MERIDIAN_RESOLVER_ANSWER_EXPLAIN_PRIV_H

#include "config/hostname.h"
#include "resolver/answer/explain.h"

#include <jansson.h>

// The decision for a global name or its _route; null for other names. NULL: out of memory.
json_t *explain_routing(const struct explain_query *q, const struct hostname *h,
                        const struct view *view, const struct geo_view *geo);
// Replicas of the name's registry that move to another stamp, or have: which is led to now, and
// from when on the other. NULL: none does, or memory ended.
json_t *explain_moves(const struct explain_query *q, const struct hostname *h);

// Other views that have the client's address, when the view was chosen by that; NULL: none.
json_t *explain_also_in(const struct explain_query *q, const struct view *view);

// What a private view says of a registry's name: endpoint, addresses, and why; null for other names
// and in the public view. *out_covers: its answer ends there, so that nothing is routed. NULL: out
// of memory.
json_t *explain_private(const struct explain_query *q, const struct hostname *h,
                        const struct view *view, bool *out_covers);

#endif
