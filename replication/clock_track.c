// SPDX-License-Identifier: Apache-2.0
// Samples of another region's clock; see clock_track.h.
#include "replication/clock_track.h"

#include <assert.h>
#include <stdlib.h>

#define DRIFT_DIVISOR 1000 // 1 ms a second
#define WITHIN_MS_US 500   // a wall clock read in whole milliseconds is that much off its middle

static int64_t error_now(const struct clock_sample *s, int64_t now_us)
{
    return s->error_us + (now_us - s->at_us) / DRIFT_DIVISOR;
}

static bool contradicts(const struct clock_sample *a, const struct clock_sample *b, int64_t now_us)
{
    return llabs(a->lead_us - b->lead_us) > error_now(a, now_us) + error_now(b, now_us);
}

void clock_track_add(struct clock_track *t, int64_t their_wall_ms, int64_t sent_us, int64_t got_us)
{
    assert(their_wall_ms >= 0 && their_wall_ms <= CLOCK_WALL_MAX_MS && sent_us <= got_us);
    int64_t half = (got_us - sent_us) / 2;
    struct clock_sample s = {.lead_us = their_wall_ms * 1000 + WITHIN_MS_US - (sent_us + half),
                             .error_us = half + WITHIN_MS_US,
                             .at_us = got_us};
    for (size_t i = 0; i < t->n; i++)
        if (contradicts(&t->samples[i], &s, got_us))
            t->n = t->next = 0;
    t->samples[t->next] = s;
    t->next = (t->next + 1) % CLOCK_SAMPLES;
    if (t->n < CLOCK_SAMPLES)
        t->n++;
}

bool clock_track_get(const struct clock_track *t, int64_t now_us, int64_t wall_less_mono_us,
                     int64_t *out_offset_ms, int64_t *out_error_ms)
{
    const struct clock_sample *best = NULL;
    for (size_t i = 0; i < t->n; i++)
        if (!best || error_now(&t->samples[i], now_us) < error_now(best, now_us))
            best = &t->samples[i];
    if (!best)
        return false;
    *out_offset_ms = (best->lead_us - wall_less_mono_us) / 1000;
    *out_error_ms = error_now(best, now_us) / 1000 + 1; // rounded up
    return true;
}
