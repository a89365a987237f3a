// SPDX-License-Identifier: Apache-2.0
// What a node keeps beside its metadata and blobs, as far as a backup takes it: state/ (with the
// control feed; not what is made anew: reserves, zones, the edge's files; nor what says how far the
// metadata has read others), and keys/ and certs/ where they are asked for. One thread.
#ifndef MERIDIAN_BACKUP_NODE_FILES_H
#define MERIDIAN_BACKUP_NODE_FILES_H

#include "backup/folder.h"

// Adds a file to the list of a form that is being made.
int node_files_add(struct backup_form *form, struct arena *a, const struct backup_file *file);

// Copies them into the folder, and adds them to the form. A file that its owner replaces or removes
// meanwhile is taken as it was before or after.
int node_files_take(struct folder *f, const char *data_dir, bool with_keys, struct arena *a,
                    struct backup_form *form);

// Puts the files of a form but its metadata into a data folder, each whole or not at all; those of
// keys/ and certs/ that are there stay, and *out_left says so. What says how far other metadata had
// read others leaves the data folder, and does not come from a backup that has it.
int node_files_restore(const struct folder *f, const struct backup_form *form, const char *data_dir,
                       bool *out_left);

#endif
