// SPDX-License-Identifier: Apache-2.0
// Waits for a condition that another thread or process brings about; fails the test at the limit.
//
//   WAIT_FOR(region_has(west, "contoso", "app", "t", &d), 15000);
//
// A condition that was true once is enough: it is not asked again, because it may hold for a moment only.
#ifndef MERIDIAN_TESTS_WAIT_FOR_H
#define MERIDIAN_TESTS_WAIT_FOR_H

#include "base/clock.h"

#include <check.h>
#include <stdbool.h>
#include <stdint.h>

#define WAIT_FOR_LOOK_MS 2

#define WAIT_FOR(what, limit_ms)                                                      \
    do {                                                                              \
        int64_t until_ = clock_mono_ms() + (limit_ms);                                \
        bool seen_;                                                                   \
        while (!(seen_ = (what)) && clock_mono_ms() < until_)                         \
            clock_sleep_ms(WAIT_FOR_LOOK_MS);                                         \
        ck_assert_msg(seen_, "not within %lld ms: %s", (long long)(limit_ms), #what); \
    } while (0)

#endif
