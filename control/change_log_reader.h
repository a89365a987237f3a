// SPDX-License-Identifier: Apache-2.0
// Reads the file of changes beside a topology while it grows (control/changes_file.h). Each look
// reads only what is new; an end that is not whole yet waits for the next look. A file that was
// replaced, or became shorter, is read from its start: changes that are in force already are
// skipped.
//
//   rc = change_log_reader_init(&f, "/etc/meridian/topology.yaml");
//   n = change_log_reader_look(&f, &t, &diag, &more);     // *t: with the n new changes
//   change_log_reader_rewind(&f);                         // after another topology came in force
//   change_log_reader_done(&f);
//
// One thread: that of control/file_source.c.
#ifndef MERIDIAN_CONTROL_CHANGE_LOG_READER_H
#define MERIDIAN_CONTROL_CHANGE_LOG_READER_H

#include "control/changer.h"

#include <stdbool.h>
#include <sys/types.h>

struct change_log_reader {
    char *path;
    struct changer *changer;
    dev_t dev;
    ino_t ino;
    // everything before this place was read
    off_t at;
    // the line that begins there; 1 is the first
    int line;
    // the place, plus one, of the early change that diag has named already; 0: none
    off_t told_at;
};

int change_log_reader_init(struct change_log_reader *f, const char *topology_path);
void change_log_reader_done(struct change_log_reader *f);
// Another topology is in force: the next look begins at the start of the file.
void change_log_reader_rewind(struct change_log_reader *f);
// Applies the whole and new changes, up to about a megabyte of them, to *t (takes over a reference,
// gives one). Returns how many were applied; *out_more: call again at once. diag names the changes
// that were refused.
size_t change_log_reader_look(struct change_log_reader *f, struct topology **t, struct diag *diag,
                              bool *out_more);

#endif
