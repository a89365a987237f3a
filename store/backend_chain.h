// SPDX-License-Identifier: Apache-2.0
// Operations of a backend on what version 2 of the feed adds: the chains of entries by origin and
// registry, the entries that this program does not know, and numbers that the rules keep by name.
// See backend.h for what all operations keep to, and entry.h for the entries.
//
//   rc = chain_last(tx, &(struct chain_query){"westus", "contoso"}, &head);
//   rc = frozen_look(tx, "contoso", "app");                  // 0: an unknown entry freezes it
//
// An entry is unknown when its row's kind is ENTRY_UNKNOWN; its `attribute` and `must` are those
// that log_append was given. One whose attribute is "" is not listed and freezes nothing.
#ifndef MERIDIAN_STORE_BACKEND_CHAIN_H
#define MERIDIAN_STORE_BACKEND_CHAIN_H

#include "store/backend.h"
#include "store/backend_log.h"
#include "store/meta_unknown.h"

#define NUMBER_NAME_MAX 255 // bytes

// Which part of a chain.
struct chain_query {
    const char *origin, *registry;
    // NULL: to its end; else to this place
    const struct feed_mark *upto;
    // 0: all; else without entries that have a higher stamp
    uint64_t stamp_max;
};

// The last entry of a chain.
struct chain_head {
    // from 1 on
    uint64_t registry_seq;
    // of its body
    uint8_t hash[ENTRY_HASH_BYTES];
    // its place
    struct feed_mark at;
};

struct unknown_entry {
    int64_t id;
    struct feed_entry entry;
};

struct chain_ops {
    int (*last)(struct tx *tx, const struct chain_query *q, struct chain_head *out);
    int (*has)(struct tx *tx, const char *origin, const char *registry, uint64_t registry_seq,
               const uint8_t hash[ENTRY_HASH_BYTES]);
    int (*unknown_list)(struct tx *tx, const char *registry, size_t max, struct arena *a,
                        struct unknown_row **out, size_t *out_n);
    int (*unknown_next)(struct tx *tx, int64_t after, size_t max, struct arena *a,
                        struct unknown_entry **out, size_t *out_n);
    int (*learn)(struct tx *tx, int64_t id, const struct feed_entry *e);
    int (*frozen)(struct tx *tx, const char *registry, const char *repository);
    int (*number_get)(struct tx *tx, const char *name, uint64_t *out);
    int (*number_set)(struct tx *tx, const char *name, uint64_t value);
};

// --- chains ---

// The entry of version 2 that has the highest place. ERR_NOTFOUND.
static inline int chain_last(struct tx *tx, const struct chain_query *q, struct chain_head *out)
{
    return tx->ops->chains->last(tx, q, out);
}

// 0: an entry with this number and this hash of its body is in the chain. ERR_NOTFOUND. It may look
// at the whole chain.
static inline int chain_has(struct tx *tx, const char *origin, const char *registry,
                            uint64_t registry_seq, const uint8_t hash[ENTRY_HASH_BYTES])
{
    return tx->ops->chains->has(tx, origin, registry, registry_seq, hash);
}

// --- unknown entries ---

// Those of a registry, counted by origin, repository, attribute and `must`, in this order.
static inline int unknown_list(struct tx *tx, const char *registry, size_t max, struct arena *a,
                               struct unknown_row **out, size_t *out_n)
{
    return tx->ops->chains->unknown_list(tx, registry, max, a, out, out_n);
}

// Those with an id above `after`, by id. Their kind and members are what this program reads in them,
// so one that it knows by now shows its kind.
static inline int unknown_next(struct tx *tx, int64_t after, size_t max, struct arena *a,
                               struct unknown_entry **out, size_t *out_n)
{
    return tx->ops->chains->unknown_next(tx, after, max, a, out, out_n);
}

// The entry with this id is known from here on: its row says what `e` says.
static inline int unknown_learn(struct tx *tx, int64_t id, const struct feed_entry *e)
{
    return tx->ops->chains->learn(tx, id, e);
}

// 0: an unknown entry with `must` is about this repository, or about its whole registry (its own
// repository is ""). ERR_NOTFOUND.
static inline int frozen_look(struct tx *tx, const char *registry, const char *repository)
{
    return tx->ops->chains->frozen(tx, registry, repository);
}

// --- numbers by name ---

// Names are "PART:WHAT". ERR_NOTFOUND.
static inline int number_get(struct tx *tx, const char *name, uint64_t *out)
{
    return tx->ops->chains->number_get(tx, name, out);
}

static inline int number_set(struct tx *tx, const char *name, uint64_t value)
{
    return tx->ops->chains->number_set(tx, name, value);
}

#endif
