// SPDX-License-Identifier: Apache-2.0
// What `meridian` ends with: one table of numbers and sentences, which help and the man page show.
// A script may rely on them: a number never gets another meaning. Of several regions the highest
// number up to 9 holds.
#ifndef MERIDIAN_CLI_EXIT_H
#define MERIDIAN_CLI_EXIT_H

#include <stddef.h>

enum exit_status {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_NOT_YET = 3,
    EXIT_UNREACHABLE = 4,
    EXIT_DENIED = 5,
    EXIT_CLOCK_AHEAD = 6,
    EXIT_UNKNOWN = 7,
    EXIT_NO_SPACE = 8,
    EXIT_DIVERGED = 9,
    EXIT_CHANGES = 10,
    EXIT_CONFLICT = 11
};

struct exit_row {
    enum exit_status status;
    // in a word or two, for the foot of the help
    const char *word;
    // a sentence, for the man page
    const char *text;
};

extern const struct exit_row exit_rows[];
extern const size_t n_exit_rows;

#endif
