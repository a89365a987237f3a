// SPDX-License-Identifier: Apache-2.0
// A region's blobs: content addressed by digest, and the uploads that become blobs (design section
// 8). This header is the contract for other rooms. It names no backend: a backend implements
// store/blob_backend.h and has an open function of its own (store/files/files.h keeps files).
//
//   struct blob_upload *u;
//   blob_upload_open(bs, id, &u);               // new, or an earlier one that goes on
//   blob_upload_write(u, p, n);                 // a part, appended
//   blob_upload_sync(u);                        // durable up to blob_upload_resume_at(u)
//   blob_upload_commit(u, &expected, &name, &size); // verifies and publishes; ERR_DIGEST leaves
//                                               // the upload as it was
//   blob_upload_close(u);                       // keeps the bytes for a later resume
//
//   struct blob_serve how;
//   blob_serve(bs, &(struct blob_serve_want){.name = &name, .size = size, .arena = a}, &how);
//                                               // how the edge or the client gets the bytes
//
// Threads: a store is shared by all threads. One thread at a time uses an upload or a reader. Two
// processes may have the same store open, as they do while a restart lets uploads end in the old
// process: an upload that is open anywhere is ERR_BUSY everywhere else, and a process that is
// killed releases its uploads. All calls block on the backend: call them on the pool.
//
// Invariants:
//   1. A blob has the content that its digest says. Its bytes were complete and durable before it
//      became visible.
//   2. The blob store does not decide who may see a blob: the metadata's links do.
//   3. No path, no descriptor and no address leaves a backend, except in a serve decision.
//   4. Each commit publishes a new generation, and a name is never used twice. So whoever removes
//      one removes the bytes that it judged, and never those that came meanwhile. The metadata says
//      which generation of a digest serves (store/meta_links.h).
#ifndef MERIDIAN_STORE_BLOB_H
#define MERIDIAN_STORE_BLOB_H

#include "base/arena.h"
#include "base/digest.h"

#include <stdbool.h>
#include <stdint.h>

struct blob_store;
struct blob_upload;
struct blob_reader;

// "" (bytes that were published before there were generations) or 16 lower-case hex digits
#define BLOB_GENERATION_SIZE 17
#define BLOB_GENERATION_BYTES 8

// Names one publication of a blob.
struct blob_name {
    struct digest digest;
    char generation[BLOB_GENERATION_SIZE];
};

bool blob_generation_ok(const char *generation);
bool blob_name_equal(const struct blob_name *a, const struct blob_name *b);

void blob_store_close(struct blob_store *bs);
// Writes, syncs and removes a probe. *out_free_bytes (may be NULL) is set even when the probe
// fails, provided that the backend can tell: UINT64_MAX where there is no such limit.
bool blob_store_writable(struct blob_store *bs, uint64_t *out_free_bytes);

// --- blobs ---
// ERR_NOTFOUND
int blob_stat(struct blob_store *bs, const struct blob_name *name, uint64_t *out_size);
// Stores a small blob from memory, by its sha256.
int blob_put(struct blob_store *bs, const void *p, size_t n, struct blob_name *out);
// This generation alone. ERR_NOTFOUND. ERR_BUSY: a backup holds what is there; try again later.
int blob_remove(struct blob_store *bs, const struct blob_name *name);
// The same for one that no row has ever named: no backup needs it, so never ERR_BUSY.
int blob_remove_unnamed(struct blob_store *bs, const struct blob_name *name);
// Greater after each removal of a blob, and each that was set aside, in this process: what blob_stat or
// blob_serve said holds for as long as the number that was read before it.
uint64_t blob_removals(const struct blob_store *bs);
// Removes it in a minute, or when the store closes: another generation serves from now on, but who
// was told of this one a moment ago is about to open it. What a process that dies leaves is swept
// by the collection.
#define BLOB_RETIRE_MS 60000
void blob_retire(struct blob_store *bs, const struct blob_name *name);
// Removes the retired ones whose time has come. blob_retire does the same.
void blob_retired_remove(struct blob_store *bs, int64_t now_mono_ms);

// Walks over all published blobs, in pieces. A blob that is published or removed meanwhile may be
// missed; none comes twice in one walk, unless others were removed meanwhile. {0}: from the start.
struct blob_walk {
    unsigned shard;
    size_t skip;
    bool ended;
};
int blob_walk(struct blob_store *bs, struct blob_walk *at, struct blob_name *out, size_t max,
              size_t *out_n);

