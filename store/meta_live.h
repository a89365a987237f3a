// SPDX-License-Identifier: Apache-2.0
// What lives, kept in the rows of manifests and tags; for the rules of store's metadata, inside a
// transaction of backend_write. The rules themselves are store/liveness.h.
//
//   rc = manifest_read(tx, repo, &digest, &m, &there);   // a row of none if there is none
//   register_put(&m.gone, &value);
//   rc = manifest_save(tx, repo, &m, (struct bytes){0});
//   rc = tags_settle(tx, repo, &digest, &missing);       // tags to it may have died
//   rc = manifest_settle(tx, repo, &digest, &missing);   // and it itself
//
// ERR_NOTFOUND with *out_missing, of all functions that have it: something must live whose content,
// or a blob of it, is not here; the transaction, or the attempt, is to be given up.
#ifndef MERIDIAN_STORE_META_LIVE_H
#define MERIDIAN_STORE_META_LIVE_H

#include "store/liveness.h"
#include "store/meta_priv.h"

#define ENTRY_TAG_SIZE 129 // the longest tag, and NUL

// --- rows ---
void register_put(struct register_now *to, const struct register_value *v);
void manifest_none(struct manifest_now *m, const struct digest *digest);
void tag_none(struct tag_now *t, const char *tag);
// The row, or none.
int manifest_read(struct tx *tx, int64_t repo, const struct digest *digest,
                  struct manifest_now *out, bool *out_there);
int tag_read(struct tx *tx, int64_t repo, const char *tag, struct tag_now *out, bool *out_there);
int lock_read(struct tx *tx, int64_t repo, const struct subject *s, struct lock_facts *out);
bool manifest_asserted(const struct manifest_now *m);
// Does anything hold the manifest? Whether its content is here is not asked.
int manifest_hold_judge(struct tx *tx, int64_t repo, const struct manifest_now *m, bool *out);
// Does the tag live? m: the row of its value's manifest.
int tag_judge(struct tx *tx, int64_t repo, const struct tag_now *t, const struct manifest_now *m,
              bool *out);

// --- what follows when registers changed ---
// The manifest must live.
int manifest_raise(struct tx *tx, int64_t repo, const struct digest *digest,
                   struct digest *out_missing);
// All children that it does not mark as absent must live.
int children_raise(struct tx *tx, int64_t repo, const struct digest *parent,
                   struct digest *out_missing);
// Something no longer holds it: it dies unless another thing does, and so do its children.
int manifest_lower(struct tx *tx, int64_t repo, const struct digest *digest);
// Either.
int manifest_settle(struct tx *tx, int64_t repo, const struct digest *digest,
                    struct digest *out_missing);
// The tag has these registers now and had those of `was` (NULL: no row). Sets t->live, saves the
// row, and lets its manifests live or die.
int tag_settle(struct tx *tx, int64_t repo, struct tag_now *t, const struct tag_now *was,
               struct digest *out_missing);
// The same for a tag whose lock, or whose manifest's registers or lock, changed; if it has a row.
int tag_settle_again(struct tx *tx, int64_t repo, const char *tag, struct digest *out_missing);
// The same for all tags whose value leads to this manifest.
int tags_settle(struct tx *tx, int64_t repo, const struct digest *digest,
                struct digest *out_missing);

#endif
