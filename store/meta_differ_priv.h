// SPDX-License-Identifier: Apache-2.0
// What meta_differ.c and meta_differ_look.c share: the registers of a subject as its log makes them.
#ifndef MERIDIAN_STORE_META_DIFFER_PRIV_H
#define MERIDIAN_STORE_META_DIFFER_PRIV_H

#include "store/backend_tags.h"
#include "store/meta_differ.h"
#include "store/meta_live.h"

struct differ_deciding {
    struct differ_look look;
    // its parts: the value with its tombstone, and the lock
    bool register_agrees, lock_agrees;
    // the row has a stamp above all that the log has of it
    bool register_above, lock_above;
    // Those of the log; of a tag `manifest` is the one that its value leads to. Which are used
    // depends on the subject.
    struct manifest_now manifest;
    struct tag_now tag;
    struct lock_now lock, manifest_lock;
    // the entries of the list, by their places in the log
    int64_t ids[DIFFER_ENTRIES_MAX];
    size_t n_ids;
};

// In any transaction.
int deciding_read(struct tx *tx, const char *registry, const char *repository,
                  const struct shown_subject *s, struct arena *a, struct differ_deciding *out);
// Would this entry, which the log does not have, change one of the registers?
bool deciding_would_change(const struct differ_deciding *d, const struct feed_entry *e);

#endif
