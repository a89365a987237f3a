// SPDX-License-Identifier: Apache-2.0
// `meridian dns explain NAME --client ADDR`: what this resolver answers a client and why, as JSON: the parsed name, the
// view, the matched rule, the table of all regions with their reasons, the chosen one, the records. Uses the same code
// path as an answer (route_decide and the answer builder), so that it cannot tell another story.
#ifndef MERIDIAN_RESOLVER_EXPLAIN_H
#define MERIDIAN_RESOLVER_EXPLAIN_H

#include "base/addr.h"
#include "config/topology.h"
#include "resolver/health.h"

// Returns a new json_t *, or NULL when out of memory. `listener` may be NULL (no listener-bound view is considered).
void *dns_explain_json(const struct topology *t, const struct health_verdicts *v, const char *name,
                       const struct ip *client, const struct endpoint *listener);

#endif
