// SPDX-License-Identifier: Apache-2.0
// The topology source (control/source.h) that is files: a topology in either form, the file of
// changes beside it (control/changes_file.h), and the principals. Whole documents are swapped when
// they are edited (control/watched_document.h); changes of single registries are taken as they are
// appended, and a whole topology with a higher version supersedes them.
//
//   const struct file_source_options o = {.topology = "/etc/meridian/topology.yaml",
//                                         .form = TOPOLOGY_FULL,
//                                         .principals = "/etc/meridian/principals.yaml",
//                                         .state_dir = "/var/lib/meridian/state"};
//   rc = file_source_open(&o, &s);
//
// The last good ones are kept at <state_dir>/topology.last (compiled, with the changes up to a
// minute ago) and principals.last.yaml (0600), so that a restart on a broken file still serves (and
// says so), and a restart on the same topology does not read the document again. One thread of its
// own: inotify, with a look each second as the backstop.
//
// A proposal is appended to the file of changes, and followed like any other; other processes may
// append to it too.
#ifndef MERIDIAN_CONTROL_FILE_SOURCE_H
#define MERIDIAN_CONTROL_FILE_SOURCE_H

#include "control/source.h"

struct file_source_options {
    const char *topology;
    enum topology_form form;
    // NULL: a node that needs none
    const char *principals;
    // made when it is missing
    const char *state_dir;
};

// Strings are copied; nothing is read yet. ERR_NOMEM, or what the system says.
int file_source_open(const struct file_source_options *o, struct topology_source **out);

#endif
