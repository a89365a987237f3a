// SPDX-License-Identifier: Apache-2.0
// Operations of a backend on entries that became void, on revoked keys, and on tags that were
// outdone. See backend.h for what all operations keep to, and meta.h for what makes an entry void.
//
//   struct revoked_key r;
//   rc = revoked_get(tx, e->key, &r);           // ERR_NOTFOUND: nobody revoked this key
//   …
//   rc = void_add(tx, &row);                    // remembered for good, as it was signed
//   rc = log_remove(tx, id);
//
// Rows of void entries are never removed. Revoked keys are few (tens); void entries may be many.
#ifndef MERIDIAN_STORE_BACKEND_VOID_H
#define MERIDIAN_STORE_BACKEND_VOID_H

#include "store/backend_state.h"
#include "store/meta_void.h"

#define VOID_REASON_SIZE 16

// What the read mark of a revoked key's origin still has to do (meta_revoke_rewind).
enum revoked_reread {
    // go back to the start of the feed
    REREAD_ALL = -1,
    // go back to the last good place
    REREAD_FROM_GOOD = 0,
    REREAD_DONE = 1,
};

struct revoked_key {
    // of at most ENTRY_KEY_SIZE - 1 bytes
    const char *key;
    char origin[HOSTNAME_REGION_SIZE];
    // the last good place of the origin's feed. seq 0: all of the epoch is void
    struct feed_mark good;
    // how far the log was swept, and whether to its end
    uint64_t swept_epoch, swept_seq;
    bool swept;
    enum revoked_reread reread;
};

struct void_ops {
    int (*add)(struct tx *tx, const struct voided_row *v);
    int (*reason)(struct tx *tx, const char *origin, const struct feed_mark *place,
                  char out[VOID_REASON_SIZE]);
    int (*list)(struct tx *tx, const char *registry, int64_t after, size_t max, struct arena *a,
                struct voided_row **out, size_t *out_n);
    int (*revoked_get)(struct tx *tx, const char *key, struct revoked_key *out);
    int (*revoked_set)(struct tx *tx, const struct revoked_key *r);
    int (*revoked_list)(struct tx *tx, struct arena *a, struct revoked_key **out, size_t *out_n);
    int (*outdone_get)(struct tx *tx, const struct register_name *tag, uint64_t *out_stamp);
    int (*outdone_set)(struct tx *tx, const struct register_name *tag, uint64_t stamp);
    int (*outdone_clear)(struct tx *tx);
};

// --- void entries ---

// Adds a row, with an id greater than all before; v->id, v->there, v->now and the entry's content
// are not used. A row with the same place (origin, partition, epoch, seq) and hash goes.
static inline int void_add(struct tx *tx, const struct voided_row *v)
{
    return tx->ops->voids->add(tx, v);
}

// The reason why the entry with this place and hash is void. ERR_NOTFOUND: it never was.
static inline int void_reason(struct tx *tx, const char *origin, const struct feed_mark *place,
                              char out[VOID_REASON_SIZE])
{
    return tx->ops->voids->reason(tx, origin, place, out);
}

// Rows of one registry with an id above `after`, by id, at most max. `there` and `now`: the value
// of the entry's tag, or its manifest if that is visible.
static inline int voids_list(struct tx *tx, const char *registry, int64_t after, size_t max,
                             struct arena *a, struct voided_row **out, size_t *out_n)
{
    return tx->ops->voids->list(tx, registry, after, max, a, out, out_n);
}

// --- revoked keys ---

// out->key is the caller's `key`. ERR_NOTFOUND: the key is not revoked.
static inline int revoked_get(struct tx *tx, const char *key, struct revoked_key *out)
{
    return tx->ops->voids->revoked_get(tx, key, out);
}

// Adds the key, or replaces its row.
static inline int revoked_set(struct tx *tx, const struct revoked_key *r)
{
    return tx->ops->voids->revoked_set(tx, r);
}

// All of them, by key.
static inline int revoked_list(struct tx *tx, struct arena *a, struct revoked_key **out,
                               size_t *out_n)
{
    return tx->ops->voids->revoked_list(tx, a, out, out_n);
}

// --- tags that were outdone: own values of the future stood below a value that is void now ---

// The highest register stamp that stood above. ERR_NOTFOUND.
static inline int outdone_get(struct tx *tx, const struct register_name *tag, uint64_t *out_stamp)
{
    return tx->ops->voids->outdone_get(tx, tag, out_stamp);
}

// Remembers the tag, or replaces its stamp. ERR_NOTFOUND: there is no such repository.
static inline int outdone_set(struct tx *tx, const struct register_name *tag, uint64_t stamp)
{
    return tx->ops->voids->outdone_set(tx, tag, stamp);
}

// Forgets all.
static inline int outdone_clear(struct tx *tx)
{
    return tx->ops->voids->outdone_clear(tx);
}

#endif
