// SPDX-License-Identifier: Apache-2.0
// Manifests and tags in a region's metadata: what a client pushes and pulls. Part of
// store/meta.h, whose opening lines hold here too.
//
//   rc = meta_manifest_put(m, &put, &result);       // ERR_NOTFOUND: result.missing is not there
//   rc = meta_manifest_get(m, "contoso", "app", "latest", NULL, &arena, &row);
#ifndef MERIDIAN_STORE_META_MANIFESTS_H
#define MERIDIAN_STORE_META_MANIFESTS_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "base/register.h"
#include "store/manifest.h"
#include "store/meta_usage.h"

#include <stdbool.h>
#include <stdint.h>

struct meta;
struct upload_end;

// --- pushing ---

#define META_PUT_TAGS_MAX 64

struct manifest_put {
    const char *registry, *repository;
    struct digest digest;
    const char *media_type;
    struct bytes content;
    const struct manifest_ref *refs;
    size_t n_refs;
    // NULL: by digest only, unless there are `tags`
    const char *tag;
    // more tags, which take the value in the same transaction; at most META_PUT_TAGS_MAX
    const char *const *tags;
    size_t n_tags;
    // The value of `tag` must be this (ERR_CONFLICT, HTTP 412); NULL: no condition.
    const struct digest *if_match;
    // No tag may show another digest (ERR_EXISTS); one that shows this digest takes no new value.
    bool create_only;
    // The same for the tags for which it says true; NULL: for none.
    bool (*is_immutable)(void *ctx, const char *tag);
    void *immutable_ctx;
    // Child manifests that are not here are marked as absent.
    bool allow_absent;
    // who pushes; NULL or "": not known
    const char *by;
    // The registry has one replica: a push of what is here as it says needs no new entry.
    bool sole_replica;
    // NULL: none.
    const struct usage_limits *limits;
};

struct put_result {
    // of the last entry that was written, or of an older one that stands for this push too
    uint64_t stamp;
    // on ERR_NOTFOUND: a blob or manifest that is not there. Set on failure, too.
    struct digest missing;
    // the manifest was not visible before
    bool created;
    // of ERR_QUOTA, set on failure
    struct usage_over over;
    // on ERR_EXISTS: the tag that shows another digest. Of the caller's texts; set on failure, too.
    const char *exists;
    // on ERR_LOCKED: the tag; "": the manifest, or the repository. The same.
    const char *locked;
};

// Stores and announces a manifest, and tags if any are given. It mints also when all is here as it
// says (the tags' entries alone, where this region asserted the manifest before); pushes of the
// same that wait for the same commit share one entry. ERR_INVAL: a name or the media type is
// malformed. ERR_DIGEST: the content has another digest. ERR_BUSY: a write gate is closed.
// ERR_LOCKED: a write lock of a tag that shows another digest, or of the manifest or repository,
// refuses it; what is locked and as it says already takes no new entry. ERR_FROZEN: the repository
// holds a change that this version does not know. ERR_QUOTA: the manifest is not
// here yet, and a limit is in the way.
int meta_manifest_put(struct meta *m, const struct manifest_put *p, struct put_result *out);

// A tag shows a manifest that lives here already.
struct tag_put {
    const char *registry, *repository, *tag;
    struct digest digest;
    bool create_only;
    // NULL or "": not known
    const char *by;
};
// The same as a push of the manifest with this tag. ERR_NOTFOUND: the manifest does not live here.
int meta_tag_put(struct meta *m, const struct tag_put *p, struct put_result *out);

// --- pulling ---

struct manifest_row {
    struct digest digest;
    const char *media_type;
    struct bytes content;
    // the register's value: of the tag when read by tag, else of the manifest's presence
    uint64_t stamp, epoch;
    const char *origin;
};

// By tag or by digest, the other is NULL. Only what lives (design section 9, invariant 3).
// ERR_NOTFOUND, also for an unknown repository.
int meta_manifest_get(struct meta *m, const char *registry, const char *repository, const char *tag,
                      const struct digest *digest, struct arena *a, struct manifest_row *out);

