// SPDX-License-Identifier: Apache-2.0
// GET /replication/v1/snapshot?registry=KEY[&at=CURSOR][&after=NEXT][&max=N]: a page of what this region
// wrote in a registry, for a region that holds it too; see replication/snapshot_page.h for its form.
//   snapshot_begin(r, req, topology, peer, plan);
// Without `at` the snapshot goes up to the end of the feed, which the page then says; later pages
// are asked for with that place. 409: `at` is no place of this region's feed. On the work pool.
#ifndef MERIDIAN_REPLICATION_SNAPSHOT_SERVE_H
#define MERIDIAN_REPLICATION_SNAPSHOT_SERVE_H

#include "config/topology.h"
#include "net/http.h"

struct replicator;

void snapshot_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                    const struct region *peer, struct http_plan *plan);

#endif
