// SPDX-License-Identifier: Apache-2.0
// Which members connections need, and addresses for them: counted for all connections that a change
// touches before any gets one, so that a change is made for all of them or for none.
//
//   struct allocation a;
//   allocation_begin(&a, x, diag);
//   rc = allocation_add(&a, &connection, keys, n_keys, given);    // for each
//   rc = allocation_end(&a);           // ERR_CONFLICT: diag says which pool is short, and of what
//   … connection.members have all of the keys …
//
// A connection keeps the address that a member has. Addresses come from its pool, the lowest that is
// free, members in their order (members_sort); static ones are given with the request.
#ifndef MERIDIAN_LIFECYCLE_CONNECTION_NEEDS_H
#define MERIDIAN_LIFECYCLE_CONNECTION_NEEDS_H

#include "control/connections.h"
#include "lifecycle/lifecycle.h"
#include "lifecycle/verb.h"

struct ledger_look deps_ledger(const struct lifecycle_deps *deps);

// What a registry has names for: `registry`, and for each replica a data name and, if they are on, a
// regional one.
struct member_shape {
    region_set replicas;
    bool regional;
};
struct member_shape shape_of(const struct registry *r);
bool shape_has(const struct topology *t, const struct member_shape *s, const char *key);
// In the order of members_sort, in the arena. ERR_NOMEM.
int shape_keys(const struct topology *t, const struct member_shape *s, struct arena *arena,
               const char *const **out, size_t *out_n);
// Of a member's key. "": `registry`; NULL: it is none.
const char *member_key_region(const char *key, enum name_kind *out_kind);

struct allocation_pool {
    const struct address_pool *pool;
    const struct view *view;
    // of the view, when the allocation began
    struct address_set held;
    size_t needs, has, lacks;
};

struct allocation_wish { // a member without an address
    struct connection *of;
    size_t member;
    // index into pools
    size_t pool;
};

#define ALLOCATION_POOLS_MAX 256
struct allocation {
    const struct plan_ctx *x;
    struct diag *diag;
    struct allocation_pool *pools;
    size_t n_pools;
    struct allocation_wish *wishes;
    size_t n_wishes, cap_wishes;
    // notes for what-if, one for each connection that gets some
    const char **notes;
    size_t n_notes, cap_notes;
    // static ones lack addresses
    bool incomplete;
};

int allocation_begin(struct allocation *a, const struct plan_ctx *x, struct diag *diag);
// Gives `c` (whose members are the caller's arena's) the keys that it lacks. `given`: {"key": ["address"]}
// of the request, or NULL; for one without a pool all that it lacks must be there. What it has is
// kept, but for addresses that somebody else holds by now. ERR_NOMEM, ERR_INVAL: diag says what.
int allocation_add(struct allocation *a, struct connection *c, const char *const *keys,
                   size_t n_keys, const json_t *given);
// ERR_INVAL: static connections lack addresses, as diag says; ERR_CONFLICT: a pool is short; ERR_NOMEM.
int allocation_end(struct allocation *a);
// "members corp/corp-pe: 4 -> 7 of /27: 27 usable, 11 free ok", for a what-if.
void allocation_notes(const struct allocation *a, struct plan *out);

#endif
