// SPDX-License-Identifier: Apache-2.0
// The OCI data plane of one region over its store (design section 10; OCI distribution-spec 1.1):
// `/v2/…` of a registry that lives here. Existence means: linked in this repository. Digests are
// verified; bodies stream with bounded memory; blob bytes are served by the edge through Accel
// paths. DELETE is of tags and manifests; of a blob it is 405, since its bytes go by collection.
// What the specification has no words for is under /registry/v1/ of the same names.
//
// Blobs: with data endpoints on, a GET at a registry's name is 307 to a signed URL on this region's
// data host, where the signature is the only authority. HEAD is answered at once, with the size, and
// other regions get bytes where they ask.
//
// Pushes that scatter over regions succeed: a manifest whose blobs went to another region is put
// once they were fetched from there (registry/gather.h). A blob that is absent is 404 only when
// every other member of the registry said that it has not got it, else 503.
//
// When the disk is short (store/space.h), the registry refuses content with 507 and a sentence: the
// start of an upload, a body whose Content-Length does not fit, the next window of a body of
// unknown length, a manifest by rule 3 there. Reads, mounts, cancels, and the PUT that ends an
// upload whose bytes are here still work.
//
// Uploads: the id is "<region>.<32 hex>". `Location` is absolute, on the host called; the edge of
// another region passes an upload on to its own. With `push_move: regional` and regional endpoints,
// an upload that began on the global name moves to the regional host, by a signed URL (clients drop
// their credentials when the host changes). Bytes of a broken connection count once the client was told
// of them; the PUT that ends an upload may be repeated (upload_body.c has the rules).
#ifndef MERIDIAN_REGISTRY_REGISTRY_H
#define MERIDIAN_REGISTRY_REGISTRY_H

#include "auth/audit.h"
#include "auth/verify.h"
#include "config/topology.h"
#include "content/elsewhere.h"
#include "net/http.h"
#include "net/throttle.h"
#include "store/blob.h"
#include "store/meta.h"
#include "store/space.h"

struct registry_service;
struct registry_service_options {
    const char *region;
    struct blob_store *blobs;
    struct meta *meta;
    // what content of clients is charged to; NULL: nothing is
    struct space *space;
    struct pool *pool;
    // which tokens were revoked (struct principals); NULL: none
    struct snapshot *principals;
    // What other regions hold; outlives the service. NULL: nobody can be asked.
    const struct elsewhere *elsewhere;
    // for requests that wait for another region; NULL: `pool`
    struct pool *waiting;
    // NULL: none
    struct audit *audit;
    // limits of requests; NULL: nothing is limited
    struct throttle *throttle;
    // 32 bytes: HMAC of signed URLs
    const uint8_t *url_key;
    // 0: 4 MiB
    uint64_t manifest_max_bytes;
    // open at once (store/meta.h); beyond it a POST is answered with 429
    struct upload_bounds uploads;
    // for so long the process before this one may still end its uploads; 0: there is none
    unsigned forerunner_ms;
    // when an idle upload is discarded, for the sentence of a 429; 0: a day
    unsigned upload_idle_s;
    // Content of the registry with this login label could not be read or written here though
    // nothing is full or busy: I/O errors and damage. Any thread; must not block. May be NULL.
    void (*on_fault)(void *ctx, const char *label);
    void *on_fault_ctx;
    // The file of a blob that a repository links is missing here, or too short, or the content of a
    // manifest is not what its digest says: the callee may fetch it again. Any thread; must not block. May be NULL.
    void (*on_lost)(void *ctx, const char *registry, const char *repository,
                    const struct digest *d);
    void *on_lost_ctx;
};
int registry_service_new(const struct registry_service_options *o, struct registry_service **out);
void registry_service_free(struct registry_service *s);
// For requests whose path is /v2 or begins with /v2/ on a host of `reg` (global, regional, data).
// Fills the plan; takes its own reference of the topology if it needs one after begin.
void registry_service_begin(struct registry_service *s, struct http_request *req,
                            const struct topology *t, const struct registry *reg,
                            const struct hostname *host, struct http_plan *plan);
// Discards, rows and files: uploads idle for longer than max_idle_ms, and uploads of a principal
// beyond its bound of bytes. Forgets uploads that ended longer ago. Blocks. The daemon's
// housekeeping calls it as often as registry_uploads_sweep_ms says for the idle limit.
unsigned registry_uploads_sweep_ms(unsigned idle_s);
int registry_uploads_expire(struct registry_service *s, int64_t max_idle_ms, size_t *out_n);
// Closes the files of uploads whose client was away for a minute; the next piece opens them again.
// Any thread, every few seconds; blocks for as long as close() does.
void registry_uploads_rest(struct registry_service *s);
// Another process takes over: releases uploads that are between two requests. Here only requests
// under way still end.
void registry_yield(struct registry_service *s); // s may be NULL

#endif
