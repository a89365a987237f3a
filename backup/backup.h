// SPDX-License-Identifier: Apache-2.0
// Backups of a region: its metadata at one moment, the blobs that this names, and what its node
// keeps beside them; made while the daemon runs, verified, and restored on a node that is stopped.
//
//   struct backup_report r;
//   rc = backup_take(&(struct backup_want){.data_dir = d, .dir = "/backup", .region = "eastus"},
//                    &arena, &diag, &r);
//   rc = backup_verify("/backup", true, &arena, &diag, &r);
//   rc = backup_restore(&(struct restore_want){.data_dir = d, .dir = "/backup",
//                       .region = "eastus"}, &arena, &diag, &r);
//
// Who calls it is a program that runs as the daemon's user (`meridian backup`): nothing here runs in
// the daemon. All calls block on the disk. Strings of a report hang off the arena.
//
// Invariants
//   1. A backup is what backup.json says, and nothing else. It is replaced in one step, after all
//      that it names is on the disk, and nothing that it names is removed or changed before that. So
//      a death or a full disk at any point leaves the backup before it.
//   2. The metadata is of one moment (store/sqlite/sqlite_copy.h). From before that moment until its
//      last blob is in the backup, no published blob is removed in the region (blob_files_hold); and
//      a blob is published before the metadata names it. So each blob that the metadata names is
//      there, unless the region had lost it already: such ones are listed.
//   3. Nothing goes into the data folder of a region under its own name before it is whole; meta.db
//      goes last, and until then `meta/restoring` (SQLITE_RESTORE_MARK) keeps a daemon from starting
//      there.
#ifndef MERIDIAN_BACKUP_BACKUP_H
#define MERIDIAN_BACKUP_BACKUP_H

#include "backup/form.h"
#include "base/arena.h"
#include "base/diag.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct backup_want {
    // the region's, and the backup's: made if it is absent (its parent must be there)
    const char *data_dir, *dir;
    const char *region;
    // keys/ and certs/ too
    bool with_keys;
    // all blobs are read and compared with their digests, those of earlier backups too
    bool verify;
    // blobs are copied also where a hard link could be made
    bool copy;
};

struct backup_report {
    struct backup_form form;
    // blobs: copied or linked now, and of these linked; there from before
    uint64_t n_new, new_bytes, n_linked, n_kept;
    // of a verification: read through, and compared
    uint64_t n_read;
    // of a restore: what was there already, and stayed
    uint64_t n_left;
    bool keys_left;
};

// A folder that holds a backup of this region gets the new one in its place, and only what is new is
// copied. Errors (`diag` says what, and on what): ERR_NOTFOUND: there is no database; ERR_CORRUPT: it
// is damaged; ERR_CONFLICT: `dir` holds something else; ERR_BUSY: another backup into it runs;
// ERR_NOSPACE.
int backup_take(const struct backup_want *w, struct arena *a, struct diag *diag,
                struct backup_report *out);

// Is it whole? `digests`: all files and blobs are read, else blobs are held against their sizes. All
// faults (the first 20 blobs of each kind) go to `diag`; *out is set as far as backup.json can be
// read. ERR_NOTFOUND: there is no backup; ERR_CORRUPT: it is not whole; ERR_VERSION: a later program
// made it.
int backup_verify(const char *dir, bool digests, struct arena *a, struct diag *diag,
                  struct backup_report *out);

struct restore_want {
    const char *data_dir, *dir;
    const char *region;
    // of the files that the edge reads; (gid_t)-1: as they come
    gid_t edge_gid;
    bool verify, copy;
};
// The data folder has no metadata and no blobs, or those of a restore that was broken off, which
// goes on; nobody uses it. Keys that are there stay. Errors: those of backup_verify; ERR_CONFLICT:
// it is another region's; ERR_EXISTS: the folder is not empty.
int backup_restore(const struct restore_want *w, struct arena *a, struct diag *diag,
                   struct backup_report *out);

#endif
