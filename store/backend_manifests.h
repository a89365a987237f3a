// SPDX-License-Identifier: Apache-2.0
// Operations of a backend on manifests: their registers and content, what they refer to, what leads
// to them, locks. See backend.h for what all operations keep to.
//
//   rc = refs_check(tx, repo, refs, n_refs, &how, &missing);   // ERR_NOTFOUND: one is not there
//   rc = manifest_look(tx, repo, &digest, &now);               // ERR_NOTFOUND: there is no row
//   … the rule changes `now` …
//   rc = manifest_save(tx, repo, &now, content);
//
// The operations compare no registers: what wins, and what lives, is the rules' (meta_merge_*.c,
// meta_live.c).
//
// A manifest's row holds its registers, and may be there without content: it is "recorded" then. It
// has references only while its content is here.
#ifndef MERIDIAN_STORE_BACKEND_MANIFESTS_H
#define MERIDIAN_STORE_BACKEND_MANIFESTS_H

#include "store/backend_state.h"

#define BY_SIZE 256                        // who wrote something, cut off, and NUL
#define ABSENT_MAX (MANIFEST_MAX_REFS / 8) // bytes of a map of absent children

// The registers of a manifest, and what follows from them.
struct manifest_now {
    struct digest digest;
    // the highest value that asserts it; stamp 0 with origin "": nobody does
    struct register_now value;
    // of that value: bit i % 8 of byte i / 8 says that its child manifest i is absent
    uint8_t absent[ABSENT_MAX];
    size_t n_absent;
    char media_type[MEDIA_TYPE_SIZE], by[BY_SIZE];
    // the highest tombstone; stamp 0 with origin "": none
    struct register_now gone;
    // the highest stamp of a person's tombstone; 0: none
    uint64_t killed;
    // The content is here. manifest_save ignores it: it is here from when it is given.
    bool here;
    // of the content; 0 when it is not here. manifest_save ignores it, too
    uint64_t size;
    // clients see it
    bool live;
    // wall: when it ceased to live; 0: it lives, or never did
    int64_t died_ms;
};

// What a row of manifest_children leads to.
struct child_row {
    struct digest digest;
    bool there, here, live, asserted;
};

// A lock, as a register: the value's digest is not used.
struct lock_now {
    struct register_now value;
    bool write, del;
    char by[BY_SIZE];
};

// Of what an attribute is.
struct subject {
    // "": not of a tag
    const char *tag;
    // n 0: not of a manifest; with neither: of the repository
    struct digest digest;
};

// How refs_check judges.
struct refs_how {
    // Child manifests need not live, if their content is here.
    bool recorded;
    // as in struct manifest_now: these children are passed over
    const uint8_t *absent;
    size_t n_absent;
};

// Is the child manifest number i marked as absent?
static inline bool absent_has(const uint8_t *map, size_t n, size_t i)
{
    return i / 8 < n && map[i / 8] >> (i % 8) & 1;
}

// A manifest that lives and that no own entry asserts.
struct unasserted_row {
    struct digest digest;
    const char *media_type;
    uint64_t size, stamp;
};

// A manifest that lives no more and whose content is here.
struct died_row {
    int64_t repo;
    const char *registry, *repository;
    struct digest digest;
    int64_t died_ms;
    // of its content
    uint64_t size;
};

