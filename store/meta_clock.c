// SPDX-License-Identifier: Apache-2.0
// The region's hybrid logical clock, and which stamps it takes: see meta.h, base/clock.h.
//
// Invariants (design section 9)
//   9. The clock moves with our own entries only, and with what they must beat; neither is ever
//      more than the skew ahead of the wall clock. A mint that fails leaves it where it was
//      (the backend takes it back with the transaction). A clock that is stored further ahead (a wall
//      clock that was wrong, a store from before this rule) closes writes until the wall clock has
//      come near, also after a restart.
#include "store/meta.h"

#include "base/err.h"
#include "store/meta_priv.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>

// The clocks of two good regions may differ by so much. A stamp that we mint on top of another
// region's is then not of the future to a third region, and that stamp alone never closes our
// writes.
#define RESERVE_MS 1000

void meta_set_skew(struct meta *m, uint32_t skew_ms)
{
    if (skew_ms < 2 * RESERVE_MS)
        skew_ms = 2 * RESERVE_MS;
    atomic_store(&m->skew_ms, skew_ms);
}

uint64_t meta_stamp_limit(struct meta *m)
{
    return hlc_limit(clock_wall_ms(), atomic_load(&m->skew_ms));
}

int clock_mint(struct meta *m, uint64_t last, uint64_t above, uint64_t *out_stamp)
{
    int64_t now = clock_wall_ms();
    uint32_t skew = atomic_load(&m->skew_ms);
    struct hlc h = {last};
    if (h.last > hlc_limit(now, skew))
        return ERR_AHEAD; // the gate says why
    if (above > h.last && above > hlc_limit(now, skew - RESERVE_MS))
        return ERR_AHEAD;
    if (h.last < above)
        h.last = above;
    uint64_t stamp = hlc_next(&h, now);
    if (stamp > INT64_MAX)
        return ERR_RANGE;
    assert(stamp > last && stamp > above); // 9
    *out_stamp = stamp;
    return 0;
}

// Under m->lock. The gate follows the clocks by itself: nobody has to open it.
void clock_gate_look(struct meta *m)
{
    int64_t now = clock_wall_ms();
    uint32_t skew = atomic_load(&m->skew_ms);
    uint64_t last = atomic_load(&m->b->clock);
    bool closed = last > hlc_limit(now, skew);
    m->gates[META_GATE_STAMPS].closed = closed;
    if (!closed)
        return;
    char at[CLOCK_TEXT_SIZE], until[CLOCK_TEXT_SIZE];
    snprintf(
        m->gates[META_GATE_STAMPS].why, META_WHY_SIZE,
        "this region's last entry is stamped %s, ahead of its clock by more than %u s: writes "
        "open at %s; if the clock is right, meridian replication repair-clock opens them at once",
        clock_format(hlc_wall_ms(last), at), skew / 1000,
        clock_format(hlc_wall_ms(last) - skew, until));
}
