// SPDX-License-Identifier: Apache-2.0
// The rules of each kind of entry: what it does to the state, what its job waits for, how it
// is announced again. One row per kind of ENTRY_KINDS (store/entry.h):
//
//   const struct kind_rules *rules = kind_rules(e->kind);
//   rc = rules ? rules->merge(tx, repo, e, content, refs, n_refs, &missing) : ERR_UNSUPPORTED;
//
// For the files of store's metadata only. The functions run on the writer thread, inside its
// transaction. The table is constant.
//
// Invariants
//   1. An entry whose kind has no row changes nothing here: it is refused before the transaction.
//   2. Every function leaves the same state whatever the order in which entries come (design
//      section 9, invariant 3); what a kind may not decide for itself is the register's order.
#ifndef MERIDIAN_STORE_KIND_RULES_H
#define MERIDIAN_STORE_KIND_RULES_H

#include "store/entry_kind.h"
#include "store/meta_priv.h"

enum kind_waits {
    // A job that lacks something waits for any manifest of its repository, and the next one wakes
    // it.
    KIND_WAITS_FOR_ANY,
    // It waits for the manifest of the entry's own digest, and that one alone wakes it: in a long
    // backlog there are thousands of such jobs.
    KIND_WAITS_FOR_DIGEST,
};

struct kind_rules {
    enum kind_waits waits;
    // Applies an entry to its register, wakes the jobs that waited for what it brought, and says so
    // to on_commit. `content` and `refs`: of a kind with ENTRY_HAS_CONTENT, else empty. repo_make
    // was called. ERR_NOTFOUND with *out_missing: something lacks, and nothing changed.
    int (*merge)(struct tx *tx, int64_t repo, const struct feed_entry *e, struct bytes content,
                 const struct manifest_ref *refs, size_t n_refs, struct digest *out_missing);
    // The same with nothing at hand but the entry, for own entries that were recovered.
    // ERR_NOTFOUND: a job has to fetch what lacks; the caller takes back what was done.
    int (*merge_alone)(struct tx *tx, int64_t repo, const struct feed_entry *e);
    // An own entry is about to be announced again because its stamp was of the future. *out_above:
    // the new stamp must be above it, and 0 when any will do. `limit`: stamps above are of the
    // future.
    int (*again_above)(struct tx *tx, int64_t repo, const struct feed_entry *e, uint64_t limit,
                       uint64_t *out_above);
    // It was minted again, and what it replaces is not void yet.
    int (*again)(struct tx *tx, int64_t repo, const struct feed_entry *e);
};

// NULL: no such kind.
const struct kind_rules *kind_rules(enum entry_kind kind);
// The kinds that wait so: bit `number` is set for each (jobs_wake_for).
int64_t kinds_that_wait(enum kind_waits waits);

// --- what the rows consist of, beside what store/meta_priv.h declares ---
// meta_recover.c
int manifest_merge_alone(struct tx *tx, int64_t repo, const struct feed_entry *e);

#endif
