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
#include "store/manifest.h"
#include "store/meta_usage.h"

#include <stdbool.h>
#include <stdint.h>

struct meta;
struct upload_end;

// --- pushing ---

struct manifest_put {
    const char *registry, *repository;
    struct digest digest;
    const char *media_type;
    struct bytes content;
    const struct manifest_ref *refs;
    size_t n_refs;
    // NULL: by digest only
    const char *tag;
    // The tag's present value must be this (ERR_CONFLICT, HTTP 412); NULL: no condition.
    const struct digest *if_match;
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
};

// Stores and announces a manifest, and a tag if one is given. It mints also when all is here as it
// says (the tag's entry alone, where this region asserted the manifest before); pushes of the same
// that wait for the same commit share one entry. ERR_INVAL: a name or the media type is malformed.
// ERR_DIGEST: the content has another digest. ERR_BUSY: a write gate is closed. ERR_QUOTA: the
// manifest is not here yet, and a limit is in the way.
int meta_manifest_put(struct meta *m, const struct manifest_put *p, struct put_result *out);

// --- pulling ---

struct manifest_row {
    struct digest digest;
    const char *media_type;
    struct bytes content;
    // the register's value: of the tag when read by tag, else of the manifest's presence
    uint64_t stamp, epoch;
    const char *origin;
};

// By tag or by digest, the other is NULL. ERR_NOTFOUND, also for an unknown repository.
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
    struct digest digest;
    uint64_t stamp, epoch;
    const char *origin;
};

// A tag keeps at most so many versions: the highest in the order of registers, so the same ones in
// every region.
#define META_HISTORY_MAX 100
// The present value first, then what it replaced. ERR_NOTFOUND: no such tag.
int meta_tag_history(struct meta *m, const char *registry, const char *repository, const char *tag,
                     size_t max, struct arena *a, struct tag_version **out, size_t *out_n);

#endif
