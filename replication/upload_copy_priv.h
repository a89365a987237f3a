// SPDX-License-Identifier: Apache-2.0
// What upload_copy.c and upload_copy_stream.c share.
#ifndef MERIDIAN_REPLICATION_UPLOAD_COPY_PRIV_H
#define MERIDIAN_REPLICATION_UPLOAD_COPY_PRIV_H

#include "content/flight.h"
#include "replication/replication_priv.h"
#include "replication/upload_copy.h"

#include <pthread.h>

struct copy {
    struct upload_copies *all;
    // of all->first; under the lock
    struct copy *next;
    struct pool_job job;
    char *registry, *repository, *origin, *upload;
    // it must end
    _Atomic bool stop;

    // The copy's own thread's.

    struct blob_upload *file;
    struct space_charge charge;
    uint64_t bytes, synced;

    // Under all->lock.

    // of the bound, until its size is noted
    uint64_t taken;
    // bytes that are kept, or are about to be
    uint64_t claimed;
    // its size is, and the copy ends that note
    bool noted;
    bool known;
    struct digest digest;
    uint64_t size;
    // of the digest; it is led by this copy
    struct flight *flight;
};

struct upload_copies {
    struct replicator *r;
    struct pool *pool;
    pthread_mutex_t lock;
    pthread_cond_t changed;

    // Under the lock.

    bool drains;
    size_t n;
    struct copy *first;
};

// On the copy's thread: asks the origin for the upload, and keeps what comes until it ends. 0: it
// ended as it should. ERR_TIMEOUT: it is too slow (replication/copy_pace.h). ERR_CANCELED: c->stop.
int copy_stream(struct copy *c);

#endif
