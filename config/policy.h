// SPDX-License-Identifier: Apache-2.0
// What a registry's settings say of its repositories: quotas, sparse indexes, immutable tags,
// retention, where pushes that begin on the global name go on, whether blobs are copied ahead of
// their manifests, and who must have a write before it is acknowledged (design sections 8 to 10).
//
//   registries:
//     - name: contoso
//       quota: 500GiB
//       push_move: none
//       copy_ahead: enabled
//       ack: peers:1
//       limits: { reads: 60000, per_identity: { writes: 600 } }
//       repositories:                 # the first whose `match` fits holds
//         - match: "prod/*"
//           quota: 50GiB
//           sparse: allowed
//           immutable: ["v*"]
//           retention: { untagged: 7d, keep_last: 10, tags: ["dev-*"] }
//
//   const struct repository_policy *p = policy_of(reg, "prod/app"); // never NULL
//   if (policy_tag_immutable(p, "v1.2")) …
//   if (policy_runner(t, reg, "prod/app") == own_region) …
//
// In patterns `*` stands for any run of characters, slashes too; nothing else is special. Strings
// and arrays live as long as the registry's topology. Pure functions; any thread.
#ifndef MERIDIAN_CONFIG_POLICY_H
#define MERIDIAN_CONFIG_POLICY_H

#include "config/rates.h"
#include "config/topology.h"

#define POLICY_REPOSITORIES_MAX 64 // of a registry
#define POLICY_GLOBS_MAX 16        // of one list
#define POLICY_MATCH_MAX 255       // bytes of `match`
#define POLICY_TAG_GLOB_MAX 128    // bytes of a pattern of tags
#define POLICY_KEEP_LAST_MAX 10000
#define POLICY_UNTAGGED_MIN_MS 1000
#define POLICY_UNTAGGED_MAX_MS (3650ull * 86400000)
#define POLICY_QUOTA_MAX (1ull << 60) // bytes
#define POLICY_ACK_MAX 8              // peers

struct policy_globs {
    const char *const *list;
    size_t n;
};

// Rules that take away what nobody needs any more.
struct retention_policy {
    // manifests go that no tag has named for so long; 0: they stay
    uint64_t untagged_ms;
    // of the tags that `tags` names, so many of the newest stay; 0: all stay
    uint32_t keep_last;
    // none: all tags
    struct policy_globs tags;
};

struct repository_policy {
    // "*" where no rule of the registry fits
    const char *match;
    // of each repository that fits, in one region; 0: no bound of its own
    uint64_t quota_bytes;
    // an index may be stored while children are absent
    bool sparse;
    // tags that are create-only
    struct policy_globs immutable;
    struct retention_policy retention;
};

// Where uploads go on that began on the global name.
enum push_move {
    PUSH_MOVE_NONE,    // on the host called
    PUSH_MOVE_REGIONAL // on the regional host, by a signed URL
};

// Does a blob go to the other regions when its upload has ended, ahead of any manifest?
enum copy_ahead {
    COPY_AHEAD_ENABLED,
    // with its manifest; what a client may ask another region for next goes all the same
    COPY_AHEAD_DISABLED
};

struct registry_policy { // struct registry has NULL where all of it is as without
    enum push_move push_move;
    enum copy_ahead copy_ahead;
    // of the registry in one region; 0: no bound
    uint64_t quota_bytes;
    const struct repository_policy *repositories;
    size_t n_repositories;
    // requests a minute (config/rates.h)
    struct rates rates;
    // A write is acknowledged once so many other regions have it too; 0: once it is here.
    unsigned ack_peers;
};

uint64_t policy_quota(const struct registry *r);
// NULL: none is limited
const struct rates *policy_rates(const struct registry *r);
enum push_move policy_push_move(const struct registry *r);
enum copy_ahead policy_copy_ahead(const struct registry *r);
unsigned policy_ack_peers(const struct registry *r);
// Where ack_peers is more than policy_ack_most: name, ack_peers, and the most.
#define POLICY_ACK_SENTENCE                                                                  \
    "registry %s: ack: peers:%u asks for more other regions than have a replica that stays " \
    "(%u): lower ack, or add a replica, first"
// Other regions that can have what one of them writes: replicas that stay, but for that one.
unsigned policy_ack_most(const struct registry *r);
// The first rule that fits, or one that asks for nothing.
const struct repository_policy *policy_of(const struct registry *r, const char *repository);
bool policy_tag_immutable(const struct repository_policy *p, const char *tag);
// Is there a rule that takes anything away?
bool policy_retains(const struct repository_policy *p);
// Does keep_last speak of this tag?
bool policy_tag_counted(const struct repository_policy *p, const char *tag);
bool policy_glob_matches(const char *glob, const char *text);

// The region, by its index, that runs a repository's rules: one of the registry's replicas, found
// by rendezvous hashing on key, repository and the region's name, so that a replica more or less
// moves its own repositories only. A second runner does no harm.
uint8_t policy_runner(const struct topology *t, const struct registry *r, const char *repository);

// ---- for config/ and control/: as bytes, and judged ----

struct buf;
struct cursor;

// Two that say the same have the same bytes.
void policy_put(struct buf *out, const struct registry_policy *p);
// What policy_put wrote; patterns live in the arena. NULL and a failed cursor when it is not that;
// NULL and a good one when memory ended.
const struct registry_policy *policy_take(struct cursor *c, struct arena *arena);
// What cannot be in it, in words; NULL: nothing. *out_rule: which repository rule, counted from 0.
const char *policy_wrong(const struct registry_policy *p, size_t *out_rule);
bool policy_match_ok(const char *glob);
bool policy_tag_glob_ok(const char *glob);

#endif
