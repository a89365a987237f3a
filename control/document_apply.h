// SPDX-License-Identifier: Apache-2.0
// Applies a document to what is in force, by three sides: the base (what was applied last,
// control/applied.h, or exported since), theirs (what is in force: the base and what commands have changed since), and
// ours (the document). What ours changes is made; what commands have changed stays, and is named;
// where both have changed the same member otherwise, it is a conflict, which is refused unless
// somebody says whose word holds. A registry of the document that says another incarnation than the
// one in force means one that was deleted since: it is not merged with the one of its name, but stays
// out, or is a conflict, as a whole ("incarnation").
//
//   struct document_apply a;
//   rc = document_apply(&in, &diag, &a);
//   if (a.n_conflicts && in.wins == WINS_NOBODY) …      // a.conflicts names them: nothing is to be done
//   … a.frame, a.change (a document without a version), a.records …
//   document_apply_done(&a);
//
// Ours comes as the rows in which it differs from what is in force (control/document_diff.h), which
// the command line finds: a document of 500,000 registries is not sent for the sake of one.
// Sections that machines write (document_section_is_machines) and that ours does not have stay.
// Pure; single-threaded.
#ifndef MERIDIAN_CONTROL_DOCUMENT_APPLY_H
#define MERIDIAN_CONTROL_DOCUMENT_APPLY_H

#include "control/applied.h"
#include "control/document_merge.h"

struct document_apply_in {
    // in force: theirs
    const struct topology *t;
    // The version that ours was exported at and edited from: it is the base then, whatever commands
    // had changed before. NULL: the base is what the ledger says.
    const struct topology *exported;
    // Ours, where it differs: the frame's text, and a change of registries and private endpoints;
    // n 0: nothing of it does.
    struct bytes frame, change;
    // ours has no other differences: the records of all other rows go
    bool whole;
    // More of ours comes with a later call, which is compared with the same base.
    bool more;
    enum document_winner wins;
    // who applies it
    const char *by;
    applied_look_up *look_up;
    // Calls `visit` with the keys of all records with that prefix.
    int (*visit)(void *ctx, const char *prefix, int (*visit)(void *v, const char *key), void *v);
    void *ctx;
};

struct document_member { // of a row, that is not as in the base
    // "registry/contoso", "private/contoso-corp", "section/ttl"
    const char *row;
    // "replicas/eastus/drained"; "": all of it
    const char *member;
    // in one line; NULL: absent
    const char *base, *in_force, *file;
    // who changed the row last; NULL: not known
    const char *by;
    // a sentence: what the two of them mean, and what to do; NULL: that goes without saying
    const char *note;
};

struct document_row_change {
    // as above
    const char *row;
    // as text; NULL: absent
    const char *before, *after;
};

// Of more rows than this the texts are not given.
#define DOCUMENT_ROWS_TOLD_MAX 500

struct document_apply {
    struct arena arena;
    // for the entry; n 0: that stays as it is
    struct buf frame, change;
    const struct applied_record *records;
    // what commands have changed and stays; what both have
    const struct document_member *kept, *conflicts;
    // what is to be other than it is in force; the first ones, and how many in all
    const struct document_row_change *rows;
    size_t n_records, n_kept, n_conflicts, n_rows;
    // names of registries that go
    const char *const *removed;
    size_t n_removed;
    // comments of the document's frame are lost: the frame was merged
    bool frame_merged;
};

// ERR_INVAL: the document's parts cannot be read, or change what apply may not (the section
// control); diag says why. ERR_NOMEM. `out` is to be given to document_apply_done in any case.
int document_apply(const struct document_apply_in *in, struct diag *diag,
                   struct document_apply *out);
void document_apply_done(struct document_apply *a);

#endif
