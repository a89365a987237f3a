// SPDX-License-Identifier: Apache-2.0
// A region's blobs: content-addressed files. Written beside, digested while they stream, fsynced,
// renamed (design section 8). Contract for one machine; the S3 backend comes behind the same
// header.
//
// Layout under the store's directory:
//   blobs/sha256/ab/abcd…     final, 0640, never changed, replaced as a whole only; directories
//                             02750
//   uploads/<id>              growing; directory 02700
//   uploads/=<id>             a link whose text is the digest under which it was committed, until
//                             it is discarded
//   partial/sha256-abcd…      fetches from peers; directory 02700
//   damaged/sha256-abcd…      what was found not to be what its name says, until a whole one is
//                             there; directory 02700
// A new file has the group of its directory and keeps it when it is renamed: whoever gives blobs/
// to the edge's group does so before the store is opened; opening hands it on to the other two.
//
//   struct blob_upload *u;
//   blob_upload_open(bs, id, &u);               // new or resumed: what is there is digested anew
//                                               // with the first write
//   blob_upload_write(u, p, n);                 // at the end, in order
//   blob_upload_commit(u, &expected, &size);    // verify, fsync, rename; ERR_DIGEST leaves the
//                                               // upload as it was
//   blob_upload_close(u);                       // keeps the bytes for a later resume
//
// Threads: the store is shared; one upload is used by one thread at a time (ERR_BUSY when it is
// open already). Two processes may have the store open, as they do while a restart lets uploads end
// in the old one: an open upload is locked for all of them, and a process that is killed lets go.
// Everything blocks on the disk: call on the pool. Invariants:
//   1. A file under blobs/ has the content its name says; it was complete and on disk before it got
//      the name. A disk may damage it later: so each publication replaces the file that is there,
//      also one of the same size.
//   2. Nothing here decides who may see a blob: that is the metadata's links.
#ifndef MERIDIAN_STORE_BLOB_H
#define MERIDIAN_STORE_BLOB_H

#include "base/digest.h"

#include <stdbool.h>
#include <stdint.h>

struct blob_store;
struct blob_upload;

int blob_store_open(const char *dir, struct blob_store **out); // makes the layout
void blob_store_close(struct blob_store *bs);
const char *blob_store_dir(const struct blob_store *bs); // …/blobs, for the edge's alias

int blob_stat(struct blob_store *bs, const struct digest *d, uint64_t *out_size); // ERR_NOTFOUND
int blob_open(struct blob_store *bs, const struct digest *d, int *out_fd, uint64_t *out_size);
// "sha256/ab/abcd…", built from the algorithm enum and hex only: what the edge's Accel path ends
// with.
void blob_relative_path(const struct digest *d, char out[192]);
// small ones, whole
int blob_put(struct blob_store *bs, const void *p, size_t n, struct digest *out);
int blob_remove(struct blob_store *bs, const struct digest *d);

// `id`: 1 to 128 of [a-z0-9.-], not beginning with '.'. Kept under uploads/.
int blob_upload_open(struct blob_store *bs, const char *id, struct blob_upload **out);
// The same under partial/, keyed by the digest that is being fetched, so that a fetch resumes where
// it stopped.
int blob_partial_open(struct blob_store *bs, const struct digest *d, struct blob_upload **out);
// bytes that are here of it; 0: none
uint64_t blob_partial_size(struct blob_store *bs, const struct digest *d);
// Removes all partial fetches that are not open: they are fetched again. How many, and how many
// bytes that freed.
int blob_partials_drop(struct blob_store *bs, size_t *out_n, uint64_t *out_bytes);
uint64_t blob_upload_size(const struct blob_upload *u);
// ERR_NOSPACE … : nothing of these n bytes counts
int blob_upload_write(struct blob_upload *u, const void *p, size_t n);
int blob_upload_sync(struct blob_upload *u);     // fdatasync
int blob_upload_truncate(struct blob_upload *u); // back to nothing
// Back to the first `size` bytes: a resumed upload starts at the size that was acknowledged,
// whatever more reached the file, and a refused piece gives its space back. Reads nothing: the
// digest is made anew with the next write or at the commit. ERR_RANGE when the file is shorter than
// that.
int blob_upload_trim(struct blob_upload *u, uint64_t size);
int blob_upload_commit(struct blob_upload *u, const struct digest *expected, uint64_t *out_size);
// What a commit made of this upload, as long as nobody discarded it: its owner may have died or
// failed before it noted the blob. Says nothing about whether that blob is still there.
// ERR_NOTFOUND: never came to a commit.
int blob_upload_outcome(struct blob_store *bs, const char *id, struct digest *out);
void blob_upload_close(struct blob_upload *u);
void blob_upload_drop(struct blob_upload *u);                      // closes it and removes its file
bool blob_upload_elsewhere(struct blob_store *bs, const char *id); // another process has it open
// removes; fine if absent; ERR_BUSY while open
int blob_upload_discard(struct blob_store *bs, const char *id);
// Removes abandoned files: not open, last written before that moment by the wall clock, and of an
// upload that `known` (may be NULL) does not know. What it does not know is what a process left
// that died: that goes after ten minutes. Partial fetches have no owner but their age; what goes
// too early is fetched again.
int blob_uploads_expire(struct blob_store *bs, int64_t older_than_wall_ms,
                        bool (*known)(void *ctx, const char *id), void *ctx, size_t *out_removed);

// --- damage ---
// Reads the blob, at most so many bytes a second (0: as fast as it goes), until *stop (may be
// NULL). 0: its bytes are what its name says. ERR_DIGEST: they are not, and it was set aside: it is
// absent from here on. ERR_BUSY: a whole one took its place meanwhile. ERR_NOTFOUND, ERR_CANCELED;
// ERR_IO when it cannot be read: then nothing was changed.
int blob_verify(struct blob_store *bs, const struct digest *d, uint64_t bytes_per_s,
                const _Atomic bool *stop);
// What is to be mended: set aside, or noted because its file is lost. Publishing the blob takes it
// off the list.
int blob_damaged_note(struct blob_store *bs, const struct digest *d);
int blob_damaged_list(struct blob_store *bs, struct digest *out, size_t max, size_t *out_n);
// its bytes go, it stays on the list
int blob_damaged_release(struct blob_store *bs, const struct digest *d);
int blob_damaged_forget(struct blob_store *bs, const struct digest *d); // nobody wants it any more

// writes, syncs and removes a probe file; the free bytes are told also when that fails
bool blob_store_writable(struct blob_store *bs, uint64_t *out_free_bytes);

#endif
