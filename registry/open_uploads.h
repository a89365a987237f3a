// SPDX-License-Identifier: Apache-2.0
// Uploads that stay open between two requests of one client: the running digest stays with the
// handle, so that a blob in many pieces is digested once. An upload that is not here (after a
// restart, or when it made room for another) is opened from its file and digested anew. Bounded in
// number and in time. Any thread; the lock is held over close().
//
//   struct blob_upload *u = open_uploads_take(&h, id);    // ours now; NULL: open it from the file
//   open_uploads_park(&h, id, take_ptr(u));               // after a request that ended well; may
//                                                         // close the oldest
//   open_uploads_drop(&h, id);                            // cancel, expiry: closes it if it is
//   here
//
// Invariant: a handle leaves when it is taken or closed, both under the lock. So when there is none
// here and the store answers ERR_BUSY, another request has the upload.
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
// Keeps no handle for so long: a process before this one that still ends uploads must find them
// unlocked between two requests.
void open_uploads_open_after(struct open_uploads *h, unsigned ms);
void open_uploads_done(struct open_uploads *h); // closes all
struct blob_upload *open_uploads_take(struct open_uploads *h, const char *id);
void open_uploads_park(struct open_uploads *h, const char *id, struct blob_upload *u);
void open_uploads_drop(struct open_uploads *h, const char *id);
// closes all, and from here on every handle at once: another process goes on with the uploads
void open_uploads_close(struct open_uploads *h);
// closes what has rested for longer than HANDLES_IDLE_MS
void open_uploads_sweep(struct open_uploads *h);

#endif