struct manifest_ops {
    int (*manifest_visible)(struct tx *tx, int64_t repo, const struct digest *digest);
    int (*manifest_look)(struct tx *tx, int64_t repo, const struct digest *digest,
                         struct manifest_now *out);
    int (*manifest_size)(struct tx *tx, int64_t repo, const struct digest *digest,
                         uint64_t *out_size);
    int (*manifest_save)(struct tx *tx, int64_t repo, const struct manifest_now *m,
                         struct bytes content);
    int (*manifest_empty)(struct tx *tx, int64_t repo, const struct digest *digest);
    int (*manifest_remove)(struct tx *tx, int64_t repo, const struct digest *digest);
    int (*manifest_get)(struct tx *tx, const char *registry, const char *repository,
                        const char *tag, const struct digest *d, struct arena *a,
                        struct manifest_row *out);
    int (*manifest_content)(struct tx *tx, const char *registry, const char *repository,
                            const struct digest *d, struct arena *a, struct bytes *out);
    int (*refs_add)(struct tx *tx, int64_t repo, const struct digest *parent,
                    const struct manifest_ref *refs, size_t n, const uint8_t *absent,
                    size_t n_absent);
    int (*refs_check)(struct tx *tx, int64_t repo, const struct manifest_ref *refs, size_t n,
                      const struct refs_how *how, struct digest *out_missing);
    int (*unasserted_below)(struct tx *tx, int64_t repo, const struct digest *parent, int max_depth,
                            const struct log_assertion *by, struct arena *a,
                            struct unasserted_row **out, size_t *out_n);
    int (*manifest_led)(struct tx *tx, int64_t repo, const struct digest *digest);
    int (*manifest_held)(struct tx *tx, int64_t repo, const struct digest *digest);
    int (*manifest_parents)(struct tx *tx, int64_t repo, const struct digest *digest, size_t max,
                            struct arena *a, struct digest **out, size_t *out_n);
    int (*manifest_children)(struct tx *tx, int64_t repo, const struct digest *digest,
                             struct arena *a, struct child_row **out, size_t *out_n);
    int (*manifests_died)(struct tx *tx, int64_t before_ms, size_t max, struct arena *a,
                          struct died_row **out, size_t *out_n);
    int (*dead_parents)(struct tx *tx, int64_t repo, const struct digest *child, size_t max,
                        struct arena *a, struct digest **out, size_t *out_n);
    int (*manifest_details)(struct tx *tx, int64_t repo, const struct digest *after, size_t max,
                            struct arena *a, struct manifest_detail **out, size_t *out_n);
    int (*manifest_detail)(struct tx *tx, int64_t repo, const struct digest *digest,
                           struct arena *a, struct manifest_detail *out);
    int (*untagged_set)(struct tx *tx, int64_t repo, const struct digest *digest, int64_t now_ms);
    int (*lock_get)(struct tx *tx, int64_t repo, const struct subject *s, struct lock_now *out);
    int (*lock_save)(struct tx *tx, int64_t repo, const struct subject *s,
                     const struct lock_now *l);
    int (*lock_remove)(struct tx *tx, int64_t repo, const struct subject *s);
};

// 0: the manifest lives; ERR_NOTFOUND.
static inline int manifest_visible(struct tx *tx, int64_t repo, const struct digest *digest)
{
    return tx->ops->manifests->manifest_visible(tx, repo, digest);
}

// The row of a manifest. ERR_NOTFOUND: there is none.
static inline int manifest_look(struct tx *tx, int64_t repo, const struct digest *digest,
                                struct manifest_now *out)
{
    return tx->ops->manifests->manifest_look(tx, repo, digest, out);
}

// Of its content. ERR_NOTFOUND.
static inline int manifest_size(struct tx *tx, int64_t repo, const struct digest *digest,
                                uint64_t *out_size)
{
    return tx->ops->manifests->manifest_size(tx, repo, digest, out_size);
}

// Adds the row of m->digest, or replaces it. `content`: comes in with it; n 0: what is here stays.
static inline int manifest_save(struct tx *tx, int64_t repo, const struct manifest_now *m,
                                struct bytes content)
{
    tx_touches(tx, repo);
    return tx->ops->manifests->manifest_save(tx, repo, m, content);
}

// The content goes, and the references; the registers stay.
static inline int manifest_empty(struct tx *tx, int64_t repo, const struct digest *digest)
{
    tx_touches(tx, repo);
    return tx->ops->manifests->manifest_empty(tx, repo, digest);
}

// The row goes, with its content and references.
static inline int manifest_remove(struct tx *tx, int64_t repo, const struct digest *digest)
{
    tx_touches(tx, repo);
    return tx->ops->manifests->manifest_remove(tx, repo, digest);
}

// By tag or by digest, the other is NULL: the manifest with its content, and the register of the
// tag, or of its presence. Only what lives. Every GET of a manifest is this one operation.
// ERR_NOTFOUND.
static inline int manifest_get(struct tx *tx, const char *registry, const char *repository,
                               const char *tag, const struct digest *d, struct arena *a,
                               struct manifest_row *out)
{
    return tx->ops->manifests->manifest_get(tx, registry, repository, tag, d, a, out);
}

// The content alone, whether it lives or not. ERR_NOTFOUND: it is not here.
static inline int manifest_content(struct tx *tx, const char *registry, const char *repository,
                                   const struct digest *d, struct arena *a, struct bytes *out)
{
    return tx->ops->manifests->manifest_content(tx, registry, repository, d, a, out);
}

// Notes what the manifest `parent` refers to. Of references that are noted already the absent marks
// are set anew, by their first place.
static inline int refs_add(struct tx *tx, int64_t repo, const struct digest *parent,
                           const struct manifest_ref *refs, size_t n, const uint8_t *absent,
                           size_t n_absent)
{
    return tx->ops->manifests->refs_add(tx, repo, parent, refs, n, absent, n_absent);
}

