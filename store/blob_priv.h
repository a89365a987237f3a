// SPDX-License-Identifier: Apache-2.0
// What blob.c and blob_upload.c share: the open store, its directories as descriptors, and the list
// of open uploads.
#ifndef MERIDIAN_STORE_BLOB_PRIV_H
#define MERIDIAN_STORE_BLOB_PRIV_H

#include "store/blob.h"

#include <pthread.h>

struct blob_store {
    // text, for the edge
    char *blobs_dir;
    // directories; all access goes through them, without following symlinks
    int root_fd, blobs_fd, uploads_fd, part_fd;
    // guards `open`, and which file a blob's name leads to
    pthread_mutex_t lock;
    // every upload that is open now
    struct blob_upload *open;
    // names of short-lived files
    _Atomic unsigned n_probes, n_temps;
    // read back from growing files, for tests
    _Atomic uint64_t redigested_bytes;
};

// The directory that holds d's file: blobs/sha256/ab. With `make` it is created, and its parent is
// synced.
int blob_shard_open(struct blob_store *bs, const struct digest *d, bool make, int *out_fd);
// Is this name open for writing in this directory now?
bool blob_upload_is_open(struct blob_store *bs, int dir_fd, const char *name);
// Keeps it from being opened, here (bs->lock is held) and in other processes, until *out_fd is
// closed: -1 when there is no such file. ERR_BUSY: it is open.
int blob_upload_hold(struct blob_store *bs, int dir_fd, const char *name, int *out_fd);
int blob_dir_at(int parent_fd, const char *name, unsigned mode, bool make, bool *out_made,
                int *out_fd);

#endif
