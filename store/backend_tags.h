// SPDX-License-Identifier: Apache-2.0
// Operations of a backend on tags: the value that each shows, and its history. See backend.h for
// what all operations keep to.
//
//   rc = tag_get(tx, repo, "latest", &now);                // ERR_NOTFOUND
//   rc = tag_set(tx, repo, "latest", &value);              // the rule has compared them
//   rc = tag_history_add(tx, repo, "latest", &value);
//
// A tag's history holds versions that won and versions that lost; the value that is shown is the
// rules' choice (meta_merge.c).
#ifndef MERIDIAN_STORE_BACKEND_TAGS_H
#define MERIDIAN_STORE_BACKEND_TAGS_H

#include "store/backend_state.h"

struct tag_ops {
    int (*get)(struct tx *tx, int64_t repo, const char *tag, struct register_now *out);
    int (*set)(struct tx *tx, int64_t repo, const char *tag, const struct register_value *v);
    int (*remove)(struct tx *tx, int64_t repo, const char *tag);
    int (*list)(struct tx *tx, int64_t repo, const char *after, size_t max, struct arena *a,
                const char ***out, size_t *out_n);
    int (*history_add)(struct tx *tx, int64_t repo, const char *tag,
                       const struct register_value *v);
    int (*history_trim)(struct tx *tx, int64_t repo, const char *tag, size_t keep);
    int (*history_clear)(struct tx *tx, int64_t repo, const char *tag);
    int (*history_list)(struct tx *tx, const char *registry, const char *repository,
                        const char *tag, size_t max, struct arena *a, struct tag_version **out,
                        size_t *out_n);
};

// The value that is shown. ERR_NOTFOUND.
static inline int tag_get(struct tx *tx, int64_t repo, const char *tag, struct register_now *out)
{
    return tx->ops->tags->get(tx, repo, tag, out);
}

// Shows this value, whatever was shown before. The history stays.
static inline int tag_set(struct tx *tx, int64_t repo, const char *tag,
                          const struct register_value *v)
{
    return tx->ops->tags->set(tx, repo, tag, v);
}

// The tag shows no value any more. Its history stays.
static inline int tag_remove(struct tx *tx, int64_t repo, const char *tag)
{
    return tx->ops->tags->remove(tx, repo, tag);
}

// Names of tags that show a value, after `after` (""), in byte order.
static inline int tags_list(struct tx *tx, int64_t repo, const char *after, size_t max,
                            struct arena *a, const char ***out, size_t *out_n)
{
    return tx->ops->tags->list(tx, repo, after, max, a, out, out_n);
}

// Adds a version. One with the same stamp, origin and digest is the same version: it keeps the
// higher epoch.
static inline int tag_history_add(struct tx *tx, int64_t repo, const char *tag,
                                  const struct register_value *v)
{
    return tx->ops->tags->history_add(tx, repo, tag, v);
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

// The highest versions of a tag that shows a value, the highest first. ERR_NOTFOUND: it shows none.
static inline int tag_history_list(struct tx *tx, const char *registry, const char *repository,
                                   const char *tag, size_t max, struct arena *a,
                                   struct tag_version **out, size_t *out_n)
{
    return tx->ops->tags->history_list(tx, registry, repository, tag, max, a, out, out_n);
}

#endif
