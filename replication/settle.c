// SPDX-License-Identifier: Apache-2.0
// See settle.h.
#include "replication/settle.h"

#include "base/clock.h"

#include <string.h>

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

static uint64_t part_end(uint64_t stamp, int64_t part_ms)
{
    int64_t at = hlc_wall_ms(stamp);
    if (part_ms > 0)
        at -= at % part_ms;
    return at > 0 ? hlc_from_wall(at) : 0;
}

static bool steps_ripen(struct settle_steps *k, int64_t wall_ms, int64_t keep_ms)
{
    size_t n = 0;
    while (n < k->n && wall_ms - k->steps[n].wall_ms >= keep_ms)
        k->ready = k->steps[n++].stamp;
    k->n -= n;
    memmove(k->steps, &k->steps[n], k->n * sizeof k->steps[0]);
    return n > 0;
}

static bool step_add(struct settle_steps *k, uint64_t stamp, int64_t wall_ms, int64_t part_ms)
{
    const struct settle_mark *last = k->n ? &k->steps[k->n - 1] : NULL;
    if (k->n == SETTLE_STEPS || stamp <= k->ready)
        return false;
    if (last && (stamp <= last->stamp || wall_ms - last->wall_ms < part_ms))
        return false;
    k->steps[k->n++] = (struct settle_mark){stamp, wall_ms};
    return true;
}

bool settle_keep(struct settle_steps *k, uint64_t stamp, int64_t wall_ms, int64_t keep_ms,
                 uint64_t *out)
{
    int64_t part_ms = keep_ms / PARTS;
    bool ripened = steps_ripen(k, wall_ms, keep_ms);
    bool added = step_add(k, part_end(stamp, part_ms), wall_ms, part_ms);
    *out = lower_of(k->ready, stamp);
    return ripened || added;
}
