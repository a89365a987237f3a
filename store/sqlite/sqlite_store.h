// SPDX-License-Identifier: Apache-2.0
// A region's metadata in one SQLite file: the backend (store/backend.h) of a region whose daemon
// runs on one machine. WAL, full sync; one thread writes and groups commits, readers have
// connections of their own.
//
//   struct backend *b;
//   rc = sqlite_store_open("/var/lib/meridian/meta/meta.db", "eastus", &diag, &b);
//   … backend_close(b);
//
// One process at a time: a lock file beside the database refuses a second opener with ERR_BUSY,
// until the first one has closed the store or handed it over.
#ifndef MERIDIAN_STORE_SQLITE_STORE_H
#define MERIDIAN_STORE_SQLITE_STORE_H

#include "base/diag.h"
#include "store/backend.h"
#include "store/meta.h"

// A file beside the database, while a backup is being restored there. The store does not open beside
// it (ERR_BUSY): what is there is not whole, and an empty database would be made.
#define SQLITE_RESTORE_MARK "restoring"

// Opens or makes the file, and upgrades an older schema. ERR_VERSION: the schema is newer than this
// program knows. ERR_CONFLICT: it belongs to another region. ERR_CORRUPT: it is damaged, or no
// database of Meridian's. `diag` (may be NULL) says why.
int sqlite_store_open(const char *path, const char *region, struct diag *diag,
                      struct backend **out);

// Opens the metadata of o->region over such a file.
int sqlite_meta_open(const char *path, const struct meta_options *o, struct diag *diag,
                     struct meta **out);

#endif
