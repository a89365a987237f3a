// SPDX-License-Identifier: Apache-2.0
// How a region joins, as the writer sees it. A stranger who holds a join token asks over the peer
// listener, without a certificate (the one path that takes such, EDGE_JOIN_PATH):
//
//   POST /join/v1/region        a request (fleet/join_request.h) → an answer (fleet/join_answer.h)
//   POST /join/v1/certificate   the writer to the CA's region, under its own certificate: the same
//                               request → the joiner's peer certificate, PEM
//
// Steps, each an entry of the control feed, so that the next one goes on after a crash of either
// side, also at another writer (fleet/join_record.h):
//   1. the use: the token is this joiner's from now on;
//   2. the CA issues. Where it is another region, that region judges the request for itself, by its
//      own ledger: it must hold the use;
//   3. the region: its row if there is none, and its identities, with the certificate in the record.
//
//   const struct join_deps deps = {…};
//   rc = join_new(&deps, &j);
//   join_begin(j, req, peer, plan);      // HTTP thread; what takes long runs on the pool
//   join_free(j);                        // after the servers that call it have stopped
//
// Invariants
//   1. A token is one joiner's. No other one ever gets anything but a refusal.
//   2. What a joiner gets depends on nothing that an edge could have changed: it signs what it asks,
//      and the writer signs what it answers.
//   3. One join at a time; who comes meanwhile is told to come again.
#ifndef MERIDIAN_FLEET_JOIN_H
#define MERIDIAN_FLEET_JOIN_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "certs/keys.h"
#include "config/topology.h"
#include "fleet/join_record.h"
#include "net/http.h"

#include <stdint.h>

#define JOIN_CERTIFICATE_PATH "/join/v1/certificate"

struct join_change { // one entry of the control feed
    // the version that the frame was made from; 0: no frame
    uint64_t expect_topology;
    struct bytes frame;
    const char *record_key, *record;
};

enum join_noted { JOIN_NOTED_JOINED, JOIN_NOTED_REFUSED, JOIN_NOTED_CONTESTED };

// What it stands on; all functions any thread, all with one sentence in diag on failure.
struct join_deps {
    void *ctx;
    int64_t (*now_ms)(void *ctx); // wall
    // May this node write? ERR_DENIED: another region does, which the sentence names; ERR_BUSY: not
    // confirmed yet.
    int (*writer)(void *ctx, struct diag *diag);
    struct topology *(*topology)(void *ctx); // a reference; NULL: none
    // The ledger's record; ERR_NOTFOUND.
    int (*record)(void *ctx, const char *key, struct buf *out);
    // ERR_CONFLICT: another version is in force.
    int (*append)(void *ctx, const struct join_change *c, struct diag *diag);
    // Issues here, or asks the region that can, with the joiner's request as it came.
    int (*certificate)(void *ctx, const struct topology *t, const struct join_request *q,
                       struct bytes request, struct diag *diag, struct buf *out_pem);
    // Issues here; ERR_UNSUPPORTED.
    int (*issue)(void *ctx, const struct topology *t, const char *region, struct bytes csr,
                 struct diag *diag, struct buf *out_pem);
    int (*ca)(void *ctx, struct buf *out_pem);
    // For logs and the audit log; `token` and `region` as far as they are known.
    void (*note)(void *ctx, enum join_noted what, const struct http_request *req, const char *token,
                 const char *region, const char *why);
    // signs answers
    const struct region_keys *keys;
};

struct join;
int join_new(const struct join_deps *deps, struct join **out);
void join_free(struct join *j); // NULL is fine
// Paths under /join. `peer`: the region whose certificate came, or NULL. `j` NULL: 404.
void join_begin(struct join *j, struct http_request *req, const struct region *peer,
                struct http_plan *plan);

// What join_begin runs, without HTTP. ERR_INVAL, ERR_DENIED, ERR_BUSY, ERR_CONFLICT,
// ERR_UNREACHABLE (the CA's region) … with one sentence. *out_contested: another joiner has it.
int join_take(struct join *j, struct bytes body, struct arena *a, struct diag *diag,
              bool *out_contested, struct buf *out_answer);
// The certificate, at the CA's region.
int join_issue(struct join *j, struct bytes body, struct arena *a, struct diag *diag,
               struct buf *out_pem);

// The frame with a joiner's region and identities in it. Pure; for join_take and tests.
int join_frame(const struct topology *t, const char *frame, size_t n, const struct join_request *q,
               const char *fingerprint, bool replace, int64_t now_s, struct arena *a,
               struct diag *diag, struct buf *out);

#endif