// A reader pulls bytes of one blob. It goes on reading the same bytes when the blob is removed
// meanwhile, or fails with ERR_BUSY.
int blob_reader_open(struct blob_store *bs, const struct blob_name *name, struct blob_reader **out);
uint64_t blob_reader_size(const struct blob_reader *r);
// Up to `cap` bytes from `at` on. *out_n is less than `cap` only at the end, and 0 past it.
int blob_reader_read(struct blob_reader *r, uint64_t at, void *p, size_t cap, size_t *out_n);
void blob_reader_close(struct blob_reader *r);

// A reader of an upload while others write to it, so that its bytes can go on before it is a blob.
// What it reads is no blob: nothing is verified, and a part that is taken back is seen only where
// the upload is shorter than before. ERR_NOTFOUND: there is no such upload. ERR_UNSUPPORTED: the
// backend cannot read what is not published.
enum blob_growth {
    // more may come
    BLOB_GROWS,
    // a commit made a blob of it; its bytes are all there
    BLOB_IS_WHOLE,
    // it was dropped
    BLOB_IS_DROPPED,
};
int blob_follow_open(struct blob_store *bs, const char *id, struct blob_reader **out);
// What became of it, and how much can be read now: blob_reader_size. Once whole, it stays so.
int blob_follow_look(struct blob_reader *r, enum blob_growth *out);

// The serve decision: how the bytes of a blob get to a client. Made for each request, after the
// caller has authorised it.
#define BLOB_SERVE_PATH_SIZE 192
enum blob_serve_kind {
    // the edge sends the file at `path`
    BLOB_SERVE_PATH,
    // the client is redirected to `url`
    BLOB_SERVE_URL,
};
struct blob_serve_want {
    const struct blob_name *name;
    // as the metadata has it
    uint64_t size;
    // HEAD: a signed URL holds for one method
    bool head;
    // `url` hangs off it
    struct arena *arena;
};
struct blob_serve {
    enum blob_serve_kind kind;
    // Of BLOB_SERVE_PATH: below the directory that the edge was told of, "sha256/ab/abcd….0123…".
    // Built from the algorithm's enum and hex digits only, never from stored text.
    char path[BLOB_SERVE_PATH_SIZE];
    // of BLOB_SERVE_URL: absolute, https
    const char *url;
    // of BLOB_SERVE_URL: wall clock, after which `url` is refused
    int64_t url_expires_ms;
};
// ERR_NOTFOUND: there is no such blob. ERR_DIGEST: what is there has another size, so it is damaged.
int blob_serve(struct blob_store *bs, const struct blob_serve_want *want, struct blob_serve *out);

// --- growing blobs: uploads of clients, fetches from peers ---
// `id`: 1 to 128 of [a-z0-9.-], not beginning with '.'. ERR_BUSY: it is open already, here or in
// another process.
int blob_upload_open(struct blob_store *bs, const char *id, struct blob_upload **out);
// The same for a fetch from a peer, named by the digest that is being fetched, so that a later
// fetch resumes where this one stopped.
int blob_partial_open(struct blob_store *bs, const struct digest *d, struct blob_upload **out);
// bytes held of a partial fetch; 0: none
uint64_t blob_partial_size(struct blob_store *bs, const struct digest *d);
// Removes all partial fetches that are not open; their blobs are fetched again later. Tells how
// many went, and how many bytes that freed.
int blob_partials_drop(struct blob_store *bs, size_t *out_n, uint64_t *out_bytes);
// While partial fetches hold more than so many bytes, removes those that are not open, what was
// written longest ago first; never the one that was written last. Tells how many went, what that
// freed, and what the others hold.
int blob_partials_bound(struct blob_store *bs, uint64_t max_bytes, size_t *out_n,
                        uint64_t *out_bytes, uint64_t *out_held);

// Bytes written so far. After an open: all that the backend holds of the upload, of which the
// caller trims what its client was never told of.
uint64_t blob_upload_size(const struct blob_upload *u);
// Where the next part must begin if this handle is lost now: the bytes before it are durable, and
// so is the state of the digest over them (or the backend can make it anew). A caller acknowledges
// bytes up to here and no further. Moves with a sync and a trim; never beyond blob_upload_size.
uint64_t blob_upload_resume_at(const struct blob_upload *u);
// Appends a part of any size. On failure (ERR_NOSPACE …) none of these n bytes counts.
int blob_upload_write(struct blob_upload *u, const void *p, size_t n);
// Makes the bytes durable: afterwards blob_upload_resume_at is blob_upload_size. A backend whose
// parts have a least size keeps the tail beside them, because a client does not read in an answer
// that fewer bytes were taken than it sent.
int blob_upload_sync(struct blob_upload *u);
// The digest at the commit will be of this algorithm, as far as the caller knows: the bytes are
// digested with it while they come. Without a word it is sha256. A commit with another one digests
// all bytes again. Any time.
void blob_upload_expect(struct blob_upload *u, enum digest_alg alg);
// Back to the first `size` bytes: a resumed upload begins at the size that was acknowledged, and a
// refused part gives its space back. `size` was a resume_at of this upload, is 0, or is the present
// size; a backend may take others too. Reads nothing. ERR_RANGE: the upload is shorter.
int blob_upload_trim(struct blob_upload *u, uint64_t size);
int blob_upload_truncate(struct blob_upload *u); // back to nothing

