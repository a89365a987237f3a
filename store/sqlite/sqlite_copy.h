// SPDX-License-Identifier: Apache-2.0
// A copy of a region's metadata at one moment, made beside the process that has it open; and what
// such a copy says, for a backup.
//
//   rc = sqlite_copy("/var/lib/meridian/meta/meta.db", "/backup/new-meta.db", &diag);
//   rc = sqlite_facts_read("/backup/new-meta.db", &arena, &diag, &facts);
//   rc = sqlite_blobs_each("/backup/new-meta.db", on_blob, ctx);
//
// Why the copy is sound: SQLite's online backup takes all pages in one step, which is one read
// transaction. In WAL mode a reader sees the last commit before it began and nothing later, writers
// go on beside it, and SQLite's log keeps what the reader still needs. So the copy is the database
// as it was between two commits, and a commit of ours is a change with its feed entry.
//
// No call here changes the source. All block on the disk.
#ifndef MERIDIAN_STORE_SQLITE_COPY_H
#define MERIDIAN_STORE_SQLITE_COPY_H

#include "base/arena.h"
#include "base/diag.h"
#include "store/blob.h"

#include <stdint.h>

// The newest schema that this program knows.
int sqlite_schema_newest(void);

// Makes `to`, which must not be there, 0600, as one file that needs no side files, and syncs it;
// its name is the caller's to sync. A failure leaves nothing. The copy was read through for damage.
// ERR_NOTFOUND: there is no database; ERR_CORRUPT: it is damaged, or none of Meridian's; ERR_BUSY:
// it stayed locked. `diag` (may be NULL) says why.
int sqlite_copy(const char *from, const char *to, struct diag *diag);

struct sqlite_place { // how far a feed is held
    const char *origin;
    uint64_t epoch, seq;
};
struct sqlite_facts {
    int64_t schema;
    const char *region;
    // in which own entries are written
    uint64_t epoch;
    // own entries, to the last; {epoch 0}: none
    struct sqlite_place head;
    // how far the others' were read, by name
    struct sqlite_place *read;
    size_t n_read;
    uint64_t n_repositories, n_manifests, n_tags, n_entries;
    // that have a file
    uint64_t n_blobs, blob_bytes;
};
// Of a copy: it is opened for reading only. ERR_VERSION: it is of a later schema than this program
// knows; facts->schema and region are set all the same, and nothing else is.
int sqlite_facts_read(const char *path, struct arena *a, struct diag *diag,
                      struct sqlite_facts *out);
// Calls `fn` for each blob of a copy that has a file, by digest, until it returns not 0, which is
// then the result.
int sqlite_blobs_each(const char *path,
                      int (*fn)(void *ctx, const struct blob_name *name, uint64_t size), void *ctx);

#endif
