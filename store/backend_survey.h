// SPDX-License-Identifier: Apache-2.0
// Operations of a backend that search the log and the registers as a whole: rare questions of
// revocation, recovery and mending. They may take as long as the log is. See backend.h for what all
// operations keep to.
//
//   struct log_stretch *list;
//   rc = survey_above(tx, limit, &a, &list, &n);        // where do stamps of the future begin?
//   rc = survey_ids(tx, list, n, &a, &ids);
//
// Entries come without their content. An entry counts for its register when it is applied (it has
// no job), not malformed (entry_malformed), and not refused or ended (log_refuse, log_end).
#ifndef MERIDIAN_STORE_BACKEND_SURVEY_H
#define MERIDIAN_STORE_BACKEND_SURVEY_H

#include "base/register.h"
#include "store/backend_void.h"

// Entries of one feed after a place, and before an epoch.
struct log_stretch {
    const char *origin;
    uint32_t partition;
    // the place itself does not belong to it
    uint64_t after_epoch, after_seq;
    uint64_t below_epoch;
};

// A set of entries, by their ids in the log, ascending.
struct id_set {
    const int64_t *ids;
    size_t n;
};

struct log_row {
    int64_t id;
    struct feed_entry entry;
};

// Entries of one origin in one repository that have one kind, up to a place.
struct kind_query {
    const char *origin, *registry, *repository;
    enum entry_kind kind;
    // its entries behind this place are passed over
    struct feed_mark upto;
};

// Where a walk over them stands: behind this entry. {"", {0}, 0}: before the first.
struct kind_at {
    const char *tag;
    struct digest digest;
    int64_t id;
};

// Registers that show nothing.
struct dead_query {
    const char *registry;
    // tags; else manifests
    bool tags;
    // neither their value nor their tombstone has a higher stamp
    uint64_t upto;
    // NULL: from the first
    const struct register_name *after;
};

struct survey_ops {
    int (*last_id)(struct tx *tx, int64_t *out);
    int (*read_from)(struct tx *tx, const char *origin, const struct feed_mark *from, size_t max,
                     struct arena *a, struct log_row **out, size_t *out_n);
    int (*above)(struct tx *tx, uint64_t stamp, struct arena *a, struct log_stretch **out,
                 size_t *out_n);
    int (*ids)(struct tx *tx, const struct log_stretch *list, size_t n, struct arena *a,
               struct id_set *out);
    int (*head_without)(struct tx *tx, const char *origin, const struct id_set *without,
                        struct feed_mark *out_mark, uint64_t *out_stamp);
    int (*restated)(struct tx *tx, const struct feed_entry *e, int64_t up_to_id,
                    uint64_t from_epoch);
    int (*entries_of)(struct tx *tx, const struct register_name *name, enum entry_kind kind,
                      int64_t after_id, size_t max, struct arena *a, struct log_row **out,
                      size_t *out_n);
    int (*open_of)(struct tx *tx, const struct register_name *name, enum entry_kind kind);
    int (*tag_prior)(struct tx *tx, const struct register_name *tag, int64_t before_id,
                     const struct id_set *without, uint64_t *out_stamp);
    int (*registers_above)(struct tx *tx, uint64_t stamp, struct arena *a,
                           struct register_name **out, size_t *out_n);
    int (*history_highest)(struct tx *tx, const struct register_name *tag, uint64_t at_most,
                           uint64_t *out_stamp);
    int (*history_has)(struct tx *tx, const struct register_name *tag, const char *origin,
                       uint64_t above);
    int (*repository_next)(struct tx *tx, const char *origin, const char *registry,
                           const char *after, struct arena *a, const char **out);
    int (*count)(struct tx *tx, const char *origin, const char *registry,
                 const struct feed_mark *upto, uint64_t *out);
    int (*kind_next)(struct tx *tx, const struct kind_query *q, const struct kind_at *after,
                     size_t max, struct arena *a, struct log_row **out, size_t *out_n,
                     struct kind_at *out_at);
    int (*refused)(struct tx *tx, const char *registry, size_t max, struct arena *a,
                   struct log_row **out, size_t *out_n);
    int (*dead)(struct tx *tx, const struct dead_query *q, size_t max, struct arena *a,
                struct register_name **out, size_t *out_n);
};

// --- the log ---

// The id of the entry that was appended last; 0: none.
static inline int survey_last_id(struct tx *tx, int64_t *out)
{
    return tx->ops->surveys->last_id(tx, out);
}

// Entries of a feed at or after a place (of which the hash is not used), by place, at most max.
static inline int survey_read_from(struct tx *tx, const char *origin, const struct feed_mark *from,
                                   size_t max, struct arena *a, struct log_row **out, size_t *out_n)
{
    return tx->ops->surveys->read_from(tx, origin, from, max, a, out, out_n);
}

// For each epoch of each feed that has an entry whose stamp, or the stamp that it restates, lies
// above: the stretch from its first such entry to the end of the epoch. By origin, partition,
// epoch.
static inline int survey_above(struct tx *tx, uint64_t stamp, struct arena *a,
                               struct log_stretch **out, size_t *out_n)
{
    return tx->ops->surveys->above(tx, stamp, a, out, out_n);
}

