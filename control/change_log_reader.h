// SPDX-License-Identifier: Apache-2.0
// Follows the file of changes beside a topology while it grows (control/changes_file.h). Only what is
// new is read; an end that is not whole yet waits. A file that was replaced, or became shorter, is
// read from its start: what is in force already is passed over. For control/file_source.c, on
// its thread.
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
    // read up to here
    off_t at;
    // that stands there
    int line;
    // plus one: of a change there it was said that it is not its time yet; 0: of none
    off_t told_at;
};

int change_log_reader_init(struct change_log_reader *f, const char *topology_path);
void change_log_reader_done(struct change_log_reader *f);
// another topology is in force: all changes count anew
void change_log_reader_rewind(struct change_log_reader *f);
// Takes what is whole and new, of at most about a megabyte: *t becomes what is in force after it.
// Returns how many changes were taken; *out_more: there may be more at once. What was refused is in
// diag.
size_t change_log_reader_look(struct change_log_reader *f, struct topology **t, struct diag *diag,
                              bool *out_more);

#endif
