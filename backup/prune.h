// SPDX-License-Identifier: Apache-2.0
// Removes from the folder of a backup what the backup does not name any more. One thread.
#ifndef MERIDIAN_BACKUP_PRUNE_H
#define MERIDIAN_BACKUP_PRUNE_H

#include "backup/folder.h"

// After folder_form_put. What cannot be removed stays, and is the result.
int folder_prune(struct folder *f, const struct backup_form *form);

#endif
