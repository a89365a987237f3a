// SPDX-License-Identifier: Apache-2.0
// The virtual clock, for tests alone. While it is set, wall and monotonic clock stand still until
// clock_virtual_advance, for the whole process; clock_sleep_ms advances it and returns.
#ifndef MERIDIAN_BASE_CLOCK_TEST_H
#define MERIDIAN_BASE_CLOCK_TEST_H

#include <stdint.h>

void clock_virtual_set(int64_t wall_ms);
void clock_virtual_advance(int64_t ms);
void clock_virtual_jump_wall(int64_t ms); // wall only, may be negative
void clock_virtual_off(void);

#endif
