// SPDX-License-Identifier: Apache-2.0
// Uploads in a region's metadata: which are under way, how far each has come, who may have how
// many, and what they became. Their bytes are in store/blob.h. Part of store/meta.h, whose opening
// lines hold here too.
//
//   rc = meta_upload_create(m, &row, &bounds, &full);             // ERR_FULL: no room for it
//   rc = meta_upload_progress(m, id, size, clock_mono_ms(), &bounds); // synced; the client is told
//   rc = blob_publish(blobs, m, &lease, &result);                  // it ends as this blob
//
// Invariant: the row is the truth. `size` bytes were acknowledged, `received` bytes are on the disk
// and recorded; size <= received. The blob store may hold more; that does not count.
#ifndef MERIDIAN_STORE_META_UPLOADS_H
#define MERIDIAN_STORE_META_UPLOADS_H

#include "base/arena.h"
#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct meta;

struct upload_row {
    const char *id, *registry, *repository, *principal;
    // bytes acknowledged to the client. A piece that names no place begins here
    uint64_t size;
    // wall
    int64_t started_ms;
    // mono, of this process
    int64_t touched_ms;
    // Bytes on the disk and recorded. Those past `size` came in a piece whose connection broke; they
    // count once the client was told of them.
    uint64_t received;
};

// Bounds of one principal in one registry, and of one registry; in this store, so also after a
// restart. 0: no bound. An idle upload counts until it is deleted.
//
// At a bound the principal's own uploads make room, the one that has rested longest first, if
// `yields` allows it. To make room in bytes, only uploads go that have rested for UPLOAD_RESTS_MS,
// so that uploads which grow side by side do not drop each other.
#define UPLOAD_RESTS_MS 60000
struct upload_bounds {
    uint64_t of_principal, of_registry, bytes_of_principal;
    // May this upload be dropped? Called inside the transaction, on a thread of the store's; it must
    // not block. It may be asked again for the same upload, when the transaction has to run again,
    // and an upload that it gave may stay. NULL: no upload may be dropped.
    bool (*yields)(void *ctx, const char *id);
    // This upload was dropped: its row is gone for good. Called after the commit, on the caller's
    // thread, before the call that needed the room returns. May be NULL.
    void (*gone)(void *ctx, const char *id);
    void *ctx;
};
enum upload_full { UPLOAD_FULL_PRINCIPAL, UPLOAD_FULL_REGISTRY };

// ERR_FULL: a bound is reached and nothing makes room; *out_full says which bound. Judged in the
// transaction that would add the row. ERR_EXISTS: the id is taken. `bounds` and out_full may be
// NULL.
int meta_upload_create(struct meta *m, const struct upload_row *row,
                       const struct upload_bounds *bounds, enum upload_full *out_full);
int meta_upload_get(struct meta *m, const char *id, struct arena *a, struct upload_row *out);
// `size` bytes are on the disk, and the client is told now. Never ERR_FULL: these bytes stay,
// whatever else has to go.
int meta_upload_progress(struct meta *m, const char *id, uint64_t size, int64_t now_mono_ms,
                         const struct upload_bounds *bounds);
// `received` bytes are on the disk, and the client knows of `told`. ERR_CONFLICT: the client was
// told another size last, or there is no such upload. ERR_FULL: the principal has too many bytes.
// Then nothing has changed.
int meta_upload_receive(struct meta *m, const char *id, uint64_t told, uint64_t received,
                        int64_t now_mono_ms, const struct upload_bounds *bounds);
// The client is told now of all that was received: *out_size.
int meta_upload_tell(struct meta *m, const char *id, uint64_t *out_size);
int meta_upload_delete(struct meta *m, const char *id);
// How many are open, of all registries.
int meta_uploads_count(struct meta *m, uint64_t *out);
// Uploads to which nothing was added for more than `idle_ms` while this region ran: idle time is
// counted by the monotonic clock, from call to call and over restarts. The longest idle first,
// without the first `skip`, at most `max`.
int meta_uploads_idle(struct meta *m, int64_t now_mono_ms, int64_t idle_ms, size_t skip, size_t max,
                      struct arena *a, const char ***out, size_t *out_n);
// By the last such call. False also when it is unknown.
bool meta_upload_is_idle(struct meta *m, const char *id, int64_t idle_ms);
// Drops uploads of principals that have more bytes than they may: acknowledged ones that have
// rested for UPLOAD_RESTS_MS, the longest first, down to the bound or to the one that was touched
// last.
int meta_uploads_bound(struct meta *m, const struct upload_bounds *bounds, int64_t now_mono_ms);

// --- uploads that ended ---
// An upload that becomes a blob, and who ends it; see struct lease_add.
struct upload_end {
    const char *id, *principal;
};
// Did this upload end in this repository, by this principal, as this digest? 0 or ERR_NOTFOUND. The
// store remembers it until meta_uploads_forget, and of a principal in a registry the last 4,096.
int meta_upload_ended(struct meta *m, const char *registry, const char *repository,
                      const struct upload_end *end, const struct digest *d);
// Forgets uploads that ended longer ago than that, in time that this region ran.
int meta_uploads_forget(struct meta *m, int64_t idle_ms);

#endif
