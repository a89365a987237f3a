// SPDX-License-Identifier: Apache-2.0
// Operations of a backend on the log: own entries (the outbox) and those of other regions that were
// read. See backend.h for what all operations keep to.
//
//   struct own_head own;
//   rc = own_lock(tx, &own);                    // nobody else mints until this transaction ends
//   …entry above own.stamp, at the place after own.last…
//   rc = log_append(tx, &e, content, &id);
//   own.last = …; own.stamp = e.stamp;
//   rc = own_set(tx, &own);
//
// Whose clock mints: the process that runs the transaction, by its wall clock, above the stamp in
// the own head. The head is locked until the commit, so that no sequence shows before a lower one,
// and stamps go up with sequences whichever process mints.
#ifndef MERIDIAN_STORE_BACKEND_LOG_H
#define MERIDIAN_STORE_BACKEND_LOG_H

#include "store/backend.h"
#include "store/entry.h"

struct own_head {
    // the last own entry; the zero mark when there is none
    struct feed_mark last;
    // in which the next own entry is written: last.epoch, or greater
    uint64_t epoch;
    // the clock: the highest stamp that was minted, or taken over from a recovered entry
    uint64_t stamp;
    // Own entries with a higher stamp commit together with this transaction: nobody has seen them.
    // The backend fills it; own_set ignores it.
    uint64_t committed;
};

struct log_ops {
    int (*own_lock)(struct tx *tx, struct own_head *out);
    int (*own_set)(struct tx *tx, const struct own_head *own);
    int (*append)(struct tx *tx, const struct feed_entry *e, struct bytes content, int64_t *out_id);
    int (*held)(struct tx *tx, const struct feed_entry *e, int64_t *out_id);
    int (*head)(struct tx *tx, const char *origin, struct feed_mark *out_mark, uint64_t *out_stamp);
};

// Reads the own head, and keeps other transactions from it until this one ends.
static inline int own_lock(struct tx *tx, struct own_head *out)
{
    return tx->ops->log->own_lock(tx, out);
}

// Sets the own head, which this transaction has locked. The backend stores epoch and stamp; `last`
// is a place of the log, or the zero mark, and need not be stored: it is the place of the highest
// own entry in the log.
static inline int own_set(struct tx *tx, const struct own_head *own)
{
    return tx->ops->log->own_set(tx, own);
}

// Adds an entry, own or another region's. *out_id is greater than the ids of all entries that were
// appended before. `content` is kept beside the entry until log_content_drop; n 0: none.
// ERR_CONFLICT: its place (origin, partition, epoch, seq) is taken.
static inline int log_append(struct tx *tx, const struct feed_entry *e, struct bytes content,
                             int64_t *out_id)
{
    return tx->ops->log->append(tx, e, content, out_id);
}

// Is this entry in the log? 0 with its id; ERR_NOTFOUND; ERR_CONFLICT, also with the id, when
// another one stands in its place (its hash differs).
static inline int log_held(struct tx *tx, const struct feed_entry *e, int64_t *out_id)
{
    return tx->ops->log->held(tx, e, out_id);
}

// The place of the origin's last entry in the log, by (epoch, seq), and its stamp (may be NULL).
// ERR_NOTFOUND: none is held.
static inline int log_head(struct tx *tx, const char *origin, struct feed_mark *out_mark,
                           uint64_t *out_stamp)
{
    return tx->ops->log->head(tx, origin, out_mark, out_stamp);
}

#endif
