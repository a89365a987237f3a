// SPDX-License-Identifier: Apache-2.0
// Failing allocations by countdown: runs fn with the 1st, 2nd, 3rd … allocation (and all after it)
// refused, until a run meets no refusal. fn builds, checks and releases everything itself, and
// returns 0 or an ERR_* code.
//
//   static int one(void *ctx) { … return rc; }
//   ck_assert_int_gt(torture(one, NULL), 0);
//
// Returns how many runs met a refusal; -1 if fn failed with all memory there, or never got through
// in TORTURE_MAX runs. Only mem_* is refused, not what libraries allocate. Single-threaded; leaks
// are the sanitizer's to find.
#ifndef MERIDIAN_TESTS_TORTURE_H
#define MERIDIAN_TESTS_TORTURE_H

#include "base/mem.h"

#include "base/mem_test.h"

#define TORTURE_MAX 100000

static inline long torture(int (*fn)(void *ctx), void *ctx)
{
    for (long i = 1; i < TORTURE_MAX; i++) {
        mem_fault_after(i);
        int rc = fn(ctx);
        long hits = mem_fault_hits();
        mem_fault_after(0);
        if (hits == 0)
            return rc ? -1 : i - 1;
    }
    return -1;
}

#endif
