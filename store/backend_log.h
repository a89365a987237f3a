// SPDX-License-Identifier: Apache-2.0
// Operations of a backend on the log: own entries (the outbox) and those of other regions that were
// read; the own head, which mints; and the read marks, which say how far other feeds were read. See
// backend.h for what all operations keep to.
//
//   struct own_head own;
//   rc = own_lock(tx, &own);                    // nobody else mints until this transaction ends
//   … an entry with a stamp above own.stamp, in the place after own.last …
//   rc = log_append(tx, &e, content, &id);
//   own.last = …; own.stamp = e.stamp;
//   rc = own_set(tx, &own);
//
// Whose clock mints: the process that runs the transaction, by its wall clock, above the stamp in
// the own head. The head is locked until the commit, so that no sequence shows before a lower one,
// and stamps go up with sequences whichever process mints.
//
// Places of a feed are ordered by (epoch, seq) within a partition. An operation that names no
// partition means partition 0, the only one today.
#ifndef MERIDIAN_STORE_BACKEND_LOG_H
#define MERIDIAN_STORE_BACKEND_LOG_H

#include "base/arena.h"
#include "base/register.h"
#include "store/backend.h"
#include "store/entry.h"
#include "store/meta_feed.h"

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

// Which entries of one origin to look at.
struct log_query {
    const char *origin;
    // where to go on from, exclusive
    struct feed_mark from;
    // only entries of these registries are returned; n_registries 0: all
    const char *const *registries;
    size_t n_registries;
    // bounds of entries returned, and of entries looked at
    size_t max, max_looks;
};

struct log_page {
    struct feed_entry *entries;
    size_t n;
    // the place of the last entry that was looked at, returned or not; `from` when none was
    struct feed_mark last;
    // the log has no more entries in this direction
    bool at_end;
};

// An own manifest entry, as log_own_asserts looks for it.
struct log_assertion {
    const char *registry, *repository;
    // the feed key that signed it
    const char *key;
    // The entry's register identity (stamp, origin, epoch) lies above that of this value. NULL: any
    // does. unasserted_below ignores it: there it is the tombstone of each manifest.
    const struct register_value *above;
};

// How far the feed of another region was read.
struct read_mark {
    const char *origin;
    struct feed_mark mark;
};

struct log_ops {
    int (*own_lock)(struct tx *tx, struct own_head *out);
    int (*own_set)(struct tx *tx, const struct own_head *own);
    int (*append)(struct tx *tx, const struct feed_entry *e, struct bytes content, int64_t *out_id);
    int (*held)(struct tx *tx, const struct feed_entry *e, int64_t *out_id);
    int (*head)(struct tx *tx, const char *origin, struct feed_mark *out_mark, uint64_t *out_stamp);
    int (*before)(struct tx *tx, const char *origin, const struct feed_mark *place,
                  struct feed_mark *out);
    int (*get)(struct tx *tx, int64_t id, struct arena *a, struct feed_entry *out);
    int (*remove)(struct tx *tx, int64_t id);
    int (*content_drop)(struct tx *tx, int64_t id);
    int (*refuse)(struct tx *tx, int64_t id);
    int (*end)(struct tx *tx, int64_t id);
    int (*last_stamp)(struct tx *tx, const char *origin, uint64_t epoch, uint64_t *out);
    int (*own_asserts)(struct tx *tx, const struct log_assertion *by, const struct digest *d);
    int (*forward)(struct tx *tx, const struct log_query *q, struct arena *a, struct log_page *out);
    int (*backward)(struct tx *tx, const struct log_query *q, struct arena *a,
                    struct log_page *out);
    int (*touched)(struct tx *tx, int64_t after, size_t max, struct arena *a,
                   struct feed_touched **out, size_t *out_n, int64_t *out_last);
    int (*mark_known)(struct tx *tx, const char *origin, const struct feed_mark *mark);
    int (*mark_get)(struct tx *tx, const char *origin, uint32_t partition, struct feed_mark *out);
    int (*mark_set)(struct tx *tx, const char *origin, const struct feed_mark *mark);
    int (*mark_remove)(struct tx *tx, const char *origin, uint32_t partition);
    int (*marks_list)(struct tx *tx, struct arena *a, struct read_mark **out, size_t *out_n);
};

// Reads the own head, and keeps other transactions from it until this one ends.
static inline int own_lock(struct tx *tx, struct own_head *out)
{
    return tx->ops->log->own_lock(tx, out);
}