// The entries of n stretches that do not overlap.
static inline int survey_ids(struct tx *tx, const struct log_stretch *list, size_t n,
                             struct arena *a, struct id_set *out)
{
    return tx->ops->surveys->ids(tx, list, n, a, out);
}

// Of the origin's entries that are not in the set: the last place, and the highest stamp.
// ERR_NOTFOUND: there are none.
static inline int survey_head_without(struct tx *tx, const char *origin,
                                      const struct id_set *without, struct feed_mark *out_mark,
                                      uint64_t *out_stamp)
{
    return tx->ops->surveys->head_without(tx, origin, without, out_mark, out_stamp);
}

// Does an entry of e's origin restate the register stamp of e, for the same register and digest?
// Only entries count with an id up to up_to_id, or of epoch from_epoch or later. 0 or ERR_NOTFOUND.
static inline int survey_restated(struct tx *tx, const struct feed_entry *e, int64_t up_to_id,
                                  uint64_t from_epoch)
{
    return tx->ops->surveys->restated(tx, e, up_to_id, from_epoch);
}

// --- what the log holds for one register ---

// Entries of one kind that count for a register, with an id above after_id; by id, at most max.
static inline int survey_entries_of(struct tx *tx, const struct register_name *name,
                                    enum entry_kind kind, int64_t after_id, size_t max,
                                    struct arena *a, struct log_row **out, size_t *out_n)
{
    return tx->ops->surveys->entries_of(tx, name, kind, after_id, max, a, out, out_n);
}

// 0: the log has an entry of that kind for the register which is not applied yet (it has a job).
// ERR_NOTFOUND.
static inline int survey_open_of(struct tx *tx, const struct register_name *name,
                                 enum entry_kind kind)
{
    return tx->ops->surveys->open_of(tx, name, kind);
}

// The highest register stamp of this tag's entries with an id below before_id that are not in the
// set, whether they count or not; 0: none.
static inline int survey_tag_prior(struct tx *tx, const struct register_name *tag,
                                   int64_t before_id, const struct id_set *without,
                                   uint64_t *out_stamp)
{
    return tx->ops->surveys->tag_prior(tx, tag, before_id, without, out_stamp);
}

// --- the log, register by register ---

// The first name above `after` (NULL: the very first, which may be "") of a repository that the log
// has entries of, written by the origin. ERR_NOTFOUND.
static inline int survey_repository_next(struct tx *tx, const char *origin, const char *registry,
                                         const char *after, struct arena *a, const char **out)
{
    return tx->ops->surveys->repository_next(tx, origin, registry, after, a, out);
}

// How many entries of the origin the log has in that registry, up to a place. It looks at all that
// the origin wrote in the registry.
static inline int survey_count(struct tx *tx, const char *origin, const char *registry,
                               const struct feed_mark *upto, uint64_t *out)
{
    return tx->ops->surveys->count(tx, origin, registry, upto, out);
}

// Entries in the order of (tag, digest, id) as their rows have them, at most max: so those of one
// register follow each other, whether they count or not, but for refused and ended ones. *out_at: where the
// last one stands, of the arena; `after` when there is none.
static inline int survey_kind_next(struct tx *tx, const struct kind_query *q,
                                   const struct kind_at *after, size_t max, struct arena *a,
                                   struct log_row **out, size_t *out_n, struct kind_at *out_at)
{
    return tx->ops->surveys->kind_next(tx, q, after, max, a, out, out_n, out_at);
}

// Entries that were refused (log_refuse), the latest first, at most max.
static inline int survey_refused(struct tx *tx, const char *registry, size_t max, struct arena *a,
                                 struct log_row **out, size_t *out_n)
{
    return tx->ops->surveys->refused(tx, registry, max, a, out, out_n);
}

// --- registers ---

// In the order of their repositories' names, and there of tags or digests.
static inline int survey_dead(struct tx *tx, const struct dead_query *q, size_t max,
                              struct arena *a, struct register_name **out, size_t *out_n)
{
    return tx->ops->surveys->dead(tx, q, max, a, out, out_n);
}

// Registers with a stamp above that: tags by their registers or their history, manifests by their
// presence or tombstone, locks. Each comes once, in no order.
static inline int survey_registers_above(struct tx *tx, uint64_t stamp, struct arena *a,
                                         struct register_name **out, size_t *out_n)
{
    return tx->ops->surveys->registers_above(tx, stamp, a, out, out_n);
}

// The highest stamp in a tag's history that is at most that; 0: none.
static inline int survey_history_highest(struct tx *tx, const struct register_name *tag,
                                         uint64_t at_most, uint64_t *out_stamp)
{
    return tx->ops->surveys->history_highest(tx, tag, at_most, out_stamp);
}

// Does a tag's history hold a value of this origin with a stamp above that? 0 or ERR_NOTFOUND.
static inline int survey_history_has(struct tx *tx, const struct register_name *tag,
                                     const char *origin, uint64_t above)
{
    return tx->ops->surveys->history_has(tx, tag, origin, above);
}

#endif
