// SPDX-License-Identifier: Apache-2.0
// What an entry does to the state, whichever region wrote it: own writes, entries of peers and
// recovered ones all end here. For the rules of store's metadata, inside a transaction of
// backend_write; the repository was made (repo_make).
//
//   rc = merge_tag(tx, repo, &e, &missing);
//
// Invariants (design section 9)
//   2. A manifest lives only when its content and its references are here; a tag only when its
//      manifest does.
//   3. Registers: the highest value and the highest tombstone stay (base/register.h), and what
//      lives follows from them (store/liveness.h); so the order of arrival does not matter. Of a
//      manifest's presence, whose digest is fixed, media type and absent marks stand in the last
//      places. A version that lost is in the history as if it had come first and been replaced.
#ifndef MERIDIAN_STORE_META_MERGE_H
#define MERIDIAN_STORE_META_MERGE_H

#include "store/entry_kind.h"
#include "store/meta_live.h"

// What comes with a manifest's entry.
struct manifest_with {
    // n 0: nothing; what is here is as the digest says
    struct bytes content;
    const struct manifest_ref *refs;
    size_t n_refs;
};

// ERR_NOTFOUND with *out_missing, of all of them: give up the transaction, or the attempt.
// ERR_INVAL of merge_manifest: the content is needed and did not come.
int merge_manifest(struct tx *tx, int64_t repo, const struct feed_entry *e,
                   const struct manifest_with *with, struct digest *out_missing);
int merge_manifest_gone(struct tx *tx, int64_t repo, const struct feed_entry *e,
                        struct digest *out_missing);
int merge_tag(struct tx *tx, int64_t repo, const struct feed_entry *e, struct digest *out_missing);
int merge_lock(struct tx *tx, int64_t repo, const struct feed_entry *e, struct digest *out_missing);

// Would merge_manifest need the content?
int manifest_needs(struct tx *tx, int64_t repo, const struct feed_entry *e, bool *out);

// The value that an entry gives to its register; borrows the entry's strings.
struct register_value entry_value(const struct feed_entry *e);
struct subject subject_of(const struct feed_entry *e);
// A copy of who wrote it, cut off where it does not fit.
void by_put(char to[BY_SIZE], const char *by);

// --- for registers made anew (meta_remake.c): takes a value, and says whether it won ---
bool presence_take(struct manifest_now *m, const struct feed_entry *e);
bool presence_gone_take(struct manifest_now *m, const struct feed_entry *e);
bool tag_register_take(struct tag_now *t, const struct feed_entry *e);
bool lock_register_take(struct lock_now *l, const struct feed_entry *e);

#endif
