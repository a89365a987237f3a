// SPDX-License-Identifier: Apache-2.0
// Telling another region that content of it is damaged, and being told so:
//   POST /replication/v1/damaged?registry=&repository=&digest=      (peer listener)
//       202: the region will look; 429: too many notices wait, or too many of this sender's were
//       false; 403: the registry is not one of both regions
// Whoever is told reads its file (replication/mender.h). A region of the version before answers 404:
// then it is not told, and nothing else changes.
//
//   damage_notice_send(peer, topology, &ask);       // no one waits for the answer
//
// Threads: sent from any thread, answered on the fetcher's, taken on an HTTP thread.
#ifndef MERIDIAN_REPLICATION_DAMAGE_NOTICE_H
#define MERIDIAN_REPLICATION_DAMAGE_NOTICE_H

#include "replication/replication_priv.h"

void damage_notice_send(struct peer *p, const struct topology *t, const struct content_ask *ask);
// A notice came in from the region `peer`.
void damaged_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                   const struct region *peer, struct http_plan *plan);

#endif
