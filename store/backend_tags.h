// SPDX-License-Identifier: Apache-2.0
// Operations of a backend on tags: the value that each shows, and its history. See backend.h for
// what all operations keep to.
//
//   rc = tag_look(tx, repo, "latest", &now);               // ERR_NOTFOUND: there is no row
//   … the rule changes `now` …
//   rc = tag_save(tx, repo, &now);
//   rc = tag_history_add(tx, repo, "latest", &value, "ada");
//
// A tag's row holds the highest value and the highest tombstone, apart; whether the value is shown
// (`live`) is the rules' choice (meta_live.c). Its history holds versions that won and versions
// that lost, tombstones too.
#ifndef MERIDIAN_STORE_BACKEND_TAGS_H
#define MERIDIAN_STORE_BACKEND_TAGS_H

#include "store/backend_manifests.h"

// The registers of a tag, and what follows from them.
struct tag_now {
    const char *tag;
    // the highest value; stamp 0 with origin "" and no digest: none
    struct register_now value;
    char by[BY_SIZE];
    // the highest tombstone; stamp 0 with origin "": none
    struct register_now gone;
    // the highest stamp of a person's tombstone; 0: none
    uint64_t ended;
    // clients see its value
    bool live;
};

struct tag_ops {
    int (*look)(struct tx *tx, int64_t repo, const char *tag, struct tag_now *out);
    int (*save)(struct tx *tx, int64_t repo, const struct tag_now *t);
    int (*remove)(struct tx *tx, int64_t repo, const char *tag);
    int (*list)(struct tx *tx, int64_t repo, const char *after, size_t max, struct arena *a,
                const char ***out, size_t *out_n);
    int (*of)(struct tx *tx, int64_t repo, const struct digest *d, const char *after, size_t max,
              struct arena *a, const char ***out, size_t *out_n);
    int (*live_of)(struct tx *tx, int64_t repo, const struct digest *d, size_t max, struct arena *a,
                   const char ***out, size_t *out_n);
    int (*detail)(struct tx *tx, int64_t repo, const char *tag, struct arena *a,
                  struct tag_detail *out);
    int (*details)(struct tx *tx, int64_t repo, const char *after, size_t max, struct arena *a,
                   struct tag_detail **out, size_t *out_n);
    int (*history_add)(struct tx *tx, int64_t repo, const char *tag, const struct register_value *v,
                       const char *by);
    int (*history_trim)(struct tx *tx, int64_t repo, const char *tag, size_t keep);
    int (*history_clear)(struct tx *tx, int64_t repo, const char *tag);
    int (*history_list)(struct tx *tx, const char *registry, const char *repository,
                        const char *tag, size_t max, struct arena *a, struct tag_version **out,
                        size_t *out_n);
};

// The row of a tag; out->tag is the caller's `tag`. ERR_NOTFOUND: there is none.
static inline int tag_look(struct tx *tx, int64_t repo, const char *tag, struct tag_now *out)
{
    return tx->ops->tags->look(tx, repo, tag, out);
}

// Adds the row, or replaces it. The history stays.
static inline int tag_save(struct tx *tx, int64_t repo, const struct tag_now *t)
{
    tx_touches(tx, repo);
    return tx->ops->tags->save(tx, repo, t);
}

// The row goes. The history stays.
static inline int tag_remove(struct tx *tx, int64_t repo, const char *tag)
{
    tx_touches(tx, repo);
    return tx->ops->tags->remove(tx, repo, tag);
}

// Names of live tags, after `after` (""), in byte order.
static inline int tags_list(struct tx *tx, int64_t repo, const char *after, size_t max,
                            struct arena *a, const char ***out, size_t *out_n)
{
    return tx->ops->tags->list(tx, repo, after, max, a, out, out_n);
}

// Names of tags whose value has this digest, live or not, after `after` (""), in byte order.
static inline int tags_of(struct tx *tx, int64_t repo, const struct digest *d, const char *after,
                          size_t max, struct arena *a, const char ***out, size_t *out_n)
{
    return tx->ops->tags->of(tx, repo, d, after, max, a, out, out_n);
}

// Names of live tags that lead to this digest, in byte order, at most max.
static inline int live_tags_of(struct tx *tx, int64_t repo, const struct digest *d, size_t max,
                               struct arena *a, const char ***out, size_t *out_n)
{
    return tx->ops->tags->live_of(tx, repo, d, max, a, out, out_n);
}

// A live tag, but for its lock. ERR_NOTFOUND.
static inline int tag_detail(struct tx *tx, int64_t repo, const char *tag, struct arena *a,
                             struct tag_detail *out)
{
    return tx->ops->tags->detail(tx, repo, tag, a, out);
}

// Live tags after `after` (""), in byte order, but for their locks.
static inline int tag_details(struct tx *tx, int64_t repo, const char *after, size_t max,
                              struct arena *a, struct tag_detail **out, size_t *out_n)
{
    return tx->ops->tags->details(tx, repo, after, max, a, out, out_n);
}

// Adds a version. One with the same stamp, origin and digest is the same version: the higher one in
// the order of registers stays.
static inline int tag_history_add(struct tx *tx, int64_t repo, const char *tag,
                                  const struct register_value *v, const char *by)
{
    return tx->ops->tags->history_add(tx, repo, tag, v, by);
}

// Drops all but the `keep` highest versions, in the order of registers.
static inline int tag_history_trim(struct tx *tx, int64_t repo, const char *tag, size_t keep)
{
    return tx->ops->tags->history_trim(tx, repo, tag, keep);
}

// Drops all versions.
static inline int tag_history_clear(struct tx *tx, int64_t repo, const char *tag)
{
    return tx->ops->tags->history_clear(tx, repo, tag);
}

// The highest versions of a tag that has a row, the highest first. ERR_NOTFOUND: it has none.
static inline int tag_history_list(struct tx *tx, const char *registry, const char *repository,
                                   const char *tag, size_t max, struct arena *a,
                                   struct tag_version **out, size_t *out_n)
{
    return tx->ops->tags->history_list(tx, registry, repository, tag, max, a, out, out_n);
}

#endif
