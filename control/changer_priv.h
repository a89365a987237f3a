// SPDX-License-Identifier: Apache-2.0
// Shared by the changer's files only: the registries that a change touches, gathered
// (changer_gather.c), judged (changer_judge.c; reserved names: changer_reserved.c), and put into a
// successor (changer.c).
#ifndef MERIDIAN_CONTROL_CHANGER_PRIV_H
#define MERIDIAN_CONTROL_CHANGER_PRIV_H

#include "base/htab.h"
#include "config/catalogue.h"
#include "config/private_index.h"
#include "control/change.h"
#include "control/changer.h"

struct touched {
    // errors, and the temporary arena
    struct option_ctx *ctx;
    const struct change *change;
    // in force
    const struct topology *t;
    // what private endpoints have in use; NULL: the change touches none of them
    struct private_index *index;
    // by name: struct registry of `all`, until touched_judge sorts it
    struct htab *names;
    // names: registries to remove; private endpoints that go, or that a row replaces
    struct htab *removed, *gone;
    // `cap`: as many as the change can name
    struct registry *all;
    size_t n, cap;
    // errors that time alone will mend, and soon
    size_t n_early;
    // wall: what the change is judged by; is it the same on all nodes?
    int64_t now_s;
    bool time_is_common;
    // what becomes of reserved names: rows that come and names that go, both sorted by name
    struct reserved_name *reserve;
    const char **release;
    size_t n_reserve, n_release;
};

// Fills all but `ctx`, `change`, `t`, `index` and the time. What goes is taken out of the index too. Errors
// are in ctx.
void touched_gather(struct touched *x);
void touched_done(struct touched *x);
// Only when memory did not end. Sorts `all` by label.
void touched_judge(struct touched *x);
// changer_reserved.c: judges what the change does to reserved names, and fills in what becomes of
// them.
void touched_reserved(struct touched *x);

#endif
