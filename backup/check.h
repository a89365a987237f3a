// SPDX-License-Identifier: Apache-2.0
// Holding an open folder of a backup against its backup.json; for verify.c and restore.c. One thread.
#ifndef MERIDIAN_BACKUP_CHECK_H
#define MERIDIAN_BACKUP_CHECK_H

#include "backup/backup.h"
#include "backup/folder.h"

// Reads backup.json. See backup_verify for errors.
int folder_form_read(const struct folder *f, struct arena *a, struct diag *diag,
                     struct backup_form *out);
// All that it names is there, as backup_verify says.
int folder_check(const struct folder *f, bool digests, struct arena *a, struct diag *diag,
                 struct backup_report *r);
// Is the blob there, of its size, and with `read` of its digest too? Then ++*n_read. ERR_NOTFOUND;
// ERR_DIGEST: what is there is not it.
int folder_blob_look(const struct folder *f, const struct digest *d, uint64_t size, bool read,
                     uint64_t *n_read);
bool backup_misses(const struct backup_form *form, const struct digest *d);

#endif