// 0: every blob among `refs` exists in the repository, and every child manifest lives, or what
// `how` says. ERR_NOTFOUND with the first, in their order, for which this is not so. Other kinds of
// references need not be there.
static inline int refs_check(struct tx *tx, int64_t repo, const struct manifest_ref *refs, size_t n,
                             const struct refs_how *how, struct digest *out_missing)
{
    return tx->ops->manifests->refs_check(tx, repo, refs, n, how, out_missing);
}

// The live manifests below `parent`, which refer to each other by REF_MANIFEST without absent mark,
// down to `max_depth`, the deepest first; not those that an own entry above their tombstone asserts
// (log_own_asserts), nor what lies only below such.
static inline int unasserted_below(struct tx *tx, int64_t repo, const struct digest *parent,
                                   int max_depth, const struct log_assertion *by, struct arena *a,
                                   struct unasserted_row **out, size_t *out_n)
{
    return tx->ops->manifests->unasserted_below(tx, repo, parent, max_depth, by, a, out, out_n);
}

// Does a live tag lead to it? 0 or ERR_NOTFOUND.
static inline int manifest_led(struct tx *tx, int64_t repo, const struct digest *digest)
{
    return tx->ops->manifests->manifest_led(tx, repo, digest);
}

// Does a live manifest refer to it by REF_MANIFEST, without absent mark? 0 or ERR_NOTFOUND.
static inline int manifest_held(struct tx *tx, int64_t repo, const struct digest *digest)
{
    return tx->ops->manifests->manifest_held(tx, repo, digest);
}

// Which ones do, by digest, at most max.
static inline int manifest_parents(struct tx *tx, int64_t repo, const struct digest *digest,
                                   size_t max, struct arena *a, struct digest **out, size_t *out_n)
{
    return tx->ops->manifests->manifest_parents(tx, repo, digest, max, a, out, out_n);
}

// The manifests that it refers to without absent mark, by digest.
static inline int manifest_children(struct tx *tx, int64_t repo, const struct digest *digest,
                                    struct arena *a, struct child_row **out, size_t *out_n)
{
    return tx->ops->manifests->manifest_children(tx, repo, digest, a, out, out_n);
}

// Manifests that live no more, whose content is here, of all repositories: those that died at or
// before before_ms, the first ones first, at most max.
static inline int manifests_died(struct tx *tx, int64_t before_ms, size_t max, struct arena *a,
                                 struct died_row **out, size_t *out_n)
{
    return tx->ops->manifests->manifests_died(tx, before_ms, max, a, out, out_n);
}

// Manifests that live no more, whose content is here, and which refer to this blob or manifest; at
// most max, by digest.
static inline int dead_parents(struct tx *tx, int64_t repo, const struct digest *child, size_t max,
                               struct arena *a, struct digest **out, size_t *out_n)
{
    return tx->ops->manifests->dead_parents(tx, repo, child, max, a, out, out_n);
}

// Live manifests by digest, after `after` (n 0: from the start), at most max: digest, media type,
// size, the presence's value, who, its subject (with whether that lives), and the time of
// untagged_set. Not their tags, locks, and why they live.
static inline int manifest_details(struct tx *tx, int64_t repo, const struct digest *after,
                                   size_t max, struct arena *a, struct manifest_detail **out,
                                   size_t *out_n)
{
    return tx->ops->manifests->manifest_details(tx, repo, after, max, a, out, out_n);
}

// The same of one live manifest. ERR_NOTFOUND.
static inline int manifest_detail(struct tx *tx, int64_t repo, const struct digest *digest,
                                  struct arena *a, struct manifest_detail *out)
{
    return tx->ops->manifests->manifest_detail(tx, repo, digest, a, out);
}

// A tag left this manifest now (wall).
static inline int untagged_set(struct tx *tx, int64_t repo, const struct digest *digest,
                               int64_t now_ms)
{
    return tx->ops->manifests->untagged_set(tx, repo, digest, now_ms);
}

// --- locks ---

// The lock of a subject, whether it is valid or not. ERR_NOTFOUND.
static inline int lock_get(struct tx *tx, int64_t repo, const struct subject *s,
                           struct lock_now *out)
{
    return tx->ops->manifests->lock_get(tx, repo, s, out);
}

// Adds it, or replaces it.
static inline int lock_save(struct tx *tx, int64_t repo, const struct subject *s,
                            const struct lock_now *l)
{
    return tx->ops->manifests->lock_save(tx, repo, s, l);
}

static inline int lock_remove(struct tx *tx, int64_t repo, const struct subject *s)
{
    return tx->ops->manifests->lock_remove(tx, repo, s);
}

#endif
