// SPDX-License-Identifier: Apache-2.0
// What lives (design section 9, invariant 3): pure rules over merged registers. Every region holds
// the same registers once all entries are applied, so the same lives everywhere, whatever came
// first. store/meta_live.c keeps the answers in the rows; tests hold these rules against all orders
// of small histories.
//
//   struct tag_facts f = {.value = &tag.value.value, .gone = &tag.gone.value, …};
//   bool live = tag_lives(&f);
//
// Registers of a tag and of a manifest's presence are kept as two: the highest value, and the
// highest tombstone (gone). A tombstone is of a person or of a rule. The highest stamp of a person's
// is kept apart: it also kills the tags to a manifest that are older, and makes older locks void. A
// rule does neither: it ends what it judged and nothing that it had not seen.
//
// - A tag lives when its value is above its tombstone and not killed. A valid delete lock of the tag
//   stands in for both, one of the manifest for the second. What is dead stays in the register: a
//   tag never falls back to an older value by itself.
// - A manifest is asserted when its value is above its tombstone. It lives when it is asserted, or a
//   live tag leads to it, or a live index refers to it and does not mark it as absent, or it has a
//   valid delete lock; and its content must be here.
// - A lock is valid when it is newer than every person's tombstone of what it locks; of a tag also
//   newer than that of its manifest. What a rule deleted and is pushed again is unlocked by an entry.
#ifndef MERIDIAN_STORE_LIVENESS_H
#define MERIDIAN_STORE_LIVENESS_H

#include "base/register.h"

#include <stdbool.h>
#include <stdint.h>

// A lock, as far as it matters here. Stamp 0: none.
struct lock_facts {
    uint64_t stamp;
    bool write, del;
};

struct tag_facts {
    // stamp 0 and origin "": none
    const struct register_value *value, *gone;
    // by persons: of the tag, and of the manifest that its value leads to
    uint64_t ended, killed;
    struct lock_facts lock, manifest_lock;
};

struct manifest_facts {
    const struct register_value *value, *gone;
    uint64_t killed;
    struct lock_facts lock;
    // by a live tag; by a live index
    bool led, held;
};

static inline uint64_t stamp_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

// `voids`: of a manifest `killed`; of a tag the higher one of `ended` and of `killed` of its manifest.
static inline bool lock_valid(const struct lock_facts *l, uint64_t voids)
{
    return l->stamp > voids;
}

static inline bool lock_keeps(const struct lock_facts *l, uint64_t voids)
{
    return l->del && lock_valid(l, voids);
}

static inline bool lock_refuses_writes(const struct lock_facts *l, uint64_t voids)
{
    return l->write && lock_valid(l, voids);
}

// Is there a value at all?
static inline bool register_has(const struct register_value *v)
{
    return v->stamp || *v->origin;
}

// Is the value above the tombstone?
static inline bool register_stands(const struct register_value *value,
                                   const struct register_value *gone)
{
    return register_has(value) && register_order(value, gone) > 0;
}

static inline bool tag_killed(const struct register_value *value, uint64_t killed)
{
    return value->stamp < killed;
}

static inline bool tag_lives(const struct tag_facts *f)
{
    if (!register_has(f->value))
        return false;
    bool stands = register_order(f->value, f->gone) > 0;
    bool killed = tag_killed(f->value, f->killed);
    if (stands && !killed)
        return true;
    if (lock_keeps(&f->lock, stamp_max(f->ended, f->killed)))
        return true;
    return stands && lock_keeps(&f->manifest_lock, f->killed);
}

// Whether its content is here is not asked.
static inline bool manifest_wanted(const struct manifest_facts *f)
{
    if (register_stands(f->value, f->gone) || f->led || f->held)
        return true;
    return lock_keeps(&f->lock, f->killed);
}

// The generation of a create-only value for a tag that does not live: the highest stamp of what
// ended its values; 0 when it never had one.
static inline uint64_t tag_generation(const struct register_value *value,
                                      const struct register_value *gone, uint64_t killed)
{
    if (register_has(value) && tag_killed(value, killed))
        return stamp_max(gone->stamp, killed);
    return gone->stamp;
}

#endif
