// SPDX-License-Identifier: Apache-2.0
// What the files that fetch share.
#ifndef MERIDIAN_CONTENT_CONTENT_PRIV_H
#define MERIDIAN_CONTENT_CONTENT_PRIV_H

#include "content/content.h"

struct content {
    struct blob_store *blobs;
    int (*find)(void *ctx, const struct digest *d, struct blob_name *out, uint64_t *out_size);
    void *find_ctx;
    char *region;
    struct flights *flights;
    _Atomic bool stopping;
};

// One try of one source. Sets out->own_fault when the error is this region's own; writes `error`
// for every other error than ERR_NOTFOUND.
typedef int (*source_try_fn)(void *arg, struct source *s, struct content_outcome *out,
                             char error[CONTENT_TEXT_SIZE]);

// Tries the want's sources in order, until one gives it or *stop. The result and *out are as
// content_blob says.
int sources_try(const struct content_want *w, const _Atomic bool *stop, source_try_fn try,
                void *arg, struct content_outcome *out);

#endif