// A partial fetch whose size is known may come in ranges, which several threads put at any place.
// What came counts by chunks. Its first blob_upload_size bytes are there in order and digested; so
// that size moves by the owner's calls only.
//
//   blob_upload_spread(u, size);           // the owner; ERR_UNSUPPORTED: bytes come in order only
//   blob_upload_put(u, at, p, n);          // any thread, before `size`
//   blob_upload_chunk_done(u, i);          // any thread: all bytes of the chunk were put
//   blob_upload_digest(u, max);            // the owner: over what follows in order, and is there
//   blob_upload_sync(u);                   // the owner: the chunks that are there outlive a crash
//   blob_upload_commit(u, …);              // once blob_upload_size is `size`
//
// A later open finds the chunks that a sync made durable: again after blob_upload_spread with the
// same size. A write in order, or a trim, gives up what is there behind blob_upload_size.
#define BLOB_CHUNK_BYTES (1u << 20)
#define BLOB_SPREAD_MAX (1ull << 40) // a larger one comes in order
int blob_upload_spread(struct blob_upload *u, uint64_t whole);
int blob_upload_put(struct blob_upload *u, uint64_t at, const void *p, size_t n);
void blob_upload_chunk_done(struct blob_upload *u, size_t chunk);
bool blob_upload_chunk_there(struct blob_upload *u, size_t chunk); // any thread
int blob_upload_digest(struct blob_upload *u, uint64_t max);       // `max` is rounded up to chunks
// Exactly n bytes that were put.
int blob_upload_read(struct blob_upload *u, uint64_t at, void *p, size_t n);

// Verifies and publishes, as a new generation. On success the handle takes no more bytes
// (ERR_CLOSED). Nobody serves the bytes until the metadata names them (store/publish.h). out and
// out_size may be NULL.
int blob_upload_commit(struct blob_upload *u, const struct digest *expected, struct blob_name *out,
                       uint64_t *out_size);
// The name under which a commit published this upload, until it is discarded: its owner may have
// died or failed before it noted the blob. Does not tell whether that blob is still there. A
// backend need not keep it for an upload of which nothing was synced before the commit, nor by a
// trim called durable: whoever goes on with that one sends all of it again.
// ERR_NOTFOUND: no commit.
int blob_upload_outcome(struct blob_store *bs, const char *id, struct blob_name *out);
void blob_upload_close(struct blob_upload *u);
void blob_upload_drop(struct blob_upload *u); // closes it and removes its bytes
bool blob_upload_elsewhere(struct blob_store *bs, const char *id); // another process has it open
// Removes it; fine if absent. ERR_BUSY while it is open.
int blob_upload_discard(struct blob_store *bs, const char *id);
// Removes abandoned uploads: not open, last written before that moment of the wall clock, and not
// known to `known` (may be NULL). An unknown one was left by a process that died; it goes after ten
// minutes. Partial fetches have no owner and go by age alone.
int blob_uploads_expire(struct blob_store *bs, int64_t older_than_wall_ms,
                        bool (*known)(void *ctx, const char *id), void *ctx, size_t *out_removed);
// Removes uploads that are not open, whatever their age, but those that `keep` names.
int blob_uploads_drop(struct blob_store *bs, bool (*keep)(void *ctx, const char *id), void *ctx,
                      size_t *out_removed);

// --- damage ---
// Reads the blob, at most so many bytes a second (0: no limit), until *stop (may be NULL). 0: the
// bytes match the digest. ERR_DIGEST: they do not; this generation was set aside and is absent from
// now on. ERR_NOTFOUND, ERR_CANCELED; ERR_IO when it cannot be read: then nothing was changed.
int blob_verify(struct blob_store *bs, const struct blob_name *name, uint64_t bytes_per_s,
                const _Atomic bool *stop);
// The list of digests to be mended: those set aside, and those noted because they are lost. Who
// has seen to it that a whole generation serves takes the digest off the list.
int blob_damaged_note(struct blob_store *bs, const struct digest *d);
int blob_damaged_list(struct blob_store *bs, struct digest *out, size_t max, size_t *out_n);
// Frees the bytes that were set aside; the blob stays on the list.
int blob_damaged_release(struct blob_store *bs, const struct digest *d);
int blob_damaged_forget(struct blob_store *bs, const struct digest *d); // takes it off the list

#endif
