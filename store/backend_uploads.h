// SPDX-License-Identifier: Apache-2.0
// Operations of a backend on uploads that are under way, and on those that ended. See backend.h for
// what all operations keep to.
//
//   rc = upload_amount(tx, registry, principal, &is);
//   …judge, perhaps upload_remove(tx, oldest)…
//   rc = upload_add(tx, &row);
//
// Idle time: a row has `touched_ms`, a time of the monotonic clock of the process that called, and
// how long the upload had been idle before that time (idle_ms, 0 when it is added or moved). So an
// upload has rested since touched_ms - idle_ms, which ageing does not change. A monotonic clock
// starts anew with the machine: a backend that is opened brings the rows to the present clock and
// keeps idle_ms, as far as it was aged; one that several machines share keeps times of a clock of
// its own, and translates.
#ifndef MERIDIAN_STORE_BACKEND_UPLOADS_H
#define MERIDIAN_STORE_BACKEND_UPLOADS_H

#include "base/arena.h"
#include "base/digest.h"
#include "store/backend.h"
#include "store/meta_uploads.h"

struct upload_amount {
    uint64_t n;
    // of `received`
    uint64_t bytes;
};

// One of a principal's uploads, as far as room is concerned.
struct upload_rest {
    const char *id;
    uint64_t received;
};

struct upload_owner {
    const char *registry, *principal;
};

// An upload that became a blob.
struct ended_row {
    const char *id, *registry, *repository, *principal;
    struct digest digest;
    // when, in time that this region ran
    int64_t run_ms;
};

struct upload_ops {
    int (*add)(struct tx *tx, const struct upload_row *row);
    int (*get)(struct tx *tx, const char *id, struct arena *a, struct upload_row *out);
    int (*move)(struct tx *tx, const char *id, uint64_t size, uint64_t received,
                int64_t touched_ms);
    int (*tell)(struct tx *tx, const char *id, uint64_t size);
    int (*remove)(struct tx *tx, const char *id);
    int (*amount)(struct tx *tx, const char *registry, const char *principal,
                  struct upload_amount *out);
    int (*oldest)(struct tx *tx, const struct upload_owner *o, int64_t since_ms, size_t skip,
                  size_t max, struct arena *a, struct upload_rest *out, size_t *out_n);
    int (*newest)(struct tx *tx, const struct upload_owner *o, int64_t *out_since_ms);
    int (*owners_over)(struct tx *tx, uint64_t bytes, size_t max, struct arena *a,
                       struct upload_owner *out, size_t *out_n);
    int (*age)(struct tx *tx, int64_t now_ms);
    int (*idle)(struct tx *tx, const char *id, int64_t *out_idle_ms);
    // all that are open
    int (*count)(struct tx *tx, uint64_t *out);
    int (*idle_list)(struct tx *tx, int64_t idle_ms, size_t skip, size_t max, struct arena *a,
                     const char **out, size_t *out_n);
    int (*ended_add)(struct tx *tx, const struct ended_row *row, uint64_t *out_n);
    int (*ended_trim)(struct tx *tx, const struct upload_owner *o, size_t keep);
    int (*ended_find)(struct tx *tx, const struct ended_row *row);
    int (*ended_forget)(struct tx *tx, int64_t before_run_ms, size_t max, size_t *out_n);
    int (*run_get)(struct tx *tx, int64_t *out_run_ms);
    int (*run_set)(struct tx *tx, int64_t run_ms);
};

// --- uploads under way ---

// Adds an upload; `received` is taken to be `size`. ERR_CONFLICT: its id is taken.
static inline int upload_add(struct tx *tx, const struct upload_row *row)
{
    return tx->ops->uploads->add(tx, row);
}

// ERR_NOTFOUND. Without an arena the texts are NULL.
static inline int upload_get(struct tx *tx, const char *id, struct arena *a, struct upload_row *out)
{
    return tx->ops->uploads->get(tx, id, a, out);
}

// Sets what was told and what was received; the upload is not idle. ERR_NOTFOUND.
static inline int upload_move(struct tx *tx, const char *id, uint64_t size, uint64_t received,
                              int64_t touched_ms)
{
    return tx->ops->uploads->move(tx, id, size, received, touched_ms);
}

