// SPDX-License-Identifier: Apache-2.0
// What the files that fetch share.
#ifndef MERIDIAN_CONTENT_CONTENT_PRIV_H
#define MERIDIAN_CONTENT_CONTENT_PRIV_H

#include "content/content.h"
#include "net/pool.h"

struct content {
    struct blob_store *blobs;
    int (*find)(void *ctx, const struct digest *d, struct blob_name *out, uint64_t *out_size);
    void *find_ctx;
    char *region;
    struct flights *flights;
    // for ranges beside the thread that leads; NULL: none
    struct pool *streams;
    // as content_options says
    int64_t stall_ms;
    _Atomic bool stopping;
};

struct ranges;
// One fetch of a blob (blob_get.c), on the thread that runs its flight.
struct blob_get {
    struct content *content;
    const struct content_want *want;
    struct content_outcome *out;
    struct flight *flight;
    struct blob_upload *upload;
    // who gave all bytes that are here; NULL: several sources, or an earlier fetch
    const struct source *giver;
    // NULL: the blob comes in order
    struct ranges *ranges;
    // its streams have ended; the blob comes in order from now on
    bool ranges_over;
};
const _Atomic bool *blob_get_stop(const struct blob_get *g);
// After a piece came. False: the want's caller ends it.
bool blob_get_goes_on(const struct blob_get *g);
// This region's own disk did not take it; returns rc.
int blob_get_own_failed(struct blob_get *g, int rc);
// All is there: verifies and publishes. ERR_DIGEST: the upload is empty again.
int blob_get_commit(struct blob_get *g);

// One try of one source. Sets out->own_fault when the error is this region's own; writes `error`
// for every other error than ERR_NOTFOUND.
typedef int (*source_try_fn)(void *arg, struct source *s, struct content_outcome *out,
                             char error[CONTENT_TEXT_SIZE]);

// Tries the want's sources in order, until one gives it or *stop. The result and *out are as
// content_blob says.
int sources_try(const struct content_want *w, const _Atomic bool *stop, source_try_fn try,
                void *arg, struct content_outcome *out);

#endif
