// SPDX-License-Identifier: Apache-2.0
// Three trees merged into one, as version control does it with lines: what only one side has
// changed since the base is taken from that side; what both have changed to the same is that; what
// both have changed otherwise is a conflict, which somebody has to decide. Mappings are merged by
// key, and lists whose items have names by these; other lists and values are taken whole.
//
//   struct document_merge m = {.arena = &arena, .wins = WINS_NOBODY, .tell = tell, .ctx = x};
//   rc = document_merge(&m, base, theirs, ours, &out);     // *out NULL: it is to be absent
//
// Pure; any thread.
#ifndef MERIDIAN_CONTROL_DOCUMENT_MERGE_H
#define MERIDIAN_CONTROL_DOCUMENT_MERGE_H

#include "base/arena.h"
#include "config/document.h"

#include <stddef.h>

// Whose word holds in a conflict.
enum document_winner {
    // nobody's: theirs stays, and whoever asked is told
    WINS_NOBODY,
    // ours
    WINS_FILE,
    // theirs
    WINS_COMMANDS,
};

enum document_side {
    // ours has changed it
    SIDE_OURS,
    // theirs has, and it stays
    SIDE_THEIRS,
    // both have, otherwise
    SIDE_CONFLICT,
};

struct document_merge {
    // of what comes out, beside the trees that go in
    struct arena *arena;
    enum document_winner wins;
    // May be NULL. Told of each member that is not as in the base; `path` as in
    // control/document_text.h. Nodes are NULL where there is none. 0, or the error to end with.
    int (*tell)(void *ctx, enum document_side side, const char *path, const struct doc_node *base,
                const struct doc_node *theirs, const struct doc_node *ours);
    void *ctx;
    size_t n_conflicts;
};

// `path` of the root is "". ERR_NOMEM, or what `tell` returned.
int document_merge(struct document_merge *m, const struct doc_node *base,
                   const struct doc_node *theirs, const struct doc_node *ours,
                   const struct doc_node **out);

#endif