// Sets the own head, which this transaction has locked. The backend stores epoch and stamp; `last`
// is the place of the highest own entry in the log, or the zero mark, and need not be stored. Until
// the transaction ends, own_lock gives what was set. The epoch never goes down.
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

// The origin's last entry before a place, of which the hash is not used. ERR_NOTFOUND: none is held.
static inline int log_before(struct tx *tx, const char *origin, const struct feed_mark *place,
                             struct feed_mark *out)
{
    return tx->ops->log->before(tx, origin, place, out);
}

// The entry with this id, and the content that is kept beside it. ERR_NOTFOUND.
static inline int log_get(struct tx *tx, int64_t id, struct arena *a, struct feed_entry *out)
{
    return tx->ops->log->get(tx, id, a, out);
}

// Takes an entry out of the log; its place is free then. ERR_CONFLICT: it has a job.
static inline int log_remove(struct tx *tx, int64_t id)
{
    return tx->ops->log->remove(tx, id);
}

// Drops the content that is kept beside an entry, if there is any.
static inline int log_content_drop(struct tx *tx, int64_t id)
{
    return tx->ops->log->content_drop(tx, id);
}

// The entry stays in its place, so that what follows it has no gap before it, and counts for no register
// from here on (store/floor.h).
static inline int log_refuse(struct tx *tx, int64_t id)
{
    return tx->ops->log->refuse(tx, id);
}

// The same for what was deleted: it is read back with `ended`, and is not listed as refused.
static inline int log_end(struct tx *tx, int64_t id)
{
    return tx->ops->log->end(tx, id);
}

// The stamp of the last entry in the log of that epoch. ERR_NOTFOUND.
static inline int log_last_stamp(struct tx *tx, const char *origin, uint64_t epoch, uint64_t *out)
{
    return tx->ops->log->last_stamp(tx, origin, epoch, out);
}

// Entries after q->from, oldest first, each with the content that is kept beside it.
static inline int log_forward(struct tx *tx, const struct log_query *q, struct arena *a,
                              struct log_page *out)
{
    return tx->ops->log->forward(tx, q, a, out);
}

// Entries before q->from, newest first; q->from.epoch 0: from the end.
static inline int log_backward(struct tx *tx, const struct log_query *q, struct arena *a,
                               struct log_page *out)
{
    return tx->ops->log->backward(tx, q, a, out);
}

// 0: an own manifest entry, signed by by->key, is in the log for this digest. ERR_NOTFOUND.
static inline int log_own_asserts(struct tx *tx, const struct log_assertion *by,
                                  const struct digest *d)
{
    return tx->ops->log->own_asserts(tx, by, d);
}

// Which repositories entries are of that came into the log after the one with the id `after`, in the
// order in which they came; a repository may be listed more than once. *out_last: the id of the
// last one that was looked at. `after` below 0: none is listed, *out_last is the last id of all, 0
// for an empty log. Entries that were taken out of the log again are passed over.
static inline int log_touched(struct tx *tx, int64_t after, size_t max, struct arena *a,
                              struct feed_touched **out, size_t *out_n, int64_t *out_last)
{
    return tx->ops->log->touched(tx, after, max, a, out, out_n, out_last);
}

// --- read marks ---

// 0: the log has this very entry (its hash, too), or the read mark stands there. ERR_NOTFOUND.
static inline int mark_known(struct tx *tx, const char *origin, const struct feed_mark *mark)
{
    return tx->ops->log->mark_known(tx, origin, mark);
}

// ERR_NOTFOUND: nothing of this feed was read.
static inline int mark_get(struct tx *tx, const char *origin, uint32_t partition,
                           struct feed_mark *out)
{
    return tx->ops->log->mark_get(tx, origin, partition, out);
}

// Adds the mark, or moves it; also back.
static inline int mark_set(struct tx *tx, const char *origin, const struct feed_mark *mark)
{
    return tx->ops->log->mark_set(tx, origin, mark);
}

// The feed is read from its start again.
static inline int mark_remove(struct tx *tx, const char *origin, uint32_t partition)
{
    return tx->ops->log->mark_remove(tx, origin, partition);
}

// All marks of partition 0, by origin.
static inline int marks_list(struct tx *tx, struct arena *a, struct read_mark **out, size_t *out_n)
{
    return tx->ops->log->marks_list(tx, a, out, out_n);
}

#endif
