// SPDX-License-Identifier: Apache-2.0
// Replication of one region (design section 9): serves its feed to peers, reads theirs, fetches what they announce,
// applies it, and says how far it is. Manifests and tags become visible only after all they refer to is here.
//
//   GET /replication/v1/feed?after=CURSOR[&origin=R]   peer listener, long-lived, JSON lines
//   GET /replication/v1/mark?origin=R                  peer listener: how far this region has read R (invariant 8)
//   GET /replication/v1/clock                          peer listener: this region's wall clock
//   GET /replication/v1/status?registry=…              public listener, with a token that may pull there
//   GET /replication/v1/have?registry=&repository=&tag=  public listener: for `replication wait`
#ifndef MERIDIAN_REPLICATION_REPLICATION_H
#define MERIDIAN_REPLICATION_REPLICATION_H

#include "auth/verify.h"
#include "base/snapshot.h"
#include "config/topology.h"
#include "net/fetch.h"
#include "net/http.h"
#include "store/blob.h"
#include "store/meta.h"

struct replicator;
struct replicator_options {
    const char *region;
    struct snapshot *topology;
    struct meta *meta;
    struct blob_store *blobs;
    struct pool *pool; // blocking work
    struct fetcher *fetcher;
    const char *ca_file, *peer_pem; // mutual TLS to peers
    // Verifies a feed entry's signature with a key of the topology (certs/keys.h ed25519_verify), injected so that this
    // room needs no crypto of its own.
    int (*verify)(const char *spki_b64, const void *p, size_t n, const uint8_t sig[64]);
    unsigned start_ask_ms; // how long the start waits for peers' marks before writes open; 0: 3,000
    unsigned n_fetches;    // parallel blob fetches; 0: 4
};
// Opens the store for writes itself (meta_set_writable) once invariant 8 is seen to.
int replicator_start(const struct replicator_options *o, struct replicator **out);
void replicator_stop(struct replicator *r);
void replicator_committed(void *r); // meta_options.on_commit: wakes feed streams and jobs; never blocks; r may be NULL
// After the topology changed: peers come and go.
void replicator_reconfigure(struct replicator *r);

// For paths beginning /replication/ . `peer` is the region of the verified peer certificate (peer listener), else NULL.
// On the public listener `reg` and `host` say which registry's endpoint was called.
void replication_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                       const struct region *peer, const struct registry *reg, const struct hostname *host,
                       struct http_plan *plan);
// For the admin socket: json_t * of all origins and registries.
void *replication_status_json(struct replicator *r, const char *registry /* NULL: all */);

#endif
