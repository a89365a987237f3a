// SPDX-License-Identifier: Apache-2.0
// The answer that is one JSON value read from the store, for routes whose handlers stand above it.
// On the pool.
#include "replication/replication_priv.h"

#include <jansson.h>

void serve_list(struct replicator *r, struct http_request *req, struct http_response *resp,
                void *(*make)(void *ask, struct arena *a), const char *sorry)
{
    if (!life_enter(r->life)) {
        serve_refuse(req, resp, 503, "stopping");
        return;
    }
    struct arena a;
    arena_init(&a, 0);
    json_t *root = make(req->ctx, &a);
    arena_done(&a);
    life_leave(r->life);
    if (root)
        http_response_json(req, resp, 200, root);
    else
        serve_refuse(req, resp, 503, sorry);
}
