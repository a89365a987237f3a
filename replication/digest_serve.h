// SPDX-License-Identifier: Apache-2.0
// GET /replication/v1/digests: what clients of this region see of a registry, as digests, for
// another region that holds it too (digest_page.h). Each answer looks at a bounded number of subjects,
// on the work pool; it reads beside the store's writer, never through it.
#ifndef MERIDIAN_REPLICATION_DIGEST_SERVE_H
#define MERIDIAN_REPLICATION_DIGEST_SERVE_H

#include "config/topology.h"
#include "net/http.h"

struct replicator;

void digests_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                   const struct region *peer, struct http_plan *plan);

#endif
