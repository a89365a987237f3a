// SPDX-License-Identifier: Apache-2.0
// The retention rules of one repository (config/policy.h): what would go and why, and making it go.
// See meta.h for threads, arenas and errors.
//
//   const struct repository_policy *policy = policy_of(reg, "app");
//   struct retention_query q = {.registry = reg->key, .repository = "app", .policy = policy,
//                               .now_ms = clock_wall_ms(), .max = 100};
//   rc = meta_retention_plan(m, &q, &a, &plan);     // a dry run
//   rc = meta_retention_run(m, &q, &a, &done);      // the next 100 go
//   q.after = done.next;                            // NULL: that was all
//
// keep-last: of the tags that the rule names, the newest so many stay; the value's stamp says how
// old a tag is, and equal stamps stay together. Only the tags go. untagged: manifests go that no
// live tag names and no live index reaches, and whose subject, if they have one, is gone, when that
// is so for longer than the rule says. What is attached to a manifest stays as long as that does.
// What has a delete lock stays, and so does everything in a repository that has one.
//
// A rule judges what this region holds. Its tombstones carry the register identity of what they
// judged, so that whatever this region had not seen wins over them (design section 9). So a second
// region that runs the rules of the same repository does no harm.
#ifndef MERIDIAN_STORE_META_RETENTION_H
#define MERIDIAN_STORE_META_RETENTION_H

#include "base/arena.h"
#include "base/digest.h"
#include "config/policy.h"

#include <stdbool.h>
#include <stdint.h>

struct meta;

struct retention_query {
    // the registry's key
    const char *registry, *repository;
    const struct repository_policy *policy;
    // wall
    int64_t now_ms;
    // rows of one call, at least 1
    size_t max;
    // NULL or "": from the start; else `next` of the call before
    const char *after;
};

#define RETENTION_CURSOR_SIZE 256 // `next`, with its NUL
#define RETENTION_FROM_START "t"  // as `after`: from the start, too

// One thing that goes.
struct retention_row {
    // NULL: the manifest goes
    const char *tag;
    // the manifest, or what the tag shows
    struct digest digest;
    // "keep-last" or "untagged"
    const char *rule;
    // a sentence
    const char *why;
    // a tag: since its value was set; a manifest: since it is untagged
    int64_t age_ms;
    // of a manifest's own content; 0 of a tag
    uint64_t size_bytes;
    // a lock keeps it: it does not go
    bool locked;
    // the register's value that was judged
    uint64_t stamp, epoch;
    const char *origin;
};

struct retention_plan {
    struct retention_row *rows;
    size_t n;
    // NULL: the end. A call may find no rows and have a next.
    const char *next;
};

// Reads only. ERR_NOTFOUND: no such repository.
int meta_retention_plan(struct meta *m, const struct retention_query *q, struct arena *a,
                        struct retention_plan *out);

struct retention_done {
    size_t n_tags, n_manifests;
    // a lock keeps them, or they changed since they were judged
    size_t n_kept;
    // as of the plan
    const char *next;
};

// Deletes what meta_retention_plan lists, each in a transaction of its own. On failure what went
// before stays gone. ERR_BUSY, ERR_BEHIND, ERR_FROZEN as of meta_rule_delete.
int meta_retention_run(struct meta *m, const struct retention_query *q, struct arena *a,
                       struct retention_done *out);

#endif
