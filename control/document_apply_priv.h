// SPDX-License-Identifier: Apache-2.0
// Shared by the files that apply a document: one row of any kind (document_apply_row.c), the rows of
// registries and private endpoints (document_apply_rows.c), the frame and the whole
// (document_apply.c).
//
// Invariants
// 1. `seen` has the key of each row that was looked at; what is not in it, ours has as it is in
//    force.
#ifndef MERIDIAN_CONTROL_DOCUMENT_APPLY_PRIV_H
#define MERIDIAN_CONTROL_DOCUMENT_APPLY_PRIV_H

#include "base/htab.h"
#include "control/document_apply.h"

struct members {
    struct document_member *list;
    size_t n, cap;
};

struct records {
    struct applied_record *list;
    size_t n, cap;
};

struct applying {
    const struct document_apply_in *in;
    struct diag *diag;
    struct arena *arena;
    struct applied_mark mark;
    struct htab *seen;
    // of private endpoints, in force, and when ours was exported
    struct htab *owners, *exported_owners;
    // the sections of that time
    const struct doc_node *exported_frame;
    struct members kept, conflicts;
    struct records records;
    struct document_row_change rows[DOCUMENT_ROWS_TOLD_MAX];
    size_t n_rows;
    const char **removed;
    size_t n_removed, cap_removed;
    // lists of the change
    struct buf registries, privates, remove, remove_privates;
    // of the row that is being merged
    const char *row, *by;
};

// ---- one row ----

int apply_add_member(struct applying *x, struct members *m, const struct document_member *one);
int apply_add_record(struct applying *x, const char *key, const char *value);
// The base, theirs and ours of a row come to *out; what stays and what conflicts is noted, and what
// the base says of it from now on. NULL: absent.
int apply_merge_row(struct applying *x, const char *kind, const char *name,
                    const struct doc_node *theirs, const struct doc_node *ours,
                    const struct doc_node **out);
// Likewise where theirs is another thing than ours means, of the same name; none of its members are
// merged. `what` names both, its row and `by` are left.
int apply_another_row(struct applying *x, const char *kind, const char *name,
                      const struct doc_node *theirs, const struct doc_node *ours,
                      const struct document_member *what, const struct doc_node **out);
// The row in hand (x->row) is to be `outcome`.
int apply_tell_row(struct applying *x, const struct doc_node *theirs,
                   const struct doc_node *outcome);

// ---- rows of registries and private endpoints ----

int apply_rows(struct applying *x);
// Appends the change that makes them.
int apply_put_change(struct applying *x, struct buf *out);

#endif
