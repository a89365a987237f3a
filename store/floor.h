// SPDX-License-Identifier: Apache-2.0
// What a floor refuses (design section 9, invariant 7). A registry's floor is a stamp: at or below it
// all members have applied everything, so what was deleted may be dropped here, with its tombstone.
// What comes later all the same (an old backup, what is announced again) must not bring it back.
// Pure; any thread. Who keeps the floors is store/meta_floor.h, who raises them replication/horizon.h.
#ifndef MERIDIAN_STORE_FLOOR_H
#define MERIDIAN_STORE_FLOOR_H

#include <stdbool.h>
#include <stdint.h>

struct floor_value {
    // the register stamp of a value that comes; a tombstone brings nothing back and is always taken
    uint64_t stamp;
    // it is announced again, with a stamp that is older than its entry
    bool restates;
    // its register is not here
    bool absent;
};

// `floor`: the own one; `heard`: the highest of any member's. What is at or below a floor was applied by
// everybody, so nobody needs it announced again.
static inline bool floor_refuses(const struct floor_value *v, uint64_t floor, uint64_t heard)
{
    if (v->absent && v->stamp <= floor)
        return true;
    return v->restates && (v->stamp <= floor || v->stamp <= heard);
}

#endif