// It has, or had, a manifest or a blob.
bool meta_repository_exists(struct meta *m, const char *registry, const char *repository);

// Names after `after` (NULL: from the start) in byte order, at most `max`. ERR_NOTFOUND: no such
// repository.
int meta_tags_list(struct meta *m, const char *registry, const char *repository, const char *after,
                   size_t max, struct arena *a, const char ***out, size_t *out_n);
// The same for repositories that have a manifest.
int meta_repositories_list(struct meta *m, const char *registry, const char *after, size_t max,
                           struct arena *a, const char ***out, size_t *out_n);

struct tag_version {
    // of a tombstone: n is 0
    struct digest digest;
    uint64_t stamp, epoch;
    const char *origin;
    bool gone, create_only;
    uint64_t generation;
    // "": not known
    const char *by;
    // the digest lives here now
    bool here;
};

// A tag keeps at most so many versions: the highest in the order of registers, so the same ones in
// every region.
#define META_HISTORY_MAX 100
// The highest version first, then what it replaced; also of a tag that is gone. ERR_NOTFOUND: there
// was never such a tag.
int meta_tag_history(struct meta *m, const char *registry, const char *repository, const char *tag,
                     size_t max, struct arena *a, struct tag_version **out, size_t *out_n);

// --- lists in detail ---

struct tag_detail {
    const char *tag;
    struct digest digest;
    const char *media_type;
    // of the manifest's content
    uint64_t size;
    // of the tag's value
    uint64_t stamp, epoch;
    const char *origin, *by;
    bool create_only;
    // valid locks
    bool lock_write, lock_delete;
};
// As meta_tags_list.
int meta_tags_detail(struct meta *m, const char *registry, const char *repository,
                     const char *after, size_t max, struct arena *a, struct tag_detail **out,
                     size_t *out_n);
// ERR_NOTFOUND.
int meta_tag_detail(struct meta *m, const char *registry, const char *repository, const char *tag,
                    struct arena *a, struct tag_detail *out);

// Why a manifest lives; bits.
enum manifest_held {
    HELD_ASSERTED = 1 << 0,
    HELD_BY_TAG = 1 << 1,
    HELD_BY_INDEX = 1 << 2,
    HELD_BY_LOCK = 1 << 3,
};

#define META_DETAIL_TAGS_MAX 100

struct manifest_detail {
    struct digest digest;
    const char *media_type;
    uint64_t size;
    // of its presence; 0, 0 and "": nobody asserts it
    uint64_t stamp, epoch;
    const char *origin, *by;
    bool lock_write, lock_delete;
    // of enum manifest_held
    unsigned held;
    // live ones, at most META_DETAIL_TAGS_MAX
    const char **tags;
    size_t n_tags;
    bool has_subject, subject_live;
    struct digest subject;
    // wall: when a tag left it last, if none leads to it now; 0: none ever left it here
    int64_t untagged_ms;
};
// Live ones by digest, after `after` (NULL: from the start).
int meta_manifests_list(struct meta *m, const char *registry, const char *repository,
                        const struct digest *after, size_t max, struct arena *a,
                        struct manifest_detail **out, size_t *out_n);
// ERR_NOTFOUND.
int meta_manifest_detail(struct meta *m, const char *registry, const char *repository,
                         const struct digest *d, struct arena *a, struct manifest_detail *out);
// --- registers as they are, for peers ---

struct meta_register {
    // the highest value or tombstone
    struct register_value top;
    // clients see a value
    bool live;
};
// ERR_NOTFOUND: nothing was ever applied to it.
int meta_tag_register(struct meta *m, const char *registry, const char *repository, const char *tag,
                      struct arena *a, struct meta_register *out);
int meta_manifest_register(struct meta *m, const char *registry, const char *repository,
                           const struct digest *d, struct arena *a, struct meta_register *out);

#endif
