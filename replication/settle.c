// SPDX-License-Identifier: Apache-2.0
// See settle.h.
#include "replication/settle.h"

#include "base/clock.h"

#include <stdbool.h>

#define PARTS 8 // of the time that things are kept

static bool has_settled(const struct settled *s, const struct settle_view *v)
{
    if (!s->noted || v->everywhere < s->need)
        return false;
    return v->mono_ms - s->noted_mono >= v->lease_ms;
}

static uint64_t lower_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t settle_step(struct settled *s, const struct settle_view *v)
{
    if (has_settled(s, v)) {
        s->ready = s->noted;
        s->noted = 0;
    }
    if (!s->noted && v->reached > s->ready)
        *s = (struct settled){
            .ready = s->ready, .noted = v->reached, .need = v->ahead, .noted_mono = v->mono_ms};
    return lower_of(s->ready, v->reached);
}

uint64_t settle_kept(uint64_t stamp, int64_t wall_ms, int64_t keep_ms)
{
    int64_t part = keep_ms / PARTS, at = wall_ms - keep_ms, of = hlc_wall_ms(stamp);
    if (of < at)
        at = of;
    if (part > 0)
        at -= at % part;
    return at > 0 ? hlc_from_wall(at) : 0;
}
