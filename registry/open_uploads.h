// SPDX-License-Identifier: Apache-2.0
// Uploads that rest between two requests of one client, still open: the running digest stays with
// the handle, so that a blob which comes in many pieces is digested once. What is not here (after a
// restart, or when it had to make room) is opened from its file and digested anew. Bounded in
// number and in time. Any thread; the lock is held over close().
//
//   struct blob_upload *u = open_uploads_take(&h, id);    // ours now; NULL: open it from the file
//   open_uploads_park(&h, id, take_ptr(u));               // after a request that ended well; makes
//                                                         // room if need be
//   open_uploads_drop(&h, id);                            // closed when it rests here: cancel,
//                                                         // expiry
//
// Invariant: a handle leaves by being taken or after it was closed, both under the lock; so that
// whoever finds none here and ERR_BUSY at the store knows that another request has the upload.
#ifndef MERIDIAN_REGISTRY_OPEN_UPLOADS_H
#define MERIDIAN_REGISTRY_OPEN_UPLOADS_H

#include "store/blob.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define HANDLES_MAX 256
#define HANDLES_IDLE_MS 60000

struct handle;
struct open_uploads {
    pthread_mutex_t lock;
    // in the order in which they were parked
    struct handle *oldest, *newest;
    size_t n, max;
    // what is parked is closed
    bool closed;
    // mono: until then; 0: for good
    int64_t opens_ms;
    // were taken
    uint64_t n_reused;
};

void open_uploads_init(struct open_uploads *h);
// Closed for so long: a forerunner that still ends uploads must find what rests between two
// requests unlocked.
void open_uploads_open_after(struct open_uploads *h, unsigned ms);
void open_uploads_done(struct open_uploads *h); // closes all
struct blob_upload *open_uploads_take(struct open_uploads *h, const char *id);
void open_uploads_park(struct open_uploads *h, const char *id, struct blob_upload *u);
void open_uploads_drop(struct open_uploads *h, const char *id);
// closes all, from here on at once: another process goes on with them
void open_uploads_close(struct open_uploads *h);
// closes what has rested for longer than HANDLES_IDLE_MS
void open_uploads_sweep(struct open_uploads *h);

#endif
