// SPDX-License-Identifier: Apache-2.0
// Between preflight.c, which lists what to try, and preflight_try.c, which tries it as another user.
#ifndef MERIDIAN_DAEMON_PREFLIGHT_PRIV_H
#define MERIDIAN_DAEMON_PREFLIGHT_PRIV_H

#include "base/arena.h"
#include "base/diag.h"
#include "daemon/paths.h"

#include <stdbool.h>

#define TRIES_MAX 512

enum need {
    NEED_READ,    // a file
    NEED_SECRET,  // a file that its owner alone may read
    NEED_APPEND,  // a file that may not exist yet
    NEED_WRITE,   // a directory, to make files in
    NEED_PARENTS, // of a directory that a start makes or gives its mode: only what lies above it
};

struct
try {
    const char *key; // of the settings, for people
    const char *path;
    enum need need;
    bool optional; // it may be missing
};

struct tries {
    struct arena arena;
    struct try list[TRIES_MAX];
    size_t n;
    bool failed; // out of memory, or too many: said once at the end
};

struct try_as { // who tries
    const char *user, *group;
    bool switches;
    uid_t uid;
    gid_t gid, more; // `more`: a further group
};

// Sentences for what fails; how many there were, or an error when no child could be made.
int tries_run(const struct tries *t, const struct try_as *as, struct diag *diag);

#endif
