// SPDX-License-Identifier: Apache-2.0
// A set of registers (tags, presences of manifests, locks) while entries become void: each register comes
// once, with what the caller keeps of it. Rules use it inside one transaction.
//
//   struct register_set set;
//   register_set_init(&set, &arena);
//   rc = register_set_add(&set, &name, &row);   // the row that is there, or a zeroed new one
//   register_set_sort(&set);
//   for (size_t i = 0; i < set.n; i++) …set.rows[i]…
//   register_set_done(&set);
//
// Names are copied into the arena. A row moves when another one is added, or by register_set_sort.
#ifndef MERIDIAN_STORE_REGISTER_SET_H
#define MERIDIAN_STORE_REGISTER_SET_H

#include "base/arena.h"
#include "base/register.h"
#include "store/backend_state.h"
#include "store/entry.h"

struct htab;

struct register_row {
    struct register_name name;
    // kept by the caller: whether the register has a value, and which one
    bool there;
    struct register_value value;
    // kept by the caller: a register stamp, and entries of the log
    uint64_t stamp;
    int64_t id, gone_id;
};

struct register_set {
    struct arena *a;
    struct htab *index;
    struct register_row *rows;
    size_t n, cap;
};

void register_set_init(struct register_set *s, struct arena *a);
void register_set_done(struct register_set *s); // the arena is the caller's
// ERR_NOMEM. Not after register_set_sort.
int register_set_add(struct register_set *s, const struct register_name *name,
                     struct register_row **out);
// By registry, repository, tag ("" first: manifests before tags), digest.
void register_set_sort(struct register_set *s);
int register_name_order(const struct register_name *a, const struct register_name *b);
// The register that an entry writes; borrows the entry's strings.
struct register_name register_of(const struct feed_entry *e);

#endif
