// SPDX-License-Identifier: Apache-2.0
// Deleting tags and manifests, and locking them. Part of store/meta.h, whose opening lines hold
// here too. What a deletion means is store/liveness.h; blobs are not deleted: their bytes go by
// collection.
//
//   struct delete_request r = {.registry = "contoso", .repository = "app", .tag = "v1"};
//   rc = meta_tag_delete(m, &r, &arena, &result);         // ERR_LOCKED: a lock refuses it
//
// A deletion by a person ends what the person sees: of a manifest also the tags that lead to it. A
// deletion by a rule ends the value that the rule judged and nothing newer.
//
// Errors of all calls that write: ERR_BUSY: a write gate is closed. ERR_BEHIND: a region that holds
// this registry runs a version that knows no deletions. ERR_FROZEN: the repository holds a change
// that this version does not know. ERR_AHEAD: it would have to be above a stamp of the future.
// ERR_INVAL: a name is malformed.
#ifndef MERIDIAN_STORE_META_DELETE_H
#define MERIDIAN_STORE_META_DELETE_H

#include "base/arena.h"
#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct meta;

// --- by persons ---

struct delete_request {
    const char *registry, *repository;
    // of meta_tag_delete
    const char *tag;
    // of meta_manifest_delete
    const struct digest *digest;
    // who deletes; NULL or "": not known
    const char *by;
    // With tag: it must show this digest (ERR_CONFLICT). NULL: no condition.
    const struct digest *if_match;
};

#define DELETE_PARENTS_MAX 100
#define DELETE_TAGS_MAX 1000

struct delete_result {
    // of the tombstone
    uint64_t stamp;
    // on ERR_CONFLICT of a manifest: live indexes that refer to it, at most DELETE_PARENTS_MAX
    struct digest *parents;
    size_t n_parents;
    // of a manifest: the tags that went with it, at most DELETE_TAGS_MAX
    const char **tags;
    size_t n_tags;
};

// ERR_NOTFOUND: nothing lives of that name. ERR_LOCKED: the tag or the repository has a delete
// lock.
int meta_tag_delete(struct meta *m, const struct delete_request *r, struct arena *a,
                    struct delete_result *out);
// The manifest goes, and the tags that lead to it. ERR_CONFLICT: a live index refers to it, see
// out->parents. ERR_LOCKED: the manifest, a tag that leads to it, or the repository has a delete
// lock.
int meta_manifest_delete(struct meta *m, const struct delete_request *r, struct arena *a,
                         struct delete_result *out);

// --- by rules ---

struct rule_delete {
    const char *registry, *repository;
    // NULL: the manifest `digest`
    const char *tag;
    // of a manifest
    const struct digest *digest;
    // The value that the rule judged: of the tag, or of the manifest's presence (tag_detail,
    // manifest_detail).
    uint64_t stamp, epoch;
    const char *origin;
    // the rule's name
    const char *rule;
};
// ERR_NOTFOUND: nothing lives of that name. ERR_CONFLICT: the register has another value now, or (of
// a manifest) a live tag, a live index, or a live subject holds it: judge again. ERR_LOCKED as above.
int meta_rule_delete(struct meta *m, const struct rule_delete *r, uint64_t *out_stamp);

// --- locks ---

struct lock_request {
    const char *registry, *repository;
    // NULL: not of a tag
    const char *tag;
    // NULL: not of a manifest; with neither: of the repository
    const struct digest *digest;
    // Refuse writes, refuse deletion. Both false: no lock.
    bool write, del;
    // NULL or "": not known
    const char *by;
};
// A write lock of a tag: no push gives it another digest; of a manifest: none gives it another media
// type; of a repository: there is no push. A delete lock: no deletion, by persons or rules. What is
// locked so already is 0, and nothing is minted. ERR_NOTFOUND: nothing lives of that name.
int meta_lock_set(struct meta *m, const struct lock_request *r, uint64_t *out_stamp);

struct lock_state {
    bool write, del;
    // 0 and "": there was never a lock, or it is void
    uint64_t stamp;
    const char *origin, *by;
};
// The valid lock. ERR_NOTFOUND as above.
int meta_lock_get(struct meta *m, const char *registry, const char *repository, const char *tag,
                  const struct digest *digest, struct arena *a, struct lock_state *out);

// --- what is left of them ---

// The content of manifests that died at or before died_before_ms (wall) goes, of at most max;
// their registers stay. *out_n: of so many. *out_more: there are others. Nothing goes in a
// repository that an unknown entry freezes.
int meta_dead_content_drop(struct meta *m, int64_t died_before_ms, size_t max, size_t *out_n,
                           bool *out_more);

#endif