// Sets what was told, and nothing else. ERR_NOTFOUND.
static inline int upload_tell(struct tx *tx, const char *id, uint64_t size)
{
    return tx->ops->uploads->tell(tx, id, size);
}

// ERR_NOTFOUND.
static inline int upload_remove(struct tx *tx, const char *id)
{
    return tx->ops->uploads->remove(tx, id);
}

// How many uploads a principal has in a registry, and their bytes; `principal` NULL: all
// principals. Zero when there is none.
static inline int upload_amount(struct tx *tx, const char *registry, const char *principal,
                                struct upload_amount *out)
{
    return tx->ops->uploads->amount(tx, registry, principal, out);
}

// Uploads of one principal in one registry that have rested since `since_ms` or longer; the longest
// rest first, without the first `skip`, at most `max`.
static inline int upload_oldest(struct tx *tx, const struct upload_owner *o, int64_t since_ms,
                                size_t skip, size_t max, struct arena *a, struct upload_rest *out,
                                size_t *out_n)
{
    return tx->ops->uploads->oldest(tx, o, since_ms, skip, max, a, out, out_n);
}

// Since when the one that was touched last has rested. ERR_NOTFOUND: there is none.
static inline int upload_newest(struct tx *tx, const struct upload_owner *o, int64_t *out_since_ms)
{
    return tx->ops->uploads->newest(tx, o, out_since_ms);
}

// Principals whose uploads in a registry have more than so many bytes; at most `max`, in any order.
// May walk all uploads.
static inline int upload_owners_over(struct tx *tx, uint64_t bytes, size_t max, struct arena *a,
                                     struct upload_owner *out, size_t *out_n)
{
    return tx->ops->uploads->owners_over(tx, bytes, max, a, out, out_n);
}

// Counts the time up to `now_ms` as idle, for every upload that was touched before it, and sets its
// touched_ms to `now_ms`.
static inline int upload_age(struct tx *tx, int64_t now_ms)
{
    return tx->ops->uploads->age(tx, now_ms);
}

// How long it was idle, by the last upload_age. ERR_NOTFOUND.
static inline int upload_idle(struct tx *tx, const char *id, int64_t *out_idle_ms)
{
    return tx->ops->uploads->idle(tx, id, out_idle_ms);
}

// How many are open, of all registries.
static inline int upload_count(struct tx *tx, uint64_t *out)
{
    return tx->ops->uploads->count(tx, out);
}

// Ids of uploads that were idle for longer than `idle_ms`, by the last upload_age; the longest
// first, without the first `skip`, at most `max`.
static inline int upload_idle_list(struct tx *tx, int64_t idle_ms, size_t skip, size_t max,
                                   struct arena *a, const char **out, size_t *out_n)
{
    return tx->ops->uploads->idle_list(tx, idle_ms, skip, max, a, out, out_n);
}

// --- uploads that ended ---

// Adds one, in place of an earlier one with this id. *out_n numbers the rows, upwards: greater than
// of all rows that are there.
static inline int ended_add(struct tx *tx, const struct ended_row *row, uint64_t *out_n)
{
    return tx->ops->uploads->ended_add(tx, row, out_n);
}

// Removes a principal's rows in a registry but for the last `keep`, by their numbers.
static inline int ended_trim(struct tx *tx, const struct upload_owner *o, size_t keep)
{
    return tx->ops->uploads->ended_trim(tx, o, keep);
}

// 0: there is a row like this one, whatever its run_ms. ERR_NOTFOUND.
static inline int ended_find(struct tx *tx, const struct ended_row *row)
{
    return tx->ops->uploads->ended_find(tx, row);
}

// Removes rows with a lower run_ms, the lowest first, at most `max`. *out_n: how many.
static inline int ended_forget(struct tx *tx, int64_t before_run_ms, size_t max, size_t *out_n)
{
    return tx->ops->uploads->ended_forget(tx, before_run_ms, max, out_n);
}

// For how long this region ran, as it was noted last; 0 at first.
static inline int run_time_get(struct tx *tx, int64_t *out_run_ms)
{
    return tx->ops->uploads->run_get(tx, out_run_ms);
}

static inline int run_time_set(struct tx *tx, int64_t run_ms)
{
    return tx->ops->uploads->run_set(tx, run_ms);
}

#endif
