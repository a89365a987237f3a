// SPDX-License-Identifier: Apache-2.0
// Was the wall clock set? See clock.h. Apart from clock.c, so that a test which puts a clock of its own
// in front of that one's (ld --wrap) shifts this too.
#include "base/clock.h"

// Read again when the thread was held up in between, which would shift it.
int64_t clock_base_us(void)
{
    int64_t before, wall_ms, after;
    int tries = 0;
    do {
        before = clock_mono_us();
        wall_ms = clock_wall_ms();
        after = clock_mono_us();
    } while (after - before > 1000 && ++tries < 10);
    return wall_ms * 1000 + 500 - (before + (after - before) / 2);
}
