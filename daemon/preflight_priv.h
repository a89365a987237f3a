// SPDX-License-Identifier: Apache-2.0
// Between preflight.c, which lists what to try, and preflight_try.c, which tries it as another
// user.
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

struct attempt {
    // of the settings, for people
    const char *key;
    const char *path;
    enum need need;
    // it may be missing
    bool optional;
};

struct tries {
    struct arena arena;
    struct attempt list[TRIES_MAX];
    size_t n;
    // out of memory, or too many: said once at the end
    bool failed;
};

struct try_as { // who tries
    const char *user, *group;
    bool switches;
    uid_t uid;
    // `more`: a further group
    gid_t gid, more;
};

// Sentences for what fails; how many there were, or an error when no child could be made.
int tries_run(const struct tries *t, const struct try_as *as, struct diag *diag);

#endif
