// SPDX-License-Identifier: Apache-2.0
// What the files of this backend share: the open store, its directories as descriptors, and the
// list of open uploads.
#ifndef MERIDIAN_STORE_FILES_FILES_PRIV_H
#define MERIDIAN_STORE_FILES_FILES_PRIV_H

#include "store/blob_backend.h"

#include <pthread.h>
#include <sys/types.h>

struct file_upload;
struct file_spread;

struct file_store {
    struct blob_store base;
    // directories; all access goes through them, without following symlinks
    int root_fd, blobs_fd, uploads_fd, part_fd;
    // of blobs/: the edge's, which reads by it
    gid_t group;
    // guards `open`
    pthread_mutex_t lock;
    // every upload that is open now
    struct file_upload *open;
    // makes names of probes unique
    _Atomic unsigned n_probes;
    // bytes that were read back from growing files
    _Atomic uint64_t redigested_bytes;
};

struct file_reader {
    struct blob_reader base;
    int fd;
    // of an upload that is followed: fs->uploads_fd, borrowed, and its name there
    int dir_fd;
    char name[BLOB_NAME_SIZE];
};

struct file_upload {
    struct blob_upload base;
    struct file_store *fs;
    // in fs->open
    struct file_upload *next;
    // fs->uploads_fd or fs->part_fd; borrowed
    int dir_fd;
    char name[BLOB_NAME_SIZE];
    int fd;
    // bytes known to be on disk, by a sync or by the word of the caller
    uint64_t synced;
    // NULL: see invariant 1 of upload.c
    struct hasher *hasher;
    // its bytes come in ranges (spread.c); NULL: in order
    struct file_spread *spread;
    // error that ended this handle; or ERR_CLOSED after the commit
    int dead;
};

static inline struct file_store *file_store_of(struct blob_store *bs)
{
    return (struct file_store *)bs;
}

// --- directories (files.c) ---
int file_dir_at(int parent_fd, const char *name, unsigned mode, bool make, bool *out_made,
                int *out_fd);
// Gives it the group if it has another one, and the caller may.
void file_group_ensure(int fd, gid_t group);
// The directory that holds d's file: blobs/sha256/ab. With `make` it is created, and its parent is
// synced.
int file_shard_open(struct file_store *fs, const struct digest *d, bool make, int *out_fd);
// The name of a blob's file in its shard: the hex digits, and the generation behind a dot.
#define FILE_NAME_SIZE (DIGEST_HEX_SIZE + 1 + BLOB_GENERATION_SIZE)
void file_name(const struct blob_name *name, char out[FILE_NAME_SIZE]);

// --- growing files (upload.c) ---
// Keeps a growing file from being opened, here (fs->lock is held) and in other processes, until
// *out_fd is closed. *out_fd is -1 when there is no such file. ERR_BUSY: it is open.
int file_upload_hold(struct file_store *fs, int dir_fd, const char *name, int *out_fd);
int file_upload_open(struct blob_store *bs, enum blob_area area, const char *name,
                     struct blob_upload **out);
int file_upload_write(struct blob_upload *bu, const void *p, size_t n);
int file_upload_sync(struct blob_upload *bu);
int file_upload_trim(struct blob_upload *bu, uint64_t size);
int file_upload_commit(struct blob_upload *bu, const struct blob_name *as);
void file_upload_close(struct blob_upload *bu, bool drop);
int file_upload_outcome(struct blob_store *bs, const char *id, struct blob_name *out);
bool file_upload_elsewhere(struct blob_store *bs, const char *id);
int file_upload_discard(struct blob_store *bs, const char *id);

// --- read while they grow (follow.c) ---
int file_follow_open(struct blob_store *bs, const char *id, struct blob_reader **out);
int file_follow_look(struct blob_reader *br, enum blob_growth *out);

// [0, size) is digested, by the algorithm that is asked for.
int file_hasher_ensure(struct file_upload *u);
// fdatasync; when it fails the handle is dead.
int file_bytes_sync(struct file_upload *u);

// --- growing files in ranges (spread.c) ---
// The name of a file beside a partial fetch.
#define FILE_BESIDE_SIZE (BLOB_NAME_SIZE + 8)
int file_upload_spread(struct blob_upload *bu, uint64_t whole);
int file_upload_put(struct blob_upload *bu, uint64_t at, const void *p, size_t n);
void file_upload_chunk_done(struct blob_upload *bu, size_t chunk);
bool file_upload_chunk_there(struct blob_upload *bu, size_t chunk);
int file_upload_digest(struct blob_upload *bu, uint64_t max);
int file_upload_read(struct blob_upload *bu, uint64_t at, void *p, size_t n);
// Of one that was opened, whose size is that of its file: by its map, if it has one.
int file_spread_load(struct file_upload *u);
int file_spread_sync(struct file_upload *u);
// Cuts it to what was digested in order, without a map. Nothing to do where there is none.
int file_spread_end(struct file_upload *u);
void file_spread_free(struct file_spread *sp); // NULL is ignored
// How many bytes are there of one that nobody needs to have open.
uint64_t file_spread_size(int dir_fd, const char *name, uint64_t file_size);
// Removes the files beside it.
void file_spread_forget(int dir_fd, const char *name);
// Is it the name of a file beside a partial fetch? Of which.
bool file_spread_beside(const char *name, char out_of[BLOB_NAME_SIZE]);

// --- what is left behind (sweep.c) ---
uint64_t file_partial_size(struct blob_store *bs, const char *name);
int file_partials_bound(struct blob_store *bs, uint64_t max_bytes, size_t *out_n,
                        uint64_t *out_bytes, uint64_t *out_held);
int file_partials_drop(struct blob_store *bs, size_t *out_n, uint64_t *out_bytes);
int file_expire(struct blob_store *bs, enum blob_area area, int64_t older_than_wall_ms,
                bool (*known)(void *ctx, const char *id), void *ctx, size_t *n_removed);

// --- published files, one after the other (walk.c) ---
int file_walk(struct blob_store *bs, struct blob_walk *at, struct blob_name *out, size_t max,
              size_t *out_n);

// --- held by somebody (hold.c) ---
// Makes the file that holders lock, where there is none yet.
void file_hold_ready(struct file_store *fs);
// Before a published file is removed: nobody holds, nor can anybody until *out_fd is closed.
// ERR_BUSY: somebody does.
int file_hold_none(struct file_store *fs, int *out_fd);

// --- damage (damage.c) ---
int file_set_aside(struct blob_store *bs, const struct blob_name *name);
int file_damaged_note(struct blob_store *bs, const struct digest *d);
int file_damaged_list(struct blob_store *bs, struct digest *out, size_t max, size_t *out_n);
int file_damaged_release(struct blob_store *bs, const struct digest *d);
int file_damaged_forget(struct blob_store *bs, const struct digest *d);

#endif
