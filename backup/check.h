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
bool backup_misses(const struct backup_form *form, const struct digest *d);

#endif
