// SPDX-License-Identifier: Apache-2.0
// The folder of a backup (form.h says what is in it): opening and locking it, putting files and blobs
// there whole or not at all, and removing what the backup does not name any more.
//
//   rc = folder_open(dir, true, &diag, &f);
//   rc = folder_file_put(&f, src_fd, &file);         // files/<sha256>
//   rc = folder_blob_put(&f, &put);                  // blobs/sha256/ab/<hex>
//   rc = folder_form_put(&f, text);                  // from here on it is the new backup
//   folder_close(&f);
//
// What is written has a name that begins with "new-" until it is whole; what a death left of them
// goes when the folder is opened next. No path is made of stored text. One thread.
#ifndef MERIDIAN_BACKUP_FOLDER_H
#define MERIDIAN_BACKUP_FOLDER_H

#include "backup/form.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "base/digest.h"

#include <stdbool.h>
#include <stdint.h>

struct folder {
    const char *dir;
    int dir_fd, files_fd, blobs_fd;
    // directories of blobs in which a name was made, and that are still to be synced
    bool touched[2][256];
    unsigned n_made;
};

// `write`: makes it, if it is absent, and locks it. Else nothing is made. ERR_CONFLICT: it holds
// something else; ERR_BUSY: it is locked; ERR_NOTFOUND. {-1} descriptors on failure.
int folder_open(const char *dir, bool write, struct diag *diag, struct folder *out);
void folder_close(struct folder *f);

// The text of backup.json. ERR_NOTFOUND: there is none.
int folder_form_get(const struct folder *f, struct buf *out);
int folder_form_put(struct folder *f, struct bytes text);

// Copies what is left of `fd` into files/, and says how many bytes of which hash that was.
int folder_file_put(struct folder *f, int fd, uint64_t *out_bytes,
                    uint8_t out_sha256[SHA256_BYTES]);
// The same for a file of the folder itself, which is moved.
int folder_file_adopt(struct folder *f, const char *name, uint64_t *out_bytes,
                      uint8_t out_sha256[SHA256_BYTES]);
// Opens files/<sha256>. ERR_NOTFOUND.
int folder_file_open(const struct folder *f, const uint8_t sha256[SHA256_BYTES], int *out_fd);
// Its path, for SQLite. The caller frees it.
char *folder_file_path(const struct folder *f, const uint8_t sha256[SHA256_BYTES]);

struct blob_put {
    // where it is: a directory, and its name there
    int from_fd;
    const char *from_name;
    const struct digest *digest;
    uint64_t size;
    // not linked, though it could be
    bool copy;
};
// Links it, or copies it where no link can be made. ERR_NOTFOUND: it is not there; ERR_DIGEST: it has
// another size.
int folder_blob_put(struct folder *f, const struct blob_put *put, bool *out_linked);
// Opens it for reading. ERR_NOTFOUND; ERR_DIGEST: it has another size.
int folder_blob_open(const struct folder *f, const struct digest *d, uint64_t size, int *out_fd);
int folder_blob_drop(struct folder *f, const struct digest *d);
// All that was put has its name on the disk.
int folder_sync(struct folder *f);

// Calls `fn` for each name in a directory but "." and "..", until it returns not 0, which is then
// the result.
int names_each(int dir_fd, int (*fn)(void *ctx, int dir_fd, const char *name), void *ctx);

#endif
