// SPDX-License-Identifier: Apache-2.0
// Entries of other regions that this program does not know (ENTRY_UNKNOWN, store/entry.h): they are
// kept as they came and relayed, have no job and no effect, and count as applied. When a program
// opens the store that knows them, they become jobs. See meta.h for threads, arenas and errors.
//
//   rc = meta_unknown_list(m, "contoso", &a, &rows, &n);
//   rc = meta_frozen(m, "contoso", "app");                   // ERR_FROZEN
//
// An unknown entry with `must` freezes its repository: what it says might change a merge, a deletion
// or who may do what, so nothing is written there, deleted, locked or collected, and no rule runs,
// until the program is upgraded. Reading goes on, and so does applying what other regions write.
#ifndef MERIDIAN_STORE_META_UNKNOWN_H
#define MERIDIAN_STORE_META_UNKNOWN_H

#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct meta;
struct tx;

struct unknown_row {
    const char *origin;
    // "": the whole registry
    const char *repository;
    const char *attribute;
    bool must;
    // entries
    uint64_t n;
};

// At most 1,000 rows: by origin, repository, attribute.
int meta_unknown_list(struct meta *m, const char *registry, struct arena *a,
                      struct unknown_row **out, size_t *out_n);

struct unknown_count {
    // entries of all registries, and of these with `must`; at most 10,000 are counted
    uint64_t n, n_must;
};
// One look into an index that is empty as a rule.
int meta_unknown_count(struct meta *m, struct unknown_count *out);

// 0, or ERR_FROZEN.
int meta_frozen(struct meta *m, const char *registry, const char *repository);
// The same in a transaction, for rules that are about to change a repository for its owner, and
// before its content is collected. One look into an index that is empty as a rule.
int repository_frozen(struct tx *tx, const char *registry, const char *repository);

#endif
